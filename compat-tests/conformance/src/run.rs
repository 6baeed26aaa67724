//! Plays scenarios to a set of brokers, several at a time.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;

use kafka_protocol::messages::ApiKey;

use crate::apis::{self, Api, Count};
use crate::golden;
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
    /// API keys without which it is left out: see [`crate::apis::groups`].
    pub needs: &'static [ApiKey],
    pub play: fn(&mut Play) -> Done,
}

/// A scenario under the plain profile, beside others.
pub const fn scenario(name: &'static str, play: fn(&mut Play) -> Done) -> Scenario {
    Scenario { name, profile: Profile::Plain, alone: false, needs: &[], play }
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

    pub const fn needs(mut self, keys: &'static [ApiKey]) -> Scenario {
        self.needs = keys;
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

/// What was played to a broker, and what it was too young for.
#[derive(Debug, Default)]
pub struct Played {
    pub transcripts: Transcripts,
    /// The APIs under comparison with this broker.
    pub apis: Vec<Api>,
    /// Scenarios that were left out, with the API that the broker does not advertise.
    pub skipped: BTreeMap<&'static str, String>,
}

impl Played {
    /// What was left out, in words for people; empty if nothing was.
    pub fn skipped_in_words(&self) -> String {
        let mut areas: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for (name, api) in &self.skipped {
            *areas.entry((golden::area(name), api.as_str())).or_default() += 1;
        }
        areas
            .iter()
            .map(|((area, api), count)| {
                format!("SKIPPED {area}: {count} scenarios, for want of {api} in ApiVersions\n")
            })
            .collect()
    }
}

/// Plays at once: scenarios mostly wait.
const PLAYERS: usize = 6;

/// Plays all of them to freshly started brokers of that kind, one for each profile that is needed.
pub fn play_all(kind: Kind, scenarios: &[Scenario]) -> io::Result<Played> {
    let mut played = Played { apis: apis::known(), ..Played::default() };
    // Kafka has every API; an Ottla is asked first, so that no broker is started for scenarios that it cannot play.
    let mut scenarios = scenarios.to_vec();
    if kind == Kind::Ottla {
        let advertised = Server::start(kind, Profile::Plain)?.advertised()?;
        played.apis = apis::compared(&advertised);
        scenarios.retain(|scenario| {
            let missing = scenario.needs.iter().find(|key| !advertised.contains(&(**key as i16)));
            played.skipped.extend(missing.map(|key| (scenario.name, apis::name_of(*key as i16))));
            missing.is_none()
        });
    }
    played.transcripts = play_each(kind, &scenarios)?;
    Ok(played)
}

fn play_each(kind: Kind, scenarios: &[Scenario]) -> io::Result<Transcripts> {
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
