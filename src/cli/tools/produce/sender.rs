//! Batches on their way: cut, sent, and sent again.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{InitProducerIdRequest, ProduceRequest, ProducerId, TransactionalId};

use crate::base::Clock;
use crate::cli::tools::{ToolError, partitions};
use crate::client::{Client, ClientError, To, topic_name};
use crate::record::Codec;
use crate::record::batch::sequence_plus;
use crate::record::build::{self, BatchFields, NewRecord};

/// A batch is closed with the line that reaches this size: `batch.size` of Kafka's producers.
const BATCH_BYTES: usize = 16 << 10;
/// Pause before a batch is sent again.
const RETRY: Duration = Duration::from_millis(100);
/// Kafka's versions up to which topics go by name.
const VERSION_MAX: i16 = 12;

/// An idempotent producer: what is sent again is there once.
pub struct Producer {
    id: i64,
    epoch: i16,
    /// The next sequence number of each partition.
    sequences: BTreeMap<i32, i32>,
}

impl Producer {
    pub fn new(client: &mut Client) -> Result<Producer, ToolError> {
        let request = InitProducerIdRequest::default().with_transactional_id(None).with_producer_id(ProducerId(-1));
        let answer = client.retried(|client| {
            let answer = client.call(To::Any, i16::MAX, &request)?;
            ClientError::check(answer.error_code, None)?;
            Ok(answer)
        })?;
        Ok(Producer { id: answer.producer_id.0, epoch: answer.producer_epoch, sequences: BTreeMap::new() })
    }
}

pub struct Sender {
    pub client: Client,
    pub topic: String,
    pub leaders: BTreeMap<i32, i32>,
    pub codec: Codec,
    pub acks: i16,
    pub producer: Option<Producer>,
}

impl Sender {
    pub fn send(&mut self, waiting: BTreeMap<i32, Vec<NewRecord>>) -> Result<(), ToolError> {
        let size =
            |record: &NewRecord| [&record.key, &record.value].into_iter().flatten().map(Bytes::len).sum::<usize>();
        for (partition, records) in waiting {
            let mut rest = &records[..];
            while !rest.is_empty() {
                let (mut bytes, mut count) = (0, 0);
                while count < rest.len() && bytes < BATCH_BYTES {
                    bytes += size(&rest[count]);
                    count += 1;
                }
                let (batch, others) = rest.split_at(count);
                self.send_batch(partition, batch)?;
                rest = others;
            }
        }
        Ok(())
    }

    /// Sends a batch, and its halves where it is too large.
    fn send_batch(&mut self, partition: i32, records: &[NewRecord]) -> Result<(), ToolError> {
        match self.send_whole(partition, records) {
            Err(error) if error.is(ResponseError::MessageTooLarge) && records.len() > 1 => {
                let (first, second) = records.split_at(records.len() / 2);
                self.send_batch(partition, first)?;
                self.send_batch(partition, second)
            }
            other => Ok(other?),
        }
    }

    /// Until it is acknowledged, or the time is over: a broker may be away for a moment, or no longer lead the partition.
    fn send_whole(&mut self, partition: i32, records: &[NewRecord]) -> Result<(), ClientError> {
        let sequence = self.producer.as_ref().map(|producer| {
            let sequence = producer.sequences.get(&partition).copied().unwrap_or(0);
            (producer.id, producer.epoch, sequence)
        });
        let (producer_id, producer_epoch, base_sequence) = sequence.unwrap_or((-1, -1, -1));
        let fields =
            BatchFields { codec: self.codec, producer_id, producer_epoch, base_sequence, ..BatchFields::default() };
        let batch = Bytes::from(build::build(&fields, records).expect("a codec packs what is in memory"));
        let clock = Clock::system();
        let deadline = clock.instant() + self.client.timeout();
        loop {
            match self.attempt(partition, &batch) {
                Ok(()) => break,
                // It had arrived: only the answer was lost.
                Err(error) if sequence.is_some() && error.is(ResponseError::DuplicateSequenceNumber) => break,
                // Without a producer id a second copy might be one too many.
                Err(error @ ClientError::Unreachable { .. }) if sequence.is_none() => return Err(error),
                Err(error) if error.may_pass() && clock.instant() < deadline => {
                    std::thread::sleep(RETRY);
                    self.client.forget();
                    if let Ok(leaders) = partitions::leaders(&mut self.client, &[&self.topic]) {
                        self.leaders =
                            leaders.into_iter().map(|((_, partition), leader)| (partition, leader)).collect();
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(producer) = &mut self.producer {
            let next = sequence_plus(base_sequence, records.len() as i32);
            producer.sequences.insert(partition, next);
        }
        Ok(())
    }

    fn attempt(&mut self, partition: i32, batch: &Bytes) -> Result<(), ClientError> {
        let Some(leader) = self.leaders.get(&partition).copied() else {
            let message = format!("Topic {} not present in metadata: partition {partition}", self.topic);
            return Err(ClientError::Refused { error: ResponseError::InvalidPartitions, message: Some(message) });
        };
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch.clone()));
        let topic = TopicProduceData::default().with_name(topic_name(&self.topic)).with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_transactional_id(None::<TransactionalId>)
            .with_acks(self.acks)
            .with_timeout_ms(self.client.timeout().as_millis().min(i32::MAX as u128) as i32)
            .with_topic_data(vec![topic]);
        if self.acks == 0 {
            return self.client.tell(To::Node(leader), VERSION_MAX, &request);
        }
        let answer = self.client.call(To::Node(leader), VERSION_MAX, &request)?;
        for result in answer.responses.iter().flat_map(|topic| &topic.partition_responses) {
            ClientError::check(result.error_code, result.error_message.as_ref())?;
        }
        Ok(())
    }
}
