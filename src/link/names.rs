//! Every name that a link uses on NATS, each said once: the link takes them from here, and so does what it has to be
//! permitted.

use super::frame::Hello;
use crate::job::{AgentName, Name};
use crate::nats::INBOX;
use crate::nats::verbs::{self, Api, Consumer};

/// Answers that a command may have, where the server counts them: an output that is followed is told in some 100 parts.
pub const ANSWERS: u16 = 128;
/// For so long the server remembers where an answer may go. Whoever waits longer for the end of a run finds its record in
/// the stream.
pub const ANSWERED_WITHIN: &str = "1h";

/// What the names of a device are made of.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// What each of ours begins with.
    pub prefix: &'a Name,
    /// The device.
    pub agent: &'a AgentName,
    /// Its groups, with `all`.
    pub groups: &'a [Name],
}

/// The least that a server has to permit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permits {
    /// Where it publishes.
    pub publish: Vec<String>,
    /// What it listens to.
    pub subscribe: Vec<String>,
}

impl Hello {
    pub(super) fn names(&self) -> Names<'_> {
        Names { prefix: &self.prefix, agent: &self.agent, groups: &self.groups }
    }
}

impl Names<'_> {
    fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.prefix)
    }

    /// The bucket of definitions.
    #[must_use]
    pub fn jobs(&self) -> String {
        self.name("jobs")
    }

    /// The bucket of reported state.
    #[must_use]
    pub fn state(&self) -> String {
        self.name("state")
    }

    /// The stream of results and events.
    #[must_use]
    pub fn runs(&self) -> String {
        self.name("runs")
    }

    /// Where the device is commanded.
    #[must_use]
    pub fn commands(&self) -> String {
        format!("{}.cmd.{}", self.prefix, self.agent)
    }

    /// What inboxes begin with: nobody else is permitted to listen there.
    #[must_use]
    pub fn inbox(&self) -> String {
        format!("{INBOX}.{}", self.agent)
    }

    /// The key that tells one bucket of definitions from another.
    pub(super) fn id(&self) -> String {
        verbs::key(&self.jobs(), "meta.id")
    }

    /// The keys that concern the device: its own, and those of its groups.
    pub(super) fn keys(&self) -> Vec<String> {
        let groups = self.groups.iter().map(|group| format!("group.{group}.>"));
        std::iter::once(format!("agent.{}.>", self.agent)).chain(groups).collect()
    }

    /// Where they stand.
    pub(super) fn definitions(&self) -> Vec<String> {
        self.keys().iter().map(|key| verbs::key(&self.jobs(), key)).collect()
    }

    /// What a hint begins with; its key follows.
    pub(super) fn hint(&self) -> String {
        format!("{}.job.", self.prefix)
    }

    /// That one of them has changed.
    pub(super) fn hints(&self) -> Vec<String> {
        self.keys().iter().map(|key| self.hint() + key).collect()
    }

    /// That the heartbeat's key has changed: whose the name is.
    pub(super) fn named(&self) -> String {
        format!("{}.state.{}", self.prefix, self.agent)
    }

    /// The heartbeat's key, and what is said of jobs.
    pub(super) fn reported(&self) -> [String; 2] {
        [self.agent.to_string(), format!("{}.*", self.agent)]
    }

    /// Results, and events: as deep as the stream's own subjects, since a deeper wildcard would not be below them.
    pub(super) fn facts(&self) -> [String; 2] {
        ["run", "event"].map(|kind| format!("{}.{kind}.{}.*", self.prefix, self.agent))
    }

    /// All that the link ever publishes and listens to, as the server sees it that asks whether it may. Its answers to
    /// commands go where each asker says, and are not among it.
    ///
    /// Nothing may stand in both lists: whoever can send to itself can name any subject as the one to be answered at, and
    /// is permitted to answer there.
    #[must_use]
    pub fn permits(&self, api: Api<'_>) -> Permits {
        let (jobs, state) = (verbs::stream_of(&self.jobs()), verbs::stream_of(&self.state()));
        let mut asked = vec![verbs::stream_info(&jobs), verbs::stream_info(&self.runs())];
        let definitions: Vec<String> = std::iter::once(self.id()).chain(self.definitions()).collect();
        let reported = self.reported().map(|key| verbs::key(&self.state(), &key));
        for (stream, filters) in
            [(&jobs, definitions.as_slice()), (&state, &reported), (&self.runs(), &self.facts())]
        {
            let consumer = Consumer { stream, name: self.agent.as_str() };
            asked.extend(filters.iter().map(|filter| consumer.create(filter)));
            asked.extend([consumer.next(), consumer.info(), consumer.delete()]);
        }
        asked.extend(reported);
        let asked = asked.iter().map(|verb| api.subject(verb));
        let listened = [self.commands(), format!("{}.>", self.inbox())];
        Permits {
            publish: asked.chain(self.facts()).collect(),
            subscribe: listened.into_iter().chain(self.hints()).chain([self.named()]).collect(),
        }
    }
}

/// What an account that has the buckets of this prefix lets others use, of which each imports what it is permitted:
/// services, and streams of messages.
#[must_use]
pub fn exports(prefix: &Name) -> (Vec<String>, Vec<String>) {
    let services = [
        Api::Own.subject(">"),
        verbs::key(&format!("{prefix}-state"), ">"),
        format!("{prefix}.run.*.*"),
        format!("{prefix}.event.*.*"),
    ];
    (services.to_vec(), vec![format!("{prefix}.job.>"), format!("{prefix}.state.*")])
}

impl Permits {
    /// What of it is listened to because a bucket says it, and not because somebody answers or asks.
    pub fn hints<'a>(&'a self, names: &Names<'_>) -> impl Iterator<Item = &'a String> {
        let (hint, named) = (names.hint(), names.named());
        self.subscribe.iter().filter(move |subject| subject.starts_with(&hint) || **subject == named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_permitted_that_does_not_name_the_device_or_its_groups() {
        let (prefix, agent) = ("lc".parse().unwrap(), "pi".parse().unwrap());
        let groups = ["lab".parse().unwrap()];
        let names = Names { prefix: &prefix, agent: &agent, groups: &groups };
        for api in [Api::Domain("hub"), Api::Own] {
            let Permits { publish, subscribe } = names.permits(api);
            let first = |subject: &String| subject.split('.').take(2).collect::<Vec<_>>().join(".");
            assert!(publish.iter().all(|to| subscribe.iter().all(|from| first(to) != first(from))));
            // That there is a stream, and how long it is.
            let (general, own): (Vec<_>, Vec<_>) =
                publish.iter().partition(|subject| subject.contains("STREAM.INFO"));
            assert_eq!(general.len(), 2);
            for subject in own.into_iter().chain(&subscribe) {
                let mut words = subject.split('.');
                assert!(words.any(|word| word == "pi" || word == "lab"), "{subject}");
                assert_eq!(subject.starts_with("$JS.hub."), subject.contains("$JS.") && api != Api::Own);
            }
        }
    }
}
