//! `ottla api-versions`, as kafka-broker-api-versions.

use std::io::Write;

use kafka_protocol::messages::ApiKey;

use super::options::{Options, Spec};
use super::{ToolError, client, output, print_json};

const SPEC: Spec = Spec {
    help: "\
Usage: ottla api-versions --bootstrap-server HOST:PORT [--json]

Prints which requests each broker serves, and in which versions.",
    values: &[],
    flags: &["json"],
    optional_values: &[],
};

pub fn run(arguments: &[String]) -> Result<(), ToolError> {
    let options = Options::parse(&SPEC, arguments)?;
    let mut client = client(&options)?;
    let mut out = output();
    let mut json = Vec::new();
    for (id, address) in client.brokers()? {
        let versions = client.versions_of(&address)?;
        if options.has("json") {
            let keys: Vec<_> = versions.iter().map(|(key, (min, max))| serde_json::json!([key, min, max])).collect();
            json.push(serde_json::json!({"id": id, "address": address, "apiKeys": keys}));
            continue;
        }
        writeln!(out, "{address} (id: {id} rack: null isFenced: false) -> (")?;
        let last = versions.len();
        for (at, (key, (min, max))) in versions.iter().enumerate() {
            let name = ApiKey::try_from(*key).map_or_else(|()| "UNKNOWN".to_owned(), |key| format!("{key:?}"));
            let range = if min == max { min.to_string() } else { format!("{min} to {max}") };
            let comma = if at + 1 == last { "" } else { "," };
            writeln!(out, "\t{name}({key}): {range} [usable: {max}]{comma}")?;
        }
        writeln!(out, ")")?;
    }
    if options.has("json") {
        print_json(&mut out, &json.into())?;
    }
    Ok(out.flush()?)
}
