//! Offsets of kernel structures, from the running kernel's own type information.
//!
//! The format is that of Documentation/bpf/btf.rst: a header, a section of type records and one of
//! names. The bytes come from the kernel, yet every read is checked: a file that is cut off or
//! damaged gives no offset, never a panic and never a loop without an end.

use hashbrown::HashMap;

/// Largest file that is read: several times that of any kernel seen.
pub(crate) const MAX_BTF_BYTES: u64 = 64 << 20;
const MAGIC: u16 = 0xeb9f;
/// How many structures within structures are walked.
const MAX_DEPTH: usize = 32;

const KIND_INT: u32 = 1;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;
const LAST_KIND: u32 = KIND_ENUM64;

/// Why type information could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// It does not start as type information does.
    #[error("the kernel's type information does not start with a BTF header of version 1")]
    Header,
    /// A record reaches beyond the end or is of an unknown kind.
    #[error("the kernel's type information is damaged at type {0}")]
    Record(u32),
}

/// Parsed type information: where each record lies.
pub struct Btf<'a> {
    types: &'a [u8],
    names: &'a [u8],
    /// Position of type `i + 1` in `types`.
    records: Vec<u32>,
    structs: HashMap<&'a [u8], u32>,
}

impl<'a> Btf<'a> {
    /// Finds every record of `bytes`.
    ///
    /// # Errors
    /// The header or a record is not valid.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        let (types, names) = sections(bytes).ok_or(BtfError::Header)?;
        let mut btf = Self { types, names, records: Vec::new(), structs: HashMap::new() };
        let mut at = 0;
        while at < types.len() {
            let id = btf.records.len() as u32 + 1;
            let record = btf.read(at).ok_or(BtfError::Record(id))?;
            let next = record.end.filter(|&end| end <= types.len()).ok_or(BtfError::Record(id))?;
            btf.records.push(u32::try_from(at).map_err(|_| BtfError::Record(id))?);
            if record.kind == KIND_STRUCT
                && let Some(name) = btf.name(record.name)
                && !name.is_empty()
            {
                btf.structs.entry(name).or_insert(id);
            }
            at = next;
        }
        Ok(btf)
    }

    /// Offset in bytes of `path` (`skc_net.net`) within `struct of`; members of anonymous structures
    /// and unions count as the outer one's. `None` where there is none, or where it is a bit field.
    pub fn offset(&self, of: &str, path: &str) -> Option<u32> {
        let mut within = *self.structs.get(of.as_bytes())?;
        let mut bits: u32 = 0;
        for part in path.split('.') {
            let (offset, member) = self.member(within, part.as_bytes(), 0)?;
            bits = bits.checked_add(offset)?;
            within = member;
        }
        bits.is_multiple_of(8).then_some(bits / 8)
    }

    /// Bit offset and type of the member `name` of the structure `id`.
    fn member(&self, id: u32, name: &[u8], depth: usize) -> Option<(u32, u32)> {
        if depth > MAX_DEPTH {
            return None;
        }
        let record = self.resolve(id)?;
        if !matches!(record.kind, KIND_STRUCT | KIND_UNION) {
            return None;
        }
        let mut anonymous = Vec::new();
        for i in 0..record.members as usize {
            let at = record.body + i * 12;
            let offset = self.word(at + 8)?;
            // With the flag the upper eight bits are the size of a bit field.
            if record.flag && offset >> 24 != 0 {
                continue;
            }
            let offset = if record.flag { offset & 0x00ff_ffff } else { offset };
            let (member_name, member) = (self.name(self.word(at)?)?, self.word(at + 4)?);
            if member_name == name {
                return Some((offset, member));
            }
            if member_name.is_empty() {
                anonymous.push((offset, member));
            }
        }
        anonymous.into_iter().find_map(|(outer, member)| {
            let (inner, found) = self.member(member, name, depth + 1)?;
            Some((outer.checked_add(inner)?, found))
        })
    }

    /// The record of `id`, through names and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<Record> {
        for _ in 0..MAX_DEPTH {
            let at = *self.records.get(id.checked_sub(1)? as usize)?;
            let record = self.read(at as usize)?;
            match record.kind {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_TYPE_TAG => {
                    id = record.size_or_type
                }
                _ => return Some(record),
            }
        }
        None
    }

    fn read(&self, at: usize) -> Option<Record> {
        let info = self.word(at + 4)?;
        let (kind, members) = (info >> 24 & 0x1f, info & 0xffff);
        if kind == 0 || kind > LAST_KIND {
            return None;
        }
        let body = at + 12;
        let extra = match kind {
            KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
            KIND_ARRAY => 12,
            KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => 12 * members as usize,
            KIND_ENUM | KIND_FUNC_PROTO => 8 * members as usize,
            _ => 0,
        };
        Some(Record {
            name: self.word(at)?,
            kind,
            flag: info >> 31 == 1,
            members,
            size_or_type: self.word(at + 8)?,
            body,
            end: body.checked_add(extra),
        })
    }

    fn word(&self, at: usize) -> Option<u32> {
        let bytes = self.types.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }

    fn name(&self, at: u32) -> Option<&'a [u8]> {
        let rest = self.names.get(at as usize..)?;
        let end = rest.iter().position(|&b| b == 0)?;
        rest.get(..end)
    }
}

