//! Record batches as they come back from a Fetch, as trees: every header field, and the records in words.

use super::codec::{self, Codec};
use crate::tree::Tree;

const HEADER_BYTES: usize = 61;
/// Of a longer list the ends are kept: goldens stay readable.
const RECORDS_SHOWN_MAX: usize = 8;
const BYTES_SHOWN_MAX: usize = 48;

/// All batches of a `records` field. What is left after the last whole batch is named by its size.
pub fn batches(mut bytes: &[u8]) -> Tree {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let length = if bytes.len() >= 12 { i32_at(bytes, 8) } else { -1 };
        let total = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(12);
        if total > bytes.len() || total < HEADER_BYTES {
            out.push(Tree::text(format!("{} bytes of a batch cut short", bytes.len())));
            break;
        }
        out.push(batch(&bytes[..total]));
        bytes = &bytes[total..];
    }
    Tree::List(out)
}

fn batch(bytes: &[u8]) -> Tree {
    let attributes = i16_at(bytes, 21);
    let codec = Codec::of_attributes(attributes);
    let base_timestamp = i64_at(bytes, 27);
    let mut fields = vec![
        ("base_offset", Tree::Int(i64_at(bytes, 0))),
        ("leader_epoch", Tree::Int(i32_at(bytes, 12).into())),
        ("magic", Tree::Int(i64::from(bytes[16] as i8))),
        ("attributes", Tree::text(attributes_in_words(attributes))),
        ("last_offset_delta", Tree::Int(i32_at(bytes, 23).into())),
        ("base_timestamp", Tree::Int(base_timestamp)),
        ("max_timestamp", Tree::Int(i64_at(bytes, 35))),
        (
            "producer",
            Tree::List(vec![
                Tree::Int(i64_at(bytes, 43)),
                Tree::Int(i16_at(bytes, 51).into()),
                Tree::Int(i32_at(bytes, 53).into()),
            ]),
        ),
        ("count", Tree::Int(i32_at(bytes, 57).into())),
    ];
    // Two encoders of the same format may differ in size; without a codec the size is the format's.
    if codec == Codec::None {
        fields.push(("bytes", Tree::Int(bytes.len() as i64)));
    }
    if crc32c::crc32c(&bytes[21..]) != i32_at(bytes, 17) as u32 {
        fields.push(("crc", Tree::text("wrong")));
    }
    let records = match codec::decompress(codec, &bytes[HEADER_BYTES..]) {
        Err(e) => Tree::text(format!("cannot be decompressed: {e}")),
        // Where the base is a horizon, deltas say nothing by themselves.
        Ok(plain) => records(&plain, attributes & 32 != 0, if attributes & 64 != 0 { base_timestamp } else { 0 }),
    };
    fields.push(("records", records));
    Tree::Fields(fields.into_iter().map(|(name, tree)| (name.to_string(), tree)).collect())
}

fn attributes_in_words(attributes: i16) -> String {
    let mut words = vec![Codec::of_attributes(attributes).name()];
    words.push(if attributes & 8 != 0 { "LogAppendTime" } else { "CreateTime" });
    for (bit, word) in [(16, "transactional"), (32, "control"), (64, "delete-horizon")] {
        if attributes & bit != 0 {
            words.push(word);
        }
    }
    if attributes & !0x7f != 0 {
        words.push("unknown-bits");
    }
    words.join(" ")
}

