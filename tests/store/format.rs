//! Format 1, byte by byte. If one of these fails, the format has changed: that is a new version, with its own file.

use std::path::Path;

use leafcron::job::{
    Acked, Bucket, Clock, CommandId, Covers, DeviceEvent, Entry, Eras, EventKind, Fire, FireKey, Id128,
    LastAttempt, Missed, Network, Outcome, Output, Pending, PendingStage, Power, Pressure, Provisional,
    Readings, Reason, Record, RunId, Source, Started, StopWhy, Taken, Throttled, Trigger,
};
use leafcron::store::{Durability, MemDisk, Options};

use crate::sample::{
    BOOT, Model, State, at, event, intent, job, open, open_with, options, pending, record, segment, started,
    state_of,
};

/// Every entry, every kind of event, and a record with everything in it.
fn one_of_each() -> Vec<Entry> {
    let id: CommandId = "cmd-1".parse().unwrap();
    let kinds = [
        EventKind::Started { version: "0.1.0".to_owned() },
        EventKind::Stopped,
        EventKind::ClockStep { by_ms: -15_000 },
        EventKind::Dropped { from: 1, to: 9, count: 9, why: "disk".to_owned() },
        EventKind::Damaged { from: 3, to: 4, file: "damaged-1".to_owned() },
        EventKind::Newer { file: "newer-2".to_owned() },
        EventKind::Overdue { job: job(0), started: at(3) },
        EventKind::Refused { job: Some(job(1)), source: "a.toml".to_owned(), reason: "schedule".to_owned() },
        EventKind::Paused { job: job(1) },
        EventKind::Resumed { job: job(1) },
        EventKind::Unrecorded { count: 2, why: "full".to_owned() },
    ];
    let event = |kind| Entry::Event(DeviceEvent { at: at(9), clock: Clock::Unsynced, kind });
    let Entry::Record(plain) = record(5, 8) else { unreachable!() };
    let full = Record {
        key: FireKey { job: job(2), fire: Fire::Manual { id } },
        trigger: Trigger::Manual,
        outcome: Outcome::Stopped,
        last: false,
        reason: Some(Reason::Shutdown),
        detail: Some("gone".to_owned()),
        exit_code: None,
        signal: Some(15),
        covers: Some(Covers { from: at(1), to: at(5), count: 5 }),
        stopped_by: Some("root".to_owned()),
        not_applied: vec!["memory".to_owned()],
        output: Some(Output { head: "a".to_owned(), tail: "z".to_owned(), bytes: 99, dropped: 97 }),
        gate: Readings {
            load_per_cpu: Some(0.5),
            memory_available: Some(1 << 30),
            disk_available: vec![("/".to_owned(), None)],
            check: Some(true),
            ..Readings::default()
        },
        clock: Clock::Unsynced,
        ..*plain.clone()
    };
    let last = LastAttempt {
        outcome: Outcome::Failed,
        reason: None,
        exit_code: Some(1),
        signal: None,
        started: Some(at(7)),
    };
    let key = FireKey { job: job(0), fire: Fire::Reboot { boot: BOOT } };
    let Entry::Pending(waits) = pending(7) else { unreachable!() };
    let waits =
        Pending { key, stage: PendingStage::Backoff, last: Some(last), trigger: Trigger::Reboot, ..waits };
    let mut entries = vec![
        Entry::Booted { boot: BOOT },
        Entry::Defined { job: job(0), source: Source::File("a.toml".to_owned()), text: "{}".to_owned() },
        Entry::Defined { job: job(0), source: Source::Agent, text: "{}".to_owned() },
        Entry::Defined { job: job(1), source: Source::Group("all".parse().unwrap()), text: "{}".to_owned() },
        Entry::Withdrawn { job: job(0), source: Source::Agent },
        Entry::Began { job: job(0), era: 1, at: at(0) },
        Entry::Record(Box::new(full)),
        Entry::Record(plain),
        Entry::Pending(waits),
        Entry::Missed(Missed { job: job(1), era: 1, after: at(1), to: at(5) }),
        intent(6),
        started(6),
        Entry::Paused { job: job(2), at: at(2) },
        Entry::Resumed { job: job(1) },
        Entry::Forgotten { job: "old".parse().unwrap() },
    ];
    entries.extend(kinds.map(event));
    entries
}

