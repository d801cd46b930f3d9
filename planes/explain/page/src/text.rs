//! What a page says, before a provider's words for it.

use holm_model::{Millis, Severity};
use serde_json::{Map, Value};

use crate::escape::clean;
use crate::{Delivery, Event, Fact, Subject, cut};

/// Longest title, in characters.
const MAX_TITLE: usize = 250;
/// Most facts, and the longest value of one, in characters.
const MAX_FACTS: usize = 16;
const MAX_VALUE: usize = 500;

/// What a page says. All words of it may be hostile: who shows them escapes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// By which a provider knows that two pages are about the same: the incident's id.
    pub key: String,
    /// What tells this message from all others.
    pub message: String,
    /// Its number among those about the same.
    pub seq: u32,
    /// What is told.
    pub event: Event,
    /// How grave it is.
    pub severity: Severity,
    /// What is wrong, on one line.
    pub title: String,
    /// Where it stands.
    pub word: String,
    /// What is known.
    pub facts: Vec<Fact>,
    /// Of a summary: what is in it.
    pub lines: Vec<String>,
    /// Where more is; ours, and never made of a name.
    pub link: Option<String>,
    /// The node that says it.
    pub sender: String,
    /// When it was queued.
    pub queued_at: Millis,
}

impl Page {
    /// What happened, for people: the beginning of what is said of it.
    pub fn what(&self) -> &'static str {
        match self.event {
            Event::Trigger => "New incident",
            Event::Repeat => "Still open, and nobody looks at it",
            Event::Reopen => "Open again",
            Event::Acknowledge => "Somebody looks at it",
            Event::Resolve => "Over",
            Event::Summary => "More incidents",
        }
    }

    /// The facts by name, each made harmless by `escape`; those of one name are lines of one value.
    pub(crate) fn facts_by_name(&self, escape: fn(&str) -> String) -> Map<String, Value> {
        let mut all: Map<String, Value> = Map::new();
        for fact in &self.facts {
            let value = escape(&fact.value);
            let value = match all.get(fact.name).and_then(Value::as_str) {
                Some(before) => format!("{before}\n{value}"),
                None => value,
            };
            all.insert(fact.name.to_owned(), value.into());
        }
        all
    }

    /// Title and facts as plain lines, each made harmless by `escape`.
    pub(crate) fn body(&self, escape: impl Fn(&str) -> String) -> String {
        let mut body = format!("{}: {}", self.what(), escape(&self.title));
        for Fact { name, value } in &self.facts {
            body.push_str(&format!("\n{name}: {}", escape(value)));
        }
        for line in &self.lines {
            body.push_str(&format!("\n{}", escape(line)));
        }
        body
    }
}

/// A page about an incident, or about what is left of it in a delivery.
pub fn page_of(
    delivery: &Delivery,
    subject: Option<&Subject>,
    link: Option<String>,
    sender: &str,
) -> Page {
    let mut facts = Vec::new();
    let mut fact = |name, value: String| facts.push(Fact { name, value });
    let title = subject.map_or(&*delivery.title, |subject| &*subject.title);
    let severity = subject.map_or(delivery.severity, |subject| subject.severity);
    fact("incident", delivery.incident.to_string());
    fact("severity", severity.to_string());
    let word = subject.map_or("no longer remembered", |subject| subject.word);
    if delivery.event != Event::Summary {
        fact("state", word.to_owned());
    }
    if let Some(subject) = subject {
        fact("since", rfc3339(subject.opened_at));
        if !subject.targets.is_empty() {
            let mut targets = subject.targets[..subject.targets.len().min(8)].join(", ");
            if subject.targets.len() > 8 {
                targets.push_str(&format!(" and {} more", subject.targets.len() - 8));
            }
            fact("about", targets);
        }
        let sites: Vec<&str> = subject.sites.iter().map(|site| site.as_str()).collect();
        fact("reported by", sites.join(", "));
        if let Some(owner) = &subject.owner {
            fact("owner", owner.to_string());
        }
        facts.extend(subject.facts.iter().cloned());
    }
    if let Some(by) = &delivery.replayed_by {
        facts.push(Fact { name: "replayed by", value: by.to_string() });
    }
    facts.truncate(MAX_FACTS);
    for fact in &mut facts {
        fact.value = cut(&clean(&fact.value), MAX_VALUE);
    }
    Page {
        key: delivery.incident.to_string(),
        message: delivery.key(),
        seq: delivery.seq,
        event: delivery.event,
        severity,
        title: cut(clean(title).trim(), MAX_TITLE),
        word: word.to_owned(),
        facts,
        lines: delivery.lines.iter().map(|line| cut(&clean(line), MAX_VALUE)).collect(),
        link,
        sender: sender.to_owned(),
        queued_at: delivery.queued_at,
    }
}

