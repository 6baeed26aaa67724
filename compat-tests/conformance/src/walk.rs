//! Seeded random walks over the same kind of steps, played to both brokers live; of a walk that differs, the smallest part that still does.

pub mod consumers;
pub mod generate;
pub mod groups;
pub mod op;
pub mod perform;
pub mod transactions;

use std::io;
use std::sync::Mutex;

use crate::compare::{self, Difference};
use crate::golden;
use crate::play::Play;
use crate::run::{Transcript, Transcripts};
use crate::server::{Kind, Profile, Server};
use op::Op;

/// What to walk.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    pub walks: u64,
    pub steps: usize,
    /// Walks restart both brokers now and then; they are played one after the other.
    pub restarts: bool,
}

/// Walks that differ after which the rest is not played.
const DIFFERING_WALKS_MAX: usize = 3;
/// Plays of parts of one walk, to find the smallest.
const SHRINK_PLAYS_MAX: usize = 150;
const PLAYERS: usize = 4;

/// Two brokers to play to, side by side.
struct Pair {
    kafka: Mutex<Server>,
    ours: Mutex<Server>,
    /// A restart needs the broker for itself; any other step only its address.
    restarts: bool,
}

/// Plays all walks of a plan. Whether none differs.
pub fn run(plan: Plan, ours: Kind) -> io::Result<bool> {
    let (kafka, ours) = std::thread::scope(|scope| {
        let kafka = scope.spawn(|| Server::start(Kind::Kafka, Profile::Plain));
        let ours = Server::start(ours, Profile::Plain);
        (kafka.join().expect("starting a broker does not panic"), ours)
    });
    let (kafka, ours) = (kafka?, ours?);
    let pair = Pair { kafka: Mutex::new(kafka), ours: Mutex::new(ours), restarts: plan.restarts };
    let next = Mutex::new(0..plan.walks);
    let differing = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..if plan.restarts { 1 } else { PLAYERS } {
            scope.spawn(|| {
                loop {
                    let Some(walk) = next.lock().expect("no player panics holding it").next() else { return };
                    if differing.lock().expect("no player panics holding it").len() >= DIFFERING_WALKS_MAX {
                        return;
                    }
                    if let Some(found) = differs(&pair, plan, walk) {
                        differing.lock().expect("no player panics holding it").push(found);
                    }
                }
            });
        }
    });
    let mut differing = differing.into_inner().expect("no player panics holding it");
    differing.sort_by_key(|found| found.walk);
    for found in &differing {
        print!("{}", found.render(plan));
    }
    println!(
        "{} walks of {} steps from seed {}, {} of them differ",
        plan.walks,
        plan.steps,
        plan.seed,
        differing.len()
    );
    Ok(differing.is_empty())
}

/// The smallest part found of a walk that differs.
struct Found {
    walk: u64,
    ops: Vec<Op>,
    differences: Vec<Difference>,
}

impl Found {
    fn render(&self, plan: Plan) -> String {
        let mut text = format!("walk {} of seed {} differs, and so does this part of it:\n", self.walk, plan.seed);
        for (i, op) in self.ops.iter().enumerate() {
            text.push_str(&format!("    {} {op:?}\n", i + 1));
        }
        for difference in &self.differences {
            text.push_str(&format!(
                "  step {} ({}) {}\n      kafka {}\n      ours  {}\n",
                difference.step,
                difference.request,
                difference.path,
                compare::shown(&difference.kafka),
                compare::shown(&difference.ours)
            ));
        }
        text
    }
}

fn differs(pair: &Pair, plan: Plan, walk: u64) -> Option<Found> {
    let ops = generate::walk(plan, walk);
    let mut plays = 0;
    let mut differences = |ops: &[Op]| {
        plays += 1;
        pair.differences(&format!("walk-{}-{walk}-{plays:03}", plan.seed), ops)
    };
    if differences(&ops).is_empty() {
        return None;
    }
    // An answer that came late once is no difference: what differs does so again.
    let first = differences(&ops);
    if first.is_empty() {
        println!("walk {walk} of seed {} differed once, and not when it was played again", plan.seed);
        return None;
    }
    let (ops, differences) = shrink(ops, first, &mut differences);
    Some(Found { walk, ops, differences })
}

