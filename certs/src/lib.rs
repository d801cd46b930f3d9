//! Identity for the mesh: who a peer is, and for how long that holds.
//!
//! What comes in: certificate chains, bundles, join tokens and signed statements from the network and
//! from disk, all of them hostile until checked; the time, always as an argument. What goes out:
//! [`VerifiedSvid`]s, certificates made by an [`Issuer`], and rustls configurations whose both sides
//! show and check SVIDs. What must never happen: a chain accepted that breaks one MUST of X509-SVID; a
//! certificate that outlives its issuer; trust on first use; a resumed session that skips the checks;
//! a revoked key that comes back; a panic on any input; network I/O or a clock read outside rustls.
//!
//! `id` names · `key` keys · `authority` issues · `bundle` trusts · `cert`, `path`, `verify` judge ·
//! `identity` is the handle that a node shares · `tls`, `web` configure rustls · `token` joins ·
//! `statement`, `revocation` take trust away · `tenant`, `grant` say which site may do what with a
//! tenant, `book` and `holding` judge it, `sealing`, `delivery`, `plan`, `hint` keep it secret · `files`
//! is the only module that touches a disk.

mod authority;
mod book;
mod bundle;
mod bytes;
mod cert;
mod clock;
mod constraints;
mod delivery;
mod erasure;
mod error;
pub mod files;
mod forgetting;
mod grant;
mod hint;
mod hint_keys;
mod holding;
mod id;
mod identity;
mod key;
mod path;
mod plan;
mod revocation;
mod sealing;
mod statement;
mod tenancy;
mod tenant;
mod tls;
mod token;
mod verify;
mod web;

pub use authority::{
    CLOCK_SKEW, ISSUER_LIFETIME, IssueError, Issuer, MAX_LEAF_LIFETIME, MAX_WEB_NAMES,
    ROOT_LIFETIME, RootAuthority, SVID_LIFETIME,
};
pub use book::{
    BookCounters, BookSize, GrantBook, MAX_CREATORS, MAX_SEALING_KEYS, MAX_TENANTS, MAX_WAITING,
    MAX_WAITING_BYTES, News, Taken, TenantStanding,
};
pub use bundle::{
    Bundle, BundleError, BundleMap, DEFAULT_REFRESH_S, MAX_BUNDLE_BYTES, MAX_DOMAINS, MAX_ROOTS,
};
pub use cert::MAX_CERTIFICATE_BYTES;
pub use delivery::{KeyDelivery, MAX_RECIPIENTS, Recipient};
pub use erasure::{ErasedAt, Erasure, ErasureAttestation};
pub use error::{CertName, SvidError};
pub use forgetting::{Forgetting, ForgettingError, ForgottenSet, MAX_FORGOTTEN};
pub use grant::{Creator, Grant, GrantRevocation, GrantTerms, TenantCreation};
pub use hint::{HINT_OVERHEAD_BYTES, HintError, KEY_OVERLAP, Keyring, MAX_SEALED_HINT_BYTES};
pub use hint_keys::HintKeys;
pub use holding::{
    MAX_DELIVERIES, MAX_GENERATIONS, MAX_GRANTS_PER_SITE, MAX_SITES_PER_TENANT, Verdict,
};
pub use id::{MAX_SPIFFE_ID_BYTES, MAX_TRUST_DOMAIN_BYTES, SpiffeId, SpiffeIdError, TrustDomain};
pub use identity::{
    Change, Identity, IdentityError, MAX_REFUSALS, Refusal, Subscription, SvidState, renew_at,
};
pub use key::{
    CertificateRequest, IssuerRequest, KeyError, MAX_REQUEST_BYTES, NodeKey, SpkiHash,
    SubjectPublicKey,
};
pub use path::MAX_CHAIN;
pub use plan::KeyPlan;
pub use revocation::{
    MAX_REASON_BYTES, MAX_REVOCATIONS, Revocation, RevocationError, RevocationSet,
};
pub use sealing::{SealingKey, SealingNode, SealingPublicKey, SealingSecret};
pub use statement::{
    MAX_PAYLOAD_BYTES, MAX_STATEMENT_BYTES, SignedStatement, StatementError, StatementKey,
    StatementKind, StatementSigner,
};
pub use tenancy::{GrantError, PayloadDigest, Trust};
pub use tenant::{
    MAX_TENANT_NAMES, Right, Rights, TenantAuthority, TenantNameError, TenantNames, TenantTag,
};
pub use token::{
    JoinProof, JoinSecret, JoinToken, MAX_SEEDS, MAX_STORED_TOKENS, MAX_TOKEN_CHARS, SeedPins,
    StoredToken, TOKEN_LIFETIME, TOKEN_MEMORY, TOKEN_PREFIX, TokenError, TokenId, TokenLedger,
    TokenOffer,
};
pub use verify::{VerifiedSvid, Verifier};
pub use web::{WebError, WebIdentity, pinned_client_config, trusted_client_config};
