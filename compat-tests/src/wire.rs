//! A client that speaks frames: any request type at any version, and any bytes at all.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

/// How long an answer may take before the test fails.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Larger answers are a broker gone wrong.
const FRAME_BYTES_MAX: usize = 256 << 20;

pub struct Client {
    stream: TcpStream,
    correlation_id: i32,
    client_id: &'static str,
}

impl Client {
    /// `host:port`
    pub fn connect(address: &str) -> io::Result<Client> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in address.to_socket_addrs()? {
            match Client::connect_to(address) {
                Ok(client) => return Ok(client),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    pub fn connect_to(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        Ok(Client { stream, correlation_id: 0, client_id: "compat-tests" })
    }

    pub fn set_answer_limit(&self, limit: Duration) {
        self.stream.set_read_timeout(Some(limit)).expect("a positive time-out");
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends and waits for the answer.
    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> io::Result<R::Response> {
        let correlation_id = self.send(version, request)?;
        self.receive::<R>(version, correlation_id)
    }

    /// Sends without waiting: `receive` takes the answers in the order of the requests.
    pub fn send<R: Request>(&mut self, version: i16, request: &R) -> io::Result<i32> {
        self.correlation_id += 1;
        let frame = encode_frame(self.correlation_id, self.client_id, version, request)?;
        self.stream.write_all(&frame)?;
        Ok(self.correlation_id)
    }

    pub fn receive<R: Request>(&mut self, version: i16, correlation_id: i32) -> io::Result<R::Response> {
        let mut frame = self.read_frame()?;
        // The answer to ApiVersions has the oldest header at every version.
        let header_version =
            if R::KEY == ApiKey::ApiVersions as i16 { 0 } else { R::Response::header_version(version) };
        let header = ResponseHeader::decode(&mut frame, header_version).map_err(invalid)?;
        if header.correlation_id != correlation_id {
            return Err(invalid(format!("answer {} where {correlation_id} was due", header.correlation_id)));
        }
        let response = R::Response::decode(&mut frame, version).map_err(invalid)?;
        if !frame.is_empty() {
            return Err(invalid(format!("{} bytes after the answer to key {} version {version}", frame.len(), R::KEY)));
        }
        Ok(response)
    }

    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next frame, without its length.
    pub fn read_frame(&mut self) -> io::Result<Bytes> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(i32::from_be_bytes(length)).map_err(invalid)?;
        if length > FRAME_BYTES_MAX {
            return Err(invalid(format!("a frame of {length} bytes")));
        }
        let mut frame = vec![0; length];
        self.stream.read_exact(&mut frame)?;
        Ok(Bytes::from(frame))
    }

    /// Waits for the broker to close, and swallows what it still answers. False when it has not within `limit`.
    pub fn is_closed_within(&mut self, limit: Duration) -> bool {
        self.set_answer_limit(limit);
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
            }
        }
    }
}

/// A whole frame: length, header, body.
pub fn encode_frame<R: Request>(id: i32, client_id: &'static str, version: i16, request: &R) -> io::Result<BytesMut> {
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(id)
        .with_client_id(Some(StrBytes::from_static_str(client_id)));
    header.encode(&mut frame, R::header_version(version)).map_err(invalid)?;
    request.encode(&mut frame, version).map_err(invalid)?;
    set_length(&mut frame);
    Ok(frame)
}

/// A frame with a right header for key and version and any body. Flexible versions have header 2.
pub fn raw_frame(key: i16, version: i16, correlation_id: i32, body: &[u8]) -> BytesMut {
    let mut frame = BytesMut::with_capacity(body.len() + 32);
    frame.put_i32(0);
    frame.put_i16(key);
    frame.put_i16(version);
    frame.put_i32(correlation_id);
    frame.put_i16(4);
    frame.put_slice(b"fuzz");
    if ApiKey::try_from(key).is_ok_and(|key| key.request_header_version(version) >= 2) {
        frame.put_u8(0);
    }
    frame.put_slice(body);
    set_length(&mut frame);
    frame
}

/// Writes the true length into the first four bytes.
pub fn set_length(frame: &mut BytesMut) {
    let length = i32::try_from(frame.len() - 4).expect("a frame below 2 GiB");
    frame[..4].copy_from_slice(&length.to_be_bytes());
}

fn invalid(error: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
