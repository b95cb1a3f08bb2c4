//! What is wanted, read from jobs files as devices have them in jobs.d, and judged before any of it is sent.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use leafcron::catalog::{AgentUser, Catalog, Rules};
use leafcron::job::{Document, FieldMap, JobName, JobsFile, RefusedRow, limits};
use leafcron::schedule::Zone;

use crate::answer::{Answer, Failure};
use crate::table::safe;

/// A job, and what is wanted of it.
pub(super) type Wanted = BTreeMap<JobName, FieldMap>;

/// Whether what this version would refuse is sent all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judge {
    Here,
    /// Newer devices may know more.
    Devices,
}

impl Judge {
    pub(super) fn of(unchecked: bool) -> Self {
        if unchecked { Self::Devices } else { Self::Here }
    }
}

/// The jobs of a file, or the answer that says why they are refused.
pub(super) fn of_file(file: &Path, judge: Judge) -> Result<Result<Wanted, Answer>, Failure> {
    let wanted = of_files(&[file.to_owned()], judge)?;
    if wanted.as_ref().is_ok_and(BTreeMap::is_empty) {
        return Err(Failure::CannotAsk(format!("{}: no job in it; write [job.NAME]", file.display())));
    }
    Ok(wanted)
}

/// The jobs of all `*.toml` of a directory, as a device reads its jobs.d.
pub(super) fn of_directory(dir: &Path, judge: Judge) -> Result<Result<Wanted, Answer>, Failure> {
    let cannot = |error: std::io::Error| Failure::CannotAsk(format!("read {}: {error}", dir.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|extension| extension == "toml") && !hidden {
            files.push(path);
        }
        if files.len() > limits::JOBS_FILES {
            let most = limits::JOBS_FILES;
            return Err(Failure::CannotAsk(format!(
                "{}: more than {most} jobs files, which no device reads",
                dir.display()
            )));
        }
    }
    files.sort();
    of_files(&files, judge)
}

fn of_files(files: &[PathBuf], judge: Judge) -> Result<Result<Wanted, Answer>, Failure> {
    let files = files.iter().map(|file| read(file)).collect::<Result<Vec<_>, _>>()?;
    if judge == Judge::Here {
        let rows = refused(&files);
        if !rows.is_empty() {
            let err = rows.iter().map(|row| safe(&row.to_string()) + "\n").collect::<String>();
            let err = err + "leafcron: nothing was sent\n";
            return Ok(Err(Answer { err, code: 1, ..Answer::default() }));
        }
    }
    let mut wanted = Wanted::new();
    for JobsFile { name, text } in &files {
        let text = text.as_deref().unwrap_or_default();
        let document =
            Document::parse(text).map_err(|error| Failure::CannotAsk(format!("{name}: {error}")))?;
        let jobs = document.top().section("job");
        for job in jobs.iter().flat_map(|jobs| jobs.names()) {
            let fields = jobs.and_then(|jobs| jobs.section(job)).map(|section| section.fields());
            let (Ok(job), Some(Ok(fields))) = (job.parse(), fields) else {
                return Err(Failure::CannotAsk(format!(
                    "{name}: job {job} cannot be sent: it is no table of fields"
                )));
            };
            // Of two files the first counts, as on a device.
            wanted.entry(job).or_insert(fields);
        }
    }
    Ok(Ok(wanted))
}

fn read(file: &Path) -> Result<JobsFile, Failure> {
    let name = file.display().to_string();
    let mut content = String::new();
    let most = limits::JOBS_FILE_BYTES + 1;
    let read = if name == "-" {
        std::io::stdin().take(most).read_to_string(&mut content)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(most).read_to_string(&mut content))
    };
    let bytes = read.map_err(|error| Failure::CannotAsk(format!("read {name}: {error}")))?;
    if u64::try_from(bytes).is_ok_and(|bytes| bytes >= most) {
        let most = limits::JOBS_FILE_BYTES;
        return Err(Failure::CannotAsk(format!("{name}: more than {most} bytes; send it in parts")));
    }
    Ok(JobsFile { name, text: Ok(content) })
}

/// What this version would refuse. Users and zones are the device's to know; a zone that this machine lacks is told.
fn refused(files: &[JobsFile]) -> Vec<RefusedRow> {
    let user = AgentUser::Root { exists: |_| true };
    let rules =
        Rules { defaults: FieldMap::new(), zone: Ok(Zone::utc()), user, groups: Vec::new(), centre: None };
    let files = files.iter().map(|file| JobsFile { name: file.name.clone(), text: file.text.clone() });
    Catalog::new(rules).load_files(files).rejected
}
