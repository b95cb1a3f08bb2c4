//! Records and events on their way to the stream, in the order of their numbers. At most a window of them is with the
//! link; what the stream acknowledged is journalled as [`Acked`], which never runs ahead of an open one.
//!
//! ```text
//!            acked.through        read_through        durable
//!  ─────────────┼──────────────────────┼──────────────────┼──▶ numbers
//!   in the      │   window: sent,      │ in the journal,  │ being
//!   stream      │   some acked         │ to be read       │ committed
//! ```
//! The stream may hold other facts under our numbers: this journal is a restored copy, or two devices have it. Then nothing
//! more is sent, what is on its way is waited for, and the agent goes on in a new epoch ([`renewal`](Results::renewal)).
//!
//! The journal may lack numbers: history that gave way, or a damaged part. They are told in one `dropped` event before
//! `through` passes them (`told`).

use std::collections::BTreeMap;

use super::super::chain;
use crate::config::{Config, Nats, SendOutput};
use crate::job::limits::{IN_FLIGHT, IN_FLIGHT_BYTES};
use crate::job::{
    Acked, AgentName, Entry, Epoch, EventJson, EventKind, FactId, Name, Outcome, RecordJson, with_less_output,
};
use crate::link::frame::ToLink;
use crate::store::{Delivered, Disk, Outbox, StoreError, Survey};

/// Messages of ours that are remembered while the stream is compared: acknowledgements are journalled, so that no more
/// than [`ACKED_UNSYNCED`](super::super::turns::ACKED_UNSYNCED) and a window can lie beyond the point that is known.
const STORED: usize = 4_096;

/// What is to be read from the journal next, beside the loop.
pub struct Ask<D: Disk> {
    generation: u64,
    reader: Outbox<D>,
    what: What,
    after: u64,
    through: u64,
}

#[derive(Clone, Copy)]
enum What {
    Facts { count: usize, bytes: usize },
    Survey,
}

/// What was read.
pub struct Answer<D: Disk> {
    generation: u64,
    reader: Outbox<D>,
    found: Result<Found, StoreError>,
    through: u64,
}

enum Found {
    Facts(Vec<(u64, Entry)>),
    Survey(Option<Survey>),
}

impl<D: Disk> Ask<D> {
    /// Reads; takes as long as the disk does.
    pub fn read(self) -> Answer<D> {
        let Self { generation, mut reader, what, after, through } = self;
        let found = match what {
            What::Facts { count, bytes } => reader.read(after, through, count, bytes).map(Found::Facts),
            What::Survey => reader.survey(after, through).map(Found::Survey),
        };
        Answer { generation, reader, found, through }
    }
}

/// Whom facts are from, and how they are named.
#[derive(Clone, Debug)]
pub struct FactSender {
    /// The device.
    pub agent: AgentName,
    /// What every subject begins with.
    pub prefix: Name,
    /// Which outputs go along.
    pub send_output: SendOutput,
}

impl FactSender {
    /// As the configuration says.
    #[must_use]
    pub fn new(config: &Config, nats: &Nats) -> Self {
        Self { agent: config.agent.clone(), prefix: nats.prefix.clone(), send_output: nats.send_output }
    }
}

/// The pump.
pub struct Results<D: Disk> {
    sender: FactSender,
    epoch: Epoch,
    /// `None` while a thread reads with it.
    reader: Option<Outbox<D>>,
    /// The last reading failed: the next one waits until something has changed.
    unread: bool,
    acked: Acked,
    /// As it was put into a turn last.
    noted: Acked,
    /// The stream is another, and the journal may not know: what is sent now could bring it beyond the sequence that is
    /// remembered, and after a power cut nobody would see what it lacks.
    rewound: bool,
    /// The last number that is durable.
    durable: u64,
    /// The last number that was there at the start, durable or not: what the stream has beyond both is another's.
    found: u64,
    /// Why numbers that nobody told are missing.
    why: &'static str,
    /// The stream holds other facts under our numbers, and why we think so: nothing more is sent in this epoch.
    conflict: Option<String>,
    /// Of one link process.
    flow: Flow,
    generation: u64,
}

