//! What members subscribe to: topic names, expressions, and the topics these stand for now.
//!
//! Expressions are RE2's, matched against the whole name (KIP-848; Kafka uses RE2/J). They are resolved apart from the
//! heartbeat that brings them, as in Kafka, and again at the first heartbeat after topics changed.

use std::collections::{BTreeMap, BTreeSet};

use regex::{Regex, RegexBuilder};

use super::effect::Outcome;
use super::error::{GroupError, Refusal};
use super::member::Member;
use super::records::{Change, ResolvedRegex};
use super::{ConsumerGroup, Moment};
use crate::base::TopicId;

/// Largest compiled expression.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// The topics of the cluster at one moment.
pub trait TopicView {
    /// Grows with every topic that is created, grown or deleted. Starts anywhere.
    fn version(&self) -> u64;
    /// Id and number of partitions.
    fn topic(&self, name: &str) -> Option<(TopicId, i32)>;
    fn topic_name(&self, id: TopicId) -> Option<String>;
    fn names(&self) -> Vec<String>;
}

/// Compiles an expression.
///
/// Errors: INVALID_REGULAR_EXPRESSION, worded as RE2/J does where it has a word for it.
pub fn compile(pattern: &str) -> Result<Regex, Refusal> {
    if let Some(why) = unlike_re2(pattern) {
        let message = format!("SubscribedTopicRegex `{pattern}` is not a valid regular expression: {why}.");
        return Err(Refusal::new(GroupError::InvalidRegularExpression, message));
    }
    let translated = literal_quotes(pattern);
    // The parentheses added below must not mend a broken expression.
    build(&translated).and_then(|_| build(&format!(r"\A(?:{translated})\z"))).map_err(|error| {
        let message =
            format!("SubscribedTopicRegex `{pattern}` is not a valid regular expression: {}.", describe(&error));
        Refusal::new(GroupError::InvalidRegularExpression, message)
    })
}

/// What RE2 refuses and the crate does not: a repetition of a repetition, and Java's names of properties.
fn unlike_re2(pattern: &str) -> Option<&'static str> {
    let (mut in_class, mut repeated) = (false, false);
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        let was_repeated = std::mem::take(&mut repeated);
        match c {
            '\\' => {
                let from = rest.as_str();
                if from.starts_with("p{Is") || from.starts_with("P{Is") {
                    return Some("invalid character class range");
                }
                rest.next();
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '*' | '+' | '?' if !in_class => {
                if was_repeated {
                    return Some("invalid nested repetition operator");
                }
                repeated = true;
                // A question mark after it makes it lazy, and is no repetition of its own.
                if rest.as_str().starts_with('?') {
                    rest.next();
                }
            }
            _ => {}
        }
    }
    None
}

fn build(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(COMPILED_BYTES_MAX).build()
}

/// Spells out `\Q...\E`, which RE2 knows and the crate does not.
fn literal_quotes(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        if let Some(quoted) = from.strip_prefix(r"\Q") {
            let (literal, after) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
            out.push_str(&regex::escape(literal));
            rest = after;
        } else {
            // Whatever is escaped is taken with its backslash, so that the second of two does not escape again.
            let end = from.char_indices().nth(2).map_or(from.len(), |(i, _)| i);
            out.push_str(&from[..end]);
            rest = &from[end..];
        }
    }
    out + rest
}

/// RE2/J's words for what the crate found.
fn describe(error: &regex::Error) -> String {
    const WORDS: &[(&str, &str)] = &[
        ("unclosed character class", "missing closing ]"),
        ("unclosed group", "missing closing )"),
        ("unopened group", "regexp/syntax: internal error"),
        ("repetition operator missing expression", "missing argument to repetition operator"),
        ("incomplete escape sequence", "trailing backslash at end of expression"),
        ("unrecognized escape sequence", "invalid escape sequence"),
        ("backreferences are not supported", "invalid escape sequence"),
        ("look-around", "invalid or unsupported Perl syntax"),
        ("unrecognized flag", "invalid or unsupported Perl syntax"),
        ("invalid character class range", "invalid character class range"),
        ("Unicode property", "invalid character class range"),
        ("invalid repetition count range", "invalid repeat count"),
    ];
    let text = error.to_string();
    match WORDS.iter().find(|(ours, _)| text.contains(ours)) {
        Some((_, theirs)) => (*theirs).into(),
        None => text.lines().last().unwrap_or_default().trim_start_matches("error: ").into(),
    }
}

/// The existing topics that a member subscribes to, with their partition counts.
pub(super) fn topics_of<'a>(
    member: &'a Member,
    resolved: &'a BTreeMap<String, ResolvedRegex>,
    topics: &'a dyn TopicView,
) -> impl Iterator<Item = (TopicId, i32)> + 'a {
    let matched = member.regex().and_then(|r| resolved.get(r)).map_or(&[][..], |r| &r.topics);
    member.subscribed_topics.iter().chain(matched).filter_map(|name| topics.topic(name))
}

pub(super) fn topic_ids(
    member: &Member,
    resolved: &BTreeMap<String, ResolvedRegex>,
    topics: &dyn TopicView,
) -> BTreeSet<TopicId> {
    topics_of(member, resolved, topics).map(|(id, _)| id).collect()
}

