//! The object store, by its URL: a directory, or S3. Every call ends, be it with an error.

use std::fmt;
use std::fs::File;
use std::future::Future;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use crate::log::files;

/// A call that takes longer has failed.
const CALL_TIME_MAX: Duration = Duration::from_secs(30);
/// A call that fails is made again, after a moment that grows; one that was not answered is not.
const ATTEMPTS: u32 = 3;
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// Larger objects are sent in parts of this size.
const PART_BYTES: usize = 8 << 20;

#[derive(Debug)]
pub enum StoreError {
    /// It did not answer in time.
    TimedOut,
    Store(object_store::Error),
    /// A file on our side.
    File(std::io::Error),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::TimedOut => f.write_str("the object store does not answer"),
            StoreError::Store(error) => error.fmt(f),
            StoreError::File(error) => error.fmt(f),
        }
    }
}

impl From<object_store::Error> for StoreError {
    fn from(error: object_store::Error) -> Self {
        StoreError::Store(error)
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        StoreError::File(error)
    }
}

/// What S3 needs beside the URL; credentials come from the environment (`AWS_ACCESS_KEY_ID` and its like).
#[derive(Clone, Debug, Default)]
pub struct S3Options {
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub path_style: bool,
}

#[derive(Debug)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    prefix: Path,
    call_time_max: Duration,
    /// Of a store that is a directory.
    directory: Option<PathBuf>,
}

impl Store {
    /// `file:///path` or `s3://bucket/prefix`. An error says what is wrong with it.
    pub fn open(url: &str, s3: &S3Options) -> Result<Store, String> {
        if let Some(path) = url.strip_prefix("file://") {
            if !path.starts_with('/') {
                return Err(format!("{url}: a file URL has three slashes: file:///path"));
            }
            std::fs::create_dir_all(path).map_err(|e| format!("{path}: {e}"))?;
            let store =
                object_store::local::LocalFileSystem::new_with_prefix(path).map_err(|e| format!("{url}: {e}"))?;
            let store = Store::over(Arc::new(store.with_automatic_cleanup(true)), Path::default());
            return Ok(Store { directory: Some(path.into()), ..store });
        }
        if let Some(place) = url.strip_prefix("s3://") {
            let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
            return open_s3(bucket, prefix, s3).map_err(|e| format!("{url}: {e}"));
        }
        Err(format!("{url}: neither file:///path nor s3://bucket/prefix"))
    }

    pub fn over(inner: Arc<dyn ObjectStore>, prefix: Path) -> Store {
        Store { inner, prefix, call_time_max: CALL_TIME_MAX, directory: None }
    }

    /// For tests, which cannot wait for so long.
    pub fn with_call_time_max(self, call_time_max: Duration) -> Store {
        Store { call_time_max, ..self }
    }

    /// Sends a file, in parts where it is large.
    pub async fn put_file(&self, name: &str, file: &FilePath) -> Result<(), StoreError> {
        let path = self.path(name);
        let file = File::open(file)?;
        let size = file.metadata()?.len();
        if size <= PART_BYTES as u64 {
            let payload = PutPayload::from(read_part(&file, 0, size)?);
            return self
                .again(|| {
                    let (inner, path, payload) = (&self.inner, &path, payload.clone());
                    async move { Ok(inner.put(path, payload).await.map(|_| ())?) }
                })
                .await;
        }
        let mut upload = self
            .again(|| {
                let (inner, path) = (&self.inner, &path);
                async move { Ok(inner.put_multipart(path).await?) }
            })
            .await?;
        let mut sent = Ok(());
        for position in (0..size).step_by(PART_BYTES) {
            let part = upload.put_part(PutPayload::from(read_part(&file, position, size)?));
            sent = self.within(async { Ok(part.await?) }).await;
            if sent.is_err() {
                break;
            }
        }
        if sent.is_ok() {
            sent = self.within(async { Ok(upload.complete().await.map(|_| ())?) }).await;
        }
        if sent.is_err() {
            // What was sent is of no use; if this fails too, the sweep finds it.
            let _ = self.within(async { Ok(upload.abort().await?) }).await;
        }
        sent
    }

