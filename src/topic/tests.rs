use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::base::Clock;
use crate::config::BrokerConfig;
use crate::log::{OpenMode, Origin};
use crate::record::PreparedBatch;
use crate::record::build::{BatchFields, NewRecord, build};

pub fn start(dir: &Path) -> Arc<TopicManager> {
    start_after(dir, OpenMode::ProcessDied)
}

fn start_after(dir: &Path, open_mode: OpenMode) -> Arc<TopicManager> {
    try_start(dir, open_mode).expect("starts")
}

pub fn try_start(dir: &Path, open_mode: OpenMode) -> Result<Arc<TopicManager>, String> {
    TopicManager::start(TopicManagerOptions {
        data_dir: dir.to_owned(),
        ephemeral: false,
        cluster_id: "cluster".into(),
        store: None,
        clock: Clock::system(),
        config: Arc::new(BrokerConfig::defaults()),
        open_mode,
        on_fatal: Arc::new(|what| panic!("{what}")),
    })
}

/// A copy of the directory of a running manager. Directories that go meanwhile are none of it.
pub fn as_after_a_crash(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("temporary directory");
    let _ = std::process::Command::new("cp").arg("-r").arg(dir.join(".")).arg(copy.path()).output().expect("cp runs");
    copy
}

/// Removes the journal, as somebody might.
pub fn remove_wal(dir: &Path) {
    for entry in std::fs::read_dir(dir).expect("listed") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "wal") {
            std::fs::remove_file(path).expect("removed");
        }
    }
}

pub fn batch(timestamp: i64) -> PreparedBatch {
    let record = NewRecord { value: Some(bytes::Bytes::from(vec![b'x'; 100])), timestamp, ..Default::default() };
    PreparedBatch::trusted(build(&BatchFields::default(), &[record]).expect("build").into()).expect("a batch")
}

pub async fn create(manager: &TopicManager, name: &str, partitions: u32) -> TopicId {
    create_with(manager, name, partitions, BTreeMap::new()).await
}

pub async fn create_with(
    manager: &TopicManager,
    name: &str,
    partitions: u32,
    configs: BTreeMap<String, String>,
) -> TopicId {
    let id = TopicId::random();
    let record = MetadataRecord::TopicCreated {
        name: name.to_owned(),
        id: id.0.as_u128(),
        partitions,
        created_at_ms: 1,
        configs,
    };
    let touches = vec![Touch::Topic(collision_key(name))];
    manager.change(touches, move |_| (vec![record], ())).await.expect("created");
    id
}

/// S3: a creation that a crash cut off leaves directories; the topic that gets the name later must not inherit them.
#[tokio::test]
async fn directories_of_a_topic_that_never_was_are_set_aside() {
    let dir = tempfile::tempdir().expect("temporary directory");
    for partition in 0..20 {
        crate::log::create_dir(&dir.path().join(format!("t-{partition}")), TopicId::random()).expect("a leftover");
    }
    let manager = start(dir.path());
    // The scan of a directory without metadata finds a topic there: delete it first, as an administrator would.
    if let Some(found) = manager.topic("t") {
        let record = MetadataRecord::TopicDeleted { name: "t".into(), id: found.id.0.as_u128() };
        manager.change(vec![Touch::Topic("t".into())], move |_| (vec![record], ())).await.expect("deleted");
    }
    let id = create(&manager, "t", 20).await;
    let topic = manager.topic("t").expect("there");
    assert_eq!(topic.id, id);
    for partition in topic.partitions().iter().take(16) {
        let offsets = partition.offsets(manager.env(), &topic.settings().resolved).expect("usable");
        assert_eq!(offsets.end, 0);
        assert_eq!(crate::log::read_topic_id(&dir.path().join(partition.dir_name())), Some(id));
    }
    assert!(manager.stop(), "a clean stop");
}

#[tokio::test]
async fn what_was_changed_is_there_after_a_crash_at_any_moment_later() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let manager = start(dir.path());
    let kept = create(&manager, "kept", 3).await;
    let gone = create(&manager, "gone", 1).await;
    let record = MetadataRecord::TopicDeleted { name: "gone".into(), id: gone.0.as_u128() };
    manager.change(vec![Touch::Topic("gone".into())], move |_| (vec![record], ())).await.expect("deleted");
    let copy = as_after_a_crash(dir.path());
    let recovered = start(copy.path());
    let topic = recovered.topic("kept").expect("there");
    assert_eq!((topic.id, topic.partitions().len()), (kept, 3));
    assert!(recovered.topic("gone").is_none());
    assert!(recovered.stop() && manager.stop());
}

fn durable() -> BTreeMap<String, String> {
    BTreeMap::from([("flush.messages".to_owned(), "1".to_owned()), ("segment.bytes".to_owned(), "1048576".to_owned())])
}

