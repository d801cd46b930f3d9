//! What the questions of [`super::ask`] answer, as text.

use std::fmt::Write;

use super::render::{Table, clean};
use crate::api::attribute_view::AttributeView;
use crate::api::impact_types::{
    AgentTarget, BrokenPathView, ChangeList, CompareView, ComponentList, DependentList, DiffView,
    FoundList, ImpactView, ImpactedServiceView, LayerView, NeighbourList, RouteStatusView,
    RouteView, SideTotals, SpofList, WaysView,
};
use crate::api::topology_types::{CoverageView, DirectionView, FreshnessView};
use crate::api::types::{SiteStateView, Timestamp};

pub(super) fn impact_text(impact: &ImpactView) -> String {
    let mut text = String::new();
    let when = if impact.live { format!("now, {}", impact.at) } else { impact.at.to_string() };
    let totals = &impact.totals;
    for (what, list, total) in
        [("fails", &impact.failed, totals.failed), ("is drained", &impact.drained, totals.drained)]
    {
        if !list.is_empty() {
            let _ = writeln!(text, "what {what} ({when}): {}", listed(list, total));
        }
    }
    head(&mut text, "broken paths", impact.broken_paths.len(), totals.broken_paths);
    impact.broken_paths.iter().for_each(|path| broken(&mut text, path));
    head(&mut text, "rerouted paths", impact.rerouted_paths.len(), totals.rerouted_paths);
    for path in &impact.rerouted_paths {
        let flows = match (path.flows_affected, path.flows) {
            (Some(affected), Some(all)) => format!(", {affected} of {all} flows"),
            _ => String::new(),
        };
        let _ = writeln!(text, "  {} → {}{flows}", clean(&path.from), clean(&path.to));
        let _ = writeln!(text, "    now     {}", way(&path.route));
        let known = known(path.status, path.last_taken);
        let _ = writeln!(text, "    instead {} ({known})", way(&path.alt_route));
    }
    if totals.stranded_paths > 0 {
        head(
            &mut text,
            "paths that stay for want of another",
            impact.stranded_paths.len(),
            totals.stranded_paths,
        );
        impact.stranded_paths.iter().for_each(|path| broken(&mut text, path));
    }
    if totals.stranded_services > 0 {
        let shown = impact.stranded_services.len();
        head(&mut text, "services that go on calling it", shown, totals.stranded_services);
        callers(&mut text, &impact.stranded_services);
    }
    if totals.stranded_prefixes > 0 {
        let shown = impact.stranded_prefixes.len();
        head(&mut text, "prefixes with no other way", shown, totals.stranded_prefixes);
        for id in &impact.stranded_prefixes {
            let _ = writeln!(text, "  {}", clean(id));
        }
    }
    head(&mut text, "impacted services", impact.impacted_services.len(), totals.impacted_services);
    callers(&mut text, &impact.impacted_services);
    head(&mut text, "impacted prefixes", impact.impacted_prefixes.len(), totals.impacted_prefixes);
    for prefix in &impact.impacted_prefixes {
        let loss = format!("{:?}", prefix.loss).to_lowercase();
        let _ = writeln!(text, "  {}  {loss}", clean(&prefix.id));
    }
    head(&mut text, "disconnected", impact.disconnected.len(), totals.disconnected);
    for id in &impact.disconnected {
        let _ = writeln!(text, "  {}", clean(id));
    }
    if let Some(slos) = &impact.impacted_slos {
        head(&mut text, "impacted SLOs", slos.len(), totals.impacted_slos);
        for slo in slos {
            let _ = writeln!(text, "  {}", clean(slo));
        }
    }
    stands_on(&mut text, &impact.coverage, &impact.freshness);
    text
}

fn head(text: &mut String, what: &str, shown: usize, total: u64) {
    let _ = match shown as u64 == total {
        true => writeln!(text, "{what}: {total}"),
        false => writeln!(text, "{what}: showing {shown} of {total}"),
    };
}

fn callers(text: &mut String, services: &[ImpactedServiceView]) {
    for ImpactedServiceView { id, distance } in services {
        let away =
            if *distance == 1 { "directly".into() } else { format!("{distance} steps away") };
        let _ = writeln!(text, "  {}  {away}", clean(id));
    }
}

fn broken(text: &mut String, path: &BrokenPathView) {
    let _ = writeln!(text, "  {} → {}", clean(&path.from), clean(&path.to));
    let _ = writeln!(text, "    {} ({})", way(&path.route), status(path.status));
}

