//! Processors of a group copy one topic to another within transactions that commit their offsets too; they crash, the
//! broker is killed, and in the end each record has been copied once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use compat_tests::batch::Batch;
use compat_tests::broker::{Broker, Options};
use compat_tests::calls::LATEST;
use compat_tests::wire::Client;
use compat_tests::{Random, SetOnDrop, wait_until};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::librdkafka::{Fate, Offsets, Record, Transactor, from_environment, kill_and_restart};
use crate::readers::*;

const INPUT: &str = "copied-from";
const OUTPUT: &str = "copied-to";
const GROUP: &str = "copiers";
const INPUT_PARTITIONS: i32 = 3;
const OUTPUT_PARTITIONS: i32 = 2;
const PROCESSORS: usize = 2;
/// Batches are so small a part of the input that this many are needed.
const BATCHES: usize = 125;
const BATCH_TIME: Duration = Duration::from_millis(50);
/// The broker is killed whenever another such part of the output is there.
const PARTS: usize = 5;
/// One of so many batches ends with its processor.
const CRASH_ONE_OF: usize = 15;
/// For any copy to be made.
const PROGRESS_LIMIT: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, Debug)]
enum Protocol {
    Classic,
    /// KIP-848.
    Consumer,
}

#[test]
fn classic_copies_are_exact() {
    run(Protocol::Classic, 1, 5_000);
}

#[test]
fn consumer_copies_are_exact() {
    run(Protocol::Consumer, 2, 5_000);
}

#[test]
#[ignore = "takes the machine for a minute"]
fn a_hundred_thousand_classic_copies_are_exact() {
    run(Protocol::Classic, 3, 100_000);
}

#[test]
#[ignore = "takes the machine for a minute"]
fn a_hundred_thousand_consumer_copies_are_exact() {
    run(Protocol::Consumer, 4, 100_000);
}

fn options() -> Options {
    quick_options()
        .set("group.min.session.timeout.ms", 500)
        .set("group.initial.rebalance.delay.ms", 0)
        .set("group.consumer.min.session.timeout.ms", 500)
        .set("group.consumer.session.timeout.ms", 3000)
        .set("group.consumer.min.heartbeat.interval.ms", 50)
        .set("group.consumer.heartbeat.interval.ms", 100)
}

fn run(protocol: Protocol, seed: u64, records: u64) {
    let seed = from_environment("OTTLA_COPY_SEED", 0) * 1000 + seed;
    let records = from_environment("OTTLA_COPY_RECORDS", records) as usize;
    let mut broker = options().start();
    let mut client = broker.client();
    assert_eq!(client.create_topic(INPUT, INPUT_PARTITIONS, &[]).expect("answered"), 0);
    assert_eq!(client.create_topic(OUTPUT, OUTPUT_PARTITIONS, &[]).expect("answered"), 0);
    assert_eq!(client.find_coordinator(GROUP).expect("answered"), 0);
    for partition in 0..INPUT_PARTITIONS {
        assert_eq!(client.commit(GROUP, INPUT, partition, 0).expect("answered"), 0);
    }
    fill(&mut client, records);
    let (bootstrap, done, totals) = (broker.bootstrap(), AtomicBool::new(false), Arc::new(Totals::default()));
    std::thread::scope(|scope| {
        let _done = SetOnDrop(&done);
        for number in 0..PROCESSORS {
            let processor = Processor::new(&bootstrap, protocol, number, seed, (records / BATCHES).max(1));
            let (done, totals) = (&done, &totals);
            scope.spawn(move || processor.work(done, totals));
        }
        for part in 1..=PARTS {
            await_copies(&broker, records * part / PARTS, &format!("{protocol:?}, seed {seed}, part {part}"));
            if part < PARTS {
                kill_and_restart(&mut broker, &options());
            }
        }
    });
    let what = format!("{protocol:?}, seed {seed}");
    compare(&mut broker, records, &what);
    let count = |total: &AtomicUsize| total.load(Ordering::SeqCst);
    let (committed, aborted) = (count(&totals.committed), count(&totals.aborted));
    let (crashed, instances, misled) = (count(&totals.crashed), count(&totals.instances), count(&totals.misled));
    println!("{what}: {committed} committed, {aborted} not, {crashed} crashes, {instances} instances, {misled} misled");
    let replaced = totals.replaced.lock().expect("totals");
    println!("{what}: producers were replaced because of {replaced:?}");
    assert!(crashed >= 3, "processors have crashed, {what}");
}

/// Numbers, dealt out to the partitions.
fn fill(client: &mut Client, records: usize) {
    for (chunk, first) in (0..records).step_by(500).enumerate() {
        let values = (first..records.min(first + 500)).map(|number| number.to_string());
        client.must_produce(INPUT, chunk as i32 % INPUT_PARTITIONS, &Batch::of_values(values));
    }
}

