//! The library as tests of other projects use it: a broker in the process, gone when dropped.

use std::io::{Read, Write};
use std::net::TcpStream;

use ottla::Broker;

/// Metadata v1 for all topics; answers the whole frame.
fn metadata(bootstrap: &str) -> Vec<u8> {
    exchange(bootstrap, &[0, 3, 0, 1, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
}

/// CreateTopics v2: one topic with one partition.
fn create_topic(bootstrap: &str, name: &str) -> Vec<u8> {
    let mut body = vec![0, 19, 0, 2, 0, 0, 0, 8, 0xff, 0xff];
    body.extend_from_slice(&1i32.to_be_bytes());
    body.extend_from_slice(&(name.len() as i16).to_be_bytes());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(&1i32.to_be_bytes());
    body.extend_from_slice(&1i16.to_be_bytes());
    body.extend_from_slice(&[0; 8]);
    body.extend_from_slice(&5000i32.to_be_bytes());
    body.push(0);
    exchange(bootstrap, &body)
}

fn exchange(bootstrap: &str, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(bootstrap).expect("the broker accepts");
    stream.write_all(&(request.len() as i32).to_be_bytes()).expect("sent");
    stream.write_all(request).expect("sent");
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("answered");
    let mut answer = vec![0; i32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).expect("answered");
    answer
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle.as_bytes())
}

#[tokio::test]
async fn two_brokers_in_one_process_know_nothing_of_each_other() {
    let one = Broker::builder().start().await.expect("starts");
    let two = Broker::builder().start().await.expect("starts");
    assert_ne!(one.bootstrap(), two.bootstrap());
    assert_ne!(one.cluster_id(), two.cluster_id());
    create_topic(&one.bootstrap(), "only-here");
    assert!(contains(&metadata(&one.bootstrap()), "only-here"));
    assert!(!contains(&metadata(&two.bootstrap()), "only-here"));
    let directory = one.data_dir().to_owned();
    let address = one.bootstrap();
    drop(one);
    assert!(TcpStream::connect(address).is_err(), "stopped on drop");
    assert!(!directory.exists(), "its temporary directory is gone");
    metadata(&two.bootstrap());
}

#[tokio::test]
async fn a_data_directory_outlives_its_broker() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let broker = Broker::builder().data_dir(directory.path()).start().await.expect("starts");
    create_topic(&broker.bootstrap(), "kept");
    let second = Broker::builder().data_dir(directory.path()).start().await.map(|_| ()).expect_err("locked");
    assert!(second.to_string().contains(&std::process::id().to_string()), "{second}");
    assert!(broker.stop(), "a clean stop");
    let broker = Broker::builder().data_dir(directory.path()).set("num.partitions", "3").start().await.expect("starts");
    assert!(contains(&metadata(&broker.bootstrap()), "kept"));
}

#[tokio::test]
async fn a_bad_value_is_refused_by_name() {
    let error = Broker::builder().set("num.partitions", "none").start().await.map(|_| ()).expect_err("refused");
    assert!(matches!(error, ottla::StartError::Config(_)));
    assert!(error.to_string().contains("num.partitions") && error.to_string().contains("none"), "{error}");
}