fn way(route: &[Option<String>]) -> String {
    let named: Vec<String> =
        route.iter().map(|hop| hop.as_deref().map_or("*".into(), clean)).collect();
    named.join(" → ")
}

/// How it is known, and since when it is not taken any more.
fn known(how: RouteStatusView, last_taken: Option<Timestamp>) -> String {
    let taken = last_taken.map_or(String::new(), |at| format!(", taken until {at}"));
    format!("{}{taken}", status(how))
}

const fn status(status: RouteStatusView) -> &'static str {
    match status {
        RouteStatusView::Inferred => "inferred",
        RouteStatusView::Observed => "observed",
    }
}

/// What is missing, and whose part is not live.
fn stands_on(text: &mut String, coverage: &CoverageView, freshness: &FreshnessView) {
    for note in &coverage.notes {
        let _ = writeln!(text, "note: {}", clean(note));
    }
    for site in &freshness.sites {
        if !matches!(site.state, SiteStateView::Here | SiteStateView::Live) {
            let as_of = site.as_of.map_or("never".into(), |at| at.to_string());
            let _ = writeln!(text, "note: {} is not live; its part is as of {as_of}", site.site);
        }
    }
}

pub(super) fn ways_text(ways: &WaysView) -> String {
    let mut text = String::new();
    for route in &ways.routes {
        let _ = writeln!(
            text,
            "{}  ({} hops, {}, {})",
            steps(route),
            route.hops,
            latency(route),
            known(route.status, route.last_taken)
        );
    }
    if !ways.complete {
        text.push_str("the search was broken off: there may be other ways, also shorter than the last of these\n");
    }
    if ways.routes.is_empty() {
        text.push_str("no way of known links leads from the one to the other");
        text.push_str(match ways.layer {
            LayerView::Network => " in the network",
            LayerView::Calls => " by calls",
        });
        text.push_str(if ways.directed {
            " as edges point; --undirected also looks against them\n"
        } else {
            "\n"
        });
    }
    if ways.routes.iter().flat_map(|route| &route.steps).any(|step| step.same_place) {
        text.push_str("· is no hop: the one runs on the other, or both are at one site\n");
    }
    for path in &ways.observed {
        let _ = writeln!(text, "seen: {} (flow {})", way(&path.route), clean(&path.flow));
    }
    cut_short(&mut text, "observed paths", ways.observed.len(), ways.observed_total);
    for path in ways.seen.iter().flat_map(|seen| &seen.items) {
        let when: Vec<String> = path
            .intervals
            .iter()
            .map(|i| format!("{} – {}", i.from, i.to.map_or("now".into(), |to| to.to_string())))
            .collect();
        let _ = writeln!(text, "taken: {} (flow {})", way(&path.route), clean(&path.flow));
        let _ = writeln!(text, "       {}", when.join(", "));
    }
    if let Some(seen) = &ways.seen {
        cut_short(&mut text, "paths that were taken", seen.items.len(), seen.total);
    }
    if let Some(seen) = ways.seen.as_ref().filter(|seen| seen.total == 0) {
        let _ = writeln!(text, "no path between them was seen hop by hop since {}", seen.since);
    }
    if ways.ecmp_width > 1 {
        let _ = writeln!(text, "up to {} nodes side by side on the shortest ways", ways.ecmp_width);
    }
    stands_on(&mut text, &ways.coverage, &ways.freshness);
    text
}

/// The nodes of a way; an arrow to the left stands where an edge is gone against its direction.
fn steps(route: &RouteView) -> String {
    let mut text = route.nodes.first().map(|first| clean(first)).unwrap_or_default();
    for (node, step) in route.nodes.iter().skip(1).zip(&route.steps) {
        text.push_str(match step.direction {
            _ if step.same_place => " · ",
            DirectionView::Out => " → ",
            DirectionView::In => " ← ",
        });
        text.push_str(&clean(node));
    }
    text
}

/// What was measured of a way, and of how much of it.
fn latency(route: &RouteView) -> String {
    let measured = route.hops.saturating_sub(route.unmeasured as usize);
    let sum = route.latency_ms.map_or(String::new(), |ms| format!(": {ms:.2} ms"));
    format!("{measured} of {} hops measured{sum}", route.hops)
}

pub(super) fn changes_text(list: &ChangeList) -> String {
    let mut table = Table::new(["FROM", "OPENED", "CLOSED", "CHANGED"]);
    for part in &list.items {
        table.row([
            part.from.to_string(),
            part.opened.to_string(),
            part.closed.to_string(),
            part.changed.to_string(),
        ]);
    }
    let mut text = table.to_string();
    stands_on(&mut text, &list.coverage, &list.freshness);
    text
}

