//! What a connection has still to send: one gathered write for all ready answers, sendfile for regions of files.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;

use bytes::Buf;

use crate::api::{Frame, Piece};
use crate::log::Region;

/// Pieces that one gathered write takes.
const SLICES_MAX: usize = 64;
/// Bytes that one sendfile call takes, so that one reader does not hold the thread.
const SENDFILE_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Default)]
pub struct Output {
    pieces: VecDeque<Piece>,
    bytes: usize,
}

impl Output {
    pub fn push(&mut self, frame: Frame) {
        for piece in frame.pieces {
            if piece.bytes() > 0 {
                self.bytes += piece.bytes();
                self.pieces.push_back(piece);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sends once, as much as the socket takes; `WouldBlock` if it takes nothing.
    pub fn send(&mut self, socket: &impl AsRawFd) -> io::Result<()> {
        let sent = match self.pieces.front_mut() {
            None => return Ok(()),
            Some(Piece::Region(region)) => {
                let sent = sendfile(socket, region)?;
                region.position += sent as u64;
                region.length -= sent;
                self.bytes -= sent;
                if region.length == 0 {
                    self.pieces.pop_front();
                }
                return Ok(());
            }
            Some(Piece::Bytes(_)) => self.send_bytes(socket)?,
        };
        self.consume(sent);
        Ok(())
    }

    fn send_bytes(&self, socket: &impl AsRawFd) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        let mut followed_by_region = false;
        for piece in &self.pieces {
            match piece {
                Piece::Bytes(bytes) if count < SLICES_MAX => {
                    slices[count] = IoSlice::new(bytes);
                    count += 1;
                }
                Piece::Bytes(_) => break,
                Piece::Region(_) => {
                    followed_by_region = true;
                    break;
                }
            }
        }
        send_gathered(socket, &slices[..count], followed_by_region)
    }

    fn consume(&mut self, mut sent: usize) {
        self.bytes -= sent;
        while sent > 0 {
            let Some(Piece::Bytes(bytes)) = self.pieces.front_mut() else { return };
            if bytes.len() > sent {
                bytes.advance(sent);
                return;
            }
            sent -= bytes.len();
            let _: Option<Piece> = self.pieces.pop_front();
        }
    }
}

/// One sendmsg. `more` keeps the header of an answer from going out in a packet of its own.
fn send_gathered(socket: &impl AsRawFd, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
    // SAFETY: an all-zero header is valid, and IoSlice has the layout of iovec (std guarantees it on Unix).
    let sent = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = slices.as_ptr() as *mut libc::iovec;
        message.msg_iovlen = slices.len() as _;
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | if more { libc::MSG_MORE } else { 0 };
        libc::sendmsg(socket.as_raw_fd(), &message, flags)
    };
    check(sent)
}

fn sendfile(socket: &impl AsRawFd, region: &Region) -> io::Result<usize> {
    let mut offset = region.position as libc::off_t;
    let length = region.length.min(SENDFILE_BYTES_MAX);
    // SAFETY: both descriptors are open for the time of the call, and `offset` lives through it.
    let sent = unsafe { libc::sendfile(socket.as_raw_fd(), region.file.as_raw_fd(), &mut offset, length) };
    match check(sent)? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a segment is shorter than its batches")),
        sent => Ok(sent),
    }
}

fn check(result: isize) -> io::Result<usize> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as usize) }
}
