//! Options as Kafka's tools take them: `--name value`, `--name=value`, flags, some of them more than once.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::{ToolError, usage};

/// What a command takes.
pub struct Spec {
    pub help: &'static str,
    /// Options with a value.
    pub values: &'static [&'static str],
    pub flags: &'static [&'static str],
    /// Options with a value that Kafka's tools may give or leave out.
    pub optional_values: &'static [&'static str],
}

/// Every command that talks to a broker takes these.
const CLIENT_VALUES: [&str; 3] = ["bootstrap-server", "command-config", "timeout-ms"];

/// Short forms, as Kafka has them.
const SHORT: [(&str, &str); 4] = [("-b", "bootstrap-server"), ("-t", "topic"), ("-c", "config"), ("-h", "help")];

/// The options of one call.
pub struct Options {
    given: BTreeMap<&'static str, Vec<String>>,
    /// Arguments that are no options.
    pub words: Vec<String>,
}

impl Options {
    pub fn parse(spec: &Spec, arguments: &[String]) -> Result<Options, ToolError> {
        let known = |list: &[&'static str], name: &str| list.iter().copied().find(|one| *one == name);
        let mut options = Options { given: BTreeMap::new(), words: Vec::new() };
        let mut arguments = arguments.iter().peekable();
        while let Some(argument) = arguments.next() {
            let (name, mut inline) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ => (argument.as_str(), None),
            };
            let short = SHORT.iter().find(|(short, _)| *short == name).map(|(_, long)| *long);
            let Some(name) = short.or_else(|| name.strip_prefix("--")) else {
                if name.starts_with('-') && name.len() > 1 {
                    return usage(format!("{name} is not a recognized option"));
                }
                options.words.push(argument.clone());
                continue;
            };
            if name == "help" {
                return Err(ToolError::Help(spec.help));
            }
            if let Some(name) = known(spec.values, name).or_else(|| known(&CLIENT_VALUES, name)) {
                let Some(value) = inline.take().or_else(|| arguments.next().cloned()) else {
                    return usage(format!("Option {name} requires an argument"));
                };
                options.given.entry(name).or_default().push(value);
            } else if let Some(name) = known(spec.optional_values, name) {
                let value = inline.take().or_else(|| arguments.next_if(|next| !next.starts_with("--")).cloned());
                options.given.entry(name).or_default().extend(value);
            } else if let Some(name) = known(spec.flags, name) {
                options.given.entry(name).or_default();
            } else {
                return usage(format!("{name} is not a recognized option"));
            }
        }
        Ok(options)
    }

    pub fn has(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// The value given last.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.given.get(name).and_then(|values| values.last()).map(String::as_str)
    }

    pub fn all(&self, name: &str) -> &[String] {
        self.given.get(name).map_or(&[], Vec::as_slice)
    }

    pub fn required(&self, name: &str) -> Result<&str, ToolError> {
        self.get(name).ok_or_else(|| ToolError::Usage(format!("Missing required argument \"[{name}]\"")))
    }

    pub fn number<N: FromStr>(&self, name: &str) -> Result<Option<N>, ToolError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.trim()
            .parse()
            .map(Some)
            .map_err(|_| ToolError::Usage(format!("Cannot parse argument '{text}' of option {name}")))
    }

    /// `key=value` arguments of an option that may be repeated; a key alone has an empty value, as in Kafka's tools.
    pub fn pairs(&self, name: &str) -> Result<Vec<(String, String)>, ToolError> {
        let pair = |text: &String| match text.split_once('=') {
            Some(("", _)) => usage(format!("{text} is not key=value (option {name})")),
            Some((key, value)) => Ok((key.trim().to_owned(), value.to_owned())),
            None => Ok((text.trim().to_owned(), String::new())),
        };
        self.all(name).iter().map(pair).collect()
    }

    /// That none of these is given, since it would say nothing here.
    pub fn refuse(&self, names: &[&str], beside: &str) -> Result<(), ToolError> {
        match names.iter().find(|name| self.has(name)) {
            Some(name) => usage(format!("Option \"[{name}]\" can't be used with option \"[{beside}]\"")),
            None => Ok(()),
        }
    }

    /// The one of these that is given; more or none is a mistake.
    pub fn action(&self, actions: &[&'static str]) -> Result<&'static str, ToolError> {
        let given: Vec<&'static str> = actions.iter().copied().filter(|action| self.has(action)).collect();
        match given[..] {
            [one] => Ok(one),
            _ => usage(format!("Command must include exactly one action: --{}", actions.join(", --"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: Spec =
        Spec { help: "help", values: &["topic", "config", "property"], flags: &["list"], optional_values: &["state"] };

    fn parse(line: &str) -> Result<Options, ToolError> {
        Options::parse(&SPEC, &line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn every_form_is_read() {
        let options =
            parse("--topic a --topic=b --list --property k=v=w -b h:1 --state --config x word").expect("parsed");
        assert_eq!(options.get("topic"), Some("b"));
        assert_eq!(options.all("topic"), ["a", "b"]);
        assert!(options.has("list") && options.has("state"));
        assert_eq!(options.get("state"), None);
        assert_eq!(options.pairs("property").expect("pairs"), [("k".to_owned(), "v=w".to_owned())]);
        assert_eq!(options.get("bootstrap-server"), Some("h:1"));
        assert_eq!(options.words, ["word"]);
        assert_eq!(parse("--state stable").expect("parsed").get("state"), Some("stable"));
    }

    #[test]
    fn mistakes_are_named() {
        for (line, word) in [("--what", "what"), ("--topic", "topic"), ("-x", "-x")] {
            match parse(line) {
                Err(ToolError::Usage(why)) => assert!(why.contains(word), "{why}"),
                _ => panic!("{line} is accepted"),
            }
        }
        assert!(matches!(parse("--help"), Err(ToolError::Help("help"))));
        assert!(parse("--topic a").expect("parsed").number::<i32>("topic").is_err());
        assert!(parse("--list --state").expect("parsed").action(&["list", "state"]).is_err());
    }
}
