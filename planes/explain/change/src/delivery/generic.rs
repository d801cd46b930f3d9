//! Our own form: one change, a list of them, or `{"changes": […]}`. What is not known is refused, because it
//! would be passed over.

use holm_model::Millis;
use serde_json::Value;

use super::json::{Object, not};
use super::{Malformed, Read, moment, remembered};
use crate::change::{prefix_of, web_address};
use crate::{
    ChangeKind, Draft, MAX_CHANGE_ATTRIBUTES, MAX_CHANGES_OF_A_DELIVERY, MAX_TARGETS,
    MAX_TEXT_BYTES, MAX_WORD_BYTES, SKEW_MS,
};

const FIELDS: [&str; 10] =
    ["attributes", "at", "author", "id", "kind", "prefix", "target", "targets", "title", "url"];

pub(super) fn read(body: &Value, bounds: (Millis, Millis)) -> Result<Read, Malformed> {
    let (path, items): (&str, &[Value]) = match body {
        Value::Array(items) => ("", items),
        Value::Object(fields) => match fields.get("changes") {
            Some(Value::Array(items)) if fields.len() == 1 => ("changes", items),
            Some(Value::Array(_)) => {
                let other = fields.keys().find(|key| *key != "changes").cloned();
                let other = other.unwrap_or_default();
                return Err(Malformed::field(
                    other,
                    "it stands beside changes, and belongs in one",
                ));
            }
            Some(other) => return Err(Malformed::field("changes", not("a list", other))),
            None => return Ok(Read::one(draft(&Object::of("", body)?, bounds)?)),
        },
        other => return Err(Malformed::field("body", not("an object or a list", other))),
    };
    if items.len() > MAX_CHANGES_OF_A_DELIVERY {
        return Err(Malformed::field(
            if path.is_empty() { "body" } else { path },
            format!("{} changes, and the most are {MAX_CHANGES_OF_A_DELIVERY}", items.len()),
        ));
    }
    let each = items.iter().enumerate();
    let drafts = each.map(|(i, item)| draft(&Object::of(&format!("{path}[{i}]"), item)?, bounds));
    Ok(Read { drafts: drafts.collect::<Result<_, _>>()?, ignored: None })
}

fn draft(object: &Object<'_>, bounds: (Millis, Millis)) -> Result<Draft, Malformed> {
    if let Some(odd) = object.fields.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        let odd: String = odd.chars().take(80).collect();
        let known = FIELDS.join(", ");
        return Err(Malformed::field(
            object.place(&odd),
            format!("is not a field; there are {known}"),
        ));
    }
    let kind: ChangeKind = object
        .needed("kind")?
        .parse()
        .map_err(|what: &str| Malformed::field(object.place("kind"), what))?;
    let mut draft = Draft::new(kind, bounded(object, "title", MAX_TEXT_BYTES)?.unwrap_or_default());
    if draft.title.trim().is_empty() {
        return Err(Malformed::field(object.place("title"), "it is missing"));
    }
    draft.key = bounded(object, "id", MAX_WORD_BYTES)?.map(str::to_owned);
    draft.author = bounded(object, "author", MAX_TEXT_BYTES)?.unwrap_or_default().into();
    draft.at = at(object, bounds)?;
    draft.words.extend(bounded(object, "target", MAX_WORD_BYTES)?.map(str::to_owned));
    for (i, value) in object.list("targets")?.iter().enumerate() {
        let path = format!("{}[{i}]", object.place("targets"));
        let word = value.as_str().ok_or_else(|| Malformed::field(&path, not("a text", value)))?;
        if word.len() > MAX_WORD_BYTES {
            return Err(Malformed::field(path, too_long(word, MAX_WORD_BYTES)));
        }
        draft.words.push(word.to_owned());
    }
    if draft.words.len() > MAX_TARGETS {
        let what = format!("{} targets, and the most are {MAX_TARGETS}", draft.words.len());
        return Err(Malformed::field(object.place("targets"), what));
    }
    if let Some(text) = object.text("prefix")? {
        let prefix = prefix_of(text);
        draft.prefix = Some(prefix.ok_or_else(|| {
            Malformed::field(object.place("prefix"), "it is no prefix such as 192.0.2.0/24")
        })?);
    }
    if let Some(url) = bounded(object, "url", MAX_TEXT_BYTES)? {
        if web_address(url).is_empty() {
            let what = "it begins with https:// or http://, and has no spaces";
            return Err(Malformed::field(object.place("url"), what));
        }
        draft.url = url.to_owned();
    }
    attributes(object, &mut draft)?;
    Ok(draft)
}

/// RFC 3339, or milliseconds since 1970. A time that lies ahead is refused: nobody knows what will be; one of
/// which nothing is remembered as well.
fn at(object: &Object<'_>, bounds: (Millis, Millis)) -> Result<Option<Millis>, Malformed> {
    let Some(value) = object.given("at") else { return Ok(None) };
    let at = match value {
        Value::String(text) => moment::read(text),
        value => value.as_u64().map(Millis),
    };
    let wrong = |what: &str| Malformed::field(object.place("at"), what);
    let at = at.ok_or_else(|| {
        wrong("not a time; write 2026-11-21T14:03:07Z, or milliseconds since 1970")
    })?;
    if at > bounds.1 + SKEW_MS {
        return Err(wrong("it lies more than five minutes ahead of this node's clock"));
    }
    remembered(&object.place("at"), Some(at), bounds)
}

fn attributes(object: &Object<'_>, draft: &mut Draft) -> Result<(), Malformed> {
    let Some(given) = object.object("attributes")? else { return Ok(()) };
    if given.fields.len() > MAX_CHANGE_ATTRIBUTES {
        let what =
            format!("{} of them, and the most are {MAX_CHANGE_ATTRIBUTES}", given.fields.len());
        return Err(Malformed::field(given.path, what));
    }
    for (key, value) in given.fields {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            other => {
                let key: String = key.chars().take(80).collect();
                return Err(Malformed::field(given.place(&key), not("a text", other)));
            }
        };
        if key.len() > MAX_WORD_BYTES || text.len() > MAX_TEXT_BYTES {
            let key: String = key.chars().take(80).collect();
            return Err(Malformed::field(given.place(&key), too_long(&text, MAX_TEXT_BYTES)));
        }
        draft.attributes.insert(key.clone(), text);
    }
    Ok(())
}

fn bounded<'a>(
    object: &Object<'a>,
    field: &str,
    most: usize,
) -> Result<Option<&'a str>, Malformed> {
    let text = object.text(field)?;
    match text.filter(|text| text.len() > most) {
        Some(text) => Err(Malformed::field(object.place(field), too_long(text, most))),
        None => Ok(text),
    }
}

fn too_long(text: &str, most: usize) -> String {
    format!("it has {} bytes, and the most are {most}", text.len())
}
