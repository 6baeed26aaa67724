//! DescribeLogDirs (key 35), versions 1–4.
//!
//! Behaviour: the one data directory, with the size of each partition that was asked for (null: all). One that is unusable
//! is left out.
//! Version notes: v3 top-level error, v4 bytes of the volume.

use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use bytes::Bytes;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{Api, BadRequest, Reply, Request};

pub const API: Api =
    Api { key: 35, name: "DescribeLogDirs", versions: (1, 4), advertised_from: 1, flexible_from: 2, handle };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: DescribeLogDirsRequest = request.decode(body)?;
    let broker = request.broker();
    let manager = &broker.topics;
    let mut out = DescribeLogDirsResult::default();
    let path = std::path::absolute(broker.data_dir.path()).unwrap_or_else(|_| broker.data_dir.path().to_owned());
    out.log_dir = StrBytes::from_string(path.to_string_lossy().into_owned());
    let wanted = asked.topics.map(|topics| {
        let mut wanted: HashMap<TopicName, HashSet<i32>> = HashMap::new();
        for topic in topics {
            wanted.entry(topic.topic).or_default().extend(topic.partitions);
        }
        wanted
    });
    let env = manager.env();
    for topic in manager.topics() {
        let name = TopicName(super::owned(&topic.name));
        let of_topic = match &wanted {
            None => None,
            Some(wanted) => match wanted.get(&name) {
                Some(partitions) => Some(partitions),
                None => continue,
            },
        };
        let partitions = topic.partitions();
        let asked = partitions.iter().filter(|p| of_topic.is_none_or(|indexes| indexes.contains(&p.index)));
        let rows: Vec<_> = asked
            .filter_map(|p| {
                let size = p.size_on_disk(env)?;
                let row = DescribeLogDirsPartition::default().with_partition_index(p.index);
                Some(row.with_partition_size(size as i64))
            })
            .collect();
        if !rows.is_empty() {
            out.topics.push(DescribeLogDirsTopic::default().with_name(name).with_partitions(rows));
        }
    }
    if request.version >= 4 {
        let (total, usable) = volume_bytes(broker.data_dir.path()).unwrap_or((-1, -1));
        out.total_bytes = total;
        out.usable_bytes = usable;
    }
    let response = DescribeLogDirsResponse::default().with_results(vec![out]);
    Ok(Reply::Now(request.responder.frame(&response)))
}

/// Bytes of the volume that holds `path`: all, and those that may be used.
fn volume_bytes(path: &Path) -> Option<(i64, i64)> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: the structure is plain data, filled in by the call; the path is a C string that lives through it.
    let stats = unsafe {
        let mut stats: libc::statvfs = std::mem::zeroed();
        if libc::statvfs(path.as_ptr(), &mut stats) != 0 {
            return None;
        }
        stats
    };
    let unit = stats.f_frsize as i64;
    Some((stats.f_blocks as i64 * unit, stats.f_bavail as i64 * unit))
}
