//! kill -9 under load, over and over: whatever was acknowledged is there, once, at its offset.

#![allow(clippy::disallowed_methods)]

#[path = "crash/books.rs"]
mod books;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use books::{AdminBook, Change, PartitionBook, value_of};
use compat_tests::batch::Batch;
use compat_tests::broker::{Broker, Options};
use compat_tests::calls::LATEST;
use compat_tests::wire::Client;
use compat_tests::{Random, wait_until};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;

const ROUNDS: u32 = 50;
/// Waited for a change in each round; without one the test fails in the end.
const PROGRESS_LIMIT: Duration = Duration::from_secs(10);
const RESTART_LIMIT: Duration = Duration::from_secs(1);
const BATCHES_IN_FLIGHT: usize = 4;

/// S6 S13 S17 S18 S21 S22 S26 S29 S36
#[test]
fn fifty_kills_under_load() {
    run(&[], 1);
}

/// S27 S28 S31: the same, every batch through the WAL first.
#[test]
fn fifty_kills_under_load_with_flush_messages() {
    run(&[("flush.messages", "1")], 2);
}

fn run(topic_configs: &[(&str, &str)], seed: u64) {
    let mut random = Random::new(seed);
    let mut broker = Options::new().set("auto.create.topics.enable", "false").start();
    let with = |extra: &[(&'static str, &'static str)]| [topic_configs, extra].concat();
    let mut client = broker.client();
    for (name, partitions, configs) in [
        ("small", 3, with(&[])),
        ("rolling", 1, with(&[("segment.bytes", "1048576"), ("index.interval.bytes", "512")])),
        ("configured", 1, with(&[])),
        ("grown", 1, with(&[])),
        ("trimmed", 1, with(&[("segment.bytes", "1048576")])),
    ] {
        assert_eq!(client.create_topic(name, partitions, &configs).expect("answered"), 0, "{name}");
    }
    let mut plain = [
        (PartitionBook::new("small", 0, false), 100),
        (PartitionBook::new("small", 1, false), 3000),
        (PartitionBook::new("rolling", 0, false), 30_000),
    ];
    let mut idempotent = IdempotentProducer::new(client.init_producer_id().expect("answered"));
    let mut admin = AdminBook { partitions: 1, ..AdminBook::default() };
    let mut restarts = Vec::new();
    for round in 0..ROUNDS {
        let killed = AtomicBool::new(false);
        let progress = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let connect = || broker.client();
            let mut threads = Vec::new();
            for (book, bytes) in &mut plain {
                let (mut client, bytes, killed) = (connect(), *bytes, &killed);
                threads.push(scope.spawn(move || expect_end(killed, produce(&mut client, book, bytes))));
            }
            let (mut client, producer, killed_flag) = (connect(), &mut idempotent, &killed);
            threads.push(scope.spawn(move || expect_end(killed_flag, producer.produce(&mut client))));
            let (mut client, book, progress) = (connect(), &mut admin, &progress);
            threads.push(scope.spawn(move || expect_end(killed_flag, administrate(&mut client, book, progress))));
            std::thread::sleep(Duration::from_millis(15 + random.below(60) as u64));
            // However busy the machine, something was changed in each round.
            let begun = Instant::now();
            while progress.load(Ordering::SeqCst) == 0 && begun.elapsed() < PROGRESS_LIMIT {
                std::thread::sleep(Duration::from_millis(1));
            }
            killed.store(true, Ordering::SeqCst);
            kill_by_id(broker.process_id());
            for thread in threads {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
        });
        broker.kill();
        // Every third crash is followed by crashes of the recovery.
        for _ in 0..if round % 3 == 2 { 1 + random.below(3) } else { 0 } {
            broker.start_and_kill(Duration::from_micros(random.below(15_000) as u64));
        }
        broker.restart();
        let ready_after = broker.ready_after();
        restarts.push(ready_after);
        let mut client = broker.client();
        admin.compare(&mut client);
        plain.iter_mut().for_each(|(book, _)| book.compare(&mut client));
        idempotent.resume(&mut client);
    }
    // Nine of ten: on a busy machine a process may wait long for its first turn.
    restarts.sort();
    let most = restarts[restarts.len() * 9 / 10];
    assert!(most < RESTART_LIMIT, "ready after {most:?}");
    let mut client = broker.client();
    plain.iter_mut().for_each(|(book, _)| book.compare_all(&mut client));
    idempotent.book.compare_all(&mut client);
    for book in plain.iter().map(|(book, _)| book).chain([&idempotent.book]) {
        assert!(book.acknowledged_records() > u64::from(ROUNDS), "there was load on {}-{}", book.topic, book.partition);
    }
    assert!(admin.steps >= u64::from(ROUNDS), "there was load on the administration: {admin:?}");
    let segments = std::fs::read_dir(broker.partition_dir("rolling", 0)).expect("a directory");
    let logs = segments.filter(|entry| entry.as_ref().is_ok_and(|e| e.path().extension().is_some_and(|x| x == "log")));
    assert!(logs.count() > 2, "segments have rolled");
}

/// Before the kill a connection may not break.
fn expect_end(killed: &AtomicBool, ended: std::io::Error) {
    assert!(killed.load(Ordering::SeqCst), "the broker broke a connection before it was killed: {ended}");
}

