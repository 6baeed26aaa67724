//! `ottla cluster`, as kafka-cluster.

use std::io::Write;

use kafka_protocol::messages::DescribeClusterRequest;

use super::options::{Options, Spec};
use super::{ToolError, client, output, print_table, usage};
use crate::client::{ClientError, To};

const SPEC: Spec = Spec {
    help: "\
Usage: ottla cluster cluster-id --bootstrap-server HOST:PORT
       ottla cluster list-endpoints --bootstrap-server HOST:PORT",
    values: &["config"],
    flags: &[],
    optional_values: &[],
};

pub fn run(arguments: &[String]) -> Result<(), ToolError> {
    let options = Options::parse(&SPEC, arguments)?;
    let [command] = &options.words[..] else { return usage("one command is needed: cluster-id or list-endpoints") };
    if !matches!(command.as_str(), "cluster-id" | "list-endpoints") {
        return usage(format!("invalid choice: '{command}' (choose from cluster-id, list-endpoints)"));
    }
    let answer = client(&options)?.call(To::Any, i16::MAX, &DescribeClusterRequest::default())?;
    ClientError::check(answer.error_code, answer.error_message.as_ref())?;
    let mut out = output();
    if command == "cluster-id" {
        writeln!(out, "Cluster ID: {}", answer.cluster_id)?;
    } else {
        let mut rows = vec![["ID", "HOST", "PORT", "RACK", "STATE", "ENDPOINT_TYPE"].map(str::to_owned).to_vec()];
        for broker in &answer.brokers {
            let rack = broker.rack.as_ref().map_or_else(|| "null".to_owned(), ToString::to_string);
            let state = if broker.is_fenced { "fenced" } else { "unfenced" };
            rows.push(vec![
                broker.broker_id.to_string(),
                broker.host.to_string(),
                broker.port.to_string(),
                rack,
                state.to_owned(),
                "broker".to_owned(),
            ]);
        }
        print_table(&mut out, &rows)?;
    }
    Ok(out.flush()?)
}
