//! Elements as people name them: an id, or an error with the names nearest to it.

use std::collections::BTreeSet;

use holm_graph::{MeantBySite, SnapshotFilter, TopologyGraph};
use holm_model::{EdgeId, ElementId, ElementIdError, Millis, NodeId, NodeKind, SiteId};
use holm_moment::{Moment, nearest};

use super::error::ApiError;
use super::params::clipped;
use super::questions::Asked;
use super::types::Timestamp;

/// Most names that an error suggests.
const SUGGESTIONS: usize = 5;

/// The id that `text` is, written in the one way to write it.
pub(super) fn id(text: &str) -> Result<ElementId, ElementIdError> {
    let id: ElementId = text.parse()?;
    // What was recorded in another way, if anything was, is still found as it was recorded.
    Ok(id.canonical().unwrap_or(id))
}

/// The id in the parameter `name`; a text that is none may be near one that is there.
pub(super) fn parse(moment: &Moment, name: &str, text: &str) -> Result<ElementId, ApiError> {
    id(text).map_err(|error| {
        let what = format!("{name}={}: {error}", clipped(text));
        match near(moment, text).as_slice() {
            [] => ApiError::bad_request(what),
            near => ApiError::not_found(format!("{what}; near it: {}", near.join(", "))),
        }
    })
}

/// The node that `text` in the parameter `name` means, by any of its names.
pub(super) fn node(
    asked: &Asked,
    moment: &Moment,
    name: &str,
    text: &str,
) -> Result<u32, ApiError> {
    match parse(moment, name, text)? {
        ElementId::Node(id) => match (moment.find_all(&id), placed(moment, text)) {
            ([], Some((id, site))) => moment.meant_by(&id, &site).ok_or_else(|| {
                ApiError::not_found(format!(
                    "{name}={}: {id} means nothing of {site}'s own",
                    clipped(text)
                ))
            }),
            ([], None) => Err(not_there(asked, moment, &ElementId::Node(id))),
            ([one], _) => Ok(*one),
            (several, _) => Err(ApiError::bad_request(format!(
                "{name}={id}: it means several things; ask for one: {}",
                one_of(moment, &id, several)
            ))),
        },
        ElementId::Edge(_) | ElementId::Path(_) | ElementId::Alias(_) => {
            Err(ApiError::bad_request(format!("{name}={}: it is no node", clipped(text))))
        }
    }
}

/// `name@site`: what a name that is there means at one site.
pub(super) fn placed(moment: &Moment, text: &str) -> Option<(NodeId, SiteId)> {
    let (name, site) = text.rsplit_once('@')?;
    let ElementId::Node(name) = id(name).ok()? else { return None };
    let site = SiteId::new(site).ok()?;
    let there = moment.find(&name).is_some() && moment.has_heard_of(&site);
    there.then_some((name, site))
}

/// The name in `name@site`, and what it means at a moment; `None` if the id is not of that form, or means
/// nothing of that site's own.
pub(super) fn of_a_site(
    graph: &TopologyGraph,
    id: &NodeId,
    at: Millis,
) -> Option<(NodeId, MeantBySite)> {
    let (name, site) = parts(id)?;
    let meant = graph.meant_by_site(&name, &site, at)?;
    Some((name, meant))
}

/// The name and the site of `name@site`.
fn parts(id: &NodeId) -> Option<(NodeId, SiteId)> {
    let text = id.to_string();
    let (name, site) = text.rsplit_once('@')?;
    let ElementId::Node(name) = self::id(name).ok()? else { return None };
    Some((name, SiteId::new(site).ok()?))
}

