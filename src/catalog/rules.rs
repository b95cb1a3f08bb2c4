//! What a definition must satisfy on this device, beyond its own form.

use crate::job::{CronJob, FieldError, FieldMap, Name, Source, limits, text};
use crate::schedule::{Calendar, ScheduleError, Zone};

/// What the device's configuration says about definitions.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Fields for every job that is silent on them.
    pub defaults: FieldMap,
    /// The device's zone, or why it cannot be loaded: then jobs that go by it are refused, and no others.
    pub zone: Result<Zone, ScheduleError>,
    /// As whom the agent can start jobs.
    pub user: AgentUser,
    /// The device's groups, in the order of their precedence.
    pub groups: Vec<Name>,
    /// What the centre may; `None`: nothing, there is none.
    pub centre: Option<Centre>,
}

/// What the centre may on this device.
#[derive(Clone, Debug)]
pub struct Centre {
    /// Whom its jobs may run as (`nats.users`); the first is their default. Empty: the agent's own user alone.
    pub users: Vec<String>,
}

/// As whom the agent can start jobs.
#[derive(Clone, Debug)]
pub enum AgentUser {
    /// It is root: as anyone who exists.
    Root {
        /// Whether the system knows a user of this name; true also where it cannot be told.
        exists: fn(&str) -> bool,
    },
    /// It is not: as itself only.
    Other {
        /// Its user's name.
        name: String,
    },
}

impl Rules {
    /// Judges a definition that is new.
    pub(super) fn judge(&self, own: &FieldMap, source: &Source) -> Result<CronJob, FieldError> {
        let judged = self.judge_lasting(own, source).and_then(|job| match (&self.user, &job.user) {
            (AgentUser::Root { exists }, Some(user)) if !exists(user) => {
                let whose = match source {
                    Source::File(_) => "",
                    Source::Agent | Source::Group(_) => {
                        "; `users` in the `[nats]` of its configuration says as whom the centre's jobs may run"
                    }
                };
                Err(FieldError::new("user", format!("there is no user {user:?} on this device{whose}")))
            }
            (AgentUser::Root { .. } | AgentUser::Other { .. }, _) => Ok(job),
        });
        judged.map_err(|error| self.blame(own, error))
    }

    /// Judges a definition that was accepted once, by what cannot change behind the agent's back.
    pub(super) fn judge_again(&self, canonical: &str, source: &Source) -> Result<CronJob, FieldError> {
        let own = text::parse(canonical).map_err(|reason| FieldError::new("", reason))?;
        self.judge_lasting(&own, source).map_err(|error| self.blame(&own, error))
    }

    fn judge_lasting(&self, own: &FieldMap, source: &Source) -> Result<CronJob, FieldError> {
        let job = self.effective(own, source)?;
        self.calendar(&job)?;
        match (&self.user, &job.user) {
            (AgentUser::Other { name }, Some(user)) if user != name => Err(FieldError::new(
                "user",
                format!(
                    "{user:?} is not {name:?}, as whom this agent runs: only root can start jobs as others"
                ),
            )),
            (AgentUser::Root { .. } | AgentUser::Other { .. }, _) => Ok(job),
        }
    }

    /// When a definition is due, by zones as they are now.
    pub(super) fn calendar(&self, job: &CronJob) -> Result<Calendar, ScheduleError> {
        let own = job.time_zone.as_deref();
        let device = self.zone.clone().unwrap_or_else(|_| Zone::utc());
        let calendar = Calendar::new(&job.schedule, own, &device)?;
        match &self.zone {
            Err(lost) if own.is_none() && calendar.has_local_times() => Err(lost.clone()),
            Err(_) | Ok(_) => Ok(calendar),
        }
    }

    /// A definition with every value effective: one of the centre runs as whom the device lets it, and no other.
    pub(super) fn effective(&self, own: &FieldMap, source: &Source) -> Result<CronJob, FieldError> {
        let mut job = CronJob::parse(own, &self.defaults)?;
        if let Source::File(_) = source {
            return Ok(job);
        }
        let Some(centre) = &self.centre else {
            let reason = "this device has no centre any more (no [nats] in its configuration); `leafcron remove` forgets the job";
            return Err(FieldError::new("", reason));
        };
        if let AgentUser::Other { .. } = self.user {
            return Ok(job);
        }
        let listed = || centre.users.join(", ");
        match &job.user {
            Some(user) if centre.users.contains(user) => {}
            Some(user) => {
                let reason = format!(
                    "{user:?} is not among those that nats.users of this device allows: {}",
                    listed()
                );
                return Err(FieldError::new("user", reason));
            }
            None => match centre.users.first() {
                Some(user) => job.user = Some(user.clone()),
                None => return Err(FieldError::new("user", "nats.users of this device lists nobody")),
            },
        }
        Ok(job)
    }

    /// Says so where the field that is refused is not the definition's own.
    fn blame(&self, own: &FieldMap, error: FieldError) -> FieldError {
        if !error.field.is_empty() && !given(own, &error.field) && given(&self.defaults, &error.field) {
            FieldError::new(error.field, format!("{} (from the device's [defaults])", error.reason))
        } else {
            error
        }
    }
}

/// Whether `map` says something of the field at `path`, as `require.check`.
pub(super) fn given(map: &FieldMap, path: &str) -> bool {
    let below = |(name, rest): (&str, &str)| {
        map.get(name).is_some_and(|value| value.as_object().is_none_or(|table| given(table, rest)))
    };
    map.contains_key(path) || path.split_once('.').is_some_and(below)
}

/// The canonical text of a definition's fields.
pub(super) fn canonical(fields: &FieldMap) -> Result<String, FieldError> {
    let canonical = text::canonical(fields);
    if canonical.len() > limits::DEFINITION_BYTES {
        let most = limits::DEFINITION_BYTES;
        let reason = format!("a definition of {} bytes; at most {most} are allowed", canonical.len());
        return Err(FieldError::new("", reason));
    }
    Ok(canonical)
}
