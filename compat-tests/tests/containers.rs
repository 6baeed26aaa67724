//! The image: built of a static binary, started as users start it, and by Testcontainers' modules of five languages.
//!
//! Needs a container engine (`compat-tests/containers/engine` starts one) and what `image/build` needs.

#![allow(clippy::disallowed_methods)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use compat_tests::batch::Batch;
use compat_tests::broker::target_directory;
use compat_tests::calls::LATEST;
use compat_tests::matrix::{Ended, finish};
use compat_tests::skip::has_program;
use compat_tests::wire::Client;
use compat_tests::{needs, wait_until};
use testcontainers_modules::kafka::{apache, confluent};
use testcontainers_modules::testcontainers::core::{ExecCommand, IntoContainerPort, Mount, WaitFor};
use testcontainers_modules::testcontainers::runners::SyncRunner;
use testcontainers_modules::testcontainers::{Container, ContainerRequest, GenericImage, Image, ImageExt};

/// Room for everything: 25 MB is what a user should have to pull.
const SIZE_MAX: u64 = 25_000_000;
const STOP_LIMIT: Duration = Duration::from_secs(1);
/// The binary may have to be compiled.
const BUILD_LIMIT: Duration = Duration::from_secs(1800);
const CASE_LIMIT: Duration = Duration::from_secs(150);
const LIMIT: Duration = Duration::from_secs(30);

const REPOSITORY: &str = "ottla-test";
const TAG: &str = "4.2.0";
const NAME: &str = "ottla-test:4.2.0";

fn script(path: &str) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Asks the engine, through curl: answers status and body.
fn engine(method: &str, path: &str) -> (u32, serde_json::Value) {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    let socket = host.strip_prefix("unix://").unwrap_or(&host);
    let output = Command::new("curl")
        .args(["-sS", "-m", "20", "-X", method, "--unix-socket", socket, "-w", "\n%{http_code}"])
        .arg(format!("http://localhost{path}"))
        .output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    let (body, status) = text.rsplit_once('\n').unwrap_or(("", "0"));
    (status.parse().unwrap_or(0), serde_json::from_str(body).unwrap_or_default())
}

/// Builds the image once; or says what the machine lacks.
fn image() -> Result<(), String> {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        if engine("GET", "/_ping").0 != 200 {
            return Err("no container engine answers (compat-tests/containers/engine starts one)".to_owned());
        }
        for (program, flag, package) in [
            ("musl-gcc", "--version", "musl-tools"),
            ("busybox", "--help", "busybox-static"),
            ("rustup", "-V", "rustup"),
        ] {
            if !has_program(program, flag) {
                return Err(format!("{package} is not installed"));
            }
        }
        let mut build = script("../image/build");
        build.arg(NAME).env_remove("CARGO_TARGET_DIR");
        let ended = finish(build, BUILD_LIMIT).expect("the image is built in time");
        assert_eq!(ended.code, 0, "{}\n{}", ended.out, ended.err);
        Ok(())
    });
    built.clone()
}

macro_rules! needs_image {
    () => {
        if let Err(why) = image() {
            needs!(false, "{why}");
        }
    };
}

fn ottla() -> ContainerRequest<GenericImage> {
    let image = GenericImage::new(REPOSITORY, TAG).with_exposed_port(9092.tcp());
    image.with_wait_for(WaitFor::message_on_stdout("Kafka Server started")).with_startup_timeout(LIMIT)
}

fn client_of<I: Image>(container: &Container<I>, port: u16) -> Client {
    let port = container.get_host_port_ipv4(port.tcp()).expect("published");
    Client::connect(&format!("127.0.0.1:{port}")).expect("it is ready, so it accepts")
}

/// The one broker, as Metadata tells its address.
fn told(client: &mut Client) -> (String, i32) {
    let metadata = client.call(12, &kafka_protocol::messages::MetadataRequest::default()).expect("answered");
    assert_eq!(metadata.brokers.len(), 1);
    (metadata.brokers[0].host.to_string(), metadata.brokers[0].port)
}

fn use_it(client: &mut Client) {
    assert_eq!(client.create_topic("t", 3, &[]).expect("answered"), 0);
    for partition in 0..3 {
        assert_eq!(client.must_produce("t", partition, &Batch::of_values(["a", "b"])), 0);
    }
    assert_eq!(client.read_values("t", 2), ["a", "b"]);
}

