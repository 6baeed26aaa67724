//! How a broker process is started: its command line, and how it ends when it refuses.

use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use crate::broker::Broker;

/// The binary, built with this package: it lies beside the directory of the test executables. `OTTLA_TEST_BINARY` names
/// another one.
pub fn binary_path() -> PathBuf {
    if let Some(path) = std::env::var_os("OTTLA_TEST_BINARY") {
        return PathBuf::from(path);
    }
    let path = profile_directory().join("ottla-under-test");
    assert!(path.exists(), "{} is missing: run the tests with `cargo test`", path.display());
    path
}

/// `target`, or what `CARGO_TARGET_DIR` makes of it.
pub fn target_directory() -> PathBuf {
    profile_directory().parent().expect("target/<profile>").to_owned()
}

fn profile_directory() -> PathBuf {
    let exe = std::env::current_exe().expect("a test knows its own path");
    let directory = exe.parent().expect("target/<profile>/deps/<test>, or target/<profile>/<program>");
    if directory.ends_with("deps") { directory.parent().expect("target/<profile>") } else { directory }.to_owned()
}

/// How to start a broker. Nothing set: a port of its own, a temporary data directory, Kafka's defaults.
#[derive(Clone, Debug, Default)]
pub struct Options {
    overrides: Vec<(String, String)>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    pub(crate) data_dir: Option<PathBuf>,
    port: Option<u16>,
    wrapper: Vec<String>,
}

impl Options {
    pub fn new() -> Options {
        Options::default()
    }

    /// `--override key=value`
    pub fn set(mut self, key: &str, value: impl ToString) -> Options {
        self.overrides.push((key.to_owned(), value.to_string()));
        self
    }

    pub fn argument(mut self, argument: impl ToString) -> Options {
        self.arguments.push(argument.to_string());
        self
    }

    pub fn environment(mut self, name: &str, value: &str) -> Options {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The caller's directory, kept when the broker goes.
    pub fn data_dir(mut self, directory: impl Into<PathBuf>) -> Options {
        self.data_dir = Some(directory.into());
        self
    }

    pub fn port(mut self, port: u16) -> Options {
        self.port = Some(port);
        self
    }

    /// A program that execs the broker, with its arguments: `strace -D ...` and the like.
    pub fn wrapped_in(mut self, wrapper: &[&str]) -> Options {
        self.wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// The command line, without starting it: for tests of the command itself.
    pub fn command(&self) -> Command {
        let mut command = match self.wrapper.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(binary_path());
                command
            }
            None => Command::new(binary_path()),
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("KAFKA_") {
                command.env_remove(name);
            }
        }
        command.env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if !self.overrides.iter().any(|(key, _)| key == "listeners") {
            command.arg("--port").arg(self.port.unwrap_or(0).to_string());
        }
        if let Some(directory) = &self.data_dir {
            command.arg("--data-dir").arg(directory);
        }
        for (key, value) in &self.overrides {
            command.arg("--override").arg(format!("{key}={value}"));
        }
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    #[track_caller]
    pub fn start(self) -> Broker {
        self.try_start().unwrap_or_else(|failed| panic!("the broker did not start: {failed:?}"))
    }

    /// Starts, or says how the process ended instead.
    pub fn try_start(mut self) -> Result<Broker, Ended> {
        let mut own_directory = None;
        if self.data_dir.is_none() && !self.arguments.iter().any(|a| a == "--ephemeral") {
            let directory = tempfile::Builder::new().prefix("ottla-test-").tempdir().expect("a temporary directory");
            self.data_dir = Some(directory.path().to_owned());
            own_directory = Some(directory);
        }
        Broker::launch(self, own_directory)
    }

    /// Runs a command line that is expected to end by itself.
    #[track_caller]
    pub fn run_to_end(&self) -> Ended {
        match self.clone().try_start() {
            Err(ended) => ended,
            Ok(_) => panic!("the broker started, where it should have refused: {self:?}"),
        }
    }
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    /// Standard output and standard error, in the order of their arrival.
    pub output: String,
}

impl Ended {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}
