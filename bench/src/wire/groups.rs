//! Messages of consumer groups, all of flexible versions: compact strings and arrays, and tagged fields, of which none is
//! ever sent.

use bytes::{Buf, BufMut};

use super::{CLIENT, finish, put_string, skip};
use crate::Result;

const OFFSET_COMMIT: i16 = 8;
const OFFSET_FETCH: i16 = 9;
const FIND_COORDINATOR: i16 = 10;
const JOIN_GROUP: i16 = 11;
const HEARTBEAT: i16 = 12;
const SYNC_GROUP: i16 = 14;
const CONSUMER_GROUP_HEARTBEAT: i16 = 68;

const SESSION_TIMEOUT_MS: i32 = 45_000;
const REBALANCE_TIMEOUT_MS: i32 = 60_000;
const PROTOCOL_TYPE: &str = "consumer";
const PROTOCOL: &str = "range";

/// Who asks, and in which generation (or epoch).
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    pub group: &'a str,
    pub member: &'a str,
    pub generation: i32,
}

pub fn find_coordinator(group: &str) -> Vec<u8> {
    request(FIND_COORDINATOR, 6, |body| {
        body.put_u8(0); // of a group
        put_count(body, 1);
        put_text(body, group);
    })
}

/// The error of the one coordinator that was asked for.
pub fn find_coordinator_answer(mut answer: &[u8]) -> Result<i16> {
    skip_header(&mut answer)?;
    get_count(&mut answer)?;
    get_bytes(&mut answer)?; // group
    skip(&mut answer, 4)?; // node
    get_bytes(&mut answer)?; // host
    skip(&mut answer, 4)?;
    Ok(answer.try_get_i16()?)
}

pub fn join(who: &Identity, topic: &str) -> Vec<u8> {
    let mut subscription = vec![0, 0]; // version 0
    subscription.put_i32(1);
    put_string(&mut subscription, topic.as_bytes());
    subscription.put_i32(-1);
    request(JOIN_GROUP, 9, |body| {
        put_text(body, who.group);
        body.put_i32(SESSION_TIMEOUT_MS);
        body.put_i32(REBALANCE_TIMEOUT_MS);
        put_text(body, who.member);
        put_null(body); // instance
        put_text(body, PROTOCOL_TYPE);
        put_count(body, 1);
        put_text(body, PROTOCOL);
        put_bytes(body, &subscription);
        put_no_tags(body);
        put_null(body); // reason
    })
}

pub struct Joined {
    pub error: i16,
    pub generation: i32,
    pub member: String,
    pub members: Vec<String>,
}

pub fn join_answer(mut answer: &[u8]) -> Result<Joined> {
    skip_header(&mut answer)?;
    let (error, generation) = (answer.try_get_i16()?, answer.try_get_i32()?);
    for _type_protocol_leader in 0..3 {
        get_bytes(&mut answer)?;
    }
    skip(&mut answer, 1)?;
    let member = get_text(&mut answer)?;
    let mut members = Vec::new();
    for _ in 0..get_count(&mut answer)? {
        members.push(get_text(&mut answer)?);
        get_bytes(&mut answer)?; // instance
        get_bytes(&mut answer)?; // subscription
        skip_tags(&mut answer)?;
    }
    Ok(Joined { error, generation, member, members })
}

/// With an assignment of partition 0 to each member named.
pub fn sync(who: &Identity, topic: &str, members: &[String]) -> Vec<u8> {
    let mut assignment = vec![0, 0]; // version 0
    assignment.put_i32(1);
    put_string(&mut assignment, topic.as_bytes());
    assignment.put_i32(1);
    assignment.put_i32(0);
    assignment.put_i32(-1);
    request(SYNC_GROUP, 5, |body| {
        put_identity(body, who);
        put_text(body, PROTOCOL_TYPE);
        put_text(body, PROTOCOL);
        put_count(body, members.len());
        for member in members {
            put_text(body, member);
            put_bytes(body, &assignment);
            put_no_tags(body);
        }
    })
}

/// The error, and whether there is an assignment.
pub fn sync_answer(mut answer: &[u8]) -> Result<(i16, bool)> {
    skip_header(&mut answer)?;
    let error = answer.try_get_i16()?;
    get_bytes(&mut answer)?; // protocol type
    get_bytes(&mut answer)?; // protocol
    Ok((error, !get_bytes(&mut answer)?.is_empty()))
}

pub fn heartbeat(who: &Identity) -> Vec<u8> {
    request(HEARTBEAT, 4, |body| put_identity(body, who))
}

pub fn heartbeat_answer(mut answer: &[u8]) -> Result<i16> {
    skip_header(&mut answer)?;
    Ok(answer.try_get_i16()?)
}

/// The first one joins and says what it wants; those after it say that nothing has changed.
pub fn consumer_heartbeat(who: &Identity, topic: &str) -> Vec<u8> {
    let joins = who.generation == 0;
    request(CONSUMER_GROUP_HEARTBEAT, 1, |body| {
        put_text(body, who.group);
        put_text(body, who.member);
        body.put_i32(who.generation);
        put_null(body); // instance
        put_null(body); // rack
        body.put_i32(if joins { REBALANCE_TIMEOUT_MS } else { -1 });
        if joins {
            put_count(body, 1);
            put_text(body, topic);
        } else {
            put_null(body);
        }
        put_null(body); // regular expression
        put_null(body); // assignor
        if joins { put_count(body, 0) } else { put_null(body) } // owned partitions
    })
}

