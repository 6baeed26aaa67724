//! The generated `docs/configuration.md`.

#[cfg(test)]
mod tests;

use std::fmt::Write;

use super::defaults::OWN_DEFAULTS;
use super::table::{self, ConfigKey, Scope, Support, UpdateMode};
use super::value;

/// The whole page; a test holds the committed file to it.
pub fn markdown() -> String {
    let mut page = String::from(HEAD);
    page.push_str("\n## Where our defaults differ from Kafka's\n\n| Key | Kafka | Here | Why |\n|---|---|---|---|\n");
    for own in OWN_DEFAULTS {
        let kafka = table::find(Scope::Broker, own.key).map_or_else(String::new, |key| code(key.default));
        line(&mut page, &format!("| `{}` | {kafka} | `{}` | {} |", own.key, own.value, own.reason));
    }
    section(&mut page, "Broker keys", Scope::Broker);
    section(&mut page, "Topic keys", Scope::Topic);
    section(&mut page, "Group keys", Scope::Group);
    section(&mut page, "Client metrics keys", Scope::ClientMetrics);
    page
}

const HEAD: &str = "# Configuration

This page is generated from the key table in `src/config/table`: `UPDATE_DOCS=1 cargo test` writes it anew.

Every key of Apache Kafka 4.2 is known. **honoured** keys do what they do in Kafka; *accepted* keys are checked, kept and
described, but change nothing, and the broker says so once when it starts. Keys that Kafka does not know either are
ignored with a notice.

Sources, later ones win: the defaults below, a `server.properties` file, environment variables, and `--override key=value`
arguments. Environment variables go by the rule of Kafka's and Confluent's images (`KAFKA_NUM_PARTITIONS`: drop `KAFKA_`, lower
case, `___` is `-`, `__` is `_`, `_` is `.`) or by bitnami's (`KAFKA_CFG_NUM_PARTITIONS`: every `_` is `.`), which counts more.
`CLUSTER_ID` (or `KAFKA_KRAFT_CLUSTER_ID`) is the cluster id of a data directory that has none. Where the environment has
`advertised.listeners` and no `listeners`, the same ports are listened on, on all interfaces. A comma at the end of a list of
listeners is ignored. `cluster.id` as a key must be that of the data directory.

A set-up for several nodes is one of a cluster of its own here: `controller.quorum.voters` that name others are said to be
ignored, and the replication factors of Kafka's internal topics count as 1.

A key prefixed `listener.name.<listener>.` or `listener.name.<listener>.<mechanism>.` is checked like the key behind the
prefix and accepted without effect.

*Changes* says when a broker key can change: `start` only at start, `broker` while running on one broker, `cluster` while
running on one broker or all. Topic, group and client metrics keys can always change.
";

fn section(page: &mut String, title: &str, scope: Scope) {
    let broker = scope == Scope::Broker;
    let keys: Vec<&ConfigKey> =
        table::keys(scope).values().copied().filter(|key| !key.internal || key.name.starts_with("ottla.")).collect();
    let honoured = keys.iter().filter(|key| key.support == Support::Honoured).count();
    line(page, &format!("\n## {title}\n\n{honoured} of {} are honoured.\n", keys.len()));
    let third = match scope {
        Scope::Broker => "Changes",
        _ => "Default from",
    };
    line(page, &format!("| Key | Support | Default | Valid | {third} | Meaning |\n|---|---|---|---|---|---|"));
    for key in keys {
        let support = match key.support {
            Support::Honoured => "**honoured**",
            Support::Accepted => "*accepted*",
        };
        let third = if broker { changes(key).to_owned() } else { default_from(scope, key) };
        let valid = value::describe(key).replace('|', "\\|");
        line(
            page,
            &format!(
                "| `{}` | {support} | {} | {valid} | {third} | {} |",
                key.name,
                code(key.effective_default()),
                key.doc
            ),
        );
    }
}

fn changes(key: &ConfigKey) -> &'static str {
    match key.mode {
        UpdateMode::ReadOnly => "start",
        UpdateMode::PerBroker => "broker",
        UpdateMode::ClusterWide => "cluster",
    }
}

fn default_from(scope: Scope, key: &ConfigKey) -> String {
    let group_key = format!("group.{}", key.name);
    if scope == Scope::Group && table::find(Scope::Broker, &group_key).is_some() {
        return format!("`{group_key}`");
    }
    key.synonyms.iter().map(|synonym| format!("`{}`", synonym.name)).collect::<Vec<_>>().join(", ")
}

fn code(default: Option<&str>) -> String {
    match default {
        None => "none".to_owned(),
        Some("") => "empty".to_owned(),
        Some(text) => format!("`{text}`"),
    }
}

fn line(page: &mut String, text: &str) {
    writeln!(page, "{text}").expect("writing to a string cannot fail");
}
