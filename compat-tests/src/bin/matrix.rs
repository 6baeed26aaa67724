//! Runs the matrix of clients and prints its table: `cargo run -p compat-tests --bin matrix -- [--fast] [--write]
//! [--bootstrap HOST:PORT] [CLIENT...]`. `--write` puts the table into docs/compatibility.md.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use compat_tests::broker::Broker;
use compat_tests::matrix::{NotBuilt, Outcome, clients, table};

const BEGIN: &str = "<!-- matrix: written by `cargo run -p compat-tests --bin matrix -- --write` -->\n";
const END: &str = "<!-- end of matrix -->\n";

#[allow(clippy::disallowed_methods)]
fn main() -> ExitCode {
    let (mut fast, mut write, mut bootstrap, mut names) = (false, false, None, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--fast" => fast = true,
            "--write" => write = true,
            "--bootstrap" => bootstrap = arguments.next(),
            other if other.starts_with('-') => {
                eprintln!("{other} is no option");
                return ExitCode::from(2);
            }
            _ => names.push(argument),
        }
    }
    if bootstrap.is_none() && std::env::var_os("OTTLA_TEST_BINARY").is_none() {
        // `cargo run` has built this program alone.
        let mut build = std::process::Command::new("cargo");
        let built = build.args(["build", "-q", "-p", "compat-tests", "--bin", "ottla-under-test"]).status();
        assert!(built.is_ok_and(|status| status.success()), "the broker cannot be built");
    }
    let broker = bootstrap.is_none().then(Broker::start);
    let bootstrap = bootstrap.or_else(|| broker.as_ref().map(Broker::bootstrap)).expect("one of them");
    let (mut results, mut failed) = (Vec::new(), false);
    for client in clients() {
        if (fast && !client.is_fast) || (!names.is_empty() && !names.contains(&client.name)) {
            continue;
        }
        match client.build() {
            Ok(()) => {}
            Err(NotBuilt::Lacking(what)) => {
                println!("{} ({}): SKIPPED, {what}", client.name, client.language);
                failed |= write;
                continue;
            }
            Err(NotBuilt::Failed(why)) => {
                println!("{} ({}): cannot be built: {why}", client.name, client.language);
                failed = true;
                continue;
            }
        }
        let mut outcomes = Vec::new();
        for scenario in &client.scenarios {
            let begun = Instant::now();
            let outcome = client.run(&bootstrap, scenario);
            let seconds = begun.elapsed().as_secs_f64();
            println!("{} ({}): {scenario}: {outcome:?} in {seconds:.1} s", client.name, client.language);
            failed |= matches!(outcome, Outcome::Failed(_));
            outcomes.push((scenario.clone(), outcome));
        }
        results.push((client, outcomes));
    }
    let table = table(&results);
    println!("\n{table}");
    if failed {
        return ExitCode::FAILURE;
    }
    if write {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md");
        let text = std::fs::read_to_string(&path).expect("the page is there");
        let (before, rest) = text.split_once(BEGIN).expect("the page has the mark of the table's beginning");
        let (_, after) = rest.split_once(END).expect("the page has the mark of the table's end");
        std::fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).expect("written");
    }
    ExitCode::SUCCESS
}
