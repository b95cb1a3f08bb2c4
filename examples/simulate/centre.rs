//! The link and the hub: what goes out, what comes back, and when.

use leafcron::catalog::Text;
use leafcron::link::frame::ToLink;

use crate::hub::Taken;
use crate::world::{Coming, HOUR, MINUTE, SECOND, World};

/// What a server may find too large, in bytes.
const LARGE: usize = 600;

impl World {
    pub(crate) fn start_link(&mut self) {
        let generation = self.generations;
        self.links += 1;
        let link = self.links;
        let wait = self.luck.wait(20 * SECOND);
        if let Some(agent) = &mut self.agent {
            agent.link.up = false;
            agent.link.generation = link;
            agent.link.in_flight.clear();
            agent.deaf = false;
            agent.results.begin();
            agent.catalog.abort_snapshot();
        }
        self.later(wait, Coming::LinkStarts { generation, link });
    }

    pub(crate) fn link_dies(&mut self, why: &str) {
        self.tell(|| format!("* the link ends: {why}"));
        self.start_link();
    }

    /// It is connected, as far as the hub is in reach.
    pub(crate) fn link_starts(&mut self, link: u64) {
        if !self.hub.reachable {
            let wait = self.luck.between(1, 60) * SECOND;
            let generation = self.generations;
            return self.later(wait, Coming::LinkStarts { generation, link });
        }
        let Some(agent) = self.agent.as_mut().filter(|agent| agent.link.generation == link) else { return };
        agent.link.up = true;
        let point = agent.results.acked().stream_sequence;
        agent.results.stream(self.hub.last());
        for (at, payload) in self.hub.beyond(point) {
            agent.results.stored(at, &payload);
        }
        agent.results.resumed();
        let last = self.hub.last();
        self.tell(|| format!("* the link is up; the stream ends at {last}"));
        self.desk.news = true;
        let wait = self.luck.wait(5 * SECOND);
        self.later(wait, Coming::LinkChecks { link });
    }

    /// After a turn: the link gets what it may have now.
    pub(crate) fn tend_link(&mut self) {
        loop {
            let Some(agent) = self.agent.as_mut().filter(|agent| agent.link.up) else { return };
            let Some(ask) = agent.results.wants() else { return };
            let out = agent.results.read(ask.read());
            let more = !out.frames.is_empty() || !out.events.is_empty();
            self.outgoing(out);
            if !more {
                return;
            }
        }
    }

    fn outgoing(&mut self, out: leafcron::agent::link::results::Outgoing) {
        out.events.into_iter().for_each(|kind| self.note(kind));
        for frame in out.frames {
            let ToLink::Fact { seq, payload, .. } = frame else { continue };
            let Some(agent) = &mut self.agent else { return };
            let link = agent.link.generation;
            agent.link.in_flight.insert(seq, payload.len());
            let bytes: Vec<usize> = agent.link.in_flight.values().copied().collect();
            self.model.check_window(&bytes);
            let wait = self.luck.wait(2 * SECOND);
            self.later(wait, Coming::AtHub { link, seq, payload });
        }
    }

    fn is_link(&self, link: u64) -> bool {
        self.agent.as_ref().is_some_and(|agent| agent.link.up && agent.link.generation == link)
    }

    /// A message arrives, or is lost on the way: the link sends it again, under its id.
    pub(crate) fn at_hub(&mut self, link: u64, seq: u64, payload: Vec<u8>) {
        if !self.hub.reachable {
            if self.is_link(link) {
                self.link_dies("the hub does not answer");
            }
            return;
        }
        if !self.settling && self.luck.one_in(30) && self.is_link(link) {
            return self.later(5 * SECOND, Coming::AtHub { link, seq, payload });
        }
        if !self.settling && payload.len() > LARGE && self.luck.one_in(50) && self.is_link(link) {
            return self.refuse(seq);
        }
        self.model.arrives(seq, &payload);
        let (at, before) = match self.hub.take(seq, payload.clone()) {
            Taken::At(at) => (at, None),
            Taken::Before(at, text) => (at, Some(text)),
        };
        let wait = if self.luck.one_in(10) { self.luck.wait(MINUTE) } else { self.luck.wait(SECOND) };
        match self.luck.below(40) {
            // The answer is lost, and the message comes again.
            0 => self.later(5 * SECOND, Coming::AtHub { link, seq, payload }),
            // It comes twice.
            1 => {
                self.later(wait, Coming::Acked { link, seq, at, before: before.clone() });
                self.later(wait + 10, Coming::Acked { link, seq, at, before });
            }
            // It never comes: nobody answers for so long that the link ends.
            2 if self.is_link(link) && self.luck.one_in(4) => self.link_dies("silence"),
            _ => self.later(wait, Coming::Acked { link, seq, at, before }),
        }
    }