#[derive(Default)]
struct Flow {
    /// The stream was compared.
    ready: bool,
    /// What of ours lies in the stream beyond the point: where, by number.
    stored: BTreeMap<u64, (FactId, u64)>,
    window: BTreeMap<u64, Sent>,
    read_through: u64,
    /// A number was missing: the journal is surveyed before anything more is read.
    survey: bool,
    /// The segment that was surveyed: what is missing in another one may have given way since, untold.
    surveyed: Option<u64>,
    /// The stream holds numbers that we never gave: what is ours up to there is compared, and nothing is sent.
    beyond: Option<String>,
}

struct Sent {
    payload: Vec<u8>,
    /// Where the stream has it.
    at: Option<u64>,
    /// The stream has another fact under its number.
    taken: bool,
}

/// What follows from an answer.
#[derive(Default)]
pub struct Outgoing {
    /// For the link.
    pub frames: Vec<ToLink>,
    /// For the journal.
    pub events: Vec<EventKind>,
}

impl<D: Disk> Results<D> {
    /// A pump of the facts in `(acked.through, durable]` of one epoch; nothing goes out before a link begins.
    pub fn new(
        sender: FactSender,
        epoch: Epoch,
        reader: Outbox<D>,
        acked: Acked,
        durable: u64,
        found: u64,
    ) -> Self {
        Self {
            sender,
            epoch,
            reader: Some(reader),
            unread: false,
            acked,
            noted: acked,
            rewound: false,
            durable,
            found,
            why: "history",
            conflict: None,
            flow: Flow::default(),
            generation: 0,
        }
    }

    /// A link process begins: nothing is under way.
    pub fn begin(&mut self) {
        self.generation += 1;
        self.flow = Flow { read_through: self.acked.through, ..Flow::default() };
    }

    /// How far the centre has them.
    #[must_use]
    pub fn acked(&self) -> Acked {
        self.acked
    }

    /// How many are durable and not known to be there.
    #[must_use]
    pub fn unsent(&self) -> u64 {
        self.durable.saturating_sub(self.acked.through)
    }

    /// Why nothing more is sent, if so.
    #[must_use]
    pub fn conflict(&self) -> Option<&str> {
        self.conflict.as_deref()
    }

    /// Why this epoch has to end and what of it the centre has, once everything that is on its way was answered.
    #[must_use]
    pub fn renewal(&self) -> Option<(String, Delivered)> {
        let why = self.conflict.clone()?;
        let through = self.acked.through;
        if self.flow.window.values().any(|sent| sent.at.is_none() && !sent.taken) {
            return None;
        }
        let there = self.flow.window.iter().filter(|(_, sent)| sent.at.is_some());
        let beyond = there.map(|(seq, _)| *seq).filter(|seq| *seq > through).collect();
        Some((why, Delivered { through, beyond }))
    }

    /// A new epoch has begun, durable up to `durable`; its facts go out with the next link.
    pub fn renew(&mut self, reader: Outbox<D>, acked: Acked, durable: u64) {
        let generation = self.generation;
        *self = Self::new(self.sender.clone(), reader.epoch(), reader, acked, durable, durable);
        self.generation = generation;
        self.begin();
    }

    /// These are durable, and with them all numbers up to `through`.
    pub fn durable(&mut self, through: u64, entries: &[Entry]) {
        self.durable = self.durable.max(through);
        self.unread = false;
        self.rewound &= !entries.iter().any(|entry| *entry == Entry::Acked(Acked::default()));
    }

    /// A while has passed: what could not be read may be readable.
    pub fn look_again(&mut self) {
        self.unread = false;
    }

