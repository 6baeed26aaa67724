//! The Fetch response on the wire. By our own hand, since the records in it are regions of files: header pieces are
//! encoded, regions are passed on.

use std::os::unix::fs::FileExt;

use bytes::{BufMut, BytesMut};

use super::plan::{Plan, Row};
use crate::api::errors::{Error, NONE};
use crate::api::reply::LENGTH_BYTES;
use crate::api::{Frame, Piece, Responder};
use crate::broker::sessions::PartitionKey;

/// Regions up to this size are read into the frame: a copy costs less than a system call of its own.
const COPY_BYTES_MAX: usize = 32 << 10;

/// An answer without partitions.
pub fn error(responder: &Responder, error: Error) -> Frame {
    encode(responder, error.code(), 0, Vec::new())
}

/// An answer with the same error at the top and for every partition.
pub fn all_with(responder: &Responder, keys: Vec<PartitionKey>, error: Error) -> Frame {
    let rows = keys.iter().map(|key| Row::error(key, error, Some(Vec::new()))).collect();
    encode(responder, error.code(), 0, rows)
}

pub fn response(responder: &Responder, session_id: i32, plan: Plan) -> Frame {
    encode(responder, NONE, session_id, plan.rows)
}

fn encode(responder: &Responder, top_error: i16, session_id: i32, rows: Vec<Row>) -> Frame {
    let version = responder.version;
    let mut out =
        Encoder { version, flexible: version >= 12, out: responder.begin(64 + rows.len() * 96), pieces: Vec::new() };
    out.out.put_i32(0);
    if version >= 7 {
        out.out.put_i16(top_error);
        out.out.put_i32(session_id);
    }
    // Consecutive partitions of a topic share its entry.
    let topics: Vec<&[Row]> = rows.chunk_by(|a, b| a.topic() == b.topic()).collect();
    out.array(topics.len());
    for topic in topics {
        let (name, id) = topic[0].topic();
        if version >= 13 {
            out.out.put_slice(id.0.as_bytes());
        } else {
            out.string(name);
        }
        out.array(topic.len());
        for row in topic {
            out.partition(row);
        }
        out.no_tags();
    }
    out.no_tags();
    out.finish()
}

struct Encoder {
    version: i16,
    flexible: bool,
    out: BytesMut,
    pieces: Vec<Piece>,
}

impl Encoder {
    fn partition(&mut self, row: &Row) {
        self.out.put_i32(row.key.partition);
        self.out.put_i16(row.error);
        self.out.put_i64(row.high_watermark);
        self.out.put_i64(row.last_stable_offset);
        if self.version >= 5 {
            self.out.put_i64(row.log_start);
        }
        match &row.aborted {
            None if self.flexible => self.out.put_u8(0),
            None => self.out.put_i32(-1),
            Some(aborted) => {
                self.array(aborted.len());
                for (producer_id, first_offset) in aborted {
                    self.out.put_i64(*producer_id);
                    self.out.put_i64(*first_offset);
                    self.no_tags();
                }
            }
        }
        if self.version >= 11 {
            // No preferred read replica.
            self.out.put_i32(-1);
        }
        self.records(row);
        if self.flexible {
            self.partition_tags(row);
        }
    }

    /// Tagged fields 0 (DivergingEpoch) and 1 (CurrentLeader), structs of their own.
    fn partition_tags(&mut self, row: &Row) {
        self.varint(u32::from(row.diverging.is_some()) + u32::from(row.leader.is_some()));
        if let Some(end) = row.diverging {
            self.varint(0);
            self.varint(13);
            self.out.put_i32(end.epoch);
            self.out.put_i64(end.end_offset);
            self.out.put_u8(0);
        }
        if let Some((id, epoch)) = row.leader {
            self.varint(1);
            self.varint(9);
            self.out.put_i32(id);
            self.out.put_i32(epoch);
            self.out.put_u8(0);
        }
    }

    /// Never null: zero bytes where there are none (KAFKA-18646).
    fn records(&mut self, row: &Row) {
        let length = row.region.as_ref().map_or(0, |r| r.length);
        if self.flexible {
            self.varint(length as u32 + 1);
        } else {
            self.out.put_i32(length as i32);
        }
        let Some(region) = &row.region else { return };
        if length <= COPY_BYTES_MAX {
            let start = self.out.len();
            self.out.resize(start + length, 0);
            if region.file.read_exact_at(&mut self.out[start..], region.position).is_ok() {
                return;
            }
            // Left to the socket's side, which closes the connection rather than send what is not there.
            self.out.truncate(start);
        }
        self.pieces.push(Piece::Bytes(self.out.split().freeze()));
        self.pieces.push(Piece::Region(region.clone()));
    }

    fn array(&mut self, length: usize) {
        if self.flexible {
            self.varint(length as u32 + 1);
        } else {
            self.out.put_i32(length as i32);
        }
    }

    fn string(&mut self, text: &str) {
        if self.flexible {
            self.varint(text.len() as u32 + 1);
        } else {
            self.out.put_i16(text.len() as i16);
        }
        self.out.put_slice(text.as_bytes());
    }

    fn no_tags(&mut self) {
        if self.flexible {
            self.out.put_u8(0);
        }
    }

    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.out.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.put_u8(value as u8);
    }

    fn finish(mut self) -> Frame {
        if self.pieces.is_empty() {
            return Frame::single(self.out);
        }
        self.pieces.push(Piece::Bytes(self.out.freeze()));
        let length: usize = self.pieces.iter().map(Piece::bytes).sum();
        let length = ((length - LENGTH_BYTES) as i32).to_be_bytes();
        if let Some(Piece::Bytes(first)) = self.pieces.first_mut() {
            let mut head = BytesMut::from(&first[..]);
            head[..LENGTH_BYTES].copy_from_slice(&length);
            *first = head.freeze();
        }
        Frame { pieces: self.pieces }
    }
}
