//! Images are legal (what was synced is there), and all the kinds that a moment has are made.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use duolog_env::{Disk, File, OpenMode};

use super::{CrashImages, Explorer, Limits, Run, Violation};
use crate::{SimDisk, SimRng, Trace};

/// What the random workload knows to be durable, noted independently of the disk's own books.
#[derive(Clone, Debug)]
enum Known {
    /// A file has this name for good, or until `Gone` for the same name.
    Named(String),
    /// The file's name may vanish from here on.
    Unsure(String),
    /// 512 bytes of this value lie at this position of the file that the name was made for.
    Synced(String, u64, u8),
    /// From here on they may be something else.
    Overwritten(String, u64),
}

const SECTOR: usize = 512;
const SLOTS: u64 = 24;

/// A file, and the values of its slots that no sync has covered.
type OpenFile = (Arc<dyn File>, BTreeMap<u64, u8>);

/// Random writes, syncs, creations and removals on a few files; every sector-sized slot is written with
/// different values over time.
fn random_workload(run: &Run<Known>) {
    let (disk, rng) = (run.disk(), run.rng());
    let mut files: BTreeMap<String, OpenFile> = BTreeMap::new();
    let mut unsynced_names: BTreeSet<String> = BTreeSet::new();
    for step in 0..60u64 {
        let name = format!("file{}", rng.below(3));
        let Some((file, dirty)) = files.get_mut(&name) else {
            let file = disk.open(Path::new(&name), OpenMode::CreateNew).unwrap();
            files.insert(name.clone(), (file, BTreeMap::new()));
            unsynced_names.insert(name);
            continue;
        };
        match rng.below(10) {
            0 => {
                disk.sync_dir(Path::new("")).unwrap();
                for name in std::mem::take(&mut unsynced_names) {
                    run.mark(Known::Named(name));
                }
            }
            1 => {
                file.sync_data().unwrap();
                for (slot, value) in std::mem::take(dirty) {
                    run.mark(Known::Synced(name.clone(), slot, value));
                }
            }
            2 | 3 => {
                let (slot, value) = (rng.below(SLOTS), step as u8 + 1);
                run.mark(Known::Overwritten(name.clone(), slot));
                file.write_durable(&[value; SECTOR], slot * SECTOR as u64).unwrap();
                dirty.remove(&slot);
                run.mark(Known::Synced(name.clone(), slot, value));
            }
            4 if step % 7 == 0 => {
                // The workload ends here, so that a name stands for one file only.
                run.mark(Known::Unsure(name.clone()));
                disk.remove(Path::new(&name)).unwrap();
                return;
            }
            _ => {
                let (slot, count, value) = (rng.below(SLOTS - 4), 1 + rng.below(4), step as u8 + 1);
                for slot in slot..slot + count {
                    run.mark(Known::Overwritten(name.clone(), slot));
                    dirty.insert(slot, value);
                }
                file.write_at(&vec![value; SECTOR * count as usize], slot * SECTOR as u64).unwrap();
            }
        }
    }
}

fn check_known(run: &Run<Known>, known: &[Known]) -> Result<(), Violation> {
    let (mut names, mut bytes) = (BTreeSet::new(), BTreeMap::new());
    for fact in known {
        match fact {
            Known::Named(name) => {
                names.insert(name);
            }
            Known::Unsure(name) => {
                names.remove(name);
            }
            Known::Synced(name, slot, value) => {
                bytes.insert((name, slot), *value);
            }
            Known::Overwritten(name, slot) => {
                bytes.remove(&(name, slot));
            }
        }
    }
    for name in names {
        let Ok(file) = run.disk().open(Path::new(name), OpenMode::ReadWrite) else {
            return Err(Violation::new("durable-name-lost", name.as_str()));
        };
        for slot in 0..SLOTS {
            let Some(&value) = bytes.get(&(name, &slot)) else { continue };
            let mut found = [0; SECTOR];
            let count = file.read_at(&mut found, slot * SECTOR as u64).unwrap();
            if found[..count] != [value; SECTOR] {
                let detail = format!("{name} slot {slot}: {value} expected, {found:?} found");
                return Err(Violation::new("durable-bytes-lost", detail));
            }
        }
        // Something for a second crash to hit, which must not touch what is durable either.
        file.write_at(&[0xee; SECTOR], (SLOTS + run.rng().below(8)) * SECTOR as u64).unwrap();
    }
    Ok(())
}

#[test]
fn what_was_synced_is_in_every_image() {
    let mut explorer = Explorer::new(11, "cargo test -p duolog-testkit");
    explorer.images = 60_000;
    explorer.second_crash_one_in = 4;
    let report = explorer.run(random_workload, check_known);
    report.assert_clean();
    assert!(report.rounds > 5 && report.double_crashes > 1000, "{report}");
    for kind in ["none", "all", "kill", "sectors", "garbage_back", "data_only", "length", "subset"] {
        assert!(report.kinds.contains_key(kind), "no {kind} in {:?}", report.kinds);
    }
}

