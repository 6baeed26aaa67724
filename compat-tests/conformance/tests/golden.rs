//! The comparison of an Ottla with what Kafka answered, in the test command: no Java needed.

#![allow(clippy::disallowed_methods)] // a test of the time that it takes

use std::path::Path;

use conformance::server::{Kind, Profile, Server, ottla};
use conformance::{accepted, apis, compare, golden, run, scenarios};

#[test]
fn every_answer_is_kafkas() {
    ottla::BINARY.get_or_init(|| env!("CARGO_BIN_EXE_conformance-broker").into());
    let mut kafka = golden::read().expect("golden files can be read");
    kafka.retain(|name, _| !scenarios::NOT_YET.iter().any(|(not_yet, _)| not_yet == name));
    let start = std::time::Instant::now();
    let ours = run::play_all(Kind::Ottla, &scenarios::chosen(Kind::Ottla, &[])).expect("an Ottla can be started");
    let report = compare::compare(&kafka, &golden::values(&ours));
    let (table, missing) = apis::table(&run::count(&ours), &apis::served());
    println!("{}", compare::render(&report, &table));
    assert!(missing.is_empty(), "versions that no step plays: {}", missing.join(", "));
    let steps: usize = run::count(&ours).values().sum();
    assert!(steps >= 400, "{steps} steps");
    assert!(start.elapsed() < std::time::Duration::from_secs(60), "it took {:?}", start.elapsed());
    assert!(report.unexplained.is_empty(), "{} unexplained differences, printed above", report.unexplained.len());
    assert!(report.unmet.is_empty(), "accepted, and not met any more: {:#?}", report.unmet);
}

/// What Ottla serves is compared, and what is not compared it does not serve: nothing is left out unseen.
#[test]
fn every_served_api_is_compared() {
    ottla::BINARY.get_or_init(|| env!("CARGO_BIN_EXE_conformance-broker").into());
    let ottla = Server::start(Kind::Ottla, Profile::Plain).expect("an Ottla can be started");
    let advertised = ottla.advertised().expect("ApiVersions is answered");
    assert_eq!(advertised, apis::served().iter().map(|api| api.key).collect());
    assert_eq!(scenarios::NOT_YET.len(), 0, "scenarios that are not played");
    for (name, needed) in scenarios::NOT_YET {
        assert!(scenarios::all().iter().any(|s| s.name == *name), "{name} is no scenario");
        assert!(!advertised.contains(&(*needed as i16)), "{name} can be played by now");
    }
}

#[test]
fn every_scenario_is_recorded() {
    let kafka = golden::read().expect("golden files can be read");
    let names: Vec<&str> = scenarios::all().iter().map(|s| s.name).collect();
    let unrecorded: Vec<&&str> = names.iter().filter(|name| !kafka.contains_key(**name)).collect();
    let left_over: Vec<&String> = kafka.keys().filter(|name| !names.contains(&name.as_str())).collect();
    assert!(
        unrecorded.is_empty() && left_over.is_empty(),
        "record again: without answers {unrecorded:?}, without scenario {left_over:?}"
    );
    let missing = apis::table(&golden::count().expect("golden files can be read"), &apis::served()).1;
    assert!(missing.is_empty(), "versions that no recorded step plays: {}", missing.join(", "));
}

/// The comparison itself: one error code changed, one field left at its default, one wake-up missed, one step not reached.
#[test]
fn a_changed_answer_is_a_difference() {
    let kafka = golden::read().expect("golden files can be read");
    let mut ours = kafka.clone();
    assert!(compare::compare(&kafka, &ours).unexplained.is_empty(), "the same answers differ in nothing");
    let mut change = |scenario: &str, step: usize, path: &str, value: serde_json::Value| {
        let answer = &mut ours.get_mut(scenario).expect("a scenario of this name")[step]["answer"];
        *answer.pointer_mut(path).expect("a field at this path") = value;
    };
    change("produce/acks", 2, "/responses/0/partition_responses/0/error_code", 42.into());
    change("metadata/every-version", 0, "/brokers/0/node_id", 0.into());
    change("fetch/wakes-on-append", 1, "", "unanswered".into());
    ours.get_mut("list-offsets/by-time").and_then(|steps| steps.as_array_mut()).expect("steps").pop();
    let found = compare::compare(&kafka, &ours).unexplained;
    let places: Vec<(&str, &str)> = found.iter().map(|d| (d.scenario.as_str(), d.path.as_str())).collect();
    let expected = [
        ("fetch/wakes-on-append", ""),
        ("list-offsets/by-time", ""),
        ("metadata/every-version", "brokers[0].node_id"),
        ("produce/acks", "responses[produce-acks-a].partition_responses[0].error_code"),
    ];
    assert_eq!(places, expected);
}

#[test]
fn the_documentation_has_the_accepted_differences() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compatibility.md");
    let text = std::fs::read_to_string(&path).expect("docs/compatibility.md is there");
    let parts =
        text.split_once(accepted::BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(accepted::END)?)));
    let (before, (inside, after)) = parts.expect("docs/compatibility.md has the markers of the accepted differences");
    let list = format!("\n{}", accepted::markdown());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, [before, accepted::BEGIN, &list, accepted::END, after].concat())
            .expect("it can be written");
    } else {
        assert_eq!(inside, list, "run UPDATE_DOCS=1 cargo test -p conformance --test golden documentation");
    }
}
