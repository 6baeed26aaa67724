//! A broker process under test: started on a free port and a temporary directory, killed and restarted at will.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use crate::options::{Ended, Options, binary_path, target_directory};
use crate::spawn;
use crate::wire::Client;

const READY_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Lines of the broker's log shown when a test fails.
const LOG_TAIL_LINES: usize = 60;

pub struct Broker {
    options: Options,
    running: Option<Running>,
    external: Option<String>,
    /// What earlier lives of the process logged.
    log: Vec<String>,
    _directory: Option<TempDir>,
}

impl Broker {
    /// `own_directory` goes with the broker.
    pub(crate) fn launch(options: Options, own_directory: Option<TempDir>) -> Result<Broker, Ended> {
        let running = Running::start(&options)?;
        Ok(Broker { options, running: Some(running), external: None, log: Vec::new(), _directory: own_directory })
    }

    #[track_caller]
    pub fn start() -> Broker {
        Options::new().start()
    }

    /// For tests that need a broker and nothing of its process: the external one, where `OTTLA_TEST_BOOTSTRAP` names it.
    #[track_caller]
    pub fn any() -> Broker {
        match std::env::var("OTTLA_TEST_BOOTSTRAP") {
            Ok(address) => Broker {
                options: external_options(),
                running: None,
                external: Some(address),
                log: Vec::new(),
                _directory: None,
            },
            Err(_) => Broker::start(),
        }
    }

    pub fn is_external(&self) -> bool {
        self.external.is_some()
    }

    /// `host:port` of the first listener.
    pub fn bootstrap(&self) -> String {
        match &self.external {
            Some(address) => address.clone(),
            None => format!("127.0.0.1:{}", self.port()),
        }
    }

    pub fn port(&self) -> u16 {
        self.running().listeners[0].port
    }

    /// Every listener the ready line named.
    pub fn listeners(&self) -> &[Listener] {
        &self.running().listeners
    }

    /// From the start of the process to its ready line.
    pub fn ready_after(&self) -> Duration {
        self.running().ready_after
    }

    pub fn data_dir(&self) -> &Path {
        self.options.data_dir.as_deref().expect("an own process has a data directory")
    }

    pub fn partition_dir(&self, topic: &str, partition: i32) -> PathBuf {
        self.data_dir().join(format!("{topic}-{partition}"))
    }

    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(&self.bootstrap()).unwrap_or_else(|e| panic!("cannot connect to {}: {e}", self.bootstrap()))
    }

    pub fn process_id(&self) -> u32 {
        self.running().child.id()
    }

    pub fn is_alive(&mut self) -> bool {
        self.running.as_mut().is_some_and(|running| matches!(running.child.try_wait(), Ok(None)))
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process_id())).expect("the broker lives");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux tells VmRSS");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("VmRSS in kB") * 1024
    }

    /// kill -9, and wait until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            spawn::signal(&running.child, libc::SIGKILL);
            let _ = running.child.wait();
            self.log.extend(running.finish_log());
        }
    }

    /// SIGTERM, and wait for the end.
    #[track_caller]
    pub fn terminate(&mut self) -> Ended {
        self.request_stop();
        self.wait()
    }

    /// Waits for the process to end by itself.
    #[track_caller]
    pub fn wait(&mut self) -> Ended {
        let mut running = self.running.take().expect("the broker runs");
        let status = spawn::wait(&mut running.child, STOP_LIMIT);
        if status.is_none() {
            spawn::signal(&running.child, libc::SIGABRT);
        }
        let lines = running.finish_log();
        self.log.extend(lines.iter().cloned());
        Ended { status: status.unwrap_or_else(|| panic!("the broker did not end")), output: lines.join("\n") }
    }

    /// SIGTERM without waiting; `wait` follows.
    pub fn request_stop(&self) {
        spawn::signal(&self.running().child, libc::SIGTERM);
    }

    /// Starts again on the same directory and, unless changed, any port. Kills first what still runs.
    #[track_caller]
    pub fn restart(&mut self) {
        self.restart_with(self.options.clone());
    }

    #[track_caller]
    pub fn restart_with(&mut self, options: Options) {
        if let Err(ended) = self.try_restart_with(options) {
            panic!("the broker did not start again: {ended:?}");
        }
    }

    /// Starts again, or says how the process ended instead.
    pub fn try_restart_with(&mut self, mut options: Options) -> Result<(), Ended> {
        self.kill();
        options.data_dir = options.data_dir.or(self.options.data_dir.take());
        self.options = options;
        self.running = Some(Running::start(&self.options)?);
        Ok(())
    }

    /// Starts the process and kills it `after` that time, ready or not: a crash in the middle of recovery.
    pub fn start_and_kill(&mut self, after: Duration) {
        self.kill();
        let mut child = spawn::spawn(self.options.command()).expect("the broker can be spawned");
        let early = spawn::wait(&mut child, after);
        assert!(early.is_none(), "the broker ended by itself during recovery: {early:?}\n{}", drain(&mut child));
        spawn::signal(&child, libc::SIGKILL);
        let _ = child.wait();
    }

    /// Everything the process has said, over all its lives.
    pub fn log(&self) -> Vec<String> {
        let current = self.running.as_ref().map(|running| running.output.0.lock().expect("log lock").lines.clone());
        self.log.iter().cloned().chain(current.unwrap_or_default()).collect()
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the broker runs")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
        let panicked: Vec<_> = self.log.iter().filter(|line| line.contains("panicked at")).collect();
        if std::thread::panicking() {
            let from = self.log.len().saturating_sub(LOG_TAIL_LINES);
            eprintln!("--- the broker's log, {from} lines left out\n{}\n---", self.log[from..].join("\n"));
        } else {
            assert!(panicked.is_empty(), "the broker panicked: {panicked:?}");
        }
    }
}

