//! One connection: reads frames, dispatches them one after the other, sends the answers in that order.
//!
//! One task, one poll function: whatever can be done is done in one go before it waits. A request whose answer comes later
//! holds back the next one (Kafka mutes the channel), unless it has taken effect and only waits for the disk.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::memory::{Grant, RequestMemory, SMALL_FRAME_BYTES};
use super::output::Output;
use crate::api::{self, Context, Frame, Reply};

/// Answers that may wait for the disk at a time.
const DURABLE_MAX: usize = 128;
/// Bytes to be sent beyond which no further request is begun.
const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// Room made for reading when nothing is known of what comes.
const READ_BYTES: usize = 8 << 10;
/// Room made at once for a frame that has just begun. It is not touched before bytes arrive.
const FIRST_ROOM_BYTES_MAX: usize = 256 << 10;
/// A frame that makes no progress for so long gives way when others wait for its memory.
const STALLED_AFTER: Duration = Duration::from_secs(10);
/// How long a stop waits for a client to take its answers.
const STOP_WAIT: Duration = Duration::from_secs(3);

const LENGTH_BYTES: usize = 4;

/// What a connection needs besides its socket.
pub struct ConnectionOptions {
    pub frame_bytes_max: usize,
    pub idle_max: Duration,
    pub memory: Arc<RequestMemory>,
}

/// Reads once into the spare room of `buffer`, which must have some.
fn poll_read_buf(
    stream: Pin<&mut TcpStream>,
    cx: &mut TaskContext<'_>,
    buffer: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    let mut room = ReadBuf::uninit(buffer.spare_capacity_mut());
    ready!(stream.poll_read(cx, &mut room))?;
    let read = room.filled().len();
    // SAFETY: `poll_read` has filled, and so initialised, the first `read` bytes of the spare room.
    unsafe { buffer.set_len(buffer.len() + read) };
    Poll::Ready(Ok(read))
}

/// Serves until the client leaves, misbehaves, idles too long, or the broker stops.
pub async fn serve(stream: TcpStream, context: Arc<Context>, options: ConnectionOptions) {
    let peer = context.peer;
    let mut stopping = context.stopping.clone();
    let mut connection = Connection::new(stream, context, options);
    let mut stop: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move { stopping.wait().await });
    let end = poll_fn(|cx| {
        if connection.stop_by.is_none() && stop.as_mut().poll(cx).is_ready() {
            connection.stop_by = Some(tokio::time::Instant::now() + STOP_WAIT);
        }
        connection.poll(cx)
    })
    .await;
    match end {
        Ok(()) => {}
        Err(End::BadRequest(why)) => tracing::info!(%peer, why, "closing a connection"),
        Err(End::Io(error)) => tracing::debug!(%peer, %error, "connection lost"),
    }
}

enum End {
    BadRequest(String),
    Io(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Io(error)
    }
}

enum Slot {
    Ready(Frame),
    /// With the bytes of its request, which it may still refer to.
    Waiting {
        answer: api::LaterFrame,
        holds_back: bool,
        request_bytes: usize,
    },
}

struct Connection {
    stream: TcpStream,
    context: Arc<Context>,
    options: ConnectionOptions,
    input: BytesMut,
    grant: Grant,
    answers: VecDeque<Slot>,
    /// Of the requests in `answers`.
    request_bytes: usize,
    /// Of the frames in `answers`, which wait for their turn.
    ready_bytes: usize,
    /// The pool has refused memory for the frame that is being read: it does not stall, it waits.
    waits_for_memory: bool,
    output: Output,
    last_active: Instant,
    timer: Pin<Box<Sleep>>,
    /// The client sends no more, or must not.
    input_ended: bool,
    /// Set once the broker stops.
    stop_by: Option<tokio::time::Instant>,
}

