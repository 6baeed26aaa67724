use super::*;
use crate::coordinator::consumer::subscription::compile;

fn join_regex(id: &str, regex: &str) -> HeartbeatRequest {
    HeartbeatRequest { subscribed_topics: None, subscribed_regex: Some(regex.into()), ..join(id, &[]) }
}

#[test]
fn an_expression_is_resolved_after_the_first_heartbeat() {
    let mut bench = Bench::new(&[("foo-1", 1), ("foo-2", 1), ("bar", 1)]);
    let answer = bench.ok(&join_regex("a", "foo-.*"));
    assert_eq!((answer.member_epoch, answer.assignment), (1, Some(Assignment::new())));
    assert_eq!(bench.group.epoch(), 2);
    let mut both = bench.topics.some("foo-1", &[0]);
    both.extend(bench.topics.some("foo-2", &[0]));
    let answer = bench.ok(&beat("a", 1));
    assert_eq!((answer.member_epoch, answer.assignment), (2, Some(both)));
}

#[test]
fn new_topics_are_found_at_the_next_heartbeat() {
    let mut bench = Bench::new(&[("foo-1", 1)]);
    bench.ok(&join_regex("a", "foo-.*"));
    bench.ok(&beat("a", 1));
    let records = bench.log.len();
    bench.topics.create("bar", 1);
    bench.ok(&beat("a", 2));
    assert_eq!(bench.log.len(), records, "a topic that does not match leaves no trace");
    bench.topics.create("foo-2", 1);
    bench.ok(&beat("a", 2));
    let answer = bench.ok(&beat("a", 2));
    assert_eq!((answer.member_epoch, answer.assignment.map(|a| a.len())), (3, Some(2)));
    assert!(bench.group.is_subscribed_to("foo-2") && !bench.group.is_subscribed_to("bar"));
}

#[test]
fn a_known_expression_helps_a_second_member_at_once() {
    let mut bench = Bench::new(&[("t", 2)]);
    bench.ok(&join_regex("a", "t"));
    bench.ok(&beat("a", 1));
    let answer = bench.ok(&join_regex("b", "t"));
    assert_eq!(answer.member_epoch, 3);
    bench.ok(&beat("a", 2));
    bench.ok(&owning("a", 2, bench.topics.some("t", &[0])));
    assert_eq!(bench.ok(&beat("b", 3)).assignment, Some(bench.topics.some("t", &[1])));
}

#[test]
fn an_expression_that_nobody_uses_is_forgotten() {
    let mut bench = Bench::new(&[("t", 1), ("u", 1)]);
    bench.ok(&join_regex("a", "t"));
    bench.ok(&beat("a", 1));
    let t = bench.topics.some("t", &[0]);
    let change = HeartbeatRequest { subscribed_regex: Some("u".into()), ..owning("a", 2, t) };
    let answer = bench.ok(&change);
    assert_eq!(answer.assignment, Some(t_after_change()), "what is not subscribed any more is given up at once");
    assert_eq!(bench.group.resolved.keys().collect::<Vec<_>>(), ["u"]);
    let answer = bench.ok(&owning("a", 2, Assignment::new()));
    assert_eq!(answer.assignment, Some(bench.topics.some("u", &[0])));
    bench.ok(&beat("a", -1));
    assert!(bench.group.resolved.is_empty());
}

fn t_after_change() -> Assignment {
    Assignment::new()
}

#[test]
fn leaving_the_expression_for_names_works_in_one_step() {
    let mut bench = Bench::new(&[("t", 1)]);
    bench.ok(&join_regex("a", "t"));
    bench.ok(&beat("a", 1));
    let names = HeartbeatRequest {
        subscribed_regex: Some(String::new()),
        subscribed_topics: Some(vec!["t".into()]),
        ..owning("a", 2, bench.topics.some("t", &[0]))
    };
    let answer = bench.ok(&names);
    assert_eq!(answer.member_epoch, 3);
    assert_eq!(bench.member("a").assigned, bench.topics.some("t", &[0]), "nothing moved");
}

#[test]
fn resolved_topics_are_refreshed_in_time() {
    let mut bench = Bench::new(&[("t", 1)]);
    bench.limits.session_timeout_ms = i32::MAX;
    bench.ok(&join_regex("a", "t"));
    bench.ok(&beat("a", 1));
    let before = bench.group.resolved["t"].resolved_at_ms;
    bench.advance(600_000);
    bench.ok(&beat("a", 2));
    assert_eq!(bench.group.resolved["t"].resolved_at_ms, before);
    bench.advance(1);
    bench.ok(&beat("a", 2));
    assert_eq!(bench.group.resolved["t"].resolved_at_ms, before + 600_001);
    assert_eq!(bench.group.epoch(), 2, "without a rebalance");
}

#[test]
fn expressions_match_whole_names_as_re2_does() {
    let matches = |regex: &str, name: &str| compile(regex).expect("valid").is_match(name);
    assert!(matches("a|ab", "ab"));
    assert!(!matches("a", "ab") && !matches("b", "ab"));
    assert!(matches(r"\Qa.b\E.*", "a.b-c") && !matches(r"\Qa.b\E", "axb"));
    assert!(matches(r"a\\Qb|x", "x"), "an escaped backslash does not begin a quote");
    assert!(matches("(?i)FOO", "foo"));
    let message = |regex: &str| compile(regex).expect_err("invalid").message;
    for (regex, why) in [
        ("[a", "missing closing ]"),
        ("(a", "missing closing )"),
        ("*a", "missing argument to repetition operator"),
        ("a\\", "trailing backslash at end of expression"),
        (r"a\8", "invalid escape sequence"),
        ("(?=a)", "invalid or unsupported Perl syntax"),
        ("[z-a]", "invalid character class range"),
        ("a{2,1}", "invalid repeat count"),
    ] {
        assert_eq!(message(regex), format!("SubscribedTopicRegex `{regex}` is not a valid regular expression: {why}."));
    }
    assert!(compile("a)|(b").is_err(), "our own parentheses do not mend it");
    assert!(compile("((a{500}){500}){500}").is_err(), "too large");

    let mut bench = Bench::new(&[]);
    assert_eq!(bench.refused(&join_regex("a", "[")), GroupError::InvalidRegularExpression);
}

#[test]
fn no_epoch_of_its_own_for_topics_that_change_before_the_expression_is_resolved() {
    let mut bench = Bench::new(&[("t", 1), ("u", 1)]);
    bench.ok(&join_regex("a", "t"));
    bench.ok(&beat("a", 1));
    bench.resolves = false;
    let t = bench.topics.some("t", &[0]);
    bench.ok(&HeartbeatRequest { subscribed_regex: Some("u".into()), ..owning("a", 2, t) });
    bench.topics.create("other", 1);
    bench.ok(&owning("a", 2, Assignment::new()));
    assert_eq!(bench.group.epoch, 2);
}
