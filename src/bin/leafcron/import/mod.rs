//! `leafcron import`: cron's crontabs as jobs files. Each line becomes a job that does what cron did, or is named with the
//! reason why not; so is each line that means something else now.
//!
//! ```text
//!   find ──▶ line ──▶ settings ──▶ crontab ──▶ name ──▶ render ──▶ judge ──▶ stdout, or write
//!   files    one       what holds   job or      unlike    TOML      as the    jobs.d
//!   that     line      for it       a reason    all                 agent
//!   count                           why not     others              would
//! ```
//! Nothing of cron is changed: its owner takes the lines out of it once the jobs are in force.

mod crontab;
mod find;
mod finding;
mod judge;
mod line;
mod name;
mod percent;
mod render;
mod settings;
#[cfg(test)]
mod tests;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use leafcron::catalog::Rules;
use leafcron::job::{JobName, limits};
use serde_json::{Value, json};

use crate::answer::{Answer, Failure};
use crate::args::{Agent, Import};
use crate::check;
use crate::place;
use crate::table::safe;
use crontab::{Crontab, Draft, Translated};
use find::Found;
use finding::{Finding, Kind};
use write::Made;

/// A crontab and the jobs that it comes to.
#[derive(Debug)]
struct Imported {
    crontab: Crontab,
    jobs: Vec<Job>,
}

/// A job as it stands in the file.
#[derive(Debug)]
struct Job {
    name: JobName,
    line: usize,
    text: String,
}

/// The answer to `leafcron import`.
pub(crate) fn import(agent: &Agent, asked: &Import, as_json: bool) -> Result<Answer, Failure> {
    let found = find::find(asked)?;
    if !asked.write {
        let (imported, findings) = translate(found, &BTreeSet::new(), judge::anywhere)?;
        return report(&imported, &findings, None, as_json);
    }
    let config = place::config(agent)?;
    let directory = config.config.jobs_dir.clone();
    let defined = judge::defined(write::open(&directory)?);
    let (imported, findings) = translate(found, &defined, || check::rules(config))?;
    let files: Vec<Made> = file_names(&imported)
        .into_iter()
        .zip(&imported)
        .filter(|(_, imported)| !imported.jobs.is_empty())
        .map(|(name, imported)| Made { name, text: text(imported), mode: imported.crontab.mode })
        .collect();
    let paths = write::write(&directory, &files)?;
    report(&imported, &findings, Some((&directory, paths)), as_json)
}

/// All crontabs together, since names are unlike across them.
fn translate(
    found: Found,
    defined: &BTreeSet<JobName>,
    rules: impl FnOnce() -> Rules,
) -> Result<(Vec<Imported>, Vec<Finding>), Failure> {
    let Found { crontabs, mut findings } = found;
    let mut most = limits::JOBS.saturating_sub(defined.len());
    let mut drafts: Vec<(usize, Draft)> = Vec::new();
    for (at, crontab) in crontabs.iter().enumerate() {
        let Translated { drafts: more, findings: said } = crontab::translate(crontab, most);
        most -= more.len();
        drafts.extend(more.into_iter().map(|draft| (at, draft)));
        findings.extend(said);
    }
    let label = |at: usize| crontabs.get(at).map_or("", |crontab| crontab.label.as_str());
    let labelled: Vec<(&str, &Draft)> = drafts.iter().map(|(at, draft)| (label(*at), draft)).collect();
    let names = name::names(&labelled, defined);
    let mut imported: Vec<Imported> =
        crontabs.into_iter().map(|crontab| Imported { crontab, jobs: Vec::new() }).collect();
    let mut room: Vec<u64> = vec![limits::JOBS_FILE_BYTES; imported.len()];
    for ((at, draft), name) in drafts.iter().zip(names) {
        let text = render::job(&name, draft);
        let (Some(to), Some(room)) = (imported.get_mut(*at), room.get_mut(*at)) else { continue };
        let head = u64::try_from(head(to).len()).unwrap_or(u64::MAX);
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        match room.checked_sub(bytes).filter(|left| *left >= head) {
            Some(left) => {
                *room = left;
                to.jobs.push(Job { name, line: draft.line, text });
            }
            None => {
                let reason =
                    format!("a jobs file has at most {} bytes; divide the crontab", limits::JOBS_FILE_BYTES);
                findings.push(not_carried(&to.crontab.file, draft.line, &draft.text, reason));
            }
        }
    }
    drop_refused(&mut imported, &mut findings, &drafts, rules())?;
    findings.sort_by_key(|finding| order(&imported, finding));
    Ok((imported, findings))
}

