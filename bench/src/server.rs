//! A server under test: started, watched from outside, stopped, and its files removed.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::Client;
use crate::{Result, kafka, process, sys};

const START_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Contender {
    Ours,
    Floor,
    Kafka,
}

/// What to start. The floor has no topics to create: it is told their size, and whether to sync each file.
pub struct Setting<'a> {
    pub contender: Contender,
    pub broker: &'a str,
    pub dir: &'a Path,
    pub partitions: usize,
    pub sync_each: bool,
}

pub struct Server {
    child: Child,
    command: Box<dyn Fn() -> Result<Command>>,
    pub port: u16,
    /// From the start of the process to its first Metadata answer.
    pub started_in: Duration,
    /// From SIGTERM to the end of the process, the last time.
    pub stopped_in: Duration,
    dir: TempDir,
}

impl Server {
    pub fn start(setting: &Setting) -> Result<Server> {
        let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(setting.dir)?;
        let port = free_port()?;
        let command = command(setting, port, dir.path().to_owned());
        let mut first = command()?;
        let (child, started_in) = spawn(&mut first, port, dir.path())?;
        Ok(Server { child, command, port, started_in, stopped_in: Duration::ZERO, dir })
    }

    /// Stops it cleanly and starts it again on the same files.
    pub fn restart(&mut self) -> Result<()> {
        self.stopped_in = self.stop()?;
        (self.child, self.started_in) = spawn(&mut (self.command)()?, self.port, self.dir.path())?;
        Ok(())
    }

    pub fn client(&self) -> Result<Client> {
        Client::connect(self.port)
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn cpu_seconds(&self) -> Result<f64> {
        Ok(sys::cpu_seconds(self.process())?)
    }

    pub fn resident_bytes(&self) -> Result<f64> {
        process::resident_bytes(self.process())
    }

    pub fn open_descriptors(&self) -> Result<usize> {
        process::open_descriptors(self.process())
    }

    /// Asks it to stop and waits for the end: a restart after a kill would measure recovery instead.
    fn stop(&mut self) -> Result<Duration> {
        let start = Instant::now();
        sys::terminate(self.process());
        while self.child.try_wait()?.is_none() {
            if start.elapsed() > STOP_MAX {
                return Err(format!("did not stop within {} s of SIGTERM", STOP_MAX.as_secs()).into());
            }
            sleep(Duration::from_millis(1));
        }
        Ok(start.elapsed())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn command(setting: &Setting, port: u16, dir: PathBuf) -> Box<dyn Fn() -> Result<Command>> {
    match setting.contender {
        Contender::Ours => {
            let line = setting.broker.replace("{port}", &port.to_string()).replace("{dir}", &dir.to_string_lossy());
            Box::new(move || {
                let mut words = line.split_whitespace();
                let mut command = Command::new(words.next().ok_or("--broker names no program")?);
                command.args(words);
                Ok(command)
            })
        }
        Contender::Floor => {
            let (partitions, sync) = (setting.partitions, u8::from(setting.sync_each));
            Box::new(move || {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["floor", &format!("port={port}"), &format!("dir={}", dir.display())]);
                command.args([format!("partitions={partitions}"), format!("sync={sync}")]);
                Ok(command)
            })
        }
        Contender::Kafka => Box::new(move || kafka::command(port, &dir)),
    }
}

/// Ready is a server that answers Metadata for everything it has: what a client would wait for.
fn spawn(command: &mut Command, port: u16, dir: &Path) -> Result<(Child, Duration)> {
    let log = dir.join("log");
    let output = File::options().create(true).append(true).open(&log)?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    // SAFETY: prctl is safe to call between fork and exec.
    unsafe { command.pre_exec(sys::die_with_parent) };
    let start = Instant::now();
    let mut child = command.spawn().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    loop {
        let answer = Client::connect(port).and_then(|mut client| client.metadata(None));
        if matches!(answer, Ok((brokers, _)) if brokers > 0) {
            return Ok((child, start.elapsed()));
        }
        let ended = child.try_wait()?.is_some();
        if ended || start.elapsed() > START_MAX {
            child.kill().ok();
            child.wait().ok();
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let last: Vec<_> = text.lines().rev().take(3).collect();
            return Err(format!("{:?} did not become ready: {}", command.get_program(), last.join(" / ")).into());
        }
        sleep(Duration::from_micros(200));
    }
}

/// A port that is free now, with the next one (Kafka's controller takes it) free too.
fn free_port() -> Result<u16> {
    let bind = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port));
    for _ in 0..100 {
        let port = bind(0)?.local_addr()?.port();
        if port.checked_add(1).is_some_and(|next| bind(next).is_ok()) {
            return Ok(port);
        }
    }
    Err("no two free ports in a row".into())
}
