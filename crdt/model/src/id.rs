//! Names of tenants, sites and nodes: one grammar, three types.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest name in bytes: that of a DNS label (RFC 1035 §2.3.4), so a name may stand in a host name.
pub const MAX_NAME_BYTES: usize = 63;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} \"{value}\" is not valid: {reason}; use 1 to 63 of a-z, 0-9 and '-', not first or last"
)]
pub struct NameError {
    what: &'static str,
    value: String,
    reason: &'static str,
}

fn check(what: &'static str, value: &str) -> Result<(), NameError> {
    let refuse = |reason| Err(NameError { what, value: value.chars().take(80).collect(), reason });
    if value.is_empty() {
        return refuse("it is empty");
    }
    if value.len() > MAX_NAME_BYTES {
        return refuse("it is longer than 63 bytes");
    }
    if value.starts_with('-') || value.ends_with('-') {
        return refuse("it starts or ends with '-'");
    }
    if !value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return refuse("it has another character");
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// 1 to 63 of `a-z`, `0-9` and `-` (not first or last): valid in a DNS label and in a
        /// SPIFFE ID path segment (SPIFFE-ID §2.2).
        #[derive(Debug, Clone, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        // By their text; clones of one name share it, and are not read to be compared.
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
            }
        }

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.0.hash(state);
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                if Arc::ptr_eq(&self.0, &other.0) {
                    return Ordering::Equal;
                }
                self.0.cmp(&other.0)
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl $name {
            /// Parses `value`.
            ///
            /// # Errors
            /// [`NameError`] names the value and the rule that it breaks.
            pub fn new(value: &str) -> Result<Self, NameError> {
                check($what, value)?;
                Ok(Self(value.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(value: &str) -> Result<Self, NameError> {
                Self::new(value)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(value: String) -> Result<Self, NameError> {
                Self::new(&value)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                String::from(&*name.0)
            }
        }
    };
}

name!(
    /// A tenant: the outermost scope of every record, query, key, file and message.
    TenantId,
    "tenant"
);
name!(
    /// A site: a place with one or more nodes.
    SiteId,
    "site"
);
name!(
    /// A node's name within its site.
    NodeName,
    "node"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_dns_label_grammar() {
        for good in ["a", "berlin", "dc-1", "0", &"x".repeat(63)] {
            assert_eq!(SiteId::new(good).expect("a good name").as_str(), good);
        }
        for bad in ["", "-a", "a-", "Berlin", "a.b", "a_b", "ü", "a|b", &"x".repeat(64)] {
            let error = SiteId::new(bad).expect_err("a bad name").to_string();
            assert!(error.starts_with("site \""), "{error}");
        }
    }

    #[test]
    fn a_bad_name_is_refused_when_read_from_json() {
        assert!(serde_json::from_str::<TenantId>("\"Not Valid\"").is_err());
        assert_eq!(serde_json::from_str::<TenantId>("\"acme\"").expect("valid").as_str(), "acme");
    }
}
