//! What Kafka answered, kept as JSON files: one for each area, one line for whatever fits on a line.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use serde_json::Value;

use crate::apis;
use crate::play::Step;
use crate::run::{Transcript, Transcripts};
use crate::server::kafka;
use crate::tree::Tree;

pub fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// The transcript of a scenario as it is kept: steps in order, each with its request in words and its answer.
pub fn tree(transcript: &Transcript) -> Tree {
    let mut steps: Vec<Tree> = transcript.steps.iter().map(step_tree).collect();
    if let Some(why) = &transcript.stopped {
        steps.push(Tree::Fields(vec![("stopped".into(), Tree::text(why))]));
    }
    Tree::List(steps)
}

fn step_tree(step: &Step) -> Tree {
    let what = match step.api {
        Some((key, version)) => format!("{} v{version}", apis::name_of(key)),
        None => "raw bytes".into(),
    };
    let request = if step.connection == "main" { what } else { format!("{what} on {}", step.connection) };
    Tree::Fields(vec![
        ("step".into(), Tree::text(&step.label)),
        ("request".into(), Tree::Text(request)),
        ("answer".into(), step.outcome.clone()),
    ])
}

/// The golden file of a scenario.
pub fn area(scenario: &str) -> &str {
    scenario.split('/').next().unwrap_or(scenario)
}

/// Writes the areas of these transcripts. With `whole`, files of areas that no longer exist are removed.
pub fn write(transcripts: &Transcripts, whole: bool) -> io::Result<()> {
    std::fs::create_dir_all(directory())?;
    let mut areas: BTreeMap<&str, Vec<(String, Tree)>> = BTreeMap::new();
    for (name, transcript) in transcripts {
        areas.entry(area(name)).or_default().push((name.clone(), tree(transcript)));
    }
    for (area, scenarios) in &areas {
        let file = Tree::Fields(vec![
            ("kafka".into(), Tree::text(kafka::VERSION)),
            ("scenarios".into(), Tree::Fields(scenarios.clone())),
        ]);
        std::fs::write(directory().join(format!("{area}.json")), file.to_text(0) + "\n")?;
    }
    if whole {
        let kept: BTreeSet<String> = areas.keys().map(|area| format!("{area}.json")).collect();
        for entry in std::fs::read_dir(directory())? {
            let entry = entry?;
            if !kept.contains(&*entry.file_name().to_string_lossy()) {
                std::fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

/// All scenarios that are kept, by name.
pub fn read() -> io::Result<BTreeMap<String, Value>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(directory())? {
        let path = entry?.path();
        let file: Value = serde_json::from_slice(&std::fs::read(&path)?).map_err(io::Error::other)?;
        if file["kafka"] != kafka::VERSION {
            return Err(io::Error::other(format!(
                "{} is not of Kafka {}: record again",
                path.display(),
                kafka::VERSION
            )));
        }
        if let Value::Object(scenarios) = &file["scenarios"] {
            all.extend(scenarios.iter().map(|(name, steps)| (name.clone(), steps.clone())));
        }
    }
    Ok(all)
}

/// As [`read`], from transcripts just played.
pub fn values(transcripts: &Transcripts) -> BTreeMap<String, Value> {
    transcripts.iter().map(|(name, transcript)| (name.clone(), tree(transcript).to_json())).collect()
}

/// Steps of the kept answers by API and version.
pub fn count() -> io::Result<apis::Count> {
    let mut count = apis::Count::new();
    for step in read()?.values().filter_map(Value::as_array).flatten() {
        let mut words = step["request"].as_str().unwrap_or_default().split(' ');
        let api = words.next().and_then(|name| apis::served().into_iter().find(|api| api.name == name));
        let version = words.next().and_then(|word| word.strip_prefix('v')).and_then(|digits| digits.parse().ok());
        if let (Some(api), Some(version)) = (api, version) {
            *count.entry((api.key, version)).or_default() += 1;
        }
    }
    Ok(count)
}
