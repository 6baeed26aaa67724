//! `ottla get-offsets`, as kafka-get-offsets.

use std::io::Write;

use super::options::{Options, Spec};
use super::partitions::{self, name_of};
use super::{ToolError, client, failed, output, usage};

const SPEC: Spec = Spec {
    help: "\
Usage: ottla get-offsets --bootstrap-server HOST:PORT [--topic NAME] [--partitions 0,1] [--time WHEN]
                         [--exclude-internal-topics]

Prints topic:partition:offset. --topic is a regular expression; all topics where it is not given. WHEN is a timestamp in
milliseconds, or latest (-1, default), earliest (-2), max-timestamp (-3), earliest-local (-4), latest-tiered (-5).",
    values: &["topic", "partitions", "time"],
    flags: &["exclude-internal-topics"],
    optional_values: &[],
};

pub fn run(arguments: &[String]) -> Result<(), ToolError> {
    let options = Options::parse(&SPEC, arguments)?;
    let time = match options.get("time") {
        None | Some("latest") => partitions::LATEST,
        Some("earliest") => partitions::EARLIEST,
        Some("max-timestamp") => -3,
        Some("earliest-local") => -4,
        Some("latest-tiered") => -5,
        Some(number) => match number.parse() {
            Ok(time) => time,
            Err(_) => return usage(format!("Malformed time argument {number}")),
        },
    };
    let pattern = partitions::whole_name(options.get("topic").unwrap_or(".*"))?;
    let wanted: Option<Vec<i32>> = match options.get("partitions") {
        None => None,
        Some(list) => Some(list.split(',').map(|n| n.trim().parse()).collect::<Result<_, _>>().map_err(|_| {
            ToolError::Usage(format!(
                "--partitions expects a comma separated list of numeric partition ids, but received: {list}"
            ))
        })?),
    };
    let mut client = client(&options)?;
    let metadata = client.metadata(None)?;
    let names: Vec<&str> = metadata
        .topics
        .iter()
        .filter(|topic| !(options.has("exclude-internal-topics") && topic.is_internal))
        .map(name_of)
        .filter(|name| pattern.is_match(name))
        .collect();
    if names.is_empty() {
        return failed("Could not match any topic-partitions with the specified filters");
    }
    let mut leaders = partitions::leaders(&mut client, &names)?;
    leaders.retain(|(_, partition), _| wanted.as_ref().is_none_or(|wanted| wanted.contains(partition)));
    if leaders.is_empty() {
        return failed("Could not match any topic-partitions with the specified filters");
    }
    let offsets = partitions::offsets_at(&mut client, &leaders, time, false)?;
    let mut out = output();
    for ((topic, partition), offset) in offsets {
        // Nothing is at or behind that time.
        if offset >= 0 {
            writeln!(out, "{topic}:{partition}:{offset}")?;
        }
    }
    Ok(out.flush()?)
}
