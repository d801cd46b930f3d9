//! Connectors, routes and deliveries as the API shows them: secrets are left out here, in one place.

use holm_page::{Connector, Delivery, DeliveryId, RecordId, Route};

use super::pages_types::{PageConnector, PageDelivery, PageEditView, PageRoute};
use super::types::Timestamp;
use crate::daemon::{Caller, ConnectorStanding, Defined, Held, PageEdit, Role};

const NOT_UNDERSTOOD: &str = "this version of Holm does not understand it; write it again";

fn edit_view(edit: &PageEdit) -> PageEditView {
    PageEditView {
        by: format!("{} at {}", edit.by, edit.writer),
        at: Timestamp(edit.at),
        removed: edit.removed,
    }
}

fn edits<T>(held: &Held<T>) -> (PageEditView, Vec<PageEditView>) {
    let (first, others) = held.edits.split_first().expect("what is held has an edit");
    (edit_view(first), others.iter().map(edit_view).collect())
}

fn text(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

fn texts<T: ToString>(all: impl IntoIterator<Item = T>) -> Vec<String> {
    all.into_iter().map(|one| one.to_string()).collect()
}

/// An address: whole for an admin. Its path and query are often as good as a secret: others see where it leads.
fn url_for(caller: &Caller, url: &str) -> String {
    if caller.require(Role::Admin).is_ok() {
        return url.to_owned();
    }
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let more = if rest.len() > host.len() { "/…" } else { "" };
    format!("{scheme}://{host}{more}")
}

/// A connector, without its secrets.
pub(super) fn connector_view(
    name: &str,
    held: &Held<Connector>,
    standing: &ConnectorStanding,
    caller: &Caller,
) -> PageConnector {
    let of = held.value.as_ref();
    let (edited, conflicts) = edits(held);
    let hears = of.is_some_and(|c| c.inbound_secret.is_some());
    let nobody = "none of the sites that may deliver by it is heard; see `sites`";
    let problem = match (of, standing.nobody) {
        (None, _) => Some(NOT_UNDERSTOOD.to_owned()),
        (Some(_), true) => Some(nobody.to_owned()),
        (Some(c), false) => c.paused.then(|| "it is paused".to_owned()),
    };
    let failure = standing.last_failure.as_ref();
    PageConnector {
        name: name.to_owned(),
        provider: of.map(|c| c.provider.into()),
        url: of.and_then(|c| c.url.as_deref()).map(|url| url_for(caller, url)),
        secret_set: of.is_some_and(|c| c.secret.is_some()),
        inbound_secret_set: hears,
        inbound_path: hears.then(|| format!("/ingest/pages/{name}")),
        user: text(of.and_then(|c| c.user.as_deref())),
        from: text(of.and_then(|c| c.from.as_deref())),
        to: of.map(|c| texts(&c.to)).unwrap_or_default(),
        tls: of.and_then(|c| c.tls).map(Into::into),
        channel: text(of.and_then(|c| c.channel.as_deref())),
        project: text(of.and_then(|c| c.project.as_deref())),
        issue_type: text(of.and_then(|c| c.issue_type.as_deref())),
        done: text(of.and_then(|c| c.done.as_deref())),
        api: of.and_then(|c| c.api),
        ca: text(of.and_then(|c| c.ca.as_deref())),
        sites: of.map(|c| texts(&c.sites)).unwrap_or_default(),
        paused: of.is_some_and(|c| c.paused),
        attempts_an_hour: of.map_or(0, |c| c.attempts_an_hour),
        pages_a_minute: of.map_or(0, |c| c.pages_a_minute),
        give_up_after_h: of.map_or(0, |c| c.give_up_after_h),
        problem,
        queued: standing.queued,
        dead: standing.dead,
        down_until: standing.down_until.map(Timestamp),
        last_failure: failure.map(|(_, why)| why.clone()),
        last_failure_at: failure.map(|(at, _)| Timestamp(*at)),
        last_delivered_at: standing.last_delivered.map(Timestamp),
        edited,
        conflicts,
    }
}

/// A route.
pub(super) fn route_view(name: &str, held: &Held<Route>, defined: &Defined) -> PageRoute {
    let of = held.value.as_ref();
    let (edited, conflicts) = edits(held);
    let problem = match of {
        None => Some(NOT_UNDERSTOOD.to_owned()),
        Some(route) if route.paused => Some("it is paused".to_owned()),
        Some(route) => {
            let missing = |name: &&str| !defined.connectors.contains_key(*name);
            let names = route.connectors.iter().map(|name| &**name);
            let missing: Vec<&str> = names.filter(missing).collect();
            let says = || format!("connector {} is not there", missing.join(", "));
            (!missing.is_empty()).then(says)
        }
    };
    PageRoute {
        name: name.to_owned(),
        severity: of.map(|r| r.severity).unwrap_or_default().into(),
        sites: of.map(|r| texts(&r.sites)).unwrap_or_default(),
        targets: of.map(|r| texts(&r.targets)).unwrap_or_default(),
        planes: of.map(|r| texts(&r.planes)).unwrap_or_default(),
        kinds: of.map(|r| texts(&r.kinds)).unwrap_or_default(),
        connectors: of.map(|r| texts(&r.connectors)).unwrap_or_default(),
        resolve: of.is_some_and(|r| r.resolve),
        after_s: of.map_or(0, |r| r.after_s),
        repeat_s: of.and_then(|r| r.repeat_s),
        paused: of.is_some_and(|r| r.paused),
        problem,
        edited,
        conflicts,
    }
}

/// A delivery.
pub(super) fn delivery_view(id: &RecordId, delivery: &Delivery, attempts: u32) -> PageDelivery {
    PageDelivery {
        id: DeliveryId::of(id).to_string(),
        incident: delivery.incident.to_string(),
        connector: delivery.connector.to_string(),
        seq: delivery.seq,
        event: delivery.event.into(),
        state: delivery.phase.into(),
        at: Timestamp(delivery.at),
        queued_at: Timestamp(delivery.queued_at),
        by: id.pager.to_string(),
        attempts,
        reason: delivery.reason.clone(),
        provider_id: delivery.provider_id.clone(),
        url: delivery.url.clone(),
        replayed_by: text(delivery.replayed_by.as_deref()),
        folded_into: text(delivery.folded_into.as_deref()),
        severity: delivery.severity.into(),
        title: delivery.title.to_string(),
        lines: delivery.lines.clone(),
        count: delivery.count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_admins_see_an_address_whole() {
        let caller = |role| Caller {
            tenant: "default".parse().expect("valid"),
            role,
            name: "ada".into(),
            by_cookie: false,
        };
        let url = "https://hooks.example.org:8443/T0/B0/secret?key=1";
        assert_eq!(url_for(&caller(Role::Admin), url), url);
        for role in [Role::Viewer, Role::Editor] {
            assert_eq!(url_for(&caller(role), url), "https://hooks.example.org:8443/…");
            assert_eq!(url_for(&caller(role), "https://a.example"), "https://a.example");
            assert_eq!(url_for(&caller(role), "https://a.example?key=1"), "https://a.example/…");
        }
    }
}
