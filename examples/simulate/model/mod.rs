//! What leafcron promises, judged from outside: by what the world did and saw, and what the journal acknowledged. Slow,
//! simple, and written apart from the core.
//!
//! ```text
//!   walk     which instants are due by a line
//!   journal  what is durable, and what a crash must leave of it             promise 4
//!   force    which definition counts, and when                              section 3 of a device's life
//!   eras     which era counts, and what is owed in each                     section 5 of DESIGN
//!   cover    every due instant has one final record                         promise 1
//!   starts   no fire runs more often than its owner chose                   promise 2
//!   alerts   no failure is told twice                                       promise 2
//!   sent     every number is at the hub or told                             promise 4
//!   carried  what memory keeps for a disk that refuses it                   promises 1 and 5
//!   bounds   what is limited stays within its limit                         promise 5
//! ```

mod alerts;
mod bounds;
mod carried;
mod cover;
mod eras;
mod force;
mod journal;
mod sent;
mod starts;
mod walk;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use leafcron::job::{CommandId, Entry, EventKind, FireKey, Image, JobName, Record, Revision, RunId, Source};

use crate::definition::Definition;
pub(crate) use force::GROUPS;
pub(crate) use starts::Truth;

/// A fact that the journal acknowledged.
enum Fact {
    Record(Box<Record>),
    Event(EventKind),
    /// A number that was never given: it lies in a damaged range.
    Hole,
}

/// A definition in force: what is due by it in `(from, to]` is owed. In milliseconds of the wall.
struct Span {
    definition: Rc<Definition>,
    era: u32,
    from: i64,
    to: Option<i64>,
}

/// When it was, and the newest time of the main era then.
type Withdrawn = (i64, Option<i64>);

/// The model.
#[derive(Default)]
pub(crate) struct Model {
    wrong: Option<String>,
    device_zone: String,
    definitions: BTreeMap<String, Rc<Definition>>,
    revisions: BTreeMap<Revision, Rc<Definition>>,
    /// What the journal acknowledged, added up.
    durable: Image,
    /// What it refused since, or what was under way: a crash may find one of them.
    uncertain: Vec<Vec<Entry>>,
    /// A start found what was never acknowledged, and nothing was since: a power cut may take it again.
    unsynced: bool,
    /// By number, from 1.
    facts: Vec<Fact>,
    /// What every source says, in the agent's memory.
    held: BTreeMap<(JobName, Source), Rc<Definition>>,
    spans: BTreeMap<JobName, Vec<Span>>,
    /// Under which definition a schedule began.
    began: BTreeMap<(JobName, u32, i64), Rc<Definition>>,
    /// The longest splay that a job ever had, in seconds.
    splays: BTreeMap<JobName, i64>,
    /// Definitions that begin to count in this turn.
    coming: BTreeMap<JobName, Rc<Definition>>,
    /// When definitions were withdrawn that are not durably so, in order; and the newest time of the main era then.
    withdrawn: BTreeMap<(JobName, Source), VecDeque<Withdrawn>>,
    /// What the wall has shown, to a turn or just before it was set.
    shown: eras::Shown,
    /// The newest time of the main era when another one took its place, by the number of that.
    stood: BTreeMap<u32, Option<i64>>,
    /// The same, when a definition began to count.
    stood_at: BTreeMap<(JobName, u32, i64), Option<i64>>,
    /// What turns said of schedules and definitions, and no disk has yet, in order.
    standing: VecDeque<Entry>,
    starts: BTreeMap<FireKey, Vec<starts::Started>>,
    runs: BTreeMap<RunId, FireKey>,
    /// Fires that wait again, since their start never happened.
    returned: BTreeSet<FireKey>,
    /// Commands that were accepted.
    accepted: BTreeMap<CommandId, JobName>,
    /// `@reboot` jobs at a first start that is not durable yet, and those that are owed.
    booting: BTreeSet<FireKey>,
    booted: BTreeSet<FireKey>,
    /// Fires that a job's own command was told of, and whether their record was durable by then.
    alerted: BTreeMap<FireKey, alerts::Told>,
    /// Jobs whose command is being told.
    alerting: BTreeSet<JobName>,
    /// Records that were given up since the journal took anything: a crash has their fires judged anew.
    given_up_so_far: Vec<Record>,
    /// How many facts were, events among them.
    untold: u64,
    /// Those that it has moved past.
    given_up: Vec<Record>,
    /// Ranges that durable events tell to be missing.
    told: Vec<(u64, u64)>,
    /// Numbers that the hub has or had.
    arrived: BTreeSet<u64>,
}

impl Model {
    pub(crate) fn new(device_zone: &str) -> Self {
        let mut model = Self { device_zone: device_zone.to_owned(), ..Self::default() };
        model.eras_restarted();
        model
    }

    /// The first thing that was wrong.
    pub(crate) fn wrong(&self) -> Option<&str> {
        self.wrong.as_deref()
    }

    /// A promise is broken.
    pub(crate) fn blame(&mut self, why: impl Into<String>) {
        if self.wrong.is_none() {
            self.wrong = Some(why.into());
        }
    }

    /// The owner wrote this somewhere.
    pub(crate) fn knows(&mut self, definition: &Rc<Definition>) {
        self.definitions.insert(definition.text.clone(), Rc::clone(definition));
        self.revisions.insert(Revision::of(&definition.text), Rc::clone(definition));
    }

    /// Final records so far.
    pub(crate) fn fires(&self) -> u64 {
        let last = |fact: &&Fact| matches!(fact, Fact::Record(record) if record.last);
        self.facts.iter().filter(last).count() as u64
    }

    /// All that can be judged once the world has come to rest.
    pub(crate) fn judge(&mut self, now: i64) {
        self.judge_cover(now);
        self.judge_starts();
    }
}
