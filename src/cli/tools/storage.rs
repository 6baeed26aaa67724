//! `ottla storage`: what scripts call `kafka-storage` for. A broker of ours needs no formatting.

use std::io::Write;

use super::options::{Options, Spec};
use super::{ToolError, failed, output, usage};
use crate::base::TopicId;
use crate::broker::{format_data_dir, read_cluster_id};
use crate::config::{BrokerConfig, BrokerConfigBuilder};

const SPEC: Spec = Spec {
    help: "\
Usage: ottla storage random-uuid
       ottla storage format --cluster-id ID [--config FILE] [--ignore-formatted] [--standalone]
       ottla storage info [--config FILE]

random-uuid   prints an id for a cluster
format        gives the data directory (log.dirs of the file and the environment) its cluster id. Needed by nobody: a broker
              does it at its first start. CLUSTER_ID in the environment counts more than --cluster-id, as it does for the broker
info          says whether the data directory has a cluster id, and which",
    values: &["cluster-id", "config", "add-scram", "release-version", "feature", "initial-controllers"],
    flags: &["ignore-formatted", "standalone", "no-initial-controllers"],
    optional_values: &[],
};

pub fn run(arguments: &[String]) -> Result<(), ToolError> {
    // Here -t is the cluster id.
    let arguments: Vec<String> =
        arguments.iter().map(|one| if one == "-t" { "--cluster-id".to_owned() } else { one.clone() }).collect();
    let options = Options::parse(&SPEC, &arguments)?;
    match &options.words[..] {
        [command] if command == "random-uuid" => Ok(writeln!(output(), "{}", TopicId::random())?),
        [command] if command == "format" => format(&options),
        [command] if command == "info" => info(&options),
        [] => usage("no command is given: random-uuid, format or info"),
        [command, ..] => usage(format!("invalid choice: '{command}' (choose from random-uuid, format, info)")),
    }
}

fn config(options: &Options) -> Result<BrokerConfig, ToolError> {
    let mut builder = BrokerConfigBuilder::new();
    if let Some(path) = options.get("config").map(std::path::Path::new) {
        // An image may name a file that it never wrote: its configuration is the environment.
        let by_environment = ["KAFKA_LOG_DIRS", "KAFKA_LOG_DIR"].iter().any(|name| std::env::var_os(name).is_some());
        if path.exists() || !by_environment {
            builder = builder.properties_file(path).map_err(|e| ToolError::Failed(e.to_string()))?;
        }
    }
    let (config, _) =
        builder.environment(crate::cli::environment()).build().map_err(|e| ToolError::Failed(e.to_string()))?;
    Ok(config)
}

fn format(options: &Options) -> Result<(), ToolError> {
    if options.has("add-scram") {
        return failed("--add-scram: SASL is not served yet, so no credentials can be stored");
    }
    let id = options.required("cluster-id")?;
    let config = config(options)?;
    let dir = config.log_dir();
    let mut out = output();
    match read_cluster_id(&dir).map_err(|e| ToolError::Failed(e.to_string()))? {
        Some(_) if options.has("ignore-formatted") => {
            writeln!(out, "All of the log directories are already formatted.")?;
        }
        Some(_) => {
            return failed(format!(
                "Log directory {} is already formatted. Use --ignore-formatted to ignore this directory and format the \
                 others.",
                dir.display()
            ));
        }
        None => {
            let id = config.fresh_cluster_id().unwrap_or(id);
            format_data_dir(&config, id).map_err(|e| ToolError::Failed(e.to_string()))?;
            writeln!(out, "Formatting {} with cluster id {id}.", dir.display())?;
        }
    }
    Ok(())
}

fn info(options: &Options) -> Result<(), ToolError> {
    let dir = config(options)?.log_dir();
    let id = read_cluster_id(&dir).map_err(|e| ToolError::Failed(e.to_string()))?;
    let mut out = output();
    writeln!(out, "Found log directory:\n  {}\n", dir.display())?;
    match id {
        Some(id) => Ok(writeln!(out, "Found metadata: {{cluster.id={id}}}")?),
        None => {
            writeln!(out, "Found problem:\n  {} is not formatted.", dir.display())?;
            out.flush()?;
            failed("")
        }
    }
}
