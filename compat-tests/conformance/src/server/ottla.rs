//! The Ottla of this workspace, as its own process.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use super::Profile;

/// The broker's binary, where a test knows it. The command needs none: it is the broker itself when [`SERVE`] is set, so that what it compares
/// is never older than it is.
pub static BINARY: OnceLock<PathBuf> = OnceLock::new();

/// The environment variable that makes the command a broker.
pub const SERVE: &str = "CONFORMANCE_SERVES";

fn command() -> io::Result<Command> {
    if let Some(path) = BINARY.get() {
        return Ok(Command::new(path));
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.env(SERVE, "1");
    Ok(command)
}

const READY_WITHIN: Duration = Duration::from_secs(30);

/// Ready once it says so with the address of its listener. Port 0 lets it choose.
pub fn start(directory: &Path, profile: Profile, port: u16) -> io::Result<(Child, SocketAddr)> {
    let log_path = directory.join("ottla.log");
    let log = File::options().create(true).append(true).open(&log_path)?;
    let mut command = command()?;
    command.args(["--port", &port.to_string(), "--data-dir"]).arg(directory.join("data"));
    for (key, value) in profile.keys() {
        command.arg("--override").arg(format!("{key}={value}"));
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()?;
    let stdout = child.stdout.take().expect("piped");
    let (say, heard) = mpsc::channel();
    // Reads to the end of the pipe, so that the broker never waits for us.
    std::thread::spawn(move || {
        BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .filter(|line| line.contains("ready"))
            .for_each(|line| drop(say.send(line)));
    });
    let ready = heard.recv_timeout(READY_WITHIN).ok();
    let address = ready.as_deref().and_then(plaintext_address);
    if address.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let why = || format!("not ready with PLAINTEXT://host:port ({ready:?}); its log is {}", super::tail(&log_path));
    Ok((child, address.ok_or_else(|| io::Error::other(why()))?))
}

fn plaintext_address(line: &str) -> Option<SocketAddr> {
    let rest = line.split("PLAINTEXT://").nth(1)?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".:-[]".contains(c))).unwrap_or(rest.len());
    rest[..end].trim_end_matches('.').to_socket_addrs().ok()?.min_by_key(SocketAddr::is_ipv6)
}

#[cfg(test)]
mod tests {
    use super::plaintext_address;

    #[test]
    fn the_ready_line_names_the_address() {
        for line in
            ["ready: PLAINTEXT://127.0.0.1:9092", "INFO ready listeners=PLAINTEXT://127.0.0.1:9092, OTHER://[::1]:1"]
        {
            assert_eq!(plaintext_address(line), Some(([127, 0, 0, 1], 9092).into()), "{line}");
        }
        assert_eq!(plaintext_address("ready"), None);
    }
}