/// A page that stands for many.
pub fn summary_of(delivery: &Delivery, link: Option<String>, sender: &str) -> Page {
    let mut page = page_of(delivery, None, link, sender);
    let more = (delivery.count as usize).saturating_sub(page.lines.len());
    if more > 0 {
        page.lines.push(format!("and {more} more: the node's list of incidents has them all"));
    }
    page
}

/// A page by which a connector is tried out.
pub fn test_of(connector: &str, number: u64, by: &str, link: Option<String>, sender: &str) -> Page {
    Page {
        key: format!("holm-test-{number:016x}"),
        message: format!("holm-test-{number:016x}/{connector}"),
        seq: 1,
        event: Event::Trigger,
        severity: Severity::Info,
        title: format!("Test of connector {connector}: nothing is wrong"),
        word: "test".into(),
        facts: vec![Fact { name: "asked for by", value: cut(&clean(by), MAX_VALUE) }],
        lines: Vec::new(),
        link,
        sender: sender.to_owned(),
        queued_at: Millis(0),
    }
}

/// A moment as RFC 3339 writes it, to the second, in UTC.
pub(crate) fn rfc3339(at: Millis) -> String {
    // Civil date from days: Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    let seconds = at.0 / 1_000;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Phase;
    use crate::delivery::tests::delivery;
    use crate::subject::tests::subject;

    pub(crate) fn page(event: Event) -> Page {
        let mut subject = subject("i-7k2m9q4xw3ab1", Severity::Critical);
        subject.title = "<!channel> https://shop.example fails".into();
        subject.facts = vec![Fact { name: "seen from", value: "2 of 3 sites".into() }];
        let seq = if event == Event::Trigger { 1 } else { 2 };
        let delivery = delivery("i-7k2m9q4xw3ab1", seq, event, Phase::Queued);
        let link = Some("https://node.example:8443/incidents?id=i-7k2m9q4xw3ab1".to_owned());
        page_of(&delivery, Some(&subject), link, "berlin/n1")
    }

    #[test]
    fn moments_are_written_as_people_read_them() {
        assert_eq!(rfc3339(Millis(0)), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(Millis(951_827_696_000)), "2000-02-29T12:34:56Z");
        assert_eq!(rfc3339(Millis(1_795_309_200_999)), "2026-11-22T01:00:00Z");
    }

    #[test]
    fn a_page_says_what_is_known_and_no_more_than_it_may() {
        let page = page(Event::Trigger);
        let fact = |name| page.facts.iter().find(|f| f.name == name).map(|f| &*f.value);
        assert_eq!(fact("reported by"), Some("berlin, tokyo"));
        assert_eq!(fact("seen from"), Some("2 of 3 sites"));
        let mut long = delivery("s-1", 1, Event::Summary, Phase::Queued);
        (long.title, long.count) = ("x\n".repeat(1_000).into(), 30);
        long.lines = vec!["i-1 critical a".into()];
        let page = summary_of(&long, None, "berlin/n1");
        assert!(page.title.chars().count() <= MAX_TITLE && !page.title.contains('\n'));
        assert!(
            page.body(str::to_owned)
                .ends_with("and 29 more: the node's list of incidents has them all")
        );
    }
}
