//! Which definition counts. Read from DESIGN sections 9 and 12: file, then agent key, then groups in order; of two files
//! the first in byte order; what is refused changes nothing; what the centre had said goes only by proof.

use std::collections::BTreeMap;
use std::rc::Rc;

use leafcron::job::{BootId, Entry, Fire, FireKey, JobName, Now, Source};

use super::journal::is_standing;
use super::{Model, Span};
use crate::definition::{Definition, When};
use crate::desk::{Desk, Section};

/// The device's groups, in their order.
pub(crate) const GROUPS: [&str; 2] = ["lab", "all"];

impl Model {
    /// The definition of a job that counts, in the agent's memory.
    pub(crate) fn in_force<'a>(&'a self, job: &'a JobName) -> Option<&'a Rc<Definition>> {
        first(&self.held, job)
    }

    pub(super) fn durably_in_force(&self, job: &JobName) -> Option<Rc<Definition>> {
        let text = first(&self.durable.definitions, job)?;
        self.definitions.get(text).cloned()
    }

    /// All jobs that anything is held of.
    pub(crate) fn jobs(&self) -> Vec<JobName> {
        let mut jobs: Vec<JobName> = self.held.keys().map(|(job, _)| job.clone()).collect();
        jobs.dedup();
        jobs
    }

    /// A turn was closed: what it says of definitions is held from now on.
    pub(crate) fn closed(&mut self, now: Now, entries: &[Entry], desk: &Desk) {
        self.counts_by(now, entries);
        let (wall, newest) = (now.wall.millis(), self.shown.newest);
        self.standing.extend(entries.iter().filter(|entry| is_standing(entry)).cloned());
        for entry in entries {
            match entry {
                Entry::Defined { job, source, text } => {
                    let Some(definition) = self.definitions.get(text).cloned() else {
                        self.blame(format!("catalog: {job} is defined by what nobody wrote: {text}"));
                        continue;
                    };
                    let splay = self.splays.entry(job.clone()).or_default();
                    *splay = definition.splay_secs.max(*splay);
                    self.held.insert((job.clone(), source.clone()), definition);
                }
                Entry::Withdrawn { job, source } => {
                    if !matches!(source, Source::File(_)) && !desk.was_deleted(job, source) {
                        self.blame(format!("catalog: {job} of {source} is withdrawn without a proof"));
                    }
                    let pair = (job.clone(), source.clone());
                    self.held.remove(&pair);
                    self.withdrawn.entry(pair).or_default().push_back((wall, newest));
                }
                _ => {}
            }
        }
        for entry in entries {
            let Entry::Began { job, era, at } = entry else { continue };
            if Some(at.millis()) > self.shown.latest() {
                self.blame(format!("began: {job} begins at {at}, which no clock has shown yet"));
            }
            let definition = self.coming.get(job).or_else(|| self.in_force(job)).cloned();
            self.stood_at.insert((job.clone(), *era, at.millis()), newest);
            if let Some(definition) = definition {
                self.began.insert((job.clone(), *era, at.millis()), definition);
            }
        }
    }

    /// This text of a job begins to count; what makes it durable follows.
    pub(crate) fn will_count(&mut self, job: &JobName, text: Option<&str>) {
        if let Some(definition) = text.and_then(|text| self.definitions.get(text)) {
            self.coming.insert(job.clone(), Rc::clone(definition));
        }
    }

    /// What began to count is in the turn.
    pub(crate) fn counts(&mut self) {
        self.coming.clear();
    }

    /// Whether somebody wrote this as a valid definition.
    pub(crate) fn is_known(&self, text: &str) -> bool {
        self.definitions.contains_key(text)
    }

    pub(crate) fn latest(&self) -> i64 {
        self.shown.newest.unwrap_or(i64::MIN)
    }

    /// The jobs directory was read: what files say must be what is held of them.
    pub(crate) fn files_read(&mut self, desk: &Desk, before: &BTreeMap<(JobName, Source), Rc<Definition>>) {
        let mut expected: BTreeMap<JobName, (Source, Rc<Definition>)> = BTreeMap::new();
        for (file, content) in &desk.files {
            let source = Source::File(file.clone());
            let mut claim = |job: &JobName, new: Option<&Rc<Definition>>| {
                let old = before.get(&(job.clone(), source.clone()));
                if let Some(definition) = new.or(old) {
                    expected.entry(job.clone()).or_insert_with(|| (source.clone(), Rc::clone(definition)));
                }
            };
            if content.broken {
                before.keys().filter(|(_, of)| *of == source).for_each(|(job, _)| claim(job, None));
                continue;
            }
            for (job, section) in &content.jobs {
                match section {
                    Section::Valid(definition) => claim(job, Some(definition)),
                    Section::Nonsense(_) => claim(job, None),
                }
            }
        }
        // A file that cannot be read keeps what it said, in force or not.
        let stays = |source: &Source| match source {
            Source::File(file) => desk.files.get(file).is_some_and(|content| content.broken),
            Source::Agent | Source::Group(_) => true,
        };
        let wrong = desk.jobs.iter().find_map(|job| {
            let said: Vec<_> =
                said(&self.held, job).filter(|(source, _)| matches!(source, Source::File(_))).collect();
            let expected = expected.get(job).map(|(source, definition)| (source, definition));
            let fine =
                said.first().copied() == expected && said.iter().skip(1).all(|(source, _)| stays(source));
            (!fine).then(|| format!("catalog: {job}: files say {expected:?}, and held is {said:?}"))
        });
        wrong.into_iter().for_each(|why| self.blame(why));
    }

