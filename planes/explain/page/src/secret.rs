//! What must not be shown.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A secret: written into a tenant's sealed documents and shown to the provider, to nobody else.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(Box<str>);

impl Secret {
    /// Of a text.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text, for the provider.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
