//! Promise 5: what is limited stays within its limit.

use leafcron::job::{Entry, JobName};
use leafcron::store::{Disk, DiskFile, MemDisk};

use super::Model;

/// Fires of one job that wait, and of all jobs (DESIGN section 5).
const WAITING_PER_JOB: usize = 4;
const WAITING: usize = 1_024;
/// Commands that are remembered (DESIGN section 8).
const COMMANDS: usize = 256;
/// Records on their way to the hub, and their bytes (DESIGN section 9).
const IN_FLIGHT: usize = 32;
const IN_FLIGHT_BYTES: usize = 64 * 1024;

impl Model {
    /// After an entry is durable.
    pub(super) fn check_bounds(&mut self, entry: &Entry) {
        match entry {
            Entry::Pending(pending) => {
                let job = &pending.key.job;
                // A start that never happened waits again, however many do.
                let of = |of: &&leafcron::job::FireKey| of.job == *job && !self.returned.contains(*of);
                let (own, all) = (self.durable.pending.keys().filter(of).count(), self.durable.pending.len());
                // So do those whose final record was given up, until a restart judges them.
                let given_up = |key: &&leafcron::job::FireKey| of(key) && self.was_given_up(key);
                let is_over = |own: usize| own > WAITING_PER_JOB;
                let own = if is_over(own) {
                    own - self.durable.pending.keys().filter(given_up).count()
                } else {
                    own
                };
                if is_over(own) || all > WAITING {
                    self.blame(format!("bound: {own} fires of {job} wait, and {all} in all"));
                }
            }
            Entry::Record(record) if record.last => drop(self.returned.remove(&record.key)),
            Entry::Missed(missed) => {
                let ranges = self.durable.missed.get(&missed.job).map_or(0, Vec::len);
                if ranges > WAITING_PER_JOB {
                    self.blame(format!("bound: {ranges} ranges of missed fires of {} wait", missed.job));
                }
            }
            _ => {}
        }
        if self.durable.commands.count() > COMMANDS {
            self.blame(format!("bound: {} commands are remembered", self.durable.commands.count()));
        }
    }

    /// The bytes of all segments.
    pub(crate) fn check_disk(&mut self, disk: &MemDisk, most: u64) {
        let segments = disk.names().into_iter().filter(|name| name.starts_with("journal-"));
        let bytes: u64 = segments.filter_map(|name| disk.open(&name).and_then(|file| file.size()).ok()).sum();
        if bytes > most {
            self.blame(format!("bound: the journal takes {bytes} bytes of {most}"));
        }
    }

    /// Runs at once.
    pub(crate) fn check_runs(&mut self, going: usize, most: usize, job: &JobName) {
        if going > most {
            self.blame(format!("bound: with {job} {going} runs go on, and max_runs is {most}"));
        }
    }

    /// What is with the link and not acknowledged, in bytes each.
    pub(crate) fn check_window(&mut self, in_flight: &[usize]) {
        let bytes: usize = in_flight.iter().sum();
        if in_flight.len() > IN_FLIGHT || (bytes > IN_FLIGHT_BYTES && in_flight.len() > 1) {
            self.blame(format!("bound: {} facts of {bytes} bytes are in flight", in_flight.len()));
        }
    }
}
