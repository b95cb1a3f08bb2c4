//! `logs`: what a running job prints, while it runs. Its runner keeps the latest of it; here it is only passed on.

use core::time::Duration;
use std::cell::Cell;
use std::rc::Rc;

use smol::channel::Sender;

use crate::job::{JobName, LogPart, RefusalKind, Reply, RunId};
use crate::runtime::Tail;

use super::answer::{refused, unknown};
use super::{Agent, Happening, chain, send};

/// Between two looks at an output that somebody follows.
const LOOK: Duration = Duration::from_millis(200);

/// A Run that somebody follows.
#[derive(Debug, Default)]
pub(super) struct Followed {
    followers: usize,
    /// Its runner is dead: all that it printed is there.
    over: Rc<Cell<bool>>,
    /// Its directory is to go when the last follower has read it.
    clear: bool,
}

impl Agent {
    /// One part of the output, and with `follow` what comes, until the run is over.
    pub(super) fn logs(
        &mut self,
        job: JobName,
        run: Option<RunId>,
        from: u64,
        follow: bool,
        reply: Sender<Reply>,
    ) {
        let runs = self.core.runs(Some(&job)).into_iter().map(|row| row.run);
        let Some(run) = runs.filter(|going_on| run.is_none_or(|run| run == *going_on)).max() else {
            let answer = match self.catalog.in_force(&job) {
                None => unknown(&job),
                Some(_) => refused(
                    RefusalKind::Conflict,
                    &format!(
                        "{job} is not running; `leafcron history --output {job}` shows what was kept of its runs"
                    ),
                ),
            };
            return send(&reply, answer);
        };
        let tail = match self.runtime.tail(run) {
            Ok(Some(tail)) => tail,
            // Between its intent and its start.
            Ok(None) => {
                return send(&reply, refused(RefusalKind::Conflict, &format!("{job} is just starting")));
            }
            Err(error) => return send(&reply, refused(RefusalKind::Conflict, &chain(&error))),
        };
        let mut follower = Follower { job, run, tail, at: from, over: Rc::default(), reply };
        if !follow {
            follower.pass_on();
            return;
        }
        let followed = self.followed.entry(run).or_default();
        followed.followers += 1;
        follower.over = Rc::clone(&followed.over);
        let inbox = self.inbox.clone();
        let task = self.executor.spawn(async move {
            follower.follow().await;
            // The loop is gone: so is what it would do.
            inbox.send(Happening::FollowerGone { run }).await.unwrap_or_default();
        });
        task.detach();
    }

    /// A run is over: whoever follows it reads the rest.
    pub(super) fn output_is_whole(&mut self, run: RunId) {
        match self.followed.get(&run) {
            Some(followed) => followed.over.set(true),
            // It counts among what can be followed at once, and its record may be long in coming.
            None => self.runtime.drop_output(run),
        }
    }

    /// Its record is durable: the directory of a run goes, at once or after the last follower.
    pub(super) fn clear(&mut self, run: RunId) {
        if let Some(followed) = self.followed.get_mut(&run) {
            // Also a run that never came to its end in order.
            followed.over.set(true);
            followed.clear = true;
        } else if let Err(error) = self.runtime.clear(run) {
            log::warn!("{}", chain(&error));
        }
    }

    pub(super) fn follower_gone(&mut self, run: RunId) {
        let Some(followed) = self.followed.get_mut(&run) else { return };
        followed.followers = followed.followers.saturating_sub(1);
        if followed.followers == 0
            && let Some(followed) = self.followed.remove(&run)
            && followed.clear
        {
            self.clear(run);
        }
    }
}

struct Follower {
    job: JobName,
    run: RunId,
    tail: Tail,
    at: u64,
    over: Rc<Cell<bool>>,
    reply: Sender<Reply>,
}

impl Follower {
    fn part(&self) -> Reply {
        // Before the look: what is read after the end is all.
        let over = self.over.get();
        match self.tail.read(self.at) {
            Ok(part) => Reply::Log(LogPart {
                job: self.job.clone(),
                run: self.run,
                from: part.from,
                over: over && part.next >= part.end,
                text: part.text,
                next: part.next,
                end: part.end,
            }),
            Err(error) => {
                refused(RefusalKind::Conflict, &format!("read the output of run {}: {error}", self.run))
            }
        }
    }

    fn pass_on(&self) {
        send(&self.reply, self.part());
    }

    async fn follow(&mut self) {
        let mut first = true;
        loop {
            let reply = self.part();
            let (news, more, over) = match &reply {
                Reply::Log(part) => (part.next > self.at || first, part.next < part.end, part.over),
                _ => (true, false, true),
            };
            if let Reply::Log(part) = &reply {
                self.at = part.next;
            }
            first = false;
            // The channel is as long as what one client has not taken yet: whoever reads slowly is waited for, and
            // what the runner cannot keep meanwhile is gone.
            let told =
                if news || over { self.reply.send(reply).await.is_ok() } else { !self.reply.is_closed() };
            if over || !told {
                return;
            }
            if !more {
                smol::Timer::after(LOOK).await;
            }
        }
    }
}
