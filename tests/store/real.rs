//! On the file system.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use leafcron::store::{Durability, Journal, RealDisk, StoreError, events, history};

use crate::sample::{ALL, event, intent, options, record};

fn open(path: &Path) -> Result<Journal<RealDisk>, StoreError> {
    Journal::open(RealDisk::open(path).unwrap(), options()).map(|(journal, _)| journal)
}

#[test]
fn a_journal_in_a_directory_comes_back_and_is_nobody_elses() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("var").join("state");
    let mut journal = open(&path).unwrap();
    journal.commit(&[intent(1)], Durability::Synced).unwrap();
    journal.commit(&[record(1, 100)], Durability::Synced).unwrap();
    let refused = open(&path).err().unwrap();
    assert!(
        matches!(refused, StoreError::Locked { pid: Some(pid) } if pid == std::process::id()),
        "{refused}"
    );
    let disk = RealDisk::open(&path).unwrap();
    assert_eq!(history(&disk, None, ALL).unwrap().len(), 1);
    drop(journal);
    let (journal, recovered) = Journal::open(disk, options()).unwrap();
    assert_eq!((recovered.next_seq, recovered.notes.len()), (2, 0));
    assert_eq!(recovered.image.last_run, 1);
    drop(journal);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o700);
    for entry in std::fs::read_dir(&path).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn a_torn_tail_on_the_file_system_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap().commit(&[event(1)], Durability::Synced).unwrap();
    let file = dir.path().join("journal-1");
    let good = std::fs::read(&file).unwrap();
    std::fs::write(&file, [good.as_slice(), &[1, 2, 3]].concat()).unwrap();
    drop(open(dir.path()).unwrap());
    assert_eq!(std::fs::read(&file).unwrap(), good);
}

#[test]
fn a_link_in_the_place_of_a_file_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    std::fs::write(&outside, "precious").unwrap();
    let state = dir.path().join("state");
    drop(RealDisk::open(&state).unwrap());
    std::os::unix::fs::symlink(&outside, state.join("lock")).unwrap();
    assert!(matches!(open(&state), Err(StoreError::Disk { operation: "lock", .. })));
    assert_eq!(std::fs::read(&outside).unwrap(), b"precious");
}

#[test]
fn what_is_no_segment_is_set_aside_and_keeps_no_agent_down() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap().commit(&[event(1)], Durability::Synced).unwrap();
    std::fs::create_dir(dir.path().join("journal-5")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("journal-6")).unwrap();
    nix::unistd::mkfifo(&dir.path().join("journal-7"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    std::fs::write(dir.path().join("journal-8"), "").unwrap();
    let disk = RealDisk::open(dir.path()).unwrap();
    let (mut journal, recovered) = Journal::open(disk.clone(), options()).unwrap();
    assert_eq!((recovered.next_seq, recovered.notes.len()), (2, 4));
    assert_eq!(events(&disk, ALL).unwrap().len(), 1);
    journal.commit(&[event(2)], Durability::Synced).unwrap();
    drop(journal);
    let (_, recovered) = Journal::open(disk, options()).unwrap();
    assert_eq!((recovered.next_seq, recovered.notes.len()), (3, 0));
    for number in 5..=8 {
        assert!(dir.path().join(format!("damaged-{number}")).symlink_metadata().is_ok(), "{number}");
    }
}