/// The filter with its centre, if that is `name@site`, as that site means it: then only the words of sites
/// that mean the same count.
pub(super) fn around_as_meant(
    graph: &TopologyGraph,
    mut filter: SnapshotFilter,
    at: Millis,
) -> Result<SnapshotFilter, ApiError> {
    let Some((centre, _)) = &mut filter.around else { return Ok(filter) };
    let meant = parts(centre).filter(|_| !graph.knows(centre));
    let Some((name, site)) = meant else { return Ok(filter) };
    let Some(meant) = graph.meant_by_site(&name, &site, at) else { return Ok(filter) };
    // A picture draws each name by itself: the one that was asked for, if anything is drawn by it.
    let there = |name: &NodeId| graph.is_meant_then(&meant.clone().only(name), at);
    let drawn = meant.names.iter().find(|(other, _)| *other == name && there(other));
    let drawn = drawn.or_else(|| meant.names.iter().find(|(other, _)| there(other)));
    let Some((drawn, by)) = drawn.cloned() else { return Ok(filter) };
    if let Some(mut by) = by {
        if let Some(wanted) = &filter.sites {
            by.retain(|site| wanted.contains(site));
        }
        if by.is_empty() {
            let what = format!("{centre} is not what these sites mean by {name}");
            return Err(ApiError::not_found(what));
        }
        filter.sites = Some(by);
    }
    *centre = drawn;
    Ok(filter)
}

/// The edge between two ends of which one or both are written `name@site`.
pub(super) fn edge(moment: &Moment, id: &EdgeId) -> Option<u32> {
    let end = |node: &NodeId| {
        let meant = placed(moment, &node.to_string());
        let meant = meant.and_then(|(name, site)| moment.meant_by(&name, &site));
        meant.or_else(|| moment.find(node))
    };
    moment.edge_between(end(&id.from)?, id.kind, end(&id.to)?)
}

/// How to ask for each of the things that a name means: by its place, or by another name of it.
fn one_of(moment: &Moment, name: &NodeId, several: &[u32]) -> String {
    let ways = several.iter().take(SUGGESTIONS).map(|&node| match moment.place(name, node) {
        Some(site) => format!("{name}@{site}"),
        None => moment.node(node).to_string(),
    });
    let more = several.len().saturating_sub(SUGGESTIONS);
    let more = (more > 0).then(|| format!("{more} more"));
    ways.chain(more).collect::<Vec<_>>().join(" or ")
}

/// The error for an element that is not in the topology at a moment.
pub(super) fn not_there(asked: &Asked, moment: &Moment, id: &ElementId) -> ApiError {
    let text = id.to_string();
    let is_of_form = |id: &ElementId| matches!(id, ElementId::Node(node) if matches!(node.kind(), NodeKind::Prefix | NodeKind::As));
    if let (true, Err(why)) = (is_of_form(id), id.canonical()) {
        return ApiError::bad_request(format!(
            "{}: {why}",
            text.chars().take(600).collect::<String>()
        ));
    }
    recorded(asked, id, "at that time").unwrap_or_else(|| {
        missing(&text, "is not in the topology at that time", &near(moment, &text))
    })
}

/// The error for an element that is not there at the moment asked about, but was recorded at others.
fn recorded(asked: &Asked, id: &ElementId, when: &str) -> Option<ApiError> {
    told_of_other_times(&asked.graph(), id, when).map(ApiError::not_found)
}

/// Until when an element was there that is not there `when` it was asked for, or since when it is.
fn told_of_other_times(graph: &TopologyGraph, id: &ElementId, when: &str) -> Option<String> {
    let element = graph.element(id)?;
    let intervals = element.sites.iter().flat_map(|site| site.intervals.as_slice());
    let last =
        intervals.max_by_key(|interval| (interval.to.is_none(), interval.to, interval.from))?;
    let text: String = id.to_string().chars().take(600).collect();
    Some(match last.to {
        Some(to) => {
            let before = Timestamp(Millis(to.0.saturating_sub(1)));
            format!(
                "{text} is not in the topology {when}: it was there until {}; ask with at={before}",
                Timestamp(to)
            )
        }
        None => format!(
            "{text} is not in the topology {when}: it is there since {}",
            Timestamp(last.from)
        ),
    })
}

