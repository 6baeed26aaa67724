//! Client libraries of other languages share a group, commit and resume: the programs under `clients/`.
//!
//! Their packages come from the languages' own registries, once: into Go's module cache, and for the others below the
//! target directory.

#![allow(clippy::disallowed_methods)]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use compat_tests::broker::{Broker, target_directory};
use compat_tests::skip::has_program;
use compat_tests::{needs, spawn, unique, wait_until};

const PARTITIONS: i32 = 4;
const RECORDS: i64 = 200;
/// For a program, once it is built: it gives up by itself before.
const RUN_LIMIT: Duration = Duration::from_secs(120);

/// A directory under `clients/`.
fn sources(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(language)
}

/// Where a language's packages and programs are put, locked against the other tests until dropped.
struct Workshop {
    directory: PathBuf,
    _lock: File,
}

fn workshop(language: &str) -> Workshop {
    let directory = target_directory().join("clients").join(language);
    std::fs::create_dir_all(&directory).expect("the target directory is writable");
    let lock = File::create(directory.join("lock")).expect("the target directory is writable");
    // SAFETY: an open file of ours; the lock goes when it closes.
    unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX) };
    Workshop { directory, _lock: lock }
}

/// Runs a command that builds or installs.
#[track_caller]
fn must_run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
    assert!(output.status.success(), "{command:?}: {}", text(&output));
}

fn text(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a program that prints `ok` when all went well.
#[track_caller]
fn run_to_its_end(mut program: Command) {
    program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let what = format!("{program:?}");
    let mut child = spawn::spawn(program).unwrap_or_else(|e| panic!("{what} does not start: {e}"));
    // Little is printed: it fits the pipes.
    if spawn::wait(&mut child, RUN_LIMIT).is_none() {
        spawn::signal(&child, libc::SIGKILL);
    }
    let output = child.wait_with_output().expect("the child can be waited for");
    assert!(output.status.success(), "{what}: {}\n{}", output.status, text(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "ok", "{what}: {}", text(&output));
}

/// Runs a client's program against a broker of its own, and compares what the broker knows with what it should have done.
#[track_caller]
fn share_commit_and_resume(mut program: Command) {
    let broker = Broker::any();
    let (topic, group) = (unique("clients"), unique("group"));
    let mut client = broker.client();
    assert_eq!(client.create_topic(&topic, PARTITIONS, &[]).expect("answered"), 0);
    program.args([&broker.bootstrap(), &topic, &group, &RECORDS.to_string()]);
    run_to_its_end(program);
    let ends: Vec<_> = (0..PARTITIONS).map(|partition| client.offset_at(&topic, partition, -1)).collect();
    assert_eq!(ends.iter().sum::<i64>(), RECORDS * 2);
    let committed: Vec<_> = (0..PARTITIONS).map(|p| client.committed_offset(&group, &topic, p)).collect();
    assert_eq!(committed, ends, "everything is committed");
    wait_until("all members have left", Duration::from_secs(10), || {
        &*client.describe_group(&group).expect("answered").group_state == "Empty"
    });
}

fn go_program(name: &str) -> Command {
    let workshop = workshop("go");
    let binary = workshop.directory.join(name);
    let mut build = Command::new("go");
    // The tool chain may be older than the modules ask for, and then fetches a newer one as it fetches modules.
    build.args(["build", "-o"]).arg(&binary).arg(format!("./{name}")).current_dir(sources("go"));
    must_run(build.env("GOTOOLCHAIN", "auto").env("GOFLAGS", "-mod=readonly -buildvcs=false"));
    Command::new(binary)
}

#[test]
#[ignore = "fetches client libraries: cargo test -p compat-tests --test clients -- --ignored"]
fn franz_go() {
    needs!(has_program("go", "version"), "go is not installed");
    share_commit_and_resume(go_program("franz"));
}

/// Runs a client's program that copies a topic in transactions, and looks at what is committed.
#[track_caller]
fn copy_in_transactions(mut program: Command) {
    let broker = Broker::any();
    let (topic, group) = (unique("clients"), unique("group"));
    let mut client = broker.client();
    for name in [topic.clone(), format!("{topic}-copied")] {
        assert_eq!(client.create_topic(&name, PARTITIONS, &[]).expect("answered"), 0);
    }
    program.args([&broker.bootstrap(), &topic, &group, &RECORDS.to_string()]);
    run_to_its_end(program);
    let ends: Vec<_> = (0..PARTITIONS).map(|partition| client.offset_at(&topic, partition, -1)).collect();
    let committed: Vec<_> = (0..PARTITIONS).map(|p| client.committed_offset(&group, &topic, p)).collect();
    assert_eq!(committed, ends, "everything is committed");
}

#[test]
#[ignore = "fetches client libraries: cargo test -p compat-tests --test clients -- --ignored"]
fn franz_go_transactions() {
    needs!(has_program("go", "version"), "go is not installed");
    copy_in_transactions(go_program("franztransactions"));
}

#[test]
#[ignore = "fetches client libraries: cargo test -p compat-tests --test clients -- --ignored"]
fn sarama() {
    needs!(has_program("go", "version"), "go is not installed");
    share_commit_and_resume(go_program("sarama"));
}

fn python_program(name: &str) -> Command {
    let workshop = workshop("python");
    let environment = workshop.directory.join("venv");
    let requirements = std::fs::read(sources("python").join("requirements.txt")).expect("readable");
    let installed = environment.join("installed");
    if std::fs::read(&installed).ok().as_ref() != Some(&requirements) {
        must_run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment));
        let mut install = Command::new(environment.join("bin/pip"));
        install.args(["install", "-q", "-r"]).arg(sources("python").join("requirements.txt"));
        must_run(&mut install);
        std::fs::write(&installed, &requirements).expect("written");
    }
    let mut program = Command::new(environment.join("bin/python"));
    program.arg("-B").arg(sources("python").join(name));
    program
}

