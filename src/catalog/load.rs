//! A reading of the jobs directory, against what is held.
//!
//! Files come in byte order and **claim** jobs: the first valid claim wins. What a file cannot say, because it cannot be
//! read or because one of its definitions is refused, is what it said last: that claims too.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::held::{Definition, Standing};
use super::rows::{self, Rows, row};
use super::{Catalog, rules};
use crate::job::{
    Document, Entry, FieldError, JobName, JobsFile, RefusedRow, Reloaded, Revision, Section, Source, limits,
};

/// What became of a reading.
#[derive(Debug, Default)]
pub struct Changes {
    /// What makes it durable; none where nothing changed. New definitions come before withdrawn ones, so that a job
    /// that moves is never undefined, wherever the power goes.
    pub entries: Vec<Entry>,
    /// The jobs whose definition in force is another than before.
    pub changed: Vec<Change>,
    /// The jobs that files define, and that are in force as they say.
    pub accepted: Vec<JobName>,
    /// What is refused now.
    pub rejected: Vec<RefusedRow>,
    /// The jobs that are no longer in force.
    pub removed: Vec<JobName>,
    /// What is accepted and cannot be served here.
    pub warnings: Vec<RefusedRow>,
}

/// A job whose definition in force is another than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The job.
    pub job: JobName,
    /// Its revision now; `None`: nothing defines it any longer.
    pub now: Option<Revision>,
}

impl From<Changes> for Reloaded {
    fn from(changes: Changes) -> Self {
        let Changes { accepted, rejected, removed, warnings, .. } = changes;
        Self { accepted, rejected, removed, warnings }
    }
}

impl Catalog {
    /// Takes what the jobs directory holds: all of its files, in byte order of their names. What is unchanged costs no
    /// entry and no change.
    pub fn load_files(&mut self, files: impl IntoIterator<Item = JobsFile>) -> Changes {
        let mut load = Load::new(self);
        for file in files {
            load.file(file);
        }
        let Load { fates, mut claims, mut rows, .. } = load;
        self.drop_surplus(&fates, &mut claims, &mut rows);
        self.refused = rows.finish();
        self.settle(fates, claims)
    }

    /// There is no jobs directory. Nobody deletes a jobs file that way, and a file system that is not mounted looks the
    /// same: what is in force stays.
    pub fn load_missing(&mut self, origin: &str) -> Changes {
        if self.held.iter().any(|held| rows::is_file(held.source)) {
            let reason = "is not there: its jobs stay in force; make it again, empty if they are to go";
            return self.load_failed(origin, reason.to_owned());
        }
        self.load_files([])
    }

    /// The jobs directory cannot be read or trusted: what is in force stays.
    pub fn load_failed(&mut self, origin: &str, reason: String) -> Changes {
        self.refused = vec![row(origin.to_owned(), None, None, &FieldError::new("", reason))];
        let fates = vec![Fate::Stays; self.held.len()];
        self.settle(fates, BTreeMap::new())
    }

