//! A store that fails, hangs or answers wrong bytes, and what the tier makes of it.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::*;

use super::*;
use crate::log::chunk::SealedSegment;
use crate::log::{FileCache, OpenMode, Origin};
use crate::record::BatchHeader;

/// What a store does instead of what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    EveryThirdCallFails,
    Hangs,
    WrongBytes,
}

/// A store in memory with a fault.
#[derive(Debug)]
pub struct Faulty {
    inner: InMemory,
    fault: Mutex<Fault>,
    calls: AtomicU32,
}

impl Faulty {
    pub fn new(fault: Fault) -> Arc<Faulty> {
        Arc::new(Faulty { inner: InMemory::new(), fault: Mutex::new(fault), calls: AtomicU32::new(0) })
    }

    pub fn set(&self, fault: Fault) {
        *lock(&self.fault) = fault;
    }

    fn fault(&self) -> Fault {
        *lock(&self.fault)
    }

    async fn call(&self) -> Result<()> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        match self.fault() {
            Fault::EveryThirdCallFails if number % 3 == 2 => {
                Err(Error::Generic { store: "faulty", source: "every third call".into() })
            }
            Fault::Hangs => std::future::pending().await,
            _ => Ok(()),
        }
    }
}

impl std::fmt::Display for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.call().await?;
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.call().await?;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.call().await?;
        let is_head = options.head;
        let found = self.inner.get_opts(location, options).await?;
        if self.fault() != Fault::WrongBytes || is_head {
            return Ok(found);
        }
        let (meta, range, attributes, extensions) =
            (found.meta.clone(), found.range.clone(), found.attributes.clone(), found.extensions.clone());
        let mut wrong = found.bytes().await?.to_vec();
        wrong.iter_mut().take(1).for_each(|byte| *byte ^= 1);
        let payload = GetResultPayload::Stream(Box::pin(futures_util::stream::iter([Ok(Bytes::from(wrong))])));
        Ok(GetResult { payload, meta, range, attributes, extensions })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.call().await?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A log with sealed segments, and a tier over a faulty store, with its thread.
struct Fixture {
    logs: crate::log::tests::Fixture,
    store: Arc<Faulty>,
    tier: Arc<Tier>,
    runtime: tokio::runtime::Runtime,
}

impl Fixture {
    fn new(fault: Fault) -> Fixture {
        let logs = crate::log::tests::Fixture::new();
        let faulty = Faulty::new(fault);
        let store = Store::over(faulty.clone(), Path::from("prefix")).with_call_time_max(Duration::from_millis(200));
        let cache = logs.dir().join("cache");
        let (tier, downloads) = Tier::new(store, cache, 0, Clock::system()).expect("made");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runs");
        runtime.spawn(downloads.serve(Arc::downgrade(&tier)));
        Fixture { logs, store: faulty, tier, runtime }
    }

    fn sealed(&self) -> Vec<SealedSegment> {
        let mut log = self.logs.open(OpenMode::Clean);
        for i in 0..200 {
            log.append(&crate::log::tests::batch(3, i), Origin::CLIENT).expect("append");
        }
        log.sealed(0, log.end()).expect("listed")
    }

    fn upload(&self, segment: &SealedSegment) -> std::result::Result<Entry, StoreError> {
        self.runtime.block_on(upload(&self.tier.store, "folder", segment))
    }

    /// Reads one piece as a fetch does: until it is here or cannot be had.
    fn read(&self, entry: &Arc<Entry>, chunk: usize) -> std::result::Result<Arc<Chunk>, String> {
        let (sender, woken) = std::sync::mpsc::channel();
        let wake: Wake = Arc::new(move || {
            let _ = sender.send(());
        });
        loop {
            match self.tier.read("folder", entry, chunk, &wake) {
                Read::Ready(chunk) => return Ok(chunk),
                Read::Failed(why) => return Err(why),
                Read::Pending => woken.recv_timeout(Duration::from_secs(20)).expect("woken"),
            }
        }
    }

    fn objects(&self) -> usize {
        let listed = self.runtime.block_on(self.store.inner.list_with_delimiter(Some(&Path::from("prefix/folder"))));
        listed.expect("listed").objects.len()
    }
}

