//! CreateTopics (19): every refusal with its message, defaults, configurations, validation without creation.

use super::requests::{assigned, creatable, create, metadata};
use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};
use crate::server::Profile;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("create-topics/every-version", every_version),
        scenario("create-topics/names", names),
        scenario("create-topics/counts", counts),
        scenario("create-topics/assignments", assignments),
        scenario("create-topics/configs", configs),
        scenario("create-topics/config-values", config_values),
        scenario("create-topics/several", several),
        scenario("create-topics/validate-only", validate_only),
        scenario("create-topics/races", races),
        scenario("create-topics/defaults", defaults).under(Profile::Tuned),
        scenario("create-topics/timeouts", timeouts),
    ]
}

/// Registers the id of a topic that was just created, so that answers after this can name it.
fn learn(play: &mut Play, name: &str) -> Done {
    play.id(name).map(drop)
}

fn every_version(play: &mut Play) -> Done {
    for version in 2..=7 {
        let name = play.name(&format!("v{version}"));
        play.ask(
            "two partitions and a config",
            version,
            create(vec![creatable(&name, 2, 1, &[("retention.ms", Some("1000"))])]),
        )?;
        play.settled(&name, 2)?;
        play.ask("the same again", version, create(vec![creatable(&name, 2, 1, &[])]))?;
        play.ask(
            "unknown config",
            version,
            create(vec![creatable(&play.name("none"), 1, 1, &[("no.such", Some("1"))])]),
        )?;
    }
    play.ask("no topics", 7, create(vec![]))?;
    Ok(())
}

fn names(play: &mut Play) -> Done {
    play.topic("under_score.dot", 1)?;
    let prefix = play.prefix().to_string();
    let (longest, too_long) =
        (format!("{prefix}{}", "x".repeat(249 - prefix.len())), format!("{prefix}{}", "x".repeat(250 - prefix.len())));
    for name in ["", ".", "..", "a/b", "a b", "ä", "a:b", "a\u{0}b", &too_long, "__cluster_metadata"] {
        play.ask(
            &format!("the name \"{}\"", name.replace(&prefix, "…").replace('\0', "NUL")),
            7,
            create(vec![creatable(name, 1, 1, &[])]),
        )?;
    }
    play.ask("249 characters", 5, create(vec![creatable(&longest, 1, 1, &[])]))?;
    for name in ["_schemas", ".x", "a..b", "-", "UPPER"] {
        play.ask(&format!("the name {name}"), 5, create(vec![creatable(&format!("{name}-{prefix}"), 1, 1, &[])]))?;
    }
    for name in ["under.score.dot", "under_score_dot", "under.score_dot"] {
        let name = play.name(name);
        play.ask("a name that collides with an existing one", 7, create(vec![creatable(&name, 1, 1, &[])]))?;
    }
    Ok(())
}

fn counts(play: &mut Play) -> Done {
    for (partitions, replicas) in
        [(0, 1), (-2, 1), (i32::MIN, 1), (1, 0), (1, -2), (1, 2), (1, i16::MAX), (0, 0), (-1, 2)]
    {
        let name = play.name("refused");
        play.ask(
            &format!("{partitions} partitions, replication factor {replicas}"),
            7,
            create(vec![creatable(&name, partitions, replicas, &[])]),
        )?;
    }
    for version in [2, 3, 4, 7] {
        let name = play.name(&format!("defaults-{version}"));
        play.ask("the broker's defaults (-1, -1)", version, create(vec![creatable(&name, -1, -1, &[])]))?;
    }
    for partitions in [9_999, 10_000, 10_001, 1_000_000] {
        let request = create(vec![creatable(&play.name("many"), partitions, 1, &[])]).with_validate_only(true);
        play.ask(&format!("{partitions} partitions, validated only"), 5, request)?;
    }
    let request =
        create(vec![creatable(&play.name("many-1"), 6_000, 1, &[]), creatable(&play.name("many-2"), 6_000, 1, &[])]);
    play.ask("two topics of 6,000 partitions, validated only", 5, request.with_validate_only(true))?;
    Ok(())
}

