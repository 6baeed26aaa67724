//! ApiVersions (18): the table, the features, the one API that answers versions it does not know.

use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest};

use crate::play::{Done, Play, text};
use crate::run::{Scenario, scenario};
use crate::wire;

const KEY: i16 = ApiKey::ApiVersions as i16;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("api-versions/every-version", every_version),
        scenario("api-versions/unknown-version", unknown_version),
        scenario("api-versions/client-software", client_software),
    ]
}

fn named(name: &str, version: &str) -> ApiVersionsRequest {
    ApiVersionsRequest::default().with_client_software_name(text(name)).with_client_software_version(text(version))
}

fn every_version(play: &mut Play) -> Done {
    for version in 0..=4 {
        let request = if version >= 3 { named("conformance", "1.0") } else { ApiVersionsRequest::default() };
        play.ask("the table", version, request)?;
    }
    Ok(())
}

/// The answer to a version that the broker does not know has the form of version 0 and names the versions that it does know.
fn unknown_version(play: &mut Play) -> Done {
    let body = wire::body(&named("conformance", "1.0"), 3)?;
    for version in [5, 100, i16::MAX] {
        let frame = play.frame("main", KEY, version, 2, &body)?;
        play.raw_as::<ApiVersionsRequest>("main", &format!("version {version}, read as version 0"), 0, &frame)?;
    }
    play.ask("the same connection goes on", 3, named("conformance", "1.0"))?;
    let frame = play.frame("no body", KEY, 9, 2, &[])?;
    play.raw_as::<ApiVersionsRequest>("no body", "an unknown version without a body", 0, &frame)?;
    let frame = play.frame("header 1", KEY, 9, 1, &[])?;
    play.raw("header 1", "an unknown version with a header that ends before its tags", &frame)?;
    let frame = play.frame("negative", KEY, -1, 2, &body)?;
    play.raw_as::<ApiVersionsRequest>("negative", "version -1, read as version 0", 0, &frame)?;
    Ok(())
}

fn client_software(play: &mut Play) -> Done {
    for (name, version) in [
        ("", ""),
        ("a", ""),
        ("", "1"),
        ("a", "1"),
        ("librdkafka", "2.11.1-dirty"),
        ("-a", "1"),
        ("a-", "1"),
        ("a b", "1"),
        ("a_b", "1"),
        ("a.b-c", "1.2-3"),
        ("ä", "1"),
    ] {
        play.ask(&format!("name \"{name}\", version \"{version}\""), 3, named(name, version))?;
    }
    let mut body = BytesMut::new();
    body.put_slice(&wire::body(&named("a", "1"), 3)?);
    body.truncate(body.len() - 1);
    body.put_slice(&[1, 77, 3, b'x', b'y', b'z']);
    let frame = play.frame("main", KEY, 3, 2, &body)?;
    play.raw_as::<ApiVersionsRequest>("main", "an unknown tagged field", 3, &frame)?;
    play.ask("name of 1,000 characters", 3, named(&"a".repeat(1000), "1"))?;
    Ok(())
}
