//! Walking the records of a batch, plain bytes in, one record at a time out.

use std::io;

use bytes::Bytes;

/// One record. Keys and values are slices of what was walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    /// The headers as they stand, from their count on.
    pub headers: &'a [u8],
}

impl Record<'_> {
    /// The headers one by one; a name that is no text is shown as well as it can be.
    pub fn named_headers(&self) -> io::Result<Vec<(String, Option<Bytes>)>> {
        let malformed = |malformed: Malformed| io::Error::other(malformed.0);
        let mut rest = self.headers;
        let count = varint(&mut rest).map_err(malformed)?;
        let mut headers = Vec::new();
        for _ in 0..count {
            let name = nullable_bytes(&mut rest).map_err(malformed)?.unwrap_or_default();
            let value = nullable_bytes(&mut rest).map_err(malformed)?;
            headers.push((String::from_utf8_lossy(name).into_owned(), value.map(Bytes::copy_from_slice)));
        }
        Ok(headers)
    }
}

/// What is wrong with the framing of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl Malformed {
    /// A number that does not end where it must: Kafka's decoder throws something else than for all other framing.
    pub const ENDLESS_NUMBER: Malformed = Malformed("variable-length number too long");
}

/// Iterates over `count` records in `bytes`; ends after the first malformed one.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    left: i32,
}

impl<'a> Records<'a> {
    pub fn new(bytes: &'a [u8], count: i32) -> Records<'a> {
        Records { rest: bytes, left: count }
    }

    /// Bytes after the last record walked so far.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        let result = read_record(&mut self.rest);
        if result.is_err() {
            self.left = 0;
        }
        Some(result)
    }
}

fn read_record<'a>(rest: &mut &'a [u8]) -> Result<Record<'a>, Malformed> {
    let size = varint(rest)?;
    let size = usize::try_from(size).map_err(|_| Malformed("negative record size"))?;
    let (mut body, tail) = rest.split_at_checked(size).ok_or(Malformed("record larger than what is left"))?;
    *rest = tail;
    let body = &mut body;
    let (_attributes, after) = body.split_first().ok_or(Malformed("empty record"))?;
    *body = after;
    let timestamp_delta = varlong(body)?;
    let offset_delta = varint(body)?;
    let key = nullable_bytes(body)?;
    let value = nullable_bytes(body)?;
    let headers = *body;
    let count = varint(body)?;
    if count < 0 {
        return Err(Malformed("negative header count"));
    }
    for _ in 0..count {
        let name = varint(body)?;
        let name = usize::try_from(name).map_err(|_| Malformed("negative header key size"))?;
        *body = body.get(name..).ok_or(Malformed("header key larger than its record"))?;
        nullable_bytes(body)?;
    }
    if !body.is_empty() {
        return Err(Malformed("record longer than its fields"));
    }
    Ok(Record { timestamp_delta, offset_delta, key, value, headers })
}

/// A negative length of any value is null, as Kafka reads it.
fn nullable_bytes<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
    let Ok(length) = usize::try_from(varint(rest)?) else { return Ok(None) };
    let (bytes, tail) = rest.split_at_checked(length).ok_or(Malformed("field larger than its record"))?;
    *rest = tail;
    Ok(Some(bytes))
}

fn varint(rest: &mut &[u8]) -> Result<i32, Malformed> {
    let raw = unsigned(rest, 5)?;
    let raw = raw as u32;
    Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

fn varlong(rest: &mut &[u8]) -> Result<i64, Malformed> {
    let raw = unsigned(rest, 10)?;
    Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

fn unsigned(rest: &mut &[u8], bytes_max: usize) -> Result<u64, Malformed> {
    let mut value = 0u64;
    for (i, byte) in rest.iter().take(bytes_max).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            *rest = &rest[i + 1..];
            return Ok(value);
        }
    }
    if rest.len() < bytes_max {
        Err(Malformed("variable-length number cut short"))
    } else {
        Err(Malformed::ENDLESS_NUMBER)
    }
}

/// Appends a zig-zag variable-length number.
pub fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut raw = (value << 1 ^ value >> 63) as u64;
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}
