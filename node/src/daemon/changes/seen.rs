//! What this node sees of changes by itself: what planes say is different, and what is decided here.

use std::sync::Mutex;

use holm_change::{ChangeId, ChangeKind, Draft, Seen, Watch};
use holm_model::{AddressScope, Millis, Row, Value};
use holm_replica::{PolicyBook, Record, Shelf};

use super::super::rows::RESULTS_TABLE;
use super::super::signals::probed;
use super::super::tenant::Tenant;
use super::{lock, of_sources};

/// Most changes that wait to be written; further ones are counted.
const MAX_WAITING: usize = 1_000;
/// Where changes come from that are edits of policies.
const POLICY: &str = "policy";
const DAY_MS: f64 = 24.0 * 60.0 * 60.0 * 1_000.0;

impl Tenant {
    /// Takes what a plane's row says is different.
    pub(in crate::daemon) fn notice_change(&self, row: &Row) {
        let here = || format!("{}/{}", self.changes.site, self.changes.node);
        let Some((plane, id, mut draft)) = seen_in(row, &self.changes.watch, here) else { return };
        // Like the incidents that it may have caused.
        draft.at = draft.at.map(|at| self.incidents.clock.of(at));
        let mut waiting = lock(&self.changes.waiting);
        if waiting.len() >= MAX_WAITING {
            *lock(&self.changes.refused_waiting) += 1;
            return;
        }
        waiting.push((id, plane, draft));
        self.changes.wake.notify_one();
    }

    /// Takes that private addresses were opened to tests here; `what` tells it from other such acts, and said again it
    /// is the same change.
    pub(in crate::daemon) fn notice_lift(&self, what: &str, title: String, author: &str) {
        let here = format!("{}/{}", self.changes.site, self.changes.node);
        let id = ChangeId::of_policy("opened-to-tests", what, &here, 0);
        let mut draft = Draft::new(ChangeKind::Config, title);
        draft.author = author.to_owned();
        draft.words.push(format!("site:{}", self.changes.site));
        let mut waiting = lock(&self.changes.waiting);
        if waiting.len() >= MAX_WAITING {
            *lock(&self.changes.refused_waiting) += 1;
            return;
        }
        waiting.push((id, "plane:active", draft));
        self.changes.wake.notify_one();
    }

    /// Takes edits of policies that are made at this node now: each is a change, also where the next one comes before
    /// it was looked what stands.
    pub(in crate::daemon) fn notice_edits(&self, records: &[Record]) {
        let own = format!("{}/{}", self.changes.site, self.changes.node);
        let edits = self.by_mesh(edits_in(records, &own, Millis(0)));
        if edits.is_empty() {
            return;
        }
        let mut waiting = lock(&self.changes.waiting);
        for (id, draft) in edits {
            if waiting.len() >= MAX_WAITING {
                // Those of them that stand are found with the next look.
                *lock(&self.changes.refused_waiting) += 1;
            } else {
                waiting.push((id, POLICY, draft));
            }
        }
        self.changes.wake.notify_one();
    }

    /// Like the incidents that they may have caused.
    fn by_mesh(&self, mut drafts: Vec<(ChangeId, Draft)>) -> Vec<(ChangeId, Draft)> {
        for (_, draft) in &mut drafts {
            draft.at = draft.at.map(|at| self.incidents.clock.of(at));
        }
        drafts
    }

    /// What was decided at this node since `horizon`: each edit of a policy that stands is a change.
    pub(super) fn edits_of_policies(&self, horizon: Millis) -> Vec<(ChangeId, String, Draft)> {
        let own = format!("{}/{}", self.changes.site, self.changes.node);
        let edits = edits_in(&self.replica.records_on(Shelf::Policies), &own, horizon);
        self.by_mesh(edits).into_iter().map(|(id, draft)| (id, POLICY.to_owned(), draft)).collect()
    }
}