#[track_caller]
fn stops_in_time<I: Image>(container: &Container<I>) {
    let begun = Instant::now();
    container.stop_with_timeout(Some(20)).expect("stopped");
    let took = begun.elapsed();
    assert!(took < STOP_LIMIT, "stopping took {took:?}");
}

/// Runs a command inside; answers its exit code and what it printed.
#[track_caller]
fn inside<I: Image>(container: &Container<I>, command: &str) -> (i64, String) {
    let mut result = container.exec(ExecCommand::new(["sh", "-c", command])).expect("started");
    let out = String::from_utf8(result.stdout_to_vec().expect("read")).expect("text");
    let code = result.exit_code().expect("known").expect("it has ended");
    (code, out)
}

#[test]
fn the_image_is_small_and_knows_its_cluster_id() {
    needs_image!();
    let (status, inspected) = engine("GET", &format!("/images/{NAME}/json"));
    assert_eq!(status, 200);
    let size = inspected["Size"].as_u64().expect("a size");
    assert!(size <= SIZE_MAX, "the image has {size} bytes");
    let config = &inspected["Config"];
    assert!(config["Entrypoint"].is_null() || config["Entrypoint"].as_array().is_some_and(Vec::is_empty));
    assert_eq!(config["Cmd"], serde_json::json!(["/etc/kafka/docker/run"]));
    let environment = config["Env"].as_array().expect("variables");
    assert!(environment.iter().any(|v| v.as_str().is_some_and(|v| v.starts_with("CLUSTER_ID="))), "{environment:?}");
}

#[test]
fn it_serves_has_the_tools_and_stops_in_a_second() {
    needs_image!();
    let container = ottla().start().expect("started");
    let mut client = client_of(&container, 9092);
    assert_eq!(told(&mut client), ("localhost".to_owned(), 9092));
    use_it(&mut client);
    let log = String::from_utf8(container.stdout_to_vec().expect("read")).expect("text");
    for line in ["Transitioning from RECOVERY to RUNNING", "Kafka Server started", "[KafkaServer id=1] started"] {
        assert_eq!(log.matches(line).count(), 1, "{line}: {log}");
    }
    for (command, says) in [
        ("kafka-topics.sh --bootstrap-server localhost:9092 --list", "t\n"),
        ("/opt/kafka/bin/kafka-topics.sh --bootstrap-server localhost:9092 --list", "t\n"),
        ("kafka-get-offsets --bootstrap-server localhost:9092 --topic t --partitions 0", "t:0:2\n"),
        ("echo x | kafka-console-producer --bootstrap-server localhost:9092 --topic u", ""),
        (
            "kafka-console-consumer.sh --bootstrap-server localhost:9092 --topic u --from-beginning --max-messages 1",
            "x\n",
        ),
        ("bash -c 'for f in $(seq 2); do echo $f; done'", "1\n2\n"),
        ("cub kafka-ready 1 5 -b localhost:9092 >/dev/null && echo yes", "yes\n"),
        ("kafka-cluster cluster-id --bootstrap-server localhost:9092", "Cluster ID: 4L6g3nShT-eMCtK--X86sw\n"),
    ] {
        assert_eq!(inside(&container, command), (0, says.to_owned()), "{command}");
    }
    assert_eq!(inside(&container, "ottla health").0, 0);
    assert_eq!(inside(&container, "ottla health --bootstrap-server localhost:1").0, 1);
    stops_in_time(&container);
}

#[test]
fn it_runs_read_only_and_as_anybody() {
    needs_image!();
    let container = ottla()
        .with_readonly_rootfs(true)
        .with_user("12345:12345")
        .with_mount(Mount::tmpfs_mount("/var/lib/kafka/data"))
        .start()
        .expect("started");
    use_it(&mut client_of(&container, 9092));
    let (_, owner) =
        inside(&container, "id -u; stat -c %u /var/lib/kafka/data/meta.properties; touch /x 2>/dev/null; echo $?");
    assert_eq!(owner, "12345\n12345\n1\n");
    stops_in_time(&container);
}

