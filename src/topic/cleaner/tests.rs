use std::collections::BTreeMap;

use super::*;
use crate::config::BrokerConfig;

fn cleanable(clean_bytes: u64, dirty_bytes: u64, overdue: bool) -> Cleanable {
    Cleanable { first_dirty: 0, first_uncleanable: 10, clean_bytes, dirty_bytes, overdue }
}

#[test]
fn a_log_is_cleaned_above_the_ratio_or_when_it_has_waited_too_long() {
    let broker = DynamicBrokerConfig::new(Arc::new(BrokerConfig::defaults()));
    let overrides = BTreeMap::from([("min.cleanable.dirty.ratio".to_owned(), "0.5".to_owned())]);
    let config = TopicConfig::resolve(&broker, &overrides);
    assert!(!is_worth_it(&cleanable(50, 50, false), &config), "at the ratio, not above it");
    assert!(is_worth_it(&cleanable(49, 50, false), &config));
    assert!(is_worth_it(&cleanable(90, 10, true), &config));
    assert!(!is_worth_it(&cleanable(90, 0, true), &config), "nothing is dirty");
    let none = TopicConfig { min_cleanable_dirty_ratio: 0.0, ..config };
    assert!(is_worth_it(&cleanable(1_000_000, 1, false), &none));
    assert!(!is_worth_it(&cleanable(1_000_000, 0, false), &none));
}

#[test]
fn bytes_go_at_their_rate_and_a_stop_ends_the_wait() {
    let clock = Clock::system();
    let mut pace = Pace::new(clock.clone());
    let begun = clock.instant();
    for _ in 0..10 {
        assert!(pace.step(10_000, 1_000_000.0, || false).is_continue());
    }
    let taken = clock.instant() - begun;
    assert!(taken >= Duration::from_millis(99), "100,000 bytes at a million a second: {taken:?}");
    let mut slow = Pace::new(clock.clone());
    let begun = clock.instant();
    let stopped = slow.step(1 << 40, 1.0, || clock.instant() - begun > Duration::from_millis(20));
    assert!(stopped.is_break());
    assert!(clock.instant() - begun < Duration::from_secs(10), "not for the whole wait");
    let mut free = Pace::new(clock.clone());
    let begun = clock.instant();
    assert!(free.step(1 << 40, f64::MAX, || false).is_continue());
    assert!(clock.instant() - begun < Duration::from_secs(1), "no rate is no wait");
}
