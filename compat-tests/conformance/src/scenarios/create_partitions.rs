//! CreatePartitions (37).

use kafka_protocol::messages::CreatePartitionsRequest;

use super::requests::{creatable, create, grow, metadata, produce_to};
use crate::batch::{batch, value};
use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("create-partitions/every-version", every_version),
        scenario("create-partitions/counts", counts),
        scenario("create-partitions/assignments", assignments),
        scenario("create-partitions/several", several),
        scenario("create-partitions/races", races),
        scenario("create-partitions/timeouts", timeouts),
    ]
}

fn every_version(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    for version in 0..=3 {
        let count = 2 + i32::from(version);
        play.ask("validated only", version, grow(&topic, count, None).with_validate_only(true))?;
        play.ask("one more", version, grow(&topic, count, None))?;
        play.settled(&topic, count)?;
        play.ask("seen by another", 9, metadata(9, Some(&[&topic])))?;
        play.ask("the same count again", version, grow(&topic, count, None))?;
        play.ask("an unknown topic", version, grow(&play.name("unknown"), 2, None))?;
    }
    let records = batch(play.t(), vec![value("x")]).bytes();
    play.ask("the new partition takes records", 9, produce_to(9, &topic, vec![(4, records)]))?;
    play.ask("no topics", 3, CreatePartitionsRequest::default().with_timeout_ms(1000))?;
    Ok(())
}

fn timeouts(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let unknown = play.name("unknown");
    for timeout in [0, -1] {
        for name in [&*topic, &*unknown] {
            let request = grow(name, 2, None).with_validate_only(true).with_timeout_ms(timeout);
            play.attempt("main", &format!("timeout {timeout}, validated only"), 3, request)?;
        }
    }
    Ok(())
}

fn counts(play: &mut Play) -> Done {
    let topic = play.topic("a", 3)?;
    for count in [0, -1, i32::MIN, 1, 2, 3, 10_001, 20_000] {
        play.ask(&format!("{count} partitions"), 3, grow(&topic, count, None).with_validate_only(count > 3))?;
    }
    play.ask("10,000 partitions, validated only", 3, grow(&topic, 10_000, None).with_validate_only(true))?;
    for name in ["", "..", "a/b", "__cluster_metadata"] {
        play.ask(&format!("the name \"{name}\""), 3, grow(name, 3, None))?;
    }
    Ok(())
}

fn assignments(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let cases: [(&str, i32, &[&[i32]]); 9] = [
        ("fewer assignments than partitions", 3, &[&[1]]),
        ("more assignments than partitions", 2, &[&[1], &[1]]),
        ("none at all, but a list", 2, &[]),
        ("an unknown broker", 2, &[&[2]]),
        ("broker -1", 2, &[&[-1]]),
        ("the same broker twice", 2, &[&[1, 1]]),
        ("another replication factor", 2, &[&[1, 2]]),
        ("no brokers", 2, &[&[]]),
        ("a good one", 2, &[&[1]]),
    ];
    for (label, count, brokers) in cases {
        play.ask(label, 3, grow(&topic, count, Some(brokers)))?;
    }
    play.settled(&topic, 2)?;
    Ok(())
}

fn several(play: &mut Play) -> Done {
    let (a, b) = (play.topic("a", 1)?, play.topic("b", 1)?);
    let of = |name: &str, count| grow(name, count, None).topics.remove(0);
    let request = CreatePartitionsRequest::default().with_timeout_ms(20_000);
    play.ask("one good, one bad", 3, request.clone().with_topics(vec![of(&a, 2), of(&b, 1)]))?;
    play.settled(&a, 2)?;
    play.ask("the same topic twice", 3, request.clone().with_topics(vec![of(&a, 3), of(&b, 2), of(&a, 4)]))?;
    play.settled(&b, 2)?;
    play.ask("what came of it", 9, metadata(9, Some(&[&a, &b])))?;
    let new = play.name("new");
    play.quiet(5, create(vec![creatable(&new, 1, 1, &[])]))?;
    play.ask("a topic created a moment ago", 3, grow(&new, 2, None))?;
    Ok(())
}

/// Of those who grow a topic to the same count, one succeeds.
fn races(play: &mut Play) -> Done {
    let topic = play.topic("raced", 1)?;
    play.race("eight grow the topic to 20 partitions", 3, (0..8).map(|_| grow(&topic, 20, None)).collect())?;
    play.settled(&topic, 20)?;
    play.ask("no topic grows twice", 3, grow(&topic, 20, None))?;
    Ok(())
}