#[test]
fn what_is_only_advertised_is_reached_through_the_exposed_port() {
    needs_image!();
    let container =
        ottla().with_env_var("KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT://localhost:39092").start().expect("started");
    assert_eq!(told(&mut client_of(&container, 9092)), ("localhost".to_owned(), 39092));
    assert_eq!(inside(&container, "kafka-topics --bootstrap-server localhost:39092 --list").0, 0);
}

#[test]
fn the_configuration_comes_as_in_every_image() {
    needs_image!();
    let partitions = |container: &Container<GenericImage>| {
        let mut client = client_of(container, 9092);
        assert_eq!(client.topic_or_create("made", true).expect("answered").error_code, 0);
        let mut count = 0;
        wait_until("the topic is there", LIMIT, || {
            count = client.topic("made").expect("answered").partitions.len();
            count > 0
        });
        count
    };
    let apache = ottla()
        .with_copy_to(
            "/mnt/shared/config/server.properties",
            b"num.partitions=2\nlisteners=PLAINTEXT://:9092\n".to_vec(),
        )
        .start()
        .expect("started");
    assert_eq!(partitions(&apache), 2, "the mounted file");
    let over = ottla()
        .with_copy_to(
            "/mnt/shared/config/server.properties",
            b"num.partitions=2\nlisteners=PLAINTEXT://:9092\n".to_vec(),
        )
        .with_env_var("KAFKA_NUM_PARTITIONS", "3")
        .start()
        .expect("started");
    assert_eq!(partitions(&over), 3, "the environment counts more than the file");
    let bitnami = ottla()
        .with_env_var("KAFKA_CFG_NUM_PARTITIONS", "4")
        .with_env_var("KAFKA_CFG_LISTENERS", "PLAINTEXT://:9092,CONTROLLER://:9093")
        .with_env_var("KAFKA_CFG_ADVERTISED_LISTENERS", "PLAINTEXT://127.0.0.1:9092,")
        .with_env_var("KAFKA_BROKER_ID", "5")
        .with_cmd(["/opt/bitnami/scripts/kafka/entrypoint.sh", "/opt/bitnami/scripts/kafka/run.sh"])
        .start()
        .expect("started");
    assert_eq!(partitions(&bitnami), 4, "bitnami's variables");
    let arguments = ottla().with_cmd(["/etc/kafka/docker/run", "KAFKA_NUM_PARTITIONS=5"]).start().expect("started");
    assert_eq!(partitions(&arguments), 5, "arguments of the script");
    let server_start = ottla()
        .with_cmd([
            "kafka-server-start.sh",
            "/opt/kafka/config/server.properties",
            "--override",
            "num.partitions=6",
            "--kafka-ready-lines",
            "--data-dir",
            "/tmp/data",
        ])
        .start()
        .expect("started");
    assert_eq!(partitions(&server_start), 6, "Kafka's start script");
}

#[test]
fn a_bad_configuration_ends_it_with_the_reason() {
    needs_image!();
    let started = ottla()
        .with_env_var("KAFKA_NUM_PARTITIONS", "many")
        .with_ready_conditions(vec![WaitFor::message_on_stderr("num.partitions")])
        .start();
    let container = started.expect("the reason is said");
    wait_until("it has ended", LIMIT, || !container.is_running().expect("known"));
    assert_eq!(container.exit_code().expect("known"), Some(2));
}

