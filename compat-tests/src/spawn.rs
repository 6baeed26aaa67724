//! Starts child processes that die with the test process.
//!
//! `PR_SET_PDEATHSIG` fires when the *thread* that forked ends, and libtest gives each test a thread of its own: one
//! thread that lives as long as the process does all the forking.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

type Job = (Command, mpsc::Sender<io::Result<Child>>);

/// Spawns `command`; the kernel kills it when this process ends, however it ends.
pub fn spawn(mut command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    // SAFETY: prctl is async-signal-safe and touches nothing of the parent.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, answer) in queue {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(jobs)
    });
    let (answer, child) = mpsc::channel();
    spawner.lock().expect("spawner lock").send((command, answer)).expect("the spawner runs");
    child.recv().expect("the spawner answers")
}

/// Waits for the child to end by itself; `None` when it still runs after `limit`.
pub fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            return Some(status);
        }
        if start.elapsed() > limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn signal(child: &Child, signal: i32) {
    // SAFETY: the child is ours and not yet reaped, so the id names it and nobody else.
    unsafe { libc::kill(child.id() as i32, signal) };
}
