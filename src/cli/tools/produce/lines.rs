//! Lines of standard input taken apart into records: Kafka's `LineMessageReader`.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::cli::tools::options::Options;
use crate::cli::tools::{ToolError, failed};
use crate::record::build::NewRecord;

pub struct Lines {
    parse_key: bool,
    key_separator: String,
    parse_headers: bool,
    headers_delimiter: String,
    headers_separator: String,
    headers_key_separator: String,
    null_marker: Option<String>,
    ignore_error: bool,
}

impl Lines {
    pub fn new(options: &Options) -> Result<Lines, ToolError> {
        let mut pairs: BTreeMap<String, String> = options.pairs("property")?.into_iter().collect();
        pairs.extend(options.pairs("reader-property")?);
        let text = |key: &str, default: &str| pairs.get(key).cloned().unwrap_or_else(|| default.to_owned());
        let flag = |key: &str| pairs.get(key).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
        Ok(Lines {
            parse_key: flag("parse.key"),
            key_separator: text("key.separator", "\t"),
            parse_headers: flag("parse.headers"),
            headers_delimiter: text("headers.delimiter", "\t"),
            headers_separator: text("headers.separator", ","),
            headers_key_separator: text("headers.key.separator", ":"),
            null_marker: pairs.get("null.marker").cloned(),
            ignore_error: flag("ignore.error"),
        })
    }

    /// A line as headers, key and value, as far as they are asked for.
    pub fn record(&self, line: &[u8], number: u64) -> Result<NewRecord, ToolError> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut rest = line;
        let mut record = NewRecord::default();
        if self.parse_headers
            && let Some(headers) = self.part(&mut rest, &self.headers_delimiter, "headers delimiter", number)?
        {
            for header in text(headers).split(&self.headers_separator).filter(|header| !header.is_empty()) {
                let Some((name, value)) = header.split_once(&self.headers_key_separator) else {
                    if self.ignore_error {
                        continue;
                    }
                    return failed(format!("No header key separator found in pair '{header}' on line number {number}"));
                };
                record.headers.push((name.to_owned(), self.value(value.as_bytes())));
            }
        }
        if self.parse_key
            && let Some(key) = self.part(&mut rest, &self.key_separator, "key separator", number)?
        {
            record.key = self.value(key);
        }
        record.value = self.value(rest);
        Ok(record)
    }

    /// What stands before the separator. Without one the line is a mistake, or all of it is the rest.
    fn part<'a>(
        &self,
        rest: &mut &'a [u8],
        separator: &str,
        what: &str,
        number: u64,
    ) -> Result<Option<&'a [u8]>, ToolError> {
        let at = rest.windows(separator.len().max(1)).position(|window| window == separator.as_bytes());
        match at {
            Some(at) => {
                let part = &rest[..at];
                *rest = &rest[at + separator.len()..];
                Ok(Some(part))
            }
            None if self.ignore_error => Ok(None),
            None => failed(format!("No {what} found on line number {number}: '{}'", String::from_utf8_lossy(rest))),
        }
    }

    fn value(&self, bytes: &[u8]) -> Option<Bytes> {
        match &self.null_marker {
            Some(marker) if marker.as_bytes() == bytes => None,
            _ => Some(Bytes::copy_from_slice(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tools::produce::SPEC;

    fn reader(properties: &str) -> Lines {
        let arguments: Vec<String> =
            properties.split_whitespace().flat_map(|one| ["--property".to_owned(), one.to_owned()]).collect();
        Lines::new(&Options::parse(&SPEC, &arguments).expect("options")).expect("properties")
    }

    #[test]
    fn lines_are_taken_apart_as_kafka_does() {
        let plain = reader("").record(b"a:b", 1).expect("a record");
        assert_eq!((plain.key, plain.value), (None, Some(Bytes::from("a:b"))));
        let all = reader("parse.key=true key.separator=: parse.headers=true headers.delimiter=| null.marker=NULL");
        let record = all.record(b"h1:v1,h2:|k:v:w", 1).expect("a record");
        assert_eq!(record.headers, [("h1".to_owned(), Some(Bytes::from("v1"))), ("h2".to_owned(), Some(Bytes::new()))]);
        assert_eq!((record.key, record.value), (Some(Bytes::from("k")), Some(Bytes::from("v:w"))));
        assert_eq!(all.record(b"|k:NULL", 1).expect("a record").value, None);
        assert!(
            all.record(b"k:v", 7).is_err_and(|e| matches!(e, ToolError::Failed(why) if why.contains("line number 7")))
        );
        let lenient = reader("parse.key=true ignore.error=true").record(b"value", 1).expect("a record");
        assert_eq!((lenient.key, lenient.value), (None, Some(Bytes::from("value"))));
    }
}
