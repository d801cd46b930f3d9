//! The hint keys of every tenant that a node may replicate, found by the topics that hints bear.

use std::collections::{BTreeMap, HashMap};

use holm_model::Millis;
use rand::CryptoRng;

use crate::hint::{HintError, Keyring, Topic, hour_of, topic_in};
use crate::tenant::TenantTag;

/// Keyrings of many tenants. A hint whose topic none of them gives costs one look into a table, so that
/// a flood of them costs no more than its bytes.
#[derive(Debug, Default)]
pub struct HintKeys {
    rings: BTreeMap<TenantTag, Keyring>,
    /// The topics of `hour` and the hours beside it.
    topics: HashMap<Topic, (TenantTag, u32)>,
    hour: Option<u64>,
}

impl HintKeys {
    /// Of these rings.
    pub fn new(rings: impl IntoIterator<Item = Keyring>) -> Self {
        let rings = rings.into_iter().map(|ring| (ring.tag(), ring)).collect();
        Self { rings, ..Self::default() }
    }

    /// The ring of a tenant.
    pub fn ring(&self, tag: TenantTag) -> Option<&Keyring> {
        self.rings.get(&tag)
    }

    /// Seals as [`Keyring::seal`] does.
    ///
    /// # Errors
    /// As there; [`HintError::NoneInUse`] also for a tenant without a ring.
    pub fn seal(
        &self,
        tag: TenantTag,
        hint: &[u8],
        aad: &[u8],
        now: Millis,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, HintError> {
        let ring = self.rings.get(&tag).ok_or(HintError::NoneInUse { tag, now })?;
        ring.seal(hint, aad, now, rng)
    }

    /// Opens what another node sealed, and says of which tenant it is.
    ///
    /// # Errors
    /// [`HintError`] says why not; drop the hint and count it by [`HintError::code`].
    pub fn open(
        &mut self,
        sealed: &[u8],
        aad: &[u8],
        now: Millis,
    ) -> Result<(TenantTag, Vec<u8>), HintError> {
        let topic = topic_in(sealed)?;
        self.look_at(hour_of(now));
        let (tag, generation) = *self.topics.get(&topic).ok_or(HintError::NoKey)?;
        let ring = self.rings.get(&tag).ok_or(HintError::NoKey)?;
        Ok((tag, ring.open_with(generation, sealed, aad, now)?))
    }

    fn look_at(&mut self, hour: u64) {
        if self.hour == Some(hour) {
            return;
        }
        let topics = self.rings.iter().flat_map(|(tag, ring)| {
            ring.topics(hour).map(|(topic, generation)| (topic, (*tag, generation)))
        });
        (self.topics, self.hour) = (topics.collect(), Some(hour));
    }
}
