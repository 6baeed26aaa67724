//! Playing a scenario against one broker: requests on named connections, answers normalised into a transcript.

mod groups;
mod parked;
mod setup;

pub use parked::{LONG_WAIT_MS, Parked};
pub use setup::{Topic, text, topic_name};

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kafka_protocol::messages::ApiVersionsRequest;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request};
use uuid::Uuid;

use crate::normal::Names;
use crate::tree::Tree;
use crate::wire::{self, Connection, Heard};

/// The longest that any answer may take: a slow machine is no difference.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
const CLOSED: &str = "connection closed";
const UNANSWERED: &str = "unanswered";

/// Why a play could not go on. The transcript so far is kept and compared.
#[derive(Debug)]
pub struct Stop(pub String);

impl From<String> for Stop {
    fn from(why: String) -> Stop {
        Stop(why)
    }
}

pub type Done<T = ()> = Result<T, Stop>;

/// One recorded request and what came of it.
#[derive(Clone, Debug)]
pub struct Step {
    pub label: String,
    /// API key and version, where the request had one.
    pub api: Option<(i16, i16)>,
    pub connection: String,
    pub outcome: Tree,
}

/// The broker that a play talks to.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub address: SocketAddr,
    /// Applies metadata a moment after it is visible: a play waits a little longer after changes.
    pub settles_late: bool,
}

/// One play of one scenario.
pub struct Play {
    target: Target,
    prefix: String,
    client_id: String,
    connections: BTreeMap<String, Connection>,
    /// Names of the topics that were set up and not deleted since.
    topics: Vec<String>,
    pub names: Names,
    pub steps: Vec<Step>,
}

impl Play {
    pub fn new(target: Target, scenario: &str) -> Play {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64;
        Play {
            target,
            prefix: scenario.replace('/', "-"),
            client_id: "conformance".into(),
            connections: BTreeMap::new(),
            topics: Vec::new(),
            names: Names::new(now_ms),
            steps: Vec::new(),
        }
    }

    pub fn target(&self) -> Target {
        self.target
    }

