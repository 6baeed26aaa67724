//! Money goes from account to account in transactions, and the broker is killed over and over: an auditor that reads
//! committed data sees both sides of each transfer or none.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use compat_tests::batch::Batch;
use compat_tests::broker::{Broker, Options};
use compat_tests::calls::LATEST;
use compat_tests::wire::Client;
use compat_tests::{Random, SetOnDrop, wait_until};

use crate::librdkafka::{Fate, Record, TRANSACTION_TIMEOUT, Transactor, from_environment, kill_and_restart};
use crate::readers::*;

const PLACES: [(&str, i32); 4] = [("bank-a", 0), ("bank-a", 1), ("bank-b", 0), ("bank-b", 1)];
const ACCOUNTS: usize = 8;
const TELLERS: usize = 4;
/// Between the two markers of one transfer, with a kill in between and a busy machine.
const HALF_LIMIT: Duration = Duration::from_secs(30);
const SETTLE_LIMIT: Duration = Duration::from_secs(60);
/// What must have happened before it ends.
const TRANSFERS_MIN: usize = 100;
const KILLS_MIN: usize = 3;

#[test]
fn transfers_are_whole() {
    run(quick_options(), 1, 15);
}

/// Every batch through the WAL first.
#[test]
fn durable_transfers_are_whole() {
    run(quick_options().set("log.flush.interval.messages", 1), 2, 15);
}

#[test]
#[ignore = "takes the machine for two minutes"]
fn transfers_of_two_minutes_are_whole() {
    run(quick_options(), 3, 120);
}

#[test]
#[ignore = "takes the machine for two minutes"]
fn durable_transfers_of_two_minutes_are_whole() {
    run(quick_options().set("log.flush.interval.messages", 1), 4, 120);
}

/// A transfer's number to what became of it.
type Fates = Mutex<HashMap<String, Fate>>;

fn run(options: Options, seed: u64, seconds: u64) {
    let seed = from_environment("OTTLA_BANK_SEED", 0) * 1000 + seed;
    let limit = Duration::from_secs(from_environment("OTTLA_BANK_SECONDS", seconds));
    let mut broker = options.clone().start();
    let mut client = broker.client();
    for topic in ["bank-a", "bank-b"] {
        assert_eq!(client.create_topic(topic, 2, &[]).expect("answered"), 0);
    }
    let bootstrap = broker.bootstrap();
    let (fates, done, passes) = (Fates::default(), AtomicBool::new(false), AtomicUsize::new(0));
    let (kills, transactors, mut auditor) = std::thread::scope(|scope| {
        let set_done = SetOnDrop(&done);
        let tellers: Vec<_> = (0..TELLERS)
            .map(|number| {
                let teller = Teller::new(&bootstrap, number, seed);
                let (fates, done) = (&fates, &done);
                scope.spawn(move || teller.work(fates, done))
            })
            .collect();
        let auditor = scope.spawn(|| audit(&bootstrap, seed, &done, &passes));
        let kills = kill_now_and_then(&mut broker, &options, seed, limit, &fates, &passes);
        drop(set_done);
        let transactors: Vec<_> = tellers.into_iter().map(|teller| join(teller.join())).collect();
        (kills, transactors, join(auditor.join()))
    });
    settle(&mut broker, &mut auditor, seed);
    let fates = fates.into_inner().expect("fates");
    auditor.compare(&fates, seed);
    // Whoever begins at the start sees the same.
    let mut second = Auditor::new(seed);
    second.pass(&mut broker.client()).expect("answered");
    second.compare(&fates, seed);
    let (markers, alone) = count_markers(&mut broker, seed);
    let count = |fate| fates.values().filter(|found| **found == fate).count();
    let replaced: Vec<_> = transactors.iter().flat_map(|transactor| &transactor.replaced).collect();
    let disturbed: usize = transactors.iter().map(|transactor| transactor.disturbed).sum();
    let [committed, aborted, unknown] = [Fate::Committed, Fate::Aborted, Fate::Unknown].map(count);
    println!("seed {seed}: {committed} committed, {aborted} aborted, {unknown} unknown, {disturbed} disturbed");
    println!("{kills} kills, {passes:?} passes, {markers} markers, {alone} of them alone, replaced: {replaced:?}");
    assert!(alone <= 2 * disturbed, "{alone} markers end nothing, {disturbed} transfers were disturbed, seed {seed}");
    assert!(committed >= TRANSFERS_MIN / 2 && aborted > 5, "there was load, seed {seed}");
}