    /// The server does not take this one as it is.
    fn refuse(&mut self, seq: u64) {
        let Some(agent) = &mut self.agent else { return };
        agent.link.in_flight.remove(&seq);
        let out = agent.results.refused(seq, "too large");
        self.tell(|| format!("  fact {seq} is refused by the server"));
        self.outgoing(out);
    }

    pub(crate) fn acked(&mut self, link: u64, seq: u64, at: u64, before: Option<Vec<u8>>) {
        if !self.is_link(link) {
            return;
        }
        let Some(agent) = &mut self.agent else { return };
        agent.link.in_flight.remove(&seq);
        match before {
            None => agent.results.acknowledged(seq, at),
            Some(text) => agent.results.duplicate(seq, at, &text),
        }
        if let Some(why) = agent.results.conflict().map(str::to_owned) {
            self.model.blame(format!("sent: a conflict where there is none: {why}"));
        }
    }

    /// A key was said to have changed.
    pub(crate) fn hint(&mut self, link: u64, key: &str) {
        if !self.is_link(link) || !self.hub.reachable {
            return;
        }
        let Some(found) = self.desk.bucket.keys.get(key).cloned() else { return };
        self.desk.taken = found.sequence;
        self.take_key(key, found.sequence, found.text.as_deref());
        self.check_in_force();
    }

    /// The whole bucket is read, if it has changed; now and then the reading breaks off.
    pub(crate) fn link_checks(&mut self, link: u64) {
        if !self.is_link(link) {
            return;
        }
        let wait =
            if self.desk.news { self.luck.between(1, 10) * MINUTE } else { self.luck.between(1, 4) * HOUR };
        self.later(wait, Coming::LinkChecks { link });
        if !self.desk.news || !self.hub.reachable {
            return;
        }
        let bucket = self.desk.bucket.clone();
        self.tell(|| format!("* the bucket is read: {}, up to {}", bucket.id, bucket.sequence));
        if self.passes_over() {
            return;
        }
        self.desk.taken = bucket.sequence;
        let Some(agent) = &mut self.agent else { return };
        agent.catalog.begin_snapshot(Some(bucket.id.clone()), bucket.sequence);
        let breaks_off =
            (!self.settling && self.luck.one_in(8)).then(|| self.luck.index(bucket.keys.len() + 1));
        for (index, (key, found)) in bucket.keys.iter().enumerate() {
            if breaks_off == Some(index) {
                return self.link_dies("the reading broke off");
            }
            self.take_key(key, found.sequence, found.text.as_deref());
        }
        let Some(agent) = &mut self.agent else { return };
        let changes = agent.catalog.end_snapshot();
        self.bring_in_force(&changes);
        self.desk.news &= self.agent.as_ref().is_some_and(|agent| agent.deaf);
        self.check_in_force();
    }

    /// While the disk takes nothing definitions from afar can wait.
    fn passes_over(&mut self) -> bool {
        let Some(agent) = &mut self.agent else { return true };
        if agent.disk_again.is_some() && !agent.deaf {
            agent.deaf = true;
            agent.catalog.abort_snapshot();
        }
        agent.deaf
    }

    fn take_key(&mut self, key: &str, sequence: u64, text: Option<&str>) {
        if self.passes_over() {
            return;
        }
        let Some(agent) = &mut self.agent else { return };
        let text = text.map_or(Text::Deleted, |text| Text::Bytes(text.as_bytes()));
        let name = "pi".parse().expect("a name");
        let changes = agent.catalog.load_key(&name, key, sequence, text);
        self.bring_in_force(&changes);
    }
}
