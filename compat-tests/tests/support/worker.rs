//! A consumer on a thread of its own (librdkafka) that reports everything to an auditor, and leaves or crashes on demand.

#![allow(dead_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use compat_tests::broker::Options;
use compat_tests::wire::Client;
use rdkafka::bindings;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::auditor::Auditor;

const CRASH_LIMIT: Duration = Duration::from_secs(2);
const COMMIT_EVERY: Duration = Duration::from_millis(100);

/// librdkafka's rebalance timeout, too.
const MAX_POLL_INTERVAL_MS: u32 = 10_000;

#[derive(Clone)]
pub struct Settings {
    pub bootstrap: String,
    pub group: String,
    pub topic: String,
    pub protocol: Protocol,
    pub session_timeout_ms: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// JoinGroup and SyncGroup, with this assignment strategy.
    Classic(&'static str),
    /// KIP-848, with this assignor of the broker's.
    Consumer(&'static str),
}

impl Settings {
    /// What the broker must be told for such a group.
    pub fn broker_options(session_timeout_ms: u32) -> Options {
        Options::new()
            .set("group.min.session.timeout.ms", 500)
            .set("group.consumer.min.session.timeout.ms", 500)
            .set("group.consumer.session.timeout.ms", session_timeout_ms)
            .set("group.consumer.min.heartbeat.interval.ms", 50)
            .set("group.consumer.heartbeat.interval.ms", 100)
    }

    /// Commits offset 0 of every partition: no consumer may begin anywhere else.
    #[track_caller]
    pub fn commit_beginnings(&self, client: &mut Client, partitions: i32) {
        assert_eq!(client.find_coordinator(&self.group).expect("answered"), 0);
        for partition in 0..partitions {
            assert_eq!(client.commit(&self.group, &self.topic, partition, 0).expect("answered"), 0);
        }
    }
}

pub struct Worker {
    pub name: String,
    order: Arc<AtomicU8>,
    thread: Option<JoinHandle<()>>,
}

const RUN: u8 = 0;
const LEAVE: u8 = 1;
const CRASH: u8 = 2;

impl Worker {
    /// A dynamic member; a static one is known by its instance id, whatever worker it is.
    pub fn start(name: &str, instance: Option<&str>, settings: &Settings, auditor: &Arc<Auditor>) -> Worker {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &settings.bootstrap)
            .set("group.id", &settings.group)
            .set("client.id", name)
            .set("max.poll.interval.ms", MAX_POLL_INTERVAL_MS.max(settings.session_timeout_ms).to_string())
            .set("enable.auto.commit", "false")
            // Everything has a committed offset: who does not find it says so, and starts nowhere else.
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "100")
            .set("check.crcs", "true");
        match settings.protocol {
            Protocol::Classic(strategy) => config
                .set("partition.assignment.strategy", strategy)
                .set("session.timeout.ms", settings.session_timeout_ms.to_string())
                .set("heartbeat.interval.ms", "100"),
            // Session and heartbeats are the group's to say.
            Protocol::Consumer(assignor) => {
                config.set("group.protocol", "consumer").set("group.remote.assignor", assignor)
            }
        };
        if let Some(instance) = instance {
            config.set("group.instance.id", instance);
        }
        let identity = instance.unwrap_or(name).to_owned();
        let books = Books { identity: identity.clone(), topic: settings.topic.clone(), auditor: auditor.clone() };
        let consumer = BaseConsumer::from_config_and_context(&config, books).expect("a consumer");
        let order = Arc::new(AtomicU8::new(RUN));
        let (topic, orders) = (settings.topic.clone(), order.clone());
        let thread = std::thread::spawn(move || run(consumer, &topic, &orders));
        Worker { name: identity, order, thread: Some(thread) }
    }

    /// Commits, revokes, and, unless static, leaves the group.
    pub fn leave(self) {
        self.end(LEAVE);
    }

    /// Is gone from one moment to the next, without commit or LeaveGroup.
    pub fn crash(self) {
        self.end(CRASH);
    }