fn assignments(play: &mut Play) -> Done {
    type Assignments = &'static [(i32, &'static [i32])];
    let cases: [(&str, Assignments); 10] = [
        ("one partition on broker 1", &[(0, &[1])]),
        ("two partitions, in the wrong order", &[(1, &[1]), (0, &[1])]),
        ("partitions 0 and 2", &[(0, &[1]), (2, &[1])]),
        ("partition 1 alone", &[(1, &[1])]),
        ("partition 0 twice", &[(0, &[1]), (0, &[1])]),
        ("partition -1", &[(-1, &[1])]),
        ("an unknown broker", &[(0, &[2])]),
        ("the same broker twice", &[(0, &[1, 1])]),
        ("no brokers", &[(0, &[])]),
        ("broker -1", &[(0, &[-1])]),
    ];
    for (i, (label, assignments)) in cases.into_iter().enumerate() {
        let name = play.name(&format!("assigned-{i}"));
        let answer = play.ask(label, 5, create(vec![assigned(&name, assignments)]))?;
        if answer.topics[0].error_code == 0 {
            play.settled(&name, assignments.len() as i32)?;
            play.ask("where its partitions are", 9, metadata(9, Some(&[&name])))?;
        }
    }
    let name = play.name("both");
    play.ask("assignments and a count", 7, create(vec![assigned(&name, &[(0, &[1])]).with_num_partitions(1)]))?;
    play.ask(
        "assignments and a replication factor",
        7,
        create(vec![assigned(&name, &[(0, &[1])]).with_replication_factor(1)]),
    )?;
    play.ask("assignments of different lengths", 7, create(vec![assigned(&name, &[(0, &[1]), (1, &[1, 2])])]))?;
    Ok(())
}

fn configs(play: &mut Play) -> Done {
    let all: &[(&str, Option<&str>)] = &[
        ("cleanup.policy", Some("compact,delete")),
        ("retention.ms", Some("-1")),
        ("segment.bytes", Some(" 2000000 ")),
    ];
    let name = play.name("set");
    play.ask("several, one with blanks", 7, create(vec![creatable(&name, 1, 1, all)]))?;
    learn(play, &name)?;
    let refused = play.name("refused");
    play.ask("null value", 7, create(vec![creatable(&refused, 1, 1, &[("retention.ms", None)])]))?;
    play.ask("empty key", 7, create(vec![creatable(&refused, 1, 1, &[("", Some("1"))])]))?;
    play.ask("broker's key", 7, create(vec![creatable(&refused, 1, 1, &[("log.retention.ms", Some("1"))])]))?;
    play.ask(
        "a good one and a bad one",
        7,
        create(vec![creatable(&refused, 1, 1, &[("retention.ms", Some("1")), ("segment.ms", Some("x"))])]),
    )?;
    play.ask(
        "two bad ones",
        7,
        create(vec![creatable(&refused, 1, 1, &[("segment.ms", Some("x")), ("no.such", Some("1"))])]),
    )?;
    let twice = creatable(&play.name("twice"), 1, 1, &[("retention.ms", Some("1")), ("retention.ms", Some("2"))]);
    play.ask("the same key twice", 5, create(vec![twice]))?;
    let bounds = &[("min.compaction.lag.ms", Some("10")), ("max.compaction.lag.ms", Some("5"))];
    play.ask("min.compaction.lag.ms above max", 7, create(vec![creatable(&refused, 1, 1, bounds)]))?;
    let bounds = &[("local.retention.ms", Some("10")), ("retention.ms", Some("5"))];
    play.ask(
        "local.retention.ms above retention.ms",
        5,
        create(vec![creatable(&play.name("local-ms"), 1, 1, bounds)]),
    )?;
    let bounds = &[("local.retention.bytes", Some("10")), ("retention.bytes", Some("5"))];
    play.ask(
        "local.retention.bytes above retention.bytes",
        5,
        create(vec![creatable(&play.name("local-bytes"), 1, 1, bounds)]),
    )?;
    play.ask(
        "remote storage",
        5,
        create(vec![creatable(&play.name("remote"), 1, 1, &[("remote.storage.enable", Some("true"))])]),
    )?;
    Ok(())
}