/// Waits until as many committed copies are there, and complains when there are none for too long.
fn await_copies(broker: &Broker, wanted: usize, what: &str) {
    let mut client = broker.client();
    let (mut next, mut count, mut last) = ([0; OUTPUT_PARTITIONS as usize], 0, Instant::now());
    while count < wanted {
        assert!(last.elapsed() < PROGRESS_LIMIT, "{count} of {wanted} copies, and no more, {what}");
        for (partition, next) in next.iter_mut().enumerate() {
            let data = fetch_committed(&mut client, OUTPUT, partition as i32, *next);
            count += committed_records(&data, *next).len();
            if let Some(end) = end_of(&data) {
                (*next, last) = (end, Instant::now());
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Each record once, by raw frames and by librdkafka; and the group has committed all of it.
fn compare(broker: &mut Broker, records: usize, what: &str) {
    let mut client = broker.client();
    wait_until(&format!("no transaction is open, {what}"), PROGRESS_LIMIT, || {
        list_transactions(&mut client).values().all(|state| state.starts_with("Complete") || state == "Empty")
    });
    let raw = (0..OUTPUT_PARTITIONS).flat_map(|partition| committed_values(&mut client, OUTPUT, partition)).collect();
    assert_each_once(raw, records, &format!("{what}, raw"));
    assert_each_once(read_by_librdkafka(broker, records), records, &format!("{what}, librdkafka"));
    for partition in 0..INPUT_PARTITIONS {
        let end = client.offset_at(INPUT, partition, LATEST);
        assert_eq!(client.committed_offset(GROUP, INPUT, partition), end, "partition {partition}, {what}");
    }
    for partition in 0..OUTPUT_PARTITIONS {
        check_markers(&read_log(&mut client, OUTPUT, partition), &format!("{OUTPUT}-{partition}, {what}"));
    }
}

fn assert_each_once(values: Vec<String>, records: usize, what: &str) {
    let mut counts: HashMap<usize, u32> = HashMap::new();
    values.iter().for_each(|value| *counts.entry(value.parse().expect("a number")).or_default() += 1);
    let often = counts.values().filter(|count| **count > 1).count();
    let missing: Vec<_> = (0..records).filter(|number| !counts.contains_key(number)).collect();
    let first = missing.first();
    assert!(
        often == 0 && missing.is_empty(),
        "{what}: {often} more than once, {} missing, of which the first {first:?}",
        missing.len()
    );
    assert_eq!(counts.len(), records, "{what}");
}

fn read_by_librdkafka(broker: &Broker, records: usize) -> Vec<String> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap()).set("group.id", "readers").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.set("isolation.level", "read_committed").create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    for partition in 0..OUTPUT_PARTITIONS {
        list.add_partition_offset(OUTPUT, partition, Offset::Beginning).expect("a valid offset");
    }
    consumer.assign(&list).expect("assigned");
    let mut values = Vec::new();
    // One more than there should be is looked for, for a moment.
    while let Some(message) =
        consumer.poll(if values.len() < records { PROGRESS_LIMIT } else { Duration::from_millis(300) })
    {
        values.push(text_of(&message.expect("no error")));
    }
    values
}

fn text_of(message: &BorrowedMessage<'_>) -> String {
    String::from_utf8(message.payload().expect("a value").to_vec()).expect("text")
}

#[derive(Default)]
struct Totals {
    committed: AtomicUsize,
    aborted: AtomicUsize,
    crashed: AtomicUsize,
    instances: AtomicUsize,
    /// Consumers that found no committed offset.
    misled: AtomicUsize,
    replaced: Mutex<Vec<String>>,
}

/// A consumer and a producer of its own; both are replaced after every trouble.
struct Processor {
    bootstrap: String,
    protocol: Protocol,
    name: String,
    random: Random,
    batch_max: usize,
}

impl Processor {
    fn new(bootstrap: &str, protocol: Protocol, number: usize, seed: u64, batch_max: usize) -> Processor {
        let (name, random) = (format!("copier-{number}"), Random::new(seed * 10 + number as u64));
        Processor { bootstrap: bootstrap.to_owned(), protocol, name, random, batch_max }
    }

    fn work(mut self, done: &AtomicBool, totals: &Arc<Totals>) {
        while !done.load(Ordering::SeqCst) {
            totals.instances.fetch_add(1, Ordering::SeqCst);
            // Whatever the one before left open is aborted: its offsets are not waited for.
            let transactor = Transactor::new(&self.bootstrap, &self.name).started();
            let batching = Batching {
                transactor,
                random: Random::new(self.random.number()),
                records: Vec::new(),
                next: HashMap::new(),
                totals: totals.clone(),
                gone: false,
            };
            self.consume(done, totals, Copying(Mutex::new(batching)));
        }
    }

    fn consume(&mut self, done: &AtomicBool, totals: &Totals, copying: Copying) {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("group.id", GROUP)
            .set("client.id", &self.name)
            .set("enable.auto.commit", "false")
            // Everything has a committed offset. Librdkafka may forget that it waits for a stable one when a rebalance comes
            // between, and would begin elsewhere.
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("reconnect.backoff.max.ms", "200")
            .set("fetch.wait.max.ms", "50");
        match self.protocol {
            Protocol::Classic => config.set("session.timeout.ms", "3000").set("heartbeat.interval.ms", "100"),
            Protocol::Consumer => config.set("group.protocol", "consumer"),
        };
        let consumer = BaseConsumer::from_config_and_context(&config, copying).expect("a consumer");
        consumer.subscribe(&[INPUT]).expect("subscribed");
        while !done.load(Ordering::SeqCst) && !consumer.context().batching().gone {
            let wanted = 1 + self.random.below(self.batch_max);
            let begun = Instant::now();
            while consumer.context().batching().records.len() < wanted && begun.elapsed() < BATCH_TIME {
                match consumer.poll(Duration::from_millis(10)) {
                    Some(Ok(message)) => consumer.context().batching().take(&message),
                    Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset))) => {
                        totals.misled.fetch_add(1, Ordering::SeqCst);
                        consumer.context().batching().gone = true;
                    }
                    // What the connection has to say is of no interest: librdkafka goes on by itself.
                    Some(Err(_)) | None => {}
                }
            }
            consumer.context().batching().copy(&consumer);
        }
        consumer.context().batching().gone = true;
        leave(&consumer);
    }
}

