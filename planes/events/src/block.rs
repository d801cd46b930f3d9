//! A block: the rows of one group commit, sealed.
//!
//! Layout: 12 bytes of nonce, then AES-256-GCM over the rows as JSON lines, tag last. The additional
//! data binds the format's version, the tenant and the block's sequence number, so that a block
//! cannot stand in for another or be read as another tenant's.

use holm_model::{Row, TenantId};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

/// A 256-bit key for the rows of one tenant, derived from its data key.
pub struct RowKey {
    key: LessSafeKey,
    random: SystemRandom,
}

impl RowKey {
    /// A key from 32 secret bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, bytes)
            .expect("AES-256-GCM takes every key of 32 bytes, and this one has 32");
        Self { key: LessSafeKey::new(key), random: SystemRandom::new() }
    }

    /// Seals `rows` as block `sequence` of `tenant`; `None` if the system has no randomness.
    pub(crate) fn seal(&self, tenant: &TenantId, sequence: u64, rows: &[Row]) -> Option<Vec<u8>> {
        let mut lines = Vec::with_capacity(rows.len() * 256);
        for row in rows {
            serde_json::to_writer(&mut lines, row).ok()?;
            lines.push(b'\n');
        }
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let aad = Aad::from(additional_data(tenant, sequence));
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut lines)
            .ok()?;
        let mut block = nonce.to_vec();
        block.append(&mut lines);
        Some(block)
    }

    /// The rows of a block, in the order they came; `None` if it was not sealed by this key for
    /// this tenant and sequence.
    pub(crate) fn open(&self, tenant: &TenantId, sequence: u64, block: &[u8]) -> Option<Vec<Row>> {
        let (nonce, sealed) = block.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let aad = Aad::from(additional_data(tenant, sequence));
        let lines = self.key.open_in_place(nonce, aad, &mut sealed).ok()?;
        lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).ok())
            .collect()
    }
}

fn additional_data(tenant: &TenantId, sequence: u64) -> Vec<u8> {
    let mut data = b"holm row block 1\0".to_vec();
    data.extend_from_slice(&sequence.to_be_bytes());
    data.extend_from_slice(tenant.as_str().as_bytes());
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::Millis;

    #[test]
    fn a_block_opens_only_for_its_key_tenant_and_sequence() {
        let key = RowKey::new(&[7; 32]);
        let acme = TenantId::new("acme").expect("valid");
        let rows = [Row::new("host_connections", Millis(5)).with("server.port", 443_u16)];
        let block = key.seal(&acme, 9, &rows).expect("sealed");
        assert_eq!(key.open(&acme, 9, &block).expect("opens"), rows);
        assert!(key.open(&acme, 8, &block).is_none());
        assert!(key.open(&TenantId::new("other").expect("valid"), 9, &block).is_none());
        assert!(RowKey::new(&[8; 32]).open(&acme, 9, &block).is_none());
        for at in 0..block.len() {
            let mut flipped = block.clone();
            flipped[at] ^= 1;
            assert!(key.open(&acme, 9, &flipped).is_none(), "byte {at}");
        }
        assert!(key.open(&acme, 9, &block[..5]).is_none());
    }
}
