//! `leafcron hub`: the fleet's operator asks the hub's buckets and stream, and devices through it.

mod apply;
mod args;
mod command;
mod fates;
mod forget;
mod init;
mod list;
mod past;
mod permit;
mod problems;
mod push;
mod reach;
mod there;
mod verdict;
mod wanted;

use core::time::Duration;
use std::io::Read as _;
use std::thread;

use leafcron::job::units::parse_duration;
use leafcron::job::{AgentName, Heartbeat, RecordJson, Request, RunId, Verdict, WallTime};
use leafcron::nats::{Connection, From, JetStream, NatsError, Read, Settings, Stored, Trouble};

pub(crate) use args::Hub;
use args::Verb;

use crate::answer::{Answer, Failure, chain, say};
use crate::here::Here;
use crate::logs;

/// A server that does not let us in after this is none.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer of the hub may take.
const ANSWER: Duration = Duration::from_secs(10);

/// How long each answer of a reading may take, and how often a reading is begun.
const PULL: Duration = Duration::from_secs(3);
const TRIES: usize = 4;

/// How often a device speaks that does not say how often.
const HEARTBEAT: Duration = Duration::from_secs(900);

/// Between two attempts to reach the hub again, for whoever goes on without it.
const AGAIN: Duration = Duration::from_secs(1);

/// Up to where the stream of results was read.
#[derive(Clone)]
struct Place {
    /// When it was made: another one is read from its beginning.
    created: String,
    next: u64,
}

/// A device's last word.
struct Beat {
    said: Heartbeat,
    /// When it came, by the hub's clock: a device's own may show anything.
    stored: WallTime,
}

impl Beat {
    /// Whether the device has missed two of its heartbeats.
    fn is_silent(&self, now: WallTime) -> bool {
        let every = parse_duration(&self.said.heartbeat).unwrap_or(HEARTBEAT);
        now.since(self.stored) > every * 5 / 2
    }
}

/// The hub.
#[derive(Clone)]
struct Centre {
    settings: Settings,
    stream: JetStream,
    prefix: String,
    /// What this invocation's consumers are called.
    reader: String,
}

/// Carries it out.
pub(crate) fn hub(hub: &Hub, here: &Here, json: bool) -> Result<Answer, Failure> {
    if let Verb::Permit { agents, groups } = &hub.verb {
        return permit::permit(agents, groups, &hub.reach, json);
    }
    let way = reach::find(&hub.reach)?;
    let connection = Connection::connect(&way.settings, CONNECT, tell).map_err(|error| cannot(&error))?;
    let reader = format!("leafcron-hub-{}", random()?);
    let stream = JetStream::new(connection, &way.domain);
    let centre = Centre { settings: way.settings, stream, prefix: way.prefix, reader };
    match &hub.verb {
        // It was answered before anybody was asked.
        Verb::Permit { .. } => Ok(Answer::default()),
        Verb::Init { replicas, keep } => init::init(&centre, *replicas, *keep, json),
        Verb::Push { file, scope, wait, unchecked } => {
            push::push(&centre, here, file, scope, wait, *unchecked, json)
        }
        Verb::Apply { dir, scope, wait, dry_run, adopt, allow_empty, unchecked } => {
            let choice = apply::Choice {
                judge: wanted::Judge::of(*unchecked),
                dry_run: *dry_run,
                adopt: *adopt,
                allow_empty: *allow_empty,
            };
            apply::apply(&centre, here, dir, scope, wait, choice, json)
        }
        Verb::Remove { job, scope, wait } => push::remove(&centre, here, job, scope, wait, json),
        Verb::List { agent } => list::list(&centre, agent.as_ref(), json),
        Verb::Show { agent, job } => list::show(&centre, here, agent, job, json),
        Verb::Problems => problems::problems(&centre, here, json),
        Verb::Forget { agent, jobs, force } => forget::forget(&centre, here, agent, *jobs, *force, json),
        Verb::Agents => list::agents(&centre, here, json),
        Verb::History { agent, job, limit, follow, output } => {
            let asked = past::Asked { agent: agent.as_ref(), job: job.as_ref(), output: *output, json };
            past::history(&centre, here, &asked, usize::from(*limit), *follow)
        }
        Verb::Run { agent, job, wait, force, id, patience } => {
            let run = command::Run { job, wait: *wait, force: *force, id: id.clone() };
            command::run(&centre, here, agent, &run, patience.timeout, json)
        }
        Verb::Stop { agent, job, patience } => {
            let request = |id| Request::Stop { job: job.clone(), id: Some(id) };
            command::done(&centre, here, agent, request, patience.timeout, json)
        }
        Verb::Pause { agent, job, patience } => {
            let request = |id| Request::Pause { job: job.clone(), id: Some(id) };
            command::done(&centre, here, agent, request, patience.timeout, json)
        }
        Verb::Resume { agent, job, patience } => {
            let request = |id| Request::Resume { job: job.clone(), id: Some(id) };
            command::done(&centre, here, agent, request, patience.timeout, json)
        }
        Verb::Logs { agent, job, run, follow, patience } => {
            let (run, timeout) = (run.map(RunId), patience.timeout);
            if *follow {
                return command::follow(&centre, agent, job, run, timeout, json);
            }
            logs::print(job, run, json, |request| {
                command::read(&centre, here, agent, request.clone(), timeout)
            })
        }
        Verb::Status { agent, patience } => command::status(&centre, here, agent, patience.timeout, json),
    }
}

