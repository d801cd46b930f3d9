//! What stands under the keys of a document's root map.

use automerge::{Automerge, ROOT, ReadDoc, ScalarValue, Value};

/// The first key that does not begin with `prefix`, which ends in `/`.
pub(crate) fn after(prefix: &str) -> String {
    format!("{}0", prefix.strip_suffix('/').unwrap_or(prefix))
}

/// Every value that stands under a key: several if nodes wrote it apart.
pub(crate) fn scalars(am: &Automerge, key: &str) -> Vec<ScalarValue> {
    let values = am.get_all(&ROOT, key).unwrap_or_default();
    values
        .into_iter()
        .filter_map(|(value, _)| match value {
            Value::Scalar(scalar) => Some(scalar.into_owned()),
            Value::Object(_) => None,
        })
        .collect()
}

/// Those of them that are bytes.
pub(crate) fn bytes_at(am: &Automerge, key: &str) -> Vec<Vec<u8>> {
    let bytes = |value| if let ScalarValue::Bytes(bytes) = value { Some(bytes) } else { None };
    scalars(am, key).into_iter().filter_map(bytes).collect()
}

/// Those of them that are numbers.
pub(crate) fn numbers(am: &Automerge, key: &str) -> impl Iterator<Item = u64> {
    scalars(am, key).into_iter().filter_map(|value| value.as_u64())
}

/// The text under a header key, on which all who wrote it agree.
pub(crate) fn agreed_text(am: &Automerge, key: &str) -> Result<String, &'static str> {
    let values = am.get_all(&ROOT, key).map_err(|_| "its header cannot be read")?;
    let mut agreed: Option<String> = None;
    for (value, _) in values {
        let text = value.as_str().ok_or("its header is not text")?;
        if agreed.as_deref().is_some_and(|a| a != text) {
            return Err("its header contradicts itself");
        }
        agreed = Some(text.to_owned());
    }
    agreed.ok_or("it has no header")
}
