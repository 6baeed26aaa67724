use super::*;

const TIMEOUT_MS: i32 = 60_000;

fn next_of(init: Init) -> Transaction {
    match init {
        Init::Next(next) => next,
        other => panic!("{other:?}"),
    }
}

fn prepared_of(end: End) -> Transaction {
    match end {
        End::Prepared(next) => next,
        other => panic!("{other:?}"),
    }
}

fn new() -> Transaction {
    next_of(init(None, TIMEOUT_MS, None, Some(7), 1).expect("initialised"))
}

fn producer(transaction: &Transaction) -> Producer {
    Producer { id: transaction.producer_id, epoch: transaction.producer_epoch }
}

fn begun(transaction: &Transaction, version: TransactionVersion) -> Transaction {
    let partitions = [("t".to_owned(), 0)];
    let begun = transaction.with_partitions(producer(transaction), partitions.iter(), version, 5);
    begun.expect("added").expect("it begins")
}

/// A transaction of the second protocol, with the epoch set.
fn begun_in(epoch: i16) -> Transaction {
    begun(&Transaction { producer_epoch: epoch, ..new() }, TransactionVersion::V2)
}

#[test]
fn an_id_that_nobody_knows_needs_a_producer_id() {
    assert_eq!(init(None, TIMEOUT_MS, None, None, 1), Ok(Init::NeedsProducerId));
    let first = new();
    assert_eq!((first.producer_id, first.producer_epoch, first.state), (7, 0, State::Empty));
    let second = next_of(init(Some(&first), TIMEOUT_MS, None, None, 2).expect("initialised"));
    assert_eq!((second.producer_id, second.producer_epoch), (7, 1));
}

#[test]
fn a_producer_that_says_who_it_was_may_ask_twice() {
    let first = new();
    let expected = Some(producer(&first));
    let second = next_of(init(Some(&first), TIMEOUT_MS, expected, None, 2).expect("bumped"));
    let again = next_of(init(Some(&second), TIMEOUT_MS, expected, None, 3).expect("the same answer"));
    assert_eq!((second.producer_epoch, again.producer_epoch), (1, 1));
    let third = next_of(init(Some(&second), TIMEOUT_MS, None, None, 4).expect("another takes it"));
    assert_eq!(init(Some(&third), TIMEOUT_MS, expected, None, 5), Err(TransactionError::ProducerFenced));
}

#[test]
fn an_open_transaction_is_aborted_in_an_epoch_that_nobody_has() {
    let open = begun(&new(), TransactionVersion::V1);
    let Ok(Init::AbortFirst(fenced)) = init(Some(&open), TIMEOUT_MS, None, None, 9) else { panic!("it is open") };
    assert_eq!((fenced.state, fenced.producer_epoch), (State::PrepareAbort, 1));
    assert_eq!(init(Some(&fenced), TIMEOUT_MS, None, None, 9), Err(TransactionError::ConcurrentTransactions));
    let ended = fenced.completed(10);
    assert_eq!((ended.state, ended.producer_epoch), (State::CompleteAbort, 1));
    let zombie = producer(&open);
    // Whatever it asks by the second protocol looks like a retry of the abort.
    assert_eq!(ended.end(zombie, true, TransactionVersion::V2, None, 11), Err(TransactionError::InvalidTxnState));
    assert_eq!(ended.end(zombie, false, TransactionVersion::V2, None, 11), Ok(End::Already));
    assert_eq!(ended.end(zombie, true, TransactionVersion::V1, None, 11), Err(TransactionError::ProducerFenced));
}

