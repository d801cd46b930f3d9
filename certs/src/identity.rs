//! The handle that a node shares: its key, its current SVID, whom it trusts, whom it no longer trusts.
//!
//! Everything that asks for identity holds a clone of one [`Identity`]; what is replaced is seen by
//! the next handshake and announced to whoever registered.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use holm_model::Millis;
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::CertificateDer;

use crate::authority::CLOCK_SKEW;
use crate::bundle::{Bundle, BundleError, BundleMap};
use crate::clock::show;
use crate::error::SvidError;
use crate::id::SpiffeId;
use crate::key::NodeKey;
use crate::revocation::{Revocation, RevocationError, RevocationSet};
use crate::statement::StatementKey;
use crate::verify::{VerifiedSvid, Verifier};

/// How many of the latest refusals are kept with their text; all are counted.
pub const MAX_REFUSALS: usize = 32;

/// Why the node's own identity was not accepted. What was held before stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The chain is on another key.
    #[error(
        "the SVID of {id} is on another key than this node's; put back the key it was issued for, or enrol again with a join token"
    )]
    OtherKey {
        /// Whose SVID it is.
        id: SpiffeId,
    },
    /// The chain is another identity.
    #[error(
        "the new SVID is {new}, this node is {own}; a renewal keeps the name: enrol again to change it"
    )]
    OtherName {
        /// The new one.
        new: SpiffeId,
        /// The held one.
        own: SpiffeId,
    },
    /// The chain is not a valid SVID.
    #[error("this node's SVID is not usable: {0}")]
    Svid(#[from] SvidError),
    /// rustls does not take the key.
    #[error("this node's key is not usable for TLS: {0}")]
    Tls(String),
    /// The new one ends sooner than the one held.
    #[error("the new SVID ends at {}, the held one at {}; keeping the held one", show(*new), show(*held))]
    Older {
        /// End of the new one.
        new: Millis,
        /// End of the held one.
        held: Millis,
    },
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The node has a new SVID: send it to live peers.
    Svid,
    /// A bundle changed: verify the chains of live peers again.
    Bundle,
    /// A key was revoked: verify the chains of live peers again.
    Revocation,
}

/// How the node's own SVID stands at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SvidState {
    /// It holds.
    Valid {
        /// Begin of its last valid second.
        not_after: Millis,
        /// From when to ask an issuer for the next one.
        renew_at: Millis,
    },
    /// It begins later: this node's clock is behind, or the issuer's was ahead.
    NotYetValid {
        /// Its begin.
        from: Millis,
    },
    /// It is over: observe and serve the own site, do not replicate, enrol again.
    Expired {
        /// The first moment at which it no longer held.
        since: Millis,
    },
    /// An authority revoked the node's key, or that of its issuer.
    Revoked {
        /// Since when.
        since: Millis,
        /// Why.
        reason: String,
    },
}

/// One refused peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// When.
    pub at: Millis,
    /// Why.
    pub error: SvidError,
}

type Listener = Arc<dyn Fn(Change) + Send + Sync>;

struct Svid {
    chain: Vec<CertificateDer<'static>>,
    verified: VerifiedSvid,
    certified: Arc<CertifiedKey>,
}

struct Inner {
    key: NodeKey,
    tls_key: Arc<dyn SigningKey>,
    svid: RwLock<Arc<Svid>>,
    bundles: RwLock<Arc<BundleMap>>,
    revocations: RwLock<Arc<RevocationSet>>,
    generation: AtomicU64,
    listeners: Mutex<BTreeMap<u64, Listener>>,
    next_listener: AtomicU64,
    refusals: Mutex<Refusals>,
}

#[derive(Default)]
struct Refusals {
    counts: BTreeMap<&'static str, u64>,
    latest: VecDeque<Refusal>,
}

/// A node's identity: cheap to clone, safe to share.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

impl Identity {
    /// Puts together what is on disk. An SVID that has ended (or not begun) is accepted, so that the
    /// node starts and says so: it is verified at the time of its issue instead.
    ///
    /// # Errors
    /// [`IdentityError`] if the SVID is not on this key or was never valid under these bundles.
    pub fn new(
        key: NodeKey,
        chain: Vec<CertificateDer<'static>>,
        bundles: BundleMap,
        revocations: RevocationSet,
        now: Millis,
    ) -> Result<Self, IdentityError> {
        let tls_key =
            any_ecdsa_type(&key.to_rustls()).map_err(|e| IdentityError::Tls(e.to_string()))?;
        let svid = own_svid(&key, &tls_key, chain, &bundles, now)?;
        Ok(Self(Arc::new(Inner {
            key,
            tls_key,
            svid: RwLock::new(Arc::new(svid)),
            bundles: RwLock::new(Arc::new(bundles)),
            revocations: RwLock::new(Arc::new(revocations)),
            generation: AtomicU64::new(0),
            listeners: Mutex::new(BTreeMap::new()),
            next_listener: AtomicU64::new(0),
            refusals: Mutex::new(Refusals::default()),
        })))
    }

