//! Plays scenarios to a set of brokers, several at a time.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;

use crate::apis::Count;
use crate::play::{Done, Play, Step};
use crate::server::{Kind, PROFILES, Profile, Server};

/// A scenario: what to play, and under which configuration.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// `area/what`; the area is the golden file.
    pub name: &'static str,
    pub profile: Profile,
    /// Changes what others would see: played when nothing else is.
    pub alone: bool,
    pub play: fn(&mut Play) -> Done,
}

/// A scenario under the plain profile, beside others.
pub const fn scenario(name: &'static str, play: fn(&mut Play) -> Done) -> Scenario {
    Scenario { name, profile: Profile::Plain, alone: false, play }
}

impl Scenario {
    pub const fn under(mut self, profile: Profile) -> Scenario {
        self.profile = profile;
        self
    }

    pub const fn alone(mut self) -> Scenario {
        self.alone = true;
        self
    }
}

/// What one play of a scenario brought.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    pub steps: Vec<Step>,
    /// Why it ended early, if it did.
    pub stopped: Option<String>,
}

/// Transcripts by the scenario's name.
pub type Transcripts = BTreeMap<String, Transcript>;

/// Plays at once: scenarios mostly wait.
const PLAYERS: usize = 6;

/// Plays all of them to freshly started brokers of that kind, one for each profile that is needed.
pub fn play_all(kind: Kind, scenarios: &[Scenario]) -> io::Result<Transcripts> {
    let profiles: Vec<Profile> = PROFILES.into_iter().filter(|p| scenarios.iter().any(|s| s.profile == *p)).collect();
    let servers: Vec<io::Result<Server>> = std::thread::scope(|scope| {
        let starting: Vec<_> = profiles.iter().map(|profile| scope.spawn(|| Server::start(kind, *profile))).collect();
        starting.into_iter().map(|thread| thread.join().expect("starting a broker does not panic")).collect()
    });
    let servers = servers.into_iter().collect::<io::Result<Vec<Server>>>()?;

    let transcripts = Mutex::new(Transcripts::new());
    let together: Vec<&Scenario> = scenarios.iter().filter(|s| !s.alone).collect();
    let next = Mutex::new(together.into_iter());
    std::thread::scope(|scope| {
        for _ in 0..PLAYERS {
            scope.spawn(|| {
                loop {
                    let Some(scenario) = next.lock().expect("no player panics holding it").next() else { return };
                    let transcript = play_one(&servers, scenario);
                    transcripts
                        .lock()
                        .expect("no player panics holding it")
                        .insert(scenario.name.to_string(), transcript);
                }
            });
        }
    });
    let mut transcripts = transcripts.into_inner().expect("no player panics holding it");
    for scenario in scenarios.iter().filter(|s| s.alone) {
        transcripts.insert(scenario.name.to_string(), play_one(&servers, scenario));
    }
    Ok(transcripts)
}

fn play_one(servers: &[Server], scenario: &Scenario) -> Transcript {
    let server = servers.iter().find(|s| s.profile == scenario.profile).expect("a broker of every profile is up");
    let mut play = Play::new(server.target(), scenario.name);
    let stopped = (scenario.play)(&mut play).err().map(|stop| stop.0);
    Transcript { steps: play.steps, stopped }
}

/// Steps by API and version.
pub fn count(transcripts: &Transcripts) -> Count {
    let mut count = Count::new();
    for step in transcripts.values().flat_map(|t| &t.steps) {
        if let Some(api) = step.api {
            *count.entry(api).or_default() += 1;
        }
    }
    count
}
