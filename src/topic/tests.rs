use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::base::Clock;
use crate::config::BrokerConfig;
use crate::log::OpenMode;

fn start(dir: &Path) -> Arc<TopicManager> {
    TopicManager::start(TopicManagerOptions {
        data_dir: dir.to_owned(),
        ephemeral: false,
        clock: Clock::system(),
        config: Arc::new(BrokerConfig::defaults()),
        open_mode: OpenMode::ProcessDied,
        on_fatal: Arc::new(|what| panic!("{what}")),
    })
    .expect("starts")
}

async fn create(manager: &TopicManager, name: &str, partitions: u32) -> TopicId {
    let id = TopicId::random();
    let record = MetadataRecord::TopicCreated {
        name: name.to_owned(),
        id: id.0.as_u128(),
        partitions,
        created_at_ms: 1,
        configs: BTreeMap::new(),
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
    // No stop: the files as they are now are what a crash would leave.
    let copy = tempfile::tempdir().expect("temporary directory");
    let copied = std::process::Command::new("cp").arg("-r").arg(dir.path().join(".")).arg(copy.path()).status();
    assert!(copied.expect("cp runs").success());
    let recovered = start(copy.path());
    let topic = recovered.topic("kept").expect("there");
    assert_eq!((topic.id, topic.partitions().len()), (kept, 3));
    assert!(recovered.topic("gone").is_none());
    assert!(recovered.stop() && manager.stop());
}