/// The edits among records that are of node `own`, stand, and were made since `horizon`. Sources of webhooks are no
/// policies to people.
fn edits_in(records: &[Record], own: &str, horizon: Millis) -> Vec<(ChangeId, Draft)> {
    let mut policies = PolicyBook::new();
    for record in records.iter().filter(|record| !of_sources(&record.key)) {
        policies.take(record);
    }
    let mut drafts = Vec::new();
    for (area, name) in records.iter().filter_map(|record| record.key.split_once('/')) {
        for edit in policies.standing(area, name) {
            if *edit.writer != *own || edit.at < horizon {
                continue;
            }
            let id = ChangeId::of_policy(area, name, &edit.writer, edit.number);
            let done = if edit.content.is_some() { "edited" } else { "taken away" };
            let mut draft = Draft::new(ChangeKind::Config, format!("policy {area}/{name} {done}"));
            draft.at = Some(edit.at);
            draft.author = edit.by.to_string();
            draft.attributes.insert("policy".into(), format!("{area}/{name}"));
            drafts.push((id, draft));
        }
    }
    drafts
}

/// What a row says is different, and which plane does. Most rows say nothing of the kind: nothing is made or
/// locked for them.
fn seen_in(
    row: &Row,
    watch: &Mutex<Watch>,
    here: impl Fn() -> String,
) -> Option<(&'static str, ChangeId, Draft)> {
    let told = |plane, seen: &Seen<'_>, place: &str| {
        let (id, draft) = lock(watch).take(seen, place, row.at)?;
        Some((plane, id, draft))
    };
    match &*row.table {
        "host_connections" => {
            let listens = match text(row, "event")? {
                "listen" => true,
                "listen_closed" => false,
                _ => return None,
            };
            let service = text(row, "service.name")?;
            let (pid, port) = (number(row, "process.pid")?, number(row, "destination.port")?);
            let seen = match listens {
                true => Seen::Listens { service, pid, port },
                false => Seen::ListensNoMore { service, pid, port },
            };
            told("plane:host", &seen, &here())
        }
        "path_changes" => {
            let target = probed(row)?;
            let [how, added, removed] = ["change", "hops.added", "hops.removed"]
                .map(|column| text(row, column).unwrap_or_default());
            told("plane:path", &Seen::Way { target: &target, how, added, removed }, &here())
        }
        RESULTS_TABLE => {
            let Value::Float(days) = row.columns.get("tls.days_to_expiry")? else { return None };
            let left = (days.abs() * DAY_MS) as u64;
            let ends = if *days < 0.0 { row.at - left } else { row.at + left };
            let target = probed(row)?;
            let [subject, issuer] = ["tls.server.subject", "tls.server.issuer"]
                .map(|column| text(row, column).unwrap_or_default());
            let seen = Seen::Certificate { target: &target, subject, issuer, ends };
            // The same thing everywhere changes once, wherever it is seen.
            let public = match target.name().parse() {
                Ok(address) => AddressScope::of(address) == AddressScope::Global,
                Err(_) => target.name().contains('.'),
            };
            let place = if public { String::new() } else { here() };
            told("plane:active", &seen, &place)
        }
        _ => None,
    }
}