#[test] // S34
fn a_segment_comes_back_as_it_was() {
    let fixture = Fixture::new(Fault::None);
    let segments = fixture.sealed();
    assert!(segments.len() > 2);
    let files = FileCache::new(0);
    for segment in &segments {
        let entry = Arc::new(fixture.upload(segment).expect("copied"));
        assert_eq!((entry.base_offset, entry.end, entry.bytes), (segment.base_offset, segment.end, segment.bytes));
        let on_disk = std::fs::read(segment.file("log")).expect("there");
        for offset in [segment.base_offset, segment.base_offset + 4, segment.end - 1] {
            let chunk = fixture.read(&entry, entry.chunk_of(offset)).expect("read");
            let region = chunk.read(&files, offset, 1 << 20, true).expect("read").expect("here").expect("data");
            let mut bytes = vec![0; region.length];
            crate::log::files::read_at(&region.file, &mut bytes, region.position).expect("read");
            let header = BatchHeader::read(&bytes).expect("a batch");
            assert!((header.base_offset..=header.last_offset()).contains(&offset));
            assert_eq!(bytes, on_disk[on_disk.len() - bytes.len()..], "all to the end of the piece");
        }
    }
    assert!(fixture.objects() >= segments.len() * 3, "with their indexes");
}

#[test]
fn a_store_that_fails_every_third_call_is_asked_again() {
    let fixture = Fixture::new(Fault::EveryThirdCallFails);
    let segments = fixture.sealed();
    let (mut entries, mut failures) = (Vec::new(), 0);
    while entries.len() < segments.len() {
        match fixture.upload(&segments[entries.len()]) {
            Ok(entry) => entries.push(Arc::new(entry)),
            Err(_) => failures += 1,
        }
        assert!(failures < 10, "calls are made again");
    }
    for entry in &entries {
        fixture.read(entry, 0).expect("read, perhaps at the second attempt");
    }
    assert!(fixture.store.calls.load(Ordering::Relaxed) > 20);
}

#[test]
fn wrong_bytes_are_neither_believed_when_copied_nor_when_read() {
    let fixture = Fixture::new(Fault::WrongBytes);
    let segments = fixture.sealed();
    let error = fixture.upload(&segments[0]).expect_err("not verified");
    assert!(error.to_string().contains("other bytes"), "{error}");
    assert_eq!(fixture.objects(), 0, "what was sent is deleted again");
    fixture.store.set(Fault::None);
    let entry = Arc::new(fixture.upload(&segments[0]).expect("copied"));
    fixture.store.set(Fault::WrongBytes);
    let why = fixture.read(&entry, 0).expect_err("not believed");
    assert!(why.contains("other bytes"), "{why}");
    fixture.store.set(Fault::None);
    // For a moment the failure stands; then it is asked again.
    let clock = Clock::system();
    let start = clock.instant();
    while fixture.read(&entry, 0).is_err() {
        assert!(clock.instant() - start < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_store_that_hangs_is_an_error_after_a_while() {
    let fixture = Fixture::new(Fault::None);
    let segments = fixture.sealed();
    let entry = Arc::new(fixture.upload(&segments[0]).expect("copied"));
    fixture.store.set(Fault::Hangs);
    assert!(matches!(fixture.upload(&segments[1]), Err(StoreError::TimedOut)));
    let why = fixture.read(&entry, 0).expect_err("it hangs");
    assert!(why.contains("does not answer"), "{why}");
}

#[test]
fn a_manifest_is_another_topics_or_damaged_or_right() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let id = crate::base::TopicId::random();
    assert_eq!(Manifest::read(dir.path(), id).expect("read"), Manifest::default());
    let entry = |base_offset, end| {
        Arc::new(Entry {
            id: uuid::Uuid::new_v4(),
            base_offset,
            end,
            bytes: 10,
            newest_ms: 5,
            leader_epoch: 0,
            has_aborted: false,
            objects: vec!["log".into(), "index".into()],
            chunks: Vec::new(),
        })
    };
    let mut manifest = Manifest { entries: vec![entry(0, 10), entry(10, 30)], garbage: Vec::new() };
    assert_eq!(manifest.drop_below(29).len(), 1);
    assert_eq!((manifest.start(), manifest.end(), manifest.garbage.len()), (Some(10), Some(30), 2));
    assert!(manifest.find(9).is_none() && manifest.find(30).is_none() && manifest.find(10).is_some());
    manifest.write(dir.path(), id, false).expect("written");
    assert_eq!(Manifest::read(dir.path(), id).expect("read"), manifest);
    assert_eq!(Manifest::read(dir.path(), crate::base::TopicId::random()).expect("read"), Manifest::default());
    let path = dir.path().join(MANIFEST);
    let text = std::fs::read_to_string(&path).expect("read").replace("\"end\":30", "\"end\":31");
    std::fs::write(&path, text).expect("written");
    assert!(Manifest::read(dir.path(), id).is_err());
}

#[test]
fn urls_are_a_directory_or_s3() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let s3 = S3Options::default();
    Store::open(&format!("file://{}/made", dir.path().display()), &s3).expect("opened");
    assert!(dir.path().join("made").is_dir());
    for wrong in ["file://relative", "/path", "gs://bucket", ""] {
        assert!(Store::open(wrong, &s3).is_err(), "{wrong}");
    }
}
