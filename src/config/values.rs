//! Typed access to effective broker values, the same over the static and the dynamic layer.

use super::table::{self, Scope};
use super::value::Value;

/// Reading broker keys by type.
///
/// Keys are those of the table: asking for one that it does not have, or by another type than its own, is a mistake in
/// the calling code and panics. Values in a layer have passed validation before they got there.
pub trait BrokerValues {
    /// The effective value of a key, [`Value::Null`] where neither a layer nor the table gives one.
    fn value(&self, key: &str) -> Value;

    fn get_bool(&self, key: &str) -> bool {
        self.value(key).as_bool().unwrap_or_else(|| mistaken(key, "a boolean"))
    }

    /// Any integer key.
    fn get_i64(&self, key: &str) -> i64 {
        self.opt_i64(key).unwrap_or_else(|| mistaken(key, "an integer"))
    }

    /// Int and short keys.
    fn get_i32(&self, key: &str) -> i32 {
        i32::try_from(self.get_i64(key)).unwrap_or_else(|_| mistaken(key, "an int"))
    }

    /// Integer keys whose default is null.
    fn opt_i64(&self, key: &str) -> Option<i64> {
        self.value(key).as_i64()
    }

    /// String, class and password keys, as set; `None` is null.
    fn get_string(&self, key: &str) -> Option<String> {
        match self.value(key) {
            Value::String(text) | Value::Class(text) => Some(text),
            Value::Password(secret) => Some(secret.reveal().to_owned()),
            _ => None,
        }
    }

    /// List keys; null is empty.
    fn get_list(&self, key: &str) -> Vec<String> {
        self.value(key).as_list().to_vec()
    }

    /// Partitions of an automatically created topic.
    fn num_partitions(&self) -> i32 {
        self.get_i32("num.partitions")
    }

    fn default_replication_factor(&self) -> i16 {
        i16::try_from(self.get_i32("default.replication.factor")).unwrap_or(i16::MAX)
    }

    fn auto_create_topics_enable(&self) -> bool {
        self.get_bool("auto.create.topics.enable")
    }

    /// Bytes: the largest request a connection may send.
    fn socket_request_max_bytes(&self) -> i32 {
        self.get_i32("socket.request.max.bytes")
    }

    /// Bytes of requests in flight over all connections; never less than one largest request, -1 for no bound.
    fn queued_max_request_bytes(&self) -> i64 {
        let bytes = self.get_i64("queued.max.request.bytes");
        if bytes < 0 { -1 } else { bytes.max(self.socket_request_max_bytes().into()) }
    }

    fn max_connections(&self) -> i32 {
        self.get_i32("max.connections")
    }

    fn max_connections_per_ip(&self) -> i32 {
        self.get_i32("max.connections.per.ip")
    }

    /// Partitions a DescribeTopicPartitions response may carry.
    fn max_request_partition_size_limit(&self) -> i32 {
        self.get_i32("max.request.partition.size.limit")
    }
}

/// The first of the layered texts that the key's type can read, else its default.
pub(super) fn first_valid<'a>(key: &str, layers: impl IntoIterator<Item = Option<&'a String>>) -> Value {
    let Some(row) = table::find(Scope::Broker, key) else { mistaken(key, "a broker key") };
    let set = layers.into_iter().flatten().find_map(|text| super::value::parse(row, key, text).ok());
    set.unwrap_or_else(|| super::value::parse_default(row))
}

fn mistaken(key: &str, expected: &str) -> ! {
    panic!("{key} is not {expected} of the configuration table")
}
