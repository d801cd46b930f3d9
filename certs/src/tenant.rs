//! Tenants in the mesh: an authority key each, an opaque tag, rights, and which name a tag has here.
//!
//! The **tag** is the first 16 bytes of SHA-256(`"holm tenant tag v1" 00 | authority's SPKI`). It is
//! made of the public key and of nothing else: anything computed from the name could be found by
//! trying names. Statements bear the tag; the name travels sealed (`delivery`).
//!
//! Anybody can call a tenant of their own "acme". So a node never takes "which tag is acme" from the
//! mesh alone: [`TenantNames`] binds a name to one tag for good, and says so when another wants it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::BitOr;
use std::str::FromStr;

use holm_model::TenantId;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::bytes::{hex, unhex};
use crate::key::{KeyError, NodeKey, SubjectPublicKey};

const TAG_CONTEXT: &[u8] = b"holm tenant tag v1\0";
/// Most names that a node binds.
pub const MAX_TENANT_NAMES: usize = 1024;

/// A tenant as the mesh knows it: says nothing of its name. Written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantTag(pub [u8; 16]);

impl TenantTag {
    /// The tag of the tenant whose authority has this key.
    pub fn of(authority: &SubjectPublicKey) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(TAG_CONTEXT);
        context.update(authority.as_der());
        let mut tag = [0; 16];
        tag.copy_from_slice(&context.finish().as_ref()[..16]);
        Self(tag)
    }
}

impl fmt::Display for TenantTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for TenantTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantTag({self})")
    }
}

impl FromStr for TenantTag {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        unhex(text).map(Self).ok_or("a tenant tag is 32 hex digits")
    }
}

impl TryFrom<String> for TenantTag {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TenantTag> for String {
    fn from(tag: TenantTag) -> Self {
        tag.to_string()
    }
}

/// What a site may do with a tenant. Neither right includes the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// Ask other sites for what they hold of it.
    Query,
    /// Hold its documents and receive its hints.
    Replicate,
}

/// A set of [`Right`]s.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rights(u8);

impl Rights {
    /// No right.
    pub const NONE: Self = Self(0);
    /// To query.
    pub const QUERY: Self = Self(1);
    /// To replicate.
    pub const REPLICATE: Self = Self(2);
    /// Both.
    pub const BOTH: Self = Self(3);

    /// Whether `right` is in the set.
    pub fn contains(self, right: Right) -> bool {
        self.0 & Self::from(right).0 != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    pub(crate) fn to_bits(self) -> u8 {
        self.0
    }

    /// `None` for a bit that has no meaning.
    pub(crate) fn from_bits(bits: u8) -> Option<Self> {
        (bits & !Self::BOTH.0 == 0).then_some(Self(bits))
    }
}

impl From<Right> for Rights {
    fn from(right: Right) -> Self {
        match right {
            Right::Query => Self::QUERY,
            Right::Replicate => Self::REPLICATE,
        }
    }
}

impl BitOr for Rights {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Rights {
    /// `replicate`, `query`, `replicate,query` or `none`: what [`Rights::from_str`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::NONE => "none",
            Self::QUERY => "query",
            Self::REPLICATE => "replicate",
            _ => "replicate,query",
        })
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rights({self})")
    }
}

impl FromStr for Rights {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',').try_fold(Self::NONE, |rights, word| match word.trim() {
            "query" => Ok(rights | Self::QUERY),
            "replicate" => Ok(rights | Self::REPLICATE),
            _ => Err("rights are \"replicate\", \"query\", or both with a comma between"),
        })
    }
}

/// A tenant's own signing key: says which sites may do what with it. Kept by the tenant.
pub struct TenantAuthority {
    tenant: TenantId,
    key: NodeKey,
}

impl TenantAuthority {
    /// Makes a new authority for `tenant`.
    ///
    /// # Errors
    /// [`KeyError::Crypto`] if the machine gives no randomness.
    pub fn create(tenant: TenantId) -> Result<Self, KeyError> {
        Ok(Self { tenant, key: NodeKey::generate()? })
    }

    /// Reads what [`TenantAuthority::to_pem`] wrote.
    ///
    /// # Errors
    /// [`KeyError::PrivateKey`] if it is something else or not a P-256 key.
    pub fn from_pem(tenant: TenantId, text: &str) -> Result<Self, KeyError> {
        Ok(Self { tenant, key: NodeKey::from_pem(text)? })
    }

    /// The key as PEM. A secret: wiped when dropped. The name is not in it.
    pub fn to_pem(&self) -> Zeroizing<String> {
        self.key.to_pem()
    }

    /// The tenant's name. It never leaves this value unsealed.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The public half: what an issuer or the root signs a [`crate::TenantCreation`] for.
    pub fn public_key(&self) -> &SubjectPublicKey {
        self.key.public_key()
    }

    /// The tenant's tag.
    pub fn tag(&self) -> TenantTag {
        TenantTag::of(self.public_key())
    }

    pub(crate) fn key(&self) -> &NodeKey {
        &self.key
    }
}

impl fmt::Debug for TenantAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantAuthority({}, {})", self.tenant, self.tag())
    }
}

