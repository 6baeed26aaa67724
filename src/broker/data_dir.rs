//! The data directory: its lock, its identity (`meta.properties`) and how the last run left it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use super::StartError;
use crate::base::{DirectoryId, TopicId};
use crate::config::BrokerConfig;
use crate::log::OpenMode;
use crate::log::files;

const LOCK: &str = ".lock";
const META_PROPERTIES: &str = "meta.properties";
/// Kafka's mark of an orderly stop.
const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
/// The boot id of the machine while a broker runs on the directory: tells a killed process from a crashed machine.
const RUNNING: &str = ".ottla_running";

pub struct DataDir {
    path: PathBuf,
    cluster_id: String,
    left_as: OpenMode,
    ephemeral: bool,
    /// Held for the life of the process; the system lets go of it however that ends.
    _lock: File,
}

impl DataDir {
    pub fn open(config: &BrokerConfig, ephemeral: bool) -> Result<DataDir, StartError> {
        let path = config.log_dir();
        let failed = |what: &str, e: std::io::Error| StartError::Failed(format!("{what} {}: {e}", path.display()));
        std::fs::create_dir_all(&path).map_err(|e| failed("creating the data directory", e))?;
        let lock = lock(&path)?;
        let left_as = how_it_was_left(&path);
        let cluster_id = match read_meta(&path)? {
            Some(meta) => {
                check_meta(&path, &meta, config)?;
                meta.cluster_id
            }
            None => {
                let id = config.fresh_cluster_id().map_or_else(|| TopicId::random().to_string(), str::to_owned);
                write_meta(&path, &id, config.node_id()).map_err(|e| failed("writing meta.properties in", e))?;
                id
            }
        };
        Ok(DataDir { path, cluster_id, left_as, ephemeral, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    pub fn left_as(&self) -> OpenMode {
        self.left_as
    }

    /// From now on an end without [`DataDir::mark_clean`] is a crash.
    pub fn mark_running(&self) -> Result<(), StartError> {
        let failed = |e: std::io::Error| StartError::Failed(format!("marking {}: {e}", self.path.display()));
        let running = std::fs::read_to_string(self.path.join(RUNNING)).unwrap_or_default();
        if !self.ephemeral && (running.is_empty() || running != boot_id()) {
            // In one piece: half of it would be a crash of the machine to the next start.
            match files::replace(&self.path.join(RUNNING), boot_id().as_bytes(), false) {
                Ok(()) => {}
                // On a full disk the next start recovers as after a crash of the machine, which is safe.
                Err(e) if e.raw_os_error() == Some(libc::ENOSPC) => {
                    let _ = std::fs::remove_file(self.path.join(RUNNING));
                }
                Err(e) => return Err(failed(e)),
            }
        }
        match std::fs::remove_file(self.path.join(CLEAN_SHUTDOWN)) {
            // A power cut must not bring it back.
            Ok(()) if !self.ephemeral => files::sync_dir(&self.path.join(CLEAN_SHUTDOWN)).map_err(failed),
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(failed(e)),
            _ => Ok(()),
        }
    }

    /// `broker_epoch` is the one under which a Kafka that starts here next has registered this broker: with another it
    /// would take the stop for a crash and the replicas for doubtful (KIP-966).
    pub fn mark_clean(&self, broker_epoch: i64) {
        if self.ephemeral {
            return;
        }
        let content = format!("{{\"version\":0,\"brokerEpoch\":{broker_epoch}}}");
        if let Err(error) = files::replace(&self.path.join(CLEAN_SHUTDOWN), content.as_bytes(), true) {
            tracing::warn!(%error, "could not write the mark of a clean stop: the next start recovers");
        }
    }
}

/// The cluster id that a data directory has been given, without touching it.
pub fn read_cluster_id(dir: &Path) -> Result<Option<String>, StartError> {
    Ok(read_meta(dir)?.map(|meta| meta.cluster_id))
}

/// Gives the data directory its cluster id, as its first start would.
pub fn format_data_dir(config: &BrokerConfig, cluster_id: &str) -> Result<(), StartError> {
    let dir = config.log_dir();
    let failed = |e: std::io::Error| StartError::Failed(format!("formatting {}: {e}", dir.display()));
    std::fs::create_dir_all(&dir).map_err(failed)?;
    let _lock = lock(&dir)?;
    write_meta(&dir, cluster_id, config.node_id()).map_err(failed)
}

fn lock(dir: &Path) -> Result<File, StartError> {
    let path = dir.join(LOCK);
    let failed = |e: std::io::Error| StartError::Failed(format!("locking {}: {e}", path.display()));
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            let holder = if holder.trim().is_empty() { "unknown" } else { holder.trim() };
            return Err(StartError::Failed(format!(
                "the data directory {} is in use by process {holder}",
                dir.display()
            )));
        }
        Err(std::fs::TryLockError::Error(e)) => return Err(failed(e)),
    }
    if is_locked_by_kafka(&file) {
        return Err(StartError::Failed(format!("the data directory {} is in use, by a Kafka probably", dir.display())));
    }
    // Best effort: the lock holds without the number in it.
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

/// Java locks the same file with fcntl, of which flock knows nothing, nor the other way round: so both are taken.
fn is_locked_by_kafka(file: &File) -> bool {
    // SAFETY: all bytes zero is a valid value of this plain struct.
    let mut whole: libc::flock = unsafe { std::mem::zeroed() };
    whole.l_type = libc::F_WRLCK as libc::c_short;
    whole.l_whence = libc::SEEK_SET as libc::c_short;
    // SAFETY: the descriptor is open, and the struct lives through the call.
    let taken = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &whole) };
    // A file system without such locks has nobody who holds one.
    taken != 0 && matches!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EAGAIN | libc::EACCES))
}

