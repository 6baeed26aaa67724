//! Environment variables as configuration, by the rules of the `apache/kafka` and `confluentinc/cp-kafka` images
//! (`KAFKA_*`) and of `bitnami/kafka` (`KAFKA_CFG_*`).

#[cfg(test)]
mod tests;

/// Variables of the image's shell scripts: never keys.
const EXCLUDED: [&str; 11] = [
    "KAFKA_VERSION",
    "KAFKA_HEAP_OPTS",
    "KAFKA_LOG4J_OPTS",
    "KAFKA_OPTS",
    "KAFKA_JMX_OPTS",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_LOG4J_ROOT_LOGLEVEL",
    "KAFKA_LOG4J_LOGGERS",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL",
    "KAFKA_JMX_HOSTNAME",
];

/// By which Kafka's images, and bitnami's, format a data directory: the cluster id of one that has none.
pub const FORMATTING_ID: [&str; 2] = ["CLUSTER_ID", "KAFKA_KRAFT_CLUSTER_ID"];
const BITNAMI_PREFIX: &str = "KAFKA_CFG_";

/// Whether a variable says its key by bitnami's rule. Such a one wins over the plain one of the same key, as there.
pub fn is_bitnamis(variable: &str) -> bool {
    variable.starts_with(BITNAMI_PREFIX) || variable == FORMATTING_ID[1]
}

/// The key a variable sets, if it sets one: of `KAFKA_CFG_*` by bitnami's rule, of other `KAFKA_*` by that of Kafka's image.
pub fn key_of(variable: &str) -> Option<String> {
    match variable.strip_prefix(BITNAMI_PREFIX) {
        Some(name) => (!name.is_empty()).then(|| bitnamis_key(name)),
        None => kafkas_key(variable),
    }
}

/// In lower case, `_` for `.`, but for the two words that have a `_` of their own.
fn bitnamis_key(name: &str) -> String {
    let key = name.to_lowercase().replace('_', ".");
    key.replace("sasl.ssl", "sasl_ssl").replace("sasl.plaintext", "sasl_plaintext")
}

/// Without `KAFKA_`, in lower case, `___` for `-`, `__` for `_`, `_` for `.`.
fn kafkas_key(variable: &str) -> Option<String> {
    let name = variable.strip_prefix("KAFKA_").filter(|name| !name.is_empty())?;
    if EXCLUDED.contains(&variable) {
        return None;
    }
    let mut key = String::with_capacity(name.len());
    let mut rest = name;
    while !rest.is_empty() {
        let (sign, length) = match rest {
            _ if rest.starts_with("___") => ('-', 3),
            _ if rest.starts_with("__") => ('_', 2),
            _ if rest.starts_with('_') => ('.', 1),
            _ => {
                let end = rest.find('_').unwrap_or(rest.len());
                key.push_str(&rest[..end].to_lowercase());
                rest = &rest[end..];
                continue;
            }
        };
        key.push(sign);
        rest = &rest[length..];
    }
    Some(key)
}

/// `listeners` for an environment that only advertises: the same names and ports on all interfaces, as the image does.
pub fn listeners_from_advertised(advertised: &str) -> String {
    let bind_all = |entry: &str| -> Option<String> {
        let (name, address) = entry.split_once("://")?;
        let (_, port) = address.rsplit_once(':')?;
        Some(format!("{name}://0.0.0.0:{port}"))
    };
    advertised
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(|entry| bind_all(entry).unwrap_or_else(|| entry.to_owned()))
        .collect::<Vec<_>>()
        .join(",")
}
