//! What differs between two transcripts, field by field.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::accepted::{self, ACCEPTED, Accepted, Place};

/// One field that differs.
#[derive(Clone, Debug)]
pub struct Difference {
    pub scenario: String,
    /// Number and label of the step.
    pub step: String,
    pub request: String,
    pub path: String,
    /// The whole value; [`shown`] cuts it for people.
    pub kafka: String,
    pub ours: String,
}

/// Differences found, apart from those that are accepted.
#[derive(Default)]
pub struct Report {
    pub steps: usize,
    pub unexplained: Vec<Difference>,
    pub accepted: Vec<Difference>,
    /// Places of accepted differences that were not met, though every run of all scenarios must.
    pub unmet: Vec<String>,
}

/// Compares scenario by scenario. `ours` may hold more than `kafka`, and what it lacks is a difference.
pub fn compare(kafka: &BTreeMap<String, Value>, ours: &BTreeMap<String, Value>) -> Report {
    let mut report = Report::default();
    let mut met = Vec::new();
    for (scenario, theirs) in kafka {
        let steps = theirs.as_array().map_or(0, Vec::len);
        report.steps += steps;
        let nothing = Value::Array(Vec::new());
        let ours = ours.get(scenario).unwrap_or(&nothing);
        for step in 0..steps.max(ours.as_array().map_or(0, Vec::len)) {
            for difference in step_differences(scenario, step, &theirs[step], &ours[step]) {
                match accepted::matching(&difference) {
                    Some((_, place)) => {
                        met.push(place);
                        report.accepted.push(difference);
                    }
                    None => report.unexplained.push(difference),
                }
            }
        }
    }
    report.unmet = unmet(&met);
    report
}

fn unmet(met: &[&'static Place]) -> Vec<String> {
    let must = |entry: &'static Accepted| entry.places.iter().filter(|p| p.is_certain()).map(|place| (entry.id, place));
    let unmet = ACCEPTED.iter().flat_map(must).filter(|(_, place)| !met.iter().any(|m| std::ptr::eq(*m, *place)));
    unmet.map(|(id, place)| format!("{id}: {} · {} · {}", place.scenario, place.step, place.path)).collect()
}

fn step_differences(scenario: &str, step: usize, kafka: &Value, ours: &Value) -> Vec<Difference> {
    let named = if kafka.is_null() { ours } else { kafka };
    let text = |field: &str| named[field].as_str().unwrap_or_default().to_string();
    let mut found = Vec::new();
    let mut add = |path: &str, kafka: Option<&Value>, ours: Option<&Value>| {
        found.push(Difference {
            scenario: scenario.to_string(),
            step: format!("{} {}", step + 1, text("step")),
            request: text("request"),
            path: path.to_string(),
            kafka: text_of(kafka),
            ours: text_of(ours),
        });
    };
    if kafka.is_null() || ours.is_null() || kafka.get("stopped").is_some() || ours.get("stopped").is_some() {
        if kafka != ours {
            add("", Some(kafka), Some(ours));
        }
    } else {
        if (&kafka["step"], &kafka["request"]) != (&ours["step"], &ours["request"]) {
            add("step", Some(&kafka["step"]), Some(&ours["step"]));
        }
        walk("", Some(&kafka["answer"]), Some(&ours["answer"]), &mut add);
    }
    found
}

/// Nothing stands for a field or an element that is absent: JSON null and false are values of the protocol.
type Present<'a> = Option<&'a Value>;

fn walk(path: &str, kafka: Present, ours: Present, add: &mut impl FnMut(&str, Present, Present)) {
    match (kafka, ours) {
        (Some(Value::Object(theirs)), Some(Value::Object(mine))) => {
            let names: BTreeSet<&String> = theirs.keys().chain(mine.keys()).collect();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(&path, theirs.get(name), mine.get(name), add);
            }
        }
        (Some(Value::Array(theirs)), Some(Value::Array(mine))) => walk_list(path, theirs, mine, add),
        _ if kafka != ours => add(path, kafka, ours),
        _ => {}
    }
}

/// Named elements are compared by name, so that one that is missing does not shift all others, and then by their order.
fn walk_list(path: &str, theirs: &[Value], mine: &[Value], add: &mut impl FnMut(&str, Present, Present)) {
    let (Some(their_names), Some(my_names)) = (names(theirs), names(mine)) else {
        for i in 0..theirs.len().max(mine.len()) {
            walk(&format!("{path}[{i}]"), theirs.get(i), mine.get(i), add);
        }
        return;
    };
    let all: BTreeSet<&str> = their_names.iter().chain(&my_names).copied().collect();
    for name in &all {
        let find = |list: &[&str]| list.iter().position(|n| n == name);
        let theirs = find(&their_names).map(|i| &theirs[i]);
        let mine = find(&my_names).map(|i| &mine[i]);
        walk(&format!("{path}[{name}]"), theirs, mine, add);
    }
    if their_names.len() == all.len() && my_names.len() == all.len() && their_names != my_names {
        add(&format!("{path} (order)"), Some(&Value::from(their_names)), Some(&Value::from(my_names)));
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

fn text_of(value: Present) -> String {
    value.map_or_else(|| "absent".into(), Value::to_string)
}

const SHOWN_CHARS: usize = 300;

/// A value for people: its beginning.
pub fn shown(value: &str) -> String {
    match value.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_string(),
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
        let (kafka, ours) = (shown(&difference.kafka), shown(&difference.ours));
        text.push_str(&format!("    {path}\n        kafka {kafka}\n        ours  {ours}\n"));
    }
    text.push_str(&format!("\n{table}\n"));
    if !report.unmet.is_empty() {
        text.push_str(&format!("accepted differences that no step met:\n    {}\n", report.unmet.join("\n    ")));
    }
    text.push_str(&format!(
        "{} steps, {} unexplained differences, {} accepted ({} entries)\n",
        report.steps,
        report.unexplained.len(),
        report.accepted.len(),
        ACCEPTED.len()
    ));
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_absent_is_neither_false_nor_null() {
        let played = |answer: Value| {
            BTreeMap::from([("a/b".to_string(), json!([{ "step": "s", "request": "r", "answer": answer }]))])
        };
        let found = |kafka: Value, ours: Value| {
            let differences = compare(&played(kafka), &played(ours)).unexplained;
            differences.into_iter().map(|d| (d.path, d.kafka, d.ours)).collect::<Vec<_>>()
        };
        let text = |path: &str, kafka: &str, ours: &str| vec![(path.into(), kafka.into(), ours.into())];
        assert_eq!(found(json!({ "x": false }), json!({})), text("x", "false", "absent"));
        assert_eq!(found(json!({}), json!({ "x": false })), text("x", "absent", "false"));
        assert_eq!(found(json!([1, null]), json!([1])), text("[1]", "null", "absent"));
        assert_eq!(found(json!([{ "name": "n" }]), json!([])).len(), 1);
        assert_eq!(found(json!({ "x": [false] }), json!({ "x": [false] })), []);
    }
}
