//! What people decided, by area and name: objectives, for one. Each node keeps its own latest edit of a
//! policy, and an edit says which edits its author saw. What nobody has seen who edited later still stands: so
//! edits that were made apart stand beside each other until somebody who sees both edits again.
//!
//! No clock decides that: `at` only orders what is shown.

use std::collections::BTreeMap;

use holm_model::{Millis, NodeName, SiteId};
use prost::Message;

use crate::{NewRecord, Record, Shelf};

/// Longest content of a policy, in bytes.
pub const MAX_POLICY_BYTES: usize = 8 * 1024;
/// Longest name of an area and of a policy, in bytes.
const MAX_NAME_BYTES: usize = 63;
/// Most nodes of which an edit says what it saw.
const MAX_SEEN: usize = 128;
/// Most edits of one policy that are kept, and most policies.
const MAX_EDITS: usize = 256;
const MAX_POLICIES: usize = 20_000;

#[derive(Clone, PartialEq, Message)]
struct PackedEdit {
    #[prost(uint64, tag = "1")]
    number: u64,
    /// By `site/node`.
    #[prost(btree_map = "string, uint64", tag = "2")]
    seen: BTreeMap<String, u64>,
    #[prost(uint64, tag = "3")]
    at: u64,
    #[prost(string, tag = "4")]
    by: String,
    /// Left out: the policy was taken away.
    #[prost(bytes = "vec", optional, tag = "5")]
    content: Option<Vec<u8>>,
}

/// An edit of a policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyEdit {
    /// When it was made, by its node's clock.
    pub at: Millis,
    /// The node that wrote it, as `site/node`.
    pub writer: Box<str>,
    /// Its number among those of its node: later ones have higher ones.
    pub number: u64,
    /// Who made it.
    pub by: Box<str>,
    /// What was decided; `None` if it was taken away.
    pub content: Option<Vec<u8>>,
    /// The latest edit of each node that its author saw.
    seen: BTreeMap<Box<str>, u64>,
}

impl PolicyEdit {
    fn encode(&self) -> Vec<u8> {
        let seen = self.seen.iter().map(|(writer, number)| (writer.to_string(), *number));
        PackedEdit {
            number: self.number,
            seen: seen.collect(),
            at: self.at.0,
            by: self.by.to_string(),
            content: self.content.clone(),
        }
        .encode_to_vec()
    }

    fn decode(writer: &str, value: &[u8]) -> Option<Self> {
        let packed = PackedEdit::decode(value).ok()?;
        let fits = packed.seen.len() <= MAX_SEEN
            && packed.by.len() <= 256
            && packed.content.as_ref().is_none_or(|content| content.len() <= MAX_POLICY_BYTES);
        fits.then(|| Self {
            at: Millis(packed.at),
            writer: writer.into(),
            number: packed.number,
            by: packed.by.into(),
            content: packed.content,
            seen: packed.seen.into_iter().map(|(writer, number)| (writer.into(), number)).collect(),
        })
    }
}

/// Why a policy cannot be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The name is too long or has another character.
    #[error("{name} is no name of a policy: it has 1 to 63 small letters, digits and -")]
    Name {
        /// The beginning of the name.
        name: String,
    },
    /// The content is too long.
    #[error("it has {len} bytes, the most of a policy are {MAX_POLICY_BYTES}")]
    TooLong {
        /// How long it is.
        len: usize,
    },
    /// There are as many as there may be.
    #[error(
        "there are {MAX_POLICIES} policies, and no more are kept; take away what is not needed"
    )]
    TooMany,
}

type Key = (Box<str>, Box<str>);

/// The policies of a tenant, as all its nodes edited them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyBook {
    /// By area and name: the edits of each node, of which several stand if two of its lives wrote apart.
    edits: BTreeMap<Key, Vec<PolicyEdit>>,
    unreadable: u64,
}

