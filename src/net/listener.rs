//! Listeners: binding, accepting, dealing connections out to the threads that serve them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::connection::{self, ConnectionOptions};
use super::memory::RequestMemory;
use crate::api::Context;
use crate::base::shutdown::Stopping;
use crate::broker::BrokerState;
use crate::config::{BrokerValues, Listener};

/// Connections that the kernel holds until they are accepted (Kafka's `socket.listen.backlog.size` asks for less).
const BACKLOG: i32 = 1024;
/// For the name of a listener's host: where containers start together it may come later than the broker.
const RESOLVE_LIMIT: Duration = Duration::from_secs(5);
/// Rest after an accept that failed for want of descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The sockets of one listener: a host may have an IPv4 and an IPv6 address.
pub struct Bound {
    pub listener: Listener,
    pub sockets: Vec<std::net::TcpListener>,
    pub port: u16,
}

/// Binds every address of the listener's host, all to the same port.
pub fn bind(listener: &Listener) -> io::Result<Bound> {
    let addresses = addresses(listener)?;
    let mut port = listener.port;
    let mut sockets = Vec::new();
    let mut last_error = None;
    for address in addresses {
        match bind_one(SocketAddr::new(address, port)) {
            Ok(socket) => {
                port = socket.local_addr()?.port();
                sockets.push(socket);
            }
            // A machine without IPv6, or a name with an address that is not ours: the others serve.
            Err(e) if matches!(e.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT)) => {
                last_error = Some(e)
            }
            Err(e) => return Err(e),
        }
    }
    match last_error {
        Some(error) if sockets.is_empty() => Err(error),
        _ => Ok(Bound { listener: listener.clone(), sockets, port }),
    }
}

fn addresses(listener: &Listener) -> io::Result<Vec<IpAddr>> {
    use std::net::{Ipv4Addr, Ipv6Addr, ToSocketAddrs};
    match listener.host.as_deref() {
        None | Some("0.0.0.0" | "::") => Ok(vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]),
        Some("localhost") => Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
        Some(host) => {
            let found = crate::base::retried(RESOLVE_LIMIT, || (host, listener.port).to_socket_addrs())?;
            let mut found: Vec<IpAddr> = found.map(|a| a.ip()).collect();
            found.sort();
            found.dedup();
            Ok(found)
        }
    }
}

/// A listening socket that does not take the IPv4 addresses along with the IPv6 ones.
fn bind_one(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    let family = if address.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET };
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the descriptor that the call gives belongs to nobody else.
    let fd = unsafe {
        match libc::socket(family, kind, 0) {
            -1 => return Err(io::Error::last_os_error()),
            fd => OwnedFd::from_raw_fd(fd),
        }
    };
    let on = |level, option| {
        let one: libc::c_int = 1;
        // SAFETY: the option's value is an int that lives through the call.
        let code = unsafe {
            libc::setsockopt(fd.as_raw_fd(), level, option, (&raw const one).cast(), size_of::<libc::c_int>() as u32)
        };
        if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    on(libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
    if address.is_ipv6() {
        on(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)?;
    }
    let code = match address {
        SocketAddr::V4(v4) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as _,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: the address structure lives through the call and its size is given.
            unsafe { libc::bind(fd.as_raw_fd(), (&raw const raw).cast(), size_of_val(&raw) as u32) }
        }
        SocketAddr::V6(v6) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as _,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: as above.
            unsafe { libc::bind(fd.as_raw_fd(), (&raw const raw).cast(), size_of_val(&raw) as u32) }
        }
    };
    if code != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is a bound socket.
    if unsafe { libc::listen(fd.as_raw_fd(), BACKLOG) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(std::net::TcpListener::from(fd))
}

/// Who is connected, for `max.connections` and `max.connections.per.ip`.
#[derive(Default)]
struct Connected {
    total: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// A place among the connections; free again when dropped.
struct Place {
    connected: Arc<Mutex<Connected>>,
    ip: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut connected = lock(&self.connected);
        connected.total -= 1;
        if let Some(n) = connected.by_ip.get_mut(&self.ip) {
            *n -= 1;
            if *n == 0 {
                connected.by_ip.remove(&self.ip);
            }
        }
    }
}

struct Accepted {
    stream: std::net::TcpStream,
    context: Context,
    place: Place,
}

/// The threads that serve connections.
pub struct Threads {
    senders: Vec<mpsc::UnboundedSender<Accepted>>,
    handles: Vec<JoinHandle<()>>,
}

