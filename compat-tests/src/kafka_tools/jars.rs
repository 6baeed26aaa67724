//! Jars from Maven, fetched once into `~/.cache/ottla-tests`. `OTTLA_KAFKA_JARS` names another directory that has those
//! of the tools.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::KAFKA_VERSION;
use crate::skip::has_program;

/// What one directory of the cache holds: artifacts of `org.apache.kafka`, and all that they need. `name:test` is the jar
/// of an artifact's tests, `group:name:version` one of somebody else.
pub struct Jars {
    name: &'static str,
    version: &'static str,
    artifacts: &'static [&'static str],
}

/// The command line tools, the server and the clients.
pub const TOOLS: Jars = Jars { name: "kafka", version: KAFKA_VERSION, artifacts: &["kafka_2.13", "kafka-tools"] };
pub const STREAMS: Jars = Jars { name: "kafka-streams", version: KAFKA_VERSION, artifacts: &["kafka-streams"] };
/// The last clients that know nothing of KIP-890's second part.
pub const OLD_CLIENTS: Jars = Jars { name: "kafka-clients", version: "3.9.1", artifacts: &["kafka-clients"] };

/// `kafka.tools.LogCompactionTester`, which later versions do not publish.
pub const COMPACTION_TESTER: Jars = Jars {
    name: "kafka-compaction-tester",
    version: "4.0.0",
    artifacts: &[
        "kafka_2.13",
        "kafka_2.13:test",
        "kafka-clients:test",
        "kafka-server-common:test",
        "org.junit.jupiter:junit-jupiter-api:5.10.2",
    ],
};

/// Without it nothing is logged, and a server that warns would seem content.
const LOGGING: &str = "<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>\
                       <version>2.25.3</version></dependency>";

/// A class path with these jars, fetched where missing; or the reason why there is none.
pub fn class_path(sets: &[&Jars]) -> Result<OsString, String> {
    if !has_program("java", "-version") {
        return Err("java is not installed".to_owned());
    }
    let directories = sets.iter().map(|jars| jars.directory()).collect::<Result<Vec<_>, _>>()?;
    std::env::join_paths(directories.iter().map(|directory| directory.join("*"))).map_err(|e| e.to_string())
}

impl Jars {
    /// The directory with the jars, fetched when missing.
    fn directory(&self) -> Result<PathBuf, String> {
        if let (Some(directory), "kafka") = (std::env::var_os("OTTLA_KAFKA_JARS"), self.name) {
            return Ok(PathBuf::from(directory));
        }
        let home = std::env::var_os("HOME").ok_or("HOME is not set")?;
        let cache = Path::new(&home).join(".cache/ottla-tests");
        let directory = cache.join(format!("{}-{}", self.name, self.version));
        std::fs::create_dir_all(&cache).map_err(|e| format!("{}: {e}", cache.display()))?;
        let lock = File::create(cache.join("lock")).map_err(|e| format!("{}: {e}", cache.display()))?;
        // SAFETY: an open file of ours; the lock goes when it closes.
        unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX) };
        if !directory.join(".complete").exists() {
            self.fetch(&directory)?;
            File::create(directory.join(".complete")).map_err(|e| e.to_string())?;
        }
        Ok(directory)
    }

    fn fetch(&self, directory: &Path) -> Result<(), String> {
        if !has_program("mvn", "-version") {
            return Err("Kafka's jars are not there and mvn is not installed".to_owned());
        }
        let project = tempfile::tempdir().map_err(|e| e.to_string())?;
        let dependency = |artifact: &&str| {
            let parts: Vec<_> = artifact.split(':').collect();
            let (group, name, version, more) = match parts[..] {
                [group, name, version] => (group, name, version, ""),
                [name, "test"] => ("org.apache.kafka", name, self.version, "<classifier>test</classifier>"),
                _ => ("org.apache.kafka", *artifact, self.version, ""),
            };
            let coordinates = format!("<groupId>{group}</groupId><artifactId>{name}</artifactId>");
            format!("<dependency>{coordinates}<version>{version}</version>{more}</dependency>")
        };
        let pom = format!(
            "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
             <groupId>ottla</groupId><artifactId>tools</artifactId><version>1</version>\
             <dependencies>{}{LOGGING}</dependencies></project>",
            self.artifacts.iter().map(dependency).collect::<String>()
        );
        std::fs::write(project.path().join("pom.xml"), pom).map_err(|e| e.to_string())?;
        let output = Command::new("mvn")
            .args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"])
            .arg(format!("-DoutputDirectory={}", directory.display()))
            .current_dir(project.path())
            .output()
            .map_err(|e| format!("mvn does not start: {e}"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("Kafka's jars cannot be fetched: {}", String::from_utf8_lossy(&output.stdout).trim())),
        }
    }
}
