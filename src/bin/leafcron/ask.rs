//! Asking the agent, and what its refusals mean for the exit status.

use leafcron::control::{Client, ClientError};
use leafcron::job::{RefusalKind, Reply, Request};

use crate::answer::{Failure, chain};
use crate::table::safe;

/// Asks; a refusal is a failure.
pub(crate) fn ask(client: &mut Client, request: &Request) -> Result<Reply, Failure> {
    judge(client.ask(request))
}

/// Waits for one more answer.
pub(crate) fn next(client: &mut Client) -> Result<Reply, Failure> {
    judge(client.next_reply())
}

fn judge(answer: Result<Reply, ClientError>) -> Result<Reply, Failure> {
    match answer.map_err(|error| unasked(&error))? {
        Reply::Refused(refusal) => {
            let message = safe(&refusal.message);
            Err(match refusal.kind {
                RefusalKind::BadRequest | RefusalKind::Busy => Failure::CannotAsk(message),
                RefusalKind::Forbidden
                | RefusalKind::UnknownJob
                | RefusalKind::Conflict
                | RefusalKind::Expired
                | RefusalKind::Disk => Failure::No(message),
            })
        }
        reply => Ok(reply),
    }
}

/// No answer came.
pub(crate) fn unasked(error: &ClientError) -> Failure {
    Failure::CannotAsk(chain(error))
}

/// An answer to another question.
pub(crate) fn unexpected(reply: &Reply) -> Failure {
    let text = serde_json::to_string(reply).unwrap_or_default();
    let kind: String = text.chars().take(40).collect();
    Failure::CannotAsk(format!(
        "the agent gave another kind of answer ({}…): are leafcron and leafcrond of one version?",
        safe(&kind)
    ))
}
