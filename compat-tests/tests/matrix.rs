//! The fast half of the matrix: clients whose packages are small, one test a language. All of it:
//! `cargo run -p compat-tests --bin matrix`.

use compat_tests::broker::Broker;
use compat_tests::matrix::{MatrixClient, NotBuilt, Outcome, clients};
use compat_tests::skip::skipped;

/// Those with a test here.
const LANGUAGES: [&str; 4] = ["java", "kcat", "python", "rust"];

fn fast_half() -> impl Iterator<Item = MatrixClient> {
    clients().into_iter().filter(|client| client.is_fast)
}

#[track_caller]
fn run_clients_of(language: &str) {
    let broker = Broker::start();
    let mut failures = Vec::new();
    for client in fast_half().filter(|client| client.language == language) {
        match client.build() {
            Ok(()) => {}
            Err(NotBuilt::Lacking(what)) => {
                skipped(&format!("matrix of {}", client.name), &what);
                continue;
            }
            Err(NotBuilt::Failed(why)) => panic!("{} cannot be built: {why}", client.name),
        }
        for scenario in &client.scenarios {
            if let Outcome::Failed(why) = client.run(&broker.bootstrap(), scenario) {
                failures.push(format!("{} {scenario}: {why}", client.name));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    let complaints: Vec<_> =
        broker.log().into_iter().filter(|l| l.contains(" WARN ") || l.contains(" ERROR ")).collect();
    assert!(complaints.is_empty(), "the broker complains: {complaints:#?}");
}

#[test]
fn every_fast_client_has_a_test() {
    assert!(fast_half().count() >= 8, "the clients are found");
    for client in fast_half() {
        assert!(LANGUAGES.contains(&client.language.as_str()), "{}", client.language);
    }
}

#[test]
fn java() {
    run_clients_of("java");
}

#[test]
fn kcat() {
    run_clients_of("kcat");
}

#[test]
fn python() {
    run_clients_of("python");
}

#[test]
fn rust() {
    run_clients_of("rust");
}
