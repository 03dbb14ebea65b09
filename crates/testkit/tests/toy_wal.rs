//! The crash explorer on a write-ahead log of a page's length: the correct one survives everything, and each
//! well-known mistake is found.
#![allow(clippy::unwrap_used, reason = "a test may stop at what must not happen")]

use std::io;
use std::path::Path;
use std::sync::Arc;

use duolog_env::{AlignedBuf, Disk, File, OpenMode, SECTOR_BYTES};
use duolog_testkit::{CrashId, Explorer, Report, Run, SimDisk, Violation};

/// What a build of the toy gets wrong.
#[derive(Clone, Copy, Debug, Default)]
struct Bugs {
    acks_before_sync: bool,
    forgets_directory_sync: bool,
    trusts_length_without_crc: bool,
    reveals_before_sync_at_recovery: bool,
    forgets_directory_sync_at_recovery: bool,
    recovers_from_page_cache: bool,
    leaves_torn_tail: bool,
    retries_failed_sync: bool,
}

/// What happened before the crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    Submitted(u64),
    Acknowledged(u64),
}

const LOG: &str = "toy/log";
const LOG_NEW: &str = "toy/log.new";
const HEADER: &[u8; 8] = b"toy log\n";
/// Record: payload length (2 bytes), FNV-1a of number and payload (8), number (8), payload.
const RECORD_HEAD: usize = 18;

struct Toy {
    file: Arc<dyn File>,
    end: u64,
    records: Vec<u64>,
    bugs: Bugs,
}