    /// The scenario's own name for a topic: scenarios share a broker.
    pub fn name(&self, topic: &str) -> String {
        format!("{}-{topic}", self.prefix)
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Base of the timestamps in this play.
    pub fn t(&self) -> i64 {
        self.names.base_ms
    }

    /// A topic id that no topic has.
    pub fn unknown_id(&mut self) -> Uuid {
        let id = Uuid::from_u128(0x0051_7cc1_b727_220a_94fe_13ab_e8fa_9a6e);
        self.names.uuid(id, "<unknown id>");
        id
    }

    /// The client id of requests from here on.
    pub fn client_id(&mut self, client_id: &str) {
        self.client_id = client_id.to_string();
    }

    /// From here on listings show this scenario's topics only.
    pub fn mine_only(&mut self) {
        self.names.mine_only = Some(format!("{}-", self.prefix));
    }

    /// Drops every connection, as a client does whose broker has stopped.
    pub fn disconnect(&mut self) {
        self.connections.clear();
    }

    pub fn close(&mut self, connection: &str) {
        self.connections.remove(connection);
    }

    /// Asks on the main connection; a play without this answer cannot go on.
    pub fn ask<R: Request>(&mut self, label: &str, version: i16, request: R) -> Done<R::Response>
    where
        R::Response: Debug,
    {
        self.ask_on("main", label, version, request)
    }

    pub fn ask_on<R: Request>(&mut self, connection: &str, label: &str, version: i16, request: R) -> Done<R::Response>
    where
        R::Response: Debug,
    {
        self.attempt(connection, label, version, request)?.ok_or_else(|| Stop(format!("no answer to \"{label}\"")))
    }

    /// Asks where no answer is an answer too: the broker may close the connection.
    pub fn attempt<R: Request>(
        &mut self,
        connection: &str,
        label: &str,
        version: i16,
        request: R,
    ) -> Done<Option<R::Response>>
    where
        R::Response: Debug,
    {
        let correlation_id = self.send(connection, version, &request)?;
        let heard = self.hear(connection, ANSWER_LIMIT);
        Ok(self.record::<R>(connection, label, version, correlation_id, heard))
    }

    /// As [`Play::attempt`], for what Kafka never answers: three seconds without an answer are recorded as such.
    pub fn attempt_briefly<R: Request>(
        &mut self,
        connection: &str,
        label: &str,
        version: i16,
        request: R,
    ) -> Done<Option<R::Response>>
    where
        R::Response: Debug,
    {
        let correlation_id = self.send(connection, version, &request)?;
        let heard = self.hear(connection, Duration::from_secs(3));
        Ok(self.record::<R>(connection, label, version, correlation_id, heard))
    }

    /// Asks again until the answer is as expected, and records that one. Kafka applies some changes after it has answered them.
    pub fn ask_until<R: Request + Clone>(
        &mut self,
        label: &str,
        version: i16,
        request: R,
        expected: impl Fn(&R::Response) -> bool,
    ) -> Done<R::Response>
    where
        R::Response: Debug,
    {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let steps = self.steps.len();
            let answer = self.ask(label, version, request.clone())?;
            if expected(&answer) || Instant::now() > deadline {
                return Ok(answer);
            }
            self.steps.truncate(steps);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// As [`Play::ask_on`], and records whether the answer took at least that long (less a tenth).
    pub fn ask_waiting<R: Request>(
        &mut self,
        label: &str,
        version: i16,
        request: R,
        wait: Duration,
    ) -> Done<R::Response>
    where
        R::Response: Debug,
    {
        let start = Instant::now();
        let answer = self.ask(label, version, request)?;
        let waited = start.elapsed() >= wait * 9 / 10;
        let step = self.steps.last_mut().expect("the step just recorded");
        if let Tree::Fields(fields) = &mut step.outcome {
            fields.insert(0, ("waited".into(), Tree::Bool(waited)));
        }
        Ok(answer)
    }

    /// Sends a request that gets no answer, and shows with the next one that the connection is as it should be.
    pub fn unanswered<R: Request>(&mut self, connection: &str, label: &str, version: i16, request: R) -> Done {
        self.send(connection, version, &request)?;
        let probe = self.send(connection, 0, &ApiVersionsRequest::default())?;
        let outcome = match self.hear(connection, ANSWER_LIMIT) {
            Heard::Closed => CLOSED.to_string(),
            Heard::Silence => "unanswered, and so is the next request".into(),
            Heard::Frame(frame) if frame.get(..4) == Some(&probe.to_be_bytes()[..]) => UNANSWERED.into(),
            Heard::Frame(frame) => format!("an answer of {} bytes", frame.len()),
        };
        if outcome != UNANSWERED {
            self.connections.remove(connection);
        }
        self.push(connection, label, Some((R::KEY, version)), Tree::Text(outcome));
        Ok(())
    }

    /// The same moment for all of them: each on its own connection, answers recorded together, in an order of their own.
    pub fn race<R: Request>(&mut self, label: &str, version: i16, requests: Vec<R>) -> Done
    where
        R::Response: Debug,
    {
        let names: Vec<String> = (0..requests.len()).map(|i| format!("racer {i}")).collect();
        let mut sent = Vec::new();
        for (name, request) in names.iter().zip(&requests) {
            sent.push(self.send(name, version, request)?);
        }
        let mut outcomes = Vec::new();
        for (name, correlation_id) in names.iter().zip(sent) {
            let heard = self.hear(name, ANSWER_LIMIT);
            outcomes.push(self.outcome::<R::Response>(R::KEY, version, Some(correlation_id), &heard).0);
            self.connections.remove(name);
        }
        outcomes.sort_by_key(|outcome| outcome.to_text(0));
        self.push("racers", label, Some((R::KEY, version)), Tree::List(outcomes));
        Ok(())
    }

    /// Sends bytes as they are; what comes back is recorded as answered, closed or nothing.
    pub fn raw(&mut self, connection: &str, label: &str, bytes: &[u8]) -> Done {
        self.connection(connection)?.send(bytes);
        let outcome = match self.hear(connection, Duration::from_secs(3)) {
            Heard::Closed => CLOSED,
            Heard::Silence => UNANSWERED,
            Heard::Frame(_) => "answered",
        };
        self.connections.remove(connection);
        self.push(connection, label, None, Tree::text(outcome));
        Ok(())
    }

    /// Sends a whole frame as it is; the answer is read as the response of that API at that version. The connection stays open.
    pub fn raw_as<R: Request>(
        &mut self,
        connection: &str,
        label: &str,
        version: i16,
        frame: &[u8],
    ) -> Done<Option<R::Response>>
    where
        R::Response: Debug,
    {
        self.connection(connection)?.send(frame);
        let heard = self.hear(connection, ANSWER_LIMIT);
        let (outcome, answer) = self.outcome::<R::Response>(R::KEY, version, None, &heard);
        if answer.is_none() {
            self.connections.remove(connection);
        }
        self.push(connection, label, Some((R::KEY, version)), outcome);
        Ok(answer)
    }

    /// Waits for the broker to close a connection on which nothing happens.
    pub fn closes_when_idle(&mut self, connection: &str, label: &str) -> Done {
        let outcome = match self.hear(connection, ANSWER_LIMIT) {
            Heard::Closed => CLOSED,
            _ => "still open",
        };
        self.push(connection, label, None, Tree::text(outcome));
        Ok(())
    }

    /// The body of a request in a frame of this play.
    pub fn frame(&mut self, connection: &str, key: i16, version: i16, header_version: i16, body: &[u8]) -> Done<Bytes> {
        let correlation_id = self.connection(connection)?.next_correlation_id();
        Ok(wire::frame(key, version, header_version, correlation_id, &self.client_id, body))
    }

    /// Asks without recording, on a connection of its own: setting up and waiting is no step.
    pub fn quiet<R: Request>(&mut self, version: i16, request: R) -> Done<R::Response> {
        let connection = "behind the scenes";
        let correlation_id = self.send(connection, version, &request)?;
        match self.hear(connection, ANSWER_LIMIT) {
            Heard::Frame(frame) => {
                let answer = wire::answer::<R::Response>(&frame, version)?;
                assert_eq!(answer.correlation_id, correlation_id, "answers are in order");
                Ok(answer.body)
            }
            heard => Err(Stop(format!("setting up: {} v{version} brought {heard:?}", crate::apis::name_of(R::KEY)))),
        }
    }

    fn connection(&mut self, name: &str) -> Done<&mut Connection> {
        if !self.connections.contains_key(name) {
            let opened = Connection::open(self.target.address).map_err(|e| Stop(format!("cannot connect: {e}")))?;
            self.connections.insert(name.to_string(), opened);
        }
        Ok(self.connections.get_mut(name).expect("just inserted"))
    }

    fn send<R: Request>(&mut self, connection: &str, version: i16, request: &R) -> Done<i32> {
        let client_id = self.client_id.clone();
        let connection = self.connection(connection)?;
        let correlation_id = connection.next_correlation_id();
        connection.send(&wire::request(request, version, correlation_id, &client_id)?);
        Ok(correlation_id)
    }

    fn hear(&mut self, connection: &str, limit: Duration) -> Heard {
        self.connections.get_mut(connection).map_or(Heard::Closed, |c| c.hear(limit))
    }

    fn record<R: Request>(
        &mut self,
        connection: &str,
        label: &str,
        version: i16,
        id: i32,
        heard: Heard,
    ) -> Option<R::Response>
    where
        R::Response: Debug,
    {
        let (outcome, answer) = self.outcome::<R::Response>(R::KEY, version, Some(id), &heard);
        if answer.is_none() {
            self.connections.remove(connection);
        }
        self.push(connection, label, Some((R::KEY, version)), outcome);
        answer
    }

    fn outcome<M: Encodable + Decodable + HeaderVersion + Debug>(
        &mut self,
        key: i16,
        version: i16,
        correlation_id: Option<i32>,
        heard: &Heard,
    ) -> (Tree, Option<M>) {
        let frame = match heard {
            Heard::Frame(frame) => frame,
            Heard::Closed => return (Tree::text(CLOSED), None),
            Heard::Silence => return (Tree::text(UNANSWERED), None),
        };
        match wire::answer::<M>(frame, version) {
            Err(why) => (Tree::Text(why), None),
            Ok(answer) => {
                let mut tree = self.names.answer(key, Tree::of(&answer.body));
                if let Tree::Fields(fields) = &mut tree {
                    if !answer.canonical {
                        fields.push(("encoding".into(), Tree::text("not as the codec writes it")));
                    }
                    if correlation_id.is_some_and(|id| id != answer.correlation_id) {
                        fields.push(("correlation_id".into(), Tree::text("of another request")));
                    }
                }
                (tree, Some(answer.body))
            }
        }
    }

    /// Records something that a scenario has made of an answer, where the answer itself would be too long.
    pub fn note<R: Request>(&mut self, label: &str, version: i16, what: String) {
        self.push("main", label, Some((R::KEY, version)), Tree::Text(what));
    }

    fn push(&mut self, connection: &str, label: &str, api: Option<(i16, i16)>, outcome: Tree) {
        self.steps.push(Step { label: label.into(), api, connection: connection.into(), outcome });
    }
}