/// A first segment, and the compacted one that follows it.
fn journals() -> (Vec<(&'static str, Vec<u8>)>, Model) {
    let disk = MemDisk::new();
    let (mut journal, _) = open(&disk);
    let mut model = Model::new();
    assert!(
        model.run(&mut journal, &[(one_of_each(), Durability::Synced), (vec![event(1)], Durability::Synced)])
    );
    let first = disk.content(&segment(&disk)).unwrap();
    journal.compact().unwrap();
    let later =
        vec![intent(8), Entry::Started(Started { run: leafcron::job::RunId(8), pid: 1, start_ticks: 2 })];
    assert!(model.run(&mut journal, &[(later, Durability::Unsynced)]));
    let second = disk.content(&segment(&disk)).unwrap();
    (vec![("journal-1", first), ("journal-2", second)], model)
}

/// A segment of what was appended to the format when the link came.
fn linked() -> (Vec<u8>, Model) {
    let disk = MemDisk::new();
    let (mut journal, _) = open(&disk);
    let mut model = Model::new();
    let kind = EventKind::Link { phase: "definitions".to_owned(), reason: "it ended".to_owned() };
    let entries = vec![
        Entry::Defined { job: job(0), source: Source::Agent, text: "{}".to_owned() },
        Entry::Orphaned { job: job(0), source: Source::Agent },
        Entry::Bucket(Bucket { id: Some("0123".parse().unwrap()), sequence: 300 }),
        Entry::Acked(Acked { through: 1, stream_sequence: 70_000, told: 2 }),
        Entry::Taken(Taken { id: "stop-1".parse().unwrap(), job: job(0), until: Some(at(99)) }),
        Entry::Event(DeviceEvent { at: at(9), clock: Clock::Synced, kind }),
    ];
    assert!(model.run(&mut journal, &[(entries, Durability::Synced)]));
    (disk.content(&segment(&disk)).unwrap(), model)
}

/// A segment of what was appended when a clock could be found wrong, and the compacted one that follows it.
fn eras() -> (Vec<(&'static str, Vec<u8>)>, Model) {
    let disk = MemDisk::new();
    let (mut journal, _) = open(&disk);
    let mut model = Model::new();
    let eras = |main, provisional, last, minute| {
        let provisional = Option::map(provisional, |era| Provisional { era, boot: BOOT });
        let (until, newest) = (Some(at(50)), Some(at(40)));
        Entry::Eras(Eras { main, provisional, last, at: at(minute), until, newest })
    };
    let began = |n, era| Entry::Began { job: job(n), era, at: at(n) };
    let run = RunId(6);
    let entries = vec![
        eras(2, None, 2, 30),
        began(0, 2),
        began(1, 2),
        intent(6),
        Entry::SuccessExitCodes { run, codes: vec![0, 7] },
        Entry::Stopping { run, why: StopWhy::Command { by: "uid 0".to_owned() } },
        intent(7),
        Entry::Stopping { run: RunId(7), why: StopWhy::Replaced },
        Entry::Taken(Taken { id: "stop-2".parse().unwrap(), job: job(1), until: None }),
        eras(2, Some(3), 3, -9_000_000),
        began(2, 3),
        Entry::Missed(Missed { job: job(1), era: 3, after: at(-8_000_000), to: at(-8_000_000) }),
        event(1),
    ];
    assert!(model.run(&mut journal, &[(entries, Durability::Synced)]));
    let first = disk.content(&segment(&disk)).unwrap();
    journal.compact().unwrap();
    assert!(model.run(&mut journal, &[(vec![event(2)], Durability::Synced)]));
    let second = disk.content(&segment(&disk)).unwrap();
    (vec![("journal-eras", first), ("journal-eras-2", second)], model)
}

/// A segment with every reading that a gate can be decided by, and a pressure of each kind.
fn gates() -> (Vec<u8>, Model) {
    let disk = MemDisk::new();
    let (mut journal, _) = open(&disk);
    let mut model = Model::new();
    let Entry::Record(plain) = record(5, 8) else { unreachable!() };
    let told = |gate| Entry::Record(Box::new(Record { gate, ..*plain.clone() }));
    let entries = vec![
        told(Readings {
            load_per_cpu: Some(0.25),
            memory_available: Some(300),
            disk_available: vec![("/var".to_owned(), Some(1 << 40))],
            cpu_pressure: Some(Pressure::Some10(12.5)),
            memory_pressure: Some(Pressure::Available(40.0)),
            io_pressure: Some(Pressure::Load(0.5)),
            temperature: Some(61.5),
            throttled: Some(Throttled(0b1001)),
            power: Some(Power::Battery),
            battery: Some(97),
            network: Some(Network::Offline),
            clock: Some(Clock::Unsynced),
            check: Some(false),
        }),
        told(Readings {
            power: Some(Power::Mains),
            network: Some(Network::Online),
            clock: Some(Clock::Synced),
            ..Readings::default()
        }),
        told(Readings::default()),
    ];
    assert!(model.run(&mut journal, &[(entries, Durability::Synced)]));
    (disk.content(&segment(&disk)).unwrap(), model)
}

/// A segment with both events of a name that two devices have.
fn twins() -> (Vec<u8>, Model) {
    let disk = MemDisk::new();
    let (mut journal, _) = open(&disk);
    let mut model = Model::new();
    let told = |newcomer| {
        let kind = EventKind::DuplicateAgent { other_epoch: Id128([0xa1; 16]), newcomer };
        Entry::Event(DeviceEvent { at: at(9), clock: Clock::Synced, kind })
    };
    assert!(model.run(&mut journal, &[(vec![told(true), told(false)], Durability::Synced)]));
    (disk.content(&segment(&disk)).unwrap(), model)
}

/// A segment that another machine took over: bound, with the event of a new epoch, and facts without a number.
fn bound() -> (Vec<u8>, State) {
    let disk = MemDisk::new();
    let on = |machine: u8, epoch| Options {
        machine: vec![Id128([machine; 16])],
        fresh_epoch: Id128([epoch; 16]),
        ..options()
    };
    let (mut journal, _) = open_with(&disk, on(1, 0xe9));
    let acked = Entry::Acked(Acked { through: 2, stream_sequence: 80, told: 2 });
    journal.commit(&[event(1), record(1, 8), acked, record(2, 0), event(3)], Durability::Synced).unwrap();
    drop(journal);
    let (mut journal, _) = open_with(&disk, on(2, 0xe0));
    journal.commit(&[intent(4)], Durability::Synced).unwrap();
    drop(journal);
    let (_, recovered) = open_with(&disk, on(2, 0xe8));
    (disk.content(&segment(&disk)).unwrap(), state_of(&disk, &recovered))
}

/// What can be read at all must have been seen: golden bytes for each version that is read.
#[test]
fn every_version_that_is_read_has_golden_bytes() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut versions = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(golden).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        if bytes.starts_with(b"leafcron") {
            versions.insert(u32::from_le_bytes(bytes[8..12].try_into().unwrap()));
        }
    }
    // The newest version that this release reads: one above is newer to it.
    let reads = (1u32..).find(|version| {
        let disk = MemDisk::new();
        disk.put("journal-1", &[b"leafcron".as_slice(), &(version + 1).to_le_bytes()].concat());
        matches!(open(&disk).1.notes[..], [EventKind::Newer { .. }])
    });
    assert_eq!(versions, (1..=reads.unwrap()).collect());
}

