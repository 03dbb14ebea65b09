//! What the simulated disk promises, one promise a test.

use std::io;
use std::path::Path;
use std::sync::Arc;

use duolog_env::{AlignedBuf, Disk, File, OpenMode, SECTOR_BYTES};

use super::SimDisk;

fn path(name: &str) -> &Path {
    Path::new(name)
}

fn create(disk: &SimDisk, name: &str) -> Arc<dyn File> {
    disk.open(path(name), OpenMode::CreateNew).unwrap()
}

/// A file with a durable name.
fn durable_file(disk: &SimDisk, name: &str) -> Arc<dyn File> {
    let file = create(disk, name);
    disk.sync_dir(path("")).unwrap();
    file
}

fn read(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
    let file = disk.open(path(name), OpenMode::Read).ok()?;
    let mut bytes = vec![0; file.len().unwrap() as usize];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    Some(bytes)
}

fn after_power_cut(disk: &SimDisk) -> SimDisk {
    SimDisk::from_image(disk.power_cut())
}

#[test]
fn a_write_survives_a_kill_at_once_and_a_power_cut_once_synced() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "a");
    file.write_at(b"hello", 0).unwrap();
    assert_eq!(read(&after_power_cut(&disk), "a").unwrap(), b"");
    let killed = SimDisk::from_image(disk.killed());
    assert_eq!(read(&killed, "a").unwrap(), b"hello");
    // What the dead process didn't sync is still not durable for the next one.
    assert_eq!(read(&after_power_cut(&killed), "a").unwrap(), b"");
    file.sync_data().unwrap();
    assert_eq!(read(&after_power_cut(&disk), "a").unwrap(), b"hello");
}

#[test]
fn a_durable_write_answers_for_its_own_bytes_only() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "a");
    file.write_at(b"elsewhere", 1000).unwrap();
    file.write_at(b"xxxx", 0).unwrap();
    file.write_durable(b"yy", 1).unwrap();
    // The older write below it comes along; the one beside it does not.
    assert_eq!(read(&after_power_cut(&disk), "a").unwrap(), b"xyyx");
}

#[test]
fn names_are_durable_after_the_directorys_sync() {
    let disk = SimDisk::new();
    disk.create_dir_all(path("/data/wal")).unwrap();
    create(&disk, "data/wal/new").write_durable(b"1", 0).unwrap();
    assert_eq!(read(&after_power_cut(&disk), "data/wal/new"), None);
    disk.rename(path("data/wal/new"), path("data/wal/final")).unwrap();
    disk.sync_dir(path("data/wal")).unwrap();
    let cut = after_power_cut(&disk);
    assert_eq!(cut.list(path("data/wal")).unwrap(), ["final"]);
    assert_eq!(read(&cut, "data/wal/final").unwrap(), b"1");
    disk.remove(path("data/wal/final")).unwrap();
    assert_eq!(read(&disk, "data/wal/final"), None);
    assert!(read(&after_power_cut(&disk), "data/wal/final").is_some());
    disk.sync_dir(path("data/wal")).unwrap();
    assert_eq!(read(&after_power_cut(&disk), "data/wal/final"), None);
}

#[test]
fn a_rename_between_directories_is_durable_when_both_are_synced() {
    for (first, second) in [("from", "to"), ("to", "from")] {
        let disk = SimDisk::new();
        disk.create_dir_all(path("from")).unwrap();
        disk.create_dir_all(path("to")).unwrap();
        create(&disk, "from/a").write_durable(b"1", 0).unwrap();
        disk.sync_dir(path("from")).unwrap();
        disk.rename(path("from/a"), path("to/a")).unwrap();
        disk.sync_dir(path(first)).unwrap();
        let half = after_power_cut(&disk);
        assert!(read(&half, "from/a").is_some(), "the old name is gone by syncing {first} alone");
        assert_eq!(read(&half, "to/a").is_some(), first == "to");
        disk.sync_dir(path(second)).unwrap();
        let whole = after_power_cut(&disk);
        assert_eq!((read(&whole, "from/a"), read(&whole, "to/a")), (None, Some(b"1".to_vec())));
    }
}