#[test]
fn groups_and_transactions_need_no_replication_factor() {
    needs_image!();
    // Kafka's default of three replicas for its own topics would leave these hanging on one broker.
    let container = ottla()
        .with_env_var("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "3")
        .with_env_var("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "3")
        .with_env_var("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "2")
        .start()
        .expect("started");
    use_it(&mut client_of(&container, 9092));
    let consume = "kafka-console-consumer --bootstrap-server localhost:9092 --topic t --group g --from-beginning --max-messages 6 | sort | uniq -c | tr -d ' '";
    assert_eq!(inside(&container, consume), (0, "3a\n3b\n".to_owned()));
    let mut client = client_of(&container, 9092);
    assert_eq!(client.offset_at("t", 0, LATEST), 2);
}

#[test]
fn rusts_module_for_apaches_image() {
    needs_image!();
    let container = apache::Kafka::default().with_name(REPOSITORY).with_tag(TAG).start().expect("started");
    let port = container.get_host_port_ipv4(apache::KAFKA_PORT).expect("published");
    let mut client = Client::connect(&format!("127.0.0.1:{port}")).expect("it accepts");
    assert_eq!(told(&mut client), ("127.0.0.1".to_owned(), i32::from(port)));
    use_it(&mut client);
    stops_in_time(&container);
}

#[test]
fn rusts_module_for_confluents_image() {
    needs_image!();
    let container = confluent::Kafka::default().with_name(REPOSITORY).with_tag(TAG).start().expect("started");
    let port = container.get_host_port_ipv4(confluent::KAFKA_PORT).expect("published");
    let mut client = Client::connect(&format!("127.0.0.1:{port}")).expect("it accepts");
    // The module changes what is advertised while the broker runs, as a Kafka with ZooKeeper could.
    assert_eq!(told(&mut client), ("127.0.0.1".to_owned(), i32::from(port)));
    use_it(&mut client);
    stops_in_time(&container);
}

/// `name image` of each case of a language.
fn cases(language: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("containers").join(language).join("cases.txt");
    let text = std::fs::read_to_string(path).expect("readable");
    let case = |line: &str| line.split_once(' ').map(|(case, image)| (case.to_owned(), image.trim().to_owned()));
    text.lines().filter_map(case).collect()
}

/// Gives our image another name, unless somebody else's has it.
fn tag(name: &str) -> Result<(), String> {
    let id = |name: &str| {
        let (status, inspected) = engine("GET", &format!("/images/{name}/json"));
        (status == 200).then(|| inspected["Id"].as_str().unwrap_or_default().to_owned())
    };
    let ours = id(NAME).expect("it is built");
    let marked = |id: &str| {
        engine("GET", &format!("/images/{id}/json")).1["Config"]["Cmd"][0] == "/etc/kafka/docker/run"
            && engine("GET", &format!("/images/{id}/json")).1["Size"].as_u64().is_some_and(|size| size <= SIZE_MAX)
    };
    match id(name) {
        Some(other) if other == ours => return Ok(()),
        Some(other) if !marked(&other) => return Err(format!("{name} is another image here, and stays")),
        _ => {}
    }
    let (repository, version) = name.rsplit_once(':').expect("a tag");
    let (status, answer) = engine("POST", &format!("/images/{NAME}/tag?repo={repository}&tag={version}"));
    assert_eq!(status, 201, "{answer}");
    Ok(())
}

#[track_caller]
fn modules_of(language: &str, program: &str, flag: &str) {
    if let Err(why) = image() {
        return compat_tests::skip::skipped(&format!("Testcontainers for {language}"), &why);
    }
    if !has_program(program, flag) {
        return compat_tests::skip::skipped(
            &format!("Testcontainers for {language}"),
            &format!("{program} is not installed"),
        );
    }
    let workshop: PathBuf = target_directory().join("containers").join(language);
    std::fs::create_dir_all(&workshop).expect("the target directory is writable");
    let run = |name: &str, arguments: &[&str], limit| -> Ended {
        let mut command = script(&format!("containers/{language}/{name}"));
        command.arg(&workshop).args(arguments);
        finish(command, limit).unwrap_or_else(|why| panic!("{why}"))
    };
    let built = run("build", &[], BUILD_LIMIT);
    if built.code == 4 {
        return compat_tests::skip::skipped(&format!("Testcontainers for {language}"), built.out.trim());
    }
    assert_eq!(built.code, 0, "{}\n{}", built.out, built.err);
    let mut failures = Vec::new();
    for (case, image) in cases(language) {
        if let Err(why) = tag(&image) {
            compat_tests::skip::skipped(&format!("Testcontainers for {language}, {case}"), &why);
            continue;
        }
        let ended = run("run", &[&case], CASE_LIMIT);
        if ended.code != 0 || ended.out.trim() != "ok" {
            failures.push(format!("{case} ({image}): exit code {}: {}\n{}", ended.code, ended.out, ended.err));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn javas_modules() {
    modules_of("java", "mvn", "-version");
}

#[test]
fn gos_module() {
    modules_of("go", "go", "version");
}

#[test]
fn pythons_module() {
    modules_of("python", "python3", "--version");
}

#[test]
fn nodes_module() {
    modules_of("node", "npm", "--version");
}