    fn end(mut self, order: u8) {
        self.order.store(order, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A failed test must not wait for its consumers.
        self.order.compare_exchange(RUN, CRASH, Ordering::SeqCst, Ordering::SeqCst).ok();
    }
}

fn run(consumer: BaseConsumer<Books>, topic: &str, order: &AtomicU8) {
    consumer.subscribe(&[topic]).expect("subscribed");
    let books = consumer.context().clone();
    let mut last_commit = Instant::now();
    while order.load(Ordering::SeqCst) == RUN {
        match consumer.poll(Duration::from_millis(20)) {
            Some(Ok(message)) => books.auditor.processed(&books.identity, message.partition(), message.offset()),
            Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset))) => {
                books.auditor.violation(format!("{}: no committed offset was found", books.identity));
            }
            // What the session or the connection had to say; librdkafka goes on by itself.
            Some(Err(KafkaError::MessageConsumption(_))) | None => {}
            Some(Err(error)) => books.auditor.violation(format!("{}: {error}", books.identity)),
        }
        if last_commit.elapsed() > COMMIT_EVERY {
            let owned = books.auditor.owned_by(&books.identity);
            books.commit(&consumer, &owned);
            last_commit = Instant::now();
        }
    }
    if order.load(Ordering::SeqCst) == CRASH {
        books.auditor.crashed(&books.identity);
        crash(consumer);
    } else {
        drop(consumer);
        books.auditor.left(&books.identity);
    }
}

/// Ends librdkafka's threads and connections without closing the consumer: no commit, no call-back, no good-bye. What the
/// binding would do beside that, it may not do here: the consumer's small remains are left in memory.
///
/// librdkafka 2.12 does not always come to an end when a rebalance begins just then, and goes on as a member: the books are
/// worth nothing from there on.
fn crash(consumer: BaseConsumer<Books>) {
    let auditor = consumer.context().auditor.clone();
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let consumer = std::mem::ManuallyDrop::new(consumer);
        let flags = bindings::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE;
        // SAFETY: a live handle that nobody uses any more; its context is never freed.
        unsafe { bindings::rd_kafka_destroy_flags(consumer.client().native_ptr(), flags) };
        let _ = ended.send(());
    });
    if end.recv_timeout(CRASH_LIMIT).is_err() {
        auditor.give_up("a consumer that was to crash lives on in librdkafka");
    }
}

struct Books {
    identity: String,
    topic: String,
    auditor: Arc<Auditor>,
}

impl Books {
    /// Commits what was processed of these partitions. False when the broker refuses.
    fn commit(&self, consumer: &BaseConsumer<Books>, partitions: &[i32]) -> bool {
        let next = self.auditor.positions(&self.identity, partitions);
        if next.is_empty() {
            return true;
        }
        let mut list = TopicPartitionList::new();
        for (partition, offset) in &next {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*offset)).expect("a valid offset");
        }
        match consumer.commit(&list, CommitMode::Sync) {
            Ok(()) => {
                next.iter().for_each(|(partition, offset)| self.auditor.committed(&self.identity, *partition, *offset));
                true
            }
            Err(_) => {
                self.auditor.refused_commit();
                false
            }
        }
    }
}

impl ClientContext for Books {
    // Heartbeats that fail and connections that break are this test's daily bread.
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Books {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let numbers = |list: &TopicPartitionList| list.elements().iter().map(|element| element.partition()).collect();
        match rebalance {
            Rebalance::Assign(list) => {
                let added: Vec<i32> = numbers(list);
                self.auditor.assigned(&self.identity, generation(consumer), &added);
            }
            Rebalance::Revoke(list) => {
                let revoked: Vec<i32> = numbers(list);
                if consumer.assignment_lost() {
                    self.auditor.lost(&self.identity, &revoked);
                } else {
                    let committed = self.commit(consumer, &revoked);
                    self.auditor.revoked(&self.identity, &revoked, committed);
                }
            }
            Rebalance::Error(error) => self.auditor.violation(format!("{}: {error}", self.identity)),
        }
    }
}

/// The generation that librdkafka is in, or -1.
fn generation(consumer: &BaseConsumer<Books>) -> i32 {
    // SAFETY: a live consumer's handle; what it returns is ours to destroy.
    unsafe {
        let metadata = bindings::rd_kafka_consumer_group_metadata(consumer.client().native_ptr());
        if metadata.is_null() {
            return -1;
        }
        let generation = bindings::rd_kafka_consumer_group_metadata_generation_id(metadata);
        bindings::rd_kafka_consumer_group_metadata_destroy(metadata);
        generation
    }
}