struct Record {
    name: u32,
    kind: u32,
    flag: bool,
    members: u32,
    size_or_type: u32,
    body: usize,
    end: Option<usize>,
}

/// The type and the name section (`struct btf_header`).
fn sections(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let word = |at: usize| {
        let bytes = bytes.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    };
    let magic = u16::from_le_bytes(bytes.get(..2)?.try_into().ok()?);
    if magic != MAGIC || *bytes.get(2)? != 1 {
        return None;
    }
    let header = word(4)?;
    let section = |offset: usize, len: usize| {
        let start = header.checked_add(offset)?;
        bytes.get(start..start.checked_add(len)?)
    };
    Some((section(word(8)?, word(12)?)?, section(word(16)?, word(20)?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    /// `struct sock { union { int a; struct { int pad; int b; }; }; int flag:3; }` and `int`.
    fn small() -> Vec<u8> {
        let names = b"\0sock\0a\0pad\0b\0int\0flag\0";
        let types = words(&[
            14,
            KIND_INT << 24,
            4,
            32, // 1: int
            0,
            KIND_STRUCT << 24 | 2,
            8,
            8,
            1,
            0,
            12,
            1,
            32, // 2: struct { pad; b; }
            0,
            KIND_UNION << 24 | 2,
            8,
            6,
            1,
            0,
            0,
            2,
            0, // 3: union { a; 2 }
            1,
            1 << 31 | KIND_STRUCT << 24 | 2,
            16,
            0,
            3,
            32,
            18,
            1,
            3 << 24 | 96, // 4: struct sock
        ]);
        let mut bytes = words(&[0x0001_eb9f, 24, 0, types.len() as u32, types.len() as u32]);
        bytes.extend(words(&[names.len() as u32]));
        bytes.extend(types);
        bytes.extend(names);
        bytes
    }

    #[test]
    fn members_of_anonymous_structures_are_found() {
        let bytes = small();
        let btf = Btf::parse(&bytes).expect("valid");
        assert_eq!(btf.offset("sock", "a"), Some(4));
        assert_eq!(btf.offset("sock", "b"), Some(8));
        assert_eq!(btf.offset("sock", "flag"), None, "a bit field has no offset in bytes");
        assert_eq!(btf.offset("sock", "c"), None);
        assert_eq!(btf.offset("socket", "a"), None);
        assert_eq!(btf.offset("sock", "a.b"), None, "an int has no members");
    }

    #[test]
    fn damaged_type_information_gives_no_panic() {
        let whole = small();
        for cut in 0..whole.len() {
            let parsed = Btf::parse(&whole[..cut]);
            assert!(parsed.is_err(), "cut at {cut}");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                if let Ok(btf) = Btf::parse(&bytes) {
                    let _ = btf.offset("sock", "b");
                    let _ = btf.offset("sock", "a.b.c");
                }
            }
        }
    }

    #[test]
    fn a_structure_that_holds_itself_ends() {
        let types = words(&[1, KIND_STRUCT << 24 | 1, 8, 0, 1, 0, 0, KIND_TYPEDEF << 24, 2]);
        let mut bytes = words(&[0x0001_eb9f, 24, 0, types.len() as u32, types.len() as u32, 6]);
        bytes.extend(types);
        bytes.extend(b"\0sock\0");
        let btf = Btf::parse(&bytes).expect("well formed");
        assert_eq!(btf.offset("sock", "a"), None);
    }

    #[test]
    fn the_running_kernel_gives_its_offsets() {
        let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            println!("skipped: this kernel gives no type information (/sys/kernel/btf/vmlinux)");
            return;
        };
        let btf = Btf::parse(&bytes).expect("valid");
        for (of, path) in [
            ("sock", "__sk_common.skc_net.net"),
            ("sock", "__sk_common.skc_flags"),
            ("net", "ns.inum"),
            ("tcp_sock", "bytes_received"),
            ("task_struct", "group_leader"),
            ("task_struct", "start_boottime"),
        ] {
            let offset = btf.offset(of, path);
            assert!(offset.is_some_and(|o| o < 0x10000), "{of}.{path}: {offset:?}");
        }
        assert_eq!(btf.offset("sock", "__sk_common"), Some(0));
        for cut in (0..bytes.len()).step_by(bytes.len() / 50 + 1) {
            let _ = Btf::parse(&bytes[..cut]);
        }
    }
}