fn how_it_was_left(dir: &Path) -> OpenMode {
    if dir.join(CLEAN_SHUTDOWN).exists() {
        return OpenMode::Clean;
    }
    match std::fs::read_to_string(dir.join(RUNNING)) {
        Ok(id) if !id.is_empty() && id == boot_id() => OpenMode::ProcessDied,
        Ok(_) => OpenMode::MachineDied,
        // Never used, or a directory of Kafka's that was not closed in order.
        Err(_) => OpenMode::MachineDied,
    }
}

/// Changes with every start of the machine; empty where the system has none.
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

struct Meta {
    cluster_id: String,
    node_id: Option<i32>,
}

fn read_meta(dir: &Path) -> Result<Option<Meta>, StartError> {
    let path = dir.join(META_PROPERTIES);
    let bytes = files::read_optional(&path).map_err(|e| StartError::Failed(e.to_string()))?;
    let Some(bytes) = bytes.filter(|b| !b.is_empty()) else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    let value = |key: &str| {
        text.lines().filter_map(|line| line.split_once('=')).find(|(k, _)| k.trim() == key).map(|(_, v)| v.trim())
    };
    let Some(cluster_id) = value("cluster.id") else {
        return Err(StartError::Failed(format!("{} has no cluster.id", path.display())));
    };
    let node_id = value("node.id").or_else(|| value("broker.id")).and_then(|id| id.parse().ok());
    Ok(Some(Meta { cluster_id: cluster_id.to_owned(), node_id }))
}

fn check_meta(dir: &Path, meta: &Meta, config: &BrokerConfig) -> Result<(), StartError> {
    let refuse = |what: String| Err(StartError::Failed(format!("the data directory {} {what}", dir.display())));
    if let Some(configured) = config.cluster_id()
        && configured != meta.cluster_id
    {
        return refuse(format!("belongs to cluster {}, not to the configured {configured}", meta.cluster_id));
    }
    if let Some(other) = config.fresh_cluster_id().filter(|id| *id != meta.cluster_id) {
        tracing::warn!(
            CLUSTER_ID = other,
            cluster_id = meta.cluster_id,
            "the data directory has its cluster id already"
        );
    }
    match meta.node_id {
        Some(id) if id != config.node_id() => {
            refuse(format!("belongs to node {id}, but node.id is {}", config.node_id()))
        }
        _ => Ok(()),
    }
}

/// Not synced: the directory is fresh, and whatever is durable in it later syncs the journal of the file system with it.
fn write_meta(dir: &Path, cluster_id: &str, node_id: i32) -> std::io::Result<()> {
    let directory_id = DirectoryId::random();
    let text = format!("version=1\ncluster.id={cluster_id}\nnode.id={node_id}\ndirectory.id={directory_id}\n");
    files::replace(&dir.join(META_PROPERTIES), text.as_bytes(), false)
}
