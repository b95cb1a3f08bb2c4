//! A workload, and a model that says what a journal of it must add up to.

use leafcron::job::{
    BootId, BootTime, Clock, DeviceEvent, Entry, Epoch, EventKind, Fire, FireKey, Id128, Image, Intent,
    JobName, Missed, Now, Outcome, Output, Pending, PendingStage, Readings, Record, Revision, RunId, Source,
    Started, Trigger, Usage, WallTime,
};
use leafcron::store::{Durability, Journal, MemDisk, Options, Recovered, Unsent, history};

pub(crate) const BOOT: BootId = Id128([0xb0; 16]);
pub(crate) const EPOCH: Epoch = Id128([0xe0; 16]);
pub(crate) const ALL: usize = 1_000_000;

pub(crate) fn options() -> Options {
    Options {
        disk_bytes: 32 << 20,
        history: 50,
        fresh_epoch: EPOCH,
        machine: Vec::new(),
        now: Now { wall: at(0), boot: BootTime::from_millis(0), clock: Clock::Synced },
        unsent: Unsent::History,
    }
}

pub(crate) fn at(minute: i64) -> WallTime {
    WallTime::from_secs(1_790_000_000 + 60 * minute)
}

pub(crate) fn job(n: i64) -> JobName {
    ["backup", "telemetry", "clean-up"][usize::try_from(n.rem_euclid(3)).unwrap()].parse().unwrap()
}

pub(crate) fn key(n: i64) -> FireKey {
    FireKey { job: job(n), fire: Fire::Scheduled { era: 1, due: at(n) } }
}

pub(crate) fn intent(n: i64) -> Entry {
    Entry::Intent(Intent {
        key: key(n),
        due: at(n),
        trigger: Trigger::Schedule,
        attempt: 1,
        run: RunId(n.unsigned_abs()),
        revision: Revision::of("{}"),
        at: at(n),
        boot: BOOT,
    })
}

pub(crate) fn started(n: i64) -> Entry {
    Entry::Started(Started { run: RunId(n.unsigned_abs()), pid: 4_321, start_ticks: 987_654 })
}

pub(crate) fn record(n: i64, output: usize) -> Entry {
    let output = (output > 0).then(|| Output {
        head: "out ".repeat(output / 4),
        tail: String::new(),
        bytes: output as u64,
        dropped: 0,
    });
    Entry::Record(Box::new(Record {
        key: key(n),
        revision: Revision::of("{}"),
        trigger: Trigger::Schedule,
        due: at(n),
        started: Some(at(n)),
        ended: at(n + 1),
        attempt: 1,
        outcome: Outcome::Succeeded,
        last: true,
        reason: None,
        detail: None,
        exit_code: Some(0),
        signal: None,
        covers: None,
        stopped_by: None,
        not_applied: Vec::new(),
        output,
        usage: Some(Usage { cpu_ms: 12, max_rss_kib: 3_456 }),
        gate: Readings::default(),
        clock: Clock::Synced,
        era: 1,
    }))
}

pub(crate) fn event(n: i64) -> Entry {
    Entry::Event(DeviceEvent { at: at(n), clock: Clock::Synced, kind: EventKind::ClockStep { by_ms: n } })
}

pub(crate) fn pending(n: i64) -> Entry {
    Entry::Pending(Pending {
        key: key(n),
        due: at(n),
        trigger: Trigger::Schedule,
        stage: PendingStage::Gate,
        attempt: 0,
        since: BootTime::from_millis(n.unsigned_abs()),
        boot: BOOT,
        not_before: BootTime::from_millis(0),
        last: None,
        force: false,
    })
}

/// Whether anything of its output was kept.
pub(crate) fn has_output(record: &Record) -> bool {
    record.output.as_ref().is_some_and(|output| !output.head.is_empty())
}

/// The entries as a full disk takes them.
pub(crate) fn lean(entries: &[Entry]) -> Vec<Entry> {
    let strip = |entry: &Entry| {
        let mut entry = entry.clone();
        if let Entry::Record(record) = &mut entry {
            record.leave_out_output();
        }
        entry
    };
    entries.iter().map(strip).collect()
}

/// One turn, and whether it waits for the disk.
pub(crate) type Turn = (Vec<Entry>, Durability);

/// Turns with every kind of entry in them.
pub(crate) fn turns(count: i64) -> Vec<Turn> {
    use Durability::{Synced, Unsynced};
    let mut turns = vec![(
        vec![
            Entry::Booted { boot: BOOT },
            event(0),
            Entry::Defined { job: job(0), source: Source::Agent, text: r#"{"command":"true"}"#.to_owned() },
            Entry::Began { job: job(0), era: 1, at: at(-1) },
        ],
        Synced,
    )];
    for n in 0..count {
        match n % 6 {
            0 => turns.push((vec![pending(n)], Synced)),
            1 => turns.push((vec![Entry::Paused { job: job(n), at: at(n) }, intent(n)], Synced)),
            2 => turns.push((
                vec![Entry::Missed(Missed { job: job(n), era: 1, after: at(n), to: at(n + 9) })],
                Synced,
            )),
            3 => turns.push((vec![Entry::Resumed { job: job(n) }, event(n)], Synced)),
            4 => turns.push((vec![Entry::Withdrawn { job: job(n), source: Source::Agent }], Unsynced)),
            _ => turns.push((vec![Entry::Forgotten { job: job(n) }, record(n + 1, 0)], Synced)),
        }
        turns.push((vec![intent(n)], Synced));
        turns.push((vec![started(n)], Unsynced));
        turns.push((vec![record(n, 40)], Synced));
    }
    turns
}

/// What a journal says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) image: Image,
    pub(crate) records: Vec<(u64, Record)>,
    pub(crate) next_seq: u64,
}

