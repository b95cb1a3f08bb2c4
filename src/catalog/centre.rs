//! What the centre's bucket says. A snapshot is all keys that concern the device; in between come single ones.
//!
//! ```text
//!   a key          valid            in force, or shadowed        a refused one: the last valid of the key stays
//!   its deletion   -                gone
//!   its absence    same bucket      gone
//!   from a         another, older,  orphaned: in force until a deletion, or `leafcron remove`
//!   snapshot       or no meta.id
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::held::{Definition, Definitions, Standing};
use super::load::too_many;
use super::{Catalog, Change, Changes, rows, rules};
use crate::job::{
    AgentName, Bucket, Entry, FieldError, JobName, Name, RefusedRow, Revision, Source, limits, text,
};

/// Keys that are refused, and remembered as such.
const REFUSED: usize = limits::JOBS;
/// Keys that name no job.
const STRAY: usize = 64;

/// What a key says.
#[derive(Clone, Copy, Debug)]
pub enum Text<'a> {
    /// This.
    Bytes(&'a [u8]),
    /// That it is deleted.
    Deleted,
    /// More bytes than a definition may have.
    TooLarge(u64),
}

/// What is known of the bucket beyond the definitions that are held.
#[derive(Debug, Default)]
pub(super) struct State {
    bucket: Option<Bucket>,
    refused: BTreeMap<(JobName, Source), Refused>,
    /// Keys that name no job, and why.
    stray: BTreeMap<String, String>,
    snapshot: Option<Snapshot>,
}

/// A key whose newest text is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) sequence: u64,
    pub(super) revision: Option<Revision>,
    pub(super) error: FieldError,
}

/// A reading of the whole bucket that is under way.
#[derive(Debug)]
struct Snapshot {
    id: Option<Name>,
    bucket: Relation,
    /// The highest sequence of a key in it.
    highest: u64,
    seen: BTreeSet<(JobName, Source)>,
}

/// How the bucket that is read stands to the one that is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    /// It is that one: what it lacks was taken out of it.
    Same,
    /// It is an older state of that one, from which something up to this sequence had been taken.
    Older(u64),
    /// Another, or nobody knows.
    Other,
}

impl State {
    fn relation(&self, id: Option<&Name>, sequence: u64) -> Relation {
        match &self.bucket {
            Some(Bucket { id: Some(known), sequence: taken }) if id == Some(known) => {
                if sequence >= *taken {
                    Relation::Same
                } else {
                    Relation::Older(*taken)
                }
            }
            _ => Relation::Other,
        }
    }

    /// Something is taken at this sequence: how the bucket is remembered from now on, should the reading break off. Of one
    /// that is not the same nothing may be proved any more until it was read to its end.
    fn taking(&mut self, sequence: u64) -> Option<Entry> {
        let same = self.snapshot.as_ref().is_none_or(|snapshot| snapshot.bucket == Relation::Same);
        let bucket = self.bucket.as_mut()?;
        match (same, bucket.id.is_some()) {
            (true, _) if sequence > bucket.sequence => bucket.sequence = sequence,
            (false, true) => bucket.id = None,
            (true | false, _) => return None,
        }
        Some(Entry::Bucket(bucket.clone()))
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = RefusedRow> + '_ {
        let refused = self
            .refused
            .iter()
            .map(|((job, source), refused)| rows::row(key(source), None, Some(job.as_str()), &refused.error));
        let stray = self
            .stray
            .iter()
            .map(|(key, why)| rows::row(key.clone(), None, None, &FieldError::new("", why.clone())));
        refused.chain(stray)
    }

    pub(super) fn refused(&self) -> &BTreeMap<(JobName, Source), Refused> {
        &self.refused
    }
}

/// The keys of a source, for a person.
pub(super) fn key(source: &Source) -> String {
    format!("bucket key {source}")
}

impl Catalog {
    /// Takes back what the journal knows of the bucket.
    pub fn remember(&mut self, orphans: impl IntoIterator<Item = (JobName, Source)>, bucket: Option<Bucket>) {
        for (job, source) in orphans {
            self.held.orphan(&job, &source);
        }
        self.centre.bucket = bucket;
    }