/// Why a name was not bound. The bindings are as they were.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TenantNameError {
    /// The tag has another name here.
    #[error("the tenant {tag} is called {bound} here, and now {offered}; it keeps its name")]
    Renamed {
        /// The tenant.
        tag: TenantTag,
        /// Its name here.
        bound: TenantId,
        /// The other name.
        offered: TenantId,
    },
    /// The name belongs to another tag.
    #[error(
        "the name {name} belongs to the tenant {bound} here; the tenant {offered} that also calls itself so is not taken: ask its owner which of the two is meant, and erase the other first"
    )]
    Taken {
        /// The name.
        name: TenantId,
        /// Whose it is here.
        bound: TenantTag,
        /// Who wants it.
        offered: TenantTag,
    },
    /// Too many names.
    #[error("this node knows {MAX_TENANT_NAMES} tenants already; erase one that is over")]
    Full,
}

/// Which tag a tenant's name means on this node. One to one, first come, for good.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<TenantId, TenantTag>", into = "BTreeMap<TenantId, TenantTag>")]
pub struct TenantNames(BTreeMap<TenantId, TenantTag>);

impl TenantNames {
    /// Binds `name` to `tag`. Says whether that was news.
    ///
    /// A name that stands for data made here without the mesh must be bound before any is taken
    /// from a delivery, else a stranger's tenant of that name would get at it.
    ///
    /// # Errors
    /// [`TenantNameError`] if either is bound elsewhere.
    pub fn bind(&mut self, name: &TenantId, tag: TenantTag) -> Result<bool, TenantNameError> {
        if let Some(&bound) = self.0.get(name) {
            let (name, offered) = (name.clone(), tag);
            return if bound == tag {
                Ok(false)
            } else {
                Err(TenantNameError::Taken { name, bound, offered })
            };
        }
        if let Some(bound) = self.name_of(tag) {
            let (bound, offered) = (bound.clone(), name.clone());
            return Err(TenantNameError::Renamed { tag, bound, offered });
        }
        if self.0.len() >= MAX_TENANT_NAMES {
            return Err(TenantNameError::Full);
        }
        self.0.insert(name.clone(), tag);
        Ok(true)
    }

    /// Forgets a tenant that was erased here.
    pub fn forget(&mut self, name: &TenantId) {
        self.0.remove(name);
    }

    /// The tag that `name` means here.
    pub fn tag_of(&self, name: &TenantId) -> Option<TenantTag> {
        self.0.get(name).copied()
    }

    /// What `tag` is called here.
    pub fn name_of(&self, tag: TenantTag) -> Option<&TenantId> {
        self.0.iter().find(|(_, bound)| **bound == tag).map(|(name, _)| name)
    }

    /// Every binding, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&TenantId, TenantTag)> {
        self.0.iter().map(|(name, &tag)| (name, tag))
    }
}

impl TryFrom<BTreeMap<TenantId, TenantTag>> for TenantNames {
    type Error = TenantNameError;
    fn try_from(map: BTreeMap<TenantId, TenantTag>) -> Result<Self, TenantNameError> {
        let mut names = Self::default();
        for (name, tag) in &map {
            names.bind(name, *tag)?;
        }
        Ok(names)
    }
}

impl From<TenantNames> for BTreeMap<TenantId, TenantTag> {
    fn from(names: TenantNames) -> Self {
        names.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> TenantId {
        TenantId::new(text).expect("a name")
    }

    #[test]
    fn a_tag_is_of_the_key_and_not_of_the_name() {
        let acme = TenantAuthority::create(name("acme")).expect("an authority");
        let renamed = TenantAuthority::from_pem(name("other"), &acme.to_pem()).expect("reads");
        assert_eq!(acme.tag(), renamed.tag());
        assert_ne!(acme.tag(), TenantAuthority::create(name("acme")).expect("another").tag());
        assert_eq!(acme.tag().to_string().parse(), Ok(acme.tag()));
        assert!("00".parse::<TenantTag>().is_err());
    }

    #[test]
    fn a_name_stays_with_the_tag_that_had_it_first() {
        let (a, b) = (TenantTag([1; 16]), TenantTag([2; 16]));
        let mut names = TenantNames::default();
        assert_eq!(names.bind(&name("acme"), a), Ok(true));
        assert_eq!(names.bind(&name("acme"), a), Ok(false));
        let taken = names.bind(&name("acme"), b).expect_err("a stranger");
        assert!(matches!(taken, TenantNameError::Taken { .. }), "{taken}");
        let renamed = names.bind(&name("acme2"), a).expect_err("a second name");
        assert!(matches!(renamed, TenantNameError::Renamed { .. }), "{renamed}");
        let json = serde_json::to_string(&names).expect("json");
        assert_eq!(serde_json::from_str::<TenantNames>(&json).expect("reads back"), names);
        let twice = format!("{{\"x\":\"{a}\",\"y\":\"{a}\"}}");
        assert!(serde_json::from_str::<TenantNames>(&twice).is_err(), "one tag, two names");
        names.forget(&name("acme"));
        assert_eq!(names.bind(&name("acme"), b), Ok(true));
    }

    #[test]
    fn rights_are_read_as_they_are_written() {
        for rights in [Rights::QUERY, Rights::REPLICATE, Rights::BOTH] {
            assert_eq!(rights.to_string().parse(), Ok(rights));
            assert_eq!(Rights::from_bits(rights.to_bits()), Some(rights));
        }
        assert!("".parse::<Rights>().is_err() && "write".parse::<Rights>().is_err());
        assert_eq!(Rights::from_bits(4), None);
        assert!(!Rights::QUERY.contains(Right::Replicate));
        assert!(Rights::BOTH.contains(Right::Replicate) && Rights::BOTH.contains(Right::Query));
    }
}
