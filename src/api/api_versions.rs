//! ApiVersions (key 18), versions 0–4.
//!
//! Behaviour: the table of what is served, the supported and finalized features. A version that is not served is answered
//! in the form of version 0 with UNSUPPORTED_VERSION and our range (KIP-511). The response header is always version 0.
//! Version notes: v3 client software name and version, checked (INVALID_REQUEST); v4 features whose minimum is level 0.

use bytes::Bytes;
use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;

use super::errors::Error;
use super::{APIS, Api, BadRequest, Frame, Reply, Request};

pub const API: Api =
    Api { key: 18, name: "ApiVersions", versions: (0, 4), advertised_from: 0, flexible_from: 3, handle };

/// Features with the levels that are supported and the one that is finalized. `kraft.version` is supported from level 0:
/// older requests must not see it (KAFKA-17492).
const FEATURES: &[Feature] = &[
    Feature { name: "eligible.leader.replicas.version", supported: (0, 1), finalized: 1 },
    Feature { name: "group.version", supported: (0, 1), finalized: 1 },
    Feature { name: "metadata.version", supported: (7, 29), finalized: 29 },
    Feature { name: "kraft.version", supported: (0, 1), finalized: 0 },
    Feature { name: "transaction.version", supported: (0, 2), finalized: 2 },
];

struct Feature {
    name: &'static str,
    supported: (i16, i16),
    /// 0: not finalized.
    finalized: i16,
}

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: ApiVersionsRequest = request.decode(body)?;
    let version = request.version;
    if version >= 3
        && !(is_software_name(&asked.client_software_name) && is_software_name(&asked.client_software_version))
    {
        let response = ApiVersionsResponse::default().with_error_code(Error::InvalidRequest.code());
        return Ok(Reply::Now(request.responder.frame(&response)));
    }
    let keys = APIS
        .iter()
        .map(|api| {
            ApiVersion::default()
                .with_api_key(api.key)
                .with_min_version(api.advertised_from)
                .with_max_version(api.versions.1)
        })
        .collect();
    let mut response = ApiVersionsResponse::default().with_api_keys(keys);
    if version >= 3 {
        response = response
            .with_supported_features(
                FEATURES
                    .iter()
                    .filter(|f| version >= 4 || f.supported.0 > 0)
                    .map(|f| {
                        SupportedFeatureKey::default()
                            .with_name(StrBytes::from_static_str(f.name))
                            .with_min_version(f.supported.0)
                            .with_max_version(f.supported.1)
                    })
                    .collect(),
            )
            .with_finalized_features_epoch(1)
            .with_finalized_features(
                FEATURES
                    .iter()
                    .filter(|f| f.finalized > 0)
                    .map(|f| {
                        FinalizedFeatureKey::default()
                            .with_name(StrBytes::from_static_str(f.name))
                            .with_min_version_level(f.finalized)
                            .with_max_version_level(f.finalized)
                    })
                    .collect(),
            );
    }
    Ok(Reply::Now(request.responder.frame(&response)))
}

/// The answer to a version that is not served: version 0, with the one row that tells what is.
pub fn unsupported(request: &Request) -> Frame {
    let row =
        ApiVersion::default().with_api_key(API.key).with_min_version(API.versions.0).with_max_version(API.versions.1);
    let response =
        ApiVersionsResponse::default().with_error_code(Error::UnsupportedVersion.code()).with_api_keys(vec![row]);
    request.responder.frame_in(&response, 0)
}

/// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`
fn is_software_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}
