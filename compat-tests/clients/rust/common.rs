//! What the clients of the matrix share: the command line, the scenarios' data, and comparing. See `../../README.md`.

#![allow(clippy::disallowed_methods)]

use std::fmt::{Debug, Formatter};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long one condition is waited for.
pub const LIMIT: Duration = Duration::from_secs(30);

pub const FETCH_PARTITIONS: i32 = 3;
/// Where each partition of the scenario fetch is read from again.
pub const FETCH_MIDDLE: i64 = 50;

/// The command line of one run.
pub struct Run {
    pub bootstrap: String,
    pub scenario: String,
    prefix: String,
    lacking: Vec<String>,
}

impl Run {
    /// Reads the command line; from here on, a panic ends the process with 1.
    pub fn from_arguments() -> Run {
        std::panic::set_hook(Box::new(|failure| {
            eprintln!("{failure}");
            std::process::exit(1);
        }));
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let [bootstrap, prefix, scenario] = arguments.try_into().expect("usage: bootstrap prefix scenario");
        Run { bootstrap, prefix, scenario, lacking: Vec::new() }
    }

    /// A name that begins with the prefix.
    pub fn name(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.prefix)
    }

    /// Says what of the scenario the library does not have; the rest of it runs all the same.
    pub fn lacks(&mut self, what: &str) {
        self.lacking.push(what.to_owned());
    }

    pub fn finish(self) -> ! {
        if self.lacking.is_empty() {
            println!("ok");
            std::process::exit(0);
        }
        println!("unsupported: {}", self.lacking.join(", "));
        std::process::exit(3);
    }
}

/// Repeats the attempt until it says that it is done. It should itself wait a little.
pub fn until(what: &str, mut attempt: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !attempt() {
        assert!(Instant::now() < deadline, "after {LIMIT:?} not so: {what}");
    }
}

/// As both libraries can say it.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub timestamp_ms: i64,
}

impl Debug for Record {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let text = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|b| b[..b.len().min(40)].escape_ascii().to_string());
        write!(f, "{}/{} {:?}={:?}", self.partition, self.offset, text(&self.key), text(&self.value))?;
        write!(f, " {:?} at {}", self.headers, self.timestamp_ms)
    }
}

/// A whole second, recent enough for retention, from which the records' times count.
pub fn base_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    (now.as_secs() as i64 - 3600) * 1000
}

/// Those of the scenario produce: among them a tombstone and an empty value, and each with an empty header.
pub fn produce_records() -> Vec<Record> {
    let base_ms = base_ms();
    let record = |n: i64| Record {
        partition: 0,
        offset: n,
        key: Some(format!("key-{n}").into_bytes()),
        value: match n {
            40 => None,
            60 => Some(Vec::new()),
            _ => Some(format!("value-{n}").into_bytes()),
        },
        headers: vec![("empty".to_owned(), Vec::new()), ("number".to_owned(), n.to_string().into_bytes())],
        timestamp_ms: base_ms + n * 1000,
    };
    (0..100).map(record).collect()
}

/// Those of the scenario fetch: 300 of 1 KB and one of 900 KB in turn over the partitions.
pub fn fetch_records() -> Vec<Record> {
    let base_ms = base_ms();
    let record = |n: i64| Record {
        partition: (n % i64::from(FETCH_PARTITIONS)) as i32,
        offset: n / i64::from(FETCH_PARTITIONS),
        key: None,
        value: Some(format!("{n:09} ").repeat(if n == 300 { 90_000 } else { 100 }).into_bytes()),
        headers: Vec::new(),
        timestamp_ms: base_ms + n * 1000,
    };
    (0..301).map(record).collect()
}

/// By partition, those of one in the order in which they came.
pub fn sorted(mut records: Vec<Record>) -> Vec<Record> {
    records.sort_by_key(|record| record.partition);
    records
}

/// Those of the scenario fetch from its middle on.
pub fn from_middle(records: &[Record]) -> Vec<Record> {
    records.iter().filter(|record| record.offset >= FETCH_MIDDLE).cloned().collect()
}

/// Compares in order, and says at which record lists differ.
#[track_caller]
pub fn assert_records(what: &str, got: Vec<Record>, want: &[Record]) {
    for (n, (got, want)) in got.iter().zip(want).enumerate() {
        assert_eq!(got, want, "{what}, record {n}");
    }
    assert_eq!(got.len(), want.len(), "{what}, number of records");
}

/// `count` texts behind the same prefix.
pub fn numbers(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n}")).collect()
}