    /// Refuses new jobs, the last by name, as long as there would be too many.
    fn drop_surplus(&self, fates: &[Fate], claims: &mut BTreeMap<JobName, Claim>, rows: &mut Rows) {
        let goes_on =
            |(held, fate): &(Definition<'_>, &Fate)| **fate == Fate::Stays || claims.contains_key(held.job);
        let mut old: Vec<&JobName> =
            self.held.iter().zip(fates).filter(goes_on).map(|(held, _)| held.job).collect();
        // Two sources of one job stand side by side.
        old.dedup();
        let mut room = limits::JOBS.saturating_sub(old.len());
        claims.retain(|job, claim| {
            if self.held.of(job).next().is_some() {
                return true;
            }
            let fits = room > 0;
            room = room.saturating_sub(1);
            if !fits {
                rows.push(|| {
                    row(rows::origin(&claim.source), Some(claim.line), Some(job.as_str()), &too_many())
                });
            }
            fits
        });
    }

    /// Makes the claims true.
    fn settle(&mut self, mut fates: Vec<Fate>, claims: BTreeMap<JobName, Claim>) -> Changes {
        let mut changes = Changes::default();
        let mut before: BTreeMap<JobName, Option<Revision>> = BTreeMap::new();
        let mut added = Vec::new();
        let revision =
            |catalog: &Self, job: &JobName| catalog.in_force(job).map(|in_force| in_force.revision);
        for (job, claim) in claims {
            if !matches!(claim.said, Said::Nothing) {
                changes.accepted.push(job.clone());
            }
            let Said::New(text) = claim.said else { continue };
            before.insert(job.clone(), revision(self, &job));
            let source = Source::clone(&claim.source);
            let old = self.held.find(&job, &source);
            if old.is_none_or(|(_, old)| *old.text != *text) {
                let (job, source, text) = (job.clone(), source.clone(), String::from(&*text));
                changes.entries.push(Entry::Defined { job, source, text });
            }
            // Its old text goes, without being withdrawn.
            if let Some(fate) = old.and_then(|(at, _)| fates.get_mut(at)) {
                *fate = Fate::Replaced;
            }
            added.push((job, source, text, Standing::Valid));
        }
        for (held, _) in self.held.iter().zip(&fates).filter(|(_, fate)| **fate == Fate::Gone) {
            before.entry(held.job.clone()).or_insert_with(|| revision(self, held.job));
            let source = Source::clone(held.source);
            changes.entries.push(Entry::Withdrawn { job: held.job.clone(), source });
        }
        if !before.is_empty() {
            self.held.change(|at| fates.get(at) == Some(&Fate::Stays), added);
        }
        for (job, before) in before {
            let now = revision(self, &job);
            if now.is_none() && before.is_some() {
                changes.removed.push(job.clone());
            }
            if now != before {
                changes.changed.push(Change { job, now });
            }
        }
        self.report_void();
        changes.rejected = self.refused.clone();
        changes.warnings = self.warnings();
        changes
    }
}

/// What becomes of a definition that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It goes on.
    Stays,
    /// Its source has another text for the job.
    Replaced,
    /// Its source defines the job no longer.
    Gone,
}

/// The first file that has a valid definition of a job.
struct Claim {
    source: Arc<Source>,
    line: usize,
    said: Said,
}

/// What a file says of a job now.
enum Said {
    /// Something new.
    New(Box<str>),
    /// What is held.
    Again,
    /// Nothing that could be taken: what is held stands.
    Nothing,
}

struct Load<'c> {
    catalog: &'c Catalog,
    /// Of each definition that is held.
    fates: Vec<Fate>,
    claims: BTreeMap<JobName, Claim>,
    /// Claims for jobs of which nothing was held: their texts are kept until the load is over.
    new_jobs: usize,
    rows: Rows,
}

