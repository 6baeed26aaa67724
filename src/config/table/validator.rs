//! What values a key takes, and Kafka's words when a value is not one of them.

use std::fmt;

use crate::config::error::ConfigError;
use crate::config::value::Value;

/// The check a parsed value must pass (Kafka's `ConfigDef.Validator`s).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Validator {
    Any,
    /// Integers from this value on.
    AtLeast(i64),
    /// Integers in an inclusive range.
    Between(i64, i64),
    /// Doubles in an inclusive range.
    BetweenDouble(f64, f64),
    /// Exactly one of these strings.
    OneOf(&'static [&'static str]),
    /// One of these strings in any case; null passes.
    OneOfIgnoreCase(&'static [&'static str]),
    /// A list without empty entries that may itself be empty.
    List,
    /// As `List`, with at least one entry.
    NonEmptyList,
    /// As `List`, of these entries only.
    ListOf(&'static [&'static str]),
    /// As `ListOf`, with at least one entry.
    NonEmptyListOf(&'static [&'static str]),
    NonEmptyString,
    NonNullString,
    /// 1 to 9, or -1 for the codec's own default.
    GzipLevel,
    /// `*`, or `partition:broker` pairs.
    ThrottledReplicas,
    /// `earliest`, `latest`, or `by_duration:` and an ISO-8601 duration that is not negative.
    ShareAutoOffsetReset,
    /// `id@host:port` entries.
    QuorumVoters,
    /// `host:port` entries.
    BootstrapServers,
}

impl Validator {
    /// Checks a parsed value; the error text is Kafka's.
    pub fn check(&self, name: &str, value: &Value) -> Result<(), ConfigError> {
        let text = value.to_string();
        let invalid = |message: String| Err(ConfigError::invalid(name, &text, &message).valid(self));
        match *self {
            Self::Any => Ok(()),
            Self::AtLeast(min) => match value.as_i64() {
                Some(number) if number < min => invalid(format!("Value must be at least {min}")),
                _ => Ok(()),
            },
            Self::Between(min, max) => match value.as_i64() {
                Some(number) if number < min => invalid(format!("Value must be at least {min}")),
                Some(number) if number > max => invalid(format!("Value must be no more than {max}")),
                _ => Ok(()),
            },
            Self::BetweenDouble(min, max) => match value.as_f64() {
                Some(number) if number < min => invalid(format!("Value must be at least {min}")),
                Some(number) if number > max => invalid(format!("Value must be no more than {max}")),
                _ => Ok(()),
            },
            Self::OneOf(allowed) => match value {
                Value::String(given) if allowed.contains(&given.as_str()) => Ok(()),
                _ => invalid(format!("String must be one of: {}", allowed.join(", "))),
            },
            Self::OneOfIgnoreCase(allowed) => match value {
                Value::String(given) if !allowed.iter().any(|one| one.eq_ignore_ascii_case(given)) => {
                    invalid(format!("String must be one of (case insensitive): {}", allowed.join(", ")))
                }
                _ => Ok(()),
            },
            Self::List => check_list(self, name, value, &[], true),
            Self::NonEmptyList => check_list(self, name, value, &[], false),
            Self::ListOf(allowed) => check_list(self, name, value, allowed, true),
            Self::NonEmptyListOf(allowed) => check_list(self, name, value, allowed, false),
            Self::NonEmptyString => match value {
                Value::String(given) if given.is_empty() => invalid("String must be non-empty".to_owned()),
                _ => Ok(()),
            },
            Self::NonNullString => match value {
                Value::Null => invalid("entry must be non null".to_owned()),
                _ => Ok(()),
            },
            Self::GzipLevel => match value.as_i64() {
                Some(level) if level != -1 && !(1..=9).contains(&level) => {
                    invalid("Value must be between 1 and 9 or equal to -1".to_owned())
                }
                _ => Ok(()),
            },
            Self::ThrottledReplicas => {
                let entries = value.as_list();
                if entries.len() == 1 && entries[0] == "*" || entries.iter().all(|entry| is_partition_and_broker(entry))
                {
                    return Ok(());
                }
                let message = format!(
                    "{name} must be the literal '*' or a list of replicas in the following format: \
                     [partitionId]:[brokerId],[partitionId]:[brokerId],..."
                );
                Err(ConfigError::invalid(name, &format!("[{}]", entries.join(", ")), &message).valid(self))
            }
            Self::ShareAutoOffsetReset => match value {
                Value::String(given) if is_share_offset_reset(given) => Ok(()),
                _ => invalid(format!(
                    "Invalid value `{text}` for configuration {name}. The value must be either 'earliest', 'latest' \
                     or of the format 'by_duration:<PnDTnHnMn.nS>'."
                )),
            },
            Self::QuorumVoters => value.as_list().iter().try_for_each(|entry| check_voter(self, name, entry)),
            Self::BootstrapServers => value.as_list().iter().try_for_each(|entry| {
                if is_host_and_port(entry) {
                    return Ok(());
                }
                Err(ConfigError::new(
                    name,
                    entry,
                    format!(
                        "Failed to parse host name from {entry} for the configuration {name}. Each entry should be \
                         in the form \"{{host}}:{{port}}\""
                    ),
                )
                .valid(self))
            }),
        }
    }
}