#[test]
fn the_second_protocol_tells_retries_by_their_epoch() {
    use TransactionVersion::V2;
    let open = begun_in(3);
    let asked = producer(&open);
    for commit in [true, false] {
        let prepared = prepared_of(open.end(asked, commit, V2, None, 6).expect("ended"));
        assert_eq!((prepared.producer_epoch, prepared.last_producer_epoch), (4, 3));
        assert_eq!(prepared.end(asked, commit, V2, None, 7), Err(TransactionError::ConcurrentTransactions));
        assert_eq!(prepared.end(asked, !commit, V2, None, 7), Err(TransactionError::InvalidTxnState));
        let ended = prepared.completed(8);
        let now = producer(&ended);
        assert_eq!(ended.end(asked, commit, V2, None, 9), Ok(End::Already));
        assert_eq!(ended.end(asked, !commit, V2, None, 9), Err(TransactionError::InvalidTxnState));
        assert_eq!(ended.end(now, true, V2, None, 9), Err(TransactionError::InvalidTxnState));
        // An abort of nothing still takes an epoch.
        let nothing = prepared_of(ended.end(now, false, V2, None, 9).expect("aborted")).completed(10);
        assert_eq!((nothing.state, nothing.producer_epoch), (State::CompleteAbort, 5));
        let later = Producer { epoch: 9, ..now };
        assert_eq!(ended.end(later, commit, V2, None, 9), Err(TransactionError::ProducerFenced));
    }
}

#[test]
fn after_the_last_epoch_comes_another_producer_id() {
    use TransactionVersion::V2;
    let open = begun_in(EPOCH_MAX);
    let asked = producer(&open);
    assert_eq!(open.end(asked, true, V2, None, 6), Ok(End::NeedsProducerId));
    let prepared = prepared_of(open.end(asked, true, V2, Some(8), 6).expect("ended"));
    assert_eq!((prepared.producer_id, prepared.producer_epoch), (7, i16::MAX), "the epoch of the markers");
    let ended = prepared.completed(7);
    assert_eq!((ended.producer_id, ended.producer_epoch), (8, 0));
    assert_eq!(ended.end(asked, true, V2, None, 8), Ok(End::Already), "the answer was lost");
    // Fenced in the last epoch there is no higher one; the next producer has another id.
    let fenced = open.fenced(9).completed(10);
    assert_eq!(fenced.producer_epoch, i16::MAX);
    assert_eq!(init(Some(&fenced), TIMEOUT_MS, None, None, 11), Ok(Init::NeedsProducerId));
    let next = next_of(init(Some(&fenced), TIMEOUT_MS, None, Some(9), 11).expect("initialised"));
    assert_eq!((next.producer_id, next.producer_epoch), (9, 0));
}

/// No order of requests leaves a state without a way on, gives an epoch twice to different producers, or goes back.
#[test]
fn no_order_of_requests_gives_an_epoch_twice() {
    let mut seed = 1u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for round in 0..200 {
        let mut known = Transaction { producer_epoch: EPOCH_MAX - 6, ..new() };
        let mut next_id = 100;
        let mut given = vec![producer(&known)];
        for step in 0..60 {
            let who = given[random(given.len() as u64) as usize];
            let version = if random(2) == 0 { TransactionVersion::V1 } else { TransactionVersion::V2 };
            let before = producer(&known);
            match random(4) {
                0 => {
                    let expected = (random(2) == 0).then_some(who);
                    next_id += 1;
                    match init(Some(&known), TIMEOUT_MS, expected, Some(next_id), step) {
                        Ok(Init::Next(next)) => {
                            known = next;
                            given.push(producer(&known));
                        }
                        Ok(Init::AbortFirst(next)) => known = next,
                        Ok(Init::NeedsProducerId) => panic!("it was given one"),
                        Err(_) => {}
                    }
                }
                1 => {
                    let partitions = [("t".to_owned(), random(3) as i32)];
                    if let Ok(Some(next)) = known.with_partitions(who, partitions.iter(), version, step) {
                        assert_eq!(who, before, "round {round}, step {step}");
                        known = next;
                    }
                }
                2 => {
                    next_id += 1;
                    if let Ok(End::Prepared(next)) = known.end(who, random(2) == 0, version, Some(next_id), step) {
                        assert_eq!(who, before, "round {round}, step {step}");
                        known = next;
                    }
                }
                _ if known.state.is_prepared() => {
                    let marker = known.producer_epoch;
                    known = known.completed(step);
                    assert!(known.partitions.is_empty() && known.next_producer_id.is_none());
                    if known.version == TransactionVersion::V2 && known.producer_id == before.id {
                        assert_eq!(known.producer_epoch, marker);
                    }
                    given.push(producer(&known));
                }
                _ => {}
            }
            let now = producer(&known);
            let goes_on = now.id > before.id || (now.id == before.id && now.epoch >= before.epoch);
            assert!(goes_on, "round {round}, step {step}: {before:?} to {now:?}");
        }
    }
}