/// Whether the tests run against something else, to try the tests themselves.
pub fn is_stand_in() -> bool {
    ["OTTLA_TEST_BOOTSTRAP", "OTTLA_TEST_BINARY"].iter().any(|name| std::env::var_os(name).is_some())
}

fn external_options() -> Options {
    match std::env::var_os("OTTLA_TEST_DATA_DIR") {
        Some(directory) => Options::new().data_dir(directory),
        None => Options::new(),
    }
}

/// A bound address from the ready line: `NAME://host:port`.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    pub name: String,
    pub host: String,
    pub port: u16,
}

/// The ready line names every listener, in order.
pub fn parse_ready_line(line: &str) -> Option<Vec<Listener>> {
    if !line.contains("ready") {
        return None;
    }
    let words = line.split(|c: char| c.is_whitespace() || c == ',' || c == '"');
    let listeners: Vec<_> = words.filter_map(parse_listener).collect();
    (!listeners.is_empty()).then_some(listeners)
}

fn parse_listener(word: &str) -> Option<Listener> {
    let (name, address) = word.split_once("://")?;
    let name = name.rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next()?;
    let (host, port) = address.rsplit_once(':')?;
    let digits: String = port.chars().take_while(char::is_ascii_digit).collect();
    Some(Listener { name: name.to_owned(), host: host.to_owned(), port: digits.parse().ok()? })
}

struct Running {
    child: Child,
    listeners: Vec<Listener>,
    ready_after: Duration,
    output: Arc<(Mutex<Output>, Condvar)>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Output {
    lines: Vec<String>,
    ready: Option<Vec<Listener>>,
    open_pipes: u32,
}

impl Running {
    fn start(options: &Options) -> Result<Running, Ended> {
        let start = Instant::now();
        let mut child = spawn::spawn(options.command()).expect("the broker can be spawned");
        let output = Arc::new((Mutex::new(Output { open_pipes: 2, ..Output::default() }), Condvar::new()));
        let readers = vec![
            read_lines(child.stdout.take().expect("piped"), output.clone()),
            read_lines(child.stderr.take().expect("piped"), output.clone()),
        ];
        let (state, changed) = &*output;
        let (state, timeout) = changed
            .wait_timeout_while(state.lock().expect("log lock"), READY_LIMIT, |state| {
                state.ready.is_none() && state.open_pipes > 0
            })
            .expect("log lock");
        let (ready, ready_after) = (state.ready.clone(), start.elapsed());
        drop(state);
        let mut running = Running { child, listeners: Vec::new(), ready_after, output: output.clone(), readers };
        match ready {
            Some(listeners) => {
                running.listeners = listeners;
                Ok(running)
            }
            None => {
                if timeout.timed_out() {
                    spawn::signal(&running.child, libc::SIGKILL);
                }
                let status = running.child.wait().expect("the broker can be waited for");
                Err(Ended { status, output: running.finish_log().join("\n") })
            }
        }
    }

    /// All lines, once the process is gone.
    fn finish_log(&mut self) -> Vec<String> {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        std::mem::take(&mut self.output.0.lock().expect("log lock").lines)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A no-op once it was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(pipe: impl Read + Send + 'static, output: Arc<(Mutex<Output>, Condvar)>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            let ready = parse_ready_line(&line);
            let mut state = output.0.lock().expect("log lock");
            state.lines.push(line);
            if ready.is_some() {
                state.ready = ready;
                output.1.notify_all();
            }
        }
        output.0.lock().expect("log lock").open_pipes -= 1;
        output.1.notify_all();
    })
}

fn drain(child: &mut Child) -> String {
    let mut text = String::new();
    for pipe in
        [child.stdout.take().map(|p| Box::new(p) as Box<dyn Read>), child.stderr.take().map(|p| Box::new(p) as _)]
    {
        let _ = pipe.expect("piped").read_to_string(&mut text);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_names_every_listener() {
        let line = "Ottla 0.1.0 is ready: PLAINTEXT://127.0.0.1:34567, OUTSIDE://[::1]:9093 (12 ms)";
        let listeners = parse_ready_line(line).expect("is a ready line");
        assert_eq!(listeners[0], Listener { name: "PLAINTEXT".into(), host: "127.0.0.1".into(), port: 34567 });
        assert_eq!(listeners[1], Listener { name: "OUTSIDE".into(), host: "[::1]".into(), port: 9093 });
        assert_eq!(parse_ready_line("listening on PLAINTEXT://127.0.0.1:1"), None);
    }
}
