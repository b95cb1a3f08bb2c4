//! What a device's verdict means for the one who pushed. Pure.

use leafcron::job::{Revision, Verdict, VerdictState, Warning};
use serde::Serialize;

/// What was pushed for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pushed {
    /// `agent` or `group.<g>`.
    pub(super) source: String,
    pub(super) sequence: u64,
    pub(super) revision: Revision,
}

/// What became of it on a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum Fate {
    /// It is in force.
    Accepted {
        /// What it asks for and the device cannot serve.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<Warning>,
    },
    /// Another source comes first.
    Shadowed {
        /// Which.
        by: String,
    },
    /// It is refused.
    Rejected {
        /// Which field.
        #[serde(skip_serializing_if = "Option::is_none")]
        field: Option<String>,
        /// Why.
        reason: String,
    },
    /// Something newer was pushed meanwhile.
    Superseded,
}

/// `None`: the device has not judged it yet. [`Fate::Superseded`] only says that it speaks of another one at a higher
/// sequence: which may be that of a bucket from before this one.
pub(super) fn judge(verdict: &Verdict, pushed: &Pushed) -> Option<Fate> {
    if verdict.source == pushed.source {
        let sequence = verdict.sequence.filter(|sequence| *sequence >= pushed.sequence)?;
        return Some(match verdict.state {
            VerdictState::Rejected if sequence == pushed.sequence && is_ours(verdict, pushed) => {
                Fate::Rejected {
                    field: verdict.field.clone(),
                    reason: verdict.reason.clone().unwrap_or_default(),
                }
            }
            VerdictState::Accepted if verdict.revision == Some(pushed.revision) => accepted(verdict),
            VerdictState::Accepted | VerdictState::Rejected | VerdictState::Orphaned => Fate::Superseded,
        });
    }
    if verdict.shadowed.get(&pushed.source).is_some_and(|sequence| *sequence >= pushed.sequence) {
        return Some(Fate::Shadowed { by: verdict.source.clone() });
    }
    // The source that comes first says something that is refused, and never said anything valid.
    (verdict.state == VerdictState::Rejected && verdict.in_force == Some(pushed.revision))
        .then(|| accepted(verdict))
}

fn accepted(verdict: &Verdict) -> Fate {
    Fate::Accepted { warnings: verdict.warnings.clone() }
}

/// Whether it can be what was pushed. What was not read far enough to have a revision can be.
fn is_ours(verdict: &Verdict, pushed: &Pushed) -> bool {
    verdict.revision.is_none_or(|revision| revision == pushed.revision)
}

/// Whether the device speaks of a source at all.
pub(super) fn speaks_of(verdict: &Verdict, source: &str) -> bool {
    verdict.source == source && verdict.state != VerdictState::Orphaned
        || verdict.shadowed.contains_key(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(source: &str, state: VerdictState, sequence: u64) -> Verdict {
        Verdict {
            job: "a".parse().unwrap(),
            source: source.to_owned(),
            state,
            sequence: Some(sequence),
            revision: Some(Revision::of("new")),
            field: None,
            reason: Some("why".to_owned()),
            in_force: Some(Revision::of("old")),
            shadowed: [("group.all".to_owned(), 7)].into(),
            warnings: vec![warning()],
        }
    }

    fn warning() -> Warning {
        Warning { field: "require.battery".to_owned(), reason: "there is none".to_owned() }
    }

    fn pushed(source: &str, sequence: u64) -> Pushed {
        Pushed { source: source.to_owned(), sequence, revision: Revision::of("new") }
    }

    #[test]
    fn a_verdict_counts_once_it_speaks_of_what_was_pushed() {
        use VerdictState::*;
        let accepted = Fate::Accepted { warnings: vec![warning()] };
        let rejected = Fate::Rejected { field: None, reason: "why".to_owned() };
        let other_text = Verdict { revision: Some(Revision::of("other")), ..verdict("agent", Rejected, 5) };
        for (said, mine, fate) in [
            (verdict("agent", Accepted, 5), pushed("agent", 5), Some(accepted.clone())),
            (verdict("agent", Accepted, 4), pushed("agent", 5), None),
            (verdict("agent", Rejected, 5), pushed("agent", 5), Some(rejected)),
            (verdict("agent", Rejected, 9), pushed("agent", 5), Some(Fate::Superseded)),
            (
                verdict("agent", Accepted, 5),
                pushed("group.all", 7),
                Some(Fate::Shadowed { by: "agent".to_owned() }),
            ),
            (verdict("agent", Accepted, 5), pushed("group.all", 8), None),
            (other_text, pushed("agent", 5), Some(Fate::Superseded)),
            (verdict("agent", Rejected, 5), pushed("group.lab", 8), None),
        ] {
            assert_eq!(judge(&said, &mine), fate, "{said:?} {mine:?}");
        }
        let mut never_valid = verdict("agent", Rejected, 5);
        never_valid.in_force = Some(Revision::of("new"));
        assert_eq!(judge(&never_valid, &pushed("group.lab", 8)), Some(accepted));
        assert!(speaks_of(&never_valid, "group.all") && !speaks_of(&never_valid, "group.lab"));
    }
}
