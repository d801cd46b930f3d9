//! Values as they lie on disk: sealed, each with all that is needed to find and check it again.
//!
//! ```text
//! "HOLMSEAL"  1 | document 16 | sequence u64 | salt 16 | counter u64 | length u32 | AES-256-GCM
//! ```
//! Every time a store opens it draws a random salt and derives its own key from the data key and that
//! salt; within that time a counter is the nonce. So no (key, nonce) is used twice, also not by a
//! disk image that was restored or cloned. Tenant, document and sequence are authenticated: a value
//! that was moved to another place does not open. Because a value says where it belongs, it can be
//! found in a damaged file without the file's own structure ([`carve`]).

use std::collections::HashMap;

use holm_model::{DocId, TenantId};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::DataKey;

const MAGIC: &[u8; 8] = b"HOLMSEAL";
const VERSION: u8 = 1;
const SALT_BYTES: usize = 16;
const TAG_BYTES: usize = 16;
const HEADER_BYTES: usize = 8 + 1 + 16 + 8 + SALT_BYTES + 8 + 4;
/// Longest sealed value: nothing longer is ever written, so nothing longer is believed.
pub(crate) const MAX_VALUE_BYTES: usize = 64 * 1024 * 1024;

/// Where a value belongs.
pub(crate) type Place = (DocId, u64);

/// A value that does not open: damaged, moved, or sealed by another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsealable;

/// Seals and unseals one tenant's values.
pub(crate) struct Sealer {
    tenant: TenantId,
    data_key: DataKey,
    salt: [u8; SALT_BYTES],
    counter: u64,
    /// Keys by salt; one per time that the store was opened and wrote something still there.
    keys: HashMap<[u8; SALT_BYTES], LessSafeKey>,
}

/// Most derived keys kept; beyond that they are derived anew.
const MAX_KEYS: usize = 1_024;

impl Sealer {
    pub(crate) fn new(tenant: TenantId, data_key: DataKey, rng: &mut dyn rand::CryptoRng) -> Self {
        let mut salt = [0; SALT_BYTES];
        rng.fill_bytes(&mut salt);
        Self { tenant, data_key, salt, counter: 0, keys: HashMap::new() }
    }

    pub(crate) fn seal(&mut self, place: Place, plain: &[u8]) -> Result<Vec<u8>, Unsealable> {
        let len = u32::try_from(plain.len()).map_err(|_| Unsealable)?;
        if plain.len() > MAX_VALUE_BYTES {
            return Err(Unsealable);
        }
        let (salt, counter) = (self.salt, self.counter);
        self.counter += 1;
        let mut value = Vec::with_capacity(HEADER_BYTES + plain.len() + TAG_BYTES);
        value.extend(MAGIC);
        value.push(VERSION);
        value.extend(place.0.0);
        value.extend(place.1.to_be_bytes());
        value.extend(salt);
        value.extend(counter.to_be_bytes());
        value.extend(len.to_be_bytes());
        value.extend_from_slice(plain);
        let aad = self.aad(place);
        let key = self.key(&salt)?;
        let tag = key
            .seal_in_place_separate_tag(nonce(counter), Aad::from(aad), &mut value[HEADER_BYTES..])
            .map_err(|_| Unsealable)?;
        value.extend(tag.as_ref());
        Ok(value)
    }

    pub(crate) fn unseal(&mut self, place: Place, value: &[u8]) -> Result<Vec<u8>, Unsealable> {
        let header = Header::parse(value).ok_or(Unsealable)?;
        if header.place != place || value.len() != HEADER_BYTES + header.len + TAG_BYTES {
            return Err(Unsealable);
        }
        let mut buffer = value[HEADER_BYTES..].to_vec();
        let aad = self.aad(place);
        let key = self.key(&header.salt)?;
        key.open_in_place(nonce(header.counter), Aad::from(aad), &mut buffer)
            .map_err(|_| Unsealable)?;
        buffer.truncate(header.len);
        Ok(buffer)
    }

    fn aad(&self, (doc, sequence): Place) -> Vec<u8> {
        let tenant = self.tenant.as_str().as_bytes();
        let mut aad = b"holm sealed value v1".to_vec();
        aad.extend((tenant.len() as u64).to_be_bytes());
        aad.extend(tenant);
        aad.extend(doc.0);
        aad.extend(sequence.to_be_bytes());
        aad
    }

