//! Sealing for one node: an X25519 key that a node publishes, and short secrets wrapped to it.
//!
//! A node's P-256 key signs and must do nothing else, and ring's X25519 keys live in memory only and
//! serve once. So a node derives an X25519 secret from its own key (HKDF: no second file to keep, and
//! it ends when the key does) and publishes the public half in a statement that its SVID signs.
//!
//! Payload of a [`SignedStatement`] of kind 6, version 1: `version u8 = 1 | at u64 | X25519 public key 32`
//!
//! Wrapping, in the manner of HPKE's base mode (RFC 9180 §5.1.1) with one encapsulation for many
//! recipients: a fresh X25519 pair per delivery; for each recipient the key is HKDF-SHA256(salt
//! `"holm wrap v1"`, X25519(ours, theirs), info = our public key ‖ theirs ‖ context), used once, for
//! AES-256-GCM with a nonce of zeros. Who sealed it is said by the signature around it.

use std::fmt;

use curve25519_dalek::montgomery::MontgomeryPoint;
use holm_model::{Millis, NodeName, SiteId};
use rand::CryptoRng;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::hkdf::{HKDF_SHA256, Salt};
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

use crate::bytes::{Writer, hex};
use crate::key::{KeyError, NodeKey, SpkiHash};
use crate::statement::{SignedStatement, StatementKey, StatementKind};
use crate::tenancy::{GrantError, Trust, VERSION, node_signer, read_payload, statement_of};

/// What AES-GCM adds to a plaintext, in bytes.
pub(crate) const SEAL_BYTES: usize = 16;

const SEALING_KEY: &str = "node's sealing key";

/// A node's X25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealingPublicKey(pub [u8; 32]);

impl SealingPublicKey {
    /// What deliveries call it: the first 16 bytes of its SHA-256.
    pub(crate) fn id(&self) -> RecipientId {
        let mut id = [0; 16];
        id.copy_from_slice(&digest(&SHA256, &self.0).as_ref()[..16]);
        RecipientId(id)
    }
}

impl fmt::Debug for SealingPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingPublicKey({})", hex(&self.0))
    }
}

impl SealingPublicKey {
    /// Whether an agreement with it is secret: it is not one of the few points that give zeros with
    /// every secret (RFC 7748 §6.1).
    fn is_usable(&self) -> bool {
        SealingSecret::new([0; 32]).agree(self).is_some()
    }
}

/// Names a sealing key within a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RecipientId(pub(crate) [u8; 16]);

/// The secret half of a node's sealing key, with the public one. Wiped when dropped, never shown.
#[derive(ZeroizeOnDrop)]
pub struct SealingSecret {
    secret: [u8; 32],
    #[zeroize(skip)]
    public: SealingPublicKey,
}

impl SealingSecret {
    /// The one of the node with this key: always the same.
    ///
    /// # Errors
    /// [`KeyError::Crypto`], which ring gives for no such key.
    pub fn of(key: &NodeKey) -> Result<Self, KeyError> {
        Ok(Self::new(*key.derive(&[b"sealing key"])?))
    }

    fn new(secret: [u8; 32]) -> Self {
        let public = SealingPublicKey(MontgomeryPoint::mul_base_clamped(secret).to_bytes());
        Self { secret, public }
    }

    fn ephemeral(rng: &mut impl CryptoRng) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *secret);
        Self::new(*secret)
    }

    /// The public half.
    pub fn public_key(&self) -> SealingPublicKey {
        self.public
    }

    /// X25519 (RFC 7748 §5); `None` where it gives zeros, which §6.1 says to refuse: the other key
    /// is one of the few that force the result.
    fn agree(&self, other: &SealingPublicKey) -> Option<Zeroizing<[u8; 32]>> {
        let mut shared = MontgomeryPoint(other.0).mul_clamped(self.secret);
        let bytes = Zeroizing::new(shared.to_bytes());
        shared.zeroize();
        (*bytes != [0; 32]).then_some(bytes)
    }
}

