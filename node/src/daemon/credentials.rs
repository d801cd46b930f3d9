//! Who may ask: API tokens, sessions and login links, each for one tenant with one role.
//!
//! Only hashes are stored (`node.redb`). A token is `holm_api_<id>.<secret>`; the secret has 256
//! random bits, so that a plain hash is enough. A login link's code is worth one session, once,
//! within ten minutes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use holm_certs::{SpiffeId, SpkiHash};
use holm_events::Quiet;
use holm_model::{Millis, TenantId};
use rand::Rng;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(crate) const LOGIN_LINK_MS: u64 = 10 * 60 * 1_000;
pub(crate) const SESSION_MS: u64 = 12 * 3_600 * 1_000;
const MAX_LOGIN_LINKS: usize = 256;
const MAX_SESSIONS: usize = 4_096;
const MAX_API_TOKENS: usize = 4_096;
const TOKEN_PREFIX: &str = "holm_api_";

type JsonById<'a> = TableDefinition<'a, &'static str, &'static [u8]>;
const API_TOKENS: JsonById<'_> = TableDefinition::new("api_tokens");
const SESSIONS: JsonById<'_> = TableDefinition::new("sessions");
/// Hash of the key that this node last issued an SVID for, by SPIFFE ID: what a revocation names.
const ISSUED: JsonById<'_> = TableDefinition::new("issued");

/// What a credential allows. `ingest` sends spans and nothing else; of the others each may do what the ones before it
/// may. A viewer changes nothing, and so sends no spans.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Sends spans, and reads nothing.
    Ingest,
    /// Reads.
    Viewer,
    /// Changes policy.
    Editor,
    /// Manages credentials and the mesh.
    Admin,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ingest => "ingest",
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Admin => "admin",
        })
    }
}

/// Who asks: tenant and role come from the credential, never from the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) tenant: TenantId,
    pub(crate) role: Role,
    pub(crate) name: String,
    /// By cookie: then a request that changes something must come from our own page.
    pub(crate) by_cookie: bool,
}

/// An API token as it is stored and listed; the secret is not in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ApiToken {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) tenant: TenantId,
    pub(crate) role: Role,
    pub(crate) created_at: Millis,
    hash: String,
}

#[derive(Serialize, Deserialize)]
struct Session {
    tenant: TenantId,
    role: Role,
    name: String,
    expires_at: Millis,
}

struct LoginCode {
    tenant: TenantId,
    role: Role,
    name: String,
    expires_at: Millis,
}

/// Why the credential store cannot do something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialError {
    #[error(
        "{path}: {reason}; check free space, permissions, and that no other node uses the folder"
    )]
    Store { path: PathBuf, reason: String },
    #[error("there are {0} already; revoke some that are not needed")]
    TooMany(usize),
    #[error("no token has the id {0}; `holm api-token list` shows those there are")]
    Unknown(String),
}

/// The store of one node.
pub(crate) struct Credentials {
    path: PathBuf,
    database: Quiet,
    login_codes: Mutex<HashMap<String, LoginCode>>,
}

impl Credentials {
    /// Opens `path` or creates it; a damaged file is moved aside and reported, never deleted.
    pub(crate) fn open(
        path: &Path,
        now: Millis,
    ) -> Result<(Self, Option<String>), CredentialError> {
        let error = |reason: String| CredentialError::Store { path: path.into(), reason };
        let (database, report) = match try_open(path) {
            Ok(database) => (database, None),
            Err(cause @ (redb::Error::DatabaseAlreadyOpen | redb::Error::Io(_)))
                if !looks_damaged(&cause) =>
            {
                return Err(error(cause.to_string()));
            }
            Err(damage) => {
                let aside = path.with_extension(format!("redb.damaged-{}", now.0));
                std::fs::rename(path, &aside).map_err(|e| error(e.to_string()))?;
                let report = format!(
                    "{} was damaged ({damage}) and was moved to {}: API tokens and sessions are gone; \
                     make new ones with `holm api-token create`",
                    path.display(),
                    aside.display(),
                );
                (try_open(path).map_err(|e| error(e.to_string()))?, Some(report))
            }
        };
        let database = Quiet::new("node.redb", database);
        let opened = Self { path: path.into(), database, login_codes: Mutex::default() };
        let unreadable = opened.unreadable_tokens()?;
        let report = report.or_else(|| {
            (unreadable > 0).then(|| {
                format!(
                    "{} is damaged in part: {unreadable} of its API tokens cannot be read any more and are refused; make \
                     new ones with `holm api-token create`, and check the disk",
                    path.display()
                )
            })
        });
        Ok((opened, report))
    }

