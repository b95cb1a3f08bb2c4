//! Where definitions are written: the device's jobs directory, and the centre's bucket. Both are edited at random, and
//! now and then wrongly.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use leafcron::job::{JobName, JobsFile, Name, Source};
use serde_json::Value;

use crate::definition::{Definition, Pace, definition, nonsense};
use crate::luck::Luck;
use crate::model::Model;

/// One job in a file.
#[derive(Clone, Debug)]
pub(crate) enum Section {
    Valid(Rc<Definition>),
    Nonsense(BTreeMap<String, Value>),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    pub(crate) jobs: BTreeMap<JobName, Section>,
    /// It does not parse.
    pub(crate) broken: bool,
}

/// A key of the bucket; `None`: deleted, with a mark of it.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) sequence: u64,
    pub(crate) text: Option<String>,
}

/// The bucket of definitions.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    pub(crate) id: Name,
    pub(crate) sequence: u64,
    pub(crate) keys: BTreeMap<String, Key>,
}

pub(crate) struct Desk {
    pub(crate) files: BTreeMap<String, File>,
    pub(crate) bucket: Bucket,
    /// An older state of it: a backup.
    backup: Bucket,
    /// Keys that somebody deleted, whatever became of them since.
    deleted: BTreeSet<String>,
    /// Keys that a backup lacked, and how far the device had come in the bucket by then. Once the restored bucket is there
    /// again nobody can tell it from the one that was: id and sequence are all that DESIGN section 9 compares.
    lost: BTreeMap<String, u64>,
    /// Every key that a bucket ever held, at which sequence.
    ever: BTreeMap<String, u64>,
    /// The sequence that the device read last.
    pub(crate) taken: u64,
    pub(crate) jobs: Vec<JobName>,
    pace: Pace,
    /// The centre has changed since it was read last.
    pub(crate) news: bool,
}

const FILES: [&str; 3] = ["00-site.toml", "50-app.toml", "90-local.toml"];
const SOURCES: [&str; 3] = ["agent.pi", "group.lab", "group.all"];

impl Desk {
    pub(crate) fn new(jobs: usize, pace: Pace) -> Self {
        let name = |n: usize| format!("job{n:03}").parse().expect("a name");
        let id = "b1".parse().expect("a name");
        let bucket = Bucket { id, sequence: 1, keys: BTreeMap::new() };
        Self {
            files: BTreeMap::new(),
            backup: bucket.clone(),
            bucket,
            deleted: BTreeSet::new(),
            lost: BTreeMap::new(),
            ever: BTreeMap::new(),
            taken: 0,
            jobs: (0..jobs).map(name).collect(),
            pace,
            news: true,
        }
    }

    pub(crate) fn job(&self, luck: &mut Luck) -> JobName {
        luck.pick(&self.jobs)
    }

    /// Writes all jobs, most of them in files.
    pub(crate) fn begin(&mut self, luck: &mut Luck, model: &mut Model) {
        for job in self.jobs.clone() {
            if luck.one_in(3) {
                self.put(&job, luck, model);
            } else {
                self.write(&job, luck, model);
            }
        }
    }

    /// Changes the jobs directory somehow; what was done.
    pub(crate) fn edit_files(&mut self, luck: &mut Luck, model: &mut Model) -> String {
        let job = self.job(luck);
        let file = luck.pick(&FILES);
        match luck.below(10) {
            0 => {
                let broken = self.files.get_mut(file).map(|file| {
                    file.broken = !file.broken;
                    file.broken
                });
                format!("{file} is broken: {broken:?}")
            }
            1 if luck.one_in(4) => {
                self.files.remove(file);
                format!("{file} is removed")
            }
            2 | 3 => {
                self.files.values_mut().for_each(|file| drop(file.jobs.remove(&job)));
                format!("{job} is taken out of all files")
            }
            4 => {
                let section = Section::Nonsense(nonsense(luck));
                self.files.entry(file.to_owned()).or_default().jobs.insert(job.clone(), section);
                format!("{job} in {file} is nonsense")
            }
            _ => self.write(&job, luck, model),
        }
    }

    fn write(&mut self, job: &JobName, luck: &mut Luck, model: &mut Model) -> String {
        let file = luck.pick(&FILES);
        let definition = self.definition(luck, model);
        let line = definition.line.clone();
        self.files.entry(file.to_owned()).or_default().jobs.insert(job.clone(), Section::Valid(definition));
        format!("{job} in {file} is now {line:?}")
    }

    fn definition(&self, luck: &mut Luck, model: &mut Model) -> Rc<Definition> {
        let definition = Rc::new(definition(luck, self.pace));
        model.knows(&definition);
        definition
    }

