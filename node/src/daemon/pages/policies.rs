//! Connectors and routes: what people decided, replicated as policies.

use holm_model::{DocVersion, Millis};
use holm_page::{
    Connector, ConnectorError, Draft, MAX_CONNECTORS, MAX_ROUTES, Provider, Route, RouteError,
};
use holm_replica::{CommitError, PolicyBook, PolicyEdit, PolicyError, Record, Shelf};

use super::{Defined, lock};
use crate::daemon::state::NodeState;
use crate::daemon::tenant::Tenant;

/// The areas of policies.
const CONNECTORS: &str = "page-connector";
const ROUTES: &str = "page-route";

/// Whether the policy of a key is one of these.
pub(super) fn is_ours(key: &str) -> bool {
    key.split_once('/').is_some_and(|(area, _)| area == CONNECTORS || area == ROUTES)
}

/// A connector or route, as its edits say.
#[derive(Debug, Clone)]
pub(crate) struct Held<T> {
    /// What counts; `None` if this version does not understand it.
    pub(crate) value: Option<T>,
    /// The edits that stand, the one that counts first: several if they were made apart.
    pub(crate) edits: Vec<PageEdit>,
}

/// An edit of a connector or route; its content is not shown, it has secrets.
#[derive(Debug, Clone)]
pub(crate) struct PageEdit {
    pub(crate) by: Box<str>,
    /// The node that wrote it.
    pub(crate) writer: Box<str>,
    pub(crate) at: Millis,
    pub(crate) removed: bool,
}

/// Why something is not changed or done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error(
        "connectors: there is no connector {0}; `GET /v1/paging/connectors` lists those there are"
    )]
    NoConnector(String),
    #[error("connector {0} is used by {1}; take it out of there first")]
    Used(String, String),
    #[error("there are {0} already, and no more are kept; take away what is not needed")]
    TooMany(usize),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error("there is no {0} {1}; `GET /v1/paging/{0}s` lists those there are")]
    Unknown(&'static str, String),
    #[error("as many tests as this node makes at once are being made; try again in a moment")]
    Busy,
    #[error("it could not be written: {0}")]
    Write(#[from] CommitError),
}

impl PageError {
    pub(super) fn unknown(kind: &'static str, name: &str) -> Self {
        Self::Unknown(kind, name.chars().take(80).collect())
    }
}

impl Defined {
    pub(super) fn of(policies: &PolicyBook) -> Self {
        let mut defined = Self::default();
        for name in policies.names(CONNECTORS) {
            let read = |bytes: &[u8]| Connector::decode(bytes).filter(|c| *c.name == *name);
            if let Some(held) = held(policies, CONNECTORS, name, read) {
                if let Some(connector) = &held.value {
                    defined.by_name.insert(name.into(), connector.clone());
                }
                defined.connectors.insert(name.into(), held);
            }
        }
        for name in policies.names(ROUTES) {
            let read = |bytes: &[u8]| Route::decode(bytes).filter(|route| *route.name == *name);
            if let Some(held) = held(policies, ROUTES, name, read) {
                defined.counting.extend(held.value.clone());
                defined.routes.insert(name.into(), held);
            }
        }
        defined
    }
}

fn held<T>(
    policies: &PolicyBook,
    area: &str,
    name: &str,
    read: impl Fn(&[u8]) -> Option<T>,
) -> Option<Held<T>> {
    let mut standing: Vec<&PolicyEdit> = policies.standing(area, name);
    // Of one that keeps it and one that takes it away the first counts: who is paged stays paged.
    standing.sort_by_key(|edit| edit.content.is_none());
    let content = standing.first()?.content.as_ref()?;
    let edits = standing.iter().map(|edit| PageEdit {
        by: edit.by.clone(),
        writer: edit.writer.clone(),
        at: edit.at,
        removed: edit.content.is_none(),
    });
    Some(Held { value: read(content), edits: edits.collect() })
}

impl Tenant {
    /// Writes a connector; durable when it returns. What is left out of its secrets stays.
    pub(crate) fn set_connector(
        &self,
        state: &NodeState,
        (name, provider): (&str, Provider),
        draft: Draft,
        by: &str,
        now: Millis,
    ) -> Result<(), PageError> {
        self.edit(state, CONNECTORS, name, by, now, |defined| {
            let known = defined.by_name.get(name);
            let connector = Connector::new(name, provider, draft, known)?;
            let others = defined.connectors.keys().filter(|of| ***of != *name).count();
            if others >= MAX_CONNECTORS {
                return Err(PageError::TooMany(MAX_CONNECTORS));
            }
            Ok(Some(connector.encode()))
        })?;
        lock(&self.pages.outbox).hurry(name);
        self.pages.wake.notify_one();
        Ok(())
    }

    /// Takes a connector away, if no route names it.
    pub(crate) fn remove_connector(
        &self,
        state: &NodeState,
        name: &str,
        by: &str,
        now: Millis,
    ) -> Result<(), PageError> {
        self.edit(state, CONNECTORS, name, by, now, |defined| {
            if !defined.connectors.contains_key(name) {
                return Err(PageError::unknown("connector", name));
            }
            let uses = |route: &&Route| route.connectors.contains(name);
            let used: Vec<&str> =
                defined.counting.iter().filter(uses).map(|route| &*route.name).collect();
            match used.is_empty() {
                true => Ok(None),
                false => Err(PageError::Used(name.into(), format!("route {}", used.join(", ")))),
            }
        })
    }

    /// Writes a route; durable when it returns.
    pub(crate) fn set_route(
        &self,
        state: &NodeState,
        route: Route,
        by: &str,
        now: Millis,
    ) -> Result<(), PageError> {
        let route = route.checked()?;
        self.edit(state, ROUTES, &route.name, by, now, |defined| {
            let missing = route.connectors.iter().find(|c| !defined.connectors.contains_key(*c));
            if let Some(missing) = missing {
                return Err(PageError::NoConnector(missing.to_string()));
            }
            let others = defined.routes.keys().filter(|of| **of != route.name).count();
            if others >= MAX_ROUTES {
                return Err(PageError::TooMany(MAX_ROUTES));
            }
            Ok(Some(route.encode()))
        })
    }

    /// Takes a route away.
    pub(crate) fn remove_route(
        &self,
        state: &NodeState,
        name: &str,
        by: &str,
        now: Millis,
    ) -> Result<(), PageError> {
        self.edit(state, ROUTES, name, by, now, |defined| {
            if !defined.routes.contains_key(name) {
                return Err(PageError::unknown("route", name));
            }
            Ok(None)
        })
    }

    fn edit(
        &self,
        state: &NodeState,
        area: &str,
        name: &str,
        by: &str,
        now: Millis,
        content: impl FnOnce(&Defined) -> Result<Option<Vec<u8>>, PageError>,
    ) -> Result<(), PageError> {
        let pages = &self.pages;
        let versions: Vec<DocVersion> = {
            // What is defined may not change while it is looked at.
            let _order = self.in_order();
            let content = content(&pages.defined())?;
            let place = (&pages.own.site, &pages.own.node);
            let new = lock(&pages.policies).edit((area, name), place, by, content, now)?;
            let written = std::slice::from_ref(&new);
            let committed = self.replica.put_records_on(Shelf::Policies, written, now)?;
            let records = [Record {
                shelf: Shelf::Policies,
                site: pages.own.site.clone(),
                node: pages.own.node.clone(),
                key: new.key,
                values: vec![new.value],
            }];
            pages.take_records(&records);
            self.notice_edits(&records);
            committed.versions
        };
        self.tell_pages(state, versions);
        Ok(())
    }
}
