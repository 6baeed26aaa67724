//! OffsetCommit and OffsetFetch version 10 (KIP-848), which the codec does not know yet: version 9 with each topic's id in
//! the place of its name.
//!
//! A request is rewritten to version 9, its topics named by the text of their ids, and the answer is rewritten back.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::{BadRequest, Frame, Responder, unsigned_varint};
use crate::base::TopicId;

pub const VERSION: i16 = 10;
const BY_NAME: i16 = 9;

/// What follows what on the wire. A structure ends with its tagged fields.
#[derive(Clone, Copy)]
pub enum Part {
    Bytes(usize),
    /// Compact, of a string or of bytes; null too.
    Text,
    Topic,
    Structures(&'static [Part]),
    Ints,
}

use Part::{Ints, Structures, Text, Topic};

pub const COMMIT_REQUEST: &[Part] =
    &[Text, Part::Bytes(4), Text, Text, Structures(&[Topic, Structures(&[Part::Bytes(4 + 8 + 4), Text])])];
pub const COMMIT_RESPONSE: &[Part] = &[Part::Bytes(4), Structures(&[Topic, Structures(&[Part::Bytes(4 + 2)])])];
pub const FETCH_REQUEST: &[Part] =
    &[Structures(&[Text, Text, Part::Bytes(4), Structures(&[Topic, Ints])]), Part::Bytes(1)];
pub const FETCH_RESPONSE: &[Part] = &[
    Part::Bytes(4),
    Structures(&[
        Text,
        Structures(&[Topic, Structures(&[Part::Bytes(4 + 8 + 4), Text, Part::Bytes(2)])]),
        Part::Bytes(2),
    ]),
];

/// A topic in a message by id goes by this name until it is sent.
pub fn name_of(id: TopicId) -> TopicName {
    TopicName(StrBytes::from_string(id.to_string()))
}

pub fn id_of(name: &str) -> Option<TopicId> {
    name.parse().ok()
}

/// Decodes a request of version 10: ids are in the place of names.
pub fn decode<T: Decodable>(mut body: Bytes, shape: &[Part]) -> Result<T, BadRequest> {
    let mut by_name = BytesMut::with_capacity(body.len() * 2);
    let name = |body: &mut Bytes, out: &mut BytesMut| {
        let id = TopicId(uuid::Uuid::from_slice(&take(body, 16)?)?);
        let name = name_of(id);
        put_varint(out, name.len() as u32 + 1);
        out.put_slice(name.as_bytes());
        Ok(())
    };
    structure(&mut body, &mut by_name, shape, &name)?;
    T::decode(&mut by_name.freeze(), BY_NAME).map_err(|e| BadRequest(e.to_string()))
}

/// Encodes an answer in version 10. Its topics go by [`name_of`] their ids.
pub fn frame(responder: &Responder, response: &impl Encodable, shape: &[Part]) -> Frame {
    let mut by_name = BytesMut::new();
    let mut out = responder.begin(response.compute_size(BY_NAME).unwrap_or(256));
    let id = |body: &mut Bytes, out: &mut BytesMut| {
        let length = unsigned_varint(body)?;
        let name = take(body, length.saturating_sub(1) as usize)?;
        let id = id_of(std::str::from_utf8(&name)?).unwrap_or(TopicId::ZERO);
        out.put_slice(id.0.as_bytes());
        Ok(())
    };
    let encoded = response.encode(&mut by_name, BY_NAME).map_err(|e| BadRequest(e.to_string()));
    match encoded.and_then(|()| structure(&mut by_name.freeze(), &mut out, shape, &id)) {
        Ok(()) => Frame::single(out),
        Err(error) => {
            tracing::error!(error = error.0, "an answer cannot be encoded by id");
            Frame::default()
        }
    }
}

type Rewrite<'a> = &'a dyn Fn(&mut Bytes, &mut BytesMut) -> Result<(), BadRequest>;

fn structure(body: &mut Bytes, out: &mut BytesMut, parts: &[Part], topic: Rewrite) -> Result<(), BadRequest> {
    for part in parts {
        match part {
            Part::Bytes(size) => out.put_slice(&take(body, *size)?),
            Text => {
                let length = copy_varint(body, out)?;
                out.put_slice(&take(body, length.saturating_sub(1) as usize)?);
            }
            Topic => topic(body, out)?,
            Structures(parts) => {
                for _ in 1..copy_varint(body, out)? {
                    structure(body, out, parts, topic)?;
                }
            }
            Ints => {
                let count = copy_varint(body, out)?.saturating_sub(1) as usize;
                out.put_slice(&take(body, count.saturating_mul(4))?);
            }
        }
    }
    for _ in 0..copy_varint(body, out)? {
        copy_varint(body, out)?;
        let size = copy_varint(body, out)?;
        out.put_slice(&take(body, size as usize)?);
    }
    Ok(())
}

fn take(body: &mut Bytes, size: usize) -> Result<Bytes, BadRequest> {
    if body.remaining() < size {
        return Err(BadRequest("the body is cut short".into()));
    }
    Ok(body.split_to(size))
}

fn copy_varint(body: &mut Bytes, out: &mut BytesMut) -> Result<u32, BadRequest> {
    let value = unsigned_varint(body)?;
    put_varint(out, value);
    Ok(value)
}

fn put_varint(out: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}