/// Leaves out halves, quarters, … single steps, as long as a difference remains.
fn shrink(
    mut ops: Vec<Op>,
    mut found: Vec<Difference>,
    differences: &mut impl FnMut(&[Op]) -> Vec<Difference>,
) -> (Vec<Op>, Vec<Difference>) {
    let mut plays = 0;
    let mut part = ops.len() / 2;
    while part > 0 {
        let mut at = 0;
        let mut shorter = false;
        while at < ops.len() && plays < SHRINK_PLAYS_MAX {
            let mut without = ops.clone();
            without.drain(at..(at + part).min(ops.len()));
            plays += 1;
            let still = differences(&without);
            if still.is_empty() {
                at += part;
            } else {
                (ops, found, shorter) = (without, still, true);
            }
        }
        if !shorter || part > 1 {
            part /= 2;
        }
        if plays >= SHRINK_PLAYS_MAX {
            break;
        }
    }
    (ops, found)
}

impl Pair {
    fn differences(&self, name: &str, ops: &[Op]) -> Vec<Difference> {
        let (theirs, mine) = std::thread::scope(|scope| {
            let theirs = scope.spawn(|| self.play(&self.kafka, name, ops));
            let mine = self.play(&self.ours, name, ops);
            (theirs.join().expect("playing does not panic"), mine)
        });
        let values = |transcript| golden::values(&Transcripts::from([("walk".to_string(), transcript)]));
        compare::compare(&values(theirs), &values(mine)).unexplained
    }

    fn play(&self, server: &Mutex<Server>, name: &str, ops: &[Op]) -> Transcript {
        let mut server = server.lock().expect("no player panics holding it");
        let mut play = Play::new(server.target(), name);
        play.names.rename = Some((name.to_string(), "walk".to_string()));
        play.names.any_epoch = self.restarts;
        play.mine_only();
        let mut walker = perform::Walker::new();
        let mut stopped = None;
        if self.restarts {
            for op in ops {
                let done = match op {
                    Op::Restart => {
                        play.disconnect();
                        walker.disconnected();
                        let restarted = server.restart().map_err(|e| crate::play::Stop(e.to_string()));
                        restarted.and_then(|()| walker.connected(&mut play))
                    }
                    op => walker.perform(&mut play, op),
                };
                if let Err(stop) = done {
                    stopped = Some(stop.0);
                    break;
                }
            }
        } else {
            drop(server);
            stopped = ops.iter().find_map(|op| walker.perform(&mut play, op).err()).map(|stop| stop.0);
        }
        walker.clean_up(&mut play);
        Transcript { steps: play.steps, stopped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_shrinks_to_the_steps_that_differ() {
        let grow = |count| Op::Grow { topic: 0, count, version: 0 };
        let counts = |ops: &[Op]| -> Vec<i32> {
            ops.iter().map(|op| if let Op::Grow { count, .. } = op { *count } else { unreachable!() }).collect()
        };
        let mut differences = |ops: &[Op]| {
            let left = counts(ops);
            let differ = left.contains(&3) && left.contains(&17);
            let difference = Difference {
                scenario: "walk".into(),
                step: String::new(),
                request: String::new(),
                path: String::new(),
                kafka: String::new(),
                ours: String::new(),
            };
            if differ { vec![difference] } else { Vec::new() }
        };
        let ops: Vec<Op> = (0..40).map(grow).collect();
        let first = differences(&ops);
        let (ops, _) = shrink(ops, first, &mut differences);
        assert_eq!(counts(&ops), [3, 17]);
    }
}