pub struct Beaten {
    pub error: i16,
    pub epoch: i32,
    /// Whether the answer assigns at least one topic.
    pub assigned: bool,
}

pub fn consumer_heartbeat_answer(mut answer: &[u8]) -> Result<Beaten> {
    skip_header(&mut answer)?;
    let error = answer.try_get_i16()?;
    get_bytes(&mut answer)?; // message
    get_bytes(&mut answer)?; // member
    let epoch = answer.try_get_i32()?;
    skip(&mut answer, 4)?; // interval
    let assigned = answer.try_get_i8()? >= 0 && get_count(&mut answer)? > 0;
    Ok(Beaten { error, epoch, assigned })
}

/// Of partition 0. `epoch` counts for a member of a consumer group; others say -1, and no name.
pub fn offset_fetch(group: &str, member: Option<&str>, epoch: i32, topic: &str) -> Vec<u8> {
    request(OFFSET_FETCH, 9, |body| {
        put_count(body, 1);
        put_text(body, group);
        match member {
            Some(member) => put_text(body, member),
            None => put_null(body),
        }
        body.put_i32(epoch);
        put_count(body, 1);
        put_text(body, topic);
        put_count(body, 1);
        body.put_i32(0);
        put_no_tags(body);
        put_no_tags(body);
        body.put_u8(1); // stable offsets only
    })
}

/// The error of the partition, or the group's, and the offset.
pub fn offset_fetch_answer(mut answer: &[u8]) -> Result<(i16, i64)> {
    skip_header(&mut answer)?;
    get_count(&mut answer)?;
    get_bytes(&mut answer)?; // group
    if get_count(&mut answer)? == 0 {
        return Ok((answer.try_get_i16()?, -1));
    }
    get_bytes(&mut answer)?; // topic
    get_count(&mut answer)?;
    skip(&mut answer, 4)?;
    let offset = answer.try_get_i64()?;
    skip(&mut answer, 4)?; // leader epoch
    get_bytes(&mut answer)?; // metadata
    Ok((answer.try_get_i16()?, offset))
}

/// An OffsetCommit of partition 0, and where in it the offset stands, to be overwritten.
pub fn offset_commit(who: &Identity, topic: &str) -> (Vec<u8>, usize) {
    let mut offset_at = 0;
    let frame = request(OFFSET_COMMIT, 9, |body| {
        put_identity(body, who);
        put_count(body, 1);
        put_text(body, topic);
        put_count(body, 1);
        body.put_i32(0);
        offset_at = body.len();
        body.put_i64(0);
        body.put_i32(-1); // leader epoch
        put_text(body, ""); // metadata
        put_no_tags(body);
        put_no_tags(body);
    });
    (frame, offset_at)
}

pub fn offset_commit_answer(mut answer: &[u8]) -> Result<i16> {
    skip_header(&mut answer)?;
    get_count(&mut answer)?;
    get_bytes(&mut answer)?; // topic
    get_count(&mut answer)?;
    skip(&mut answer, 4)?;
    Ok(answer.try_get_i16()?)
}

/// A frame with request header v2, its body without the closing tagged fields.
pub(super) fn request(key: i16, version: i16, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = vec![0; 4];
    frame.put_i16(key);
    frame.put_i16(version);
    frame.put_i32(0);
    put_string(&mut frame, CLIENT.as_bytes());
    put_no_tags(&mut frame);
    body(&mut frame);
    put_no_tags(&mut frame);
    finish(frame)
}

/// What JoinGroup's successors begin with: group, generation, member, no instance.
fn put_identity(out: &mut Vec<u8>, who: &Identity) {
    put_text(out, who.group);
    out.put_i32(who.generation);
    put_text(out, who.member);
    put_null(out);
}

/// An array's length, or one of bytes.
pub(super) fn put_count(out: &mut Vec<u8>, count: usize) {
    let mut rest = count + 1;
    while rest >= 0x80 {
        out.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.put_slice(bytes);
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

/// A string or an array that is null.
pub(super) fn put_null(out: &mut Vec<u8>) {
    out.put_u8(0);
}

pub(super) fn put_no_tags(out: &mut Vec<u8>) {
    out.put_u8(0);
}

/// Correlation id, tagged fields, and the throttle time, which every answer here begins with.
pub(super) fn skip_header(answer: &mut &[u8]) -> Result<()> {
    skip(answer, 4)?;
    skip_tags(answer)?;
    skip(answer, 4)
}

fn skip_tags(bytes: &mut &[u8]) -> Result<()> {
    for _ in 0..get_varint(bytes)? {
        get_varint(bytes)?;
        let length = get_varint(bytes)?;
        skip(bytes, length)?;
    }
    Ok(())
}

/// Null counts as none.
pub(super) fn get_count(bytes: &mut &[u8]) -> Result<usize> {
    Ok(get_varint(bytes)?.saturating_sub(1))
}

pub(super) fn get_bytes<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8]> {
    let length = get_count(bytes)?;
    let (found, rest) = bytes.split_at_checked(length).ok_or("a string runs past the end of its frame")?;
    *bytes = rest;
    Ok(found)
}

fn get_text(bytes: &mut &[u8]) -> Result<String> {
    Ok(String::from_utf8(get_bytes(bytes)?.to_vec())?)
}

fn get_varint(bytes: &mut &[u8]) -> Result<usize> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let byte = bytes.try_get_u8()?;
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("a length of more than five bytes".into())
}