    /// Takes a renewed SVID: same key, same name, valid now, and not ending sooner.
    ///
    /// # Errors
    /// [`IdentityError`]; the held SVID stays.
    pub fn replace_svid(
        &self,
        chain: Vec<CertificateDer<'static>>,
        now: Millis,
    ) -> Result<(), IdentityError> {
        let verified = Verifier::verify(&chain, &self.bundles(), now)?;
        let own = self.spiffe_id();
        if *verified.spiffe_id() != own {
            return Err(IdentityError::OtherName { new: verified.spiffe_id().clone(), own });
        }
        {
            let mut held = write(&self.0.svid);
            let (new_end, held_end) = (verified.not_after(), held.verified.not_after());
            if new_end < held_end {
                return Err(IdentityError::Older { new: new_end, held: held_end });
            }
            *held = Arc::new(Svid::new(&self.0.key, &self.0.tls_key, chain, verified)?);
        }
        self.announce(Change::Svid);
        Ok(())
    }

    /// Takes the first or a newer bundle of a trust domain. Says whether anything changed.
    ///
    /// # Errors
    /// [`BundleError`] if its sequence does not grow; the held bundle stays.
    pub fn replace_bundle(&self, bundle: Bundle) -> Result<bool, BundleError> {
        let changed = {
            let mut held = write(&self.0.bundles);
            let mut map = BundleMap::clone(&held);
            let changed = map.update(bundle)?;
            *held = Arc::new(map);
            changed
        };
        if changed {
            self.announce(Change::Bundle);
        }
        Ok(changed)
    }

    /// Verifies and takes a revocation. Says whether it was news.
    ///
    /// # Errors
    /// [`RevocationError`]; nothing changes.
    pub fn revoke(&self, revocation: &Revocation, now: Millis) -> Result<bool, RevocationError> {
        let bundles = self.bundles();
        let changed = {
            let mut held = write(&self.0.revocations);
            let mut set = RevocationSet::clone(&held);
            let changed = set.insert(revocation, &bundles, now)?;
            *held = Arc::new(set);
            changed
        };
        if changed {
            self.announce(Change::Revocation);
        }
        Ok(changed)
    }

    /// Verifies a peer's chain against the current bundles and revocations.
    ///
    /// # Errors
    /// [`SvidError`], also counted and kept in [`Identity::refusals`].
    pub fn verify_peer(
        &self,
        chain: &[CertificateDer<'_>],
        now: Millis,
    ) -> Result<VerifiedSvid, SvidError> {
        let verified = Verifier::verify(chain, &self.bundles(), now);
        self.judge(verified, now)
    }

    /// Verifies the chain by which a live peer refreshes `old`: same key, same SPIFFE ID.
    ///
    /// # Errors
    /// [`SvidError`], also counted and kept in [`Identity::refusals`].
    pub fn verify_refresh(
        &self,
        old: &VerifiedSvid,
        chain: &[CertificateDer<'_>],
        now: Millis,
    ) -> Result<VerifiedSvid, SvidError> {
        let verified = Verifier::verify_refresh(old, chain, &self.bundles(), now);
        self.judge(verified, now)
    }

    fn judge(
        &self,
        verified: Result<VerifiedSvid, SvidError>,
        now: Millis,
    ) -> Result<VerifiedSvid, SvidError> {
        let judged = verified.and_then(|svid| {
            self.revocations().check(&svid)?;
            Ok(svid)
        });
        if let Err(error) = &judged {
            let mut refusals = lock(&self.0.refusals);
            // At most one entry per code of SvidError.
            *refusals.counts.entry(error.code()).or_default() += 1;
            if refusals.latest.len() == MAX_REFUSALS {
                refusals.latest.pop_front();
            }
            refusals.latest.push_back(Refusal { at: now, error: error.clone() });
        }
        judged
    }

    /// How the own SVID stands. `jitter` in [0, 1) spreads the renewals of many nodes: draw it once
    /// per SVID and keep it.
    pub fn svid_state(&self, now: Millis, jitter: f64) -> SvidState {
        let svid = self.svid();
        if let Err(SvidError::Revoked { at, reason, .. }) = self.revocations().check(&svid) {
            return SvidState::Revoked { since: at, reason };
        }
        if now < svid.not_before() {
            return SvidState::NotYetValid { from: svid.not_before() };
        }
        if now >= svid.deadline() {
            return SvidState::Expired { since: svid.deadline() };
        }
        SvidState::Valid { not_after: svid.not_after(), renew_at: renew_at(&svid, jitter) }
    }

    /// The own SPIFFE ID.
    pub fn spiffe_id(&self) -> SpiffeId {
        read(&self.0.svid).verified.spiffe_id().clone()
    }

    /// The own key.
    pub fn key(&self) -> &NodeKey {
        &self.0.key
    }

    /// The own current SVID, as it was verified when it was taken.
    pub fn svid(&self) -> VerifiedSvid {
        read(&self.0.svid).verified.clone()
    }

    /// The own current chain, leaf first: what is sent to refresh a live connection.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        read(&self.0.svid).chain.clone()
    }

    /// The current bundles.
    pub fn bundles(&self) -> Arc<BundleMap> {
        read(&self.0.bundles)
    }

    /// The current revocations.
    pub fn revocations(&self) -> Arc<RevocationSet> {
        read(&self.0.revocations)
    }

    /// To sign a statement as this node.
    pub fn statement_key(&self) -> StatementKey<'_> {
        StatementKey::node(&self.0.key, self.chain())
    }

