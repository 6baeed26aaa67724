use super::*;

struct Quiet;

impl Observer for Quiet {
    fn failed(&self, what: &str) {
        panic!("{what}");
    }

    fn rolled(&self) {}
}

type Seen = Vec<(u64, Vec<u8>)>;

fn open(dir: &Path, after_lsn: u64) -> Result<(Wal, Seen), WalError> {
    open_behind(dir, after_lsn, 0)
}

fn open_behind(dir: &Path, after_lsn: u64, last_lsn: u64) -> Result<(Wal, Seen), WalError> {
    let mut seen = Vec::new();
    let wal = Wal::open(
        dir,
        Some(after_lsn),
        last_lsn,
        |r| {
            seen.push((r.lsn, r.payload.to_vec()));
            Ok(())
        },
        Box::new(Quiet),
    )?;
    Ok((wal, seen))
}

fn last_file(dir: &Path) -> PathBuf {
    let mut names: Vec<PathBuf> = std::fs::read_dir(dir)
        .expect("list")
        .map(|e| e.expect("entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "wal"))
        .collect();
    names.sort();
    names.pop().expect("a file")
}

#[test]
fn what_was_committed_is_replayed_once_and_in_order() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (wal, seen) = open(dir.path(), 0).expect("open");
    assert!(seen.is_empty());
    for i in 0..100u32 {
        wal.append(1, &[&i.to_be_bytes(), b"tail"], None).expect("append").wait().expect("commit");
    }
    wal.close();
    assert!(wal.append(1, &[b"late"], None).is_err());
    for _ in 0..3 {
        let (wal, seen) = open(dir.path(), 40).expect("open");
        assert_eq!(seen.len(), 60);
        assert_eq!(seen[0], (41, [&40u32.to_be_bytes()[..], b"tail"].concat()));
        assert_eq!(wal.last_lsn(), 100);
        wal.close();
    }
}

#[test]
fn a_torn_end_is_cut_and_lsns_go_on() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (wal, _) = open(dir.path(), 0).expect("open");
    for _ in 0..3 {
        wal.append(1, &[&[7; 100]], None).expect("append").wait().expect("commit");
    }
    let used = wal.live_bytes() as usize;
    wal.close();
    let path = last_file(dir.path());
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[used - 1] ^= 1;
    std::fs::write(&path, &bytes).expect("write");
    let (wal, seen) = open(dir.path(), 0).expect("open");
    assert_eq!(seen.iter().map(|s| s.0).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(wal.append(1, &[b"third again"], None).expect("append").lsn, 3);
    wal.close();
    let (wal, seen) = open(dir.path(), 0).expect("open");
    assert_eq!(seen[2], (3, b"third again".to_vec()));
    wal.close();
}

#[test]
fn lsns_that_were_given_out_and_never_written_leave_no_gap() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (wal, _) = open(dir.path(), 0).expect("open");
    wal.append(1, &[b"first"], None).expect("append").wait().expect("commit");
    wal.close();
    // As after groups that were refused for want of space, or were on their way when the process died.
    let (wal, _) = open_behind(dir.path(), 0, 10).expect("open");
    assert_eq!(wal.last_lsn(), 10);
    for late in [b"eleven", b"twelve"] {
        wal.append(1, &[late], None).expect("append").wait().expect("commit");
    }
    wal.close();
    let (wal, seen) = open(dir.path(), 0).expect("open");
    assert_eq!(seen, [(1, b"first".to_vec()), (11, b"eleven".to_vec()), (12, b"twelve".to_vec())]);
    wal.close();
}

