//! A record as a line: Kafka's `DefaultMessageFormatter`.

use std::io::{self, Write};

use bytes::Bytes;

use crate::cli::tools::ToolError;
use crate::cli::tools::options::Options;
use crate::cli::tools::partitions::Partition;
use crate::client::ConsumedRecord;

pub struct Format {
    json: bool,
    timestamp: bool,
    partition: bool,
    offset: bool,
    epoch: bool,
    headers: bool,
    key: bool,
    value: bool,
    key_separator: String,
    line_separator: String,
    headers_separator: String,
    null: String,
}

impl Format {
    pub fn new(options: &Options) -> Result<Format, ToolError> {
        let mut pairs: std::collections::BTreeMap<String, String> = options.pairs("property")?.into_iter().collect();
        pairs.extend(options.pairs("formatter-property")?);
        let flag = |key: &str, default: bool| {
            pairs.get(key).map_or(default, |value| value.trim().eq_ignore_ascii_case("true"))
        };
        let text = |key: &str, default: &str| pairs.get(key).cloned().unwrap_or_else(|| default.to_owned());
        Ok(Format {
            json: options.has("json"),
            timestamp: flag("print.timestamp", false),
            partition: flag("print.partition", false),
            offset: flag("print.offset", false),
            epoch: flag("print.epoch", false),
            headers: flag("print.headers", false),
            key: flag("print.key", false),
            value: flag("print.value", true),
            key_separator: text("key.separator", "\t"),
            line_separator: text("line.separator", "\n"),
            headers_separator: text("headers.separator", ","),
            null: text("null.literal", "null"),
        })
    }

    pub fn write(&self, out: &mut impl Write, partition: &Partition, record: &ConsumedRecord) -> io::Result<()> {
        if self.json {
            return writeln!(out, "{}", self.as_json(partition, record));
        }
        let mut parts: Vec<Vec<u8>> = Vec::new();
        if self.timestamp {
            let kind = if record.is_log_append_time { "LogAppendTime" } else { "CreateTime" };
            parts.push(match record.timestamp {
                -1 => b"NO_TIMESTAMP".to_vec(),
                at => format!("{kind}:{at}").into_bytes(),
            });
        }
        if self.partition {
            parts.push(format!("Partition:{}", partition.1).into_bytes());
        }
        if self.offset {
            parts.push(format!("Offset:{}", record.offset).into_bytes());
        }
        if self.epoch {
            parts.push(format!("Epoch:{}", record.leader_epoch).into_bytes());
        }
        if self.headers {
            parts.push(self.headers_of(record));
        }
        if self.key {
            parts.push(self.bytes(record.key.as_ref()));
        }
        if self.value {
            parts.push(self.bytes(record.value.as_ref()));
        }
        out.write_all(&parts.join(self.key_separator.as_bytes()))?;
        out.write_all(self.line_separator.as_bytes())
    }

    fn bytes(&self, bytes: Option<&Bytes>) -> Vec<u8> {
        bytes.map_or_else(|| self.null.clone().into_bytes(), |bytes| bytes.to_vec())
    }

    fn headers_of(&self, record: &ConsumedRecord) -> Vec<u8> {
        if record.headers.is_empty() {
            return b"NO_HEADERS".to_vec();
        }
        let one =
            |(name, value): &(String, Option<Bytes>)| [name.as_bytes(), b":", &self.bytes(value.as_ref())].concat();
        record.headers.iter().map(one).collect::<Vec<_>>().join(self.headers_separator.as_bytes())
    }

    /// Bytes that are no text are shown as well as they can be.
    fn as_json(&self, partition: &Partition, record: &ConsumedRecord) -> serde_json::Value {
        let text = |bytes: &Option<Bytes>| bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let headers: Vec<_> =
            record.headers.iter().map(|(name, value)| serde_json::json!([name, text(value)])).collect();
        serde_json::json!({
            "topic": partition.0, "partition": partition.1, "offset": record.offset, "timestamp": record.timestamp,
            "headers": headers, "key": text(&record.key), "value": text(&record.value),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tools::consume::SPEC;

    fn shown(properties: &str) -> String {
        let arguments: Vec<String> =
            properties.split_whitespace().flat_map(|one| ["--property".to_owned(), one.to_owned()]).collect();
        let format = Format::new(&Options::parse(&SPEC, &arguments).expect("options")).expect("properties");
        let record = ConsumedRecord {
            offset: 7,
            timestamp: 1000,
            is_log_append_time: false,
            leader_epoch: 2,
            key: None,
            value: Some(Bytes::from("v")),
            headers: vec![("a".to_owned(), Some(Bytes::from("1"))), ("b".to_owned(), None)],
        };
        let mut out = Vec::new();
        format.write(&mut out, &("t".to_owned(), 3), &record).expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn the_order_is_kafkas() {
        assert_eq!(shown(""), "v\n");
        let all = "print.timestamp=true print.partition=true print.offset=true print.epoch=true print.headers=true \
                   print.key=true key.separator=| null.literal=NULL";
        assert_eq!(shown(all), "CreateTime:1000|Partition:3|Offset:7|Epoch:2|a:1,b:NULL|NULL|v\n");
    }
}
