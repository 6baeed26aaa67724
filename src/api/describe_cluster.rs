//! DescribeCluster (key 60), versions 0–2.
//!
//! Behaviour: this node, as reached by the listener that was asked. Only brokers are described here: controllers would be
//! asked on a listener of their own.
//! Version notes: v1 endpoint type, v2 fenced brokers (there are none).

use bytes::Bytes;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};
use kafka_protocol::protocol::StrBytes;

use super::errors::Error;
use super::metadata::{CLUSTER_OPERATIONS, OPERATIONS_NOT_ASKED};
use super::{Api, BadRequest, Reply, Request};

pub const API: Api =
    Api { key: 60, name: "DescribeCluster", versions: (0, 2), advertised_from: 0, flexible_from: 0, handle };

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: DescribeClusterRequest = request.decode(body)?;
    let version = request.version;
    let endpoint_type = if version >= 1 { asked.endpoint_type } else { BROKERS };
    let mut response = DescribeClusterResponse::default();
    response.error_message = None;
    response.cluster_authorized_operations = OPERATIONS_NOT_ASKED;
    if endpoint_type != BROKERS {
        let (error, message) = match endpoint_type {
            CONTROLLERS => (
                if version == 0 { Error::InvalidRequest } else { Error::MismatchedEndpointType },
                "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"
                    .into(),
            ),
            other => (Error::UnsupportedEndpointType, format!("Unsupported endpoint type {other}")),
        };
        response.error_code = error.code();
        response.error_message = Some(StrBytes::from_string(message));
        return Ok(Reply::Now(request.responder.frame(&response)));
    }
    let broker = request.broker();
    let (host, port) = request.context.advertised();
    let mut node = DescribeClusterBroker::default();
    node.broker_id = BrokerId(broker.node_id);
    node.host = StrBytes::from_string(host);
    node.port = port;
    node.rack = broker.config.rack().map(StrBytes::from_string);
    response.brokers = vec![node];
    response.cluster_id = super::owned(&broker.cluster_id);
    response.controller_id = BrokerId(broker.node_id);
    if asked.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    Ok(Reply::Now(request.responder.frame(&response)))
}
