//! Names of replicated documents and of their versions.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Millis, TenantId};

/// What a replicated document holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DocKind {
    /// How alert rules stand at one site.
    Alert,
    /// What one site's nodes took of changes that somebody made.
    Change,
    /// What one site's nodes and people said about faults.
    Incident,
    /// Who was told of what is wrong, and what became of it.
    Page,
    /// What people decided that shall be so: objectives, for one.
    Policy,
    /// Signed statements of the mesh's authorities; read as a monotone set.
    Roster,
    /// What one site's nodes counted for objectives.
    #[serde(rename = "slo-ledger")]
    SloLedger,
    /// How tests stand at one site, and what is said of its nodes that run them.
    Test,
    /// What one site saw to exist, and when.
    Topology,
}

impl DocKind {
    /// The kind as it stands in a document's header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Change => "change",
            Self::Incident => "incident",
            Self::Page => "page",
            Self::Policy => "policy",
            Self::Roster => "roster",
            Self::SloLedger => "slo-ledger",
            Self::Test => "test",
            Self::Topology => "topology",
        }
    }
}

macro_rules! bytes16 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(pub [u8; 16]);

        impl Ord for $name {
            /// By their bytes, compared as one number.
            fn cmp(&self, other: &Self) -> Ordering {
                u128::from_be_bytes(self.0).cmp(&u128::from_be_bytes(other.0))
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

bytes16!(
    /// A document: the first 16 bytes of a hash of its tenant, kind and key.
    DocId
);
bytes16!(
    /// A document's version: the first 16 bytes of a hash of its sorted heads. Two replicas with
    /// the same digest hold the same changes.
    HeadsDigest
);

/// One version of one document: what hints carry and reconciliation compares.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DocVersion {
    /// Whose document it is.
    pub tenant: TenantId,
    /// Which document.
    pub doc: DocId,
    /// Digest of its heads.
    pub heads: HeadsDigest,
    /// Time of its latest change, taken from the document and never from the reader's clock, so
    /// that every replica orders it alike.
    pub changed_at: Millis,
}