fn records(plain: &[u8], control: bool, base_timestamp: i64) -> Tree {
    let mut reader = Reader { bytes: plain, at: 0 };
    let mut shown = Vec::new();
    while reader.at < plain.len() {
        match reader.record(control, base_timestamp) {
            Some(text) => shown.push(Tree::Text(text)),
            None => {
                shown.push(Tree::text("broken record"));
                break;
            }
        }
    }
    if shown.len() > RECORDS_SHOWN_MAX {
        let left_out = shown.len() - RECORDS_SHOWN_MAX;
        shown.splice(RECORDS_SHOWN_MAX - 1..shown.len() - 1, [Tree::text(format!("… {left_out} more …"))]);
    }
    Tree::List(shown)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The offset after the last whole batch, if there is one.
pub fn next_offset(mut bytes: &[u8]) -> Option<i64> {
    let mut next = None;
    while bytes.len() >= HEADER_BYTES {
        let total = usize::try_from(i32_at(bytes, 8)).unwrap_or(usize::MAX).saturating_add(12);
        if total > bytes.len() {
            break;
        }
        next = Some(i64_at(bytes, 0) + i64::from(i32_at(bytes, 23)) + 1);
        bytes = &bytes[total..];
    }
    next
}

/// Key and value of a record, or of one of its headers.
pub type Pair = (Option<Vec<u8>>, Option<Vec<u8>>);

/// One record as it lies in its batch.
struct Raw {
    attributes: u8,
    timestamp_delta: i64,
    offset_delta: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<Pair>,
}

/// Keys and values of all whole batches that can be read, control batches left out.
pub fn keys_and_values(mut bytes: &[u8]) -> Vec<Pair> {
    let mut out = Vec::new();
    while bytes.len() >= HEADER_BYTES {
        let total = usize::try_from(i32_at(bytes, 8)).unwrap_or(usize::MAX).saturating_add(12);
        if total > bytes.len() {
            break;
        }
        let (batch, rest) = bytes.split_at(total);
        bytes = rest;
        let attributes = i16_at(batch, 21);
        let Ok(plain) = codec::decompress(Codec::of_attributes(attributes), &batch[HEADER_BYTES..]) else { continue };
        let mut reader = Reader { bytes: &plain, at: 0 };
        while attributes & 32 == 0
            && let Some(record) = reader.raw()
        {
            out.push((record.key, record.value));
        }
    }
    out
}

impl Reader<'_> {
    /// `+offset delta @timestamp delta key=value {header=value}`.
    fn record(&mut self, control: bool, base_timestamp: i64) -> Option<String> {
        let record = self.raw()?;
        let timestamp = base_timestamp + record.timestamp_delta;
        let (key, value) = (shown(&record.key, control), shown(&record.value, control));
        let mut text = format!("+{} @{timestamp} {key}={value}", record.offset_delta);
        if !record.headers.is_empty() {
            let headers: Vec<String> =
                record.headers.iter().map(|(k, v)| format!("{}={}", shown(k, false), shown(v, false))).collect();
            text.push_str(&format!(" {{{}}}", headers.join(", ")));
        }
        if record.attributes != 0 {
            text.push_str(&format!(" attributes {}", record.attributes));
        }
        Some(text)
    }

    fn raw(&mut self) -> Option<Raw> {
        let length = self.varint()?;
        let end = self.at.checked_add(usize::try_from(length).ok()?)?;
        let attributes = self.byte()?;
        let timestamp_delta = self.varint()?;
        let offset_delta = self.varint()?;
        let (key, value) = (self.optional()?, self.optional()?);
        let mut headers = Vec::new();
        for _ in 0..self.varint()? {
            headers.push((self.optional()?, self.optional()?));
        }
        (self.at == end).then_some(Raw { attributes, timestamp_delta, offset_delta, key, value, headers })
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn varint(&mut self) -> Option<i64> {
        let mut raw = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            raw |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some((raw >> 1) as i64 ^ -((raw & 1) as i64));
            }
        }
        None
    }

    fn optional(&mut self) -> Option<Option<Vec<u8>>> {
        let length = self.varint()?;
        if length < 0 {
            return Some(None);
        }
        let bytes = self.bytes.get(self.at..self.at.checked_add(length as usize)?)?.to_vec();
        self.at += length as usize;
        Some(Some(bytes))
    }
}

fn shown(bytes: &Option<Vec<u8>>, hex: bool) -> String {
    match bytes {
        None => "null".into(),
        Some(bytes) if hex => bytes.iter().map(|b| format!("{b:02x}")).collect(),
        Some(bytes) if bytes.len() > BYTES_SHOWN_MAX => {
            format!("'{}…' ({} bytes)", String::from_utf8_lossy(&bytes[..8]), bytes.len())
        }
        Some(bytes) => format!("'{}'", String::from_utf8_lossy(bytes)),
    }
}

fn i16_at(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