impl Centre {
    fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.prefix)
    }

    /// The same hub a little later, over a new connection where this one has ended: tries until somebody lets us in, or says
    /// that nobody ever will.
    fn again(&self) -> Result<Self, Failure> {
        loop {
            thread::sleep(AGAIN);
            if self.stream.connection().alive().is_ok() {
                return Ok(self.clone());
            }
            match Connection::connect(&self.settings, CONNECT, tell) {
                Ok(connection) => {
                    let stream = JetStream::new(connection, self.stream.domain());
                    return Ok(Self { stream, ..self.clone() });
                }
                Err(error) if error.is_final() => return Err(cannot(&error)),
                Err(error) => log::debug!("{}", chain(&error)),
            }
        }
    }

    /// Where the stream of results is to be read on: from its beginning where it was made anew meanwhile, or restored to a
    /// state before that. `None`: nothing has come.
    fn on_from(&self, place: &Place) -> Result<Option<Place>, Failure> {
        let stream = self.name("runs");
        let info = self.stream.stream_info(&stream, ANSWER).map_err(|error| self.unread(&stream, &error))?;
        let end = info.last_seq.saturating_add(1);
        let next = if info.created != place.created || end < place.next { 1 } else { place.next };
        let moved = end != place.next || next != place.next;
        Ok(moved.then_some(Place { created: info.created, next }))
    }

    /// A record of the stream. One that speaks of another device or job than its subject is none: a device may be let
    /// publish below its own name and no other.
    fn record(&self, stored: &Stored) -> Option<RecordJson> {
        let record: RecordJson = serde_json::from_slice(&stored.payload).ok()?;
        let subject = format!("{}.run.{}.{}", self.prefix, record.agent, record.job);
        (stored.subject == subject).then_some(record)
    }

    /// All that a filter matches.
    fn read(
        &self,
        stream: &str,
        filter: &str,
        from: From,
        each: &mut dyn FnMut(Stored),
    ) -> Result<(), Failure> {
        let read = Read { stream, consumer: &self.reader, filter, from };
        let mut tries = TRIES;
        loop {
            // Told only once it is complete: a reading that is lost on the way begins anew.
            let mut all = Vec::new();
            let result = self.stream.read(&read, PULL, &mut |stored| {
                all.push(stored);
                Ok(())
            });
            tries -= 1;
            match result {
                Ok(()) => {
                    all.into_iter().for_each(each);
                    return Ok(());
                }
                // nats-server 2.9 announces more than it delivers of keys that are overwritten meanwhile.
                Err(NatsError::TimedOut { .. } | NatsError::Incomplete { .. }) if tries > 0 => {}
                Err(error) => return Err(self.unread(stream, &error)),
            }
        }
    }

    fn unread(&self, stream: &str, error: &NatsError) -> Failure {
        match error {
            error if error.is_not_found() => Failure::CannotAsk(format!(
                "{stream}: {}; `leafcron hub init` makes what is missing",
                chain(error)
            )),
            error @ NatsError::NoResponders { .. } => Failure::CannotAsk(format!(
                "{}: this server reaches no JetStream of domain {:?}; on the hub set `jetstream {{ domain: {} }}`, or name another with --domain",
                chain(error),
                self.stream.domain(),
                self.stream.domain()
            )),
            error => cannot(error),
        }
    }

    /// The keys of a bucket below a filter, with their values; those that are deleted are left out.
    fn keys(&self, bucket: &str, below: &str, each: &mut dyn FnMut(&str, Stored)) -> Result<(), Failure> {
        let bucket = self.name(bucket);
        let prefix = format!("$KV.{bucket}.");
        self.read(&format!("KV_{bucket}"), &format!("{prefix}{below}"), From::LastPerSubject, &mut |stored| {
            if !stored.deleted {
                let key = stored.subject.strip_prefix(&prefix).unwrap_or_default().to_owned();
                each(&key, stored);
            }
        })
    }

    /// What the devices say of themselves, each under its own name.
    fn heartbeats(&self) -> Result<Vec<Heartbeat>, Failure> {
        Ok(self.beats("*")?.into_iter().map(|beat| beat.said).collect())
    }

    /// The same of some, and when it came here.
    fn beats(&self, of: &str) -> Result<Vec<Beat>, Failure> {
        let mut beats = Vec::new();
        self.keys("state", of, &mut |key, stored| {
            let said = serde_json::from_slice::<Heartbeat>(&stored.payload).ok();
            let stored = WallTime::from_millis(stored.at_nanos / 1_000_000);
            beats.extend(said.filter(|said| said.agent.as_str() == key).map(|said| Beat { said, stored }));
        })?;
        Ok(beats)
    }

    /// What devices say of jobs, in the order of their names.
    fn verdicts(&self, below: &str) -> Result<Vec<(AgentName, Verdict)>, Failure> {
        let mut verdicts = Vec::new();
        self.keys("state", below, &mut |key, stored| {
            let Some((agent, job)) = key.split_once('.') else { return };
            let verdict = serde_json::from_slice::<Verdict>(&stored.payload).ok();
            let own = verdict.filter(|verdict| verdict.job.as_str() == job);
            verdicts.extend(agent.parse::<AgentName>().ok().zip(own));
        })?;
        verdicts.sort_by(|(a, x): &(AgentName, Verdict), (b, y)| (a, &x.job).cmp(&(b, &y.job)));
        Ok(verdicts)
    }
}

/// What the server does not permit is not answered: nobody shall wait for it in the dark.
fn tell(trouble: Trouble<'_>) {
    if let Trouble::Denied(what) = trouble {
        say(&format!("leafcron: the server does not permit it: {what}\n"));
    }
}

/// It could not be asked.
fn cannot(error: &NatsError) -> Failure {
    Failure::CannotAsk(chain(error))
}

/// 128 random bits.
fn random() -> Result<String, Failure> {
    let mut bits = [0; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bits))
        .map_err(|error| Failure::CannotAsk(format!("read random bits: {error}")))?;
    Ok(leafcron::job::Id128(bits).to_string())
}
