//! The jobs directory, through the catalog, to the core: at the start and at each reload.

use crate::catalog::{Change, Changes};
use crate::config::JobsDir;
use crate::control;
use crate::job::{EventKind, JobName, RefusedRow, Reloaded, Revision};
use crate::schedule::Zone;
use crate::scheduler::{Event, Plan};

use super::{Agent, chain, turns};

impl Agent {
    /// [`reload`](Self::reload), because somebody asks for it; the service manager hears of it.
    pub(super) fn reload_asked(&mut self) -> Reloaded {
        self.manager.reloading();
        if let Err(error) = control::let_group_in(&self.config.run_dir) {
            log::warn!("{}", chain(&error));
        }
        let known = self.catalog.refused();
        self.catalog.renew_zones(Zone::device());
        let mut reloaded = self.reload();
        let zoneless = self.renew_calendars();
        self.note_refusals(&known, &zoneless);
        reloaded.rejected.extend(zoneless);
        self.manager.ready();
        reloaded
    }

    /// Gives every job in force the calendar of its zone as it is now; where that is what it was, nothing follows.
    fn renew_calendars(&mut self) -> Vec<RefusedRow> {
        let mut lost = Vec::new();
        for (job, revision) in self.in_force() {
            let Some(cronjob) = self.catalog.cronjob(&job) else { continue };
            match self.catalog.calendar(&cronjob) {
                Ok(calendar) => {
                    let plan = Plan::new(&cronjob, calendar, revision);
                    self.step(Event::Define { job, plan });
                    self.cut_turn();
                }
                Err(error) => lost.push((job, error)),
            }
        }
        self.catalog.report_zoneless(&lost).to_vec()
    }

    fn in_force(&self) -> Vec<(JobName, Revision)> {
        self.catalog.jobs().map(|(job, in_force)| (job.clone(), in_force.revision)).collect()
    }

    /// Reads the jobs directory again and brings what changed in force.
    pub(super) fn reload(&mut self) -> Reloaded {
        self.bulky = true;
        let known = self.catalog.refused();
        let changes = match JobsDir::open(&self.config.jobs_dir) {
            Ok(dir) if dir.is_missing() => {
                log::warn!("{}: no such directory", self.config.jobs_dir.display());
                self.catalog.load_missing(&self.config.jobs_dir.display().to_string())
            }
            Ok(dir) => self.catalog.load_files(dir),
            // Not trusted, or not readable: nothing is known, so all stays as it is.
            Err(error) => {
                self.catalog.load_failed(&self.config.jobs_dir.display().to_string(), error.reason())
            }
        };
        self.note_refusals(&known, &changes.rejected);
        changes.warnings.iter().for_each(|warning| log::warn!("{warning}"));
        self.bring_in_force(&changes);
        Reloaded::from(changes)
    }

    /// What follows from the new texts first, then the texts, in turns that fit a frame: cut off in between, a restart
    /// finds the old texts with all that was due by them settled, and reads the directory anew.
    pub(super) fn bring_in_force(&mut self, changes: &Changes) {
        if let Some(link) = &mut self.link {
            link.verdicts = true;
        }
        for Change { job, now } in &changes.changed {
            let plan = now.and_then(|revision| {
                let cronjob = self.catalog.cronjob(job)?;
                Some(Plan::new(&cronjob, self.catalog.calendar(&cronjob).ok()?, revision))
            });
            let job = job.clone();
            self.step(match plan {
                Some(plan) => Event::Define { job, plan },
                None => Event::Remove { job },
            });
            self.cut_turn();
        }
        for entry in &changes.entries {
            self.turn.entries.push(entry.clone());
            self.cut_turn();
        }
    }

    /// A turn that is heavy enough is closed, and the next one begun.
    fn cut_turn(&mut self) {
        if turns::weight(&self.turn.entries) >= super::TURN_BYTES {
            let now = self.now();
            self.core.close(now, &mut self.turn);
            self.turns.push(core::mem::take(&mut self.turn));
        }
    }

    /// Tells of refusals that are new, in the log and in the journal.
    pub(super) fn note_refusals(&mut self, known: &[RefusedRow], rows: &[RefusedRow]) {
        for row in rows.iter().filter(|row| !known.contains(row)) {
            log::warn!("refused: {row}");
            let job = row.job.as_ref().and_then(|job| job.parse().ok());
            let reason = match &row.field {
                Some(field) => format!("{field}: {}", row.reason),
                None => row.reason.clone(),
            };
            self.note(EventKind::Refused { job, source: row.origin.clone(), reason });
        }
    }
}
