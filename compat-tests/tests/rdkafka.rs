#[test]
fn x() {
    let _ = rdkafka::util::get_rdkafka_version();
}