#[test]
fn a_definition_is_kept_as_the_json_text_that_was_given() {
    let text = r#"{"command":"echo ä","schedule":"0 3 * * *","timeout":"90s"}"#;
    let disk = MemDisk::new();
    let (mut journal, _) = open(&disk);
    let defined = Entry::Defined { job: job(0), source: Source::Agent, text: text.to_owned() };
    journal.commit(&[defined], Durability::Synced).unwrap();
    let bytes = disk.content(&segment(&disk)).unwrap();
    assert!(bytes.windows(text.len()).any(|part| part == text.as_bytes()), "no second form of it");
    journal.compact().unwrap();
    let bytes = disk.content(&segment(&disk)).unwrap();
    assert!(bytes.windows(text.len()).any(|part| part == text.as_bytes()));
}

#[test]
fn a_journal_of_format_1_is_written_as_it_always_was() {
    let mut journals = journals().0;
    journals.push(("journal-linked", linked().0));
    journals.extend(eras().0);
    journals.push(("journal-gates", gates().0));
    journals.push(("journal-bound", bound().0));
    journals.push(("journal-twins", twins().0));
    for (name, bytes) in journals {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        if std::env::var_os("LEAFCRON_BLESS").is_some() {
            std::fs::write(&path, &bytes).unwrap();
        }
        assert!(std::fs::read(&path).unwrap() == bytes, "{name} differs from its golden bytes");
    }
}

