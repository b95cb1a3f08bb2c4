//! `leafcron hub`: the fleet's operator asks the hub's buckets and stream, and devices through it.

mod args;
mod command;
mod init;
mod list;
mod past;
mod push;
mod reach;
mod verdict;

use core::time::Duration;
use std::io::Read as _;

use leafcron::job::{AgentName, Heartbeat, Verdict};
use leafcron::nats::{Connection, From, JetStream, NatsError, Read, Stored};

pub(crate) use args::Hub;
use args::Verb;

use crate::answer::{Answer, Failure, chain};
use crate::here::Here;

/// A server that does not let us in after this is none.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer of the hub may take.
const ANSWER: Duration = Duration::from_secs(10);

/// How long each answer of a reading may take, and how often a reading is begun.
const PULL: Duration = Duration::from_secs(3);
const TRIES: usize = 4;

/// The hub.
struct Centre {
    stream: JetStream,
    prefix: String,
    /// What this invocation's consumers are called.
    reader: String,
}

/// Carries it out.
pub(crate) fn hub(hub: &Hub, here: &Here, json: bool) -> Result<Answer, Failure> {
    let way = reach::find(&hub.reach)?;
    let connection = Connection::connect(&way.settings, CONNECT, |_| {}).map_err(|error| cannot(&error))?;
    let reader = format!("leafcron-hub-{}", random()?);
    let centre = Centre { stream: JetStream::new(connection, &way.domain), prefix: way.prefix, reader };
    match &hub.verb {
        Verb::Init { replicas, keep } => init::init(&centre, *replicas, *keep, json),
        Verb::Push { file, scope, wait, unchecked } => {
            push::push(&centre, here, file, scope, wait, *unchecked, json)
        }
        Verb::Remove { job, scope, wait } => push::remove(&centre, here, job, scope, wait, json),
        Verb::List { agent } => list::list(&centre, agent.as_ref(), json),
        Verb::Show { agent, job } => list::show(&centre, here, agent, job, json),
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
            command::stop(&centre, here, agent, job, patience.timeout, json)
        }
        Verb::Status { agent, patience } => command::status(&centre, here, agent, patience.timeout, json),
    }
}

impl Centre {
    fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.prefix)
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

    /// What the devices say of themselves.
    fn heartbeats(&self) -> Result<Vec<Heartbeat>, Failure> {
        let mut beats = Vec::new();
        self.keys("state", "*", &mut |_, stored| beats.extend(serde_json::from_slice(&stored.payload)))?;
        Ok(beats)
    }

    /// What devices say of jobs, in the order of their names.
    fn verdicts(&self, below: &str) -> Result<Vec<(AgentName, Verdict)>, Failure> {
        let mut verdicts = Vec::new();
        self.keys("state", below, &mut |key, stored| {
            let agent = key.split('.').next().and_then(|agent| agent.parse::<AgentName>().ok());
            verdicts.extend(agent.zip(serde_json::from_slice(&stored.payload).ok()));
        })?;
        verdicts.sort_by(|(a, x): &(AgentName, Verdict), (b, y)| (a, &x.job).cmp(&(b, &y.job)));
        Ok(verdicts)
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