    /// Changes the bucket somehow; the key, and what was done.
    pub(crate) fn edit_bucket(&mut self, luck: &mut Luck, model: &mut Model) -> (Option<String>, String) {
        self.news = true;
        let job = self.job(luck);
        let key = format!("{}.{job}", luck.pick(&SOURCES));
        match luck.below(16) {
            0 => {
                self.backup = self.bucket.clone();
                (None, "a backup of the bucket is made".to_owned())
            }
            1 if luck.one_in(2) => {
                let lost = self.ever.iter().filter(|(key, _)| !self.backup.keys.contains_key(*key));
                let taken = self.taken;
                self.lost.extend(lost.map(|(key, sequence)| (key.clone(), taken.min(*sequence))));
                self.bucket = self.backup.clone();
                (None, format!("the bucket is restored, as of sequence {}", self.bucket.sequence))
            }
            1 => {
                let id = format!("b{}", luck.below(1_000)).parse().expect("a name");
                self.bucket = Bucket { id, sequence: 1, keys: BTreeMap::new() };
                (None, format!("the bucket is made anew, as {}", self.bucket.id))
            }
            2 | 3 => (Some(key.clone()), self.delete(&key)),
            4 => {
                let text = match luck.below(3) {
                    0 => "{".to_owned(),
                    1 => serde_json::to_string(&nonsense(luck)).expect("plain data prints"),
                    _ => "[]".to_owned(),
                };
                self.set(&key, Some(text));
                (Some(key.clone()), format!("{key} is nonsense"))
            }
            _ => {
                let (key, said) = self.put(&job, luck, model);
                (Some(key), said)
            }
        }
    }

    fn put(&mut self, job: &JobName, luck: &mut Luck, model: &mut Model) -> (String, String) {
        let key = format!("{}.{job}", luck.pick(&SOURCES));
        let definition = self.definition(luck, model);
        self.set(&key, Some(definition.text.clone()));
        let said = format!("{key} is now {:?}", definition.line);
        (key, said)
    }

    /// Deletes a key.
    pub(crate) fn delete(&mut self, key: &str) -> String {
        if self.bucket.keys.contains_key(key) {
            self.set(key, None);
            self.deleted.insert(key.to_owned());
        }
        format!("{key} is deleted")
    }

    fn set(&mut self, key: &str, text: Option<String>) {
        self.bucket.sequence += 1;
        self.ever.insert(key.to_owned(), self.bucket.sequence);
        self.bucket.keys.insert(key.to_owned(), Key { sequence: self.bucket.sequence, text });
    }

    /// The owner removes what the centre has lost.
    pub(crate) fn lets_go(&mut self, job: &JobName) {
        self.deleted.extend(SOURCES.map(|source| format!("{source}.{job}")));
    }

    /// Whether somebody ever deleted this key.
    pub(crate) fn was_deleted(&self, job: &JobName, source: &Source) -> bool {
        let key = format!("{}.{job}", owner(source));
        self.deleted.contains(&key) || self.lost.get(&key).is_some_and(|at| self.bucket.sequence >= *at)
    }

    /// Takes everything back: no job is left.
    pub(crate) fn clear(&mut self) {
        self.files.clear();
        let keys: Vec<String> = self.bucket.keys.keys().cloned().collect();
        for key in keys {
            self.delete(&key);
        }
        self.news = true;
    }

    /// The jobs directory as it is read.
    pub(crate) fn read(&self) -> Vec<JobsFile> {
        let text = |file: &File| {
            let mut text = String::new();
            for (job, section) in &file.jobs {
                let fields = match section {
                    Section::Valid(definition) => &definition.fields,
                    Section::Nonsense(fields) => fields,
                };
                text.push_str(&crate::definition::section(job.as_str(), fields));
            }
            if file.broken { format!("{text}\n[job.") } else { text }
        };
        self.files.iter().map(|(name, file)| JobsFile { name: name.clone(), text: Ok(text(file)) }).collect()
    }
}

/// A source as keys name it.
fn owner(source: &Source) -> String {
    match source {
        Source::File(file) => file.clone(),
        Source::Agent => "agent.pi".to_owned(),
        Source::Group(group) => format!("group.{group}"),
    }
}

/// What a key is about.
pub(crate) fn parse(key: &str) -> Option<(Source, JobName)> {
    let (owner, job) = key.rsplit_once('.')?;
    let source = match owner.split_once('.')? {
        ("agent", _) => Source::Agent,
        (_, group) => Source::Group(group.parse().ok()?),
    };
    Some((source, job.parse().ok()?))
}