/// The error for a node around which nothing can be shown at `at`.
pub(super) fn no_centre(
    asked: &Asked,
    at: Option<Millis>,
    centre: &NodeId,
    sites: &Option<Vec<SiteId>>,
) -> ApiError {
    let when = at.map_or_else(|| "now".into(), |at| format!("at {}", Timestamp(at)));
    let text = centre.to_string();
    if let Some(sites) = sites {
        let told = said_by_others(&asked.graph(), centre, at.unwrap_or(asked.now), sites);
        if let Some(told) = told {
            return ApiError::not_found(told);
        }
    }
    if let Some(error) = recorded(asked, &ElementId::Node(centre.clone()), &when) {
        return error;
    }
    match asked.moment(at) {
        Ok(moment) => {
            missing(&text, &format!("is not in the topology {when}"), &near(&moment, &text))
        }
        Err(error) => error,
    }
}

/// Who speaks of a node at a moment, if none of these sites does and others do.
fn said_by_others(
    graph: &TopologyGraph,
    centre: &NodeId,
    at: Millis,
    sites: &[SiteId],
) -> Option<String> {
    let around = Some((centre.clone(), 1));
    let all = SnapshotFilter { around, fold_aliases: true, ..SnapshotFilter::default() };
    let all = graph.snapshot(at, &all).ok()?;
    let node = all.nodes.iter().find(|node| node.id == *centre).or_else(|| all.nodes.first())?;
    let list = |sites: &[SiteId]| {
        let named: Vec<&str> = sites.iter().take(SUGGESTIONS).map(SiteId::as_str).collect();
        named.join(", ")
    };
    Some(format!(
        "{centre} is nothing that {} speaks of at that time; of it speaks {}",
        list(sites),
        list(&node.sites)
    ))
}

/// The error for an element that no site ever recorded.
pub(super) fn never_recorded(asked: &Asked, id: &ElementId) -> ApiError {
    let text = id.to_string();
    match asked.moment(None) {
        Ok(moment) if is_worked_out(&moment, id) => ApiError::not_found(format!(
            "{text} was recorded by no site: it is worked out from calls to an address at which that service serves; `holm whatif` takes it"
        )),
        Ok(moment) => missing(&text, "was never recorded by any site", &near(&moment, &text)),
        Err(error) => error,
    }
}

/// Whether an edge is there that no site recorded.
fn is_worked_out(moment: &Moment, id: &ElementId) -> bool {
    match id {
        ElementId::Edge(edge) => moment.find_edges(edge).next().is_some(),
        ElementId::Node(_) | ElementId::Path(_) | ElementId::Alias(_) => false,
    }
}

/// The error for an attribute that nothing has at `at`.
pub(super) fn no_attribute(asked: &Asked, at: Option<Millis>, key: &str, value: &str) -> ApiError {
    let graph = asked.graph();
    let at = at.unwrap_or(asked.now);
    let all = graph.snapshot(at, &SnapshotFilter::default()).unwrap_or_default();
    drop(graph);
    let nodes = all.nodes.iter().flat_map(|node| &node.attributes);
    let edges = all.edges.iter().flat_map(|edge| &edge.attributes);
    let known: BTreeSet<String> =
        nodes.chain(edges).map(|(key, value)| format!("attribute:{key}={value}")).collect();
    let wanted = format!("attribute:{key}={value}");
    let near = nearest(&wanted, known.iter().map(String::as_str), SUGGESTIONS);
    let near: Vec<String> = near.into_iter().map(str::to_owned).collect();
    missing(&wanted, "is said of nothing at that time", &near)
}

fn missing(what: &str, how: &str, near: &[String]) -> ApiError {
    let what: String = what.chars().take(600).collect();
    if near.is_empty() {
        return ApiError::not_found(format!("{what} {how}; `holm topology` lists what is"));
    }
    ApiError::not_found(format!("{what} {how}; near it: {}", near.join(", ")))
}