    /// No thread could be had to read with it.
    pub fn give_back(&mut self, ask: Ask<D>) {
        self.reader = Some(ask.reader);
        self.unread = true;
    }

    /// What the journal is to remember, if it changed.
    pub fn take_note(&mut self) -> Option<Entry> {
        // Of an epoch that ends nothing more is noted.
        (self.noted != self.acked && self.conflict.is_none()).then(|| {
            self.noted = self.acked;
            Entry::Acked(self.acked)
        })
    }

    /// The stream's last sequence. Below the one that is remembered: it is another stream, or an older state of it, and
    /// all that the journal still holds is owed again.
    pub fn stream(&mut self, last_sequence: u64) {
        if last_sequence < self.acked.stream_sequence {
            log::warn!(
                "the stream of results ends at {last_sequence}, before our {}: it was made anew or restored; what the journal holds is sent again",
                self.acked.stream_sequence
            );
            self.why = "hub";
            self.acked = Acked::default();
            self.rewound = true;
            self.flow.read_through = 0;
        }
    }

    /// A message of ours that the stream holds.
    pub fn stored(&mut self, stream_sequence: u64, payload: &[u8]) {
        let Some(id) = FactId::of(payload).filter(|id| id.epoch == self.epoch) else { return };
        if id.seq > self.durable.max(self.found) {
            let beyond = contradiction(&self.sender.agent, self.epoch, id.seq, stream_sequence);
            self.flow.beyond.get_or_insert(beyond);
        }
        if id.seq > self.acked.through && self.flow.stored.len() < STORED {
            self.flow.stored.insert(id.seq, (id, stream_sequence));
        }
    }

    /// All messages of ours were told: sending may begin.
    pub fn resumed(&mut self) {
        self.flow.ready = true;
        self.conclude();
    }

    fn contradict(&mut self, seq: u64, stream_sequence: u64) {
        self.conflicts(contradiction(&self.sender.agent, self.epoch, seq, stream_sequence));
    }

    fn conflicts(&mut self, why: String) {
        if self.conflict.is_none() {
            log::error!("{why}");
            self.conflict = Some(why);
        }
    }

    /// What is ours was compared as far as it goes: numbers beyond it are another's. So it is, too, where some of ours are
    /// missing: nobody needs to be told of them in this epoch any more.
    fn conclude(&mut self) {
        if self.flow.survey || self.flow.read_through >= self.durable {
            self.flow.beyond.take().into_iter().for_each(|why| self.conflicts(why));
        }
    }

    /// The stream has it, there.
    pub fn acknowledged(&mut self, seq: u64, stream_sequence: u64) {
        if let Some(sent) = self.flow.window.get_mut(&seq) {
            sent.at = Some(stream_sequence);
            sent.payload = Vec::new();
        }
        self.advance();
    }

    /// The stream has something under our id: it counts if it is this fact.
    pub fn duplicate(&mut self, seq: u64, stream_sequence: u64, payload: &[u8]) {
        let Some(sent) = self.flow.window.get_mut(&seq).filter(|sent| sent.at.is_none()) else { return };
        let ours = FactId::of(&sent.payload);
        if ours.is_some() && ours == FactId::of(payload) {
            self.acknowledged(seq, stream_sequence);
        } else {
            sent.taken = true;
            self.contradict(seq, stream_sequence);
        }
    }

    /// The server will not take it as it is: with less of its output, or not at all.
    pub fn refused(&mut self, seq: u64, reason: &str) -> Outgoing {
        let mut out = Outgoing::default();
        let Some(sent) = self.flow.window.get_mut(&seq).filter(|sent| sent.at.is_none()) else { return out };
        if let Some(lean) = with_less_output(&sent.payload) {
            log::warn!("fact {seq} goes to the centre with less of its output: {reason}");
            sent.payload.clone_from(&lean);
            let subject = subject(&self.sender, &lean).unwrap_or_default();
            out.frames.push(ToLink::Fact { seq, subject, payload: lean });
            return out;
        }
        let why = format!("refused by the server: {reason}");
        out.events.push(EventKind::Dropped { from: seq, to: seq, count: 1, why });
        let at = self.acked.stream_sequence;
        self.acknowledged(seq, at);
        out
    }