    /// Takes back the definitions of groups that the device has left.
    pub fn leave_groups(&mut self) -> Changes {
        let left =
            |source: &Source| matches!(source, Source::Group(group) if !self.rules.groups.contains(group));
        let gone: Vec<(JobName, Source)> = pairs(&self.held).filter(|(_, source)| left(source)).collect();
        let mut changes = Changes::default();
        for (job, source) in gone {
            log::info!("{job}: this device is no longer in {source}");
            self.put(&job, &source, None, &mut changes);
        }
        changes
    }

    /// A complete reading of the bucket begins; `sequence` is the last of its stream.
    pub fn begin_snapshot(&mut self, id: Option<Name>, sequence: u64) {
        let bucket = self.centre.relation(id.as_ref(), sequence);
        self.centre.snapshot = Some(Snapshot { id, bucket, highest: 0, seen: BTreeSet::new() });
    }

    /// The reading was broken off: nothing follows from what was not seen.
    pub fn abort_snapshot(&mut self) {
        self.centre.snapshot = None;
    }

    /// What a key says: part of the reading that has begun, or read for itself.
    pub fn load_key(&mut self, agent: &AgentName, key: &str, sequence: u64, text: Text<'_>) -> Changes {
        let mut changes = Changes::default();
        let (source, job) = match self.parse_key(agent, key) {
            Ok(parsed) => parsed,
            Err(why) => {
                if matches!(text, Text::Deleted) {
                    self.centre.stray.remove(key);
                } else if self.centre.stray.len() < STRAY && !self.centre.stray.contains_key(key) {
                    let row = rows::row(key.to_owned(), None, None, &FieldError::new("", why.clone()));
                    self.centre.stray.insert(key.to_owned(), why);
                    changes.rejected.push(row);
                }
                return changes;
            }
        };
        let newer = |(_, held): (usize, Definition<'_>)| held.sequence > sequence;
        if self.held.find(&job, &source).is_some_and(newer) {
            let taken = self.centre.bucket.as_ref().map_or(0, |bucket| bucket.sequence);
            match &mut self.centre.snapshot {
                // Read before what is held.
                None => return changes,
                // In one bucket a key never goes back: it was restored, and has passed the known sequence again since.
                Some(snapshot) if snapshot.bucket == Relation::Same => {
                    snapshot.bucket = Relation::Older(taken);
                }
                Some(_) => {}
            }
        }
        if let Some(snapshot) = &mut self.centre.snapshot {
            snapshot.highest = snapshot.highest.max(sequence);
            if snapshot.seen.len() <= 2 * limits::JOBS && !matches!(text, Text::Deleted) {
                snapshot.seen.insert((job.clone(), source.clone()));
            }
        }
        match text {
            // It was set again since, in a state of the bucket that is gone: here it is only absent.
            Text::Deleted if self.is_outdated(&job, &source, sequence) => {}
            Text::Deleted => {
                self.centre.refused.remove(&(job.clone(), source.clone()));
                self.put(&job, &source, None, &mut changes);
            }
            Text::Bytes(bytes) => self.judge_key(&job, &source, sequence, bytes, &mut changes),
            Text::TooLarge(bytes) => {
                let most = limits::DEFINITION_BYTES;
                let reason = format!("a definition of {bytes} bytes; at most {most} are allowed");
                let error = FieldError::new("", reason);
                self.refuse(job, source, Refused { sequence, revision: None, error }, &mut changes);
            }
        }
        if !changes.entries.is_empty()
            && let Some(bucket) = self.centre.taking(sequence)
        {
            changes.entries.insert(0, bucket);
        }
        changes
    }

    /// Whether a mark of deletion comes from an older state of the bucket, and from before what is held.
    fn is_outdated(&self, job: &JobName, source: &Source, sequence: u64) -> bool {
        let Some(Relation::Older(taken)) = self.centre.snapshot.as_ref().map(|snapshot| snapshot.bucket)
        else {
            return false;
        };
        let judged = self.held.find(job, source).map_or(0, |(_, held)| match held.sequence {
            // Not known since the start: at most as new as the newest that was taken.
            0 => taken,
            sequence => sequence,
        });
        sequence <= judged
    }

    /// Every key was read: what follows from those that are absent.
    pub fn end_snapshot(&mut self) -> Changes {
        let mut changes = Changes::default();
        let Some(Snapshot { id, bucket, highest, seen }) = self.centre.snapshot.take() else {
            return changes;
        };
        // More than could be in force: nobody knows what is absent.
        if seen.len() > 2 * limits::JOBS {
            log::error!(
                "the bucket holds more than {} keys for this device; absences are not looked at",
                seen.len()
            );
            return changes;
        }
        let same = bucket == Relation::Same;
        let absent: Vec<(JobName, Source)> =
            pairs(&self.held).filter(|pair| !rows::is_file(&pair.1) && !seen.contains(pair)).collect();
        for (job, source) in absent {
            let orphan = self.held.find(&job, &source).is_some_and(|(_, held)| held.orphan);
            match (orphan, same) {
                (true, _) => {}
                (false, true) => self.put(&job, &source, None, &mut changes),
                (false, false) => {
                    log::warn!(
                        "{job}: the bucket lacks {source}'s definition, but is another than before, or an older state of it: it stays in force, orphaned"
                    );
                    self.held.orphan(&job, &source);
                    changes.entries.push(Entry::Orphaned { job, source });
                }
            }
        }
        self.centre.refused.retain(|pair, _| seen.contains(pair));
        self.held.shrink();
        let taken = self.centre.bucket.as_ref().filter(|_| same).map_or(0, |known| known.sequence);
        let sequence = taken.max(highest);
        let bucket = Bucket { id, sequence };
        if self.centre.bucket.as_ref() != Some(&bucket) {
            changes.entries.push(Entry::Bucket(bucket.clone()));
            self.centre.bucket = Some(bucket);
        }
        changes
    }

    /// An orphan goes, by its owner's word; where there is no centre any more, whatever it left.
    ///
    /// # Errors
    /// It is none; a text for a person.
    pub fn remove_orphan(&mut self, job: &JobName) -> Result<Changes, String> {
        let left =
            |held: &Definition<'_>| held.orphan || self.rules.centre.is_none() && !rows::is_file(held.source);
        let orphans: Vec<Source> =
            self.held.of(job).filter(left).map(|held| Source::clone(held.source)).collect();
        if orphans.is_empty() {
            return Err(match self.in_force(job).map(|in_force| in_force.source) {
                None => format!("no job {job}; `leafcron list` names those in force"),
                Some(Source::File(file)) => format!("{job} is no orphan: remove it from {file}"),
                Some(source) => {
                    format!("{job} is no orphan: the centre says so, as {source}; `leafcron hub remove`")
                }
            });
        }
        let mut changes = Changes::default();
        for source in orphans {
            self.put(job, &source, None, &mut changes);
        }
        Ok(changes)
    }

    /// Whether every definition of the centre was seen in its bucket since the start: else what is said of them would lack
    /// their sequences.
    #[must_use]
    pub fn knows_sequences(&self) -> bool {
        !self.held.iter().any(|held| !rows::is_file(held.source) && !held.orphan && held.sequence == 0)
    }

    fn parse_key(&self, agent: &AgentName, key: &str) -> Result<(Source, JobName), String> {
        let name = |text: &str| text.parse::<Name>().map_err(|error| error.to_string());
        let mut tokens = key.splitn(3, '.');
        let (kind, owner, job) =
            (tokens.next(), tokens.next().unwrap_or_default(), tokens.next().unwrap_or_default());
        let source = match kind {
            Some("agent") if owner == agent.as_str() => Source::Agent,
            Some("group") => Source::Group(name(owner)?),
            _ => {
                return Err("is no key of this device: agent.<agent>.<job> or group.<group>.<job>".to_owned());
            }
        };
        if matches!(&source, Source::Group(group) if !self.rules.groups.contains(group)) {
            return Err(format!("this device is not in {source}"));
        }
        Ok((source, name(job)?))
    }

    fn judge_key(
        &mut self,
        job: &JobName,
        source: &Source,
        sequence: u64,
        bytes: &[u8],
        changes: &mut Changes,
    ) {
        let refused = |revision, error| Refused { sequence, revision, error };
        let read = core::str::from_utf8(bytes)
            .map_err(|error| format!("is not UTF-8 from byte {} on", error.valid_up_to()))
            .and_then(text::parse)
            .map_err(|reason| FieldError::new("", reason))
            .and_then(|fields| Ok((rules::canonical(&fields)?, fields)));
        let (text, fields) = match read {
            Ok(read) => read,
            Err(error) => return self.refuse(job.clone(), source.clone(), refused(None, error), changes),
        };
        let held = self.held.find(job, source);
        if let Some((at, held)) = held
            && held.standing == Standing::Valid
            && *held.text == *text
        {
            let orphan = held.orphan;
            self.held.seen(at, sequence);
            self.centre.refused.remove(&(job.clone(), source.clone()));
            if orphan {
                // What is there is none: said again, it is defined.
                changes.entries.push(Entry::Defined { job: job.clone(), source: source.clone(), text });
            }
            return;
        }
        let full = self.held.of(job).next().is_none() && self.held.jobs() >= limits::JOBS;
        let other =
            |one: &Definition<'_>| !rows::is_file(one.source) && (one.job, &**one.source) != (job, source);
        let bytes = self.held.iter().filter(other).map(|one| one.text.len()).sum::<usize>() + text.len();
        let judged = if full {
            Err(too_many())
        } else if bytes > limits::CENTRAL_BYTES {
            Err(too_much(bytes))
        } else {
            self.rules.judge(&fields, source).map(drop)
        };
        match judged {
            Ok(()) => {
                self.centre.refused.remove(&(job.clone(), source.clone()));
                self.put(job, source, Some((text, sequence)), changes);
            }
            Err(error) => {
                let revision = Some(Revision::of(&text));
                self.refuse(job.clone(), source.clone(), refused(revision, error), changes);
            }
        }
    }

    /// The newest text of a key is refused: the last valid one stays, and is no orphan.
    fn refuse(&mut self, job: JobName, source: Source, refused: Refused, changes: &mut Changes) {
        if let Some((at, held)) = self.held.find(&job, &source) {
            if held.orphan {
                // The key is there again: durably so.
                let text = held.text.to_owned();
                changes.entries.push(Entry::Defined { job: job.clone(), source: source.clone(), text });
            }
            self.held.seen(at, refused.sequence);
        }
        let pair = (job, source);
        if self.centre.refused.get(&pair) == Some(&refused) {
            return;
        }
        if self.centre.refused.len() >= REFUSED && !self.centre.refused.contains_key(&pair) {
            log::warn!("{}: {}: refused, and not listed: too much is", pair.0, refused.error.reason);
            return;
        }
        changes.rejected.push(rows::row(key(&pair.1), None, Some(pair.0.as_str()), &refused.error));
        self.centre.refused.insert(pair, refused);
    }

    /// Gives a source's definition of a job another text, or takes it away.
    fn put(&mut self, job: &JobName, source: &Source, text: Option<(String, u64)>, changes: &mut Changes) {
        let before = self.in_force(job).map(|in_force| in_force.revision);
        let old = self.held.find(job, source).map(|(at, _)| at);
        let (job, source) = (job.clone(), source.clone());
        match text {
            Some((text, sequence)) => {
                let entry = Entry::Defined { job: job.clone(), source: source.clone(), text: text.clone() };
                changes.entries.push(entry);
                match old {
                    None => self.held.add(job.clone(), source.clone(), &text),
                    Some(old) => {
                        let new = vec![(job.clone(), source.clone(), text, Standing::Valid)];
                        self.held.change(|at| at != old, new);
                    }
                }
                if let Some((at, _)) = self.held.find(&job, &source) {
                    self.held.seen(at, sequence);
                }
            }
            None if old.is_some() => {
                self.held.change::<&str>(|at| Some(at) != old, Vec::new());
                changes.entries.push(Entry::Withdrawn { job: job.clone(), source });
            }
            None => return,
        }
        let now = self.in_force(&job).map(|in_force| in_force.revision);
        if now.is_none() && before.is_some() {
            changes.removed.push(job.clone());
        }
        if now != before {
            changes.changed.push(Change { job, now });
        }
    }
}

fn too_much(bytes: usize) -> FieldError {
    let most = limits::CENTRAL_BYTES;
    let reason =
        format!("with this one the centre's definitions have {bytes} bytes; at most {most} are allowed");
    FieldError::new("", reason)
}

/// Who defines what.
fn pairs(held: &Definitions) -> impl Iterator<Item = (JobName, Source)> + '_ {
    held.iter().map(|held| (held.job.clone(), Source::clone(held.source)))
}
