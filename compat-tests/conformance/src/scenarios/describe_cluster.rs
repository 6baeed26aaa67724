//! DescribeCluster (60).

use kafka_protocol::messages::DescribeClusterRequest;

use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![scenario("describe-cluster/every-version", every_version), scenario("describe-cluster/endpoints", endpoints)]
}

fn every_version(play: &mut Play) -> Done {
    for version in 0..=2 {
        play.ask("the cluster", version, DescribeClusterRequest::default())?;
        let request = DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
        play.ask("with authorised operations", version, request)?;
    }
    let request = DescribeClusterRequest::default().with_include_fenced_brokers(true);
    play.ask("with fenced brokers", 2, request)?;
    Ok(())
}

fn endpoints(play: &mut Play) -> Done {
    for version in 1..=2 {
        for endpoint in [0i8, 1, 2, 3, -1] {
            let request = DescribeClusterRequest::default().with_endpoint_type(endpoint);
            play.ask(&format!("endpoint type {endpoint}"), version, request)?;
        }
    }
    Ok(())
}