#[test]
fn a_journal_of_format_1_is_read_as_it_always_was() {
    let (model, linked, eras) = (journals().1, linked().1, eras().1);
    let (bound, gates, twins) = (bound().1, gates().1, twins().1);
    let files = [
        ("journal-1", include_bytes!("../golden/journal-twins").as_slice(), &twins.states[1]),
        ("journal-1", include_bytes!("../golden/journal-gates").as_slice(), &gates.states[1]),
        ("journal-1", include_bytes!("../golden/journal-eras").as_slice(), &eras.states[1]),
        ("journal-2", include_bytes!("../golden/journal-eras-2").as_slice(), &eras.states[2]),
        ("journal-2", include_bytes!("../golden/journal-bound").as_slice(), &bound),
        ("journal-1", include_bytes!("../golden/journal-linked").as_slice(), &linked.states[1]),
        ("journal-1", include_bytes!("../golden/journal-1").as_slice(), &model.states[2]),
        ("journal-2", include_bytes!("../golden/journal-2").as_slice(), &model.states[3]),
    ];
    for (name, bytes, expected) in files {
        let disk = MemDisk::new();
        disk.put(name, bytes);
        let (_, recovered) = open(&disk);
        assert_eq!((recovered.epoch, recovered.notes.len()), (Id128([0xe0; 16]), 0), "{name}");
        assert_eq!(state_of(&disk, &recovered), *expected, "{name}");
    }
}

#[test]
fn the_layout_is_the_one_in_the_picture() {
    let bytes = include_bytes!("../golden/journal-1");
    assert_eq!(&bytes[..12], b"leafcron\x01\0\0\0");
    assert_eq!(&bytes[12..20], 1u64.to_le_bytes());
    assert_eq!(&bytes[20..36], [0xe0; 16]);
    assert_eq!(&bytes[36..44], 1u64.to_le_bytes());
    assert_eq!(&bytes[44..76], [0; 32]);
    assert_eq!(bytes[76..80], crc32c::crc32c(&bytes[..76]).to_le_bytes());
    assert_eq!(bytes[..80], bytes[80..160]);
    let len = u32::from_le_bytes(bytes[160..164].try_into().unwrap());
    let end = 168 + usize::try_from(len).unwrap();
    let mut crc = crc32c::crc32c(&bytes[..80]);
    for part in [&160u64.to_le_bytes()[..], &len.to_le_bytes(), &bytes[168..end]] {
        crc = crc32c::crc32c_append(crc, part);
    }
    assert_eq!(bytes[164..168], crc.to_le_bytes());
    // Commit, first seq 1, 26 entries, the first of them Booted (variant 10).
    assert_eq!(bytes[168..172], [0, 1, 26, 10]);
}