/// A hash of the existing topics that `members` subscribe to; 0 without any. Kafka's is another function of the same
/// things; neither is ever compared with the other but once, when one opens the other's directory.
pub(super) fn metadata_hash<'a>(
    members: impl Iterator<Item = &'a Member>,
    resolved: &'a BTreeMap<String, ResolvedRegex>,
    topics: &dyn TopicView,
) -> i64 {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for member in members {
        names.extend(member.subscribed_topics.iter().map(String::as_str));
        if let Some(regex) = member.regex().and_then(|r| resolved.get(r)) {
            names.extend(regex.topics.iter().map(String::as_str));
        }
    }
    let mut hash = None;
    for name in names {
        let Some((id, partitions)) = topics.topic(name) else { continue };
        let state = hash.get_or_insert(FNV_OFFSET);
        for byte in id.0.as_bytes().iter().chain(&partitions.to_be_bytes()).chain(name.as_bytes()) {
            *state = (*state ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
        }
    }
    hash.unwrap_or(0) as i64
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

impl ConsumerGroup {
    /// Members as they will be once `updated` is in, in place of the one with its id or its instance id.
    pub(super) fn members_with<'a>(&'a self, updated: &'a Member) -> impl Iterator<Item = &'a Member> {
        let replaced = updated.instance_id.as_ref().and_then(|i| self.static_members.get(i));
        let stays = move |m: &&Member| m.id != updated.id && Some(&m.id) != replaced;
        self.members.values().filter(stays).chain(std::iter::once(updated))
    }

    /// How many members use an expression.
    pub(super) fn regex_users(&self, regex: &str) -> usize {
        self.members.values().filter(|m| m.regex() == Some(regex)).count()
    }

    /// Whether a topic that appears, grows or goes concerns this group.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.members.values().any(|m| m.subscribed_topics.contains(topic))
            || self.resolved.values().any(|r| r.topics.binary_search_by(|t| t.as_str().cmp(topic)).is_ok())
    }
}

/// What a heartbeat did to the expression of its member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RegexChange {
    None,
    Changed,
    /// Changed to one whose topics are known, or to none.
    ChangedAndResolved,
}

/// Looks at a member's expression before and after: records for one that nobody uses any more, and whether the
/// group's expressions want to be resolved.
pub(super) fn update_regex(
    group: &ConsumerGroup,
    old: &Member,
    new: &Member,
    at: &Moment,
    records: &mut Vec<Change>,
) -> Result<(RegexChange, bool), Refusal> {
    let mut change = RegexChange::None;
    let mut wanted = false;
    if old.subscribed_regex != new.subscribed_regex {
        change = RegexChange::Changed;
        if let Some(regex) = old.regex()
            && group.regex_users(regex) == 1
        {
            records.push(Change::Regex { regex: regex.into(), value: None });
        }
        match new.regex() {
            Some(regex) if group.regex_users(regex) == 0 => {
                compile(regex)?;
                wanted = true;
            }
            Some(regex) if group.resolved.contains_key(regex) => change = RegexChange::ChangedAndResolved,
            Some(_) => {}
            None if old.regex().is_some() => change = RegexChange::ChangedAndResolved,
            None => {}
        }
    }
    if old.regex().is_none() && new.regex().is_none() && group.resolved.is_empty() {
        // Nobody has an expression: whoever brings one has it resolved at once.
        return Ok((change, false));
    }
    let used: BTreeSet<&str> = group.members_with(new).filter_map(Member::regex).collect();
    wanted |= used.len() != group.resolved.len();
    wanted |= group.seen.regexes != Some(at.topics.version());
    wanted |= group.resolved.values().any(|r| is_due(r, at));
    Ok((change, wanted && !used.is_empty()))
}

fn is_due(resolved: &ResolvedRegex, at: &Moment) -> bool {
    at.now_ms > resolved.resolved_at_ms + at.limits.regex_refresh_ms
}

/// Resolves all expressions of a group: what the effect `ResolveRegexes` asks for. The members learn of it at their next
/// heartbeats. An expression whose topics have not changed is recorded again only when a refresh is due.
pub fn resolve_regexes(group: &mut ConsumerGroup, at: &Moment) -> Outcome<()> {
    let mut outcome = Outcome { records: Vec::new(), response: (), effects: Vec::new() };
    let version = at.topics.version();
    let used: BTreeSet<&str> = group.members.values().filter_map(Member::regex).collect();
    if used.is_empty() {
        return outcome;
    }
    let names = at.topics.names();
    let mut resolved = group.resolved.clone();
    let mut bump = false;
    for regex in used {
        let matched = matching(regex, &names);
        let old = group.resolved.get(regex);
        let changed = old.map_or(&[][..], |r| &r.topics) != matched;
        bump |= changed;
        if old.is_some_and(|old| !changed && !is_due(old, at)) {
            continue;
        }
        let value = ResolvedRegex { topics: matched, version: version as i64, resolved_at_ms: at.now_ms };
        resolved.insert(regex.into(), value.clone());
        outcome.records.push(Change::Regex { regex: regex.into(), value: Some(value) });
    }
    let hash = metadata_hash(group.members.values(), &resolved, at.topics);
    if bump || hash != group.metadata_hash {
        outcome.records.push(Change::group(group.epoch + 1, hash));
        group.seen.metadata = Some((version, group.epoch + 1));
    }
    group.seen.regexes = Some(version);
    outcome
}

/// Names that match, sorted. An expression that this release cannot compile, written by another one, matches nothing.
fn matching(regex: &str, names: &[String]) -> Vec<String> {
    let Ok(compiled) = compile(regex) else { return Vec::new() };
    let mut matched: Vec<String> = names.iter().filter(|n| compiled.is_match(n)).cloned().collect();
    matched.sort_unstable();
    matched
}