impl PolicyBook {
    /// Without any.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a record, if it is a policy's; whether that was news.
    pub fn take(&mut self, record: &Record) -> bool {
        if record.shelf != Shelf::Policies {
            return false;
        }
        let Some(key) = parse_key(&record.key)
            .filter(|key| self.edits.len() < MAX_POLICIES || self.edits.contains_key(key))
        else {
            self.unreadable = self.unreadable.saturating_add(1);
            return false;
        };
        let writer = writer(&record.site, &record.node);
        let mut said: Vec<PolicyEdit> = Vec::new();
        for value in &record.values {
            match PolicyEdit::decode(&writer, value) {
                Some(edit) => said.push(edit),
                None => self.unreadable = self.unreadable.saturating_add(1),
            }
        }
        let edits = self.edits.entry(key).or_default();
        let before = edits.clone();
        // What a record says now takes the place of what it said: it is its writer's word.
        edits.retain(|edit| edit.writer != writer);
        edits.extend(said);
        edits.sort_unstable();
        edits.dedup();
        let surplus = edits.len().saturating_sub(MAX_EDITS);
        edits.drain(..surplus);
        *edits != before
    }

    /// The edits of a policy that stand, the latest first: several if they were made apart. Those that take it
    /// away are among them.
    pub fn standing(&self, area: &str, name: &str) -> Vec<&PolicyEdit> {
        let edits = self.edits.get(&(area.into(), name.into())).map_or(&[][..], Vec::as_slice);
        let seen = |edit: &&PolicyEdit| {
            edits.iter().any(|later| {
                later != *edit
                    && later.seen.get(&edit.writer).is_some_and(|number| *number >= edit.number)
            })
        };
        let mut standing: Vec<&PolicyEdit> = edits.iter().filter(|edit| !seen(edit)).collect();
        if standing.is_empty() {
            // Forged ones that each say they saw the other: none is hidden.
            standing.extend(edits);
        }
        standing.reverse();
        standing
    }

    /// The names of an area that any edit stands of, those that were taken away included.
    pub fn names(&self, area: &str) -> Vec<&str> {
        let of = self.edits.range((area.into(), Box::default())..);
        let of = of.take_while(|((of, _), _)| **of == *area);
        of.map(|((_, name), _)| &**name).collect()
    }

    /// Records that could not be read, or found no room.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// An edit that has seen all that is known here, as a record to be written on [`Shelf::Policies`].
    ///
    /// # Errors
    /// [`PolicyError`]
    pub fn edit(
        &self,
        (area, name): (&str, &str),
        (site, node): (&SiteId, &NodeName),
        by: &str,
        content: Option<Vec<u8>>,
        now: Millis,
    ) -> Result<NewRecord, PolicyError> {
        let key = format!("{area}/{name}");
        let known = parse_key(&key)
            .ok_or_else(|| PolicyError::Name { name: name.chars().take(80).collect() })?;
        if let Some(len) = content.as_ref().map(Vec::len).filter(|len| *len > MAX_POLICY_BYTES) {
            return Err(PolicyError::TooLong { len });
        }
        let edits = self.edits.get(&known);
        if edits.is_none() && self.edits.len() >= MAX_POLICIES {
            return Err(PolicyError::TooMany);
        }
        let writer = writer(site, node);
        let mut seen: BTreeMap<Box<str>, u64> = BTreeMap::new();
        for edit in edits.into_iter().flatten() {
            let others = edit.seen.iter().map(|(writer, number)| (writer, *number));
            for (writer, number) in others.chain([(&edit.writer, edit.number)]) {
                let known = seen.entry(writer.clone()).or_default();
                *known = number.max(*known);
            }
        }
        while seen.len() > MAX_SEEN {
            // What nobody writes any more is seen by all that stands.
            let oldest = seen.iter().min_by_key(|(_, number)| **number).map(|(w, _)| w.clone());
            seen.remove(&oldest.unwrap_or_default());
        }
        // By the clock, so that a node that lost its disk does not count from the beginning again.
        let number = seen.get(&*writer).map_or(now.0, |last| now.0.max(last.saturating_add(1)));
        let by = by.chars().take(64).collect::<String>().into();
        let edit = PolicyEdit { at: now, writer, number, by, content, seen };
        Ok(NewRecord { key: key.into(), value: edit.encode() })
    }
}

fn writer(site: &SiteId, node: &NodeName) -> Box<str> {
    format!("{site}/{node}").into()
}