    /// Moves `through` over what is acknowledged or told.
    fn advance(&mut self) {
        while let Some(first) = self.flow.window.first_entry() {
            self.acked.through = self.acked.through.max(first.key().saturating_sub(1));
            let Some(at) = first.get().at else { return };
            self.acked.through = *first.key();
            self.acked.stream_sequence = self.acked.stream_sequence.max(at);
            first.remove();
        }
        self.acked.through = self.acked.through.max(self.flow.read_through);
    }

    /// What to read now, if anything.
    pub fn wants(&mut self) -> Option<Ask<D>> {
        let Flow { ready, window, read_through, survey, .. } = &self.flow;
        let open = window.values().filter(|sent| sent.at.is_none());
        let (held, bytes) = (window.len(), open.map(|sent| sent.payload.len()).sum::<usize>());
        // Half a window is worth a look at the disk.
        let room = held <= IN_FLIGHT / 2 && bytes <= IN_FLIGHT_BYTES / 2;
        if !ready
            || self.rewound
            || self.unread
            || self.conflict.is_some()
            || *read_through >= self.durable
            || !room
        {
            return None;
        }
        let what = if *survey {
            What::Survey
        } else {
            What::Facts { count: IN_FLIGHT - held, bytes: IN_FLIGHT_BYTES - bytes }
        };
        let (after, through) = (*read_through, self.durable);
        let reader = self.reader.take()?;
        Some(Ask { generation: self.generation, reader, what, after, through })
    }

    /// What was read goes out, but for what the stream has.
    pub fn read(&mut self, answer: Answer<D>) -> Outgoing {
        let Answer { generation, reader, found, through } = answer;
        let segment = reader.segment();
        let mut out = Outgoing::default();
        if reader.epoch() != self.epoch {
            return out;
        }
        self.reader = Some(reader);
        if generation != self.generation {
            return out;
        }
        match found {
            Ok(Found::Facts(facts)) => self.facts(facts, through, segment, &mut out),
            Ok(Found::Survey(missing)) => {
                if let Some(Survey { from, to, count }) = missing {
                    out.events.push(EventKind::Dropped { from, to, count, why: self.why.to_owned() });
                }
                self.acked.told = self.acked.told.max(through);
                self.flow.survey = false;
                self.flow.surveyed = Some(segment);
                self.why = "history";
            }
            Err(error) => {
                log::error!("read what is to be sent: {}", chain(&error));
                self.unread = true;
            }
        }
        self.advance();
        self.conclude();
        out
    }

    fn facts(&mut self, facts: Vec<(u64, Entry)>, through: u64, segment: u64, out: &mut Outgoing) {
        let known = |results: &Self, next: u64| {
            let told = if results.flow.surveyed == Some(segment) { results.acked.told } else { 0 };
            next <= results.flow.read_through.max(told).saturating_add(1)
        };
        let none = facts.is_empty();
        for (seq, entry) in facts {
            if !known(self, seq) {
                self.flow.survey = true;
                return;
            }
            let (subject, payload) = self.message(seq, entry);
            let at = match self.flow.stored.remove(&seq) {
                Some((id, at)) if FactId::of(&payload) == Some(id) => Some(at),
                Some((_, at)) => return self.contradict(seq, at),
                None if self.flow.beyond.is_some() => {
                    return self.flow.beyond.take().into_iter().for_each(|why| self.conflicts(why));
                }
                None => None,
            };
            self.flow.read_through = seq;
            if at.is_none() {
                out.frames.push(ToLink::Fact { seq, subject, payload: payload.clone() });
            }
            self.flow.window.insert(seq, Sent { payload, at, taken: false });
        }
        if none {
            // Nothing up to there: all of it is missing.
            if known(self, through.saturating_add(1)) {
                self.flow.read_through = through;
            } else {
                self.flow.survey = true;
            }
        }
    }