    /// Makes a token and returns its text, which is not kept.
    pub(crate) fn create_token(
        &self,
        tenant: &TenantId,
        role: Role,
        name: &str,
        now: Millis,
    ) -> Result<(ApiToken, String), CredentialError> {
        let tokens = self.tokens()?.len();
        if tokens >= MAX_API_TOKENS {
            return Err(CredentialError::TooMany(tokens));
        }
        let (id, secret) = (random_text(6), random_text(32));
        let token = ApiToken {
            id,
            name: name.into(),
            tenant: tenant.clone(),
            role,
            created_at: now,
            hash: hash(&secret),
        };
        self.put(API_TOKENS, &token.id, &token)?;
        let text = format!("{TOKEN_PREFIX}{}.{secret}", token.id);
        Ok((token, text))
    }

    /// Every token, oldest first.
    pub(crate) fn tokens(&self) -> Result<Vec<ApiToken>, CredentialError> {
        let mut tokens: Vec<ApiToken> = self.all(API_TOKENS)?;
        tokens.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(tokens)
    }

    /// Ends a token of `tenant`.
    pub(crate) fn revoke_token(&self, tenant: &TenantId, id: &str) -> Result<(), CredentialError> {
        let token: Option<ApiToken> = self.read(API_TOKENS, id)?;
        match token {
            Some(token) if token.tenant == *tenant => self.remove(API_TOKENS, id),
            _ => Err(CredentialError::Unknown(id.into())),
        }
    }