impl fmt::Debug for SealingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingSecret(…)")
    }
}

/// Seals for many, each with a key of its own.
pub(crate) struct Wrapper(SealingSecret);

impl Wrapper {
    pub(crate) fn new(rng: &mut impl CryptoRng) -> Self {
        Self(SealingSecret::ephemeral(rng))
    }

    /// What the recipients need.
    pub(crate) fn public_key(&self) -> SealingPublicKey {
        self.0.public
    }

    /// `plaintext` for `recipient`, [`SEAL_BYTES`] longer; `None` if its key is of no use. Seal once
    /// only per recipient and context.
    pub(crate) fn wrap(
        &self,
        recipient: &SealingPublicKey,
        context: &[u8],
        plaintext: &[u8],
    ) -> Option<Vec<u8>> {
        let shared = self.0.agree(recipient)?;
        let key = wrap_key(&shared, &self.0.public, recipient, context)?;
        let mut bytes = plaintext.to_vec();
        let sealed = key.seal_in_place_append_tag(zero_nonce(), Aad::empty(), &mut bytes);
        if sealed.is_err() {
            bytes.zeroize();
            return None;
        }
        Some(bytes)
    }
}

/// Opens what [`Wrapper::wrap`] sealed; `None` if it is for another, or was changed.
pub(crate) fn unwrap(
    secret: &SealingSecret,
    sender: &SealingPublicKey,
    context: &[u8],
    sealed: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let shared = secret.agree(sender)?;
    let key = wrap_key(&shared, sender, &secret.public_key(), context)?;
    let mut bytes = Zeroizing::new(sealed.to_vec());
    let length = key.open_in_place(zero_nonce(), Aad::empty(), &mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}

fn wrap_key(
    shared: &[u8; 32],
    sender: &SealingPublicKey,
    recipient: &SealingPublicKey,
    context: &[u8],
) -> Option<LessSafeKey> {
    let prk = Salt::new(HKDF_SHA256, b"holm wrap v1").extract(shared);
    let info = [&sender.0[..], &recipient.0, context];
    let okm = prk.expand(&info, &AES_256_GCM).ok()?;
    Some(LessSafeKey::new(UnboundKey::from(okm)))
}

/// Right only because each key seals once.
fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// A node says which key to seal to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealingKey {
    statement: SignedStatement,
    at: Millis,
    key: SealingPublicKey,
}

impl SealingKey {
    /// Signs, as a node, that `key` is its own. Publish it when a grant names the node's site.
    ///
    /// # Errors
    /// [`GrantError`] if signing fails.
    pub fn sign<'a>(
        node: impl Into<StatementKey<'a>>,
        key: SealingPublicKey,
        at: Millis,
    ) -> Result<Self, GrantError> {
        let mut writer = Writer::default();
        writer.u8(VERSION).u64(at.0).raw(&key.0);
        let statement = SignedStatement::sign(StatementKind::SEALING_KEY, writer.0, node)?;
        Ok(Self { statement, at, key })
    }

    /// Parses a signed statement that is a sealing key.
    ///
    /// # Errors
    /// [`GrantError`] if it is malformed or of another kind.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, GrantError> {
        Self::read(statement_of(SEALING_KEY, StatementKind::SEALING_KEY, bytes)?)
    }

    pub(crate) fn read(statement: SignedStatement) -> Result<Self, GrantError> {
        let (at, key) = read_payload(SEALING_KEY, statement.payload(), |reader| {
            let (at, key) = (Millis(reader.u64()?), SealingPublicKey(reader.array()?));
            let usable = key.is_usable();
            Some(usable.then_some((at, key)).ok_or("its key gives no secret"))
        })?;
        Ok(Self { statement, at, key })
    }

    /// Verifies signature and signer, whose SVID is judged at the statement's own date, so that it
    /// outlives an SVID of a week. A revoked key is refused at any date.
    ///
    /// # Errors
    /// [`GrantError`] says what failed.
    pub fn verify(&self, trust: Trust<'_>) -> Result<SealingNode, GrantError> {
        let (id, key) = node_signer(SEALING_KEY, &self.statement, self.at, trust)?;
        let Some((site, node)) = id.site_and_node() else {
            let rule = "a node's name, /site/<site>/node/<node>, is needed";
            let signer = id.to_string();
            return Err(GrantError::NotAuthorised { what: SEALING_KEY, signer, rule });
        };
        Ok(SealingNode { site, node, key })
    }

    /// The key.
    pub fn key(&self) -> SealingPublicKey {
        self.key
    }

    /// Its date. Of two keys of one node the later is used.
    pub fn at(&self) -> Millis {
        self.at
    }

    pub(crate) fn statement(&self) -> &SignedStatement {
        &self.statement
    }

    /// The signed statement's bytes.
    ///
    /// # Errors
    /// [`GrantError::Statement`] if it is too large to be read back.
    pub fn to_bytes(&self) -> Result<Vec<u8>, GrantError> {
        Ok(self.statement.to_bytes()?)
    }
}