/// Serves the bound listeners on `count` threads until the broker stops.
pub fn start(broker: &Arc<BrokerState>, bound: Vec<Bound>, count: usize, stopping: &Stopping) -> io::Result<Threads> {
    let memory_bytes = broker.config.queued_max_request_bytes();
    let memory = RequestMemory::new(usize::try_from(memory_bytes).unwrap_or(usize::MAX));
    let mut threads = Threads { senders: Vec::new(), handles: Vec::new() };
    let mut receivers = Vec::new();
    for _ in 0..count.max(1) {
        let (sender, receiver) = mpsc::unbounded_channel();
        threads.senders.push(sender);
        receivers.push(receiver);
    }
    let dealer = Arc::new(Dealer {
        broker: broker.clone(),
        senders: threads.senders.clone(),
        next: AtomicUsize::new(0),
        connected: Arc::default(),
        stopping: stopping.clone(),
    });
    let mut accepting: Vec<(usize, std::net::TcpListener)> =
        bound.into_iter().enumerate().flat_map(|(i, b)| b.sockets.into_iter().map(move |s| (i, s))).collect();
    for (i, receiver) in receivers.into_iter().enumerate() {
        let mine = if i == 0 { std::mem::take(&mut accepting) } else { Vec::new() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (dealer, memory, broker) = (dealer.clone(), memory.clone(), broker.clone());
        let handle = std::thread::Builder::new()
            .name(format!("net-{i}"))
            .spawn(move || runtime.block_on(serve_thread(mine, receiver, dealer, memory, broker)))?;
        threads.handles.push(handle);
    }
    Ok(threads)
}

impl Threads {
    /// Waits until every connection has ended. Call after the stop has begun.
    pub fn join(self) {
        drop(self.senders);
        for handle in self.handles {
            let _ = handle.join();
        }
    }
}

struct Dealer {
    broker: Arc<BrokerState>,
    senders: Vec<mpsc::UnboundedSender<Accepted>>,
    next: AtomicUsize,
    connected: Arc<Mutex<Connected>>,
    stopping: Stopping,
}

async fn serve_thread(
    listeners: Vec<(usize, std::net::TcpListener)>,
    mut receiver: mpsc::UnboundedReceiver<Accepted>,
    dealer: Arc<Dealer>,
    memory: Arc<RequestMemory>,
    broker: Arc<BrokerState>,
) {
    let mut tasks = tokio::task::JoinSet::new();
    for (index, socket) in listeners {
        match TcpListener::from_std(socket) {
            Ok(socket) => {
                tasks.spawn(accept_all(index, socket, dealer.clone()));
            }
            Err(error) => tracing::error!(%error, "a listener cannot be served"),
        }
    }
    let mut stopping = dealer.stopping.clone();
    drop(dealer);
    loop {
        tokio::select! {
            () = stopping.wait() => break,
            accepted = receiver.recv() => {
                let Some(accepted) = accepted else { break };
                let config = broker.topics.config();
                let options = ConnectionOptions {
                    frame_bytes_max: config.get_i32("socket.request.max.bytes").max(0) as usize,
                    idle_max: idle_max(config.get_i64("connections.max.idle.ms")),
                    memory: memory.clone(),
                };
                tasks.spawn(serve_one(accepted, options));
            }
            // Ended connections are collected as they go, so that the set does not grow.
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
        }
    }
    drop(receiver);
    while tasks.join_next().await.is_some() {}
}

/// Negative means never; a century is as long.
fn idle_max(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX)).min(Duration::from_secs(3600 * 24 * 36500))
}

async fn serve_one(accepted: Accepted, options: ConnectionOptions) {
    let Accepted { stream, context, place } = accepted;
    match TcpStream::from_std(stream) {
        Ok(stream) => connection::serve(stream, Arc::new(context), options).await,
        Err(error) => tracing::warn!(%error, "a connection cannot be served"),
    }
    drop(place);
}

async fn accept_all(listener: usize, socket: TcpListener, dealer: Arc<Dealer>) {
    let mut stopping = dealer.stopping.clone();
    loop {
        let accepted = tokio::select! {
            () = stopping.wait() => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                if let Err(error) = dealer.deal(listener, stream, peer) {
                    tracing::debug!(%peer, %error, "a connection was lost before it was served");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

impl Dealer {
    fn deal(&self, listener: usize, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
        let Some(place) = self.place(peer.ip()) else {
            tracing::info!(%peer, "refusing a connection: max.connections or max.connections.per.ip is reached");
            return Ok(());
        };
        stream.set_nodelay(true)?;
        let context = Context {
            broker: self.broker.clone(),
            listener,
            local: stream.local_addr()?,
            peer,
            stopping: self.stopping.clone(),
        };
        let stream = stream.into_std()?;
        let thread = self.next.fetch_add(1, Ordering::Relaxed) % self.senders.len();
        // A thread that is gone is one that stops: so does the connection.
        let _ = self.senders[thread].send(Accepted { stream, context, place });
        Ok(())
    }

    fn place(&self, ip: IpAddr) -> Option<Place> {
        let config = self.broker.topics.config();
        let limit = |key| usize::try_from(config.get_i32(key)).unwrap_or(0);
        let mut connected = lock(&self.connected);
        let of_ip = connected.by_ip.get(&ip).copied().unwrap_or(0);
        if connected.total >= limit("max.connections") || of_ip >= limit("max.connections.per.ip") {
            return None;
        }
        connected.total += 1;
        *connected.by_ip.entry(ip).or_insert(0) += 1;
        drop(connected);
        Some(Place { connected: self.connected.clone(), ip })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
