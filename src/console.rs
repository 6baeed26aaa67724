//! HTTP beside the Kafka protocol, where `ottla.console.listener` asks for it: `/health` and `/metrics`. Reads, and changes nothing.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};

use crate::base::shutdown::Stopping;
use crate::broker::BrokerState;
use crate::metrics::Page;

const CONNECTIONS_MAX: usize = 64;
/// For the head of a request; who is slower is cut off.
const HEAD_LIMIT: Duration = Duration::from_secs(10);

/// Binds `host:port`; port 0 lets the system choose.
pub fn bind(address: &str) -> io::Result<(TcpListener, SocketAddr)> {
    let addresses: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
    let listener = TcpListener::bind(&addresses[..])?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// Serves on a thread of its own until the broker stops.
pub fn start(state: &Arc<BrokerState>, listener: TcpListener, mut stopping: Stopping) -> io::Result<JoinHandle<()>> {
    let state = state.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("console".into()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = serve(&state, listener) => {}
                () = stopping.wait() => {}
            }
        });
        // Whoever still reads an answer is not waited for.
        runtime.shutdown_background();
    })
}

async fn serve(state: &Arc<BrokerState>, listener: TcpListener) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the console cannot be served"),
    };
    let room = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection to the console cannot be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let state = state.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let response = answer(&state, request.method(), request.uri().path());
                async move { Ok::<_, Infallible>(response) }
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
            // What a client does wrong has been answered, or the client is gone.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
            drop(place);
        });
    }
}

fn answer(state: &BrokerState, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let (status, kind, text) = match (method, path) {
        (&Method::GET | &Method::HEAD, "/health") => (StatusCode::OK, "text/plain; charset=utf-8", "ok\n".to_owned()),
        (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, Page::CONTENT_TYPE, metrics(state).into_text()),
        (_, "/health" | "/metrics") => {
            (StatusCode::METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", "only GET is served\n".to_owned())
        }
        _ => (StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "there are /health and /metrics\n".to_owned()),
    };
    let response = Response::builder().status(status).header(CONTENT_TYPE, kind).body(Full::new(Bytes::from(text)));
    response.expect("a status and a header that are known")
}

fn metrics(state: &BrokerState) -> Page {
    let mut page = Page::default();
    let topics = state.topics.topics();
    let partitions = topics.iter().map(|topic| topic.partitions().len() as u64).sum();
    page.gauge("kafka_controller_kafkacontroller_globaltopiccount", "Topics.", topics.len() as u64);
    page.gauge("kafka_server_replicamanager_partitioncount", "Partitions.", partitions);
    let Some(tier) = state.topics.tier() else { return page };
    let stats = tier.stats();
    page.counter(
        "kafka_server_brokertopicmetrics_remotecopyrequests_total",
        "Segments that were sent to the remote store, those that failed included.",
        &stats.copies,
    );
    page.counter(
        "kafka_server_brokertopicmetrics_remotecopybytes_total",
        "Bytes of segments that are in the remote store since.",
        &stats.copied_bytes,
    );
    page.counter(
        "kafka_server_brokertopicmetrics_remotecopyerrors_total",
        "Segments whose copy failed; each is tried again.",
        &stats.copy_errors,
    );
    page.counter(
        "kafka_server_brokertopicmetrics_remotefetchrequests_total",
        "Pieces of segments that were fetched from the remote store, those that failed included.",
        &stats.fetches,
    );
    page.counter(
        "kafka_server_brokertopicmetrics_remotefetchbytes_total",
        "Bytes that were fetched from the remote store.",
        &stats.fetched_bytes,
    );
    page.counter(
        "kafka_server_brokertopicmetrics_remotefetcherrors_total",
        "Pieces that could not be had; their readers got KAFKA_STORAGE_ERROR.",
        &stats.fetch_errors,
    );
    page.counter(
        "kafka_server_brokertopicmetrics_remotedeleterequests_total",
        "Objects that were deleted from the remote store, those that failed included.",
        &stats.deletes,
    );
    page.counter(
        "kafka_server_brokertopicmetrics_remotedeleteerrors_total",
        "Objects whose deletion failed; each is tried again.",
        &stats.delete_errors,
    );
    page.gauge(
        "kafka_server_brokertopicmetrics_remotelogsizebytes",
        "Bytes of segments in the remote store.",
        state.topics.remote_bytes(),
    );
    page.gauge("ottla_remote_cache_bytes", "Bytes of tiered segments in the cache on the disk.", tier.cached_bytes());
    page
}
