//! Stopping: one signal that every task can wait for, and a way to wait until all of them are gone.

use tokio::sync::{mpsc, watch};

/// Told to whoever must stop. Cloning it keeps [`Shutdown::wait_for_all`] waiting until the clone is dropped.
#[derive(Clone, Debug)]
pub struct Stopping {
    signal: watch::Receiver<bool>,
    _alive: mpsc::Sender<()>,
}

impl Stopping {
    pub fn is_stopping(&self) -> bool {
        *self.signal.borrow()
    }

    /// Returns once the broker begins to stop.
    pub async fn wait(&mut self) {
        // An error means that the sender is gone, which is a stop as well.
        let _ = self.signal.wait_for(|stopping| *stopping).await;
    }
}

/// The other end: begins the stop and waits for its end.
#[derive(Debug)]
pub struct Shutdown {
    signal: watch::Sender<bool>,
    stopping: Option<Stopping>,
    all_gone: mpsc::Receiver<()>,
}

impl Shutdown {
    pub fn new() -> Shutdown {
        let (signal, receiver) = watch::channel(false);
        let (alive, all_gone) = mpsc::channel(1);
        Shutdown { signal, stopping: Some(Stopping { signal: receiver, _alive: alive }), all_gone }
    }

    pub fn stopping(&self) -> Stopping {
        self.stopping.clone().expect("handed out before the stop only")
    }

    pub fn begin(&mut self) {
        self.stopping = None;
        self.signal.send_replace(true);
    }

    /// Returns when every clone of [`Stopping`] is dropped. Call [`Shutdown::begin`] first.
    pub async fn wait_for_all(&mut self) {
        self.stopping = None;
        let _ = self.all_gone.recv().await;
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown::new()
    }
}
