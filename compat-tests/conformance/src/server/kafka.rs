//! Apache Kafka, one release, from its Maven jars. Needs Java 17 and Maven; the jars are fetched once.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::Profile;

/// The release whose answers are in `golden/`.
pub const VERSION: &str = "4.2.1";

const LOG_CONFIG: &str = "Configuration:
  Appenders:
    Console: {name: stderr, target: SYSTEM_ERR, PatternLayout: {pattern: \"[%d] %p %m (%c)%n\"}}
  Loggers:
    Root: {level: WARN, AppenderRef: [{ref: stderr}]}
";

/// Whether what this needs is there; if not, why.
pub fn available() -> Result<(), String> {
    for program in ["java", "mvn"] {
        let found = Command::new(program).arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            return Err(format!("{program} is not installed"));
        }
    }
    Ok(())
}

fn jars() -> io::Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let home = cache
        .ok_or_else(|| io::Error::other("HOME is not set"))?
        .join(format!("ottla-tests/conformance-kafka-{VERSION}"));
    let complete = home.join(".complete");
    if complete.exists() {
        return Ok(home);
    }
    fs::create_dir_all(&home)?;
    let project = tempfile::tempdir()?;
    fs::write(project.path().join("pom.xml"), pom())?;
    let status = Command::new("mvn")
        .args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", home.display()))
        .current_dir(project.path())
        .status()?;
    if !status.success() {
        return Err(io::Error::other("Maven cannot fetch the jars of Apache Kafka"));
    }
    fs::write(home.join("log4j2.yaml"), LOG_CONFIG)?;
    fs::write(complete, "")?;
    Ok(home)
}

fn pom() -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>"
        )
    };
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion><groupId>ottla</groupId>\
         <artifactId>jars</artifactId><version>1</version><dependencies>{}{}</dependencies></project>",
        dependency("org.apache.kafka", "kafka_2.13", VERSION),
        dependency("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.3"),
    )
}

/// One KRaft node, broker and controller. `fresh` formats the directory first; otherwise it starts as it was left.
pub fn start(directory: &Path, profile: Profile, fresh: bool) -> io::Result<(Child, SocketAddr)> {
    let jars = jars()?;
    let properties = directory.join("server.properties");
    let log = directory.join("kafka.log");
    let address_file = directory.join("address");
    if fresh {
        let port = free_port()?;
        fs::write(&properties, server_properties(directory, profile, port, free_port()?))?;
        fs::write(&address_file, port.to_string())?;
        let cluster = crate::normal::base64(uuid::Uuid::from_u128(0x4f74_746c_6143_6f6e_666f_726d_616e_6365));
        let format =
            java(&jars, &log, &["kafka.tools.StorageTool", "format", "-t", &cluster, "-c"], &properties)?.wait()?;
        if !format.success() {
            return Err(io::Error::other(format!("cannot format: {}", super::tail(&log))));
        }
    }
    let port: u16 = fs::read_to_string(&address_file)?.parse().map_err(io::Error::other)?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut child = java(&jars, &log, &["kafka.Kafka"], &properties)?;
    super::ready(&mut child, address, &log)?;
    Ok((child, address))
}

fn server_properties(directory: &Path, profile: Profile, port: u16, controller_port: u16) -> String {
    let mut text = format!(
        "process.roles=broker,controller\ncontroller.quorum.voters=1@127.0.0.1:{controller_port}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\nadvertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         controller.listener.names=CONTROLLER\nlistener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\nlog.dirs={}\n",
        directory.join("data").display()
    );
    for (key, value) in profile.keys() {
        text.push_str(&format!("{key}={value}\n"));
    }
    text
}

fn java(jars: &Path, log: &Path, class_and_args: &[&str], properties: &Path) -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    Command::new("java")
        .args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(jars.join("*"))
        .arg(format!("-Dlog4j2.configurationFile={}", jars.join("log4j2.yaml").display()))
        .args(class_and_args)
        .arg(properties)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