/// Names that `text` may have meant: those near it, or for an edge the edges of its ends.
fn near(moment: &Moment, text: &str) -> Vec<String> {
    let near = moment.unknown(text).near;
    let Ok(ElementId::Edge(wanted)) = id(text) else { return near };
    if !near.is_empty() {
        return near;
    }
    let ends = [&wanted.from, &wanted.to].map(|end| moment.find(end));
    let mut of_ends: Vec<(usize, String)> = moment
        .ids()
        .filter_map(|id| {
            let ElementId::Edge(edge) = id else { return None };
            let own = [&edge.from, &edge.to].map(|end| moment.find(end));
            let shared = own.iter().filter(|end| end.is_some() && ends.contains(end)).count();
            (shared > 0).then(|| (2 - shared.min(2), edge.to_string()))
        })
        .collect();
    of_ends.sort_unstable();
    of_ends.into_iter().take(SUGGESTIONS).map(|(_, id)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::record;

    /// Both sites lead over a router of one private address.
    fn routers() -> TopologyGraph {
        let mut graph = TopologyGraph::new();
        for site in ["berlin", "tokyo"] {
            for id in [
                format!("agent:{site}|path|hop:192.168.1.1"),
                format!("hop:192.168.1.1|path|host:{site}.example"),
            ] {
                record(&mut graph, site, &id, 1, None);
            }
        }
        graph
    }

    #[test]
    fn a_picture_around_what_a_site_means_is_drawn_by_the_words_of_that_site() {
        let graph = routers();
        let around = |centre: &str, sites: Option<&str>| {
            let filter = SnapshotFilter {
                around: Some((centre.parse().expect("valid"), 1)),
                sites: sites.map(|site| vec![site.parse().expect("valid")]),
                ..SnapshotFilter::default()
            };
            let filter = around_as_meant(&graph, filter, Millis(5)).map_err(|e| e.message)?;
            let snapshot = graph.snapshot(Millis(5), &filter).map_err(|error| error.to_string())?;
            Ok::<_, String>(snapshot.nodes.iter().map(|n| n.id.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(
            around("hop:192.168.1.1@tokyo", None).expect("it is there"),
            ["agent:tokyo", "hop:192.168.1.1", "host:tokyo.example"]
        );
        assert_eq!(around("hop:192.168.1.1", None).expect("it is there").len(), 5);
        let error = around("hop:192.168.1.1@tokyo", Some("berlin")).expect_err("of others");
        assert!(error.contains("not what these sites mean"), "{error}");
        around("hop:192.168.1.1@osaka", None).expect_err("no such site");
        // Everybody means the same.
        assert_eq!(around("host:tokyo.example@berlin", None).expect("it is there").len(), 2);
    }

    #[test]
    fn what_is_gone_is_told_with_until_when_and_how_to_ask_for_it() {
        let mut graph = TopologyGraph::new();
        record(&mut graph, "berlin", "agent:berlin|path|host:gone", 1_000, Some(3_000));
        record(&mut graph, "tokyo", "host:gone", 1_000, Some(5_000));
        record(&mut graph, "tokyo", "host:here", 4_000, None);
        let told =
            |id: &str| told_of_other_times(&graph, &id.parse().expect("valid"), "at that time");
        assert_eq!(
            told("host:gone").as_deref(),
            Some(
                "host:gone is not in the topology at that time: it was there until 1970-01-01T00:00:05.000Z; \
                 ask with at=1970-01-01T00:00:04.999Z"
            )
        );
        let since = told("host:here").expect("it is known");
        assert!(since.ends_with("it is there since 1970-01-01T00:00:04.000Z"), "{since}");
        assert_eq!(told("host:never"), None);
    }

    #[test]
    fn who_speaks_of_a_node_is_told_where_those_who_were_asked_for_do_not() {
        let mut graph = TopologyGraph::new();
        record(&mut graph, "berlin", "service:web|flow|host:x", 1_000, Some(3_000));
        let asked = |site: &str, at| {
            let sites = [site.parse().expect("valid")];
            said_by_others(&graph, &"service:web".parse().expect("valid"), Millis(at), &sites)
        };
        let told = asked("tokyo", 2_000).expect("berlin speaks of it");
        assert_eq!(
            told,
            "service:web is nothing that tokyo speaks of at that time; of it speaks berlin"
        );
        assert_eq!(asked("tokyo", 4_000), None, "nobody does");
    }
}
