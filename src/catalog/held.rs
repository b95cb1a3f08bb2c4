//! The definitions that are held, in little memory: one list and one text for all of them. A jobs file is parsed into
//! many small pieces that go again; were these kept among them, none of those pages could be given back.

use std::sync::Arc;

use super::InForce;
use crate::job::{JobName, Name, Revision, Source};

/// The last valid definition that each source gave of each job.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    /// In order of job and precedence: of one job the first that is valid is in force.
    list: Vec<Held>,
    /// The device's groups, in the order of their precedence.
    groups: Vec<Name>,
    /// The canonical texts.
    texts: String,
}

#[derive(Debug)]
struct Held {
    job: JobName,
    /// One for all jobs of a file.
    source: Arc<Source>,
    /// Where in `texts` its own begins.
    at: u32,
    length: u32,
    revision: Revision,
    standing: Standing,
    /// The centre's bucket lost it.
    orphan: bool,
    /// Of its key in the centre's bucket; 0: not known since the start, or a file's.
    sequence: u64,
}

/// What a definition that was accepted once is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It counts.
    Valid,
    /// Accepted by another version or configuration, and not valid by these: kept, but not in force.
    Void,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Definition<'a> {
    pub(super) job: &'a JobName,
    pub(super) source: &'a Arc<Source>,
    pub(super) text: &'a str,
    pub(super) revision: Revision,
    pub(super) standing: Standing,
    pub(super) orphan: bool,
    pub(super) sequence: u64,
}

impl<'a> Definition<'a> {
    pub(super) fn in_force(self) -> Option<InForce<'a>> {
        let in_force = InForce { source: self.source, text: self.text, revision: self.revision };
        (self.standing == Standing::Valid).then_some(in_force)
    }
}

impl Definitions {
    /// None yet.
    pub(super) fn new(groups: Vec<Name>) -> Self {
        Self { groups, ..Self::default() }
    }

    /// How a source stands to others: a lower one comes first. A group that the device is not in comes last.
    pub(super) fn rank(&self, source: &Source) -> usize {
        match source {
            Source::File(_) => 0,
            Source::Agent => 1,
            Source::Group(group) => {
                2 + self.groups.iter().position(|own| own == group).unwrap_or(self.groups.len())
            }
        }
    }

    /// Notes where a key stands in the centre's bucket: it is no orphan.
    pub(super) fn seen(&mut self, at: usize, sequence: u64) {
        if let Some(held) = self.list.get_mut(at) {
            held.sequence = sequence;
            held.orphan = false;
        }
    }

    /// Notes that the centre's bucket lost it.
    pub(super) fn orphan(&mut self, job: &JobName, source: &Source) {
        if let Some((at, _)) = self.find(job, source)
            && let Some(held) = self.list.get_mut(at)
        {
            held.orphan = true;
            held.sequence = 0;
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Of how many jobs.
    pub(super) fn jobs(&self) -> usize {
        let mut last = None;
        self.list.iter().filter(|held| last.replace(&held.job) != Some(&held.job)).count()
    }

    /// All, in order of job and source.
    pub(super) fn iter(&self) -> impl Iterator<Item = Definition<'_>> {
        self.list.iter().map(|held| self.definition(held))
    }

    /// What every source holds of a job.
    pub(super) fn of(&self, job: &JobName) -> impl Iterator<Item = Definition<'_>> {
        let start = self.list.partition_point(|held| held.job < *job);
        let of = self.list.get(start..).unwrap_or_default().iter();
        of.take_while(move |held| held.job == *job).map(|held| self.definition(held))
    }

    /// Where the definition of a job by a source stands in [`iter`](Self::iter), and what it is.
    pub(super) fn find(&self, job: &JobName, source: &Source) -> Option<(usize, Definition<'_>)> {
        let key = (job, self.rank(source), source);
        let of = |held: &Held| (&held.job, self.rank(&held.source), &*held.source).cmp(&key);
        let at = self.list.binary_search_by(of).ok()?;
        Some((at, self.definition(self.list.get(at)?)))
    }

    /// Adds a valid one of a job that its source did not define: what is there stays where it is.
    pub(super) fn add(&mut self, job: JobName, source: Source, text: &str) {
        let source = self.shared(source);
        self.push(job, source, text, Revision::of(text), Standing::Valid);
        let Some(new) = self.list.pop() else { return };
        let key = |held: &Held| (held.job.clone(), self.rank(&held.source), Arc::clone(&held.source));
        let at = self.list.partition_point(|held| key(held) < key(&new));
        self.list.insert(at, new);
    }

