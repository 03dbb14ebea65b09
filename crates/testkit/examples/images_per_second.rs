//! How many crash images a core makes of a 1 MiB prewritten file, recovery left out:
//! `cargo run --release -p duolog-testkit --example images_per_second`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use duolog_env::{AlignedBuf, Clock, Disk, File, OpenMode, RealClock, SECTOR_BYTES};
use duolog_testkit::{CrashImages, Limits, SimDisk, Trace};

const FILE_BYTES: usize = 1 << 20;
const MEASURE: Duration = Duration::from_secs(2);

fn prewritten(disk: &SimDisk) -> Arc<dyn File> {
    let file = disk.open(Path::new("wal"), OpenMode::CreateNew).expect("an empty disk");
    file.write_durable(&vec![0; FILE_BYTES], 0).expect("no fault is set");
    disk.sync_dir(Path::new("")).expect("no fault is set");
    disk.open(Path::new("wal"), OpenMode::Direct).expect("it was just made")
}

/// One durable 4 KiB group after the other.
fn groups() -> Trace {
    let disk = SimDisk::new();
    let wal = prewritten(&disk);
    let mut group = AlignedBuf::zeroed(SECTOR_BYTES);
    for index in 0..FILE_BYTES / SECTOR_BYTES {
        group.fill(index as u8 | 1);
        wal.write_durable(&group, (index * SECTOR_BYTES) as u64).expect("no fault is set");
    }
    disk.trace()
}

/// Eight 16 KiB writes for each sync.
fn checkpoint() -> Trace {
    let disk = SimDisk::new();
    let wal = prewritten(&disk);
    let mut block = AlignedBuf::zeroed(4 * SECTOR_BYTES);
    for index in 0..FILE_BYTES / block.len() {
        block.fill(index as u8 | 1);
        wal.write_at(&block, (index * block.len()) as u64).expect("no fault is set");
        if index % 8 == 7 {
            wal.sync_data().expect("no fault is set");
        }
    }
    disk.trace()
}

fn main() {
    for (name, trace) in
        [("one 4 KiB write pending", groups()), ("up to eight 16 KiB writes pending", checkpoint())]
    {
        let clock = RealClock::new();
        let mut images = 0_u64;
        let mut seed = 0;
        while clock.monotonic() < MEASURE {
            seed += 1;
            for it in CrashImages::new(&trace, seed, Limits::default()) {
                std::hint::black_box(SimDisk::from_image(it.image));
                images += 1;
            }
        }
        println!("{name}: {:.0} images/s", images as f64 / clock.monotonic().as_secs_f64());
    }
}
