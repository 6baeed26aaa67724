//! Values: read from text and printed the way Kafka's `ConfigDef` does it.

#[cfg(test)]
mod tests;

use std::fmt;

use super::error::ConfigError;
use super::table::{ConfigKey, ConfigType};

/// A value of one of Kafka's types; `Display` is Kafka's string form of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Boolean(bool),
    Int(i32),
    Short(i16),
    Long(i64),
    Double(f64),
    String(String),
    List(Vec<String>),
    Class(String),
    Password(Secret),
}

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl Value {
    /// An integer of any width.
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Self::Int(number) => Some(number.into()),
            Self::Short(number) => Some(number.into()),
            Self::Long(number) => Some(number),
            _ => None,
        }
    }

    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::Double(number) => Some(number),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Self::Boolean(yes) => Some(yes),
            _ => None,
        }
    }

    /// A list's entries; empty for null and for every other type.
    pub fn as_list(&self) -> &[String] {
        match self {
            Self::List(entries) => entries,
            _ => &[],
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean(yes) => yes.fmt(f),
            Self::Int(number) => number.fmt(f),
            Self::Short(number) => number.fmt(f),
            Self::Long(number) => number.fmt(f),
            Self::Double(number) => f.write_str(&java_double(*number)),
            Self::String(text) | Self::Class(text) => f.write_str(text),
            Self::List(entries) => f.write_str(&entries.join(",")),
            Self::Password(_) => f.write_str("[hidden]"),
        }
    }
}

/// Reads and checks a value for a key, `name` being the key as it was written (it may carry a listener prefix).
pub fn parse(key: &ConfigKey, name: &str, text: &str) -> Result<Value, ConfigError> {
    let value = parse_type(key.kind, name, text).map_err(|error| error.valid(&describe(key)))?;
    key.valid.check(name, &value)?;
    Ok(value)
}

/// The value a key's own default text stands for.
///
/// Defaults are part of the table, and a test reads all of them; one that cannot be read is null.
pub fn parse_default(key: &ConfigKey) -> Value {
    key.effective_default().and_then(|text| parse_type(key.kind, key.name, text).ok()).unwrap_or(Value::Null)
}

/// Reads a value by type alone (Kafka's `ConfigDef.parseType`): everything is trimmed, lists split at commas, an entry
/// given again is dropped.
pub fn parse_type(kind: ConfigType, name: &str, text: &str) -> Result<Value, ConfigError> {
    // Java's trim takes off every control character, not only what Unicode calls white space.
    let trimmed = text.trim_matches(|c: char| c <= ' ');
    let number = || ConfigError::invalid(name, text, &format!("Not a number of type {}", kind.name()));
    Ok(match kind {
        ConfigType::Boolean if trimmed.eq_ignore_ascii_case("true") => Value::Boolean(true),
        ConfigType::Boolean if trimmed.eq_ignore_ascii_case("false") => Value::Boolean(false),
        ConfigType::Boolean => {
            return Err(ConfigError::invalid(name, text, "Expected value to be either true or false"));
        }
        ConfigType::Int => Value::Int(trimmed.parse().map_err(|_| number())?),
        ConfigType::Short => Value::Short(trimmed.parse().map_err(|_| number())?),
        ConfigType::Long => Value::Long(trimmed.parse().map_err(|_| number())?),
        ConfigType::Double => Value::Double(parse_double(trimmed).ok_or_else(number)?),
        ConfigType::List if trimmed.is_empty() => Value::List(Vec::new()),
        ConfigType::List => Value::List(split_list(trimmed)),
        ConfigType::String | ConfigType::Unknown => Value::String(trimmed.to_owned()),
        ConfigType::Class => Value::Class(trimmed.to_owned()),
        ConfigType::Password => Value::Password(Secret(trimmed.to_owned())),
    })
}

fn split_list(text: &str) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for entry in text.split(',').map(str::trim) {
        if !entries.iter().any(|seen| seen == entry) {
            entries.push(entry.to_owned());
        }
    }
    entries
}

/// What a key takes, in words: type and range.
pub fn describe(key: &ConfigKey) -> String {
    let kind = key.kind.name().to_ascii_lowercase();
    let valid = key.valid.to_string();
    if valid.is_empty() { kind } else { format!("{kind}, {valid}") }
}

/// `Double.parseDouble`: a trailing `f` or `d` is part of the number, the names of the special values are Java's.
fn parse_double(text: &str) -> Option<f64> {
    let digits = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
    match text.trim_start_matches(['+', '-']) {
        "NaN" => return Some(f64::NAN),
        "Infinity" => return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        _ => {}
    }
    // Rust reads "inf" and "nan" in any case; Java does not.
    if !digits.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) {
        return None;
    }
    digits.parse().ok()
}

/// `Double.toString`: decimal between 0.001 and 10,000,000, else scientific; always one digit after the point.
fn java_double(number: f64) -> String {
    let magnitude = number.abs();
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() };
    }
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return format!("{number:?}");
    }
    let text = format!("{number:E}");
    match text.split_once('E') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0E{exponent}"),
        _ => text,
    }
}