/// Whose sealing key one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealingNode {
    /// Its site.
    pub site: SiteId,
    /// Its name.
    pub node: NodeName,
    /// The hash of its own key, which signed.
    pub key: SpkiHash,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::unhex;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    #[test]
    fn agreement_gives_the_values_of_rfc_7748() {
        // RFC 7748 §6.1.
        let bytes = |text| unhex::<32>(text).expect("hex");
        let alice = SealingSecret::new(bytes(
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        ));
        let bob = SealingSecret::new(bytes(
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
        ));
        let theirs = bytes("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
        assert_eq!(bob.public_key(), SealingPublicKey(theirs));
        let shared = bytes("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
        assert_eq!(*alice.agree(&bob.public_key()).expect("agrees"), shared);
        assert_eq!(*bob.agree(&alice.public_key()).expect("agrees"), shared);
    }

    #[test]
    fn only_the_recipient_opens_and_only_in_its_context() {
        let mut rng = StdRng::seed_from_u64(7);
        let (bob, eve) = (SealingSecret::ephemeral(&mut rng), SealingSecret::ephemeral(&mut rng));
        let wrapper = Wrapper::new(&mut rng);
        let from = wrapper.public_key();
        let sealed = wrapper.wrap(&bob.public_key(), b"here", b"secret").expect("sealed");
        assert_eq!(&**unwrap(&bob, &from, b"here", &sealed).expect("opens"), b"secret");
        assert!(unwrap(&eve, &from, b"here", &sealed).is_none(), "another recipient");
        assert!(unwrap(&bob, &from, b"there", &sealed).is_none(), "another context");
        assert!(unwrap(&bob, &eve.public_key(), b"here", &sealed).is_none(), "another sender");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(unwrap(&bob, &from, b"here", &changed).is_none(), "byte {at} changed");
            assert!(unwrap(&bob, &from, b"here", &sealed[..at]).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn points_that_force_the_result_are_refused() {
        let wrapper = Wrapper::new(&mut StdRng::seed_from_u64(7));
        let mut one = [0; 32];
        one[0] = 1;
        for forced in [[0; 32], one] {
            assert!(wrapper.wrap(&SealingPublicKey(forced), b"", b"secret").is_none());
        }
    }

    #[test]
    fn a_nodes_sealing_key_is_its_keys_own() {
        let key = NodeKey::generate().expect("a key");
        let again = NodeKey::from_pem(&key.to_pem()).expect("reads");
        let public = |key: &NodeKey| SealingSecret::of(key).expect("derived").public_key();
        assert_eq!(public(&key), public(&again));
        assert_ne!(public(&key), public(&NodeKey::generate().expect("another")));
    }
}
