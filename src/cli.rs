//! The process: arguments, environment, logs, signals, exit codes. No logic of its own.
//!
//! Exit codes: 0 clean, 1 failed, 2 bad configuration or arguments of the broker.

mod arguments;
mod ready_lines;
mod tools;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::broker::{Endpoint, StartError};
use crate::config::{BrokerConfig, BrokerConfigBuilder, Notice};
use crate::server::Broker;
use arguments::{Command, LogFormat, RunArguments};

/// `auto.leader.rebalance` is first looked at so long after the start.
const SETTLING_MAX: Duration = Duration::from_secs(5);
/// For a command to end in order once it is told to.
const ORDERLY_MAX: Duration = Duration::from_secs(3);
/// The shell's code for SIGINT.
const EXIT_INTERRUPTED: i32 = 130;
const SETTLING_PAUSE: Duration = Duration::from_millis(20);

const EXIT_FAILED: u8 = 1;
const EXIT_BAD_CONFIGURATION: u8 = 2;

/// The `ottla` command.
pub fn main() -> ExitCode {
    let mut arguments = Vec::new();
    for argument in std::env::args_os() {
        match argument.into_string() {
            Ok(argument) => arguments.push(argument),
            Err(argument) => {
                eprintln!("ottla: the argument {argument:?} is no UTF-8");
                return ExitCode::from(EXIT_BAD_CONFIGURATION);
            }
        }
    }
    let mut arguments = arguments.into_iter();
    let program = arguments.next().unwrap_or_default();
    let command = match Command::parse(&program, arguments) {
        Ok(command) => command,
        Err(why) => {
            eprintln!("ottla: {why}\nTry 'ottla --help'.");
            return ExitCode::from(EXIT_BAD_CONFIGURATION);
        }
    };
    match command {
        Command::Help => {
            say(arguments::HELP);
            ExitCode::SUCCESS
        }
        Command::Version => {
            say(concat!("ottla ", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
        Command::Tool(tool, arguments) => tools::run(tool, &arguments),
        Command::Run(run) => {
            keep_memory_small();
            start_logs(run.log_format);
            stop_on_panic();
            raise_open_files_limit();
            match run_broker(run) {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::from(EXIT_FAILED),
                Err(error) => {
                    eprintln!("ottla: {error}");
                    ExitCode::from(match error {
                        StartError::Config(_) => EXIT_BAD_CONFIGURATION,
                        StartError::Failed(_) => EXIT_FAILED,
                    })
                }
            }
        }
    }
}

/// Prints a line. Who reads may have gone (`ottla --help | head`): that is no failure.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn run_broker(run: RunArguments) -> Result<bool, StartError> {
    let clock = crate::base::Clock::system();
    let begun = clock.instant();
    let (ephemeral, kafka_ready_lines) = (run.ephemeral, run.kafka_ready_lines);
    let (config, notices) = configure(run)?;
    report(&notices);
    let broker = Broker::builder()
        .configured(config, ephemeral)
        .on_fatal(|what| {
            tracing::error!(what, "the write-ahead log has failed: stopping, recovery decides what is durable");
            std::process::exit(i32::from(EXIT_FAILED));
        })
        .start_blocking()?;
    let listeners: Vec<String> = broker.endpoints().iter().map(shown).collect();
    let elapsed = clock.instant().duration_since(begun);
    tracing::info!(
        listeners = listeners.join(","),
        console = broker.console().map(tracing::field::display),
        cluster_id = broker.cluster_id(),
        data_dir = %broker.data_dir().display(),
        elapsed_ms = elapsed.as_millis() as u64,
        "started"
    );
    // Whoever reads the line may stop us at once, or read no more.
    let mut signals = Signals::new().map_err(|e| StartError::Failed(format!("waiting for signals: {e}")))?;
    let _ = writeln!(std::io::stdout(), "ottla {} ready: {}", env!("CARGO_PKG_VERSION"), listeners.join(","));
    if kafka_ready_lines {
        ready_lines::say_started(&clock, broker.node_id());
    }
    if !(kafka_ready_lines && broker.is_with_zookeeper() && settles(&clock, &broker, &mut signals)) {
        signals.wait();
    }
    tracing::info!("stopping");
    let clean = broker.stop();
    tracing::info!(clean, "stopped");
    Ok(clean)
}

/// Where set-ups for a Kafka with ZooKeeper change what is advertised when they know their port, waits for that, as long as
/// such a Kafka takes to look at its leaders. Answers whether it is to stop instead.
fn settles(clock: &crate::base::Clock, broker: &Broker, signals: &mut Signals) -> bool {
    let at_start = broker.changed_addresses();
    ready_lines::say_waiting(clock);
    let deadline = clock.instant() + SETTLING_MAX;
    while broker.changed_addresses() == at_start && clock.instant() < deadline {
        if signals.come_within(SETTLING_PAUSE) {
            return true;
        }
    }
    ready_lines::say_settled(clock);
    false
}

/// Later wins: defaults, file, environment, arguments.
fn configure(run: RunArguments) -> Result<(BrokerConfig, Vec<Notice>), StartError> {
    let bad = |e: crate::config::ConfigError| StartError::Config(e.to_string());
    let mut builder = BrokerConfigBuilder::new();
    if let Some(path) = &run.config {
        builder = builder.properties_file(path).map_err(bad)?;
    }
    builder = builder.environment(environment());
    for argument in &run.overrides {
        builder = builder.override_with(argument).map_err(bad)?;
    }
    if let Some(port) = run.exposed_port {
        builder = builder.exposed_port(port);
    }
    if let Some(port) = run.port {
        builder = builder.set("listeners", format!("PLAINTEXT://localhost:{port}"));
    }
    if let Some(dir) = &run.data_dir {
        builder = builder.set("log.dirs", dir.to_string_lossy());
    }
    builder.build().map_err(bad)
}

/// Variables that are no text are none of ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
}

/// One line for all keys that change nothing, one for all that nobody knows.
fn report(notices: &[Notice]) {
    let mut accepted = Vec::new();
    for notice in notices {
        match notice {
            Notice::AcceptedWithoutEffect { key } => accepted.push(key.as_str()),
            other => tracing::warn!("{other}"),
        }
    }
    if !accepted.is_empty() {
        tracing::info!(keys = accepted.join(","), "accepted without effect");
    }
}

fn shown(endpoint: &Endpoint) -> String {
    let (host, port) = endpoint.bound.clone();
    format!("{}://{host}:{port}", endpoint.name)
}

fn start_logs(format: LogFormat) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => logs.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => logs.json().init(),
    }
}

