//! Commands: to the agent as they come, and its answers back to whoever asked.

use super::frame::{FromLink, Phase};
use super::main::Link;
use crate::job::limits::REQUEST_BYTES;
use crate::job::{Refusal, RefusalKind, Reply};
use crate::nats::{Message, NatsError};

/// Commands that are not answered yet, at most.
const OPEN: usize = 64;
/// Commands that wait for this thread; more are dropped. Each can be as large as the server allows.
const WAITING: usize = OPEN;
/// Where answers may go: to inboxes, and nowhere else. `_R_` stands for one in another account, and no client can name it.
/// What a stream delivers, to whatever subject the maker of a consumer names, is answered at `$JS.ACK`: it is no command.
const INBOXES: [&str; 2] = ["_INBOX.", "_R_."];

/// A command that is not answered yet.
pub(super) struct Open {
    reply: String,
}

/// Takes commands until the process ends.
pub(super) fn listen(link: &Link) {
    let subject = link.hello.names().commands();
    let ended =
        |error: &NatsError| -> ! { link.out.fault(Phase::Connect, error.to_string(), error.is_final()) };
    let commands = match link.stream.connection().subscribe(&subject, WAITING) {
        Ok(commands) => commands,
        Err(error) => ended(&error),
    };
    for ask in 1.. {
        match commands.next_blocking() {
            Ok(message) => take(link, ask, message),
            Err(error) => ended(&error),
        }
    }
}

fn take(link: &Link, ask: u64, message: Message) {
    let to_inbox = |reply: &String| INBOXES.iter().any(|inbox| reply.starts_with(inbox));
    // A stream delivers under the subject that its message came by.
    let sent_here = message.subject == link.hello.names().commands();
    let Some(reply) = message.reply.filter(to_inbox).filter(|_| sent_here) else {
        // Whoever floods us with these fills no log.
        log::debug!("what came by the subject of commands and would be answered at no inbox is passed over");
        return;
    };
    if message.payload.len() > REQUEST_BYTES {
        let bytes = message.payload.len();
        let message = format!("a command of {bytes} bytes; at most {REQUEST_BYTES} are allowed");
        return refuse(link, &reply, RefusalKind::BadRequest, message);
    }
    {
        let mut open = link.asked();
        if open.len() >= OPEN {
            drop(open);
            let message = format!("{OPEN} commands wait for their answers already; ask again");
            return refuse(link, &reply, RefusalKind::Busy, message);
        }
        open.insert(ask, Open { reply });
    }
    link.out.say(&FromLink::Asked { ask, payload: message.payload });
}

/// Hands the agent's answer on.
pub(super) fn answer(link: &Link, ask: u64, payload: &[u8], last: bool) {
    let reply = {
        let mut open = link.asked();
        let reply = open.get(&ask).map(|open| open.reply.clone());
        if last {
            open.remove(&ask);
        }
        reply
    };
    let Some(reply) = reply else { return };
    match link.stream.connection().publish(&reply, None, &[], payload) {
        Ok(()) => {}
        Err(error @ NatsError::TooLarge { .. }) => {
            refuse(link, &reply, RefusalKind::Conflict, format!("the answer does not fit: {error}"));
        }
        Err(error) => link.out.fault(Phase::Connect, error.to_string(), error.is_final()),
    }
}

fn refuse(link: &Link, reply: &str, kind: RefusalKind, message: String) {
    // Plain data: it always prints.
    let refused = serde_json::to_vec(&Reply::Refused(Refusal { kind, message })).unwrap_or_default();
    if let Err(error) = link.stream.connection().publish(reply, None, &[], &refused) {
        log::debug!("answer {reply}: {error}");
    }
}
