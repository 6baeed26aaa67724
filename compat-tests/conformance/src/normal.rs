//! Makes two answers comparable: what a broker chooses for itself (ids, ports, times, session numbers) becomes a stable token, and lists whose
//! order Kafka does not promise are sorted. Everything else stays as it came.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiKey;
use uuid::Uuid;

use crate::apis;
use crate::batch::read;
use crate::tree::Tree;

/// Producer ids from here up are chosen by scenarios and stay as they are.
pub const CHOSEN_PRODUCER_IDS_FROM: i64 = 1_000_000;
/// Timestamps that close to the play's base are written as `T+n`.
const BASE_WINDOW_MS: i64 = 1_000_000;
const MINUTES_10_MS: i64 = 600_000;
const HOUR_MS: i64 = 3_600_000;
const NIL: &str = "00000000-0000-0000-0000-000000000000";
/// How the record of a transaction's marker begins in words: its key is version 0 of abort or commit.
const MARKER: &str = "+0 @0 0000000";
/// Keys whose values say where and how a broker was started. The two brokers are started differently.
const DEPLOYMENT_KEYS: [&str; 11] = [
    "advertised.listeners",
    "controller.listener.names",
    "controller.quorum.bootstrap.servers",
    "controller.quorum.voters",
    "inter.broker.listener.name",
    "listener.security.protocol.map",
    "listeners",
    "log.dir",
    "log.dirs",
    "metadata.log.dir",
    "process.roles",
];

/// What one play has learned about values that differ from run to run.
pub struct Names {
    /// Base of the scenario's own timestamps, an hour before the play: old enough to be told from the broker's clock, too young for retention.
    pub base_ms: i64,
    /// Keep only the scenario's own topics in listings of everything.
    pub mine_only: Option<String>,
    /// Prefix of the play's topics and what to call it, where several plays run on one broker.
    pub rename: Option<(String, String)>,
    /// Leader epochs may differ: how often they rise over a restart is each broker's own affair.
    pub any_epoch: bool,
    start_ms: i64,
    stamps: BTreeMap<i64, String>,
    uuids: Vec<(Uuid, String)>,
    sessions: Vec<i64>,
    producer_ids: Vec<i64>,
    /// Member ids that the broker has chosen, each with its token.
    members: Vec<(String, String)>,
}

impl Names {
    pub fn new(now_ms: i64) -> Names {
        Names {
            base_ms: now_ms - HOUR_MS,
            mine_only: None,
            rename: None,
            any_epoch: false,
            start_ms: now_ms,
            stamps: BTreeMap::new(),
            uuids: Vec::new(),
            sessions: Vec::new(),
            producer_ids: Vec::new(),
            members: Vec::new(),
        }
    }