/// A broker that has lost a thread serves half a state: it says so and stops.
fn stop_on_panic() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        default(info);
        tracing::error!("a bug in Ottla: stopping rather than serve half a state");
        std::process::abort();
    }));
}

/// Without huge pages: clearing them costs most of a start, and an idle broker would hold megabytes it never uses.
fn keep_memory_small() {
    // SAFETY: the call takes no pointers.
    unsafe {
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
    }
}

/// Each connection and each partition in use takes a descriptor.
fn raise_open_files_limit() {
    // SAFETY: the structure is plain data and lives through both calls.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 && limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// Whether SIGTERM or SIGINT has come since, for a command that ends in order.
fn stop_signal() -> impl Fn() -> bool {
    let come = Arc::new(AtomicBool::new(false));
    let told = come.clone();
    if let Ok(mut signals) = Signals::new() {
        std::thread::spawn(move || {
            signals.wait();
            told.store(true, Ordering::Relaxed);
            // A broker that answers no more is not waited for; nor is it by who asks twice.
            signals.come_within(ORDERLY_MAX);
            std::process::exit(EXIT_INTERRUPTED);
        });
    }
    move || come.load(Ordering::Relaxed)
}

/// SIGTERM and SIGINT, caught from its making on.
struct Signals {
    runtime: tokio::runtime::Runtime,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (terminate, interrupt) = {
            let _entered = runtime.enter();
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
        };
        Ok(Signals { runtime, terminate, interrupt })
    }

    fn wait(&mut self) {
        self.runtime.block_on(async {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
        });
    }

    fn come_within(&mut self, limit: Duration) -> bool {
        self.runtime.block_on(async {
            tokio::select! {
                _ = self.terminate.recv() => true,
                _ = self.interrupt.recv() => true,
                () = tokio::time::sleep(limit) => false,
            }
        })
    }
}
