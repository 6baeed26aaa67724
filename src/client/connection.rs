//! One connection: framing, and the versions that the other side serves.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, Request, StrBytes};

use super::{ClientError, Result};

/// For a host's name, which may come later than we do where containers start together.
const RESOLVE_LIMIT: Duration = Duration::from_secs(1);
const CLIENT_ID: &str = "ottla";
/// Larger answers are no Kafka's.
const FRAME_BYTES_MAX: usize = 256 << 20;

pub struct Connection {
    address: String,
    stream: TcpStream,
    versions: BTreeMap<i16, (i16, i16)>,
    correlation_id: i32,
}

impl Connection {
    pub fn open(address: &str, timeout: Duration) -> Result<Connection> {
        let unreachable = |why| ClientError::Unreachable { address: address.to_owned(), why };
        let stream = connect(address, timeout).map_err(unreachable)?;
        let mut connection =
            Connection { address: address.to_owned(), stream, versions: BTreeMap::new(), correlation_id: 0 };
        // Version 0 is answered by every broker, and in the same way.
        let answer: ApiVersionsResponse = connection.exchange(0, &ApiVersionsRequest::default(), timeout)?;
        ClientError::check(answer.error_code, None)?;
        connection.versions = answer.api_keys.iter().map(|k| (k.api_key, (k.min_version, k.max_version))).collect();
        Ok(connection)
    }

    pub fn versions(&self) -> &BTreeMap<i16, (i16, i16)> {
        &self.versions
    }

    pub fn call<R: Request>(&mut self, version_max: i16, request: &R, timeout: Duration) -> Result<R::Response> {
        let version = self.version_of::<R>(version_max)?;
        self.exchange(version, request, timeout)
    }

    /// Sends what nobody answers.
    pub fn tell<R: Request>(&mut self, version_max: i16, request: &R) -> Result<()> {
        let frame = self.frame(self.version_of::<R>(version_max)?, request)?;
        self.stream.write_all(&frame).map_err(|why| self.unreachable(why))
    }

    fn version_of<R: Request>(&self, version_max: i16) -> Result<i16> {
        let (lowest, highest) = self.versions.get(&R::KEY).copied().unwrap_or((0, -1));
        let version = highest.min(<R as Message>::VERSIONS.max).min(version_max);
        if version < lowest.max(<R as Message>::VERSIONS.min) {
            let name = ApiKey::try_from(R::KEY).map_or_else(|()| R::KEY.to_string(), |key| format!("{key:?}"));
            return Err(ClientError::Unsupported(format!("the broker at {} does not serve {name}", self.address)));
        }
        Ok(version)
    }

    fn exchange<R: Request>(&mut self, version: i16, request: &R, timeout: Duration) -> Result<R::Response> {
        let frame = self.frame(version, request)?;
        let answer = self.send_and_receive(&frame, timeout).and_then(|frame| self.decode::<R>(version, frame));
        answer.map_err(|why| self.unreachable(why))
    }

    fn frame<R: Request>(&mut self, version: i16, request: &R) -> Result<BytesMut> {
        self.correlation_id += 1;
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(StrBytes::from_static_str(CLIENT_ID)));
        let unsayable = |error| ClientError::Unsupported(format!("version {version} cannot say this: {error}"));
        header.encode(&mut frame, R::header_version(version)).map_err(unsayable)?;
        request.encode(&mut frame, version).map_err(unsayable)?;
        let length = (frame.len() - 4) as i32;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        Ok(frame)
    }

    fn unreachable(&self, why: io::Error) -> ClientError {
        ClientError::Unreachable { address: self.address.clone(), why }
    }

    fn send_and_receive(&mut self, frame: &[u8], timeout: Duration) -> io::Result<Bytes> {
        self.stream.set_read_timeout(Some(timeout))?;
        self.stream.write_all(frame)?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).map_err(said_better)?;
        let length = i32::from_be_bytes(length) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::other(format!("an answer of {length} bytes: this is no Kafka")));
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).map_err(said_better)?;
        Ok(Bytes::from(answer))
    }

    fn decode<R: Request>(&self, version: i16, mut frame: Bytes) -> io::Result<R::Response> {
        // The answer to ApiVersions has the oldest header at every version.
        let header_version =
            if R::KEY == ApiKey::ApiVersions as i16 { 0 } else { R::Response::header_version(version) };
        let header = ResponseHeader::decode(&mut frame, header_version).map_err(io::Error::other)?;
        if header.correlation_id != self.correlation_id {
            return Err(io::Error::other("an answer to something else"));
        }
        R::Response::decode(&mut frame, version).map_err(io::Error::other)
    }
}

fn connect(address: &str, timeout: Duration) -> io::Result<TcpStream> {
    let mut failure = io::Error::other("no such host");
    for one in crate::base::retried(timeout.min(RESOLVE_LIMIT), || address.to_socket_addrs())? {
        match TcpStream::connect_timeout(&one, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(timeout))?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn said_better(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "no answer in time"),
        io::ErrorKind::UnexpectedEof => io::Error::new(error.kind(), "the broker has closed the connection"),
        _ => error,
    }
}
