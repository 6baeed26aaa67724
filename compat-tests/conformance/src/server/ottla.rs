//! The Ottla of this workspace, as its own process.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use super::Profile;

/// The broker's binary, where a test knows it; otherwise the one beside this program.
pub static BINARY: OnceLock<PathBuf> = OnceLock::new();

fn binary() -> io::Result<PathBuf> {
    if let Some(path) = BINARY.get() {
        return Ok(path.clone());
    }
    let beside = std::env::current_exe()?.with_file_name("conformance-broker");
    if beside.exists() {
        Ok(beside)
    } else {
        Err(io::Error::other("`cargo build -p conformance` builds the broker under comparison"))
    }
}

/// Ready once it says so with the address of its listener. Port 0 lets it choose.
pub fn start(directory: &Path, profile: Profile, port: u16) -> io::Result<(Child, SocketAddr)> {
    let log_path = directory.join("ottla.log");
    let log = File::options().create(true).append(true).open(&log_path)?;
    let mut command = Command::new(binary()?);
    command.args(["--port", &port.to_string(), "--data-dir"]).arg(directory.join("data"));
    for (key, value) in profile.keys() {
        command.arg("--override").arg(format!("{key}={value}"));
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()?;
    let stdout = child.stdout.take().expect("piped");
    let mut lines = BufReader::new(stdout).lines();
    let address = loop {
        match lines.next() {
            Some(Ok(line)) if line.contains("ready") => match plaintext_address(&line) {
                Some(address) => break address,
                None => return Err(io::Error::other(format!("no PLAINTEXT://host:port in \"{line}\""))),
            },
            Some(Ok(_)) => {}
            _ => {
                let _ = child.wait();
                return Err(io::Error::other(format!(
                    "the broker ended before it was ready; its log is {}",
                    super::tail(&log_path)
                )));
            }
        }
    };
    // The pipe is read to its end, so that the broker never waits for us.
    std::thread::spawn(move || lines.for_each(drop));
    Ok((child, address))
}

fn plaintext_address(line: &str) -> Option<SocketAddr> {
    let rest = line.split("PLAINTEXT://").nth(1)?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".:-[]".contains(c))).unwrap_or(rest.len());
    rest[..end].trim_end_matches('.').to_socket_addrs().ok()?.min_by_key(SocketAddr::is_ipv6)
}
