//! NameConstraints, read strictly (RFC 5280 §4.2.1.10).
//!
//! x509-parser passes over what it cannot read inside this extension, which would lift a constraint.
//! Here every byte is accounted for, or the extension is refused.

use x509_parser::extensions::GeneralName;

use crate::bytes::read_tlv;

const SEQUENCE: u8 = 0x30;
const PERMITTED: u8 = 0xa0;
const EXCLUDED: u8 = 0xa1;

/// GeneralName's tag of a uniformResourceIdentifier.
pub(crate) const URI: u8 = 0x86;
/// GeneralName's tag of a directoryName.
pub(crate) const DIRECTORY_NAME: u8 = 0xa4;

/// The base of one subtree: which kind of name, and its bytes.
pub(crate) struct Base<'a> {
    pub(crate) kind: u8,
    pub(crate) value: &'a [u8],
}

/// The two lists.
#[derive(Default)]
pub(crate) struct NameConstraints<'a> {
    pub(crate) permitted: Vec<Base<'a>>,
    pub(crate) excluded: Vec<Base<'a>>,
}

impl<'a> NameConstraints<'a> {
    /// `None` if a byte is not where the RFC puts it.
    pub(crate) fn parse(value: &'a [u8]) -> Option<Self> {
        let whole =
            read_tlv(value).filter(|whole| whole.tag == SEQUENCE && whole.rest.is_empty())?;
        let mut constraints = Self::default();
        let mut rest = whole.content;
        for (tag, list) in
            [(PERMITTED, &mut constraints.permitted), (EXCLUDED, &mut constraints.excluded)]
        {
            if rest.first() == Some(&tag) {
                let trees = read_tlv(rest)?;
                *list = subtrees(trees.content)?;
                rest = trees.rest;
            }
        }
        // "Conforming CAs MUST NOT issue certificates where name constraints is an empty sequence."
        let empty = constraints.permitted.is_empty() && constraints.excluded.is_empty();
        (rest.is_empty() && !empty).then_some(constraints)
    }

    pub(crate) fn bases(&self) -> impl Iterator<Item = &Base<'a>> {
        self.permitted.iter().chain(&self.excluded)
    }
}

/// "minimum MUST be zero, and maximum MUST be absent": a subtree is its base alone.
fn subtrees(mut trees: &[u8]) -> Option<Vec<Base<'_>>> {
    let mut bases = Vec::new();
    while !trees.is_empty() {
        let tree = read_tlv(trees).filter(|tree| tree.tag == SEQUENCE)?;
        let base = read_tlv(tree.content).filter(|base| base.rest.is_empty())?;
        bases.push(Base { kind: base.tag, value: base.content });
        trees = tree.rest;
    }
    (!bases.is_empty()).then_some(bases)
}

/// The tag that a GeneralName of this kind has.
pub(crate) fn kind_of(name: &GeneralName<'_>) -> u8 {
    match name {
        GeneralName::OtherName(..) => 0xa0,
        GeneralName::RFC822Name(_) => 0x81,
        GeneralName::DNSName(_) => 0x82,
        GeneralName::X400Address(_) => 0xa3,
        GeneralName::DirectoryName(_) => DIRECTORY_NAME,
        GeneralName::EDIPartyName(_) => 0xa5,
        GeneralName::URI(_) => URI,
        GeneralName::IPAddress(_) => 0x87,
        GeneralName::RegisteredID(_) => 0x88,
        GeneralName::Invalid(..) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_accounted_for() {
        let good = [0x30, 8, 0xa0, 6, 0x30, 4, 0x86, 2, b'a', b'b'];
        let parsed = NameConstraints::parse(&good).expect("reads");
        assert_eq!((parsed.permitted[0].kind, parsed.permitted[0].value), (URI, &b"ab"[..]));
        for bad in [
            &[][..],
            &[0x30, 0],
            &[0x30, 1, 0xff],
            &[0x30, 2, 0xa0, 0],
            &[0x31, 8, 0xa0, 6, 0x30, 4, 0x86, 2, b'a', b'b'],
            // A byte after the whole, inside it, and a minimum beside the base.
            &[0x30, 8, 0xa0, 6, 0x30, 4, 0x86, 2, b'a', b'b', 0],
            &[0x30, 9, 0xa0, 6, 0x30, 4, 0x86, 2, b'a', b'b', 0],
            &[0x30, 11, 0xa0, 9, 0x30, 7, 0x86, 2, b'a', b'b', 0x80, 1, 0],
            // The lists in the wrong order.
            &[0x30, 12, 0xa1, 4, 0x30, 2, 0x86, 0, 0xa0, 4, 0x30, 2, 0x86, 0],
        ] {
            assert!(NameConstraints::parse(bad).is_none(), "{bad:?}");
        }
    }
}
