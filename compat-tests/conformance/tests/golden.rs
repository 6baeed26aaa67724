//! The comparison of an Ottla with what Kafka answered, in the test command: no Java needed.

use std::path::Path;

use conformance::server::{Kind, ottla};
use conformance::{accepted, apis, compare, golden, run, scenarios};

#[test]
fn every_answer_is_kafkas() {
    ottla::BINARY.get_or_init(|| env!("CARGO_BIN_EXE_conformance-broker").into());
    let kafka = golden::read().expect("golden files can be read");
    let ours = run::play_all(Kind::Ottla, &scenarios::all()).expect("an Ottla can be started");
    let report = compare::compare(&kafka, &golden::values(&ours));
    let (table, missing) = apis::table(&run::count(&ours));
    println!("{}", compare::render(&report, &table));
    assert!(missing.is_empty(), "versions that no step plays: {}", missing.join(", "));
    assert!(report.unexplained.is_empty(), "{} unexplained differences, printed above", report.unexplained.len());
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
    let missing = apis::table(&golden::count().expect("golden files can be read")).1;
    assert!(missing.is_empty(), "versions that no recorded step plays: {}", missing.join(", "));
}

#[test]
fn the_documentation_has_the_accepted_differences() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compatibility.md");
    let text = std::fs::read_to_string(&path).expect("docs/compatibility.md is there");
    let inside =
        text.split_once(accepted::BEGIN).and_then(|(_, rest)| rest.split_once(accepted::END)).map(|(inside, _)| inside);
    let inside = inside.expect("docs/compatibility.md has the markers of the accepted differences");
    assert_eq!(
        inside.trim(),
        accepted::markdown().trim(),
        "put the output of `cargo run -p conformance -- accepted` between the markers"
    );
}