fn text<'a>(row: &'a Row, column: &str) -> Option<&'a str> {
    match row.columns.get(column)? {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn number(row: &Row, column: &str) -> Option<i64> {
    match row.columns.get(column)? {
        Value::Int(number) => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Millis = Millis(1_795_000_000_000);
    const MINUTE: u64 = 60_000;

    fn told(watch: &Mutex<Watch>, row: Row) -> Option<(&'static str, String, Vec<String>)> {
        let (plane, _, draft) = seen_in(&row, watch, || "berlin/n1".into())?;
        Some((plane, draft.title, draft.words))
    }

    #[test]
    fn a_service_that_begins_again_is_seen() {
        let watch = Mutex::new(Watch::new(START));
        let row = |event: &'static str, pid: i64, minute: u64| {
            Row::new("host_connections", START + minute * MINUTE)
                .with("event", event)
                .with("service.name", "web")
                .with("process.pid", pid)
                .with("destination.port", 80_i64)
        };
        assert_eq!(told(&watch, row("listen", 7, 0)), None);
        assert_eq!(told(&watch, row("connect", 7, 1)), None);
        assert_eq!(told(&watch, row("listen_closed", 7, 3)), None);
        let (plane, title, words) = told(&watch, row("listen", 8, 4)).expect("a restart");
        assert_eq!((plane, &*title), ("plane:host", "web began again as another process"));
        assert_eq!(words, ["service:web"]);
    }

    #[test]
    fn another_certificate_is_one_change_of_a_public_name_and_another_of_a_private_one() {
        let row = |target: &'static str, days: f64, hour: u64| {
            Row::new("active_results", START + hour * 60 * MINUTE)
                .with("probe", "http")
                .with("target", target)
                .with("success", true)
                .with("tls.days_to_expiry", days - hour as f64 / 24.0)
                .with("tls.server.subject", "CN=shop")
                .with("tls.server.issuer", "CN=ca")
        };
        let seen_by = |here: &str, target: &'static str, hour: u64| {
            let watch = Mutex::new(Watch::new(START));
            let take = |row: &Row| seen_in(row, &watch, || here.into());
            assert!(take(&row(target, 30.0, 0)).is_none());
            assert!(take(&row(target, 30.0, 1)).is_none(), "the same one, an hour later");
            take(&row(target, 90.0, hour)).expect("another one")
        };
        let public = "https://shop.example.org/cart";
        let (plane, first, draft) = seen_by("berlin/n1", public, 2);
        assert_eq!(
            (plane, &*draft.title),
            ("plane:active", "shop.example.org has another certificate")
        );
        assert_eq!(seen_by("tokyo/n1", public, 3).1, first, "seen from two sites");
        let private = "https://10.0.0.7/";
        assert_ne!(seen_by("berlin/n1", private, 2).1, seen_by("tokyo/n1", private, 2).1);
        let plain =
            Row::new("active_results", START).with("probe", "icmp").with("target", "192.0.2.7");
        assert_eq!(told(&Mutex::new(Watch::new(START)), plain), None);
    }

    #[test]
    fn another_way_names_its_hops() {
        let watch = Mutex::new(Watch::new(START));
        let row = Row::new("path_changes", START)
            .with("target", "lima/n1")
            .with("peer.site", "lima")
            .with("server.address", "192.0.2.9")
            .with("change", "hops")
            .with("hops.added", "192.0.2.1,192.0.2.2")
            .with("hops.removed", "");
        let (plane, title, words) = told(&watch, row).expect("a change");
        assert_eq!((plane, &*title), ("plane:path", "packets to 192.0.2.9 take another way"));
        assert_eq!(words, ["host:192.0.2.9", "hop:192.0.2.1", "hop:192.0.2.2"]);
    }

    #[test]
    fn each_edit_of_a_policy_is_a_change_with_its_author() {
        let (site, node) = ("berlin".parse().expect("valid"), "n1".parse().expect("valid"));
        let mut book = PolicyBook::new();
        let mut told = Vec::new();
        let edits = [("ada", Some("one")), ("grace", Some("two")), ("ada", None)];
        for (nth, (by, content)) in (0..).zip(edits) {
            let content = content.map(|text| text.as_bytes().to_vec());
            let edit = book.edit(("alert", "busy"), (&site, &node), by, content, START + nth);
            let new = edit.expect("an edit");
            let (site, node) = (site.clone(), node.clone());
            let record = Record {
                shelf: Shelf::Policies,
                site,
                node,
                key: new.key,
                values: vec![new.value],
            };
            book.take(&record);
            told.extend(edits_in(std::slice::from_ref(&record), "berlin/n1", Millis(0)));
            assert!(edits_in(std::slice::from_ref(&record), "tokyo/n1", Millis(0)).is_empty());
            assert!(edits_in(&[record], "berlin/n1", START + 9).is_empty(), "forgotten");
        }
        let said: Vec<(&str, &str)> =
            told.iter().map(|(_, draft)| (&*draft.title, &*draft.author)).collect();
        let title = "policy alert/busy edited";
        let expected = [(title, "ada"), (title, "grace"), ("policy alert/busy taken away", "ada")];
        assert_eq!(said, expected);
        let ids: std::collections::BTreeSet<ChangeId> = told.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids.len(), 3);
    }
}
