//! Requests that wait at the broker: sent, seen to wait, answered when something ends the wait.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::time::Duration;

use kafka_protocol::messages::ApiVersionsRequest;
use kafka_protocol::protocol::Request;

use super::{Done, Play};
use crate::tree::Tree;
use crate::wire::Heard;

/// A parked request must be answered that soon after what ends it. Parked requests wait for longer than this, so an answer proves the wake-up.
pub(super) const WAKE_LIMIT: Duration = Duration::from_secs(8);
/// The `max_wait_ms` of a request that something else is to end.
pub const LONG_WAIT_MS: i32 = 25_000;
/// How long a request must stay unanswered, after a round trip on another connection, to count as parked.
const PARKED_AFTER: Duration = Duration::from_millis(150);

/// A request that was sent and not answered yet.
pub struct Parked<R> {
    connection: String,
    version: i16,
    correlation_id: i32,
    early: Option<Heard>,
    /// Whether it waited as long as it had to.
    waited: bool,
    request: PhantomData<R>,
}

impl<R> Parked<R> {
    pub(super) fn sent(connection: &str, version: i16, correlation_id: i32) -> Parked<R> {
        Parked {
            connection: connection.into(),
            version,
            correlation_id,
            early: None,
            waited: true,
            request: PhantomData,
        }
    }

    pub(super) fn connection(&self) -> &str {
        &self.connection
    }

    pub(super) fn version(&self) -> i16 {
        self.version
    }
}

impl Play {
    /// Sends a request that is to wait, and sees that it does.
    pub fn park<R: Request>(&mut self, connection: &str, version: i16, request: R) -> Done<Parked<R>> {
        let correlation_id = self.send(connection, version, &request)?;
        // By this answer the broker has most probably read the request before it.
        self.quiet(0, ApiVersionsRequest::default())?;
        let early = match self.hear(connection, PARKED_AFTER) {
            Heard::Silence => None,
            heard => Some(heard),
        };
        Ok(Parked { waited: early.is_none(), early, ..Parked::sent(connection, version, correlation_id) })
    }

    /// The answer to a parked request, due now that something has ended the wait.
    pub fn wakes<R: Request>(&mut self, label: &str, parked: Parked<R>) -> Done<Option<R::Response>>
    where
        R::Response: Debug,
    {
        let was_parked = parked.waited;
        let heard = parked.early.unwrap_or_else(|| self.hear(&parked.connection, WAKE_LIMIT));
        let answer = self.record::<R>(&parked.connection, label, parked.version, parked.correlation_id, heard);
        let step = self.steps.last_mut().expect("the step just recorded");
        if let Tree::Fields(fields) = &mut step.outcome {
            fields.insert(0, ("was_parked".into(), Tree::Bool(was_parked)));
        }
        Ok(answer)
    }

    /// Whether a parked request has been answered by now, so that [`Play::wakes`] need not wait.
    pub fn answered<R: Request>(&mut self, parked: &mut Parked<R>) -> bool {
        if parked.early.is_none()
            && let heard @ (Heard::Frame(_) | Heard::Closed) = self.hear(&parked.connection, Duration::from_millis(1))
        {
            parked.early = Some(heard);
        }
        parked.early.is_some()
    }

    /// Sees that a parked request still waits, after something that must not end it.
    pub fn still_parked<R: Request>(&mut self, label: &str, parked: &mut Parked<R>) -> Done {
        self.quiet(0, ApiVersionsRequest::default())?;
        if parked.early.is_none() {
            parked.early = match self.hear(&parked.connection, PARKED_AFTER) {
                Heard::Silence => None,
                heard => Some(heard),
            };
            parked.waited = parked.early.is_none();
        }
        let outcome = if parked.early.is_none() { "still parked" } else { "answered" };
        let connection = parked.connection.clone();
        self.push(&connection, label, Some((R::KEY, parked.version)), Tree::text(outcome));
        Ok(())
    }
}