pub(super) fn spof_text(list: &SpofList) -> String {
    let mut table = Table::new(["NODE", "BLAST", "PATHS", "SERVICES", "CUT OFF"]);
    for spof in &list.items {
        table.row([
            spof.id.clone(),
            spof.blast_radius.to_string(),
            spof.broken_paths.to_string(),
            spof.impacted_services.to_string(),
            spof.disconnected.to_string(),
        ]);
    }
    let mut text = table.to_string();
    cut_short(&mut text, "nodes", list.items.len(), list.total);
    stands_on(&mut text, &list.coverage, &list.freshness);
    text
}

pub(super) fn diff_text(diff: &DiffView) -> String {
    let mut text = format!("from {} to {}\n", diff.from, diff.to);
    for (sign, what, list) in [
        ('+', "appeared", &diff.appeared),
        ('-', "vanished", &diff.vanished),
        ('~', "returned", &diff.returned),
    ] {
        head(&mut text, what, list.items.len(), list.total);
        for id in &list.items {
            let _ = writeln!(text, "  {sign} {}", clean(id));
        }
    }
    head(&mut text, "changed", diff.changed.items.len(), diff.changed.total);
    for element in &diff.changed.items {
        let _ = writeln!(text, "  * {}", clean(&element.id));
        for change in &element.attributes {
            let value = |value: &Option<AttributeView>| {
                value.as_ref().map_or("(none)".into(), |value| clean(&value.to_string()))
            };
            let (before, after) = (value(&change.before), value(&change.after));
            let _ = writeln!(text, "      {}: {before} → {after}", clean(&change.key));
        }
    }
    if diff.unknown.total > 0 {
        let what = "not known any more whether it changed";
        head(&mut text, what, diff.unknown.items.len(), diff.unknown.total);
    }
    for element in &diff.unknown.items {
        let keys = if element.keys.is_empty() { "all".into() } else { element.keys.join(", ") };
        let told = format!("{}: {keys}, before {}", element.id, element.known_from);
        let _ = writeln!(text, "  ? {}", clean(&told));
    }
    stands_on(&mut text, &diff.coverage, &diff.freshness);
    text
}

pub(super) fn compare_text(compare: &CompareView) -> String {
    let mut text = String::new();
    for (side, impact) in [("left", &compare.left), ("right", &compare.right)] {
        let _ =
            writeln!(text, "{side}: what fails: {}", listed(&impact.failed, impact.totals.failed));
        if !impact.drained.is_empty() {
            let drained = listed(&impact.drained, impact.totals.drained);
            let _ = writeln!(text, "{side}: what is drained: {drained}");
        }
    }
    let pairs = |pairs: &[AgentTarget]| -> Vec<String> {
        pairs.iter().map(|pair| format!("{} → {}", pair.from, pair.to)).collect()
    };
    for (what, sides) in [
        ("broken paths", &compare.broken_paths),
        ("rerouted paths", &compare.rerouted_paths),
        ("stranded paths", &compare.stranded_paths),
    ] {
        let lists = [pairs(&sides.only_left), pairs(&sides.only_right), pairs(&sides.both)];
        side_by_side(&mut text, what, &lists, &sides.totals);
    }
    for (what, sides) in [
        ("stranded services", &compare.stranded_services),
        ("stranded prefixes", &compare.stranded_prefixes),
        ("impacted services", &compare.impacted_services),
        ("impacted prefixes", &compare.impacted_prefixes),
        ("disconnected", &compare.disconnected),
        ("impacted SLOs", &compare.impacted_slos),
    ] {
        let lists = [sides.only_left.clone(), sides.only_right.clone(), sides.both.clone()];
        side_by_side(&mut text, what, &lists, &sides.totals);
    }
    if !compare.complete {
        text.push_str("note: a list is too long to be compared whole: what is on one side only may be on both\n");
    }
    for note in
        compare.left.coverage.notes.iter().filter(|n| !compare.right.coverage.notes.contains(n))
    {
        let _ = writeln!(text, "note (left): {}", clean(note));
    }
    stands_on(&mut text, &compare.right.coverage, &compare.right.freshness);
    text
}