    /// Brings back in force what `valid` says so of.
    pub(super) fn revive(&mut self, valid: impl Fn(Definition<'_>) -> bool) {
        for at in 0..self.list.len() {
            let void = self.list.get(at).filter(|held| held.standing == Standing::Void);
            let revived = void.is_some_and(|held| valid(self.definition(held)));
            if let Some(held) = self.list.get_mut(at).filter(|_| revived) {
                held.standing = Standing::Valid;
            }
        }
    }

    /// Gives back what growing has left over.
    pub(super) fn shrink(&mut self) {
        self.texts.shrink_to_fit();
        self.list.shrink_to_fit();
    }

    /// One for all jobs of a source.
    fn shared(&self, source: Source) -> Arc<Source> {
        let known = self.list.iter().rev().find(|held| *held.source == source);
        known.map_or_else(|| Arc::new(source), |held| Arc::clone(&held.source))
    }

    /// Keeps those of which `stays` says so by their place in [`iter`](Self::iter), and adds `more`.
    pub(super) fn change<T: AsRef<str>>(
        &mut self,
        stays: impl Fn(usize) -> bool,
        more: Vec<(JobName, Source, T, Standing)>,
    ) {
        let groups = core::mem::take(&mut self.groups);
        let old = core::mem::replace(self, Self::new(groups));
        let staying = || old.iter().enumerate().filter(|(at, _)| stays(*at)).map(|(_, old)| old);
        let bytes = |text: &str| text.len();
        let all = staying()
            .map(|old| bytes(old.text))
            .chain(more.iter().map(|(_, _, text, _)| bytes(text.as_ref())));
        self.texts.reserve_exact(all.sum());
        self.list.reserve_exact(staying().count() + more.len());
        for Definition { job, source, text, revision, standing, orphan, sequence } in staying() {
            self.push(job.clone(), Arc::clone(source), text, revision, standing);
            if let Some(held) = self.list.last_mut() {
                (held.orphan, held.sequence) = (orphan, sequence);
            }
        }
        for (job, source, text, standing) in more {
            let source = self.shared(source);
            let text = text.as_ref();
            self.push(job, source, text, Revision::of(text), standing);
        }
        let mut list = core::mem::take(&mut self.list);
        let key = |held: &Held| self.rank(&held.source);
        list.sort_by(|a, b| (&a.job, key(a), &a.source).cmp(&(&b.job, key(b), &b.source)));
        self.list = list;
    }

    fn push(
        &mut self,
        job: JobName,
        source: Arc<Source>,
        text: &str,
        revision: Revision,
        standing: Standing,
    ) {
        // `limits::JOBS` of `limits::DEFINITION_BYTES`, for a few sources, are far below.
        let at = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        // `limits::DEFINITION_BYTES` is far below; a longer one would read as empty, which is no definition.
        let length = u32::try_from(text.len()).unwrap_or(0);
        self.texts.push_str(text);
        self.list.push(Held { job, source, at, length, revision, standing, orphan: false, sequence: 0 });
    }

    fn definition<'a>(&'a self, held: &'a Held) -> Definition<'a> {
        let Held { job, source, at, length, revision, standing, orphan, sequence } = held;
        let rest = usize::try_from(*at).ok().and_then(|at| self.texts.get(at..)).unwrap_or_default();
        let text = usize::try_from(*length).ok().and_then(|length| rest.get(..length)).unwrap_or_default();
        Definition {
            job,
            source,
            text,
            revision: *revision,
            standing: *standing,
            orphan: *orphan,
            sequence: *sequence,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_job_is_small() {
        // 1,024 of them are 104 KiB, beside the texts: see `limits::JOBS`.
        assert!(size_of::<Held>() <= 104, "{}", size_of::<Held>());
    }

    #[test]
    fn definitions_are_found_by_job_and_source_through_changes() {
        let name = |text: &str| text.parse::<JobName>().unwrap();
        let file = |text: &str| Source::File(text.to_owned());
        let new = |job, source, text| (name(job), source, text, Standing::Valid);
        let mut held = Definitions::default();
        held.change(
            |_| false,
            vec![new("b", file("f"), "{2}"), new("a", Source::Agent, "{}"), new("a", file("f"), "{1}")],
        );
        let texts = |held: &Definitions| held.iter().map(|one| one.text.to_owned()).collect::<Vec<_>>();
        assert_eq!(texts(&held), ["{1}", "{}", "{2}"]);
        held.change(|at| at != 1, vec![new("c", file("f"), "{3}")]);
        assert_eq!(texts(&held), ["{1}", "{2}", "{3}"]);
        let (at, found) = held.find(&name("b"), &file("f")).unwrap();
        assert_eq!((at, found.text, found.revision), (1, "{2}", Revision::of("{2}")));
        assert!(held.find(&name("b"), &Source::Agent).is_none());
        assert_eq!(held.of(&name("a")).map(|one| one.text).collect::<Vec<_>>(), ["{1}"]);
        assert_eq!(held.of(&name("aa")).count(), 0);
        let shared = held.iter().next().unwrap().source;
        assert!(held.iter().all(|one| Arc::ptr_eq(one.source, shared)));
        assert_eq!((held.texts.capacity(), held.len()), (9, 3));
    }
}