#[test]
fn open_handles_outlive_their_names() {
    let disk = SimDisk::new();
    let file = create(&disk, "a");
    file.write_at(b"abc", 0).unwrap();
    disk.remove(path("a")).unwrap();
    let mut bytes = [0; 3];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 3);
    assert_eq!(&bytes, b"abc");
    assert_eq!(disk.open(path("a"), OpenMode::Read).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn many_files_are_synced_by_one_operation() {
    let disk = SimDisk::new();
    let files: Vec<_> = (0..10).map(|index| create(&disk, &format!("f{index}"))).collect();
    disk.sync_dir(path("")).unwrap();
    for file in &files {
        file.write_at(b"x", 0).unwrap();
    }
    let before = disk.boundary();
    disk.sync_files(path(""), &files).unwrap();
    assert_eq!(disk.boundary(), before + 1);
    let cut = after_power_cut(&disk);
    assert!((0..10).all(|index| read(&cut, &format!("f{index}")).unwrap() == b"x"));
    let foreign = create(&SimDisk::new(), "f");
    assert_eq!(disk.sync_files(path(""), &[foreign]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn the_kth_write_fails_half_written() {
    let disk = SimDisk::new();
    let file = create(&disk, "a");
    disk.fail_write(2);
    file.write_at(&[1; 2048], 0).unwrap();
    assert_eq!(file.write_at(&[2; 2048], 0).unwrap_err().raw_os_error(), Some(5));
    let bytes = read(&disk, "a").unwrap();
    assert_eq!((bytes[1023], bytes[1024]), (2, 1));
    file.write_at(&[3; 2048], 0).unwrap();
}

#[test]
fn a_failed_sync_lies_afterwards() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "a");
    file.write_durable(&[1; SECTOR_BYTES], 0).unwrap();
    file.write_at(&[2; 2 * SECTOR_BYTES], 0).unwrap();
    disk.fail_sync(1);
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(5));
    file.sync_data().unwrap();
    // Readers see the cache, a power cut and direct I/O show the truth: the length, and none of the bytes.
    assert_eq!(read(&disk, "a").unwrap(), [2; 2 * SECTOR_BYTES]);
    let truth = [[1; SECTOR_BYTES], [0; SECTOR_BYTES]].concat();
    assert_eq!(read(&after_power_cut(&disk), "a").unwrap(), truth);
    let mut below = AlignedBuf::zeroed(2 * SECTOR_BYTES);
    disk.open(path("a"), OpenMode::Direct).unwrap().read_at(&mut below, 0).unwrap();
    assert_eq!(below.as_ref(), truth);
    file.write_durable(&[3; SECTOR_BYTES], 0).unwrap();
    assert_eq!(read(&after_power_cut(&disk), "a").unwrap()[..SECTOR_BYTES], [3; SECTOR_BYTES]);
}

#[test]
fn a_directorys_failed_sync_lies_afterwards() {
    let disk = SimDisk::new();
    create(&disk, "a");
    disk.fail_sync(1);
    assert_eq!(disk.sync_dir(path("")).unwrap_err().raw_os_error(), Some(5));
    disk.sync_dir(path("")).unwrap();
    assert_eq!(read(&after_power_cut(&disk), "a"), None);
}

#[test]
fn a_full_disk_refuses_growth_and_nothing_else() {
    let disk = SimDisk::new();
    let file = create(&disk, "a");
    disk.set_capacity(Some(3 * SECTOR_BYTES as u64));
    file.write_at(&[0; 2 * SECTOR_BYTES], 0).unwrap();
    assert_eq!(disk.space(path("")).unwrap().free_bytes, SECTOR_BYTES as u64);
    let full = file.write_at(&[1; 2 * SECTOR_BYTES], 2 * SECTOR_BYTES as u64).unwrap_err();
    assert_eq!((full.kind(), file.len().unwrap()), (io::ErrorKind::StorageFull, 2 * SECTOR_BYTES as u64));
    file.write_at(&[1; 2 * SECTOR_BYTES], 0).unwrap();
    create(&disk, "b").write_at(&[1], 0).unwrap();
    file.set_len(0).unwrap();
    assert_eq!(disk.space(path("")).unwrap().free_bytes, 2 * SECTOR_BYTES as u64);
}

#[test]
fn allocated_room_is_there_when_the_disk_is_full() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "a");
    disk.set_capacity(Some(4 * SECTOR_BYTES as u64));
    assert_eq!(file.allocate(5 * SECTOR_BYTES as u64).unwrap_err().kind(), io::ErrorKind::StorageFull);
    file.allocate(4 * SECTOR_BYTES as u64).unwrap();
    assert_eq!(create(&disk, "b").write_at(&[1], 0).unwrap_err().kind(), io::ErrorKind::StorageFull);
    file.allocate(SECTOR_BYTES as u64).unwrap();
    assert_eq!(file.len().unwrap(), 4 * SECTOR_BYTES as u64);
    file.write_at(&[1; 4 * SECTOR_BYTES], 0).unwrap();
    assert_eq!(read(&after_power_cut(&disk), "a").unwrap(), b"");
    file.sync_data().unwrap();
    assert_eq!(read(&after_power_cut(&disk), "a").unwrap(), [1; 4 * SECTOR_BYTES]);
}

