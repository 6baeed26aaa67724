//! Kafka Streams with processing.guarantee=exactly_once_v2.

use std::collections::BTreeMap;

use compat_tests::batch::Batch;
use compat_tests::broker::Broker;
use compat_tests::wire::Client;
use compat_tests::{Random, unique, wait_until};

use crate::program::{Program, class_path, needs_tools};
use crate::{LIMIT, crash, read_committed};

const PARTITIONS: i32 = 2;
const LINES_PER_ROUND: usize = 150;
const WORDS_PER_LINE: usize = 8;
const DIFFERENT_WORDS: usize = 97;

struct Books {
    random: Random,
    input: String,
    output: String,
    /// How often each word was fed.
    counts: BTreeMap<String, u64>,
}

impl Books {
    /// Some lines more.
    fn feed(&mut self, client: &mut Client) {
        for partition in 0..PARTITIONS {
            let lines: Vec<_> = (0..LINES_PER_ROUND / 2).map(|_| self.line()).collect();
            client.must_produce(&self.input, partition, &Batch::of_values(lines));
        }
    }

    fn line(&mut self) -> String {
        let words: Vec<_> =
            (0..WORDS_PER_LINE).map(|_| format!("word-{}", self.random.below(DIFFERENT_WORDS))).collect();
        words.iter().for_each(|word| *self.counts.entry(word.clone()).or_default() += 1);
        words.join(" ")
    }

    fn fed(&self) -> u64 {
        self.counts.values().sum()
    }

    fn written(&self, client: &mut Client) -> i64 {
        (0..PARTITIONS).map(|partition| client.offset_at(&self.output, partition, -1)).sum()
    }

    /// Waits until the program is in the middle of the last round.
    fn wait_for_half(&self, client: &mut Client, before: i64) {
        let half = before + (LINES_PER_ROUND * WORDS_PER_LINE / 2) as i64;
        wait_until("half of the round is counted", LIMIT, || self.written(client) > half);
    }
}

/// The latest count of each word. Each word's counts come one by one: none is missing, none comes twice.
#[track_caller]
fn latest(shown: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for line in shown.lines() {
        let (word, count) = line.split_once('\t').expect("word and count");
        let last = counts.entry(word.to_owned()).or_insert(0);
        *last += 1;
        assert_eq!(count, last.to_string(), "{word}");
    }
    counts
}

#[test]
fn a_word_count_over_kills_of_both_sides() {
    needs_tools!();
    let path = class_path!(STREAMS);
    let mut broker = Broker::start();
    let mut books =
        Books { random: Random::new(7), input: unique("words"), output: unique("counts"), counts: BTreeMap::new() };
    let mut client = broker.client();
    for topic in [&books.input, &books.output] {
        assert_eq!(client.create_topic(topic, PARTITIONS, &[]).expect("answered"), 0);
    }
    let state = tempfile::tempdir().expect("a temporary directory");
    let (bootstrap, application) = (broker.bootstrap(), unique("word-count"));
    let (input, output) = (books.input.clone(), books.output.clone());
    let arguments = [&*bootstrap, &application, &input, &output, state.path().to_str().expect("UTF-8")];
    let start = || Program::start(&path, "WordCount", &arguments);

    books.feed(&mut client);
    let streams = start();
    books.wait_for_half(&mut client, 0);
    crash(&mut broker);
    let mut client = broker.client();
    books.feed(&mut client);
    let before = books.written(&mut client);
    books.wait_for_half(&mut client, before);
    streams.kill();
    books.feed(&mut client);
    let streams = start();
    let before = books.written(&mut client);
    books.wait_for_half(&mut client, before);
    crash(&mut broker);
    books.feed(&mut broker.client());

    let shown = read_committed(&broker, &output, books.fed() as usize, "print.key=true");
    assert_eq!(latest(&shown), books.counts);
    streams.kill();
}
