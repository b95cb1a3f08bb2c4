//! Commands from the centre: what may be asked, by whom, of which jobs and until when. What passes is answered where
//! every request is.

use core::time::Duration;

use smol::channel::bounded;

use super::super::Agent;
use super::super::answer::{Asker, refused};
use crate::config::Commands;
use crate::job::limits::COMMAND_AHEAD;
use crate::job::units::format_duration;
use crate::job::{Clock, Command, JobName, Refusal, RefusalKind, Reply, Request, Source, WallTime};
use crate::link::frame::ToLink;

/// Whoever follows an output asks again before this is over; nobody is sent anything longer who is not there.
const FOLLOW: Duration = Duration::from_secs(20);
/// Between two parts of an output.
const PART_EVERY: Duration = Duration::from_millis(200);

/// How often a command is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    One,
    /// `run` with `wait`: when it is accepted, and when it has ended.
    Two,
    /// `logs` with `follow`.
    Parts,
}

impl Answers {
    fn of(request: &Request) -> Self {
        match request {
            Request::Run { wait: true, .. } => Self::Two,
            Request::Logs { follow: true, .. } => Self::Parts,
            _ => Self::One,
        }
    }

    fn is_last(self, reply: &Reply) -> bool {
        match (self, reply) {
            (Self::Two, Reply::Accepted { .. }) => false,
            (Self::Parts, Reply::Log(part)) => part.over,
            _ => true,
        }
    }

    /// Comes when no more is answered.
    async fn end(self) -> Reply {
        if self != Self::Parts {
            return smol::future::pending().await;
        }
        smol::Timer::after(FOLLOW).await;
        refused(RefusalKind::Expired, &format!("nobody follows longer than {FOLLOW:?}; ask again"))
    }
}

impl Agent {
    /// A command has come in.
    pub(super) fn command(&mut self, ask: u64, payload: &[u8]) {
        let Some(frames) = self.link.as_ref().and_then(|link| link.frames()) else { return };
        let (reply, replies) = bounded(2);
        let mut answers = Answers::One;
        match Command::parse(payload) {
            Err(why) => super::super::send(&reply, refused(RefusalKind::BadRequest, &why)),
            Ok(Command { request, not_after }) => match self.may_command(&request, not_after) {
                Err(refusal) => super::super::send(&reply, Reply::Refused(refusal)),
                Ok(()) => {
                    answers = Answers::of(&request);
                    self.asked(request, Asker::Centre { until: not_after }, reply);
                }
            },
        }
        let answer = self.executor.spawn(async move {
            let mut end = core::pin::pin!(answers.end());
            loop {
                let next = async { replies.recv().await.ok() };
                let Some(reply) = smol::future::or(next, async { Some((&mut end).await) }).await else {
                    return;
                };
                let last = answers.is_last(&reply);
                // Plain data: it always prints. A link that is gone answers nobody.
                let payload = serde_json::to_vec(&reply).unwrap_or_default();
                if frames.send(ToLink::Answer { ask, payload, last }).await.is_err() || last {
                    return;
                }
                if answers == Answers::Parts {
                    // However much is printed: the link has records to carry.
                    smol::Timer::after(PART_EVERY).await;
                }
            }
        });
        answer.detach();
    }

    /// Whether the centre may ask this now.
    fn may_command(&self, request: &Request, not_after: Option<WallTime>) -> Result<(), Refusal> {
        let no = |kind, message: String| Err(Refusal { kind, message });
        let job = match request {
            Request::Status {} => return Ok(()),
            Request::Logs { job, .. } => return self.is_the_centres(job),
            Request::Run { job, id: Some(_), .. }
            | Request::Stop { job, id: Some(_) }
            | Request::Pause { job, id: Some(_) }
            | Request::Resume { job, id: Some(_) } => job,
            Request::Run { .. } | Request::Stop { .. } | Request::Pause { .. } | Request::Resume { .. } => {
                return no(RefusalKind::BadRequest, "a command needs an id: \"id\":\"…\"".to_owned());
            }
            Request::List {}
            | Request::Show { .. }
            | Request::History { .. }
            | Request::Events { .. }
            | Request::Doctor {}
            | Request::EndRuns {}
            | Request::Remove { .. }
            | Request::Reload {} => {
                let message =
                    "the centre may ask run, stop, pause, resume, logs and status; this is asked on the device".to_owned();
                return no(RefusalKind::Forbidden, message);
            }
        };
        self.in_time(not_after)?;
        self.is_the_centres(job)
    }

    fn in_time(&self, not_after: Option<WallTime>) -> Result<(), Refusal> {
        let now = self.now();
        let no = |kind, message: String| Err(Refusal { kind, message });
        let Some(end) = not_after else {
            return no(
                RefusalKind::Expired,
                "a command needs an end: \"not_after\":\"2026-11-22T03:00:00Z\"".to_owned(),
            );
        };
        if now.clock != Clock::Synced {
            let message = format!(
                "this device's clock ({}) is not synchronised, so nobody can tell whether {end} has passed; only status and logs are answered",
                now.wall
            );
            return no(RefusalKind::Conflict, message);
        }
        if end < now.wall {
            return no(
                RefusalKind::Expired,
                format!("its not_after, {end}, has passed: it is {} here", now.wall),
            );
        }
        if end.since(now.wall) > COMMAND_AHEAD {
            let most = format_duration(COMMAND_AHEAD);
            return no(
                RefusalKind::Expired,
                format!("its not_after, {end}, is more than {most} ahead of {}", now.wall),
            );
        }
        Ok(())
    }

    /// The device's owner says which jobs the centre may command.
    fn is_the_centres(&self, job: &JobName) -> Result<(), Refusal> {
        let no = |message: String| Err(Refusal { kind: RefusalKind::Forbidden, message });
        let commands = self.config.nats.as_ref().map_or(Commands::None, |nats| nats.commands);
        match (commands, self.catalog.in_force(job).map(|in_force| in_force.source)) {
            (Commands::None, _) => {
                no("this device takes no commands from the centre (nats.commands = \"none\")".to_owned())
            }
            (Commands::Central, Some(Source::File(file))) => no(format!(
                "{job} is the device's own ({file}); the centre may command what came from it (nats.commands = \"central\")"
            )),
            // A job that nobody knows is refused by the core.
            (Commands::Central | Commands::Any, _) => Ok(()),
        }
    }
}