impl Connection {
    fn new(stream: TcpStream, context: Arc<Context>, options: ConnectionOptions) -> Connection {
        let now = context.broker.clock.instant();
        let grant = options.memory.grant();
        Connection {
            stream,
            context,
            input: BytesMut::new(),
            grant,
            answers: VecDeque::new(),
            request_bytes: 0,
            ready_bytes: 0,
            waits_for_memory: false,
            output: Output::default(),
            last_active: now,
            timer: Box::pin(tokio::time::sleep(options.idle_max)),
            options,
            input_ended: false,
            stop_by: None,
        }
    }

    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), End>> {
        loop {
            self.dispatch_all()?;
            self.poll_answers(cx)?;
            let all_sent = self.poll_send(cx)?;
            if all_sent && self.may_begin() && self.frame_length()?.is_some_and(|n| self.input.len() >= n) {
                continue;
            }
            if all_sent && self.answers.is_empty() && (self.input_ended || self.stop_by.is_some()) {
                return Poll::Ready(Ok(()));
            }
            match self.poll_read(cx)? {
                Poll::Ready(()) => continue,
                Poll::Pending => {}
            }
            ready!(self.poll_timer(cx))?;
        }
    }

    /// Whether another request may be begun now.
    fn may_begin(&self) -> bool {
        self.stop_by.is_none()
            && self.output.bytes() + self.ready_bytes < OUTPUT_BYTES_MAX
            && self.answers.len() < DURABLE_MAX
            && !matches!(self.answers.back(), Some(Slot::Waiting { holds_back: true, .. }))
    }

    /// Bytes of the frame at the front of the input with its length, once that is there.
    fn frame_length(&self) -> Result<Option<usize>, End> {
        let Some(length) = self.input.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = i32::from_be_bytes(*length);
        match usize::try_from(length) {
            Ok(n) if n <= self.options.frame_bytes_max => Ok(Some(LENGTH_BYTES + n)),
            _ => Err(End::BadRequest(format!(
                "a frame of {length} bytes, where 0 to {} are allowed",
                self.options.frame_bytes_max
            ))),
        }
    }

    /// Dispatches whole frames as long as no answer holds the next one back.
    fn dispatch_all(&mut self) -> Result<(), End> {
        while self.may_begin() {
            let Some(length) = self.frame_length()? else { break };
            if self.input.len() < length {
                break;
            }
            let mut frame = self.input.split_to(length).freeze();
            frame.advance(LENGTH_BYTES);
            self.last_active = self.context.broker.clock.instant();
            match api::dispatch(&self.context, frame).map_err(|e| End::BadRequest(e.0))? {
                Reply::Now(frame) if self.answers.is_empty() => self.push(frame)?,
                Reply::Now(frame) => {
                    self.ready_bytes += frame.bytes();
                    self.answers.push_back(Slot::Ready(frame));
                }
                // Nobody is left to answer later.
                Reply::Later(_) if self.input_ended => {}
                // It may wait for long, and keeps nothing of its request.
                Reply::Later(answer) => self.wait_for(answer, true, 0),
                Reply::Durable(answer) => self.wait_for(answer, false, length),
                Reply::Nothing => {}
                Reply::Close => return Err(End::BadRequest("an unacknowledged Produce failed".into())),
            }
            self.give_back_memory();
        }
        Ok(())
    }

    fn wait_for(&mut self, answer: api::LaterFrame, holds_back: bool, request_bytes: usize) {
        self.request_bytes += request_bytes;
        self.answers.push_back(Slot::Waiting { answer, holds_back, request_bytes });
    }

    fn give_back_memory(&mut self) {
        if self.grant.bytes() > 0 {
            let held = self.input.len() + self.request_bytes;
            self.grant.shrink_to(if held <= SMALL_FRAME_BYTES { 0 } else { held });
        }
    }

    /// Moves answers that are ready to the output, in order.
    fn poll_answers(&mut self, cx: &mut TaskContext<'_>) -> Result<(), End> {
        while let Some(slot) = self.answers.front_mut() {
            let frame = match slot {
                Slot::Ready(frame) => {
                    self.ready_bytes -= frame.bytes();
                    std::mem::take(frame)
                }
                Slot::Waiting { answer, request_bytes, .. } => match answer.as_mut().poll(cx) {
                    Poll::Ready(frame) => {
                        self.last_active = self.context.broker.clock.instant();
                        self.request_bytes -= *request_bytes;
                        frame
                    }
                    Poll::Pending => return Ok(()),
                },
            };
            self.answers.pop_front();
            self.give_back_memory();
            self.push(frame)?;
        }
        Ok(())
    }

    fn push(&mut self, frame: Frame) -> Result<(), End> {
        if frame.is_impossible() {
            return Err(End::BadRequest("its answer cannot be encoded".into()));
        }
        self.output.push(frame);
        Ok(())
    }

    /// Sends until all is sent or the socket takes no more.
    fn poll_send(&mut self, cx: &mut TaskContext<'_>) -> Result<bool, End> {
        let before = self.output.bytes();
        while !self.output.is_empty() {
            match self.stream.try_io(Interest::WRITABLE, || self.output.send(&self.stream)) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => match self.stream.poll_write_ready(cx) {
                    Poll::Ready(ready) => ready?,
                    Poll::Pending => {
                        if self.output.bytes() < before {
                            self.last_active = self.context.broker.clock.instant();
                        }
                        return Ok(false);
                    }
                },
                Err(e) => return Err(e.into()),
            }
        }
        Ok(true)
    }

    /// Reads what has come, into room that grows with it. While an answer is awaited only little is read: enough to see
    /// that the client has left.
    fn poll_read(&mut self, cx: &mut TaskContext<'_>) -> Result<Poll<()>, End> {
        if self.input_ended {
            return Ok(Poll::Pending);
        }
        if !self.make_room(cx)? {
            return Ok(Poll::Pending);
        }
        // Unlike `try_read`, this takes a short read for the end of what is there and saves the call that would say so.
        match poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.input) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Ok(0)) => {
                self.input_ended = true;
                // Nobody is left to answer later; what is ready goes out.
                self.answers.retain(|slot| !matches!(slot, Slot::Waiting { holds_back: true, .. }));
            }
            Poll::Ready(Ok(_)) => self.last_active = self.context.broker.clock.instant(),
            Poll::Ready(Err(e)) => return Err(e.into()),
        }
        Ok(Poll::Ready(()))
    }

    /// Makes room for the next read; false if reading must wait.
    fn make_room(&mut self, cx: &mut TaskContext<'_>) -> Result<bool, End> {
        let have = self.input.len();
        let missing = self.frame_length()?.map_or(READ_BYTES, |n| n.saturating_sub(have));
        if missing == 0 && have >= SMALL_FRAME_BYTES {
            // A whole frame waits for its turn: the socket holds the rest.
            return Ok(false);
        }
        if !self.may_begin() && have >= SMALL_FRAME_BYTES {
            return Ok(false);
        }
        // As much again as there is: a length alone brings no memory worth the name.
        let more = missing.clamp(READ_BYTES, have.max(FIRST_ROOM_BYTES_MAX));
        let held = have + more + self.request_bytes;
        if held > SMALL_FRAME_BYTES && !self.grant.grow_to(held, cx.waker()) {
            self.waits_for_memory = true;
            return Ok(false);
        }
        if std::mem::take(&mut self.waits_for_memory) {
            self.last_active = self.context.broker.clock.instant();
        }
        self.input.reserve(more);
        Ok(true)
    }

    /// Ends a connection that idles, that does not take its answers, or that holds memory others wait for without making
    /// progress.
    fn poll_timer(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), End>> {
        loop {
            if self.stop_by.is_some_and(|stop_by| tokio::time::Instant::now() >= stop_by) {
                return Poll::Ready(Err(End::BadRequest("its answers were not taken before the stop".into())));
            }
            let holds_memory = self.grant.bytes() > 0 && self.answers.is_empty() && !self.waits_for_memory;
            let idle = self.context.broker.clock.instant().duration_since(self.last_active);
            if holds_memory && self.grant.is_short() && idle >= STALLED_AFTER {
                return Poll::Ready(Err(End::BadRequest("a stalled frame held memory that others waited for".into())));
            }
            let busy = !self.answers.is_empty() && self.output.is_empty();
            if !busy && idle >= self.options.idle_max {
                return Poll::Ready(Err(End::BadRequest("idle for connections.max.idle.ms".into())));
            }
            let wait = if holds_memory {
                STALLED_AFTER
            } else if busy {
                self.options.idle_max
            } else {
                self.options.idle_max - idle
            };
            let deadline = tokio::time::Instant::now() + wait;
            let deadline = self.stop_by.map_or(deadline, |stop_by| stop_by.min(deadline));
            if self.timer.deadline() > deadline || self.timer.is_elapsed() {
                self.timer.as_mut().reset(deadline);
            }
            ready!(self.timer.as_mut().poll(cx));
        }
    }
}
