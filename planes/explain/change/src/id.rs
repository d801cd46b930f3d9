//! What a change is called: the same wherever and however often it was delivered.

use std::fmt;
use std::str::FromStr;

/// A change. It follows from its source and what was delivered, so that two nodes that take one delivery
/// write one change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId(u128);

/// Crockford's base 32: no letter looks like a digit.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Five bits each: 80 in all.
const LENGTH: usize = 16;

impl ChangeId {
    /// Before and after all others.
    pub(crate) const LEAST: Self = Self(0);
    pub(crate) const GREATEST: Self = Self(u128::MAX);

    /// Of what tells it from all others, each part preceded by its length.
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("holm change id v1");
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        let hash = hasher.finalize();
        let number = hash.as_bytes()[..10].iter().fold(0, |n: u128, b| n << 8 | u128::from(*b));
        Self(number)
    }

    /// Of a decision that was taken here, by what tells it from all others.
    pub fn of_policy(area: &str, name: &str, writer: &str, number: u64) -> Self {
        let parts = [area, name, writer].map(str::as_bytes);
        Self::of(&[b"policy", parts[0], parts[1], parts[2], &number.to_le_bytes()])
    }

    /// Of an act that the roster holds: its kind, and what tells it from all others.
    pub fn of_roster(kind: &str, parts: &[&[u8]]) -> Self {
        let mut all: Vec<&[u8]> = vec![b"roster", kind.as_bytes()];
        all.extend(parts);
        Self::of(&all)
    }

    /// The key of its record among those of a node.
    pub fn record_key(self) -> String {
        self.to_string()
    }
}

/// A number in base 32.
pub(crate) fn base32(number: u128, digits: usize) -> String {
    let digit = |place: usize| DIGITS[(number >> (5 * place) & 31) as usize];
    (0..digits).rev().map(|place| char::from(digit(place))).collect()
}

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c-{}", base32(self.0, LENGTH))
    }
}

impl fmt::Debug for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChangeId({self})")
    }
}

impl FromStr for ChangeId {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "a change's id is c- and 16 letters and digits";
        let digits =
            text.strip_prefix("c-").filter(|digits| digits.len() == LENGTH).ok_or(WRONG)?;
        let number = digits.bytes().try_fold(0_u128, |number, byte| {
            let digit = DIGITS.iter().position(|d| *d == byte)?;
            Some(number << 5 | digit as u128)
        });
        number.map(Self).ok_or(WRONG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        for parts in [&[b"a".as_slice()][..], &[b"a", b"b"], &[b"ab"], &[]] {
            let id = ChangeId::of(parts);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert_ne!(ChangeId::of(&[b"a", b"b"]), ChangeId::of(&[b"ab"]));
        for wrong in ["", "c-", "i-0000000000000000", "c-000000000000000", "c-000000000000000u"] {
            assert!(wrong.parse::<ChangeId>().is_err(), "{wrong}");
        }
    }
}