impl fmt::Display for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::AtLeast(min) => write!(f, "at least {min}"),
            Self::Between(min, max) => write!(f, "{min} to {max}"),
            Self::BetweenDouble(min, max) => write!(f, "{min} to {max}"),
            Self::OneOf(allowed) => write!(f, "one of {}", allowed.join(", ")),
            Self::OneOfIgnoreCase(allowed) => write!(f, "one of {} in any case", allowed.join(", ")),
            Self::List => write!(f, "without empty entries"),
            Self::NonEmptyList => write!(f, "at least one entry"),
            Self::ListOf(allowed) => write!(f, "any of {}", allowed.join(", ")),
            Self::NonEmptyListOf(allowed) => write!(f, "one or more of {}", allowed.join(", ")),
            Self::NonEmptyString => write!(f, "not empty"),
            Self::NonNullString => write!(f, "not null"),
            Self::GzipLevel => write!(f, "1 to 9, or -1"),
            Self::ThrottledReplicas => write!(f, "* or partition:broker pairs"),
            Self::ShareAutoOffsetReset => write!(f, "earliest, latest or by_duration:<ISO-8601 duration>"),
            Self::QuorumVoters => write!(f, "id@host:port entries"),
            Self::BootstrapServers => write!(f, "host:port entries"),
        }
    }
}

/// Kafka's `ValidList`: emptiness, then each entry; reading has dropped duplicates. Null passes.
fn check_list(
    validator: &Validator,
    name: &str,
    value: &Value,
    allowed: &[&str],
    may_be_empty: bool,
) -> Result<(), ConfigError> {
    let Value::List(entries) = value else { return Ok(()) };
    let refuse = |message: String| Err(ConfigError::new(name, &value.to_string(), message).valid(validator));
    if entries.is_empty() && !may_be_empty {
        let listed = format!("[{}]", allowed.join(", "));
        let valid = if allowed.is_empty() { "any non-empty value" } else { &listed };
        return refuse(format!("Configuration '{name}' must not be empty. Valid values include: {valid}"));
    }
    for entry in entries {
        if entry.is_empty() {
            return refuse(format!("Configuration '{name}' values must not be empty."));
        }
        if !allowed.is_empty() && !allowed.contains(&entry.as_str()) {
            let message = format!("String must be one of: {}", allowed.join(", "));
            return Err(ConfigError::invalid(name, entry, &message).valid(validator));
        }
    }
    Ok(())
}

fn check_voter(validator: &Validator, name: &str, entry: &str) -> Result<(), ConfigError> {
    let form = "Each entry should be in the form `{id}@{host}:{port}`.";
    let message = match entry.split_once('@') {
        None => format!("Invalid configuration value for {name}. {form}"),
        Some((id, _)) if id.parse::<i32>().is_err() => {
            format!("Failed to parse voter ID as an integer from {name}. {form}")
        }
        Some((_, address)) if !is_host_and_port(address) => {
            format!("Failed to parse host name from entry {entry} for the configuration {name}. {form}")
        }
        Some(_) => return Ok(()),
    };
    Err(ConfigError::new(name, entry, message).valid(validator))
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && port.parse::<u32>().is_ok()
            && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._%:[]".contains(c))
    })
}

fn is_partition_and_broker(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.split_once(':').is_some_and(|(partition, broker)| digits(partition) && digits(broker))
}

fn is_share_offset_reset(text: &str) -> bool {
    matches!(text, "earliest" | "latest") || text.strip_prefix("by_duration:").is_some_and(is_iso_duration)
}

/// `PnDTnHnMn.nS` as `java.time.Duration.parse` reads it, without a sign: at least one part, in order, each at most once.
fn is_iso_duration(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    let Some(rest) = upper.strip_prefix('P') else { return false };
    let (days, time) = match rest.split_once('T') {
        Some((days, time)) => (days, Some(time)),
        None => (rest, None),
    };
    let digits = |part: &str| !part.is_empty() && part.len() <= 18 && part.bytes().all(|b| b.is_ascii_digit());
    if !(days.is_empty() || days.strip_suffix('D').is_some_and(digits)) {
        return false;
    }
    let Some(mut time) = time else { return !days.is_empty() };
    if time.is_empty() {
        return false;
    }
    for unit in ['H', 'M'] {
        if let Some((number, rest)) = time.split_once(unit) {
            if !digits(number) {
                return false;
            }
            time = rest;
        }
    }
    let seconds = |number: &str| match number.split_once('.') {
        Some((whole, fraction)) => digits(whole) && fraction.len() <= 9 && fraction.bytes().all(|b| b.is_ascii_digit()),
        None => digits(number),
    };
    time.is_empty() || time.strip_suffix('S').is_some_and(seconds)
}