fn join<T>(joined: std::thread::Result<T>) -> T {
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A busy machine takes longer to do as much.
fn kill_now_and_then(
    broker: &mut Broker,
    options: &Options,
    seed: u64,
    limit: Duration,
    fates: &Fates,
    passes: &AtomicUsize,
) -> usize {
    let mut random = Random::new(seed);
    let (start, mut kills) = (Instant::now(), 0);
    let done = |kills| fates.lock().expect("fates").len() >= TRANSFERS_MIN && kills >= KILLS_MIN;
    while start.elapsed() < limit || (!done(kills) && start.elapsed() < limit * 4) {
        let (before, seen) = (fates.lock().expect("fates").len(), passes.load(Ordering::SeqCst));
        std::thread::sleep(Duration::from_millis(500 + random.below(2500) as u64));
        wait_until("transfers are made and audited", SETTLE_LIMIT, || {
            fates.lock().expect("fates").len() > before && passes.load(Ordering::SeqCst) > seen
        });
        kill_and_restart(broker, options);
        kills += 1;
    }
    assert!(done(kills), "{kills} kills, {} transfers, seed {seed}", fates.lock().expect("fates").len());
    kills
}

struct Teller {
    transactor: Transactor,
    number: usize,
    random: Random,
}

impl Teller {
    fn new(bootstrap: &str, number: usize, seed: u64) -> Teller {
        let transactor = Transactor::new(bootstrap, &format!("teller-{number}"));
        Teller { transactor, number, random: Random::new(seed * 100 + number as u64) }
    }

    fn work(mut self, fates: &Fates, done: &AtomicBool) -> Transactor {
        let mut transfer = 0;
        while !done.load(Ordering::SeqCst) {
            transfer += 1;
            let name = format!("{}-{transfer}", self.number);
            let from = self.random.below(ACCOUNTS);
            let to = (from + 1 + self.random.below(ACCOUNTS - 1)) % ACCOUNTS;
            let amount = 1 + self.random.below(1000) as i64;
            let records = [entry(&name, from, -amount), entry(&name, to, amount)];
            let fate = self.transactor.run(&records, None, self.random.below(4) != 0);
            fates.lock().expect("fates").insert(name, fate);
        }
        self.transactor
    }
}

fn entry(transfer: &str, account: usize, amount: i64) -> Record {
    let (topic, partition) = PLACES[account % PLACES.len()];
    Record { topic: topic.to_owned(), partition, value: format!("{transfer} {account} {amount}") }
}

/// Makes pass after pass over whatever process there is.
fn audit(bootstrap: &str, seed: u64, done: &AtomicBool, passes: &AtomicUsize) -> Auditor {
    let mut auditor = Auditor::new(seed);
    while !done.load(Ordering::SeqCst) {
        // A broker that is gone breaks a pass; the next one goes on.
        let Ok(mut client) = Client::connect(bootstrap) else {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        while !done.load(Ordering::SeqCst) && auditor.pass(&mut client).is_ok() {
            passes.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    auditor
}

/// Reads committed entries, and keeps account of them.
struct Auditor {
    seed: u64,
    next: [i64; PLACES.len()],
    /// Accounts and amounts of each transfer.
    transfers: HashMap<String, Vec<(usize, i64)>>,
    halves: HashMap<String, Instant>,
    balances: [i64; ACCOUNTS],
}

impl Auditor {
    fn new(seed: u64) -> Auditor {
        let (transfers, halves) = (HashMap::new(), HashMap::new());
        Auditor { seed, next: [0; PLACES.len()], transfers, halves, balances: [0; ACCOUNTS] }
    }

    /// Reads each partition up to its last stable offset. What is seen by half must be whole soon: of two markers one comes
    /// first.
    fn pass(&mut self, client: &mut Client) -> io::Result<()> {
        for (place, (topic, partition)) in PLACES.iter().enumerate() {
            loop {
                let data = try_fetch_committed(client, topic, *partition, self.next[place])?;
                if data.error_code != 0 {
                    return Err(io::Error::other(format!("Fetch: error {}", data.error_code)));
                }
                for record in committed_records(&data, self.next[place]) {
                    self.enter(place, &value_of(&record));
                }
                match end_of(&data) {
                    Some(end) => self.next[place] = end,
                    None => break,
                }
            }
        }
        for (transfer, since) in &self.halves {
            assert!(since.elapsed() < HALF_LIMIT, "{transfer} is half there for {HALF_LIMIT:?}, seed {}", self.seed);
        }
        if self.halves.is_empty() {
            assert_eq!(self.balances.iter().sum::<i64>(), 0, "no money is made or lost, seed {}", self.seed);
        }
        Ok(())
    }

    fn enter(&mut self, place: usize, value: &str) {
        let words: Vec<_> = value.split(' ').collect();
        let [transfer, account, amount] = words[..] else { panic!("an entry {value:?}, seed {}", self.seed) };
        let (account, amount): (usize, i64) = (account.parse().expect("a number"), amount.parse().expect("a number"));
        assert_eq!(account % PLACES.len(), place, "{value} is in its partition, seed {}", self.seed);
        let entries = self.transfers.entry(transfer.to_owned()).or_default();
        assert!(entries.iter().all(|(other, _)| *other != account), "{value} is there twice, seed {}", self.seed);
        entries.push((account, amount));
        self.balances[account] += amount;
        if entries.len() == 1 {
            self.halves.insert(transfer.to_owned(), Instant::now());
        } else {
            self.halves.remove(transfer);
            assert_eq!(entries.iter().map(|(_, amount)| amount).sum::<i64>(), 0, "{transfer}, seed {}", self.seed);
        }
    }

    /// At the end: whatever was committed is there, and nothing of what was aborted.
    fn compare(&self, fates: &HashMap<String, Fate>, seed: u64) {
        assert!(self.halves.is_empty(), "half there, seed {seed}: {:?}", self.halves);
        for (transfer, fate) in fates {
            let seen = self.transfers.contains_key(transfer);
            match fate {
                Fate::Committed => assert!(seen, "{transfer} was committed and is not there, seed {seed}"),
                Fate::Aborted => assert!(!seen, "{transfer} was aborted and is there, seed {seed}"),
                Fate::Unknown => {}
            }
        }
        let known: HashSet<_> = fates.keys().collect();
        assert!(self.transfers.keys().all(|transfer| known.contains(transfer)), "all were made, seed {seed}");
        assert_eq!(self.balances.iter().sum::<i64>(), 0, "seed {seed}");
    }
}

/// Nothing stays open: neither by what the coordinator nor by what the partitions know.
fn settle(broker: &mut Broker, auditor: &mut Auditor, seed: u64) {
    let mut client = broker.client();
    let limit = TRANSACTION_TIMEOUT + SETTLE_LIMIT;
    wait_until(&format!("no transaction is open by its coordinator, seed {seed}"), limit, || {
        list_transactions(&mut client).values().all(|state| state.starts_with("Complete") || state == "Empty")
    });
    // Markers may still be on their way to the disk. Whatever is acknowledged after them is behind them.
    assert_eq!(client.create_topic("last", 1, &[]).expect("answered"), 0);
    client.must_produce("last", 0, &Batch::of_values(["last"]));
    for (topic, partition) in PLACES {
        let open = open_transactions(&mut client, topic, partition);
        assert!(open.values().all(|start| *start == -1), "{topic}-{partition}, seed {seed}: {open:?}");
        let end = client.offset_at(topic, partition, LATEST);
        assert_eq!(last_stable_offset(&mut client, topic, partition), end, "{topic}-{partition}, seed {seed}");
    }
    auditor.pass(&mut client).expect("answered");
    for (place, (topic, partition)) in PLACES.iter().enumerate() {
        assert_eq!(
            auditor.next[place],
            client.offset_at(topic, *partition, LATEST),
            "{topic}-{partition}, seed {seed}"
        );
    }
}

/// How many markers there are, and how many of these end a transaction without data in the partition.
fn count_markers(broker: &mut Broker, seed: u64) -> (usize, usize) {
    let mut client = broker.client();
    let (mut count, mut alone) = (0, 0);
    for (topic, partition) in PLACES {
        let place = format!("{topic}-{partition}, seed {seed}");
        let markers = check_markers(&read_log(&mut client, topic, partition), &place);
        count += markers.count;
        alone += markers.alone.len();
    }
    (count, alone)
}

/// The auditor itself must see what it watches for.
mod the_auditor {
    use super::*;

    fn complains(entries: &[(usize, &str)], fate: Fate) -> bool {
        let audit = || {
            let mut auditor = Auditor::new(0);
            entries.iter().for_each(|(place, entry)| auditor.enter(*place, entry));
            auditor.compare(&HashMap::from([("0-1".to_owned(), fate)]), 0);
        };
        std::panic::catch_unwind(audit).is_err()
    }

    const WHOLE: [(usize, &str); 2] = [(1, "0-1 1 -5"), (2, "0-1 6 5")];

    #[test]
    fn takes_what_is_right() {
        assert!(!complains(&WHOLE, Fate::Committed));
        assert!(!complains(&WHOLE, Fate::Unknown));
        assert!(!complains(&[], Fate::Aborted));
    }

    #[test]
    fn sees_what_is_lost_or_half() {
        assert!(complains(&[], Fate::Committed));
        assert!(complains(&WHOLE[..1], Fate::Committed));
        assert!(complains(&WHOLE[..1], Fate::Unknown));
    }

    #[test]
    fn sees_what_is_there_twice_or_was_aborted() {
        assert!(complains(&[WHOLE[0], WHOLE[1], WHOLE[0]], Fate::Committed));
        assert!(complains(&WHOLE, Fate::Aborted));
    }
}