    pub(crate) fn held(&self) -> &BTreeMap<(JobName, Source), Rc<Definition>> {
        &self.held
    }

    /// The agent starts for the first time in this boot.
    pub(crate) fn boots(&mut self, boot: BootId) {
        let reboot = |job: &JobName| {
            let definition = self.in_force(job)?;
            (definition.enabled && definition.when == When::Reboot)
                .then(|| FireKey { job: job.clone(), fire: Fire::Reboot { boot } })
        };
        self.booting = self.jobs().iter().filter_map(reboot).collect();
    }

    /// After a crash: memory is what the journal says.
    pub(super) fn restarted(&mut self) {
        self.withdrawn.clear();
        self.standing.clear();
        self.given_up_so_far.clear();
        self.untold = 0;
        self.alerting.clear();
        self.alerted.retain(|_, told| *told == super::alerts::Told::Durably);
        self.booting.clear();
        self.eras_restarted();
        let known = |text: &String| self.definitions.get(text).cloned();
        self.held = self
            .durable
            .definitions
            .iter()
            .filter_map(|(pair, text)| Some((pair.clone(), known(text)?)))
            .collect();
        let jobs: Vec<JobName> = self.spans.keys().cloned().collect();
        for job in jobs {
            // A schedule had begun, and the text that it belongs to was not durable yet: the old one goes on.
            let Some(definition) = self.durably_in_force(&job) else { continue };
            let open = self.spans.get_mut(&job).into_iter().flatten().filter(|span| span.to.is_none());
            for span in open.filter(|span| !span.definition.same_schedule(&definition)) {
                span.definition = Rc::clone(&definition);
            }
        }
    }

    /// What an entry that is durable from now on means for what is due.
    pub(super) fn note_span(&mut self, entry: &Entry) {
        match entry {
            Entry::Began { job, era, at } => {
                let at = at.millis();
                self.end_span_of(job, *era, at);
                if *era != self.durable.eras.main {
                    // The main era is settled as far as it was lived; there it begins when that goes on.
                    let stood = self.stood_at.get(&(job.clone(), *era, at)).copied().flatten();
                    self.end_main(job, stood);
                }
                let definition = self.began.get(&(job.clone(), *era, at)).cloned();
                let Some(definition) = definition.or_else(|| self.durably_in_force(job)) else { return };
                let span = Span { definition, era: *era, from: at, to: None };
                self.spans.entry(job.clone()).or_default().push(span);
            }
            Entry::Withdrawn { job, source } => {
                let pair = (job.clone(), source.clone());
                let known = self.withdrawn.get_mut(&pair).and_then(std::collections::VecDeque::pop_front);
                let (wall, newest) = known.unzip();
                let others = said(&self.durable.definitions, job).any(|(held, _)| held != source);
                if !others {
                    match self.durable.eras.provisional {
                        None => self.end_main(job, wall),
                        Some(provisional) => {
                            let done = self.durable.provisional.get(job).map(|of| of.done_through.millis());
                            let to = wall.max(done).or(self.shown.latest()).unwrap_or(i64::MIN);
                            self.end_span_of(job, provisional.era, to);
                            self.end_main(job, newest.flatten());
                        }
                    }
                }
            }
            Entry::Eras(next) => self.note_eras(next),
            _ => {}
        }
    }

    /// Nothing that is accounted for was not due.
    fn end_main(&mut self, job: &JobName, to: Option<i64>) {
        let done = self.durable.progress.get(job).map(|progress| progress.done_through.millis());
        let to = to.max(done).or(self.shown.newest).unwrap_or(i64::MIN);
        self.end_span_of(job, self.durable.eras.main, to);
    }

    /// Ends what is still owed in an era; by which definition it was.
    pub(super) fn end_span_of(&mut self, job: &JobName, era: u32, at: i64) -> Option<Rc<Definition>> {
        let spans = self.spans.get_mut(job)?;
        let span = spans.iter_mut().rev().find(|span| span.era == era && span.to.is_none())?;
        span.to = Some(at);
        Some(Rc::clone(&span.definition))
    }
}

/// What every source says of a job.
fn said<'a, T>(
    held: &'a BTreeMap<(JobName, Source), T>,
    job: &'a JobName,
) -> impl Iterator<Item = (&'a Source, &'a T)> {
    let from = (job.clone(), Source::File(String::new()));
    held.range(from..).take_while(move |((of, _), _)| of == job).map(|((_, source), said)| (source, said))
}

/// What comes first of it.
fn first<'a, T>(held: &'a BTreeMap<(JobName, Source), T>, job: &'a JobName) -> Option<&'a T> {
    let rank = |source: &Source| match source {
        Source::File(_) => 0,
        Source::Agent => 1,
        Source::Group(group) => {
            2 + GROUPS.iter().position(|own| *own == group.as_str()).unwrap_or(GROUPS.len())
        }
    };
    said(held, job).min_by_key(|(source, _)| rank(source)).map(|(_, said)| said)
}