    /// A part of an object.
    pub async fn get(&self, name: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let path = self.path(name);
        self.again(|| {
            let (inner, path, range) = (&self.inner, &path, range.clone());
            async move { Ok(inner.get_range(path, range).await?) }
        })
        .await
    }

    pub async fn size(&self, name: &str) -> Result<u64, StoreError> {
        let path = self.path(name);
        self.again(|| {
            let (inner, path) = (&self.inner, &path);
            async move { Ok(inner.head(path).await?.size) }
        })
        .await
    }

    /// Deletes an object; one that is not there is deleted.
    pub async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(name);
        let deleted = self
            .again(|| {
                let (inner, path) = (&self.inner, &path);
                async move { Ok(inner.delete(path).await?) }
            })
            .await;
        match deleted {
            Err(StoreError::Store(object_store::Error::NotFound { .. })) => Ok(()),
            other => other,
        }
    }

    /// The names of folders in `folder`, or of objects.
    pub async fn list(&self, folder: &str) -> Result<Listed, StoreError> {
        let path = self.path(folder);
        let listed = self
            .again(|| {
                let (inner, path) = (&self.inner, &path);
                async move { Ok(inner.list_with_delimiter(Some(path)).await?) }
            })
            .await?;
        let name = |path: &Path| path.filename().unwrap_or_default().to_owned();
        Ok(Listed {
            folders: listed.common_prefixes.iter().map(name).collect(),
            objects: listed.objects.iter().map(|object| name(&object.location)).collect(),
        })
    }

    /// Removes what a crash has left of objects that were being written to a directory: `<name>#<number>`, which no
    /// listing shows. Other stores have no such things, or see to them.
    pub fn remove_unfinished(&self, folder: &str) -> Result<(), StoreError> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let entries = match std::fs::read_dir(directory.join(folder)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.rsplit_once('#'));
            if number.is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').filter(|part| !part.is_empty()).fold(self.prefix.clone(), |path, part| path.join(part))
    }

    async fn again<T, F: Future<Output = Result<T, StoreError>>>(&self, call: impl Fn() -> F) -> Result<T, StoreError> {
        let mut attempt = 1;
        loop {
            match self.within(call()).await {
                Err(StoreError::Store(error))
                    if attempt < ATTEMPTS && !matches!(error, object_store::Error::NotFound { .. }) =>
                {
                    tokio::time::sleep(RETRY_AFTER * attempt).await;
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    async fn within<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        tokio::time::timeout(self.call_time_max, call).await.unwrap_or(Err(StoreError::TimedOut))
    }
}

/// What is in a folder.
#[derive(Debug, Default)]
pub struct Listed {
    pub folders: Vec<String>,
    pub objects: Vec<String>,
}

fn read_part(file: &File, position: u64, size: u64) -> std::io::Result<Bytes> {
    let mut bytes = vec![0; (size - position).min(PART_BYTES as u64) as usize];
    let read = files::read_at(file, &mut bytes, position)?;
    if read < bytes.len() {
        return Err(std::io::Error::other("the file has become shorter"));
    }
    Ok(bytes.into())
}

#[cfg(feature = "s3")]
fn open_s3(bucket: &str, prefix: &str, options: &S3Options) -> Result<Store, object_store::Error> {
    let mut builder = object_store::aws::AmazonS3Builder::from_env().with_bucket_name(bucket);
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
    }
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    let store = builder.with_virtual_hosted_style_request(!options.path_style).build()?;
    Ok(Store::over(Arc::new(store), Path::from(prefix)))
}

#[cfg(not(feature = "s3"))]
fn open_s3(_: &str, _: &str, _: &S3Options) -> Result<Store, String> {
    Err("this ottla was built without its feature s3".into())
}
