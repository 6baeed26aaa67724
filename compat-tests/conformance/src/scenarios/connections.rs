//! Frames and connections: what is malformed, unknown or too large, who is closed for it, and in what order answers come.

use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, MetadataRequest};

use super::requests::metadata;
use crate::apis;
use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};
use crate::server::Profile;
use crate::wire;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("connections/frame-lengths", frame_lengths),
        scenario("connections/headers", headers),
        scenario("connections/unknown-apis", unknown_apis),
        scenario("connections/truncated-bodies", truncated_bodies),
        scenario("connections/pipelined", pipelined),
        scenario("connections/limits", limits).under(Profile::Tight),
        scenario("connections/idle", idle).under(Profile::Tight),
    ]
}

fn frame_lengths(play: &mut Play) -> Done {
    for length in [-1i32, i32::MIN, i32::MAX, 104_857_601] {
        let mut bytes = BytesMut::new();
        bytes.put_i32(length);
        bytes.put_slice(&[0; 64]);
        play.raw("main", &format!("a frame of length {length}"), &bytes)?;
    }
    for length in [0i32, 1, 4, 7] {
        let mut bytes = BytesMut::new();
        bytes.put_i32(length);
        bytes.put_slice(&vec![0; length as usize]);
        play.raw("main", &format!("a whole frame of {length} zero bytes"), &bytes)?;
    }
    play.raw("main", "half a length", &[0, 0])?;
    play.raw("main", "half a frame", &[0, 0, 0, 20, 0, 18, 0, 0])?;
    play.raw("main", "an HTTP request", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    play.ask_on("after", "others go on", 0, ApiVersionsRequest::default())?;
    Ok(())
}

fn header(key: i16, version: i16, client_id_length: i16, rest: &[u8]) -> BytesMut {
    let mut bytes = BytesMut::new();
    bytes.put_i32(10 + rest.len() as i32);
    bytes.put_i16(key);
    bytes.put_i16(version);
    bytes.put_i32(7);
    bytes.put_i16(client_id_length);
    bytes.put_slice(rest);
    bytes
}

fn headers(play: &mut Play) -> Done {
    let key = ApiKey::ApiVersions as i16;
    let cases: [(&str, i16, &[u8]); 6] = [
        ("a null client id", -1, &[]),
        ("client id length -2", -2, &[]),
        ("an empty client id", 0, &[]),
        ("a client id that is not UTF-8", 2, &[0xff, 0xfe]),
        ("a client id longer than the frame", 100, &[]),
        ("bytes after the body", 0, &[1, 2, 3]),
    ];
    for (label, length, rest) in cases {
        let frame = header(key, 0, length, rest);
        if length <= 2 {
            play.raw_as::<ApiVersionsRequest>("main", label, 0, &frame)?;
        } else {
            play.raw("main", label, &frame)?;
        }
    }
    // A flexible header: tagged fields behind the client id.
    let metadata_key = ApiKey::Metadata as i16;
    let body = wire::body(&metadata(9, Some(&[])), 9)?;
    let mut tagged = vec![1, 5, 2, 9, 9];
    tagged.extend_from_slice(&body);
    play.raw_as::<MetadataRequest>("main", "a header with a tagged field", 9, &header(metadata_key, 9, -1, &tagged))?;
    let mut broken = vec![0xff, 0xff, 0xff, 0xff, 0x0f];
    broken.extend_from_slice(&body);
    let frame = header(metadata_key, 9, -1, &broken);
    play.raw_as::<MetadataRequest>("main", "a header that claims 2^32-1 tagged fields", 9, &frame)?;
    Ok(())
}

fn unknown_apis(play: &mut Play) -> Done {
    for key in [-1i16, 4, 7, 52, 94, 1000, i16::MAX] {
        let frame = play.frame("main", key, 0, 1, &[0; 16])?;
        play.raw("main", &format!("API key {key}"), &frame)?;
    }
    let beyond = [
        (0, 2),
        (0, 14),
        (1, 3),
        (1, 19),
        (2, 0),
        (2, 12),
        (3, 14),
        (3, -1),
        (10, 7),
        (19, 1),
        (20, 0),
        (22, 7),
        (60, 3),
    ];
    for (key, version) in beyond {
        let frame = play.frame("main", key, version, 2, &[0; 16])?;
        play.raw("main", &format!("{} at version {version}", apis::name_of(key)), &frame)?;
    }
    play.ask_on("after", "others go on", 0, ApiVersionsRequest::default())?;
    Ok(())
}

/// Bodies that end too soon or claim more than they hold: closed, and nobody else disturbed.
fn truncated_bodies(play: &mut Play) -> Done {
    play.mine_only();
    let key = ApiKey::Metadata as i16;
    let whole = wire::body(&metadata(9, Some(&["a", "bc"])), 9)?;
    for length in [0, 1, 3, whole.len() - 1] {
        let frame = play.frame("main", key, 9, 2, &whole[..length])?;
        play.raw("main", &format!("{length} of the {} bytes of Metadata v9", whole.len()), &frame)?;
    }
    for (label, body) in [
        ("an array that claims 2^31-1 elements", vec![0x7f, 0xff, 0xff, 0xff]),
        ("an array that claims -2 elements", vec![0xff, 0xff, 0xff, 0xfe]),
        ("a string that claims -1 bytes where none may be null", vec![0, 0, 0, 1, 0xff, 0xff]),
        ("a string that is not UTF-8", vec![0, 0, 0, 1, 0, 2, 0xff, 0xfe, 0, 0]),
    ] {
        let frame = play.frame("main", key, 1, 1, &body)?;
        play.raw_as::<MetadataRequest>("main", &format!("Metadata v1 with {label}"), 1, &frame)?;
    }
    let mut long = whole.to_vec();
    long.extend_from_slice(&[1, 2, 3, 4]);
    let frame = play.frame("main", key, 9, 2, &long)?;
    play.raw_as::<MetadataRequest>("main", "Metadata v9 with bytes after the body", 9, &frame)?;
    play.ask_on("after", "others go on", 0, ApiVersionsRequest::default())?;
    Ok(())
}

/// Several requests in one write, answered in their order.
fn pipelined(play: &mut Play) -> Done {
    let mut all = BytesMut::new();
    for version in [0, 1, 2] {
        let body = wire::body(&ApiVersionsRequest::default(), version)?;
        all.put_slice(&play.frame("main", ApiKey::ApiVersions as i16, version, 1, &body)?);
    }
    let body = wire::body(&metadata(1, Some(&[])), 1)?;
    all.put_slice(&play.frame("main", ApiKey::Metadata as i16, 1, 1, &body)?);
    play.raw_as::<ApiVersionsRequest>("main", "four requests at once: the first answer", 0, &all)?;
    play.raw_as::<ApiVersionsRequest>("main", "the second", 1, &[])?;
    play.raw_as::<ApiVersionsRequest>("main", "the third", 2, &[])?;
    play.raw_as::<MetadataRequest>("main", "the fourth", 1, &[])?;
    Ok(())
}

fn limits(play: &mut Play) -> Done {
    let body = wire::body(&metadata(1, Some(&[])), 1)?;
    let frame = play.frame("main", ApiKey::Metadata as i16, 1, 1, &body)?;
    let mut padded = frame.to_vec();
    padded.resize(4 + 100_000, 0);
    padded[..4].copy_from_slice(&100_000i32.to_be_bytes());
    play.raw_as::<MetadataRequest>("main", "a frame of socket.request.max.bytes", 1, &padded)?;
    padded.push(0);
    padded[..4].copy_from_slice(&100_001i32.to_be_bytes());
    play.raw("main", "a frame of one byte more", &padded)?;
    Ok(())
}

fn idle(play: &mut Play) -> Done {
    play.ask("a request", 0, ApiVersionsRequest::default())?;
    play.closes_when_idle("main", "closed after connections.max.idle.ms")
}