#[test]
fn files_are_recycled_after_a_release_and_their_old_records_never_come_back() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (wal, _) = open(dir.path(), 0).expect("open");
    let payload = vec![1u8; 1 << 20];
    for _ in 0..30 {
        wal.append(1, &[&payload], None).expect("append").wait().expect("commit");
    }
    wal.release(30);
    assert!(wal.live_bytes() <= FILE_BYTES);
    for _ in 0..4 {
        wal.append(1, &[b"small"], None).expect("append").wait().expect("commit");
    }
    wal.close();
    let (wal, seen) = open(dir.path(), 30).expect("open");
    assert_eq!(seen.iter().map(|s| s.0).collect::<Vec<_>>(), [31, 32, 33, 34]);
    wal.close();
    let on_disk: u64 = std::fs::read_dir(dir.path())
        .expect("list")
        .map(|e| e.expect("entry").metadata().expect("metadata").len())
        .sum();
    assert!(on_disk <= 3 * FILE_BYTES, "{on_disk}");
}

#[test]
fn a_hole_in_the_journal_is_refused() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (wal, _) = open(dir.path(), 0).expect("open");
    let payload = vec![1u8; 1 << 20];
    for _ in 0..20 {
        wal.append(1, &[&payload], None).expect("append").wait().expect("commit");
    }
    wal.close();
    let file = |n: u64| dir.path().join(format!("{n:020}.wal"));
    let expect_error = |what: &str| {
        let error = open(dir.path(), 0).map(|_| ()).expect_err(what);
        assert!(error.to_string().contains(what), "{error}");
    };
    let whole = std::fs::read(file(1)).expect("read");
    let mut torn = whole.clone();
    torn[2 << 20] ^= 1;
    std::fs::write(file(1), &torn).expect("write");
    expect_error("only the last file may end torn");
    let mut headless = whole.clone();
    headless[15] ^= 1;
    std::fs::write(file(1), &headless).expect("write");
    expect_error("only the last file may end torn");
    std::fs::remove_file(file(1)).expect("remove");
    expect_error("metadata snapshot ends at 0");
    std::fs::write(file(1), &whole).expect("write");
    std::fs::remove_file(file(2)).expect("remove");
    expect_error("a file before it is missing");
}

#[test]
fn a_spare_from_before_a_crash_is_used() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (wal, _) = open(dir.path(), 0).expect("open");
    wal.append(1, &[b"first"], None).expect("append").wait().expect("commit");
    wal.prepare_spare();
    wal.close();
    let (wal, seen) = open(dir.path(), 0).expect("open");
    assert_eq!(seen.len(), 1);
    let payload = vec![1u8; 1 << 20];
    for _ in 0..5 {
        wal.append(1, &[&payload], None).expect("append").wait().expect("commit");
    }
    wal.close();
    assert_eq!(open(dir.path(), 0).expect("open").1.len(), 6);
    assert!(dir.path().join(format!("{:020}.wal", 2)).exists());
    assert!(!dir.path().join(format!("{:020}.wal", 3)).exists());
}

#[test] // one sync for what came while the one before it ran
fn concurrent_appends_share_syncs() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (wal, _) = open(dir.path(), 0).expect("open");
    let before = wal.syncs();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..50 {
                    wal.append(1, &[&[3; 64]], None).expect("append").wait().expect("commit");
                }
            });
        }
    });
    let syncs = wal.syncs() - before;
    assert!(syncs < 800, "{syncs} syncs for 800 records of 16 threads");
    wal.close();
}

#[test]
fn what_is_held_together_shares_a_sync() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let wal = Wal::open(dir.path(), None, 0, |_| Ok(()), Box::new(Quiet)).expect("opened");
    let before = wal.syncs();
    for _ in 0..20 {
        let together = wal.together();
        wal.append(1, &[b"first"], None).expect("appended");
        // Long enough for the writer to have begun, were it not held.
        std::thread::sleep(std::time::Duration::from_micros(200));
        let last = wal.append(1, &[b"second"], None).expect("appended");
        drop(together);
        last.wait().expect("committed");
    }
    // On a busy machine some are held for too long.
    assert!(wal.syncs() - before < 40, "{} syncs of 20 groups", wal.syncs() - before);
    // One that is held for long does not hold up the others.
    let _held = wal.together();
    wal.append(1, &[b"alone"], None).expect("appended").wait().expect("committed");
    wal.close();
}
