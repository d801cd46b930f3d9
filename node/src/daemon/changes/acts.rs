//! What was done in the roster becomes changes of the tenants that may know of it: written by who did it,
//! or, where that node cannot, by one of the others after a while.

use std::collections::BTreeMap;

use holm_change::{ChangeId, Draft};
use holm_model::Millis;

use super::super::state::NodeState;
use super::super::tenancy::acts::{Act, Beside, Going};
use super::super::tenant::Tenant;
use super::lock;

/// The source of changes that were done in the roster.
pub(crate) const SOURCE: &str = "roster";
/// Others write an act down when it has been known here, and not written, for one to eight of this.
const TURN_MS: u64 = 60_000;
const TURNS: u8 = 8;

/// When an act that is not written yet was first known here.
pub(super) type Awaited = BTreeMap<ChangeId, Millis>;

impl Tenant {
    /// The acts that this node shall write down now.
    pub(super) fn acts_due(
        &self,
        state: &NodeState,
        horizon: Millis,
        now: Millis,
    ) -> Vec<(ChangeId, String, Draft)> {
        let (roster, own) = (&state.roster, &self.changes);
        let gone = roster.forgotten.said().into_iter().map(|said| Going {
            site: said.gone.site,
            node: said.gone.node,
            up_to: Millis(said.gone.up_to),
            at: said.at,
        });
        let beside = Beside {
            revocations: state.identity.revocations().iter().cloned().collect(),
            gone: gone.collect(),
            own: (&own.site, &own.node),
            issues: state.issuing.is_some(),
            doers: &roster.doers,
        };
        let acts = roster.tenancy.acts(&self.id, &beside, horizon);
        let place = format!("{}/{}", own.site, own.node);
        let acts = acts.into_iter().filter(|act| own.change(act.id).is_none());
        let due = due(acts.collect(), &mut lock(&own.awaited), &place, now);
        due.into_iter().map(|act| (act.id, SOURCE.to_owned(), act.draft)).collect()
    }
}

/// Those of the unwritten acts whose turn it is at `place`.
fn due(unwritten: Vec<Act>, awaited: &mut Awaited, place: &str, now: Millis) -> Vec<Act> {
    awaited.retain(|id, _| unwritten.iter().any(|act| act.id == *id));
    let is_due = |act: &Act| {
        let known = *awaited.entry(act.id).or_insert(now);
        // Not all at once: who comes first spares the others the work.
        let hash = blake3::hash(format!("{} {place}", act.id).as_bytes());
        let turn = u64::from(hash.as_bytes()[0] % TURNS) + 1;
        act.own || now.since(known) >= turn * TURN_MS
    };
    unwritten.into_iter().filter(is_due).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_change::ChangeKind;

    fn acts(own: bool) -> Vec<Act> {
        let act = |n: u8| Act {
            id: ChangeId::of_roster("made", &[&[n]]),
            draft: Draft::new(ChangeKind::Config, "made"),
            own,
        };
        (0..50).map(act).collect()
    }

    #[test]
    fn who_did_it_writes_at_once_and_the_others_one_after_the_other() {
        let mut awaited = Awaited::new();
        let start = Millis(1_000_000);
        assert_eq!(due(acts(true), &mut awaited, "berlin/n1", start).len(), 50);
        awaited.clear();
        let mut counts = Vec::new();
        for turn in 0..=u64::from(TURNS) {
            let now = start + turn * TURN_MS;
            counts.push(due(acts(false), &mut awaited, "tokyo/n1", now).len());
        }
        assert_eq!((counts[0], counts[8]), (0, 50), "{counts:?}");
        assert!(counts[1] > 0 && counts[1] < 25 && counts.is_sorted(), "{counts:?}");
        due(Vec::new(), &mut awaited, "tokyo/n1", start);
        assert!(awaited.is_empty(), "what is written is not waited for");
    }
}
