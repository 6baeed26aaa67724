//! Apache Kafka as a contender: one KRaft broker from the jars of a release, with the configuration it comes with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;

/// The command that starts a broker on `port` with its data in `dir`, which it formats first.
pub fn command(port: u16, dir: &Path) -> Result<Command> {
    let jars = jars().ok_or("no Apache Kafka jars: unpack a release and set KAFKA_JARS to its libs directory")?;
    let properties = dir.join("server.properties");
    fs::write(&properties, configuration(port, dir))?;
    let java = |memory: &str, class: &str| {
        let mut command = Command::new("java");
        command.arg(memory).arg("-cp").arg(jars.join("*")).arg(class);
        command
    };
    let format = java("-Xmx256m", "kafka.tools.StorageTool")
        .args(["format", "-t", "b3R0bGEtYmVuY2htYXJrcw", "-c"])
        .arg(&properties)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("java does not start: {error}"))?;
    if !format.status.success() {
        return Err(format!("Kafka's storage tool failed: {}", String::from_utf8_lossy(&format.stderr)).into());
    }
    let mut broker = java("-Xmx1g", "kafka.Kafka");
    broker.arg(&properties);
    Ok(broker)
}

fn jars() -> Option<PathBuf> {
    let named = std::env::var_os("KAFKA_JARS").map(PathBuf::from);
    let cached = || {
        let home = PathBuf::from(std::env::var_os("HOME")?).join(".cache/apache-kafka");
        fs::read_dir(home).ok()?.filter_map(|entry| Some(entry.ok()?.path())).max()
    };
    named.or_else(cached).filter(|directory| directory.is_dir())
}

fn configuration(port: u16, dir: &Path) -> String {
    let (controller, data) = (port + 1, dir.join("data"));
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         log.dirs={data}\n\
         offsets.topic.replication.factor=1\n",
        data = data.display(),
    )
}
