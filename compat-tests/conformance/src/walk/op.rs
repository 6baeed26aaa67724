//! One step of a walk, as data: so that parts of a walk can be left out and what is left be printed.

use crate::batch::Codec;

/// Topics of a walk.
pub const TOPICS: u8 = 3;

#[derive(Clone, Debug)]
pub enum Op {
    Create {
        topic: u8,
        partitions: i32,
        config: Option<(&'static str, &'static str)>,
        version: i16,
        validate_only: bool,
    },
    Delete {
        topic: u8,
        version: i16,
    },
    Grow {
        topic: u8,
        count: i32,
        version: i16,
    },
    Alter {
        topic: u8,
        key: &'static str,
        operation: i8,
        value: &'static str,
    },
    Produce {
        topic: u8,
        partition: i32,
        records: usize,
        codec: Codec,
        acks: i16,
        version: i16,
    },
    Idempotent {
        topic: u8,
        partition: i32,
        producer: i64,
        epoch: i16,
        sequence: i32,
        records: usize,
    },
    Bad {
        topic: u8,
        partition: i32,
        fault: Fault,
    },
    Fetch {
        topic: u8,
        partition: i32,
        offset: i64,
        max_bytes: i32,
        isolation: i8,
        version: i16,
    },
    /// Opens a session of all partitions of a topic from an offset on, by name or by id.
    OpenSession {
        topic: u8,
        offset: i64,
        by_id: bool,
    },
    /// Goes on in the session that was opened last; `skip` moves its epoch.
    NextInSession {
        skip: i32,
        ask: Option<(u8, i32, i64)>,
        forget: Option<(u8, i32)>,
        max_bytes: i32,
    },
    CloseSession,
    ListOffsets {
        topic: u8,
        partition: i32,
        at: At,
        version: i16,
    },
    DeleteRecords {
        topic: u8,
        partition: i32,
        offset: i64,
    },
    Metadata {
        topic: u8,
        version: i16,
    },
    DescribePartitions {
        limit: i32,
    },
    DescribeConfigs {
        topic: u8,
        key: &'static str,
        version: i16,
    },
    DescribeProducers {
        topic: u8,
        partition: i32,
    },
    DescribeLogDirs,
    EpochEnd {
        topic: u8,
        partition: i32,
        epoch: i32,
    },
    Group {
        group: u8,
        op: GroupOp,
    },
    /// In the consumer group of the walk, which has one member.
    Consumer(ConsumerOp),
    /// By a transactional producer of the walk.
    Transaction {
        producer: u8,
        op: TransactionOp,
    },
    Restart,
}

/// Transactional producers of a walk.
pub const PRODUCERS: u8 = 2;

/// What a transactional producer does. `skip` moves the epoch that it knows.
#[derive(Clone, Debug)]
pub enum TransactionOp {
    /// Begins as nobody in particular, or as who it was.
    Init {
        again: bool,
        version: i16,
    },
    Add {
        topic: u8,
        partition: i32,
        skip: i16,
        version: i16,
    },
    AddOffsets {
        skip: i16,
        version: i16,
    },
    /// A batch; `behind` moves its sequence.
    Produce {
        topic: u8,
        partition: i32,
        behind: i32,
        skip: i16,
        version: i16,
    },
    CommitOffsets {
        topic: u8,
        partition: i32,
        offset: i64,
        skip: i16,
        version: i16,
    },
    End {
        commit: bool,
        skip: i16,
        version: i16,
    },
    Describe,
    FetchOffsets {
        stable: bool,
    },
}

/// What happens to a consumer group (KIP-848). `skip` moves the epoch that its member knows.
#[derive(Clone, Debug)]
pub enum ConsumerOp {
    /// A heartbeat, or the first one of a member that is not in. It says what it owns, or nothing of that; it subscribes to
    /// other topics (bits), or to none other.
    Beat {
        skip: i32,
        owns: bool,
        subscribed: Option<u8>,
        version: i16,
    },
    Leave {
        version: i16,
    },
    Commit {
        skip: i32,
        topic: u8,
        partition: i32,
        offset: i64,
    },
    FetchOffsets {
        skip: i32,
    },
    DeleteOffset {
        topic: u8,
        partition: i32,
    },
    Describe {
        version: i16,
    },
    Delete,
}

/// Groups of a walk.
pub const GROUPS: u8 = 2;
/// Members of each; the last of them is static.
pub const MEMBERS: u8 = 3;

/// What happens to a group. `skip` moves the generation that a member knows.
#[derive(Clone, Debug)]
pub enum GroupOp {
    /// Joins, by the id it has been given unless it is `fresh`: a new process.
    Join {
        member: u8,
        fresh: bool,
        protocols: &'static [(&'static str, &'static str)],
        version: i16,
    },
    Sync {
        member: u8,
        skip: i32,
        version: i16,
    },
    Heartbeat {
        member: u8,
        skip: i32,
        version: i16,
    },
    Leave {
        member: u8,
        version: i16,
    },
    /// Commits as a member, or as a simple consumer.
    Commit {
        member: Option<u8>,
        skip: i32,
        topic: u8,
        partition: i32,
        offset: i64,
        version: i16,
    },
    FetchOffsets {
        topic: Option<(u8, i32)>,
        version: i16,
    },
    DeleteOffset {
        topic: u8,
        partition: i32,
    },
    Describe {
        version: i16,
    },
    List {
        version: i16,
    },
    Delete {
        version: i16,
    },
}

/// A time to look up.
#[derive(Clone, Copy, Debug)]
pub enum At {
    Special(i64),
    /// Milliseconds after the base of the walk's timestamps.
    Time(i64),
}

/// What is wrong with a batch.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Checksum,
    Count,
    Empty,
    Cut,
    Twice,
    Magic,
    Control,
    BaseOffset,
    NoKey,
    TooLarge,
    Future,
}

pub const FAULTS: [Fault; 11] = [
    Fault::Checksum,
    Fault::Count,
    Fault::Empty,
    Fault::Cut,
    Fault::Twice,
    Fault::Magic,
    Fault::Control,
    Fault::BaseOffset,
    Fault::NoKey,
    Fault::TooLarge,
    Fault::Future,
];
