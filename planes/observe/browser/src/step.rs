//! What is done in the page, step by step, and what is expected then.

use std::time::Duration;

/// Keys that a step may press by their name, with the code that the protocol wants.
pub const KEYS: [(&str, u32); 12] = [
    ("Enter", 13),
    ("Tab", 9),
    ("Escape", 27),
    ("Backspace", 8),
    ("Delete", 46),
    ("ArrowUp", 38),
    ("ArrowDown", 40),
    ("ArrowLeft", 37),
    ("ArrowRight", 39),
    ("Home", 36),
    ("End", 35),
    ("Space", 32),
];

/// One step: what is said of it is done in the order of the fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// Its name in results.
    pub name: String,
    /// The address that is opened: `http` or `https`.
    pub open: Option<String>,
    /// The first status codes of a document that was opened that are a success, each from and to.
    pub statuses: Vec<(u16, u16)>,
    /// The element that is clicked, as a CSS selector.
    pub click: Option<String>,
    /// The element that is typed into, as a CSS selector, and the text.
    pub typed: Option<(String, Text)>,
    /// The key that is pressed, one of [`KEYS`].
    pub press: Option<String>,
    /// What has to be there before the step's time is over.
    pub expect: Vec<Expect>,
    /// How long it may take.
    pub timeout: Duration,
}

/// A text that is typed.
#[derive(Clone, PartialEq, Eq)]
pub enum Text {
    /// What everybody may read.
    Plain(String),
    /// What nobody may: it is shown nowhere, and is dots in the page.
    Secret(String),
}

impl Text {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Plain(text) | Self::Secret(text) => text,
        }
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(text) => f.debug_tuple("Plain").field(text).finish(),
            Self::Secret(_) => f.write_str("Secret"),
        }
    }
}

/// What is expected of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// An element is there, as a CSS selector.
    Element(String),
    /// The page's text has this in it.
    Text(String),
    /// Its title has this in it.
    Title(String),
    /// Its address has this in it.
    Url(String),
}

/// A text as it stands in a script.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Expect {
    /// A script that is true once it is so.
    pub(crate) fn script(&self) -> String {
        match self {
            Self::Element(selector) => format!("!!document.querySelector({})", quoted(selector)),
            Self::Text(text) => format!(
                "!!document.body && document.body.innerText.slice(0, 1048576).includes({})",
                quoted(text)
            ),
            Self::Title(text) => format!("document.title.includes({})", quoted(text)),
            Self::Url(text) => format!("location.href.includes({})", quoted(text)),
        }
    }

    /// What was not there.
    pub(crate) fn missing(&self) -> String {
        match self {
            Self::Element(selector) => format!("no element {selector} came"),
            Self::Text(text) => format!("the text \"{text}\" did not come"),
            Self::Title(text) => format!("the title never had \"{text}\""),
            Self::Url(text) => format!("the address never had \"{text}\""),
        }
    }
}

/// A script that gives the middle of an element that can be seen, scrolled to; `null` while there is none.
pub(crate) fn middle(selector: &str) -> String {
    format!(
        "(() => {{ const e = document.querySelector({}); if (!e) return null; \
         e.scrollIntoView({{block: 'center', inline: 'center', behavior: 'instant'}}); \
         const r = e.getBoundingClientRect(); if (r.width <= 0 || r.height <= 0) return null; \
         return [r.x + r.width / 2, r.y + r.height / 2]; }})()",
        quoted(selector)
    )
}

/// A script that puts the cursor into an element and selects what is in it; `null` while there is none.
pub(crate) fn focus(selector: &str, is_secret: bool) -> String {
    let dots = if is_secret {
        "e.style.setProperty('-webkit-text-security', 'disc', 'important');"
    } else {
        ""
    };
    format!(
        "(() => {{ const e = document.querySelector({}); if (!e) return null; {dots} e.focus(); \
         if (e.select) e.select(); return document.activeElement === e ? true : null; }})()",
        quoted(selector)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for_cannot_leave_its_quotes() {
        let script = Expect::Text("\"); alert(1); (\"\\".into()).script();
        assert!(script.contains(r#"includes("\"); alert(1); (\"\\")"#), "{script}");
        assert!(middle("a[href=\"x\"]").contains(r#"querySelector("a[href=\"x\"]")"#));
    }

    #[test]
    fn a_secret_is_not_written() {
        let step =
            Step { typed: Some(("#p".into(), Text::Secret("hunter2".into()))), ..Step::default() };
        assert!(!format!("{step:?}").contains("hunter2"));
    }
}
