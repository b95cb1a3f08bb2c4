//! How the machine is, for people: read when somebody asks, never else.

use smol::channel::Sender;

use super::{Agent, send};
use crate::config::{Config, Host, User};
use crate::gate::{Probe, Wanted};
use crate::job::{Doctor, PendingStage, Readings, Reply, limits};

/// What can be told of a machine without an agent: nothing of jobs, nothing of limits.
#[must_use]
pub fn examine(config: &Config, probe: &Probe) -> Doctor {
    Doctor {
        readings: probe.read(&Wanted::machine()),
        gates: super::unserved(probe),
        standing: standing(config),
        ..Doctor::default()
    }
}

/// What the configuration has that somebody should know.
fn standing(config: &Config) -> Vec<String> {
    let mut standing = config.warnings.clone();
    if config.nats.is_some() && Host::this().user != User::Root {
        standing.push(
            "the agent does not run as root: the link to the centre runs as the same user, and can read what the agent can"
                .to_owned(),
        );
    }
    standing
}

impl Agent {
    /// Everything that is read at once, and of paths and the clock what is known.
    pub(super) fn readings(&self) -> Readings {
        Readings {
            disk_available: self.core.readings().disk_available.clone(),
            clock: Some(self.now().clock),
            ..self.probe.read(&Wanted::machine())
        }
    }

    /// The same for a heartbeat, which nobody asked for: of the firmware's flags what a gate read last.
    pub(super) fn quiet_readings(&self) -> Readings {
        Readings {
            throttled: self.core.readings().throttled,
            disk_available: self.core.readings().disk_available.clone(),
            ..self.probe.read(&Wanted::machine().quietly())
        }
    }

    /// Answers when the paths have been looked at, or when one of them takes too long.
    pub(super) fn doctor(&mut self, reply: Sender<Reply>) {
        let now = self.now();
        let at_gate = self.core.pending(None, now).into_iter().filter(|row| row.stage == PendingStage::Gate);
        let link = self.link.as_ref().map(|link| link.status(now).warnings);
        let mut doctor = Doctor {
            limits: self.runtime.unserved_limits(),
            waiting: at_gate.collect(),
            warnings: self.catalog.warnings(),
            ..examine(&self.config, &self.probe)
        };
        doctor.standing.extend(link.into_iter().flatten());
        doctor.readings.clock = Some(now.clock);
        let mut wanted = Wanted::default();
        for (job, _) in self.catalog.jobs() {
            if let Some(cronjob) = self.catalog.cronjob(job) {
                wanted.add(&cronjob.require);
            }
            if wanted.paths().count() >= limits::DOCTOR_PATHS {
                break;
            }
        }
        let paths = self.read_paths(wanted.split_paths().1);
        let answer = self.executor.spawn(async move {
            doctor.readings.disk_available = paths.await;
            send(&reply, Reply::Doctor(Box::new(doctor)));
        });
        answer.detach();
    }
}
