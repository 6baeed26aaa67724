//! Answers: frames made of pieces, so that records go from file to socket without being copied or decoded.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::Encodable;

use crate::log::Region;

/// One piece of a frame.
#[derive(Clone, Debug)]
pub enum Piece {
    Bytes(Bytes),
    Region(Region),
}

/// A whole answer, its length in front. One without pieces cannot be given: the connection is closed.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    pub pieces: Vec<Piece>,
}

/// What an answer needs to know of its request.
#[derive(Clone, Copy, Debug)]
pub struct Responder {
    correlation_id: i32,
    pub version: i16,
    flexible_header: bool,
}

/// Bytes in front of the correlation id.
pub const LENGTH_BYTES: usize = 4;

impl Responder {
    pub fn new(correlation_id: i32, version: i16, flexible_header: bool) -> Responder {
        Responder { correlation_id, version, flexible_header }
    }

    /// Begins an answer: room for the length, then the response header.
    pub fn begin(&self, capacity: usize) -> BytesMut {
        let mut out = BytesMut::with_capacity(LENGTH_BYTES + 5 + capacity);
        out.put_i32(0);
        out.put_i32(self.correlation_id);
        if self.flexible_header {
            out.put_u8(0);
        }
        out
    }

    /// Encodes an answer in the version of its request.
    pub fn frame(&self, response: &impl Encodable) -> Frame {
        self.frame_in(response, self.version)
    }

    pub fn frame_in(&self, response: &impl Encodable, version: i16) -> Frame {
        let mut out = self.begin(response.compute_size(version).unwrap_or(256));
        match response.encode(&mut out, version) {
            Ok(()) => Frame::single(out),
            // A text longer than this version can carry, such as a message that repeats a name of 32,000 bytes; or a
            // field that the version lacks, which is a mistake of ours. Kafka closes the connection here too.
            Err(error) => {
                tracing::error!(version, %error, "an answer cannot be encoded");
                Frame::default()
            }
        }
    }
}

impl Piece {
    pub fn bytes(&self) -> usize {
        match self {
            Piece::Bytes(bytes) => bytes.len(),
            Piece::Region(region) => region.length,
        }
    }
}

impl Frame {
    pub fn bytes(&self) -> usize {
        self.pieces.iter().map(Piece::bytes).sum()
    }

    /// Whether there is nothing to send: the answer could not be encoded.
    pub fn is_impossible(&self) -> bool {
        self.pieces.is_empty()
    }

    /// A frame in one piece: fills in the length. Impossible if that is more than a frame can say.
    pub fn single(mut out: BytesMut) -> Frame {
        let Ok(length) = i32::try_from(out.len() - LENGTH_BYTES) else { return Frame::default() };
        out[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        Frame { pieces: vec![Piece::Bytes(out.freeze())] }
    }
}
