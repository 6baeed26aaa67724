//! The one writer of metadata: changes are planned against what is committed, made durable as a group, then applied.
//!
//! Two changes that touch the same thing never share a group, so that a plan always sees the state it changes.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::manager::TopicManager;
use super::metadata::{KIND_METADATA, MetadataRecord};
use crate::wal::{Ticket, WalError};

/// Changes that may wait; a sender beyond that waits itself.
const QUEUE_MAX: usize = 1024;
/// Changes that share one sync at most.
const GROUP_MAX: usize = 128;

/// What a change touches: a topic by its collision key, or another named thing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Touch {
    Topic(String),
    Broker,
    Group(String),
    ClientMetrics(String),
    ProducerIds,
}

/// Why a change did not happen.
#[derive(Clone, Debug)]
pub enum ChangeError {
    /// KAFKA_STORAGE_ERROR: it could not be made durable.
    Storage(String),
    /// The broker is stopping.
    Stopped,
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChangeError::Storage(why) => f.write_str(why),
            ChangeError::Stopped => f.write_str("the broker is stopping"),
        }
    }
}

impl From<WalError> for ChangeError {
    fn from(error: WalError) -> Self {
        ChangeError::Storage(error.to_string())
    }
}

type Reply = Box<dyn FnOnce(Result<(), ChangeError>) + Send>;
/// Looks at the committed state and says what to record, and whom to tell.
type Plan = Box<dyn FnOnce(&TopicManager) -> (Vec<MetadataRecord>, Reply) + Send>;

enum Command {
    Change {
        touches: Vec<Touch>,
        plan: Plan,
    },
    /// Runs between two groups, when nothing is on its way.
    Between(Box<dyn FnOnce(&TopicManager) + Send>),
    Stop,
}

/// The way to the writer.
pub(super) struct Changes {
    queue: SyncSender<Command>,
}

/// The writer before it runs.
pub(super) struct ChangeQueue(Receiver<Command>);

pub(super) fn channel() -> (Changes, ChangeQueue) {
    let (sender, receiver) = sync_channel(QUEUE_MAX);
    (Changes { queue: sender }, ChangeQueue(receiver))
}

impl Changes {
    /// Hands a change to the writer; the answer comes when it is durable and applied.
    pub async fn submit<T: Send + 'static>(
        &self,
        touches: Vec<Touch>,
        plan: impl FnOnce(&TopicManager) -> (Vec<MetadataRecord>, T) + Send + 'static,
    ) -> Result<T, ChangeError> {
        let (sender, receiver) = oneshot::channel();
        let plan: Plan = Box::new(move |manager| {
            let (records, value) = plan(manager);
            let reply: Reply = Box::new(move |result| {
                let _ = sender.send(result.map(|()| value));
            });
            (records, reply)
        });
        self.queue.send(Command::Change { touches, plan }).map_err(|_| ChangeError::Stopped)?;
        receiver.await.unwrap_or(Err(ChangeError::Stopped))
    }

    /// Runs `f` on the writer's thread and waits for it.
    pub fn between_groups<T: Send + 'static>(&self, f: impl FnOnce(&TopicManager) -> T + Send + 'static) -> Option<T> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let run = Box::new(move |manager: &TopicManager| {
            let _ = sender.send(f(manager));
        });
        self.queue.send(Command::Between(run)).ok()?;
        receiver.recv().ok()
    }

    pub fn stop(&self) {
        let _ = self.queue.send(Command::Stop);
    }
}

impl ChangeQueue {
    pub fn spawn(self, manager: Arc<TopicManager>) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("metadata".into()).spawn(move || self.run(&manager))
    }

    fn run(self, manager: &TopicManager) {
        let mut carried = None;
        loop {
            let command = match carried.take() {
                Some(command) => command,
                None => match self.0.recv() {
                    Ok(command) => command,
                    Err(_) => return,
                },
            };
            match command {
                Command::Stop => return,
                Command::Between(run) => run(manager),
                Command::Change { touches, plan } => {
                    let mut touched: HashSet<Touch> = touches.into_iter().collect();
                    let mut plans = vec![plan];
                    while plans.len() < GROUP_MAX {
                        match self.0.try_recv() {
                            Ok(Command::Change { touches, plan }) if touches.iter().all(|t| !touched.contains(t)) => {
                                touched.extend(touches);
                                plans.push(plan);
                            }
                            Ok(other) => {
                                carried = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    commit_group(manager, plans);
                }
            }
        }
    }
}

fn commit_group(manager: &TopicManager, plans: Vec<Plan>) {
    let planned: Vec<(Vec<MetadataRecord>, Reply)> = plans.into_iter().map(|plan| plan(manager)).collect();
    // All are appended before the first is waited for: they share a sync.
    let appended: Vec<_> = planned
        .into_iter()
        .map(|(records, reply)| {
            let tickets = append(manager, &records);
            (records, reply, tickets)
        })
        .collect();
    for (records, reply, tickets) in appended {
        let durable = tickets.and_then(|tickets| Ok(tickets.iter().try_for_each(Ticket::wait)?));
        match durable {
            Ok(()) => {
                for record in records {
                    manager.apply(record);
                }
                reply(Ok(()));
            }
            Err(error) => {
                tracing::error!(%error, "a metadata change could not be made durable");
                reply(Err(error));
            }
        }
    }
}

fn append(manager: &TopicManager, records: &[MetadataRecord]) -> Result<Vec<Ticket>, ChangeError> {
    let mut tickets = Vec::with_capacity(records.len());
    for record in records {
        manager.prepare(record)?;
        tickets.push(manager.env().wal().append(KIND_METADATA, &[&record.encode()], None)?);
    }
    Ok(tickets)
}
