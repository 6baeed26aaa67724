//! Frames on a socket: own framing, so that malformed ones can be played too.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request};

/// What came back on a connection within the time given.
#[derive(Clone, Debug)]
pub enum Heard {
    Frame(Bytes),
    Closed,
    Silence,
}

/// One client connection. Answers are taken in the order in which the broker sent them.
pub struct Connection {
    stream: TcpStream,
    received: BytesMut,
    correlation_id: i32,
    closed: bool,
}

impl Connection {
    pub fn open(address: SocketAddr) -> std::io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, received: BytesMut::new(), correlation_id: 0, closed: false })
    }

    pub fn next_correlation_id(&mut self) -> i32 {
        self.correlation_id += 1;
        self.correlation_id
    }

    /// Sends bytes as they are. A peer that has closed meanwhile is found by the next [`Connection::hear`].
    pub fn send(&mut self, bytes: &[u8]) {
        if self.stream.write_all(bytes).is_err() {
            self.closed = true;
        }
    }

    /// Waits for one whole frame, the end of the connection or the end of the time, whichever comes first.
    pub fn hear(&mut self, limit: Duration) -> Heard {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(frame) = self.take_frame() {
                return Heard::Frame(frame);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Heard::Silence;
            }
            self.stream.set_read_timeout(Some(left)).expect("a timeout that is not zero");
            let mut chunk = [0u8; 65536];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Heard::Closed,
                Ok(n) => self.received.extend_from_slice(&chunk[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Heard::Silence,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Heard::Closed,
            }
        }
    }

    fn take_frame(&mut self) -> Option<Bytes> {
        let length = self.received.get(..4)?;
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        if self.received.len() < 4 + length {
            return None;
        }
        Some(self.received.split_to(4 + length).freeze().slice(4..))
    }
}

/// A frame around a body: length, request header of the stated version, body.
pub fn frame(key: i16, version: i16, header_version: i16, correlation_id: i32, client_id: &str, body: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i32(0);
    out.put_i16(key);
    out.put_i16(version);
    out.put_i32(correlation_id);
    out.put_i16(client_id.len() as i16);
    out.put_slice(client_id.as_bytes());
    if header_version >= 2 {
        out.put_u8(0);
    }
    out.put_slice(body);
    let length = out.len() as i32 - 4;
    out[..4].copy_from_slice(&length.to_be_bytes());
    out.freeze()
}

/// A body at a version. Fields that the version does not have must be at their defaults.
pub fn body<R: Request>(request: &R, version: i16) -> Result<Bytes, String> {
    let mut out = BytesMut::new();
    request
        .encode(&mut out, version)
        .map_err(|e| format!("{} v{version} cannot be encoded: {e}", crate::apis::name_of(R::KEY)))?;
    Ok(out.freeze())
}

/// A whole request as a frame.
pub fn request<R: Request>(request: &R, version: i16, correlation_id: i32, client_id: &str) -> Result<Bytes, String> {
    Ok(frame(R::KEY, version, R::header_version(version), correlation_id, client_id, &body(request, version)?))
}

/// A decoded answer, and whether its bytes are exactly what the codec would write: nothing left over, no tagged field at its default.
pub struct Answer<M> {
    pub correlation_id: i32,
    pub body: M,
    pub canonical: bool,
}

/// Decodes an answer frame (without its length).
pub fn answer<M: Encodable + Decodable + HeaderVersion>(frame: &Bytes, version: i16) -> Result<Answer<M>, String> {
    let header = if M::header_version(version) >= 1 { 5 } else { 4 };
    if frame.len() < header {
        return Err(format!("an answer of {} bytes", frame.len()));
    }
    let correlation_id = i32::from_be_bytes(frame[..4].try_into().expect("four bytes"));
    let bytes = frame.slice(header..);
    let mut rest = bytes.clone();
    let body = M::decode(&mut rest, version).map_err(|e| format!("cannot be decoded at v{version}: {e}"))?;
    let mut again = BytesMut::new();
    let canonical =
        rest.is_empty() && body.encode(&mut again, version).is_ok() && again == bytes && (header == 4 || frame[4] == 0);
    Ok(Answer { correlation_id, body, canonical })
}
