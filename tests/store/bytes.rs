//! Any byte of a segment may be bad or missing.

use leafcron::job::EventKind;
use leafcron::store::{Durability, MemDisk};

use crate::sample::{Model, State, event, open, reopened, segment, state_of, turns};

/// A journal, its segment's bytes, and where each turn ended in them.
fn written(count: i64) -> (Model, Vec<u8>, Vec<usize>) {
    let disk = MemDisk::new();
    let (mut journal, _) = open(&disk);
    let mut model = Model::new();
    let mut ends = vec![0];
    for turn in turns(count) {
        assert!(model.run(&mut journal, &[turn]));
        ends.push(disk.content(&segment(&disk)).unwrap().len());
    }
    let bytes = disk.content(&segment(&disk)).unwrap();
    (model, bytes, ends)
}

fn disk_of(bytes: &[u8]) -> MemDisk {
    let disk = MemDisk::new();
    disk.put("journal-1", bytes);
    disk
}

#[test]
fn a_torn_tail_is_cut_and_the_rest_survives_at_every_length() {
    let (model, bytes, ends) = written(6);
    for len in 80..bytes.len() {
        let disk = disk_of(&bytes[..len]);
        let (mut journal, recovered) = open(&disk);
        let whole = ends.iter().filter(|end| **end <= len).count() - 1;
        let found = state_of(&disk, &recovered);
        assert_eq!(found, model.states[whole], "length {len}");
        assert_eq!(recovered.notes, [], "length {len}");
        // What is cut off does not come back behind what is written now.
        journal.commit(&[event(1)], Durability::Synced).unwrap();
        drop(journal);
        let (after, recovered) = reopened(&disk);
        assert_eq!((after.next_seq, recovered.notes), (found.next_seq + 1, vec![]), "length {len}");
    }
}

#[test]
fn a_journal_without_a_header_is_set_aside() {
    let (_, bytes, _) = written(2);
    for len in 0..80 {
        let disk = disk_of(&bytes[..len]);
        let (mut journal, recovered) = open(&disk);
        let note = EventKind::Damaged { from: 0, to: 0, file: "damaged-1".to_owned() };
        assert_eq!(recovered.notes, [note]);
        journal.commit(&[event(1)], Durability::Synced).unwrap();
        assert_eq!(disk.content("damaged-1").unwrap(), &bytes[..len]);
    }
}

#[test]
fn one_bad_bit_costs_one_frame_and_is_reported_at_every_byte() {
    let (model, bytes, ends) = written(4);
    let all = &model.now().records;
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1 << (at % 8);
        let disk = disk_of(&bad);
        let (mut journal, recovered) = open(&disk);
        let found = state_of(&disk, &recovered);
        if at < 160 {
            assert_eq!((found, recovered.notes), (model.now().clone(), vec![]), "header, byte {at}");
            continue;
        }
        // The first turn made the segment; its header is not its frame.
        let turn = ends.iter().position(|end| at < *end).unwrap();
        if turn == ends.len() - 1 {
            assert_eq!(found, model.states[turn - 1], "last frame, byte {at}");
            continue;
        }
        let lost = model.states[turn - 1].next_seq..model.states[turn].next_seq;
        let note = EventKind::Damaged { from: lost.start, to: lost.end - 1, file: "damaged-1".to_owned() };
        assert_eq!(recovered.notes, [note], "byte {at}");
        let kept: Vec<_> = all.iter().filter(|(seq, _)| !lost.contains(seq)).cloned().collect();
        assert_eq!(found.records, kept, "byte {at}");
        assert_eq!(found.next_seq, model.now().next_seq, "byte {at}");
        // The first commit makes a clean journal and keeps the bad one.
        assert_eq!(disk.names(), ["journal-1", "reserve"]);
        assert_eq!(journal.commit(&[event(1)], Durability::Synced).unwrap().first_seq, found.next_seq);
        drop(journal);
        let (after, recovered) = reopened(&disk);
        let expected = State { next_seq: found.next_seq + 1, ..found };
        assert_eq!(after.records, expected.records, "byte {at}");
        assert_eq!((after.next_seq, recovered.notes), (expected.next_seq, vec![]), "byte {at}");
        assert_eq!(disk.content("damaged-1"), Some(bad), "byte {at}");
    }
}

#[test]
fn a_lost_block_costs_what_was_in_it() {
    let (model, bytes, ends) = written(60);
    let (from, to) = (4_096, 8_192);
    let mut bad = bytes.clone();
    bad[from..to].fill(0);
    let disk = disk_of(&bad);
    let (_, recovered) = open(&disk);
    let found = state_of(&disk, &recovered);
    let first = ends.iter().position(|end| from < *end).unwrap();
    let last = ends.iter().position(|end| to <= *end).unwrap();
    let lost = model.states[first - 1].next_seq..model.states[last].next_seq;
    let kept: Vec<_> = model.now().records.iter().filter(|(seq, _)| !lost.contains(seq)).cloned().collect();
    assert_eq!(found.records, kept);
    assert_eq!(recovered.notes.len(), 1);
    assert_eq!(found.next_seq, model.now().next_seq);
}

#[test]
fn a_frame_printed_by_a_job_is_no_frame() {
    let (_, bytes, ends) = written(6);
    // A good frame of this very segment, at another place, behind a frame that lost its head.
    let frame = &bytes[ends[3]..ends[4]];
    let mut forged = bytes[..ends[5]].to_vec();
    forged.extend([0xff; 8]);
    forged.extend(frame);
    let disk = disk_of(&forged);
    let (_, recovered) = open(&disk);
    assert_eq!(recovered.notes, []);
    assert_eq!(disk.content("journal-1").unwrap().len(), ends[5]);
}

#[test]
fn a_sector_that_cannot_be_read_costs_what_was_in_it() {
    let (model, bytes, ends) = written(60);
    let disk = disk_of(&bytes);
    disk.set_unreadable("journal-1", 5_000..5_100);
    let (mut journal, recovered) = open(&disk);
    let found = state_of(&disk, &recovered);
    // Read by blocks of 4 KiB, of which one is lost.
    let (from, to) = (4_096 + 160, 8_192 + 160);
    let first = ends.iter().position(|end| from < *end).unwrap();
    let last = ends.iter().position(|end| to <= *end).unwrap();
    let lost = model.states[first - 1].next_seq..model.states[last].next_seq;
    let kept = model.now().records.iter().filter(|(seq, _)| !lost.contains(seq)).count();
    assert!(found.records.len() >= kept && found.records.len() < model.now().records.len());
    assert_eq!((recovered.notes.len(), found.next_seq), (1, model.now().next_seq));
    // What could be read is in a segment of its own now, and the bad one is set aside.
    journal.commit(&[event(1)], Durability::Synced).unwrap();
    drop(journal);
    assert_eq!(reopened(&disk).0.records, found.records);
    assert!(disk.names().contains(&"damaged-1".to_owned()));
}
