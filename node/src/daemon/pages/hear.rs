//! What providers say of incidents: actions, each once.

use holm_incident::{Deed, FaultId, State, Turn};
use holm_model::Millis;
use holm_page::{Connector, Heard, HeardError, Refusal, Said, Verified};

use crate::daemon::incidents::ActError;
use crate::daemon::state::NodeState;
use crate::daemon::tenant::Tenant;

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hearing {
    /// It was done.
    Done(FaultId),
    /// It was done before, or the incident stands there already.
    Known(FaultId),
    /// It says nothing of an incident that is remembered here; why.
    Nothing(String),
}

/// Why it was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HearError {
    #[error(transparent)]
    Malformed(#[from] HeardError),
    #[error(transparent)]
    Act(#[from] ActError),
}

/// The id of what its sender did not name: the same words after the incident was reopened are said anew.
fn since_reopened(id: u64, turns: &[Turn]) -> u64 {
    let Some(turn) = turns.iter().rev().find(|turn| turn.to == State::Reopened) else { return id };
    let mut hasher = blake3::Hasher::new_derive_key("holm page action after a reopening v1");
    hasher.update(&id.to_be_bytes()).update(&turn.at.0.to_be_bytes());
    let hash = hasher.finalize();
    hash.as_bytes()[..8].iter().fold(0, |n, b| n << 8 | u64::from(*b))
}

impl Tenant {
    /// Checks a request to a connector of this name, before a byte of its body is read.
    pub(crate) fn verify_hearing(
        &self,
        name: &str,
        headers: &holm_change::Headers<'_>,
        body: &[u8],
        now: Millis,
    ) -> (Option<Connector>, Result<Verified, Refusal>) {
        let connector = self.pages.defined().by_name.get(name).cloned();
        let verified = Verified::check(connector.as_ref(), headers, body, now);
        (connector, verified)
    }

    /// What a provider said is of no incident that is remembered here, nor anywhere else.
    pub(crate) fn count_heard_nothing(&self) {
        self.pages.count(|counts| counts.heard_nothing += 1);
    }

    /// Takes what a provider says; durable when it returns. Who counts what is of nothing is the caller: it may be
    /// another tenant's.
    pub(crate) fn hear(
        &self,
        state: &NodeState,
        connector: &Connector,
        verified: &Verified,
        body: &[u8],
    ) -> Result<Hearing, HearError> {
        let now = self.mesh_now();
        let hearing = self.taken(state, connector, verified, body, now);
        self.pages.count(|counts| match &hearing {
            Ok(Hearing::Done(_)) => counts.heard += 1,
            Ok(Hearing::Known(_)) => counts.heard_again += 1,
            Ok(Hearing::Nothing(_)) | Err(_) => {}
        });
        if matches!(hearing, Ok(Hearing::Done(_))) {
            self.pages.wake.notify_one();
        }
        hearing
    }

    fn taken(
        &self,
        state: &NodeState,
        connector: &Connector,
        verified: &Verified,
        body: &[u8],
        now: Millis,
    ) -> Result<Hearing, HearError> {
        let (incident, what, by, text, id) = match Heard::read(connector, verified, body)? {
            Heard::Said { incident, what, by, text, id, named } => {
                (incident, what, by, text, (id, named))
            }
            Heard::Nothing(why) => return Ok(Hearing::Nothing(why)),
        };
        let Ok(fault) = incident.parse::<FaultId>() else {
            return Ok(Hearing::Nothing(format!("{incident} is no incident of this mesh")));
        };
        let judged = self.incidents.judged(now);
        let Some(known) = judged.of_fault(fault) else {
            return Ok(Hearing::Nothing(format!("no incident {incident} is remembered here")));
        };
        let id = match id {
            (id, true) => id,
            (id, false) => since_reopened(id, &known.turns),
        };
        let again = known.actions.iter().any(|(_, action)| action.id == id);
        // What this node told a provider comes back as its word.
        let there = match what {
            Said::Acknowledge => !matches!(known.state, State::Open | State::Reopened),
            Said::Resolve => known.is_resolved(),
            Said::Note => false,
        };
        if again || there {
            return Ok(Hearing::Known(known.id));
        }
        let deed = match what {
            Said::Acknowledge => Deed::Acknowledge,
            Said::Resolve => Deed::Resolve,
            Said::Note => Deed::Note,
        };
        let acted = self.act_as(state, fault, id, &by, deed, &text, now)?;
        Ok(Hearing::Done(acted.id))
    }
}

#[cfg(test)]
mod tests {
    use holm_incident::Why;

    use super::*;

    #[test]
    fn the_same_words_after_a_reopening_are_said_anew() {
        let turn = |at: u64, to| Turn { at: Millis(at), to, why: Why::Raised };
        let first = [turn(1, State::Open), turn(2, State::Resolved)];
        assert_eq!(since_reopened(7, &first), 7);
        let again = [first[0], first[1], turn(3, State::Reopened), turn(4, State::Acknowledged)];
        let id = since_reopened(7, &again);
        assert_ne!(id, 7);
        assert_eq!(since_reopened(7, &again[..3]), id, "the same at every node and whenever");
        assert_ne!(since_reopened(7, &[again[0], turn(9, State::Reopened)]), id);
    }
}