/// One bad value for every kind of key and every bound.
fn config_values(play: &mut Play) -> Done {
    let refused = play.name("refused");
    for (key, value) in [
        ("cleanup.policy", "nothing"),
        ("cleanup.policy", ""),
        ("cleanup.policy", "delete,delete"),
        ("cleanup.policy", "none"),
        ("compression.type", "bzip2"),
        ("compression.gzip.level", "10"),
        ("compression.gzip.level", "0"),
        ("compression.lz4.level", "18"),
        ("compression.zstd.level", "23"),
        ("delete.retention.ms", "-1"),
        ("file.delete.delay.ms", "-1"),
        ("flush.messages", "0"),
        ("flush.ms", "-1"),
        ("follower.replication.throttled.replicas", "x"),
        ("follower.replication.throttled.replicas", "0:1,1:1"),
        ("index.interval.bytes", "-1"),
        ("leader.replication.throttled.replicas", "*"),
        ("local.retention.bytes", "-3"),
        ("local.retention.ms", "-3"),
        ("max.compaction.lag.ms", "0"),
        ("max.message.bytes", "-1"),
        ("max.message.bytes", "2147483648"),
        ("max.message.bytes", "1.5"),
        ("message.timestamp.after.max.ms", "-1"),
        ("message.timestamp.before.max.ms", "-1"),
        ("message.timestamp.type", "createtime"),
        ("min.cleanable.dirty.ratio", "1.1"),
        ("min.cleanable.dirty.ratio", "-0.1"),
        ("min.cleanable.dirty.ratio", "x"),
        ("min.compaction.lag.ms", "-1"),
        ("min.insync.replicas", "0"),
        ("preallocate", "yes"),
        ("preallocate", "TRUE"),
        ("remote.log.copy.disable", "2"),
        ("remote.log.delete.on.disable", "maybe"),
        ("retention.bytes", "x"),
        ("retention.ms", "-2"),
        ("retention.ms", "9223372036854775808"),
        ("segment.bytes", "13"),
        ("segment.bytes", "1048575"),
        ("segment.index.bytes", "3"),
        ("segment.jitter.ms", "-1"),
        ("segment.ms", "0"),
        ("unclean.leader.election.enable", ""),
        ("message.format.version", "2.0"),
        ("message.downconversion.enable", "true"),
        ("internal.segment.bytes", "13"),
    ] {
        let request = create(vec![creatable(&refused, 1, 1, &[(key, Some(value))])]).with_validate_only(true);
        play.ask(&format!("{key}={value}"), 4, request)?;
    }
    Ok(())
}

fn several(play: &mut Play) -> Done {
    let (a, b, c) = (play.name("a"), play.name("b"), play.name("c"));
    let request = create(vec![creatable(&a, 1, 1, &[]), creatable(&b, 0, 1, &[]), creatable("..", 1, 1, &[])]);
    play.ask("one good, two bad", 4, request)?;
    let request = create(vec![creatable(&b, 1, 1, &[]), creatable(&c, 1, 1, &[]), creatable(&b, 1, 1, &[])]);
    play.ask("a name twice, another once", 4, request)?;
    play.settled(&c, 1)?;
    play.ask("which of them are there", 4, metadata(4, Some(&[&a, &b, &c])))?;
    let (dot, underscore) = (play.name("x.y"), play.name("x_y"));
    play.ask(
        "two that collide only with each other",
        4,
        create(vec![creatable(&dot, 1, 1, &[]), creatable(&underscore, 1, 1, &[])]),
    )?;
    Ok(())
}

fn validate_only(play: &mut Play) -> Done {
    let name = play.name("not-created");
    for version in [2, 5, 7] {
        play.ask(
            "valid",
            version,
            create(vec![creatable(&name, 3, 1, &[("retention.ms", Some("5"))])]).with_validate_only(true),
        )?;
        play.ask("invalid", version, create(vec![creatable(&name, 3, 2, &[])]).with_validate_only(true))?;
    }
    play.ask("it is not there", 9, metadata(9, Some(&[&name])))?;
    let there = play.topic("there", 1)?;
    play.ask("of one that exists", 7, create(vec![creatable(&there, 3, 1, &[])]).with_validate_only(true))?;
    Ok(())
}

/// Of those who create the same topic at once, one succeeds.
fn races(play: &mut Play) -> Done {
    let name = play.name("raced");
    play.race("eight create the same topic", 4, (0..8).map(|_| create(vec![creatable(&name, 1, 1, &[])])).collect())?;
    let requests =
        (0..8).map(|i| create(vec![creatable(&play.name(&format!("one-of-eight-{i}")), 1, 1, &[])])).collect();
    play.race("eight create one topic each", 4, requests)
}

fn defaults(play: &mut Play) -> Done {
    let name = play.name("a");
    play.ask("num.partitions=3 and moved defaults", 7, create(vec![creatable(&name, -1, -1, &[])]))?;
    play.settled(&name, 3)?;
    play.ask("three partitions", 9, metadata(9, Some(&[&name])))?;
    let set = creatable(&play.name("b"), 1, 1, &[("compression.type", Some("zstd")), ("retention.ms", Some("1"))]);
    play.ask("two of them set on the topic", 5, create(vec![set]))?;
    Ok(())
}

fn timeouts(play: &mut Play) -> Done {
    for timeout in [0, -1] {
        let name = play.name(&format!("timeout{timeout}"));
        play.ask(
            &format!("timeout {timeout}, validated only"),
            4,
            create(vec![creatable(&name, 1, 1, &[])]).with_timeout_ms(timeout).with_validate_only(true),
        )?;
        let bad = vec![creatable(&name, 1, 1, &[]), creatable("..", 1, 1, &[]), creatable(&name, 1, 1, &[])];
        play.ask(&format!("timeout {timeout}, a name twice and a bad one"), 7, create(bad).with_timeout_ms(timeout))?;
        play.ask("it is not there", 9, metadata(9, Some(&[&name])))?;
    }
    Ok(())
}