    /// Grows with every change: what a poller compares.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// Calls `listener` after every change, on the thread that changed, with no lock held, until the
    /// subscription is dropped. It must not block: wake a task (a channel or `Notify`) and return.
    #[must_use = "dropping the subscription ends it"]
    pub fn on_change(&self, listener: impl Fn(Change) + Send + Sync + 'static) -> Subscription {
        let number = self.0.next_listener.fetch_add(1, Ordering::Relaxed);
        lock(&self.0.listeners).insert(number, Arc::new(listener));
        Subscription { identity: Arc::downgrade(&self.0), number }
    }

    /// How often peers were refused, by [`SvidError::code`], since the start.
    pub fn refusal_counts(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.0.refusals).counts.clone()
    }

    /// The latest [`MAX_REFUSALS`] refusals, oldest first.
    pub fn refusals(&self) -> Vec<Refusal> {
        lock(&self.0.refusals).latest.iter().cloned().collect()
    }

    /// What rustls serves now.
    pub(crate) fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&read(&self.0.svid).certified)
    }

    fn announce(&self, change: Change) {
        self.0.generation.fetch_add(1, Ordering::AcqRel);
        let listeners: Vec<Listener> = lock(&self.0.listeners).values().cloned().collect();
        for listener in listeners {
            listener(change);
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.spiffe_id())
    }
}

/// Ends its listener when dropped.
pub struct Subscription {
    identity: Weak<Inner>,
    number: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(identity) = self.identity.upgrade() {
            lock(&identity.listeners).remove(&self.number);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscription({})", self.number)
    }
}

/// When to renew: half of the lifetime left, ±10 % of the lifetime by `jitter` in [0, 1).
///
/// Source: SPIRE renews at half-life ±10 %, so that nodes enrolled together do not ask together.
pub fn renew_at(svid: &VerifiedSvid, jitter: f64) -> Millis {
    // An issuer dates the beginning back, for clocks that are behind: that is no part of its life.
    let issued = svid.not_before() + u64::try_from(CLOCK_SKEW.as_millis()).unwrap_or(0);
    let begin = if issued < svid.not_after() { issued } else { svid.not_before() };
    let lifetime_ms = svid.not_after().since(begin);
    let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.5 };
    // Thousandths keep the arithmetic in integers: 400 to 600 of 1000.
    let thousandths = 400 + (jitter * 200.0) as u64;
    begin + lifetime_ms * thousandths / 1000
}

impl Svid {
    fn new(
        key: &NodeKey,
        tls_key: &Arc<dyn SigningKey>,
        chain: Vec<CertificateDer<'static>>,
        verified: VerifiedSvid,
    ) -> Result<Self, IdentityError> {
        if verified.spki() != key.public_key().as_der() {
            return Err(IdentityError::OtherKey { id: verified.spiffe_id().clone() });
        }
        let certified = Arc::new(CertifiedKey::new(chain.clone(), Arc::clone(tls_key)));
        Ok(Self { chain, verified, certified })
    }
}

fn own_svid(
    key: &NodeKey,
    tls_key: &Arc<dyn SigningKey>,
    chain: Vec<CertificateDer<'static>>,
    bundles: &BundleMap,
    now: Millis,
) -> Result<Svid, IdentityError> {
    let verified = match Verifier::verify(&chain, bundles, now) {
        Err(SvidError::Expired { .. } | SvidError::NotYetValid { .. }) => {
            let leaf = crate::verify::leaf_begin(&chain)?;
            let skew_ms = u64::try_from(CLOCK_SKEW.as_millis()).unwrap_or(0);
            Verifier::verify(&chain, bundles, leaf + skew_ms)?
        }
        verdict => verdict?,
    };
    Svid::new(key, tls_key, chain, verified)
}

// A panic while a lock is held cannot leave these values half changed (each is replaced whole), so
// a poisoned lock is taken as it is: a node must not stop trusting because one thread died.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<Arc<T>>) -> Arc<T> {
    Arc::clone(&lock.read().unwrap_or_else(PoisonError::into_inner))
}

fn write<T>(lock: &RwLock<Arc<T>>) -> std::sync::RwLockWriteGuard<'_, Arc<T>> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
