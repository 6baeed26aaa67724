//! What readers see of transactions: the last stable offset, aborted transactions, look-ups, wake-ups.

use crate::batch::{batch, value};
use crate::play::{Done, LONG_WAIT_MS, Play, Topic};
use crate::run::{Scenario, scenario};
use crate::scenarios::requests::{delete_records, fetch, from, list_offsets};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("transactions/read-every-version", every_version),
        scenario("transactions/read-aborted", aborted),
        scenario("transactions/read-look-ups", look_ups),
        scenario("transactions/read-wakes", wakes),
        scenario("transactions/read-after-delete-records", after_delete_records),
    ]
}

const COMMITTED: i8 = 1;

fn plain(play: &mut Play, topic: &Topic, text: &str) -> Done {
    let records = batch(play.t(), vec![value(text)]);
    play.append(topic, 0, records).map(drop)
}

/// An open transaction holds back what lies behind it.
fn every_version(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let producer = play.producer("id")?;
    let look = |play: &mut Play| -> Done {
        for version in 4..=18 {
            for offset in [0, 1, 2] {
                let committed = fetch(version, &t, vec![from(0, offset)]).with_isolation_level(COMMITTED);
                play.ask(&format!("committed records from {offset}"), version, committed)?;
            }
        }
        play.ask("uncommitted records", 12, fetch(12, &t, vec![from(0, 0)])).map(drop)
    };
    plain(play, &t, "before")?;
    play.append_in(&producer, &t, 0, 0, "in it")?;
    plain(play, &t, "behind it")?;
    look(play)?;
    play.end(&producer, false)?;
    look(play)
}

/// Which aborted transactions a reader is told of, from every offset.
fn aborted(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let (a, b, c) = (play.producer("a")?, play.producer("b")?, play.producer("c")?);
    play.append_in(&a, &t, 0, 0, "a, aborted")?;
    play.append_in(&b, &t, 0, 0, "b, committed")?;
    play.append_in(&c, &t, 0, 0, "c, aborted late")?;
    play.end(&a, false)?;
    plain(play, &t, "plain")?;
    play.end(&b, true)?;
    play.append_in(&a, &t, 0, 1, "a, aborted again")?;
    play.append_in(&a, &t, 0, 2, "a, aborted again")?;
    let from_everywhere = |play: &mut Play, ends: i64| -> Done {
        for offset in 0..ends {
            let committed = fetch(12, &t, vec![from(0, offset)]).with_isolation_level(COMMITTED);
            play.ask(&format!("from {offset}"), 12, committed)?;
        }
        Ok(())
    };
    from_everywhere(play, 9)?;
    play.end(&a, false)?;
    from_everywhere(play, 10)?;
    play.end(&c, false)?;
    from_everywhere(play, 11)?;
    let small = from(0, 0).with_partition_max_bytes(100);
    play.ask("only the first batch", 12, fetch(12, &t, vec![small]).with_isolation_level(COMMITTED))?;
    Ok(())
}

fn look_ups(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let producer = play.producer("id")?;
    let ask = |play: &mut Play| -> Done {
        for version in [2, 7, 10] {
            for isolation in [0, 1] {
                let base = play.t();
                for at in [-1, -2, -3, base, base + 1, base + 5] {
                    if at == -3 && version < 7 {
                        continue;
                    }
                    let request = list_offsets(&t, &[(0, at)]).with_isolation_level(isolation);
                    let at = if at < 0 { at.to_string() } else { format!("T+{}", at - base) };
                    play.ask(&format!("{at} at isolation {isolation}"), version, request)?;
                }
            }
        }
        Ok(())
    };
    plain(play, &t, "before")?;
    let records = producer.records(play.t() + 1, 0, "in it").bytes();
    play.quiet(3, producer.add(3, &[(&t, &[0])]))?;
    play.quiet(9, producer.produce_to(9, &t, vec![(0, records)]))?;
    ask(play)?;
    play.end(&producer, true)?;
    ask(play)
}

/// A marker wakes those who wait for committed records; a batch of an open transaction does not.
fn wakes(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let producer = play.producer("id")?;
    let waiting = || fetch(12, &t, vec![from(0, 0)]).with_isolation_level(COMMITTED).with_max_wait_ms(LONG_WAIT_MS);
    for commit in [true, false] {
        let sequence = if commit { 0 } else { 1 };
        let request = || fetch(12, &t, vec![from(0, i64::from(sequence) * 2)]);
        let request = request().with_isolation_level(COMMITTED).with_max_wait_ms(LONG_WAIT_MS);
        let first = play.park("reader", 12, request)?;
        play.append_in(&producer, &t, 0, sequence, "in it")?;
        play.quiet(4, producer.end(commit))?;
        play.wakes(if commit { "it commits" } else { "it aborts" }, first)?;
        play.ended_all(&producer.transactional_id)?;
    }
    play.ask("all of it", 12, waiting())?;
    Ok(())
}

fn after_delete_records(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let producer = play.producer("id")?;
    play.append_in(&producer, &t, 0, 0, "in it")?;
    plain(play, &t, "behind it")?;
    plain(play, &t, "behind it")?;
    for offset in [1, 2] {
        play.ask(&format!("deleted below {offset}"), 2, delete_records(&t, &[(0, offset)]))?;
        let committed = fetch(12, &t, vec![from(0, offset)]).with_isolation_level(COMMITTED);
        play.ask("committed records", 12, committed)?;
        play.ask("the last stable offset", 7, list_offsets(&t, &[(0, -1)]).with_isolation_level(COMMITTED))?;
    }
    play.end(&producer, false)?;
    play.ask("after the end", 12, fetch(12, &t, vec![from(0, 2)]).with_isolation_level(COMMITTED))?;
    Ok(())
}