    /// Ends every token, session and login link of `tenant`.
    pub(crate) fn forget_tenant(&self, tenant: &TenantId) -> Result<(), CredentialError> {
        let mut codes = self.login_codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|_, code| code.tenant != *tenant);
        drop(codes);
        self.with_write(|transaction| {
            let is_of = |found: Option<TenantId>| found.as_ref() == Some(tenant);
            transaction.open_table(API_TOKENS)?.retain(|_, json| {
                !is_of(serde_json::from_slice::<ApiToken>(json).ok().map(|token| token.tenant))
            })?;
            transaction.open_table(SESSIONS)?.retain(|_, json| {
                !is_of(serde_json::from_slice::<Session>(json).ok().map(|session| session.tenant))
            })?;
            Ok(())
        })
    }

    /// Who presents `text`, if it is a token that is valid.
    pub(crate) fn caller_by_token(&self, text: &str) -> Option<Caller> {
        let (id, secret) = text.strip_prefix(TOKEN_PREFIX)?.split_once('.')?;
        let token: ApiToken = self.read(API_TOKENS, id).ok()??;
        let same = same(&token.hash, &hash(secret));
        same.then_some(Caller {
            tenant: token.tenant,
            role: token.role,
            name: token.name,
            by_cookie: false,
        })
    }

    /// A code that is worth one session of `caller`'s tenant.
    pub(crate) fn create_login_code(
        &self,
        tenant: &TenantId,
        role: Role,
        name: &str,
        now: Millis,
    ) -> Result<String, CredentialError> {
        let mut codes = self.login_codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|_, code| code.expires_at > now);
        if codes.len() >= MAX_LOGIN_LINKS {
            return Err(CredentialError::TooMany(codes.len()));
        }
        let code = random_text(24);
        codes.insert(
            hash(&code),
            LoginCode {
                tenant: tenant.clone(),
                role,
                name: name.into(),
                expires_at: now + LOGIN_LINK_MS,
            },
        );
        Ok(code)
    }

    /// The session cookie's value for a code, once.
    pub(crate) fn redeem_login_code(
        &self,
        code: &str,
        now: Millis,
    ) -> Result<Option<String>, CredentialError> {
        let found =
            self.login_codes.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash(code));
        let Some(code) = found.filter(|code| code.expires_at > now) else { return Ok(None) };
        self.forget_old_sessions(now)?;
        let cookie = random_text(32);
        let session = Session {
            tenant: code.tenant,
            role: code.role,
            name: code.name,
            expires_at: now + SESSION_MS,
        };
        self.put(SESSIONS, &hash(&cookie), &session)?;
        Ok(Some(cookie))
    }

    /// Who presents the session cookie, if the session is still good.
    pub(crate) fn caller_by_cookie(&self, cookie: &str, now: Millis) -> Option<Caller> {
        let session: Session = self.read(SESSIONS, &hash(cookie)).ok()??;
        (session.expires_at > now).then_some(Caller {
            tenant: session.tenant,
            role: session.role,
            name: session.name,
            by_cookie: true,
        })
    }

    /// Ends the session of a cookie.
    pub(crate) fn end_session(&self, cookie: &str) -> Result<(), CredentialError> {
        self.remove(SESSIONS, &hash(cookie))
    }

    /// Keeps for which key an SVID was issued.
    pub(crate) fn put_issued(&self, id: &SpiffeId, key: &SpkiHash) -> Result<(), CredentialError> {
        self.put(ISSUED, &id.to_string(), key)
    }

    /// For which key an SVID was last issued here.
    pub(crate) fn issued(&self, id: &SpiffeId) -> Result<Option<SpkiHash>, CredentialError> {
        self.read(ISSUED, &id.to_string())
    }

    fn forget_old_sessions(&self, now: Millis) -> Result<(), CredentialError> {
        self.with_write(|transaction| {
            let mut table = transaction.open_table(SESSIONS)?;
            let expiry = |json: &[u8]| {
                serde_json::from_slice::<Session>(json).map_or(Millis(0), |s| s.expires_at)
            };
            table.retain(|_, json| expiry(json) > now)?;
            let mut kept: Vec<(Millis, String)> = table
                .iter()?
                .filter_map(Result::ok)
                .map(|(key, json)| (expiry(json.value()), key.value().to_owned()))
                .collect();
            kept.sort();
            for (_, key) in kept.iter().take(kept.len().saturating_sub(MAX_SESSIONS - 1)) {
                table.remove(key.as_str())?;
            }
            Ok(())
        })
    }

    fn put(
        &self,
        table: JsonById<'_>,
        id: &str,
        value: &impl Serialize,
    ) -> Result<(), CredentialError> {
        self.with_write(|transaction| {
            transaction.open_table(table)?.insert(id, to_json(value)?.as_slice())?;
            Ok(())
        })
    }

    fn remove(&self, table: JsonById<'_>, id: &str) -> Result<(), CredentialError> {
        self.with_write(|transaction| {
            transaction.open_table(table)?.remove(id)?;
            Ok(())
        })
    }

    fn read<T: DeserializeOwned>(
        &self,
        table: JsonById<'_>,
        id: &str,
    ) -> Result<Option<T>, CredentialError> {
        let read = || -> Result<Option<T>, redb::Error> {
            let table = self.database.begin_read()?.open_table(table)?;
            Ok(table.get(id)?.and_then(|json| serde_json::from_slice(json.value()).ok()))
        };
        read().map_err(|error| self.error(&error))
    }

    fn unreadable_tokens(&self) -> Result<usize, CredentialError> {
        let count = || -> Result<usize, redb::Error> {
            let table = self.database.begin_read()?.open_table(API_TOKENS)?;
            let mut unreadable = 0;
            for entry in table.iter()? {
                let readable = serde_json::from_slice::<ApiToken>(entry?.1.value()).is_ok();
                unreadable += usize::from(!readable);
            }
            Ok(unreadable)
        };
        count().map_err(|error| self.error(&error))
    }

    fn all<T: DeserializeOwned>(&self, table: JsonById<'_>) -> Result<Vec<T>, CredentialError> {
        let read = || -> Result<Vec<T>, redb::Error> {
            let table = self.database.begin_read()?.open_table(table)?;
            let mut all = Vec::new();
            for entry in table.iter()? {
                all.extend(serde_json::from_slice(entry?.1.value()).ok());
            }
            Ok(all)
        };
        read().map_err(|error| self.error(&error))
    }

    fn with_write<T>(
        &self,
        write: impl FnOnce(&redb::WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, CredentialError> {
        let commit = || -> Result<T, redb::Error> {
            let transaction = self.database.begin_write()?;
            let done = write(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        commit().map_err(|error| self.error(&error))
    }

    fn error(&self, reason: &redb::Error) -> CredentialError {
        CredentialError::Store { path: self.path.clone(), reason: reason.to_string() }
    }
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>, redb::Error> {
    serde_json::to_vec(value).map_err(|error| redb::Error::Io(std::io::Error::other(error)))
}

fn try_open(path: &Path) -> Result<Database, redb::Error> {
    // redb asserts on some damaged files; a damaged file is no reason to go down.
    std::panic::catch_unwind(|| {
        let mut builder = Database::builder();
        builder.set_cache_size(1 << 20);
        let database = builder.create(path)?;
        let transaction = database.begin_write()?;
        for table in [API_TOKENS, SESSIONS, ISSUED] {
            transaction.open_table(table)?;
        }
        transaction.commit()?;
        Ok(database)
    })
    .unwrap_or_else(|_| Err(redb::Error::Corrupted("the file is damaged".into())))
}

fn looks_damaged(error: &redb::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    matches!(error, redb::Error::Io(io) if matches!(io.kind(), InvalidData | UnexpectedEof))
}

fn random_text(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    rand::rng().fill_bytes(&mut random);
    URL_SAFE_NO_PAD.encode(random)
}

fn hash(secret: &str) -> String {
    blake3::derive_key("holm 2026-11 credential", secret.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Equality that takes the same time wherever two hashes differ.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Credentials) {
        let dir = tempfile::tempdir().expect("a folder");
        let (store, report) =
            Credentials::open(&dir.path().join("node.redb"), Millis(1)).expect("opens");
        assert_eq!(report, None);
        (dir, store)
    }

    #[test]
    fn a_token_names_its_tenant_and_role_until_it_is_revoked() {
        let (_dir, store) = store();
        let acme = TenantId::new("acme").expect("valid");
        let (token, text) = store.create_token(&acme, Role::Viewer, "ci", Millis(1)).expect("made");
        let caller = store.caller_by_token(&text).expect("known");
        assert_eq!((caller.tenant, caller.role), (acme.clone(), Role::Viewer));
        let mut other = text.clone();
        other.pop();
        assert_eq!(store.caller_by_token(&other), None);
        assert_eq!(store.caller_by_token("holm_api_"), None);
        let foreign = TenantId::new("other").expect("valid");
        assert!(store.revoke_token(&foreign, &token.id).is_err(), "another tenant's token");
        store.revoke_token(&acme, &token.id).expect("revoked");
        assert_eq!(store.caller_by_token(&text), None);
        let stored = std::fs::read(&store.path).expect("reads");
        let secret = text.split_once('.').expect("has a secret").1.as_bytes();
        assert!(!stored.windows(secret.len()).any(|window| window == secret));
    }

    #[test]
    fn a_login_code_is_worth_one_session_once_and_in_time() {
        let (_dir, store) = store();
        let acme = TenantId::new("acme").expect("valid");
        let code = store.create_login_code(&acme, Role::Admin, "me", Millis(1)).expect("made");
        let cookie = store.redeem_login_code(&code, Millis(2)).expect("works").expect("valid");
        assert_eq!(store.redeem_login_code(&code, Millis(3)).expect("works"), None);
        let caller = store.caller_by_cookie(&cookie, Millis(4)).expect("a session");
        assert!(caller.by_cookie && caller.role == Role::Admin);
        assert_eq!(store.caller_by_cookie(&cookie, Millis(2) + SESSION_MS), None);
        store.end_session(&cookie).expect("ended");
        assert_eq!(store.caller_by_cookie(&cookie, Millis(5)), None);
        let late = store.create_login_code(&acme, Role::Admin, "me", Millis(1)).expect("made");
        assert_eq!(store.redeem_login_code(&late, Millis(1) + LOGIN_LINK_MS).expect("works"), None);
    }

    #[test]
    fn a_damaged_file_is_moved_aside_and_reported() {
        let (dir, store) = store();
        drop(store);
        let path = dir.path().join("node.redb");
        std::fs::write(&path, [0x5a; 4096]).expect("written");
        let (store, report) = Credentials::open(&path, Millis(9)).expect("opens");
        assert!(report.expect("reported").contains("damaged-9"));
        assert!(store.tokens().expect("reads").is_empty());
    }
}
