//! Questions and their answers. The inbox of a question that is over serves the next one: a subscription for each would
//! cost the server two more messages and this machine two more wake-ups.

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::connection::{Connection, Subscription};
use super::error::NatsError;
use super::message::Message;

/// Answers to one question that wait: a leaf's own stream may answer beside the hub's.
const ANSWERS: usize = 8;

/// Inboxes that nobody waits at; as many as there were ever questions at once.
#[derive(Clone, Default)]
pub(super) struct Inboxes(Arc<Mutex<Vec<Inbox>>>);

struct Inbox {
    /// Each question has a subject of its own below this one, so that a late answer is not taken for another's.
    subject: String,
    asked: u64,
    messages: Subscription,
}

/// What comes back to one question.
pub(super) struct Answers {
    inboxes: Inboxes,
    inbox: Option<Inbox>,
    reply: String,
}

impl Inboxes {
    fn idle(&self) -> MutexGuard<'_, Vec<Inbox>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An inbox that nobody else waits at.
    pub(super) fn take(&self, connection: &Connection) -> Result<Answers, NatsError> {
        let idle = self.idle().pop();
        let mut inbox = match idle {
            Some(inbox) => inbox,
            None => {
                let subject = connection.new_inbox();
                let messages = connection.subscribe(&format!("{subject}.*"), ANSWERS)?;
                Inbox { subject, asked: 0, messages }
            }
        };
        // What is late leaves no room for what is awaited.
        while inbox.messages.next(Duration::ZERO)?.is_some() {}
        inbox.asked += 1;
        let reply = format!("{}.{}", inbox.subject, inbox.asked);
        Ok(Answers { inboxes: self.clone(), inbox: Some(inbox), reply })
    }
}

impl Answers {
    /// Where they are sent.
    pub(super) fn reply(&self) -> &str {
        &self.reply
    }

    /// The next one; `None`: there was none within this time.
    pub(super) fn next(&self, within: Duration) -> Result<Option<Message>, NatsError> {
        let Some(inbox) = &self.inbox else { return Ok(None) };
        // Late answers to earlier questions do not lengthen it much: there is room for few.
        while let Some(message) = inbox.messages.next(within)? {
            if message.subject == self.reply {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.inboxes.idle().extend(self.inbox.take());
    }
}