#[test]
fn direct_io_refuses_what_is_not_aligned() {
    let disk = SimDisk::new();
    create(&disk, "a").set_len(4 * SECTOR_BYTES as u64).unwrap();
    let file = disk.open(path("a"), OpenMode::Direct).unwrap();
    let block = AlignedBuf::zeroed(2 * SECTOR_BYTES);
    file.write_durable(&block, SECTOR_BYTES as u64).unwrap();
    let refused = |bytes: &[u8], at| {
        assert_eq!(file.write_durable(bytes, at).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    };
    refused(&block, 512);
    refused(&block[..SECTOR_BYTES + 512], 0);
    refused(&block[512..512 + SECTOR_BYTES], 0);
    let mut unaligned = AlignedBuf::zeroed(2 * SECTOR_BYTES);
    let buf = &mut unaligned[1..=SECTOR_BYTES];
    assert_eq!(file.read_at(buf, 0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn modes_and_names_are_checked() {
    let disk = SimDisk::new();
    create(&disk, "a");
    let kind = |result: io::Result<Arc<dyn File>>| result.unwrap_err().kind();
    assert_eq!(kind(disk.open(path("a"), OpenMode::CreateNew)), io::ErrorKind::AlreadyExists);
    assert_eq!(kind(disk.open(path("b"), OpenMode::ReadWrite)), io::ErrorKind::NotFound);
    assert_eq!(kind(disk.open(path("no/b"), OpenMode::CreateNew)), io::ErrorKind::NotFound);
    assert_eq!(kind(disk.open(path("../b"), OpenMode::CreateNew)), io::ErrorKind::InvalidInput);
    let reader = disk.open(path("a"), OpenMode::Read).unwrap();
    assert_eq!(reader.write_at(b"x", 0).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    assert_eq!(reader.read_at(&mut [0], u64::MAX).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_lock_is_exclusive_until_dropped_and_gone_after_a_crash() {
    let disk = SimDisk::new();
    let held = disk.lock(path("LOCK")).unwrap();
    assert_eq!(disk.lock(path("LOCK")).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    SimDisk::from_image(disk.killed()).lock(path("LOCK")).unwrap();
    drop(held);
    disk.lock(path("LOCK")).unwrap();
}

#[test]
fn a_flipped_bit_is_there_for_readers_and_after_a_cut() {
    let disk = SimDisk::new();
    durable_file(&disk, "a").write_durable(&[0; 3], 0).unwrap();
    disk.flip_bit(path("a"), 2, 7).unwrap();
    assert_eq!(read(&disk, "a").unwrap(), [0, 0, 0x80]);
    assert_eq!(read(&after_power_cut(&disk), "a").unwrap(), [0, 0, 0x80]);
    assert_eq!(disk.flip_bit(path("a"), 3, 0).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_gate_holds_syncs_until_it_is_dropped() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "a");
    let gate = disk.hold_syncs();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| file.write_durable(b"x", 0));
        gate.wait_for(1);
        assert_eq!(read(&after_power_cut(&disk), "a").unwrap(), b"");
        drop(gate);
        writer.join().unwrap().unwrap();
    });
    assert_eq!(read(&after_power_cut(&disk), "a").unwrap(), b"x");
}

#[test]
fn nothing_works_without_power() {
    let disk = SimDisk::new();
    let file = create(&disk, "a");
    disk.power_off();
    assert!(file.write_at(b"x", 0).is_err() && file.sync_data().is_err() && disk.list(path("")).is_err());
}
