//! The figures as a table for people, or as JSON for programs.

/// What issue 3 asks of a row.
#[derive(Clone, Copy)]
pub enum Target {
    /// Nothing: the figure is there to understand the others.
    None,
    AtMost(f64),
    AtLeast(f64),
    /// Ours divided by the floor's.
    RatioAtLeast(f64),
    /// Ours divided by Apache Kafka's, which only `--kafka` measures.
    KafkaRatioAtLeast(f64),
}

pub struct Row {
    pub name: String,
    pub unit: &'static str,
    pub ours: f64,
    pub floor: Option<f64>,
    pub kafka: Option<f64>,
    /// The median of ours / floor, round by round.
    pub ratio: Option<f64>,
    pub kafka_ratio: Option<f64>,
    pub target: Target,
}

impl Row {
    /// A figure that only ours has.
    pub fn alone(name: impl Into<String>, unit: &'static str, ours: f64, target: Target) -> Row {
        Row { name: name.into(), unit, ours, floor: None, kafka: None, ratio: None, kafka_ratio: None, target }
    }

    fn met(&self) -> Option<bool> {
        match self.target {
            Target::None => None,
            Target::AtMost(limit) => Some(self.ours <= limit),
            Target::AtLeast(least) => Some(self.ours >= least),
            Target::RatioAtLeast(least) => self.ratio.map(|ratio| ratio >= least),
            Target::KafkaRatioAtLeast(least) => self.kafka_ratio.map(|ratio| ratio >= least),
        }
    }

    fn verdict(&self) -> &'static str {
        match (self.met(), self.target) {
            (Some(true), _) => "ok",
            (Some(false), _) => "MISSED",
            (None, Target::None) => "",
            (None, _) => "not measured",
        }
    }

    fn target_text(&self) -> String {
        match self.target {
            Target::None => String::new(),
            Target::AtMost(limit) => format!("<= {}", figure(limit)),
            Target::AtLeast(least) => format!(">= {}", figure(least)),
            Target::RatioAtLeast(least) => format!(">= {least:.2} floor"),
            Target::KafkaRatioAtLeast(least) => format!(">= {least:.2} Kafka"),
        }
    }
}

/// One scenario's outcome: its rows, or why it has none.
pub struct Section {
    pub scenario: &'static str,
    pub outcome: Result<Vec<Row>, String>,
}

pub fn print_heading(kafka: bool) {
    let kafka = if kafka { format!("{:>12}{:>9}", "Kafka", "ratio") } else { String::new() };
    println!("{:<58}{:>12}{:>12}{:>8}{kafka}  {:<15}", "", "ours", "floor", "ratio", "target");
}

pub fn print_section(section: &Section, kafka: bool) {
    match &section.outcome {
        Ok(rows) => rows.iter().for_each(|row| print_row(section.scenario, row, kafka)),
        Err(reason) => println!("{:<11} FAILED: {reason}", section.scenario),
    }
}

fn print_row(scenario: &str, row: &Row, with_kafka: bool) {
    let optional = |value: Option<f64>| value.map_or("-".to_owned(), figure);
    let ratio = |value: Option<f64>| value.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
    let kafka =
        if with_kafka { format!("{:>12}{:>9}", optional(row.kafka), ratio(row.kafka_ratio)) } else { String::new() };
    println!(
        "{scenario:<11} {:<46}{:>12}{:>12}{:>8}{kafka}  {:<15}{}",
        format!("{}, {}", row.name, row.unit),
        figure(row.ours),
        optional(row.floor),
        ratio(row.ratio),
        row.target_text(),
        row.verdict()
    );
}

/// The rows that miss their target, and the scenarios that failed. What was not measured is not missed.
pub fn missed(sections: &[Section]) -> Vec<String> {
    let missed = |section: &Section| match &section.outcome {
        Ok(rows) => {
            let rows = rows.iter().filter(|row| row.met() == Some(false));
            rows.map(|row| format!("{}, {}", section.scenario, row.name)).collect()
        }
        Err(reason) => vec![format!("{} failed: {reason}", section.scenario)],
    };
    sections.iter().flat_map(missed).collect()
}

pub fn print_json(sections: &[Section]) {
    let rows: Vec<String> = sections.iter().flat_map(json_rows).collect();
    println!("[\n{}\n]", rows.join(",\n"));
}

fn json_rows(section: &Section) -> Vec<String> {
    let scenario = quote(section.scenario);
    let rows = match &section.outcome {
        Ok(rows) => rows,
        Err(reason) => return vec![format!("{{\"scenario\":{scenario},\"failed\":{}}}", quote(reason))],
    };
    let number = |value: Option<f64>| value.filter(|v| v.is_finite()).map_or("null".to_owned(), |v| v.to_string());
    let json = |row: &Row| {
        format!(
            "{{\"scenario\":{scenario},\"name\":{},\"unit\":{},\"ours\":{},\"floor\":{},\"ratio\":{},\"kafka\":{},\
             \"kafka_ratio\":{},\"target\":{},\"met\":{}}}",
            quote(&row.name),
            quote(row.unit),
            number(Some(row.ours)),
            number(row.floor),
            number(row.ratio),
            number(row.kafka),
            number(row.kafka_ratio),
            quote(&row.target_text()),
            row.met().map_or("null".to_owned(), |met| met.to_string()),
        )
    };
    rows.iter().map(json).collect()
}

fn quote(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04x}", c as u32),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}

/// Three figures that count: `81,234`, `12.3`, `0.214`.
fn figure(value: f64) -> String {
    if value.abs() < 10.0 {
        return format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    if value.abs() < 1000.0 {
        return format!("{value:.1}").trim_end_matches(".0").to_owned();
    }
    let digits = format!("{value:.0}");
    let group = |(index, digit): (usize, char)| {
        let comma = index > 0 && (digits.len() - index).is_multiple_of(3);
        if comma { format!(",{digit}") } else { digit.to_string() }
    };
    digits.chars().enumerate().map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_targets_and_failures_are_told() {
        let row = |name: &str, target| Row { ratio: Some(0.5), ..Row::alone(name, "MB", 10.0, target) };
        let rows = vec![
            row("met", Target::AtMost(10.0)),
            row("too much", Target::AtMost(9.9)),
            row("too slow", Target::RatioAtLeast(0.6)),
            row("too few", Target::AtLeast(10.1)),
            row("not measured", Target::KafkaRatioAtLeast(1.0)),
            row("of interest", Target::None),
        ];
        let failed = Section { scenario: "idle", outcome: Err("no server".to_owned()) };
        let found = missed(&[Section { scenario: "produce", outcome: Ok(rows) }, failed]);
        assert_eq!(found, ["produce, too much", "produce, too slow", "produce, too few", "idle failed: no server"]);
    }
}