/// Gives everything up before the consumer is dropped. Dropping closes it, and asks librdkafka (2.12) for the kind of a
/// rebalance that comes with that; where its group has ended by then, nobody answers, and the drop never returns.
fn leave(consumer: &BaseConsumer<Copying>) {
    consumer.unsubscribe();
    let begun = Instant::now();
    while consumer.assignment().is_ok_and(|assigned| assigned.count() > 0) {
        assert!(begun.elapsed() < PROGRESS_LIMIT, "the consumer keeps its partitions");
        let _ = consumer.poll(Duration::from_millis(10));
    }
}

/// What was read and not yet copied.
struct Batching {
    transactor: Transactor,
    random: Random,
    records: Vec<Record>,
    /// Where each partition's reader goes on after these.
    next: HashMap<i32, i64>,
    totals: Arc<Totals>,
    /// Nothing more is copied: the next instance begins where the last commit was.
    gone: bool,
}

impl Batching {
    fn take(&mut self, message: &BorrowedMessage<'_>) {
        let partition = self.random.below(OUTPUT_PARTITIONS as usize) as i32;
        self.records.push(Record { topic: OUTPUT.to_owned(), partition, value: text_of(message) });
        self.next.insert(message.partition(), message.offset() + 1);
    }

    fn copy(&mut self, consumer: &BaseConsumer<Copying>) {
        let (records, next) = (std::mem::take(&mut self.records), std::mem::take(&mut self.next));
        let Some(group) = consumer.group_metadata().filter(|_| !self.gone && !records.is_empty()) else { return };
        let mut list = TopicPartitionList::new();
        for (partition, offset) in next {
            list.add_partition_offset(INPUT, partition, Offset::Offset(offset)).expect("a valid offset");
        }
        let offsets = Some(Offsets { list: &list, group: &group });
        if self.random.below(CRASH_ONE_OF) == 0 {
            self.transactor.crash_within(&records, offsets);
            self.totals.crashed.fetch_add(1, Ordering::SeqCst);
            self.gone = true;
        } else if self.transactor.run(&records, offsets, true) == Fate::Committed {
            self.totals.committed.fetch_add(1, Ordering::SeqCst);
        } else {
            self.totals.aborted.fetch_add(1, Ordering::SeqCst);
            self.gone = true;
        }
    }
}

impl Drop for Batching {
    fn drop(&mut self) {
        self.totals.replaced.lock().expect("totals").append(&mut self.transactor.replaced);
    }
}

/// Copies before a partition is given up, too: nobody else reads it until then.
struct Copying(Mutex<Batching>);

impl Copying {
    fn batching(&self) -> MutexGuard<'_, Batching> {
        self.0.lock().expect("nobody panicked")
    }
}

impl ClientContext for Copying {
    // Connections that break are this test's daily bread.
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Copying {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(_) = rebalance {
            let mut batching = self.batching();
            batching.gone |= consumer.assignment_lost();
            batching.copy(consumer);
        }
    }
}
