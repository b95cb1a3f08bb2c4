//! Whose the name is, first of all. Then one request a minute, which tells whether the hub is there and whether its bucket
//! of definitions is another than the one that was read; in between, hints.

use core::time::Duration;
use std::sync::mpsc::SyncSender;

use super::bucket;
use super::frame::{FromLink, Naming, Phase};
use super::haste::hastened;
use super::hints::{Hints, Look};
use super::identity::{self, Asked};
use super::main::Link;
use super::patience::{ANSWER, Again, chance, now};
use super::{results, state};
use crate::nats::{NatsError, StreamInfo};

/// Between two requests, at most.
const MINUTE: Duration = Duration::from_secs(60);
/// Devices that came in one moment do not ask in one moment ever after: up to so much sooner, by chance. What falls due
/// meanwhile is done at a request, so this spreads the readings, too.
const SOONER: Duration = Duration::from_secs(12);
/// The bucket is read again after this, and up to a fifth more, where it has changed at all: hints may be lost.
const CHECK: Duration = Duration::from_secs(540);
/// Between two readings of all that hints ask for: anybody may forge one.
const SPACING: Duration = Duration::from_secs(5);
/// A name that another has is asked for again after this.
const ASK_AGAIN: Duration = Duration::from_secs(300);

/// The other threads, where they are not left out.
pub(super) struct Others {
    /// Sends again what was not answered.
    pub(super) results: Option<SyncSender<results::Input>>,
    /// Looks after the name, and reports under it.
    pub(super) state: Option<SyncSender<state::Input>>,
    /// Begins when it may; taken then.
    pub(super) commands: Option<SyncSender<()>>,
}

/// Whose the name is.
enum Name {
    /// Not known.
    Unknown,
    /// Another's; asked for again then.
    Theirs(Duration),
    /// Ours, or nobody can tell.
    Ours,
}

struct Watch<'a> {
    link: &'a Link,
    others: Others,
    /// They are wanted.
    definitions: bool,
    name: Name,
    /// From when the name is known on.
    hints: Option<Hints>,
    /// The bucket as it was when it was last read whole.
    read: Option<StreamInfo>,
    check_at: Duration,
    /// When the last reading of all ended.
    read_at: Duration,
    again: Again,
    /// That there is no bucket was said.
    missing: bool,
    /// How often the hub had come back when it was last looked at.
    returns: u64,
}

/// Watches until the process ends.
pub(super) fn run(link: &Link, definitions: bool, others: Others) {
    let mut watch = Watch {
        link,
        others,
        definitions,
        name: Name::Unknown,
        hints: None,
        read: None,
        check_at: Duration::ZERO,
        read_at: Duration::ZERO,
        again: Again::default(),
        missing: false,
        returns: 0,
    };
    loop {
        let info = link.stream.stream_info(&bucket::stream(link), ANSWER);
        link.pulse.note(&info, &link.out);
        link.pulse.say(&link.out);
        // Another thread may have noticed it first.
        let returns = link.pulse.returns();
        let back = core::mem::replace(&mut watch.returns, returns) != returns;
        if back && let Some(kick) = &watch.others.results {
            // A full queue is busy anyway.
            kick.try_send(results::Input::Kick).unwrap_or_default();
        }
        let named = watch.is_ours();
        let settled = match info {
            Ok(info) => watch.look(info, back) && named,
            Err(error) if error.is_not_found() => {
                if !watch.missing {
                    log::warn!("{error}: the hub has no bucket of definitions; `leafcron hub init` makes it");
                }
                watch.missing = true;
                watch.read = None;
                false
            }
            Err(_) => false,
        };
        let wait = if settled {
            watch.again = Again::default();
            hastened(rest())
        } else if link.pulse.silent() >= hastened(MINUTE) {
            // Nobody has said a word: the end is near, and shall not be missed by a long wait.
            hastened(ANSWER)
        } else {
            watch.again.next().min(hastened(MINUTE))
        };
        watch.listen(wait);
    }
}

/// How long nothing is asked while all is well.
fn rest() -> Duration {
    MINUTE - chance(SOONER)
}

