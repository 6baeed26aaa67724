//! Where partitions are: DescribeLogDirs (35), ElectLeaders (43), AlterPartitionReassignments (45), ListPartitionReassignments (46).

use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::*;

use crate::batch::{batch, value};
use crate::play::{Done, Play, topic_name};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("placement/log-dirs", log_dirs),
        scenario("placement/elections", elections),
        scenario("placement/reassign", reassign),
        scenario("placement/reassign-errors", reassign_errors),
        scenario("placement/list-reassignments", list_reassignments),
    ]
}

fn log_dirs(play: &mut Play) -> Done {
    play.mine_only();
    let (a, b) = (play.topic("a", 2)?, play.topic("b", 1)?);
    let records = batch(play.t(), vec![value("x"), value("yy")]);
    play.append(&a, 0, records.clone())?;
    play.append(&b, 0, records)?;
    let of = |asked: &[(&str, &[i32])]| {
        let topics = asked
            .iter()
            .map(|(name, partitions)| {
                DescribableLogDirTopic::default().with_topic(topic_name(name)).with_partitions(partitions.to_vec())
            })
            .collect();
        DescribeLogDirsRequest::default().with_topics(Some(topics))
    };
    let unknown = play.name("unknown");
    for version in 1..=4 {
        play.ask("all topics", version, DescribeLogDirsRequest::default().with_topics(None))?;
        play.ask("one partition of two topics", version, of(&[(&a, &[0]), (&b, &[0])]))?;
        play.ask("what is not there", version, of(&[(&a, &[9]), (&unknown, &[0])]))?;
        play.ask("an empty list", version, of(&[]))?;
    }
    play.ask("a topic without partitions", 4, of(&[(&a, &[])]))?;
    play.ask("a partition twice", 4, of(&[(&a, &[1, 1])]))?;
    Ok(())
}

fn elect(version: i16, kind: i8, topics: Option<&[(&str, &[i32])]>) -> ElectLeadersRequest {
    let topics = topics.map(|topics| {
        let of = |(name, partitions): &(&str, &[i32])| {
            TopicPartitions::default().with_topic(topic_name(name)).with_partitions(partitions.to_vec())
        };
        topics.iter().map(of).collect()
    });
    let request = ElectLeadersRequest::default().with_topic_partitions(topics).with_timeout_ms(20_000);
    if version >= 1 { request.with_election_type(kind) } else { request }
}

fn elections(play: &mut Play) -> Done {
    play.mine_only();
    let topic = play.topic("a", 2)?;
    let unknown = play.name("unknown");
    for timeout in [0, -1] {
        let all = elect(2, 0, None).with_timeout_ms(timeout);
        play.attempt("main", &format!("timeout {timeout}, all partitions"), 2, all)?;
        let request = elect(2, 0, Some(&[(&topic, &[0]), (&unknown, &[0])])).with_timeout_ms(timeout);
        play.attempt("main", &format!("timeout {timeout}"), 2, request)?;
    }
    for version in 0..=2 {
        for kind in if version == 0 { 0..=0 } else { 0..=1 } {
            play.ask(&format!("election type {kind}"), version, elect(version, kind, Some(&[(&topic, &[0, 1])])))?;
            play.ask(
                "an unknown partition and topic",
                version,
                elect(version, kind, Some(&[(&topic, &[7]), (&unknown, &[0])])),
            )?;
            play.ask("all partitions", version, elect(version, kind, None))?;
            play.ask("none", version, elect(version, kind, Some(&[])))?;
        }
    }
    for kind in [2, -1] {
        play.attempt("main", &format!("election type {kind}"), 2, elect(2, kind, Some(&[(&topic, &[0])])))?;
    }
    Ok(())
}

fn move_to(topic: &str, moves: &[(i32, Option<&[i32]>)]) -> AlterPartitionReassignmentsRequest {
    let partitions = moves
        .iter()
        .map(|(partition, brokers)| {
            let brokers = brokers.map(|ids| ids.iter().copied().map(BrokerId).collect());
            ReassignablePartition::default().with_partition_index(*partition).with_replicas(brokers)
        })
        .collect();
    let topic = ReassignableTopic::default().with_name(topic_name(topic)).with_partitions(partitions);
    AlterPartitionReassignmentsRequest::default().with_timeout_ms(20_000).with_topics(vec![topic])
}

fn reassign(play: &mut Play) -> Done {
    let topic = play.topic("a", 2)?;
    for version in 0..=1 {
        play.ask("to where they are", version, move_to(&topic, &[(0, Some(&[1])), (1, Some(&[1]))]))?;
        play.ask("a reassignment that there is not, cancelled", version, move_to(&topic, &[(0, None)]))?;
        play.ask("no topics", version, AlterPartitionReassignmentsRequest::default().with_timeout_ms(1000))?;
    }
    for timeout in [0, -1] {
        let moves = move_to(&topic, &[(0, Some(&[1])), (7, None)]).with_timeout_ms(timeout);
        play.attempt("main", &format!("timeout {timeout}"), 1, moves)?;
        let none = AlterPartitionReassignmentsRequest::default().with_timeout_ms(timeout);
        play.attempt("main", &format!("timeout {timeout}, no topics"), 1, none)?;
    }
    let request = move_to(&topic, &[(0, Some(&[1]))]).with_allow_replication_factor_change(false);
    play.ask("the same replicas, a change of their number not allowed", 1, request)?;
    let request = move_to(&topic, &[(0, Some(&[1, 2]))]).with_allow_replication_factor_change(false);
    play.ask("more replicas, a change of their number not allowed", 1, request)?;
    Ok(())
}

fn reassign_errors(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    for (label, brokers) in [
        ("an unknown broker", &[2][..]),
        ("a known broker and an unknown one", &[1, 2]),
        ("the same broker twice", &[1, 1]),
        ("broker -1", &[-1]),
        ("no brokers", &[]),
    ] {
        play.ask(label, 0, move_to(&topic, &[(0, Some(brokers))]))?;
    }
    play.ask("an unknown partition", 0, move_to(&topic, &[(5, Some(&[1])), (0, Some(&[1]))]))?;
    play.ask("an unknown topic", 0, move_to(&play.name("unknown"), &[(0, Some(&[1]))]))?;
    play.ask("an unknown topic, cancelled", 0, move_to(&play.name("unknown"), &[(0, None)]))?;
    Ok(())
}

fn list_reassignments(play: &mut Play) -> Done {
    let topic = play.topic("a", 2)?;
    let of = |asked: Option<&[(&str, &[i32])]>| {
        let topics = asked.map(|asked| {
            let of = |(name, partitions): &(&str, &[i32])| {
                ListPartitionReassignmentsTopics::default()
                    .with_name(topic_name(name))
                    .with_partition_indexes(partitions.to_vec())
            };
            asked.iter().map(of).collect()
        });
        ListPartitionReassignmentsRequest::default().with_timeout_ms(1000).with_topics(topics)
    };
    play.ask("all", 0, of(None))?;
    play.ask("none", 0, of(Some(&[])))?;
    play.ask("of two partitions", 0, of(Some(&[(&topic, &[0, 1])])))?;
    for timeout in [0, -1] {
        let asked = of(Some(&[(&topic, &[0])])).with_timeout_ms(timeout);
        play.attempt("main", &format!("timeout {timeout}"), 0, asked)?;
    }
    play.ask("of what is not there", 0, of(Some(&[(&topic, &[9]), (&play.name("unknown"), &[0])])))?;
    Ok(())
}