fn parse_key(key: &str) -> Option<Key> {
    let (area, name) = key.split_once('/')?;
    let letters = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let sound =
        |text: &str| (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(letters);
    (sound(area) && sound(name)).then(|| (area.into(), name.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SITES: [&str; 3] = ["berlin", "tokyo", "lima"];

    fn place(site: usize) -> (SiteId, NodeName) {
        (SITES[site].parse().expect("valid"), "n1".parse().expect("valid"))
    }

    fn record(site: usize, new: &NewRecord) -> Record {
        let (site, node) = place(site);
        let (shelf, key) = (Shelf::Policies, new.key.clone());
        Record { shelf, site, node, key, values: vec![new.value.clone()] }
    }

    fn edit(book: &PolicyBook, site: usize, text: Option<&str>, at: u64) -> Record {
        let (of, node) = place(site);
        let content = text.map(|text| text.as_bytes().to_vec());
        let new = book.edit(("slo", "a"), (&of, &node), "ada", content, Millis(at));
        record(site, &new.expect("good"))
    }

    fn texts(book: &PolicyBook) -> Vec<Option<String>> {
        let standing = book.standing("slo", "a").into_iter();
        let text = |content: &Vec<u8>| String::from_utf8_lossy(content).into_owned();
        standing.map(|edit| edit.content.as_ref().map(text)).collect()
    }

    #[test]
    fn edits_made_apart_both_stand_until_somebody_saw_both() {
        let mut berlin = PolicyBook::new();
        let first = edit(&berlin, 0, Some("one"), 10);
        berlin.take(&first);
        let mut tokyo = berlin.clone();
        let (here, there) = (edit(&berlin, 0, Some("two"), 20), edit(&tokyo, 1, None, 15));
        berlin.take(&here);
        tokyo.take(&there);
        assert_eq!(texts(&tokyo), [None], "it was taken away there");
        for book in [&mut berlin, &mut tokyo] {
            book.take(&here);
            book.take(&there);
            assert_eq!(texts(book), [Some("two".to_owned()), None]);
        }
        let settled = edit(&tokyo, 1, Some("three"), 5);
        for book in [&mut berlin, &mut tokyo] {
            assert!(book.take(&settled));
            assert!(!book.take(&settled), "no news");
            assert_eq!(texts(book), [Some("three".to_owned())], "though its clock is late");
        }
        assert_eq!(berlin.names("slo"), ["a"]);
        assert_eq!(berlin.names("tests"), Vec::<&str>::new());
    }

    #[test]
    fn what_is_no_policy_is_refused_or_counted() {
        let mut book = PolicyBook::new();
        let (site, node) = place(0);
        let edit = |book: &PolicyBook, name: &str, len: usize| {
            book.edit(("slo", name), (&site, &node), "ada", Some(vec![0; len]), Millis(1))
                .map(|_| ())
        };
        assert_eq!(edit(&book, "a", MAX_POLICY_BYTES), Ok(()));
        let len = MAX_POLICY_BYTES + 1;
        assert_eq!(edit(&book, "a", len), Err(PolicyError::TooLong { len }));
        for name in ["", "A", "a/b", &"x".repeat(64)] {
            assert!(matches!(edit(&book, name, 1), Err(PolicyError::Name { .. })), "{name}");
        }
        let bad = NewRecord { key: "slo/a".into(), value: vec![0xff; 9] };
        assert!(!book.take(&record(0, &bad)) || book.standing("slo", "a").is_empty());
        let odd = NewRecord { key: "nowhere".into(), value: Vec::new() };
        assert!(!book.take(&record(0, &odd)));
        assert_eq!(book.unreadable(), 2);
    }

    proptest! {
        #[test]
        fn books_that_know_the_same_stand_the_same(
            steps in prop::collection::vec((0..3_usize, 0..3_usize, any::<bool>()), 1..30),
        ) {
            let mut books = [PolicyBook::new(), PolicyBook::new(), PolicyBook::new()];
            let mut latest: BTreeMap<usize, Record> = BTreeMap::new();
            for (at, (site, other, writes)) in steps.into_iter().enumerate() {
                if writes {
                    let written = edit(&books[site], site, Some(&at.to_string()), at as u64);
                    books[site].take(&written);
                    latest.insert(site, written);
                } else if let Some(record) = latest.get(&other) {
                    books[site].take(record);
                }
            }
            let mut orders = [vec![0, 1, 2], vec![2, 0, 1]];
            let stands: Vec<_> = orders.iter_mut().map(|order| {
                let mut book = PolicyBook::new();
                order.iter().filter_map(|site| latest.get(site)).for_each(|record| { book.take(record); });
                texts(&book)
            }).collect();
            prop_assert_eq!(&stands[0], &stands[1]);
            prop_assert_eq!(stands[0].is_empty(), latest.is_empty(), "something always stands");
        }
    }
}