    /// Where it goes, and what it says.
    fn message(&self, seq: u64, entry: Entry) -> (String, Vec<u8>) {
        let FactSender { agent, prefix, send_output } = &self.sender;
        // Plain data: it always prints.
        match entry {
            Entry::Record(mut record) => {
                match send_output {
                    SendOutput::All => {}
                    SendOutput::Failures if record.outcome != Outcome::Succeeded => {}
                    SendOutput::Failures | SendOutput::None => record.output = None,
                }
                let subject = format!("{prefix}.run.{agent}.{}", record.key.job);
                let record = RecordJson::new(seq, self.epoch, agent.clone(), *record);
                (subject, serde_json::to_vec(&record).unwrap_or_default())
            }
            Entry::Event(event) => {
                let event = EventJson::new(seq, self.epoch, agent.clone(), event);
                let payload = serde_json::to_vec(&event).unwrap_or_default();
                (subject(&self.sender, &payload).unwrap_or_default(), payload)
            }
            _ => Default::default(),
        }
    }
}

fn contradiction(agent: &AgentName, epoch: Epoch, seq: u64, stream_sequence: u64) -> String {
    format!(
        "message {stream_sequence} of the stream is another fact {seq} of {agent} in epoch {epoch}: another device has this name and journal (a cloned card?), or this journal is a restored copy"
    )
}