    fn key(&mut self, salt: &[u8; SALT_BYTES]) -> Result<&LessSafeKey, Unsealable> {
        if !self.keys.contains_key(salt) {
            let mut hasher = blake3::Hasher::new_derive_key("holm sealed value key v1");
            hasher.update(self.data_key.bytes()).update(salt);
            let derived = Zeroizing::new(*hasher.finalize().as_bytes());
            let key = UnboundKey::new(&AES_256_GCM, &*derived).map_err(|_| Unsealable)?;
            if self.keys.len() >= MAX_KEYS {
                self.keys.clear();
            }
            self.keys.insert(*salt, LessSafeKey::new(key));
        }
        self.keys.get(salt).ok_or(Unsealable)
    }
}

struct Header {
    place: Place,
    salt: [u8; SALT_BYTES],
    counter: u64,
    len: usize,
}

impl Header {
    fn parse(value: &[u8]) -> Option<Self> {
        let rest = value.strip_prefix(MAGIC)?;
        let (&version, rest) = rest.split_first()?;
        let (doc, rest) = rest.split_first_chunk::<16>()?;
        let (sequence, rest) = rest.split_first_chunk::<8>()?;
        let (salt, rest) = rest.split_first_chunk::<SALT_BYTES>()?;
        let (counter, rest) = rest.split_first_chunk::<8>()?;
        let (len, _) = rest.split_first_chunk::<4>()?;
        let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
        (version == VERSION && len <= MAX_VALUE_BYTES).then_some(Self {
            place: (DocId(*doc), u64::from_be_bytes(*sequence)),
            salt: *salt,
            counter: u64::from_be_bytes(*counter),
            len,
        })
    }
}

/// A counter is unique under its salt's key.
fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// What was found in the bytes of a damaged file.
#[derive(Default)]
pub(crate) struct Carved {
    /// Values that opened.
    pub(crate) values: Vec<(Place, Vec<u8>)>,
    /// Places that look like sealed values and did not open.
    pub(crate) refused: usize,
}

/// Finds every whole sealed value in `file`, whatever stands around it. What opens is authentic;
/// older versions that the file no longer referred to are found too, which documents that only grow
/// can bear.
pub(crate) fn carve(sealer: &mut Sealer, file: &[u8]) -> Carved {
    let mut carved = Carved::default();
    let mut at = 0;
    while at + HEADER_BYTES + TAG_BYTES <= file.len() {
        let candidate = &file[at..];
        at += 1;
        if candidate[0] != MAGIC[0] {
            continue;
        }
        let Some(header) = Header::parse(candidate) else { continue };
        let end = HEADER_BYTES + header.len + TAG_BYTES;
        let opened = candidate.get(..end).map(|value| sealer.unseal(header.place, value));
        match opened {
            Some(Ok(plain)) => {
                at += end - 1;
                carved.values.push((header.place, plain));
            }
            _ => carved.refused += 1,
        }
    }
    carved
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn sealer(tenant: &str, key: u8, seed: u8) -> Sealer {
        let rng = &mut rand::rngs::StdRng::from_seed([seed; 32]);
        let tenant = TenantId::new(tenant).expect("valid");
        Sealer::new(tenant, DataKey::from_bytes([key; 32]), rng)
    }

    #[test]
    fn a_value_opens_only_in_its_place_for_its_tenant_and_unchanged() {
        let place = (DocId([1; 16]), 7);
        let mut ours = sealer("acme", 1, 1);
        let value = ours.seal(place, b"news").expect("seals");
        assert!(!value.windows(4).any(|w| w == b"news"));
        assert_eq!(ours.unseal(place, &value), Ok(b"news".to_vec()));
        assert_eq!(sealer("acme", 1, 2).unseal(place, &value), Ok(b"news".to_vec()), "later");
        assert!(ours.unseal((DocId([1; 16]), 8), &value).is_err());
        assert!(ours.unseal((DocId([2; 16]), 7), &value).is_err());
        assert!(sealer("acme", 2, 1).unseal(place, &value).is_err());
        assert!(sealer("other", 1, 1).unseal(place, &value).is_err());
        for bit in 0..value.len() * 8 {
            let mut changed = value.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(ours.unseal(place, &changed).is_err(), "bit {bit}");
        }
        assert_ne!(value, ours.seal(place, b"news").expect("seals"), "never the same nonce");
    }

    #[test]
    fn values_are_found_between_rubbish() {
        let mut sealer = sealer("acme", 1, 1);
        let mut file = b"HOLMSEAL rubbish HOLMS".to_vec();
        for i in 0..10 {
            file.extend(sealer.seal((DocId([i; 16]), u64::from(i)), &[i; 100]).expect("seals"));
            file.extend([0x48; 3]);
        }
        file[300] ^= 1;
        let carved = carve(&mut sealer, &file);
        assert_eq!(carved.values.len(), 9);
        assert!(carved.refused >= 1);
        assert!(carved.values.iter().all(|((_, seq), v)| v == &[*seq as u8; 100]));
    }
}