    /// Makes a member id that the broker has chosen a token: `clientId-uuid`, or in a consumer group 22 digits. Ids that a scenario chose stay.
    pub fn member(&mut self, id: &str) {
        let prefix = match id.len().checked_sub(36).and_then(|at| id.split_at_checked(at)) {
            Some((prefix, uuid)) if Uuid::parse_str(uuid).is_ok() => prefix,
            _ if id.len() == 22 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) => "",
            _ => return,
        };
        if !self.members.iter().any(|(known, _)| known == id) {
            self.members.push((id.to_string(), format!("{prefix}<member {}>", self.members.len() + 1)));
        }
    }

    pub fn uuid(&mut self, uuid: Uuid, token: impl Into<String>) {
        if !uuid.is_nil() && !self.uuids.iter().any(|(known, _)| *known == uuid) {
            self.uuids.push((uuid, token.into()));
        }
    }

    pub fn stamp(&mut self, at_ms: i64, token: &str) {
        self.stamps.insert(at_ms, token.to_string());
    }

    /// The comparable form of a decoded answer.
    pub fn answer(&mut self, key: i16, tree: Tree) -> Tree {
        self.value(key, "", tree)
    }

    fn value(&mut self, key: i16, name: &str, tree: Tree) -> Tree {
        match (name, tree) {
            ("records", Tree::Bytes(bytes)) => {
                let batches = read::batches(&bytes);
                self.value(key, "batches", batches)
            }
            (_, Tree::List(items)) => self.list(key, name, items),
            (_, Tree::Fields(fields)) => {
                let fields = if key == ApiKey::DescribeConfigs as i16 { deployment(fields) } else { fields };
                Tree::Fields(fields.into_iter().map(|(n, v)| (n.clone(), self.value(key, &n, v))).collect())
            }
            (_, Tree::Int(value)) => self.int(name, value),
            (_, Tree::Text(text)) => self.text(name, text),
            (_, Tree::Bytes(bytes)) => self.text(name, bytes.escape_ascii().to_string()),
            (_, other) => other,
        }
    }

    fn list(&mut self, key: i16, name: &str, mut items: Vec<Tree>) -> Tree {
        if name == "producer" {
            if let Some(Tree::Int(id)) = items.first() {
                items[0] = self.producer_id(*id);
            }
            return Tree::List(items);
        }
        if let Some(mine) = &self.mine_only
            && ["topics", "config_resources", "replica_election_results", "groups", "transaction_states"]
                .contains(&name)
        {
            items.retain(|item| {
                ["name", "topic", "resource_name", "group_id", "transactional_id"]
                    .iter()
                    .any(|n| matches!(item.field(n), Some(Tree::Text(t)) if t.starts_with(mine.as_str())))
            });
        }
        if name == "api_keys" {
            items = items.into_iter().filter_map(shared_versions).collect();
        }
        if name == "members" {
            // Members are numbered as they are met, and Kafka lists them in an order of its own.
            items.sort_by_cached_key(|member| self.meeting_order(member));
        }
        let mut items: Vec<Tree> = items.into_iter().map(|item| self.value(key, "", item)).collect();
        if name == "subscribed_topic_names" {
            // A hash set in Kafka.
            items.sort_by_cached_key(|item| format!("{item:?}"));
        }
        if !order_is_promised(key, name) {
            items.sort_by_key(sort_key);
        }
        Tree::List(items)
    }

    /// Known members first; then by what the members themselves have chosen, which begins their ids too.
    fn meeting_order(&self, member: &Tree) -> (usize, String) {
        let id = match member.field("member_id") {
            Some(Tree::Text(id)) => id.as_str(),
            _ => "",
        };
        let known = self.members.iter().position(|(known, _)| known == id).unwrap_or(usize::MAX);
        let chosen = ["group_instance_id", "client_id", "metadata", "member_metadata"];
        let name = id.get(..id.len().saturating_sub(36)).unwrap_or(id);
        (known, format!("{name} {:?}", chosen.map(|name| member.field(name))))
    }

    fn int(&mut self, name: &str, value: i64) -> Tree {
        match name {
            "port" if value > 0 => Tree::text("<port>"),
            "session_id" if value != 0 => Tree::text(format!("<session {}>", index_of(&mut self.sessions, value))),
            "producer_id" => self.producer_id(value),
            "leader_epoch" | "coordinator_epoch" if self.any_epoch && value >= 0 => Tree::text("<leader epoch>"),
            "total_bytes" | "usable_bytes" if value > 0 => Tree::text("<bytes>"),
            "finalized_features_epoch" if value >= 0 => Tree::text("<epoch>"),
            _ if name.ends_with("error_code") && value != 0 => Tree::text(error_name(value)),
            _ => self.time(value).map_or(Tree::Int(value), Tree::Text),
        }
    }

    fn producer_id(&mut self, value: i64) -> Tree {
        if (0..CHOSEN_PRODUCER_IDS_FROM).contains(&value) {
            return Tree::text(format!("<producer {}>", index_of(&mut self.producer_ids, value)));
        }
        Tree::Int(value)
    }

    /// The token of a time of this play; any other number is no time.
    fn time(&self, value: i64) -> Option<String> {
        if let Some(token) = self.stamps.get(&value) {
            return Some(token.clone());
        }
        let after_base_ms = value.saturating_sub(self.base_ms);
        if after_base_ms.unsigned_abs() < BASE_WINDOW_MS as u64 {
            return Some(match after_base_ms {
                0 => "T".into(),
                n if n > 0 => format!("T+{n}"),
                n => format!("T{n}"),
            });
        }
        let near = |centre: i64| value > centre - MINUTES_10_MS && value < centre + MINUTES_10_MS;
        let distances = [(0, "<now>"), (1, "<now+1h>"), (-24, "<now-24h>")];
        distances.iter().find(|(hours, _)| near(self.start_ms + hours * HOUR_MS)).map(|(_, token)| token.to_string())
    }

    fn text(&mut self, name: &str, text: String) -> Tree {
        match name {
            "host" if !text.is_empty() => return Tree::text("<host>"),
            "cluster_id" => return Tree::text("<cluster>"),
            "log_dir" if !text.is_empty() => return Tree::text("<dir>"),
            "documentation" if !text.is_empty() => return Tree::text("<documentation>"),
            "member_id" | "leader" => self.member(&text),
            _ => {}
        }
        let mut text = text;
        if let (true, Some((marker, _epoch))) = (self.any_epoch && text.starts_with(MARKER), text.split_once('=')) {
            text = format!("{marker}=<coordinator epoch>");
        }
        if let Some((prefix, token)) = &self.rename {
            text = text.replace(prefix.as_str(), token);
        }
        if text == NIL {
            return Tree::text("<zero>");
        }
        for (id, token) in &self.members {
            text = text.replace(id, token);
        }
        for (uuid, token) in &self.uuids {
            text = text.replace(&uuid.to_string(), token).replace(&base64(*uuid), token);
        }
        if Uuid::parse_str(&text).is_ok_and(|uuid| text.len() == 36 && !uuid.is_nil()) {
            return Tree::text("<uuid>");
        }
        Tree::Text(self.numbers(&text))
    }

    /// Times inside a message, and the one number that Kafka computes from its clock and the largest long.
    fn numbers(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
            let digits = rest[start..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - start);
            let (number, after) = rest[start..].split_at(digits);
            out.push_str(&rest[..start]);
            match number.parse::<i64>() {
                Ok(value) if digits >= 12 && self.time(value).is_some() => {
                    out.push_str(&self.time(value).expect("just seen"))
                }
                Ok(value) if digits == 19 && value > i64::MAX - 10_000 * 86_400_000 * 30 && value < i64::MAX - 1 => {
                    out.push_str("<max-now>")
                }
                _ => out.push_str(number),
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

/// Of a key that says how the broker was started only the kind remains.
fn deployment(mut fields: Vec<(String, Tree)>) -> Vec<(String, Tree)> {
    if fields
        .iter()
        .any(|(n, v)| n == "name" && matches!(v, Tree::Text(name) if DEPLOYMENT_KEYS.contains(&name.as_str())))
    {
        for (name, value) in &mut fields {
            if ["value", "config_source", "synonyms"].contains(&name.as_str()) {
                *value = Tree::text("<deployment>");
            }
        }
    }
    fields
}

fn index_of(known: &mut Vec<i64>, value: i64) -> usize {
    known.iter().position(|k| *k == value).unwrap_or_else(|| {
        known.push(value);
        known.len() - 1
    }) + 1
}

/// `3 UNKNOWN_TOPIC_OR_PARTITION`.
pub fn error_name(code: i64) -> String {
    let camel =
        i16::try_from(code).ok().and_then(ResponseError::try_from_code).map(|e| format!("{e:?}")).unwrap_or_default();
    let mut name = String::new();
    for (i, c) in camel.chars().enumerate() {
        if i > 0 && c.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    format!("{code} {name}")
}

/// An entry of ApiVersions as both brokers can have it: a served API, at most the codec's highest version.
fn shared_versions(entry: Tree) -> Option<Tree> {
    let (Some(Tree::Int(key)), Some(Tree::Int(min)), Some(Tree::Int(max))) =
        (entry.field("api_key"), entry.field("min_version"), entry.field("max_version"))
    else {
        return Some(entry);
    };
    let api = apis::by_key(*key as i16)?;
    let max = (*max).min(api.max.into());
    Some(Tree::Text(format!("{} {min}-{max}", api.name)))
}

/// Kafka keeps an order where it answers partition by partition from a list, or sorts on purpose.
fn order_is_promised(key: i16, name: &str) -> bool {
    let sorted_on_purpose = key == ApiKey::CreateTopics as i16 && name == "configs";
    let in_request_order =
        [ApiKey::Fetch as i16, ApiKey::DescribeTopicPartitions as i16, ApiKey::FindCoordinator as i16].contains(&key);
    let plain =
        ["synonyms", "batches", "records", "record_errors", "replica_nodes", "isr_nodes", "brokers"].contains(&name);
    let leaving = key == ApiKey::LeaveGroup as i16 && name == "members";
    sorted_on_purpose || in_request_order || plain || leaving
}

/// By the fields that name an element; what has none keeps its place.
fn sort_key(item: &Tree) -> (String, i64, String, i64) {
    let text = |names: &[&str]| {
        names.iter().find_map(|n| match item.field(n) {
            Some(Tree::Text(t)) => Some(t.clone()),
            _ => None,
        })
    };
    let int = |names: &[&str]| {
        names.iter().find_map(|n| match item.field(n) {
            Some(Tree::Int(i)) => Some(*i),
            _ => None,
        })
    };
    (
        text(&["name", "topic", "resource_name", "group_id", "member_id", "transactional_id"]).unwrap_or_default(),
        // Of partitions that are a list of numbers each number is its own name.
        if let Tree::Int(number) = item {
            Some(*number)
        } else {
            int(&["partition_index", "index", "partition", "partition_id", "resource_type"])
        }
        .unwrap_or_default(),
        text(&["topic_id"]).unwrap_or_default(),
        int(&["producer_id"]).unwrap_or_default(),
    )
}

/// The form in which Kafka prints ids in messages.
pub fn base64(uuid: Uuid) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = uuid.as_u128();
    // 128 bits are 21 digits of six bits and one of two.
    (0..22).map(|i| DIGITS[(if i < 21 { bits >> (122 - 6 * i) } else { bits << 4 } & 63) as usize] as char).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ids_become_tokens() {
        let mut names = Names::new(1_800_000_000_000);
        let uuid = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        names.uuid(uuid, "<id a>");
        let text = format!("id {} at {} of {}", base64(uuid), 1_800_000_000_000i64 - HOUR_MS + 7, 1_800_000_000_123i64);
        assert_eq!(names.text("message", text), Tree::text("id <id a> at T+7 of <now>"));
        assert_eq!(names.int("error_code", 3), Tree::text("3 UNKNOWN_TOPIC_OR_PARTITION"));
        assert_eq!(names.int("offset", 3), Tree::Int(3));
        assert_eq!(names.int("offset", i64::MAX), Tree::Int(i64::MAX));
        assert_eq!(base64(uuid), "ASNFZ4mrze8BI0VniavN7w");
    }
}