/// Where a fact goes, as its own text says.
fn subject(sender: &FactSender, payload: &[u8]) -> Option<String> {
    let fact: serde_json::Value = serde_json::from_slice(payload).ok()?;
    let name = |field: &str| fact.get(field).and_then(serde_json::Value::as_str);
    // An event may name a job, too.
    let (kind, last) = match name("event") {
        Some(event) => ("event", event),
        None => ("run", name("job")?),
    };
    Some(format!("{}.{kind}.{}.{last}", sender.prefix, sender.agent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Clock, DeviceEvent, Id128, Now, WallTime};
    use crate::store::{Durability, Journal, MemDisk, Options, RealDisk, Unsent};

    const EPOCH: Epoch = Id128([7; 16]);

    /// A pump of a journal that has facts up to `durable`, its link compared with the stream. The directory lives as long.
    fn pump(acked: Acked, durable: u64) -> (Results<RealDisk>, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let sender = FactSender {
            agent: "pi".parse().unwrap(),
            prefix: "lc".parse().unwrap(),
            send_output: SendOutput::All,
        };
        let disk = RealDisk::open(dir.path()).unwrap();
        let mut results = Results::new(sender, EPOCH, Outbox::new(disk, EPOCH), acked, durable, durable);
        results.begin();
        (results, dir)
    }

    fn fact(seq: u64) -> (u64, Entry) {
        let by_ms = i64::try_from(seq).unwrap();
        let kind = EventKind::ClockStep { by_ms };
        (seq, Entry::Event(DeviceEvent { at: WallTime::from_secs(by_ms), clock: Clock::Synced, kind }))
    }

    /// The pump asks, and the journal holds these.
    fn read(results: &mut Results<RealDisk>, facts: impl IntoIterator<Item = u64>) -> Outgoing {
        let Ask { generation, reader, what, through, .. } = results.wants().expect("it wants to read");
        assert!(matches!(what, What::Facts { .. }));
        let found = Ok(Found::Facts(facts.into_iter().map(fact).collect()));
        results.read(Answer { generation, reader, found, through })
    }

    fn sent(out: &Outgoing) -> Vec<(u64, Vec<u8>)> {
        let of = |frame: &ToLink| match frame {
            ToLink::Fact { seq, subject, payload } => {
                assert_eq!(subject, "lc.event.pi.clock_step");
                (*seq, payload.clone())
            }
            other => panic!("{other:?}"),
        };
        out.frames.iter().map(of).collect()
    }

    fn numbers(out: &Outgoing) -> Vec<u64> {
        sent(out).into_iter().map(|(seq, _)| seq).collect()
    }

    #[test]
    fn nothing_goes_before_the_stream_was_compared_and_acks_count_in_any_order() {
        let (mut results, _dir) = pump(Acked::default(), 3);
        assert!(results.wants().is_none());
        results.resumed();
        assert_eq!(numbers(&read(&mut results, [1, 2, 3])), [1, 2, 3]);
        assert!(results.wants().is_none(), "there is no more");
        results.acknowledged(2, 20);
        assert_eq!((results.acked().through, results.take_note()), (0, None));
        results.acknowledged(1, 30);
        let acked = Acked { through: 2, stream_sequence: 30, told: 0 };
        assert_eq!(results.take_note(), Some(Entry::Acked(acked)));
        results.acknowledged(3, 31);
        results.acknowledged(99, 5);
        assert_eq!((results.acked().through, results.unsent()), (3, 0));
        results.durable(4, &[]);
        assert_eq!(numbers(&read(&mut results, [4])), [4]);
        // A link that dies takes the window with it.
        results.begin();
        results.resumed();
        assert_eq!(numbers(&read(&mut results, [4])), [4]);
    }

    #[test]
    fn what_the_stream_has_is_not_sent_again_and_what_differs_stops_everything() {
        let (mut first, _dir) = pump(Acked::default(), 2);
        first.resumed();
        let payloads = sent(&read(&mut first, [1, 2]));
        let (mut results, _dir) = pump(Acked::default(), 2);
        results.stored(50, &payloads[0].1);
        results.stored(51, b"nonsense");
        results.resumed();
        assert_eq!(numbers(&read(&mut results, [1, 2])), [2]);
        assert_eq!(results.acked(), Acked { through: 1, stream_sequence: 50, told: 0 });
        results.duplicate(2, 52, &payloads[1].1);
        assert_eq!(results.acked(), Acked { through: 2, stream_sequence: 52, told: 0 });

        // Under the same number another fact.
        let other = String::from_utf8(payloads[1].1.clone()).unwrap().replace("\"by_ms\":2", "\"by_ms\":9");
        let other = other.replace("1970-01-01T00:00:02", "1970-01-01T00:00:09");
        let (mut results, _dir) = pump(Acked::default(), 2);
        results.stored(50, other.as_bytes());
        results.resumed();
        assert_eq!(numbers(&read(&mut results, [1, 2])), [1]);
        assert!(results.conflict().is_some() && results.wants().is_none());
        assert_eq!(results.renewal(), None, "1 is on its way");
        results.acknowledged(1, 51);
        assert_eq!(results.acked().through, 1);
        assert_eq!(results.renewal().unwrap().1, Delivered { through: 1, beyond: [].into() });
        let (mut results, _dir) = pump(Acked::default(), 2);
        results.resumed();
        read(&mut results, [1, 2]);
        results.duplicate(2, 52, other.as_bytes());
        assert!(results.conflict().is_some());
        assert_eq!(results.acked().through, 0);
    }

    #[test]
    fn an_epoch_that_is_not_ours_alone_ends_when_what_is_on_its_way_was_answered() {
        let (mut first, dir) = pump(Acked::default(), 4);
        first.resumed();
        let payloads = sent(&read(&mut first, [1, 2, 3, 4]));
        let other = String::from_utf8(payloads[1].1.clone()).unwrap();
        let other = other.replace("1970-01-01T00:00:02", "1970-01-01T00:00:09");
        first.acknowledged(1, 50);
        first.duplicate(2, 51, other.as_bytes());
        first.acknowledged(4, 53);
        assert_eq!((first.renewal(), first.take_note()), (None, None), "3 is on its way");
        first.acknowledged(3, 52);
        assert_eq!(first.renewal().unwrap().1, Delivered { through: 1, beyond: [3, 4].into() });
        // Nothing of the old epoch counts in the new one: no ack, and no reader that comes back late.
        let disk = RealDisk::open(dir.path()).unwrap();
        let next = Id128([8; 16]);
        first.renew(Outbox::new(disk, next), Acked { stream_sequence: 50, ..Acked::default() }, 2);
        first.acknowledged(2, 54);
        assert_eq!((first.acked().through, first.unsent(), first.conflict()), (0, 2, None));
        first.stored(54, &payloads[3].1);
        first.resumed();
        let out = read(&mut first, [1, 2]);
        assert_eq!(numbers(&out), [1, 2]);
        assert!(String::from_utf8(sent(&out)[0].1.clone()).unwrap().contains(&next.to_string()));
    }

    #[test]
    fn numbers_that_this_journal_never_gave_end_its_epoch_once_what_is_equal_was_counted() {
        let (mut first, _dir) = pump(Acked::default(), 5);
        first.resumed();
        let payloads = sent(&read(&mut first, [1, 2, 3, 4, 5]));
        let (mut results, _dir) = pump(Acked::default(), 2);
        for (at, (_, payload)) in (50..).zip(&payloads) {
            results.stored(at, payload);
        }
        results.resumed();
        assert_eq!(results.renewal(), None);
        assert_eq!(numbers(&read(&mut results, [1, 2])), [0; 0]);
        assert_eq!(results.renewal().unwrap().1, Delivered { through: 2, beyond: [].into() });
        // One that the stream lacks is not sent any more under its old number.
        let (mut results, _dir) = pump(Acked::default(), 2);
        results.stored(50, &payloads[0].1);
        results.stored(54, &payloads[4].1);
        results.resumed();
        assert_eq!(numbers(&read(&mut results, [1, 2])), [0; 0]);
        assert_eq!(results.renewal().unwrap().1, Delivered { through: 1, beyond: [].into() });
    }

    #[test]
    fn numbers_that_the_journal_lacks_are_told_once_before_they_are_passed() {
        let (mut results, _dir) = pump(Acked::default(), 9);
        results.resumed();
        assert_eq!(
            numbers(&read(&mut results, [5, 6, 9])),
            Vec::<u64>::new(),
            "1 to 4 are missing: a survey first"
        );
        let Ask { generation, reader, what, after, through } = results.wants().unwrap();
        assert!(matches!(what, What::Survey) && (after, through) == (0, 9));
        let survey = Some(Survey { from: 1, to: 8, count: 6 });
        let out = results.read(Answer { generation, reader, found: Ok(Found::Survey(survey)), through });
        assert!(
            matches!(&out.events[..], [EventKind::Dropped { from: 1, to: 8, count: 6, why }] if why == "history")
        );
        assert_eq!(numbers(&read(&mut results, [5, 6, 9])), [5, 6, 9]);
        assert_eq!(results.acked().through, 4);
        for seq in [5, 6] {
            results.acknowledged(seq, seq);
        }
        assert_eq!(results.acked().through, 8, "7 and 8 are told");
        results.acknowledged(9, 9);
        assert_eq!(results.acked(), Acked { through: 9, stream_sequence: 9, told: 9 });
        // Missing up to the very end.
        results.durable(12, &[]);
        assert_eq!(numbers(&read(&mut results, [])), Vec::<u64>::new());
        assert!(matches!(results.wants().unwrap().what, What::Survey));
    }

    #[test]
    fn a_stream_that_ends_before_our_point_is_owed_everything_again() {
        let (mut results, _dir) = pump(Acked { through: 8, stream_sequence: 100, told: 8 }, 9);
        results.stream(99);
        assert_eq!(results.acked(), Acked::default());
        results.resumed();
        // What goes out now brings the stream beyond 100: a restart must know that it is another one.
        assert!(results.wants().is_none());
        let note = results.take_note().unwrap();
        results.durable(9, &[]);
        assert!(results.wants().is_none(), "another batch was under way");
        results.durable(9, &[note]);
        read(&mut results, [4, 9]);
        let Ask { generation, reader, through, .. } = results.wants().unwrap();
        let survey = Some(Survey { from: 1, to: 8, count: 7 });
        let out = results.read(Answer { generation, reader, found: Ok(Found::Survey(survey)), through });
        assert!(matches!(&out.events[..], [EventKind::Dropped { why, .. }] if why == "hub"));
        let (mut same, _dir) = pump(Acked { through: 8, stream_sequence: 100, told: 8 }, 9);
        same.stream(100);
        assert_eq!(same.acked().through, 8);
    }

    #[test]
    fn a_journal_that_cannot_be_read_is_not_asked_in_a_circle() {
        let (mut results, _dir) = pump(Acked::default(), 1);
        results.resumed();
        let Ask { generation, reader, through, .. } = results.wants().unwrap();
        let found = Err(StoreError::Disk {
            operation: "read",
            file: "journal-1".to_owned(),
            source: std::io::ErrorKind::Other.into(),
        });
        results.read(Answer { generation, reader, found, through });
        assert!(results.wants().is_none());
        results.look_again();
        let ask = results.wants().expect("once more");
        results.give_back(ask);
        assert!(results.wants().is_none());
        results.durable(2, &[]);
        assert!(results.wants().is_some());
    }

    #[test]
    fn a_fact_that_no_server_takes_is_told_as_dropped() {
        let (mut results, _dir) = pump(Acked::default(), 1);
        results.resumed();
        read(&mut results, [1]);
        let out = results.refused(1, "too large");
        assert!(matches!(&out.events[..], [EventKind::Dropped { from: 1, to: 1, count: 1, .. }]));
        assert_eq!(results.acked().through, 1);
    }

    /// A compaction between the survey and the sending takes more of what nobody has acknowledged.
    #[test]
    fn what_gives_way_after_the_survey_is_told_as_well() {
        let disk = MemDisk::new();
        let options = Options {
            disk_bytes: 1 << 20,
            history: 5,
            fresh_epoch: EPOCH,
            machine: Vec::new(),
            now: Now {
                wall: WallTime::from_secs(0),
                boot: crate::job::BootTime::from_millis(0),
                clock: Clock::Synced,
            },
            unsent: Unsent::History,
        };
        let (mut journal, _) = Journal::open(disk.clone(), options).unwrap();
        let mut keeps_five_of = |seqs: std::ops::RangeInclusive<u64>| {
            let entries: Vec<Entry> = seqs.map(|seq| fact(seq).1).collect();
            journal.commit(&entries, Durability::Synced).unwrap();
            journal.compact().unwrap();
        };
        keeps_five_of(1..=10);
        let sender = FactSender {
            agent: "pi".parse().unwrap(),
            prefix: "lc".parse().unwrap(),
            send_output: SendOutput::All,
        };
        let mut results = Results::new(sender, EPOCH, Outbox::new(disk, EPOCH), Acked::default(), 10, 10);
        results.begin();
        results.resumed();
        let look = |results: &mut Results<MemDisk>| {
            let ask = results.wants().unwrap();
            results.read(ask.read()).events
        };
        assert_eq!(look(&mut results), [], "1 to 5 are missing: a survey first");
        assert!(matches!(look(&mut results)[..], [EventKind::Dropped { from: 1, to: 5, .. }]));
        keeps_five_of(11..=13);
        results.durable(13, &[]);
        assert_eq!(look(&mut results), []);
        assert!(matches!(look(&mut results)[..], [EventKind::Dropped { to: 8, .. }]), "6 to 8 went, too");
        look(&mut results);
        assert_eq!(results.acked().through, 8);
    }
}