fn kill_by_id(process_id: u32) {
    // SAFETY: the child is ours and not yet reaped.
    unsafe { libc::kill(process_id as i32, libc::SIGKILL) };
}

/// Keeps a few batches in flight until the connection breaks.
fn produce(client: &mut Client, book: &mut PartitionBook, bytes: usize) -> std::io::Error {
    let mut in_flight = VecDeque::new();
    loop {
        while in_flight.len() < BATCHES_IN_FLIGHT {
            let (first, count) = (book.next_number, 1 + book.next_number % 4);
            let batch = Batch::of_values((first..first + count).map(|number| value_of(number, bytes)));
            book.next_number += count;
            match client.send_produce(&book.topic, book.partition, batch.build()) {
                Ok(id) => in_flight.push_back((id, first, count)),
                Err(error) => return error,
            }
        }
        let (id, first, count) = in_flight.pop_front().expect("in flight");
        match client.receive_produce(id) {
            Ok(answer) if answer.error_code == 0 => book.acknowledge(answer.base_offset, first, count),
            // Only a broker that is stopping may refuse: `expect_end` sees to that.
            Ok(answer) => return std::io::Error::other(format!("refused with error {}", answer.error_code)),
            Err(error) => return error,
        }
    }
}

/// Sends again, after every crash, what was not answered: each record must be there exactly once.
struct IdempotentProducer {
    id: i64,
    epoch: i16,
    book: PartitionBook,
    unanswered: VecDeque<(u64, u64)>,
}

impl IdempotentProducer {
    fn new((id, epoch): (i64, i16)) -> IdempotentProducer {
        let book = PartitionBook::new("small", 2, true);
        IdempotentProducer { id, epoch, book, unanswered: VecDeque::new() }
    }

    fn batch(&self, first: u64, count: u64) -> Batch {
        let values = (first..first + count).map(|number| value_of(number, 200));
        Batch::of_values(values).from_producer(self.id, self.epoch, first as i32)
    }

    fn produce(&mut self, client: &mut Client) -> std::io::Error {
        let mut ids = VecDeque::new();
        loop {
            while self.unanswered.len() < BATCHES_IN_FLIGHT {
                let (first, count) = (self.book.next_number, 1 + self.book.next_number % 3);
                self.book.next_number += count;
                self.unanswered.push_back((first, count));
                match client.send_produce("small", 2, self.batch(first, count).build()) {
                    Ok(id) => ids.push_back(id),
                    Err(error) => return error,
                }
            }
            match client.receive_produce(ids.pop_front().expect("in flight")) {
                Ok(answer) => self.answered(&answer),
                Err(error) => return error,
            }
        }
    }

    fn answered(&mut self, answer: &PartitionProduceResponse) {
        let (first, count) = self.unanswered.pop_front().expect("in flight");
        assert_eq!(answer.error_code, 0, "idempotent batch {first}: {:?}", answer.error_message);
        self.book.acknowledge(answer.base_offset, first, count);
    }

    fn resume(&mut self, client: &mut Client) {
        while let Some((first, count)) = self.unanswered.front().copied() {
            let answer = client.produce("small", 2, self.batch(first, count).build()).expect("answered");
            self.answered(&answer);
        }
        self.book.compare(client);
    }
}

/// Creates, deletes, configures, grows and trims until the connection breaks.
fn administrate(client: &mut Client, book: &mut AdminBook, progress: &AtomicU64) -> std::io::Error {
    loop {
        if let Err(error) = administrate_once(client, book) {
            return error;
        }
        book.steps += 1;
        progress.fetch_add(1, Ordering::SeqCst);
    }
}

fn administrate_once(client: &mut Client, book: &mut AdminBook) -> std::io::Result<()> {
    let step = book.steps;
    match step % 5 {
        0 => book.apply(client, Change::Create(format!("created-{step}-{}", book.topics.len()))),
        1 => book.apply(client, Change::Configure(1_000_000 + step)),
        2 => {
            let answer = client.produce("trimmed", 0, Batch::of_values([value_of(step, 100_000)]).build())?;
            assert_eq!(answer.error_code, 0);
            book.apply(client, Change::Trim(answer.base_offset + 1))
        }
        3 if book.topics.len() > 3 => {
            let oldest = book.topics.first().cloned().expect("not empty");
            book.apply(client, Change::Delete(oldest))
        }
        4 if book.partitions < 60 => book.apply(client, Change::Grow(book.partitions + 1)),
        _ => Ok(()),
    }
}

/// A stop in the middle of a load, too: everything acknowledged is there, and nothing needs recovery.
#[test]
fn terminate_under_load() {
    // S8
    let mut broker = Broker::start();
    let mut client = broker.client();
    client.create_topic("small", 1, &[]).expect("answered");
    let mut book = PartitionBook::new("small", 0, false);
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| produce(&mut client, &mut book, 1000));
        let mut reader = broker.client();
        wait_until("there is load", PROGRESS_LIMIT, || reader.offset_at("small", 0, LATEST) > 200);
        broker.terminate()
    });
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(broker.data_dir().join(".kafka_cleanshutdown").exists(), "the clean mark is written");
    broker.restart();
    book.compare(&mut broker.client());
    assert!(book.acknowledged_records() > 100);
}
