//! A kill at every step of copying: before each call of the store, data directory and store are set aside as they are then, and a
//! broker that starts on them goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path as FilePath;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::*;
use tempfile::TempDir;

use super::*;
use crate::base::Clock;
use crate::config::{BrokerConfig, BrokerConfigBuilder};
use crate::log::{OpenMode, Origin};
use crate::tier::{MANIFEST, Manifest};
use crate::topic::TopicManagerOptions;
use crate::topic::tests::{as_after_a_crash, batch, create_with};

const LIMIT: Duration = Duration::from_secs(60);

/// A directory as a store. Calls wait until it is opened; from then on it photographs everything before each.
#[derive(Debug)]
struct Photographer {
    inner: LocalFileSystem,
    data_dir: std::path::PathBuf,
    store_dir: std::path::PathBuf,
    opened: tokio::sync::Semaphore,
    photographs: Mutex<Vec<(TempDir, TempDir)>>,
}

impl Photographer {
    async fn call(&self) {
        let _open = self.opened.acquire().await.expect("never closed");
        let photograph = (as_after_a_crash(&self.data_dir), as_after_a_crash(&self.store_dir));
        lock(&self.photographs).push(photograph);
    }
}

impl std::fmt::Display for Photographer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "photographer")
    }
}

#[async_trait]
impl ObjectStore for Photographer {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.call().await;
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.call().await;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.call().await;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.call().await;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn config() -> BrokerConfig {
    let builder = BrokerConfigBuilder::new()
        .set("remote.log.storage.system.enable", "true")
        .set("remote.log.manager.task.interval.ms", "10")
        .set("log.initial.task.delay.ms", "0")
        .set("log.retention.check.interval.ms", "10");
    builder.build().expect("valid").0
}

fn start(data_dir: &FilePath, store: Store) -> Arc<TopicManager> {
    TopicManager::start(TopicManagerOptions {
        data_dir: data_dir.to_owned(),
        ephemeral: false,
        cluster_id: "cluster".into(),
        store: Some(store),
        clock: Clock::system(),
        config: Arc::new(config()),
        open_mode: OpenMode::ProcessDied,
        on_fatal: Arc::new(|what| panic!("{what}")),
    })
    .expect("starts")
}

/// The bytes of the segments in a partition's directory, by offset.
fn segments(partition: &FilePath) -> BTreeMap<i64, Vec<u8>> {
    let entries = std::fs::read_dir(partition).expect("listed").flatten();
    let logs = entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "log"));
    logs.filter_map(|entry| {
        let base = entry.path().file_stem()?.to_str()?.parse().ok()?;
        Some((base, std::fs::read(entry.path()).ok()?))
    })
    .collect()
}

/// Every object of the store, by its name without folders.
fn objects(store: &FilePath) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(store).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(objects(&entry.path()));
        } else if let Ok(bytes) = std::fs::read(entry.path()) {
            found.insert(entry.file_name().to_string_lossy().into_owned(), bytes);
        }
    }
    found
}

#[track_caller]
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    #[allow(clippy::disallowed_methods)]
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LIMIT, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What the manifest names must be in the store, byte for byte; what it does not must be here.
#[track_caller]
fn nothing_is_lost(data_dir: &FilePath, store: &FilePath, id: TopicId, sealed: &BTreeMap<i64, Vec<u8>>) -> Manifest {
    let partition = data_dir.join("t-0");
    let manifest = Manifest::read(&partition, id).expect("whole");
    let (local, remote) = (segments(&partition), objects(store));
    for (base, bytes) in sealed {
        match manifest.find(*base) {
            Some((_, entry)) => assert!(remote.get(&entry.object("log")) == Some(bytes), "{base} is not in the store"),
            None => assert!(local.get(base) == Some(bytes), "{base} is not copied and not here"),
        }
    }
    manifest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_kill_at_any_step_of_copying_loses_nothing_and_leaves_nothing() {
    let (data, store) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
    let photographer = Arc::new(Photographer {
        inner: LocalFileSystem::new_with_prefix(store.path()).expect("a directory"),
        data_dir: data.path().to_owned(),
        store_dir: store.path().to_owned(),
        opened: tokio::sync::Semaphore::new(0),
        photographs: Mutex::default(),
    });
    let manager = start(data.path(), Store::over(photographer.clone(), Path::default()));
    let configs =
        [("remote.storage.enable", "true"), ("internal.segment.bytes", "700"), ("local.retention.bytes", "1")];
    let configs = configs.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let id = create_with(&manager, "t", 1, BTreeMap::from(configs)).await;
    let topic = manager.topic("t").expect("there");
    let partition = topic.partition(0).expect("there");
    let now = Clock::system().wall_ms();
    for at in 0..14 {
        partition
            .append(manager.env(), &topic.settings().resolved, &batch(now + at), Origin::CLIENT)
            .expect("appended");
    }
    let mut sealed = segments(&data.path().join("t-0"));
    let (active, _) = sealed.pop_last().expect("an active segment");
    assert!(sealed.len() >= 3, "{} sealed segments", sealed.len());
    photographer.opened.add_permits(1);
    wait_until("what is sealed is in the store alone", || segments(&data.path().join("t-0")).len() == 1);
    assert!(manager.stop());
    nothing_is_lost(data.path(), store.path(), id, &sealed);

    let mut photographs = std::mem::take(&mut *lock(&photographer.photographs));
    // Each segment has four objects: each is sent and measured, and read back unless it is empty.
    assert!(photographs.len() >= sealed.len() * 10, "{} photographs", photographs.len());
    // And one of all that is copied and on record, while every local file is there still.
    let (early, late) = (as_after_a_crash(photographs[0].0.path()), as_after_a_crash(store.path()));
    std::fs::copy(data.path().join("t-0").join(MANIFEST), early.path().join("t-0").join(MANIFEST)).expect("copied");
    photographs.push((early, late));
    let mut copied = BTreeSet::new();
    for (data, store) in photographs {
        copied.insert(nothing_is_lost(data.path(), store.path(), id, &sealed).entries.len());
        let url = format!("file://{}", store.path().display());
        let manager = start(data.path(), Store::open(&url, &S3Options::default()).expect("a store"));
        wait_until("what is sealed is in the store alone", || {
            let local = segments(&data.path().join("t-0"));
            local.len() == 1 && local.contains_key(&active)
        });
        wait_until("the store has what the manifest names, and no more", || {
            let manifest = Manifest::read(&data.path().join("t-0"), id).expect("whole");
            let names =
                manifest.entries.iter().flat_map(|entry| entry.objects.iter().map(|suffix| entry.object(suffix)));
            names.collect::<BTreeSet<_>>() == objects(store.path()).into_keys().collect()
        });
        assert!(manager.stop());
        nothing_is_lost(data.path(), store.path(), id, &sealed);
    }
    assert_eq!(copied.len(), sealed.len() + 1, "kills with every number of copied segments: {copied:?}");
}
