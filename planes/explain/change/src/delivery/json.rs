//! JSON with the place of what is wrong.

use serde_json::{Map, Value};

use super::Malformed;

/// An object and where it stands.
pub(super) struct Object<'a> {
    pub(super) path: String,
    pub(super) fields: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    pub(super) fn of(path: &str, value: &'a Value) -> Result<Self, Malformed> {
        let fields = value.as_object();
        let fields = fields.ok_or_else(|| {
            Malformed::field(if path.is_empty() { "body" } else { path }, not("an object", value))
        })?;
        Ok(Self { path: path.into(), fields })
    }

    /// Where a field stands.
    pub(super) fn place(&self, field: &str) -> String {
        if self.path.is_empty() { field.into() } else { format!("{}.{field}", self.path) }
    }

    /// A field that is there and not null.
    pub(super) fn given(&self, field: &str) -> Option<&'a Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, field: &str) -> Result<Option<&'a str>, Malformed> {
        let Some(value) = self.given(field) else { return Ok(None) };
        let text = value.as_str();
        text.map(Some).ok_or_else(|| Malformed::field(self.place(field), not("a text", value)))
    }

    pub(super) fn needed(&self, field: &str) -> Result<&'a str, Malformed> {
        let text = self.text(field)?.filter(|text| !text.trim().is_empty());
        text.ok_or_else(|| Malformed::field(self.place(field), "it is missing"))
    }

    pub(super) fn list(&self, field: &str) -> Result<&'a [Value], Malformed> {
        let Some(value) = self.given(field) else { return Ok(&[]) };
        let list = value.as_array().map(Vec::as_slice);
        list.ok_or_else(|| Malformed::field(self.place(field), not("a list", value)))
    }

    pub(super) fn object(&self, field: &str) -> Result<Option<Self>, Malformed> {
        self.given(field).map(|value| Object::of(&self.place(field), value)).transpose()
    }

    /// A text that a provider may leave out or send as something else: then it is empty.
    pub(super) fn lenient(&self, path: &[&str]) -> &'a str {
        let mut fields = self.fields;
        let Some((last, before)) = path.split_last() else { return "" };
        for field in before {
            let Some(inner) = fields.get(*field).and_then(Value::as_object) else { return "" };
            fields = inner;
        }
        fields.get(*last).and_then(Value::as_str).unwrap_or_default()
    }
}

/// That a value is something else.
pub(super) fn not(wanted: &str, value: &Value) -> String {
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    format!("it is {is}, and should be {wanted}")
}