impl<'c> Load<'c> {
    fn new(catalog: &'c Catalog) -> Self {
        // What a file does not say again is gone; other sources are not asked here.
        let fate = |held: Definition<'_>| match **held.source {
            Source::File(_) => Fate::Gone,
            Source::Agent | Source::Group(_) => Fate::Stays,
        };
        let fates = catalog.held.iter().map(fate).collect();
        Self { catalog, fates, claims: BTreeMap::new(), new_jobs: 0, rows: Rows::default() }
    }

    fn file(&mut self, file: JobsFile) {
        let JobsFile { name, text } = file;
        let source = Arc::new(Source::File(name));
        if let Err((line, error)) = self.text(&source, text) {
            self.rows.push(|| row(rows::origin(&source), line, None, &error));
            self.unread(&source);
        }
    }

    /// Reads a file's text; what is wrong with the file as a whole is its error.
    fn text(
        &mut self,
        source: &Arc<Source>,
        text: Result<String, String>,
    ) -> Result<(), (Option<usize>, FieldError)> {
        let refuse = |reason: String| FieldError::new("", reason);
        let text = text.map_err(|reason| (None, refuse(reason)))?;
        let document =
            Document::parse(&text).map_err(|error| (Some(error.line), refuse(error.to_string())))?;
        let top = document.top();
        if let Some(other) = top.names().find(|name| *name != "job") {
            let error =
                FieldError::new(other, "only tables [job.NAME] are allowed at the top of a jobs file");
            return Err((Some(top.line_of(other)), error));
        }
        match top.section("job") {
            Some(jobs) => {
                jobs.names().for_each(|name| self.job(source, name, jobs));
                Ok(())
            }
            None if top.names().next().is_none() => Ok(()),
            None => {
                Err((Some(top.line_of("job")), FieldError::new("job", "is not a table; write [job.NAME]")))
            }
        }
    }

    /// A file that says nothing: what it said last stays, and claims its jobs.
    fn unread(&mut self, source: &Arc<Source>) {
        for (held, fate) in self.catalog.held.iter().zip(&mut self.fates) {
            if held.source != source {
                continue;
            }
            *fate = Fate::Stays;
            if held.standing == Standing::Valid {
                let claim = || Claim { source: Arc::clone(source), line: 0, said: Said::Nothing };
                self.claims.entry(held.job.clone()).or_insert_with(claim);
            }
        }
    }

    fn job(&mut self, source: &Arc<Source>, name: &str, jobs: Section<'_>) {
        let line = jobs.line_of(name);
        let refuse =
            |line: usize, error: &FieldError| row(rows::origin(source), Some(line), Some(name), error);
        let job: JobName = match name.parse() {
            Ok(job) => job,
            Err(error) => {
                self.rows.push(|| refuse(line, &FieldError::new("", format!("{error}"))));
                return;
            }
        };
        if let Some(first) = self.claims.get(&job) {
            let reason = format!("{} defines it too and comes first", rows::origin(&first.source));
            self.rows.push(|| refuse(line, &FieldError::new("", reason)));
            return;
        }
        let (at, held) = self.catalog.held.find(&job, source).unzip();
        let judged = self.judge(source, held, jobs.section(name));
        let error_line =
            |error: &FieldError| jobs.section(name).map_or(line, |own| own.line_of(&error.field));
        let said = judged.unwrap_or_else(|error| {
            self.rows.push(|| refuse(error_line(&error), &error));
            Said::Nothing
        });
        if let Some(fate) = at.and_then(|at| self.fates.get_mut(at)) {
            *fate = Fate::Stays;
        }
        let stands = held.is_some_and(|held| held.standing == Standing::Valid);
        if matches!(said, Said::Nothing) && !stands {
            return;
        }
        if self.catalog.held.of(&job).next().is_none() {
            // No more than could be in force, so that their texts are bounded.
            if self.new_jobs == limits::JOBS {
                self.rows.push(|| refuse(line, &too_many()));
                return;
            }
            self.new_jobs += 1;
        }
        self.claims.insert(job, Claim { source: Arc::clone(source), line, said });
    }

    /// What is taken of a definition.
    fn judge(
        &self,
        source: &Source,
        held: Option<Definition<'_>>,
        own: Option<Section<'_>>,
    ) -> Result<Said, FieldError> {
        let own = own.ok_or_else(|| FieldError::new("", "is not a table; write [job.NAME]"))?;
        let fields = own.fields()?;
        let text = rules::canonical(&fields)?;
        if held.is_some_and(|held| held.standing == Standing::Valid && *held.text == *text) {
            return Ok(Said::Again);
        }
        self.catalog.rules.judge(&fields, source)?;
        Ok(Said::New(text.into_boxed_str()))
    }
}

pub(super) fn too_many() -> FieldError {
    FieldError::new("", format!("there are {} jobs already, and no more are allowed", limits::JOBS))
}