impl State {
    fn take(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.image.apply(entry);
            if let Entry::Record(record) = entry {
                self.records.push((self.next_seq, (**record).clone()));
            }
            self.next_seq += u64::from(matches!(entry, Entry::Record(_) | Entry::Event(_)));
        }
    }
}

/// Applies turns as a journal should.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// After each turn that may be there; the first: nothing.
    pub(crate) states: Vec<State>,
    /// The entries of the turn that led to each of them.
    turns: Vec<Vec<Entry>>,
    /// How many of them must be there.
    pub(crate) acknowledged: usize,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self::of(State { next_seq: 1, ..State::default() })
    }

    pub(crate) fn of(state: State) -> Self {
        Self { states: vec![state], turns: vec![Vec::new()], acknowledged: 0 }
    }

    /// Takes the last turn back.
    pub(crate) fn pop(&mut self) -> State {
        self.turns.pop();
        self.states.pop().unwrap()
    }

    pub(crate) fn now(&self) -> &State {
        self.states.last().unwrap()
    }

    /// A turn that was committed, or that may have been.
    pub(crate) fn add(&mut self, entries: &[Entry]) {
        let mut state = self.now().clone();
        state.take(entries);
        self.states.push(state);
        self.turns.push(entries.to_vec());
    }

    /// The states that a power cut may leave that spares unsynced frames in no order.
    pub(crate) fn subsequences(&self) -> Vec<State> {
        let mut all = vec![self.states[self.acknowledged].clone()];
        for turn in self.acknowledged + 1..self.states.len() {
            let with = all.clone().into_iter().map(|mut state| {
                state.next_seq = self.states[turn - 1].next_seq;
                state.take(&self.turns[turn]);
                state
            });
            all.extend(with.collect::<Vec<_>>());
        }
        all
    }

    pub(crate) fn acknowledge(&mut self) {
        self.acknowledged = self.states.len() - 1;
    }

    /// Commits the turns until the disk refuses one; that one may be there.
    pub(crate) fn run(&mut self, journal: &mut Journal<MemDisk>, turns: &[Turn]) -> bool {
        for (entries, durability) in turns {
            let expected = self.now().next_seq;
            self.add(entries);
            match journal.commit(entries, *durability) {
                Ok(committed) => assert_eq!(committed.first_seq, expected),
                Err(_) => return false,
            }
            if *durability == Durability::Synced {
                self.acknowledge();
            }
        }
        true
    }

    /// What was found is one of the states that may be there.
    pub(crate) fn check(&self, found: &State, context: &str) {
        let may = &self.states[self.acknowledged..];
        if may.contains(found) {
            return;
        }
        let records = |state: &State| state.records.iter().map(|(seq, _)| *seq).collect::<Vec<_>>();
        panic!(
            "{context}: found next {} records {:?}\n{:#?}\n expected one of {} states, the first of them next {} records {:?}\n{:#?}",
            found.next_seq,
            records(found),
            found.image,
            may.len(),
            may[0].next_seq,
            records(&may[0]),
            may[0].image,
        );
    }
}

pub(crate) fn state_of(disk: &MemDisk, recovered: &Recovered) -> State {
    State {
        image: recovered.image.clone(),
        records: history(disk, None, ALL).unwrap(),
        next_seq: recovered.next_seq,
    }
}

pub(crate) fn open(disk: &MemDisk) -> (Journal<MemDisk>, Recovered) {
    open_with(disk, options())
}

pub(crate) fn open_with(disk: &MemDisk, options: Options) -> (Journal<MemDisk>, Recovered) {
    Journal::open(disk.clone(), options).unwrap()
}

/// Opens, tells what is there, closes.
pub(crate) fn reopened(disk: &MemDisk) -> (State, Recovered) {
    let (journal, recovered) = open(disk);
    drop(journal);
    (state_of(disk, &recovered), recovered)
}

/// The name of the segment in use.
pub(crate) fn segment(disk: &MemDisk) -> String {
    let plain = |name: &String| name.strip_prefix("journal-").is_some_and(|n| n.parse::<u64>().is_ok());
    let mut names: Vec<String> = disk.names().into_iter().filter(plain).collect();
    names.sort_by_key(|name| name.strip_prefix("journal-").unwrap().parse::<u64>().unwrap());
    names.pop().unwrap()
}