impl Watch<'_> {
    /// Asks whose the name is, as long as that is not known; whether that has come to an end.
    fn is_ours(&mut self) -> bool {
        match self.name {
            Name::Ours => return true,
            Name::Theirs(again) if now() < again => return true,
            Name::Theirs(_) | Name::Unknown => {}
        }
        let Some(state) = &self.others.state else {
            // What it would be asked of is left out.
            self.begin();
            return true;
        };
        let asked = if self.link.pulse.hub() {
            identity::ask(self.link)
        } else {
            Err(NatsError::NoResponders { subject: "the hub".to_owned() })
        };
        self.link.pulse.note(&asked, &self.link.out);
        match asked {
            Ok(Asked::Ours(name)) => {
                self.link.out.say(&FromLink::Name(Naming::Ours));
                // The thread waits for just this.
                state.try_send(state::Input::Ours(name)).unwrap_or_default();
                self.begin();
                true
            }
            Ok(Asked::Theirs(epoch)) => {
                self.link.out.say(&FromLink::Name(Naming::Theirs { epoch }));
                // They began while nobody could be asked.
                if self.others.commands.is_none() {
                    let why = format!("another live device has this name, and had it first (epoch {epoch})");
                    self.link.out.fault(Phase::Connect, why, false);
                }
                self.name = Name::Theirs(now() + hastened(ASK_AGAIN));
                true
            }
            // A device whose hub is away is commanded through its leaf node.
            Err(NatsError::NoResponders { .. }) => {
                self.command();
                false
            }
            Err(error) => {
                log::warn!("whose this name is could not be asked: {error}");
                // Nothing of the device's may depend on the bucket of what it says of itself.
                self.command();
                self.listens();
                false
            }
        }
    }

    /// All that waited for the name.
    fn begin(&mut self) {
        self.name = Name::Ours;
        self.command();
        self.listens();
    }

    fn command(&mut self) {
        if let Some(begin) = self.others.commands.take() {
            // It waits for just this, or is left out.
            begin.try_send(()).unwrap_or_default();
        }
    }

    /// Before the first reading: what changes meanwhile is hinted at.
    fn listens(&mut self) {
        if self.hints.is_none() {
            self.hints = Some(Hints::subscribe(self.link, self.definitions, self.others.state.clone()));
        }
    }

    /// Reads the bucket if it has to be; whether it was read as it should.
    fn look(&mut self, info: StreamInfo, back: bool) -> bool {
        if core::mem::take(&mut self.missing) {
            self.link.pulse.nudge();
        }
        if !self.definitions || self.hints.is_none() {
            return true;
        }
        let other = self
            .read
            .as_ref()
            .is_none_or(|read| read.created != info.created || info.last_seq < read.last_seq);
        // A bucket that republishes nothing gives no hints: it is looked at each minute.
        let hinted = info.config.get("republish").is_some_and(serde_json::Value::is_object);
        let due = !hinted || now() >= self.check_at;
        if self.read.as_ref() == Some(&info) || !(other || back || due) {
            return true;
        }
        self.read_all(info)
    }

    fn read_all(&mut self, info: StreamInfo) -> bool {
        let done = bucket::snapshot(self.link, &info);
        self.link.pulse.note(&done, &self.link.out);
        self.read_at = now();
        self.read = match done {
            Ok(()) => {
                self.check_at = now() + hastened(CHECK + chance(CHECK / 5));
                Some(info)
            }
            Err(error) => {
                log::warn!("the definitions could not be read: {error}");
                None
            }
        };
        self.read.is_some()
    }

    /// Follows hints for so long.
    fn listen(&mut self, wait: Duration) {
        let until = now() + wait;
        let Some(hints) = &self.hints else { return std::thread::sleep(wait) };
        while let Some(left) = until.checked_sub(now()).filter(|left| !left.is_zero()) {
            let done = match hints.gather(self.link, left) {
                Look::Nothing => continue,
                Look::Keys(keys) => Some(bucket::keys(self.link, &keys)),
                // Too many: all of it.
                Look::All => None,
            };
            match done {
                Some(done) => {
                    self.link.pulse.note(&done, &self.link.out);
                    match done {
                        Ok(true) => {}
                        // Nobody needs to wait for it, and anybody may name a key that is not there: the next question
                        // tells whether anything has changed at all, and all is read then.
                        Ok(false) => self.check_at = Duration::ZERO,
                        Err(_) => return self.soon(),
                    }
                }
                None => return self.soon(),
            }
        }
    }

    /// The next question comes soon, and if anything has changed since it was read, all of the bucket is read.
    fn soon(&mut self) {
        std::thread::sleep((self.read_at + hastened(SPACING)).saturating_sub(now()));
        self.check_at = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_came_in_one_moment_does_not_ask_in_one_moment() {
        let mut rests: Vec<Duration> = (0..1_000).map(|_| rest()).collect();
        rests.sort_unstable();
        let (least, most) = (rests[0], rests[999]);
        assert!(MINUTE - SOONER <= least && most <= MINUTE, "{least:?} to {most:?}");
        // A fifth of them lies in each fifth of the time, or so.
        for fifth in 1..5_u32 {
            let at = MINUTE - SOONER + SOONER * fifth / 5;
            let before = rests.partition_point(|rest| *rest < at);
            let expected = usize::try_from(fifth * 200).unwrap();
            assert!(before.abs_diff(expected) < 100, "{before} of 1000 ask before {at:?}");
        }
    }
}