fn side_by_side(text: &mut String, what: &str, sides: &[Vec<String>; 3], totals: &SideTotals) {
    let [left, right, both] = sides;
    let (l, r, b) = (totals.only_left, totals.only_right, totals.both);
    let _ = writeln!(text, "{what}: {l} on the left only, {r} on the right only, {b} on both");
    for (sign, list, total) in [('<', left, l), ('>', right, r), ('=', both, b)] {
        for item in list {
            let _ = writeln!(text, "  {sign} {}", clean(item));
        }
        let left_out = total.saturating_sub(list.len() as u64);
        if left_out > 0 {
            let _ = writeln!(text, "  {sign} and {left_out} more: --limit shows them");
        }
    }
}

/// The first names of a list that has `total`.
fn listed(ids: &[String], total: u64) -> String {
    let shown: Vec<String> = ids.iter().take(10).map(|id| clean(id)).collect();
    let cut = match total.saturating_sub(shown.len() as u64) {
        0 => String::new(),
        _ => format!(" (showing {} of {total})", shown.len()),
    };
    format!("{}{cut}", shown.join(", "))
}

pub(super) fn nearby_text(list: &NeighbourList) -> String {
    let mut text = String::new();
    for near in &list.items {
        let _ = writeln!(text, "{:>3}  {}", near.distance, clean(&near.id));
    }
    cut_short(&mut text, "nodes", list.items.len(), list.total);
    stands_on(&mut text, &list.coverage, &list.freshness);
    text
}

pub(super) fn dependents_text(list: &DependentList) -> String {
    let mut text = String::new();
    for id in &list.items {
        let _ = writeln!(text, "{}", clean(id));
    }
    if list.total == 0 {
        text.push_str("nothing hangs on it\n");
    }
    cut_short(&mut text, "nodes", list.items.len(), list.total);
    stands_on(&mut text, &list.coverage, &list.freshness);
    text
}

pub(super) fn components_text(list: &ComponentList) -> String {
    let mut text = String::new();
    for part in &list.items {
        let named: Vec<String> = part.nodes.iter().map(|id| clean(id)).collect();
        let more = if part.size > named.len() as u64 { ", …" } else { "" };
        let _ = writeln!(text, "{:>6}  {}{more}", part.size, named.join(", "));
    }
    cut_short(&mut text, "parts", list.items.len(), list.total);
    stands_on(&mut text, &list.coverage, &list.freshness);
    text
}

pub(super) fn cut_short(text: &mut String, what: &str, shown: usize, total: u64) {
    if total > shown as u64 {
        let _ = writeln!(text, "showing {shown} of {total} {what}");
    }
}

pub(super) fn found_text(found: &FoundList) -> String {
    let mut text = String::new();
    for id in &found.items {
        let by = found.matched.get(id).or_else(|| found.attributes.get(id));
        let by = by.map_or(String::new(), |by| format!("  (by {by})"));
        let _ = writeln!(text, "{}", clean(&format!("{id}{by}")));
    }
    if found.total == 0 {
        text.push_str("nothing fits\n");
    }
    cut_short(&mut text, "nodes", found.items.len(), found.total);
    stands_on(&mut text, &found.coverage, &found.freshness);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::impact_types::StepView;
    use holm_model::EdgeKind;

    #[test]
    fn a_way_shows_where_it_goes_against_an_edge_and_how_much_of_it_was_measured() {
        let step =
            |direction| StepView { direction, kinds: vec![EdgeKind::Flow], same_place: false };
        let route = RouteView {
            nodes: vec!["agent:a".into(), "host:b".into(), "service:c".into()],
            steps: vec![step(DirectionView::Out), step(DirectionView::In)],
            hops: 2,
            latency_ms: Some(0.154),
            unmeasured: 1,
            status: RouteStatusView::Inferred,
            last_taken: None,
        };
        assert_eq!(known(route.status, route.last_taken), "inferred");
        let taken = known(RouteStatusView::Observed, Some(Timestamp(holm_model::Millis(0))));
        assert_eq!(taken, "observed, taken until 1970-01-01T00:00:00.000Z");
        assert_eq!(steps(&route), "agent:a → host:b ← service:c");
        assert_eq!(latency(&route), "1 of 2 hops measured: 0.15 ms");
        let none = RouteView { latency_ms: None, unmeasured: 2, ..route };
        assert_eq!(latency(&none), "0 of 2 hops measured");
    }

    #[test]
    fn a_list_that_was_cut_short_says_so() {
        let ids = ["a".to_owned(), "b".to_owned()];
        assert_eq!(listed(&ids, 2), "a, b");
        assert_eq!(listed(&ids, 900), "a, b (showing 2 of 900)");
    }
}
