//! Programs of `compat-tests/java`, started from their source.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use compat_tests::kafka_tools::jars::{self, Jars};
use compat_tests::spawn;

/// Ends the test, visibly, where these jars or Java are missing.
macro_rules! class_path {
    ($($jars:ident),+) => {{
        let path = compat_tests::kafka_tools::jars::class_path(&[$(&compat_tests::kafka_tools::jars::$jars),+]);
        compat_tests::needs!(path.is_ok(), "{}", path.err().unwrap_or_default());
        path.expect("checked before")
    }};
}
pub(crate) use class_path;

/// Ends the test, visibly, where Kafka's tools are missing.
macro_rules! needs_tools {
    () => {
        let tools = compat_tests::kafka_tools::tools();
        compat_tests::needs!(tools.is_ok(), "{}", tools.err().unwrap_or_default());
    };
}
pub(crate) use needs_tools;

pub struct Program {
    name: &'static str,
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Program {
    pub fn start(class_path: &OsStr, name: &'static str, arguments: &[&str]) -> Program {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("java").join(format!("{name}.java"));
        let mut command = Command::new("java");
        command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]).arg(class_path);
        command.arg(source).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn::spawn(command).expect("java starts");
        let (sender, lines) = channel();
        forward(child.stdout.take().expect("piped"), sender.clone());
        forward(child.stderr.take().expect("piped"), sender);
        Program { name, child, lines, seen: Vec::new() }
    }

    /// Waits for a line of which this holds.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, limit: Duration, mut holds: impl FnMut(&str) -> bool) -> String {
        let deadline = Instant::now() + limit;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if holds(&line) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("{what}: not within {limit:?}. {}", self.said()),
                Err(RecvTimeoutError::Disconnected) => panic!("{what}: the program ended. {}", self.said()),
            }
        }
    }

    /// Writes a line, and returns the one that answers it.
    #[track_caller]
    pub fn ask(&mut self, line: &str, limit: Duration) -> String {
        let stdin = self.child.stdin.as_mut().expect("piped");
        stdin.write_all(format!("{line}\n").as_bytes()).expect("the program lives");
        self.wait_for(line, limit, |_| true)
    }

    /// Waits for its end, which must be a good one, and returns all that it said.
    #[track_caller]
    pub fn finish(mut self, limit: Duration) -> Vec<String> {
        let status = spawn::wait(&mut self.child, limit);
        self.seen.extend(self.lines.try_iter());
        assert!(status.is_some_and(|status| status.success()), "{status:?}. {}", self.said());
        std::mem::take(&mut self.seen)
    }

    /// kill -9, and wait until it is gone.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn said(&self) -> String {
        format!("{} said:\n{}", self.name, self.seen.join("\n"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A no-op once it was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends on what a pipe says, without what the clients say of a missing logger.
fn forward(pipe: impl Read + Send + 'static, lines: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if !line.starts_with("SLF4J:") && lines.send(line).is_err() {
                return;
            }
        }
    });
}

/// The clients of a Kafka release, and what they speak.
pub struct Clients {
    pub jars: &'static Jars,
    pub group_protocol: &'static str,
    pub transaction_version: &'static str,
}

pub const NEW: Clients = Clients { jars: &jars::TOOLS, group_protocol: "consumer", transaction_version: "2" };
pub const OLD: Clients = Clients { jars: &jars::OLD_CLIENTS, group_protocol: "classic", transaction_version: "1" };
