//! `ottla health`: for the health check of a container.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::options::{Options, Spec};
use super::{ToolError, output, print_json};
use crate::client::Client;
use crate::config::BrokerConfigBuilder;

const SPEC: Spec = Spec {
    help: "\
Usage: ottla health [--bootstrap-server HOST:PORT] [--config FILE] [--wait SECONDS] [--timeout-ms MS] [--json]

Exit code 0 when the broker answers and knows its controller, else 1. Without --bootstrap-server the first listener of the
broker's configuration is asked: of FILE (in the image, of a mounted server.properties) and the environment. --wait asks again
until it answers, that long at most.",
    values: &["wait", "config"],
    flags: &["json"],
    optional_values: &[],
};

const TIMEOUT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(50);

pub fn run(arguments: &[String]) -> Result<(), ToolError> {
    let options = Options::parse(&SPEC, arguments)?;
    let bootstrap = match options.get("bootstrap-server") {
        Some(address) => address.to_owned(),
        None => own_address(options.get("config"))?,
    };
    let timeout = options.number::<u64>("timeout-ms")?.map_or(TIMEOUT, Duration::from_millis);
    let clock = crate::base::Clock::system();
    let wait = Duration::from_secs(options.number::<u32>("wait")?.unwrap_or(0).into());
    let until = clock.instant() + wait;
    let answer = loop {
        match Client::new(&bootstrap, timeout).metadata(Some(&[])) {
            Ok(answer) => break answer,
            Err(_) if clock.instant() < until => pause(until.duration_since(clock.instant())),
            Err(error) => return Err(error.into()),
        }
    };
    let cluster = answer.cluster_id.as_ref().map(ToString::to_string).unwrap_or_default();
    if !answer.brokers.iter().any(|broker| broker.node_id == answer.controller_id) {
        return super::failed("the broker knows no controller");
    }
    let mut out = output();
    if options.has("json") {
        let brokers: Vec<_> = answer.brokers.iter().map(|b| format!("{}:{}", b.host, b.port)).collect();
        print_json(&mut out, &serde_json::json!({"clusterId": cluster, "brokers": brokers}))
    } else {
        Ok(writeln!(out, "healthy: {} broker(s) of cluster {cluster} at {bootstrap}", answer.brokers.len())?)
    }
}

fn pause(left: Duration) {
    std::thread::sleep(RETRY.min(left));
}

/// Where people mount a configuration into the image (`image/rootfs`).
const MOUNTED: [&str; 2] = ["/bitnami/kafka/config/server.properties", "/mnt/shared/config/server.properties"];

/// The first listener of the broker beside us.
fn own_address(config: Option<&str>) -> Result<String, ToolError> {
    let mut builder = BrokerConfigBuilder::new();
    let mounted = || MOUNTED.into_iter().find(|path| Path::new(path).exists());
    if let Some(path) = config.or_else(mounted) {
        builder = builder.properties_file(Path::new(path)).map_err(|e| ToolError::Failed(e.to_string()))?;
    }
    let (config, _) =
        builder.environment(crate::cli::environment()).build().map_err(|e| ToolError::Failed(e.to_string()))?;
    let first = config.listeners().iter().find(|one| !config.is_controller_listener(&one.name));
    Ok(match first {
        Some(listener) => {
            let host = listener.host.as_deref().filter(|host| !matches!(*host, "0.0.0.0" | "::"));
            format!("{}:{}", host.unwrap_or("localhost"), listener.port)
        }
        None => "localhost:9092".to_owned(),
    })
}