/// Every file of the disk with its bytes.
fn contents(disk: &SimDisk) -> BTreeMap<String, Vec<u8>> {
    let read = |name: String| {
        let file = disk.open(Path::new(&name), OpenMode::Read).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        (name, bytes)
    };
    disk.list(Path::new("")).unwrap().into_iter().map(read).collect()
}

fn images_of(trace: &Trace, seed: u64) -> Vec<(String, BTreeMap<String, Vec<u8>>)> {
    let images = CrashImages::new(trace, seed, Limits::default());
    images.map(|it| (it.id.to_string(), contents(&SimDisk::from_image(it.image)))).collect()
}

fn trace_of(seed: u64) -> Trace {
    let disk = SimDisk::new();
    let rng = SimRng::new(seed);
    let file = disk.open(Path::new("a.new"), OpenMode::CreateNew).unwrap();
    for _ in 0..6 {
        file.write_at(&vec![1; 1 + rng.index(3000)], rng.below(5000)).unwrap();
    }
    file.sync_data().unwrap();
    disk.rename(Path::new("a.new"), Path::new("a")).unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    disk.trace()
}

#[test]
fn the_same_seed_gives_the_same_trace_and_the_same_images() {
    let (one, two) = (trace_of(5), trace_of(5));
    assert_eq!(one.ops(), two.ops());
    let images = images_of(&one, 9);
    assert!(images.len() > 100);
    assert!(images == images_of(&two, 9));
    assert!(images != images_of(&one, 10));
    let ids: BTreeSet<&String> = images.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), images.len(), "ids are not unique");
}

#[test]
fn an_image_is_made_again_from_its_id() {
    let trace = trace_of(5);
    for it in CrashImages::new(&trace, 3, Limits { per_kind: 4 }) {
        let again = CrashImages::at(&trace, 3, it.id.first).unwrap();
        let (made, again) = (SimDisk::from_image(it.image), SimDisk::from_image(again));
        assert!(contents(&made) == contents(&again), "{}", it.id);
    }
    let beyond = "3:99:all".parse::<super::CrashId>().unwrap().first;
    assert!(CrashImages::at(&trace, 3, beyond).is_none());
}

/// The states of one moment, as (names with lengths and first bytes).
fn states(build: impl Fn(&SimDisk)) -> BTreeMap<String, Vec<(String, Vec<u8>)>> {
    let disk = SimDisk::new();
    build(&disk);
    let trace = disk.trace();
    let last = trace.ops().len();
    let images = CrashImages::new(&trace, 1, Limits::default());
    let at_end = images.filter(|it| it.id.first.boundary == last);
    at_end
        .map(|it| {
            let files = contents(&SimDisk::from_image(it.image)).into_iter();
            (it.id.first.variant.to_string(), files.collect())
        })
        .collect()
}

#[test]
fn a_replaced_name_is_old_or_new_or_both_and_never_missing() {
    let states = states(|disk| {
        let old = disk.open(Path::new("a"), OpenMode::CreateNew).unwrap();
        old.write_durable(b"old", 0).unwrap();
        let new = disk.open(Path::new("b"), OpenMode::CreateNew).unwrap();
        new.write_durable(b"new", 0).unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        disk.rename(Path::new("b"), Path::new("a")).unwrap();
    });
    let file = |name: &str, bytes: &str| (name.to_owned(), bytes.as_bytes().to_vec());
    assert_eq!(states["none"], [file("a", "old"), file("b", "new")]);
    assert_eq!(states["all"], [file("a", "new")]);
    assert_eq!(states["both_names-0"], [file("a", "new"), file("b", "new")]);
}

#[test]
fn a_growing_write_is_torn_lengthened_or_garbled() {
    let states = states(|disk| {
        let file = disk.open(Path::new("a"), OpenMode::CreateNew).unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        file.write_durable(&[1; 100], 0).unwrap();
        file.write_at(&[2; 1000], 100).unwrap();
    });
    let bytes = |variant: &str| states[variant][0].1.clone();
    assert_eq!(bytes("none"), [1; 100]);
    assert_eq!(bytes("torn_front-1"), [vec![1; 100], vec![2; 412]].concat());
    assert_eq!(bytes("torn_back-1"), [vec![1; 100], vec![0; 924], vec![2; 76]].concat());
    assert_eq!(bytes("length-0"), [vec![1; 100], vec![0; 1000]].concat());
    let garbled = bytes("garbage_front-1");
    assert_eq!((garbled.len(), &garbled[..512]), (1100, &[vec![1; 100], vec![2; 412]].concat()[..]));
    assert!(garbled[512..].iter().any(|&byte| byte != 0 && byte != 2));
}
