//! What differs between two transcripts, field by field.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::accepted;

/// One field that differs.
#[derive(Clone, Debug)]
pub struct Difference {
    pub scenario: String,
    /// Number and label of the step.
    pub step: String,
    pub request: String,
    pub path: String,
    pub kafka: String,
    pub ours: String,
}

/// Differences found, apart from those that are accepted.
#[derive(Default)]
pub struct Report {
    pub steps: usize,
    pub unexplained: Vec<Difference>,
    pub accepted: Vec<Difference>,
    /// Accepted differences that were not met, by id.
    pub unmet: Vec<&'static str>,
}

/// Compares scenario by scenario. `ours` may hold more than `kafka`, and what it lacks is a difference.
pub fn compare(kafka: &BTreeMap<String, Value>, ours: &BTreeMap<String, Value>) -> Report {
    let mut report = Report::default();
    let mut met = BTreeSet::new();
    for (scenario, theirs) in kafka {
        let steps = theirs.as_array().map_or(0, Vec::len);
        report.steps += steps;
        let nothing = Value::Array(Vec::new());
        let ours = ours.get(scenario).unwrap_or(&nothing);
        for step in 0..steps.max(ours.as_array().map_or(0, Vec::len)) {
            for difference in step_differences(scenario, step, &theirs[step], &ours[step]) {
                match accepted::matching(&difference) {
                    Some(entry) => {
                        met.insert(entry.id);
                        report.accepted.push(difference);
                    }
                    None => report.unexplained.push(difference),
                }
            }
        }
    }
    report.unmet = accepted::ACCEPTED.iter().map(|entry| entry.id).filter(|id| !met.contains(id)).collect();
    report
}

fn step_differences(scenario: &str, step: usize, kafka: &Value, ours: &Value) -> Vec<Difference> {
    let named = if kafka.is_null() { ours } else { kafka };
    let text = |field: &str| named[field].as_str().unwrap_or_default().to_string();
    let mut found = Vec::new();
    let mut add = |path: &str, kafka: &Value, ours: &Value| {
        found.push(Difference {
            scenario: scenario.to_string(),
            step: format!("{} {}", step + 1, text("step")),
            request: text("request"),
            path: path.to_string(),
            kafka: shown(kafka),
            ours: shown(ours),
        });
    };
    if kafka.is_null() || ours.is_null() || kafka.get("stopped").is_some() || ours.get("stopped").is_some() {
        if kafka != ours {
            add("", kafka, ours);
        }
    } else {
        if (&kafka["step"], &kafka["request"]) != (&ours["step"], &ours["request"]) {
            add("step", &kafka["step"], &ours["step"]);
        }
        walk("", &kafka["answer"], &ours["answer"], &mut add);
    }
    found
}

fn walk(path: &str, kafka: &Value, ours: &Value, add: &mut impl FnMut(&str, &Value, &Value)) {
    match (kafka, ours) {
        (Value::Object(theirs), Value::Object(mine)) => {
            let names: BTreeSet<&String> = theirs.keys().chain(mine.keys()).collect();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(&path, theirs.get(name).unwrap_or(&ABSENT), mine.get(name).unwrap_or(&ABSENT), add);
            }
        }
        (Value::Array(theirs), Value::Array(mine)) => walk_list(path, theirs, mine, add),
        _ if kafka != ours => add(path, kafka, ours),
        _ => {}
    }
}

/// Named elements are compared by name, so that one that is missing does not shift all others, and then by their order.
fn walk_list(path: &str, theirs: &[Value], mine: &[Value], add: &mut impl FnMut(&str, &Value, &Value)) {
    let (Some(their_names), Some(my_names)) = (names(theirs), names(mine)) else {
        for i in 0..theirs.len().max(mine.len()) {
            walk(&format!("{path}[{i}]"), theirs.get(i).unwrap_or(&ABSENT), mine.get(i).unwrap_or(&ABSENT), add);
        }
        return;
    };
    let all: BTreeSet<&str> = their_names.iter().chain(&my_names).copied().collect();
    for name in &all {
        let find = |list: &[&str]| list.iter().position(|n| n == name);
        let theirs = find(&their_names).map_or(&ABSENT, |i| &theirs[i]);
        let mine = find(&my_names).map_or(&ABSENT, |i| &mine[i]);
        walk(&format!("{path}[{name}]"), theirs, mine, add);
    }
    if their_names.len() == all.len() && my_names.len() == all.len() && their_names != my_names {
        add(&format!("{path} (order)"), &Value::from(their_names), &Value::from(my_names));
    }
}

/// The names of a list's elements, where all of them have one and no two the same.
fn names(list: &[Value]) -> Option<Vec<&str>> {
    let names = list
        .iter()
        .map(|value| value.get("name")?.as_str().filter(|n| !n.is_empty()))
        .collect::<Option<Vec<&str>>>()?;
    (names.iter().collect::<BTreeSet<_>>().len() == names.len()).then_some(names)
}

/// JSON null is a value of the protocol; this one says that there is no such field or element.
static ABSENT: Value = Value::Bool(false);

const SHOWN_CHARS: usize = 300;

fn shown(value: &Value) -> String {
    if std::ptr::eq(value, &ABSENT) {
        return "absent".into();
    }
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The report for people. `table` is the one of API × version × steps.
pub fn render(report: &Report, table: &str) -> String {
    let mut text = String::new();
    let mut last = String::new();
    for difference in &report.unexplained {
        let heading = format!("{} · step {} · {}", difference.scenario, difference.step, difference.request);
        if heading != last {
            text.push_str(&format!("\n{heading}\n"));
            last = heading;
        }
        let path = if difference.path.is_empty() { "(whole step)" } else { &difference.path };
        text.push_str(&format!("    {path}\n        kafka {}\n        ours  {}\n", difference.kafka, difference.ours));
    }
    text.push_str(&format!("\n{table}\n"));
    if !report.unmet.is_empty() {
        text.push_str(&format!("accepted differences that no step met: {}\n", report.unmet.join(", ")));
    }
    text.push_str(&format!(
        "{} steps, {} unexplained differences, {} accepted ({} entries)\n",
        report.steps,
        report.unexplained.len(),
        report.accepted.len(),
        accepted::ACCEPTED.len()
    ));
    text
}
