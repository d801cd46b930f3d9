//! Who should get a tenant's keys, and when a new generation is due.

use std::collections::BTreeMap;

use holm_model::Millis;

use crate::delivery::{Recipient, What};
use crate::sealing::RecipientId;

/// What the node that holds a tenant's authority should do about the tenant's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlan {
    /// Deliver the current generation to some who lack it.
    Deliver {
        /// The generation.
        generation: u32,
        /// Its beginning, as it was.
        from: Millis,
        /// Who lacks it.
        to: Vec<Recipient>,
    },
    /// Everybody who should have the keys has them, and nobody else.
    Nothing,
    /// Somebody has keys who no longer should, or there are none yet: start this generation now.
    Rotate {
        /// The new generation.
        generation: u32,
        /// Everybody who should have it.
        to: Vec<Recipient>,
    },
}

impl KeyPlan {
    /// From the latest generation (number, beginning, who got what) and who should have it.
    pub(crate) fn of(
        latest: Option<(u32, Millis, BTreeMap<RecipientId, What>)>,
        wanted: &BTreeMap<RecipientId, Recipient>,
    ) -> Self {
        let all = || wanted.values().copied().collect::<Vec<_>>();
        let Some((generation, from, got)) = latest else {
            return if wanted.is_empty() {
                Self::Nothing
            } else {
                Self::Rotate { generation: 1, to: all() }
            };
        };
        let may_have = |id: &RecipientId| wanted.get(id).map(|to| What::of(to.rights));
        if got.iter().any(|(id, what)| may_have(id) < Some(*what)) {
            // After the last number nothing can be rotated: such an authority is to be replaced.
            let next = generation.checked_add(1);
            return next.map_or(Self::Nothing, |generation| Self::Rotate { generation, to: all() });
        }
        let lacks = |(id, _): &(&RecipientId, &Recipient)| got.get(id).copied() < may_have(id);
        let to: Vec<_> = wanted.iter().filter(lacks).map(|(_, recipient)| *recipient).collect();
        if to.is_empty() { Self::Nothing } else { Self::Deliver { generation, from, to } }
    }
}
