//! WriteTxnMarkers (key 27), version 1.
//!
//! Behaviour: appends markers as they are given; `kafka-transactions abort` ends hanging transactions by it. Between our
//! own coordinator and partitions no request is needed.
//! Version notes: v2 (the protocol's version with each marker) is missing in the codec, and not served.

use bytes::Bytes;
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};

use super::errors::{self, Error, NONE};
use super::{Api, BadRequest, Reply, Request};
use crate::record::{Marker, TransactionVersion};
use crate::topic::{Durability, PartitionError};

pub const API: Api =
    Api { key: 27, name: "WriteTxnMarkers", versions: (1, 1), advertised_from: 1, flexible_from: 1, handle };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: WriteTxnMarkersRequest = request.decode(body)?;
    let mut response = WriteTxnMarkersResponse::default();
    // Where each appended marker stands in the answer, with what must be on the disk before that.
    let mut tickets = Vec::new();
    for (at, asked) in asked.markers.into_iter().enumerate() {
        let marker = Marker { committed: asked.transaction_result, coordinator_epoch: asked.coordinator_epoch };
        let producer = (asked.producer_id.0, asked.producer_epoch);
        let mut out = WritableTxnMarkerResult::default();
        out.producer_id = asked.producer_id;
        for topic in asked.topics {
            let mut rows = Vec::new();
            for index in topic.partition_indexes {
                let place = (topic.name.to_string(), index);
                let transactions = &request.broker().transactions;
                // Kafka cannot build such a marker.
                if producer.0 < 0 || producer.1 < 0 {
                    let code = Error::UnknownServerError.code();
                    rows.push(
                        WritableTxnMarkerPartitionResult::default().with_partition_index(index).with_error_code(code),
                    );
                    continue;
                }
                let code = match transactions.write_marker(
                    &place,
                    producer,
                    marker,
                    TransactionVersion::V1,
                    Durability::AsConfigured,
                ) {
                    Ok(ticket) => {
                        tickets.extend(ticket.map(|ticket| ((at, out.topics.len(), rows.len()), ticket)));
                        NONE
                    }
                    Err(PartitionError::Deleted) => Error::UnknownTopicOrPartition.code(),
                    Err(error) => errors::of_partition(&error).code(),
                };
                rows.push(
                    WritableTxnMarkerPartitionResult::default().with_partition_index(index).with_error_code(code),
                );
            }
            out.topics.push(WritableTxnMarkerTopicResult::default().with_name(topic.name).with_partitions(rows));
        }
        response.markers.push(out);
    }
    let responder = request.responder;
    if tickets.is_empty() {
        return Ok(Reply::Now(responder.frame(&response)));
    }
    Ok(Reply::Durable(Box::pin(async move {
        for ((marker, topic, partition), ticket) in tickets {
            if ticket.committed().await.is_err() {
                let row = &mut response.markers[marker].topics[topic].partitions[partition];
                row.error_code = Error::KafkaStorageError.code();
            }
        }
        responder.frame(&response)
    })))
}