/// S29, S37: what the segment lost, the WAL has.
#[tokio::test]
async fn acknowledged_batches_that_the_segment_lost_come_back_from_the_wal() {
    for open_mode in [OpenMode::ProcessDied, OpenMode::MachineDied] {
        let dir = tempfile::tempdir().expect("temporary directory");
        let manager = start(dir.path());
        create_with(&manager, "durable", 1, durable()).await;
        let topic = manager.topic("durable").expect("there");
        let partition = topic.partition(0).expect("there");
        for i in 0..50 {
            let appended = partition
                .append(manager.env(), &topic.settings().resolved, &batch(i), Origin::CLIENT)
                .expect("appended");
            appended.ticket.expect("through the WAL").committed().await.expect("durable");
        }
        let copy = as_after_a_crash(dir.path());
        assert!(manager.stop());
        let segment = copy.path().join("durable-0/00000000000000000000.log");
        let length = std::fs::metadata(&segment).expect("there").len();
        std::fs::OpenOptions::new().write(true).open(&segment).expect("open").set_len(length / 2 + 10).expect("cut");
        let recovered = start_after(copy.path(), open_mode);
        let topic = recovered.topic("durable").expect("there");
        let partition = topic.partition(0).expect("there");
        let offsets = partition.offsets(recovered.env(), &topic.settings().resolved).expect("usable");
        assert_eq!((offsets.log_start, offsets.end, offsets.high_watermark), (0, 50, 50), "{open_mode:?}");
        let epoch = if open_mode == OpenMode::MachineDied { 1 } else { 0 };
        assert_eq!(partition.leader_epoch(), epoch, "all came back, in the epoch that it had");
        for (i, timestamp) in (0..50).enumerate() {
            let found = partition
                .offset_for_timestamp(
                    recovered.env(),
                    &topic.settings().resolved,
                    timestamp,
                    Isolation::ReadUncommitted,
                )
                .expect("looked up");
            let RemoteLookUp::Found(found) = found else { panic!("nothing is remote") };
            assert_eq!(found.map(|f| (f.offset, f.leader_epoch)), Some((i as i64, 0)));
        }
        assert!(recovered.stop());
    }
}

/// A batch that was on its way while its topic was deleted stands behind the deletion in the WAL.
#[tokio::test]
async fn a_batch_behind_the_deletion_of_its_topic_does_not_refuse_the_start() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let manager = start(dir.path());
    let id = create_with(&manager, "t", 1, durable()).await;
    let record = MetadataRecord::TopicDeleted { name: "t".into(), id: id.0.as_u128() };
    manager.change(vec![Touch::Topic("t".into())], move |_| (vec![record], ())).await.expect("deleted");
    let payload: [&[u8]; 4] = [id.0.as_bytes(), &0u32.to_be_bytes(), &batch(1).head, &batch(1).body];
    let late = manager.env().wal().append(metadata::KIND_BATCH, &payload, None).expect("appended");
    late.committed().await.expect("durable");
    let copy = as_after_a_crash(dir.path());
    let recovered = start(copy.path());
    assert!(recovered.topic("t").is_none());
    assert!(recovered.stop() && manager.stop());
}

/// S31: a topic that no longer asks for durability still has what was acknowledged as durable.
#[tokio::test]
async fn a_checkpoint_syncs_what_rests_on_the_wal_whatever_the_topic_asks_now() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let manager = start(dir.path());
    let id = create_with(&manager, "t", 1, durable()).await;
    let topic = manager.topic("t").expect("there");
    let partition = topic.partition(0).expect("there");
    let appended =
        partition.append(manager.env(), &topic.settings().resolved, &batch(1), Origin::CLIENT).expect("appended");
    appended.ticket.expect("through the WAL").committed().await.expect("durable");
    let record = MetadataRecord::TopicConfig { id: id.0.as_u128(), configs: BTreeMap::new() };
    manager.change(vec![Touch::Topic("t".into())], move |_| (vec![record], ())).await.expect("changed");
    assert!(partition.rests_on_wal());
    let checkpointed = manager.clone();
    tokio::task::spawn_blocking(move || checkpoint::checkpoint(&checkpointed)).await.expect("ran").expect("written");
    assert!(!partition.rests_on_wal());
    assert_eq!(partition.recovery_point_on_record(), 1);
    assert!(manager.stop());
}

/// Without any metadata the ids of producers in the logs are not handed out again, nor is a log start forgotten.
#[tokio::test]
async fn what_the_logs_and_checkpoints_know_is_used_where_the_metadata_is_lost() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let manager = start(dir.path());
    let id = create(&manager, "t", 1).await;
    let topic = manager.topic("t").expect("there");
    let partition = topic.partition(0).expect("there");
    let record = NewRecord { value: Some("v".into()), timestamp: Clock::system().wall_ms(), ..Default::default() };
    for sequence in 0..3 {
        let fields =
            BatchFields { producer_id: 4711, producer_epoch: 0, base_sequence: sequence, ..Default::default() };
        let built = build(&fields, std::slice::from_ref(&record)).expect("build");
        let batch = PreparedBatch::trusted(built.into()).expect("a batch");
        partition.append(manager.env(), &topic.settings().resolved, &batch, Origin::CLIENT).expect("appended");
    }
    let record = MetadataRecord::LogStart { id: id.0.as_u128(), partition: 0, offset: 2 };
    manager.change(vec![Touch::Topic("t".into())], move |_| (vec![record], ())).await.expect("changed");
    assert!(manager.stop());
    for lost in [metadata::snapshot_path(dir.path()), metadata::previous_path(dir.path())] {
        std::fs::remove_file(lost).expect("both generations were there");
    }
    remove_wal(dir.path());
    let recovered = start(dir.path());
    assert!(recovered.next_producer_id().await.expect("an id") > 4711);
    let topic = recovered.topic("t").expect("found by its directory");
    let offsets = topic.partition(0).expect("there").offsets(recovered.env(), &topic.settings().resolved);
    let offsets = offsets.expect("usable");
    assert_eq!((offsets.log_start, offsets.end), (2, 3));
    assert!(recovered.stop());
}
