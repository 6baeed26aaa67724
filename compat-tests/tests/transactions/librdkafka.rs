//! A transactional producer by librdkafka that survives its broker: an instance that is of no more use is replaced by
//! another one under the same transactional id.

use std::time::{Duration, Instant};

use compat_tests::broker::{Broker, Options};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::TopicPartitionList;

pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// For a call that may be made again.
const CALL_LIMIT: Duration = Duration::from_secs(5);
/// For a producer to get through, over however many calls and restarts of the broker.
const LIMIT: Duration = Duration::from_secs(120);

/// What became of a transaction, as far as its producer knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    Committed,
    Aborted,
    Unknown,
}

pub struct Record {
    pub topic: String,
    pub partition: i32,
    pub value: String,
}

/// Offsets to be committed within a transaction.
pub struct Offsets<'a> {
    pub list: &'a TopicPartitionList,
    pub group: &'a ConsumerGroupMetadata,
}

type Instance = ThreadedProducer<DefaultProducerContext>;

pub struct Transactor {
    config: ClientConfig,
    instance: Option<Instance>,
    /// Why instances were replaced.
    pub replaced: Vec<String>,
    /// Transactions that did not come to a planned end. Librdkafka may add their partitions after it has aborted them,
    /// and so to the next one.
    pub disturbed: usize,
}

impl Transactor {
    pub fn new(bootstrap: &str, transactional_id: &str) -> Transactor {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", bootstrap)
            .set("transactional.id", transactional_id)
            .set("transaction.timeout.ms", TRANSACTION_TIMEOUT.as_millis().to_string())
            .set("reconnect.backoff.max.ms", "200")
            .set("retry.backoff.ms", "20")
            .set("linger.ms", "0");
        Transactor { config, instance: None, replaced: Vec::new(), disturbed: 0 }
    }

    pub fn started(mut self) -> Transactor {
        self.instance = Some(self.instance());
        self
    }

    /// One that has been initialised.
    fn instance(&mut self) -> Instance {
        if let Some(instance) = self.instance.take() {
            return instance;
        }
        let start = Instant::now();
        let mut instance: Instance = self.config.create().expect("a producer");
        loop {
            let Err(error) = instance.init_transactions(CALL_LIMIT) else { return instance };
            assert!(start.elapsed() < LIMIT, "init_transactions after {LIMIT:?}: {error}");
            if !is_retriable(&error) {
                self.replaced.push(format!("init_transactions: {error}"));
                instance = self.config.create().expect("a producer");
            }
        }
    }

    /// A whole transaction.
    pub fn run(&mut self, records: &[Record], offsets: Option<Offsets<'_>>, commit: bool) -> Fate {
        let instance = self.instance();
        let sent = send(&instance, records, offsets);
        let ended = match sent {
            Ok(()) if commit => self.commit(&instance),
            // What is aborted has come to its partitions.
            Ok(()) => {
                self.disturbed += usize::from(instance.flush(CALL_LIMIT).is_err());
                abort(&instance)
            }
            Err(_) => {
                self.disturbed += 1;
                abort(&instance)
            }
        };
        match ended {
            Ok(fate) => {
                self.instance = Some(instance);
                fate
            }
            Err(error) => {
                self.replaced.push(error);
                self.disturbed += 1;
                Fate::Unknown
            }
        }
    }

    /// Begins a transaction and is gone, without a word, before its end.
    pub fn crash_within(&mut self, records: &[Record], offsets: Option<Offsets<'_>>) {
        let instance = self.instance();
        self.disturbed += 1;
        let _ = send(&instance, records, offsets);
    }

    fn commit(&mut self, instance: &Instance) -> Result<Fate, String> {
        let start = Instant::now();
        loop {
            let Err(error) = instance.commit_transaction(CALL_LIMIT) else { return Ok(Fate::Committed) };
            assert!(start.elapsed() < LIMIT, "commit_transaction after {LIMIT:?}: {error}");
            match &error {
                error if is_retriable(error) => {}
                KafkaError::Transaction(inner) if inner.txn_requires_abort() => {
                    self.disturbed += 1;
                    return abort(instance);
                }
                error => return Err(format!("commit_transaction: {error}")),
            }
        }
    }
}

fn abort(instance: &Instance) -> Result<Fate, String> {
    let start = Instant::now();
    loop {
        let Err(error) = instance.abort_transaction(CALL_LIMIT) else { return Ok(Fate::Aborted) };
        assert!(start.elapsed() < LIMIT, "abort_transaction after {LIMIT:?}: {error}");
        if !is_retriable(&error) {
            return Err(format!("abort_transaction: {error}"));
        }
    }
}

fn send(instance: &Instance, records: &[Record], offsets: Option<Offsets<'_>>) -> Result<(), KafkaError> {
    instance.begin_transaction()?;
    for record in records {
        let sent = BaseRecord::<str, str>::to(&record.topic).partition(record.partition).payload(&record.value);
        instance.send(sent).map_err(|(error, _)| error)?;
    }
    let Some(Offsets { list, group }) = offsets else { return Ok(()) };
    let start = Instant::now();
    loop {
        match instance.send_offsets_to_transaction(list, group, CALL_LIMIT) {
            Err(error) if is_retriable(&error) && start.elapsed() < LIMIT => {}
            done => return done,
        }
    }
}

fn is_retriable(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.is_retriable())
}

/// kill -9, and a start on the same port, for which other tests may have a use for a moment.
pub fn kill_and_restart(broker: &mut Broker, options: &Options) {
    let port = broker.port();
    let start = Instant::now();
    while let Err(ended) = broker.try_restart_with(options.clone().port(port)) {
        assert!(start.elapsed() < LIMIT, "the broker does not start again: {ended:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
}