/// Takes out what an agent would refuse.
fn drop_refused(
    imported: &mut [Imported],
    findings: &mut Vec<Finding>,
    drafts: &[(usize, Draft)],
    rules: Rules,
) -> Result<(), Failure> {
    let texts = imported.iter().flat_map(|imported| &imported.jobs).map(|job| job.text.as_str());
    let refused: BTreeMap<String, String> = judge::refused(rules, texts)?;
    for (at, imported) in imported.iter_mut().enumerate() {
        let file = imported.crontab.file.clone();
        imported.jobs.retain(|job| {
            let Some(reason) = refused.get(job.name.as_str()) else { return true };
            let draft = drafts.iter().find(|(of, draft)| *of == at && draft.line == job.line);
            let text = draft.map_or("", |(_, draft)| draft.text.as_str());
            findings.push(not_carried(&file, job.line, text, reason.clone()));
            false
        });
    }
    Ok(())
}

fn not_carried(file: &str, line: usize, text: &str, reason: String) -> Finding {
    let text = Some(line::shortened(text));
    Finding { file: file.to_owned(), line: Some(line), column: None, kind: Kind::NotCarried, reason, text }
}

/// By crontab, then by line; files that are none come last.
fn order(imported: &[Imported], finding: &Finding) -> (usize, Option<usize>, Option<usize>) {
    let at = imported.iter().position(|imported| imported.crontab.file == finding.file);
    (at.unwrap_or(usize::MAX), finding.line, finding.column)
}

fn head(imported: &Imported) -> String {
    render::origin(&imported.crontab.file) + render::NOTES
}

/// A jobs file.
fn text(imported: &Imported) -> String {
    head(imported) + &jobs(imported)
}

fn jobs(imported: &Imported) -> String {
    imported.jobs.iter().map(|job| job.text.as_str()).collect()
}

/// All of them as one jobs file.
fn printed(all: &[Imported]) -> String {
    let with_jobs: Vec<&Imported> = all.iter().filter(|imported| !imported.jobs.is_empty()).collect();
    let notes = if with_jobs.is_empty() { "" } else { render::NOTES };
    let parts = with_jobs
        .iter()
        .map(|imported| format!("\n{}{}", render::origin(&imported.crontab.file), jobs(imported)));
    std::iter::once(notes.to_owned()).chain(parts).collect()
}

/// The name of each crontab's jobs file; of several with one label the later have a number.
fn file_names(imported: &[Imported]) -> Vec<String> {
    let mut used = BTreeSet::new();
    let mut names = Vec::new();
    for imported in imported {
        let label = &imported.crontab.label;
        let numbered = (2..).map(|n| find::file_name(&format!("{label}-{n}")));
        let mut candidates = std::iter::once(find::file_name(label)).chain(numbered);
        let name = candidates.find(|name| used.insert(name.clone())).unwrap_or_default();
        names.push(name);
    }
    names
}

/// 1 if something was not carried.
fn report(
    imported: &[Imported],
    findings: &[Finding],
    written: Option<(&Path, Vec<PathBuf>)>,
    as_json: bool,
) -> Result<Answer, Failure> {
    let code = u8::from(findings.iter().any(|finding| finding.kind == Kind::NotCarried));
    if as_json {
        let answer = json!({
            "files": files_json(imported, written.is_some()),
            "written": written.map(|(_, paths)| paths),
            "findings": findings,
        });
        return Ok(Answer::json(&answer)?.with_code(code));
    }
    let mut err: String = findings.iter().map(ToString::to_string).collect();
    let count = |kind: Kind| findings.iter().filter(|finding| finding.kind == kind).count();
    let jobs: usize = imported.iter().map(|imported| imported.jobs.len()).sum();
    let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let mut summary = format!("{} from {}", plural(jobs, "job"), plural(imported.len(), "crontab"));
    for (kind, word) in [(Kind::NotCarried, "not carried"), (Kind::Changed, "changed")] {
        if count(kind) > 0 {
            summary.push_str(&format!(", {} {word}", count(kind)));
        }
    }
    let out = match written {
        None => {
            err.push_str(&format!("leafcron: {summary}; nothing is written without --write\n"));
            printed(imported)
        }
        Some((_, paths)) => {
            let mut out: String = paths.iter().map(|path| safe(&path.display().to_string()) + "\n").collect();
            out.push_str(&format!("{summary}\n"));
            if jobs > 0 {
                let which = if count(Kind::NotCarried) > 0 {
                    "the lines that were carried out of cron, and only those"
                } else {
                    "the lines out of cron"
                };
                out.push_str(&format!(
                    "Now `leafcron reload`, and take {which}: until then both run them.\n"
                ));
            }
            out
        }
    };
    Ok(Answer { out, err, code })
}

fn files_json(imported: &[Imported], written: bool) -> Vec<Value> {
    let files = file_names(imported).into_iter().zip(imported);
    let files = files.map(|(name, imported)| {
        let job = |job: &Job| json!({ "job": job.name, "line": job.line });
        let mut file = json!({
            "from": imported.crontab.file,
            "file": name,
            "jobs": imported.jobs.iter().map(job).collect::<Vec<_>>(),
        });
        if let (false, Some(fields)) = (written, file.as_object_mut()) {
            fields.insert("text".to_owned(), text(imported).into());
        }
        file
    });
    files.collect()
}
