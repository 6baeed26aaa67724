//! WriteTxnMarkers, as `kafka-transactions abort` sends it.

use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{ProducerId, WriteTxnMarkersRequest};

use super::requests::*;
use crate::play::{Done, Play, topic_name};
use crate::run::{Scenario, scenario};
use crate::scenarios::requests::{fetch, from};

pub fn all() -> Vec<Scenario> {
    vec![scenario("transactions/markers", markers), scenario("transactions/markers-broker-time", broker_time)]
}

fn marker(producer: &Producer, commit: bool, coordinator_epoch: i32, topics: &[(&str, &[i32])]) -> WritableTxnMarker {
    let topics = topics
        .iter()
        .map(|(name, partitions)| {
            WritableTxnMarkerTopic::default().with_name(topic_name(name)).with_partition_indexes(partitions.to_vec())
        })
        .collect();
    WritableTxnMarker::default()
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(producer.epoch)
        .with_transaction_result(commit)
        .with_coordinator_epoch(coordinator_epoch)
        .with_topics(topics)
}

fn all_of(markers: Vec<WritableTxnMarker>) -> WriteTxnMarkersRequest {
    WriteTxnMarkersRequest::default().with_markers(markers)
}

fn markers(play: &mut Play) -> Done {
    let t = play.topic("t", 3)?;
    play.producer("id")?;
    let producer = play.producer("id")?;
    play.append_in(&producer, &t, 0, 0, "in it")?;
    let one = |producer: &Producer, commit, epoch, topics: &[(&str, &[i32])]| {
        all_of(vec![marker(producer, commit, epoch, topics)])
    };
    play.ask("no markers", 1, all_of(vec![]))?;
    play.ask("a lower epoch", 1, one(&producer.with_epoch(0), false, 0, &[(&t, &[0])]))?;
    play.ask("epoch -1", 1, one(&producer.with_epoch(-1), false, 0, &[(&t, &[0])]))?;
    play.ask("an unknown partition", 1, one(&producer, false, 0, &[(&t, &[9])]))?;
    play.ask("an unknown topic beside", 1, one(&producer, false, 0, &[("no-such-topic", &[0]), (&t, &[1])]))?;
    play.ask("its epoch", 1, one(&producer, false, 0, &[(&t, &[0])]))?;
    play.ask("once more", 1, one(&producer, true, 0, &[(&t, &[0])]))?;
    play.ask("a later coordinator", 1, one(&producer, false, 5, &[(&t, &[0])]))?;
    play.ask("an earlier coordinator", 1, one(&producer, false, 4, &[(&t, &[0])]))?;
    let two = vec![
        marker(&producer.with_id(1_234_567), true, 0, &[(&t, &[1, 2])]),
        marker(&producer.with_id(1_234_568), false, 0, &[(&t, &[2])]),
    ];
    play.ask("two unknown producers", 1, all_of(two))?;
    let reading = vec![from(0, 0), from(1, 0), from(2, 0)];
    play.ask("what has been written", 12, fetch(12, &t, reading).with_isolation_level(1))?;
    Ok(())
}

/// On a topic whose timestamps are the broker's, those of markers are too.
fn broker_time(play: &mut Play) -> Done {
    let t = play.topic_with("t", 1, &[("message.timestamp.type", "LogAppendTime")])?;
    let producer = play.producer("id")?;
    play.append_in(&producer, &t, 0, 0, "in it")?;
    play.end(&producer, true)?;
    play.ask("what has been written", 12, fetch(12, &t, vec![from(0, 0)]).with_isolation_level(1))?;
    Ok(())
}