fn fnv(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Payloads of three lengths, so that records straddle sectors, and one may end where a lost one ended.
fn encode(number: u64) -> Vec<u8> {
    let payload = vec![number as u8 | 1; [3, 700, 1500][number as usize % 3]];
    let mut record = (payload.len() as u16).to_le_bytes().to_vec();
    record.extend(fnv(&[&number.to_le_bytes(), &payload]).to_le_bytes());
    record.extend(number.to_le_bytes());
    record.extend(payload);
    record
}

/// The next record's number and the rest; `None` at the end and at what isn't a whole record.
fn decode(bytes: &[u8], bugs: Bugs) -> Option<(u64, &[u8])> {
    let (head, rest) = bytes.split_at_checked(RECORD_HEAD)?;
    let length = u16::from_le_bytes(head[..2].try_into().unwrap()) as usize;
    let crc = u64::from_le_bytes(head[2..10].try_into().unwrap());
    let (payload, rest) = rest.split_at_checked(length)?;
    let is_whole = bugs.trusts_length_without_crc || crc == fnv(&[&head[10..], payload]);
    is_whole.then(|| (u64::from_le_bytes(head[10..].try_into().unwrap()), rest))
}

impl Toy {
    fn open(disk: &SimDisk, bugs: Bugs) -> io::Result<Self> {
        if disk.open(Path::new(LOG), OpenMode::Read).is_err() {
            Self::create(disk, bugs)?;
        } else if !bugs.forgets_directory_sync_at_recovery {
            // A killed process may have left the name without having synced it.
            disk.sync_dir(Path::new("toy"))?;
        }
        // The page cache may show what a failed sync of the last process dropped.
        let mode = if bugs.recovers_from_page_cache { OpenMode::ReadWrite } else { OpenMode::Direct };
        let file = disk.open(Path::new(LOG), OpenMode::ReadWrite)?;
        let length = file.len()? as usize;
        let mut whole = AlignedBuf::zeroed(length.next_multiple_of(SECTOR_BYTES));
        disk.open(Path::new(LOG), mode)?.read_at(&mut whole, 0)?;
        let bytes = &whole[..length];
        let mut rest = bytes.strip_prefix(HEADER).ok_or_else(|| io::Error::other("no header"))?;
        let mut records = Vec::new();
        while let Some((number, behind)) = decode(rest, bugs) {
            records.push(number);
            rest = behind;
        }
        let end = (bytes.len() - rest.len()) as u64;
        if !bugs.leaves_torn_tail {
            file.set_len(end)?;
        }
        if !bugs.reveals_before_sync_at_recovery {
            file.sync_data()?;
        }
        Ok(Self { file, end, records, bugs })
    }

    fn create(disk: &SimDisk, bugs: Bugs) -> io::Result<()> {
        let dir = Path::new("toy");
        disk.create_dir_all(dir)?;
        if disk.list(dir)?.iter().any(|name| LOG_NEW.ends_with(name.as_str())) {
            disk.remove(Path::new(LOG_NEW))?;
        }
        let file = disk.open(Path::new(LOG_NEW), OpenMode::CreateNew)?;
        file.write_durable(HEADER, 0)?;
        disk.rename(Path::new(LOG_NEW), Path::new(LOG))?;
        if bugs.forgets_directory_sync { Ok(()) } else { disk.sync_dir(dir) }
    }

    /// Appends `numbers` under one sync and says so once they are durable.
    fn append(&mut self, numbers: &[u64], run: &Run<Promise>) -> io::Result<()> {
        for &number in numbers {
            let record = encode(number);
            run.mark(Promise::Submitted(number));
            self.file.write_at(&record, self.end)?;
            self.end += record.len() as u64;
            self.records.push(number);
            if self.bugs.acks_before_sync {
                run.mark(Promise::Acknowledged(number));
            }
        }
        if let Err(error) = self.file.sync_data() {
            if !self.bugs.retries_failed_sync {
                return Err(error);
            }
            self.file.sync_data()?;
        }
        for &number in numbers {
            run.mark(Promise::Acknowledged(number));
        }
        Ok(())
    }
}

fn workload(run: &Run<Promise>, bugs: Bugs, sync_fails: bool) {
    let mut toy = Toy::open(run.disk(), bugs).unwrap();
    if sync_fails {
        run.disk().fail_sync(1 + run.rng().below(4));
    }
    let chance = run.rng();
    let mut next = 1;
    for _ in 0..4 {
        let numbers: Vec<u64> = (next..=next + chance.below(3)).collect();
        next += numbers.len() as u64;
        if toy.append(&numbers, run).is_err() {
            return;
        }
    }
}

fn check(run: &Run<Promise>, promises: &[Promise], bugs: Bugs) -> Result<(), Violation> {
    let violation = |name: &str, detail: String| Err(Violation::new(name, detail));
    let mut toy = match Toy::open(run.disk(), bugs) {
        Ok(toy) => toy,
        Err(error) => return violation("no-recovery", error.to_string()),
    };
    let mut submitted = promises.iter().filter_map(|promise| match promise {
        Promise::Submitted(number) => Some(*number),
        Promise::Acknowledged(_) => None,
    });
    // Each record appears once, in the order of submission, and what is missing wasn't acknowledged.
    for found in &toy.records {
        if !submitted.any(|number| number == *found) {
            return violation("unexpected-record", format!("{found} of {:?}", toy.records));
        }
    }
    for promise in promises {
        if let Promise::Acknowledged(number) = promise
            && !toy.records.contains(number)
        {
            return violation("lost-write", format!("{number} is not in {:?}", toy.records));
        }
    }
    // What is recovered is shown to readers now, so it must stay; and the log must be good for more.
    for number in toy.records.clone() {
        run.mark(Promise::Acknowledged(number));
    }
    let next = 1000 + promises.len() as u64;
    toy.append(&[next], run).map_err(|error| Violation::new("no-append", error.to_string()))
}

fn explorer(images: u64) -> Explorer {
    let mut explorer = Explorer::new(1, "cargo test -p duolog-testkit --test toy_wal correct");
    explorer.images = images;
    explorer.second_crash_one_in = 3;
    explorer
}

fn explore(bugs: Bugs, sync_fails: bool, explorer: &Explorer) -> Report {
    explorer.run(|run| workload(run, bugs, sync_fails), |run, promises| check(run, promises, bugs))
}

/// The violation that `bugs` leads to; it must show again when it is replayed alone.
fn caught(bugs: Bugs, sync_fails: bool) -> (String, CrashId) {
    let mut explorer = explorer(50_000);
    let report = explore(bugs, sync_fails, &explorer);
    let found = report.found.unwrap_or_else(|| panic!("{bugs:?} was not caught"));
    explorer.replay = Some(found.id);
    let again = explore(bugs, sync_fails, &explorer).found.expect("the replay shows it again");
    assert_eq!((again.id, &again.violation), (found.id, &found.violation));
    assert_eq!(found.reproduction(), format!("DUOLOG_CRASH={} {}", found.id, explorer.command));
    (found.violation.name, found.id)
}

#[test]
fn a_correct_log_survives_every_crash() {
    let explorer = explorer(20_000).with_replay_from_env().unwrap();
    let report = explore(Bugs::default(), false, &explorer);
    report.assert_clean();
    if explorer.replay.is_none() {
        assert!(report.images >= 20_000 && report.double_crashes > 5000, "{report}");
    }
}

#[test]
fn a_log_that_stops_at_a_failed_sync_loses_nothing() {
    explore(Bugs::default(), true, &explorer(20_000)).assert_clean();
}

#[test]
fn threads_share_the_rounds() {
    let mut explorer = explorer(20_000);
    explorer.threads = 2;
    let clean = explore(Bugs::default(), false, &explorer);
    clean.assert_clean();
    assert!((20_000..20_100).contains(&clean.images), "{clean}");
    let bugs = Bugs { acks_before_sync: true, ..Bugs::default() };
    explore(bugs, false, &explorer).found.expect("a thread finds it");
}

#[test]
fn a_replay_of_another_runs_crash_says_so() {
    let mut explorer = explorer(1);
    explorer.replay = Some("1:100000:all".parse().unwrap());
    let found = explore(Bugs::default(), false, &explorer).found.unwrap();
    assert_eq!(found.violation.name, "replay-diverged");
}

#[test]
fn acknowledging_before_the_sync_is_caught() {
    let bugs = Bugs { acks_before_sync: true, ..Bugs::default() };
    assert_eq!(caught(bugs, false).0, "lost-write");
}

#[test]
fn a_forgotten_directory_sync_is_caught() {
    let bugs = Bugs { forgets_directory_sync: true, ..Bugs::default() };
    assert_eq!(caught(bugs, false).0, "lost-write");
}

#[test]
fn a_directory_not_synced_after_a_kill_is_caught_by_a_second_crash() {
    let bugs = Bugs { forgets_directory_sync_at_recovery: true, ..Bugs::default() };
    let (name, id) = caught(bugs, false);
    assert_eq!(name, "lost-write");
    assert!(id.second.is_some() && id.to_string().contains("kill"), "{id}");
}

#[test]
fn believing_the_page_cache_after_a_failed_sync_is_caught() {
    let bugs = Bugs { recovers_from_page_cache: true, ..Bugs::default() };
    let (name, id) = caught(bugs, true);
    assert_eq!(name, "lost-write");
    assert!(id.to_string().contains("kill"), "{id}");
}

#[test]
fn trusting_a_length_without_a_crc_is_caught() {
    let bugs = Bugs { trusts_length_without_crc: true, ..Bugs::default() };
    assert_eq!(caught(bugs, false).0, "unexpected-record");
}

#[test]
fn showing_what_a_killed_process_did_not_sync_is_caught_by_a_second_crash() {
    let bugs = Bugs { reveals_before_sync_at_recovery: true, ..Bugs::default() };
    let (name, id) = caught(bugs, false);
    assert_eq!(name, "lost-write");
    assert!(id.second.is_some(), "{id}");
}

#[test]
fn appending_into_a_torn_tail_is_caught() {
    let bugs = Bugs { leaves_torn_tail: true, ..Bugs::default() };
    assert_eq!(caught(bugs, false).0, "unexpected-record");
}

#[test]
fn trying_a_failed_sync_again_is_caught() {
    let bugs = Bugs { retries_failed_sync: true, ..Bugs::default() };
    assert_eq!(caught(bugs, true).0, "lost-write");
}

#[test]
fn the_same_seed_explores_the_same_images() {
    let counts = || {
        let report = explore(Bugs::default(), false, &explorer(3000));
        (report.rounds, report.boundaries, report.images, report.double_crashes, report.kinds)
    };
    assert_eq!(counts(), counts());
}

#[test]
fn a_panic_in_recovery_is_a_violation() {
    let explorer = Explorer::new(1, "test");
    let panics = |run: &Run<Promise>, _: &[Promise]| {
        assert!(run.disk().open(Path::new(LOG), OpenMode::Read).is_err(), "the log is there");
        Ok(())
    };
    let found = explorer.run(|run| workload(run, Bugs::default(), false), panics).found.unwrap();
    assert_eq!(
        (found.violation.name.as_str(), found.violation.detail.as_str()),
        ("panic", "the log is there")
    );
}
