//! Names that exporters tell in options data, each stored once and counted against a bound.

use std::sync::Arc;

use arrow_array::StringArray;
use hashbrown::HashMap;

/// Longest name in bytes; the rest is cut off.
const MAX_NAME_BYTES: usize = 128;

/// Key of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameKey(pub(crate) u32);

/// The table of names of one decoder.
#[derive(Debug)]
pub(crate) struct Names {
    keys: HashMap<Arc<str>, NameKey>,
    texts: Vec<Arc<str>>,
    most: usize,
    /// Names that found no room.
    pub(crate) refused: u64,
    array: Option<Arc<StringArray>>,
}

impl Names {
    pub(crate) fn new(most: usize) -> Self {
        Self { keys: HashMap::new(), texts: Vec::new(), most, refused: 0, array: None }
    }

    /// The key of a name as it stands in a record: UTF-8, often padded with zeros.
    pub(crate) fn key_of_bytes(&mut self, name: &[u8]) -> Option<NameKey> {
        let end = name.iter().position(|b| *b == 0).unwrap_or(name.len()).min(MAX_NAME_BYTES);
        let text = String::from_utf8_lossy(name.get(..end)?);
        self.key(text.trim())
    }

    /// The key of `name`; `None` if it is empty or there is no room.
    pub(crate) fn key(&mut self, name: &str) -> Option<NameKey> {
        if name.is_empty() {
            return None;
        }
        if let Some(key) = self.keys.get(name) {
            return Some(*key);
        }
        if self.texts.len() >= self.most {
            self.refused += 1;
            return None;
        }
        let key = NameKey(u32::try_from(self.texts.len()).ok()?);
        let text: Arc<str> = name.into();
        self.texts.push(Arc::clone(&text));
        self.keys.insert(text, key);
        self.array = None;
        Some(key)
    }

    /// The name of a key.
    pub(crate) fn text(&self, key: NameKey) -> Option<&str> {
        self.texts.get(key.0 as usize).map(AsRef::as_ref)
    }

    /// All names, in the order of their keys; made again only when one was added. One empty name
    /// stands where there is none, so that a null's key is valid.
    pub(crate) fn array(&mut self) -> Arc<StringArray> {
        let texts = &self.texts;
        Arc::clone(self.array.get_or_insert_with(|| {
            Arc::new(if texts.is_empty() {
                StringArray::from_iter_values([""])
            } else {
                StringArray::from_iter_values(texts)
            })
        }))
    }
}