fn has_python() -> bool {
    let mut venv = Command::new("python3");
    venv.args(["-c", "import venv, ensurepip"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    venv.status().is_ok_and(|status| status.success())
}

#[test]
#[ignore = "fetches client libraries: cargo test -p compat-tests --test clients -- --ignored"]
fn kafka_python() {
    needs!(has_python(), "python3 with venv is not installed");
    share_commit_and_resume(python_program("with_kafka_python.py"));
}

#[test]
#[ignore = "fetches client libraries: cargo test -p compat-tests --test clients -- --ignored"]
fn aiokafka() {
    needs!(has_python(), "python3 with venv is not installed");
    share_commit_and_resume(python_program("with_aiokafka.py"));
}

#[test]
#[ignore = "fetches client libraries: cargo test -p compat-tests --test clients -- --ignored"]
fn confluent_kafka() {
    needs!(has_python(), "python3 with venv is not installed");
    share_commit_and_resume(python_program("with_confluent_kafka.py"));
}

#[test]
#[ignore = "fetches client libraries: cargo test -p compat-tests --test clients -- --ignored"]
fn kafkajs() {
    needs!(has_program("node", "--version"), "node is not installed");
    needs!(has_program("npm", "--version"), "npm is not installed");
    let workshop = workshop("node");
    let files = ["package.json", "package-lock.json", ".npmrc", "with_kafkajs.js"];
    let lock = std::fs::read(sources("node").join("package-lock.json")).expect("readable");
    let installed = workshop.directory.join("installed");
    for file in files {
        std::fs::copy(sources("node").join(file), workshop.directory.join(file)).expect("copied");
    }
    if std::fs::read(&installed).ok().as_ref() != Some(&lock) {
        let mut install = Command::new("npm");
        must_run(install.args(["ci", "--no-audit", "--no-fund"]).current_dir(&workshop.directory));
        std::fs::write(&installed, &lock).expect("written");
    }
    let mut program = Command::new("node");
    program.arg(workshop.directory.join("with_kafkajs.js")).env("KAFKAJS_NO_PARTITIONER_WARNING", "1");
    share_commit_and_resume(program);
}
