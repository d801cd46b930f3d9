//! What one trace found, as rows and as facts.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use holm_asn::AsTable;
use holm_model::{Millis, NodeKind, NodeObservation, NodeRef, PathObservation, Row};
use holm_plane::PlaneContext;

use crate::Config;
use crate::engine::Multipath;
use crate::kept::Kept;
use crate::plane::Traced;
use crate::systems;

/// Most characters of a text column.
const MAX_TEXT: usize = 2_000;
/// A path is held at least this long after it was last seen.
const SHORTEST_HOLD: Duration = Duration::from_secs(60);
/// The round trip has shifted when it is off by a quarter and by this much.
const SHIFT_MS: f64 = 5.0;

/// What the next trace of the same target is compared with: the ways of the flows that keep their ports.
/// The other flows are drawn anew each time, and what they meet says nothing of a change.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    ways: Vec<Vec<Option<IpAddr>>>,
    reached: bool,
    rtt_ms: Option<f64>,
    mtu: Option<u32>,
}

impl Seen {
    fn of(result: &Multipath, mtu: Option<u32>) -> Self {
        let steady = |index: usize| result.hops.get(index).is_none_or(|hop| !hop.per_packet);
        let way = |hops: &[Option<IpAddr>]| {
            let known = |(index, hop): (usize, &Option<IpAddr>)| hop.filter(|_| steady(index));
            hops.iter().enumerate().map(known).collect()
        };
        Self {
            ways: result.flows.iter().map(|flow| way(&flow.hops)).collect(),
            reached: result.reached(),
            rtt_ms: result.rtt.map(|rtt| rtt.min_ms),
            mtu,
        }
    }

    fn hops(&self) -> BTreeSet<IpAddr> {
        self.ways.iter().flatten().flatten().copied().collect()
    }

    /// The systems of the first flow's way.
    fn systems(&self, system_of: &dyn Fn(IpAddr) -> Option<u32>) -> String {
        let way = self.ways.first().map(Vec::as_slice).unwrap_or_default();
        text(systems::path_text(&systems::as_path(way, system_of)).chars())
    }

    fn length(&self) -> usize {
        self.ways.first().map_or(0, Vec::len)
    }

    /// What is other than before. A hop that did not answer this time, or the last, is no change.
    fn changes(
        &self,
        before: &Self,
        system_of: &dyn Fn(IpAddr) -> Option<u32>,
    ) -> Vec<&'static str> {
        let mut changes = Vec::new();
        let pairs = || self.ways.iter().zip(&before.ways);
        let other = |(now, then): (&Option<IpAddr>, &Option<IpAddr>)| {
            now.is_some() && then.is_some() && now != then
        };
        if pairs().any(|(now, then)| now.iter().zip(then).any(other)) {
            changes.push("hops");
        }
        if self.reached && before.reached && pairs().any(|(now, then)| now.len() != then.len()) {
            changes.push("length");
        }
        // Of the same hops a table that was read anew may say otherwise: that is no change of the way.
        if !changes.is_empty()
            && self.reached
            && before.reached
            && pairs().any(|(now, then)| systems::is_other(now, then, system_of))
        {
            changes.push("as_path");
        }
        if self.reached != before.reached {
            changes.push("reached");
        }
        if let (Some(now), Some(then)) = (self.rtt_ms, before.rtt_ms)
            && (now - then).abs() > SHIFT_MS.max(then / 4.0)
        {
            changes.push("rtt");
        }
        if self.mtu.zip(before.mtu).is_some_and(|(now, then)| now != then) {
            changes.push("mtu");
        }
        changes
    }
}

/// Writes the rows and the facts of a trace; what the next one is compared with.
pub(crate) fn report(
    traced: &Traced,
    before: Option<Seen>,
    config: &Config,
    context: &PlaneContext,
    table: &AsTable,
) -> Option<Seen> {
    let at = Millis::now();
    let result = match &traced.result {
        Ok(result) => result,
        Err(error) => {
            let row = head("path_results", traced, at).with("success", false);
            context.rows.append(row.with("error", text(error.chars())));
            return before;
        }
    };
    let ways = Kept::from(result).to_text();
    if ways.is_none() {
        context.health.count("ways_too_long", 1);
    }
    context.rows.append(row(traced, result, at).with_some("path.ways", ways));
    observe(traced, result, config, context, at);
    if !is_whole(result) {
        context.health.count("cut_short", 1);
        return before;
    }
    // What was not found this time is no change, and the next is compared with what was.
    let mtu = traced.mtu.map(|found| found.mtu);
    let known = mtu.or_else(|| before.as_ref().and_then(|before| before.mtu));
    let now = Seen::of(result, known);
    let system_of = |address| table.origin(address).map(|origin| origin.number);
    if let Some(before) = before {
        let changes = now.changes(&before, &system_of);
        if !changes.is_empty() {
            context.health.count("changes", 1);
            let mut row = change(traced, &before, &now, &changes, at);
            if changes.contains(&"as_path") {
                let path = |seen: &Seen| seen.systems(&system_of);
                row = row.with("as_path", path(&now)).with("as_path.before", path(&before));
            }
            if changes.contains(&"mtu") {
                row = row.with_some("mtu", now.mtu).with_some("mtu.before", before.mtu);
                let hop = traced.mtu.and_then(|found| found.hop);
                row = row.with_some("mtu.hop", hop.map(|hop| hop.to_string()));
            }
            context.rows.append(row);
        }
    }
    Some(now)
}

/// Whether what is not in it is not there: as far as the bound says.
fn is_whole(result: &Multipath) -> bool {
    use crate::engine::Outcome;
    !matches!(result.outcome, Outcome::Budget | Outcome::Deadline | Outcome::Stopped)
}

fn head(table: &'static str, traced: &Traced, at: Millis) -> Row {
    let job = &traced.job;
    let mut row = Row::new(table, at)
        .with("target", job.name.as_str())
        .with("kind", if job.peer.is_some() { "mesh" } else { "configured" })
        .with("probed", job.host.as_str())
        .with("protocol", job.protocol.as_str())
        .with_some("peer.site", job.peer.as_ref().map(|site| site.as_str()));
    if let Some(address) = traced.address {
        let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        row = row.with("server.address", address.to_string()).with("network.type", family);
    }
    row
}

fn row(traced: &Traced, result: &Multipath, at: Millis) -> Row {
    let interfaces = || result.hops.iter().flat_map(|hop| &hop.interfaces);
    let widths: Vec<String> =
        result.hops.iter().map(|hop| hop.interfaces.len().to_string()).collect();
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let lost: u32 = result.hops.iter().map(|hop| hop.loss.lost).sum();
    let terminal: u32 = result.hops.iter().map(|hop| hop.loss.terminal).sum();
    let mut row = head("path_results", traced, at)
        .with("success", result.reached())
        .with("method", traced.method.to_string())
        .with("outcome", result.outcome.as_str())
        .with("path.hops", text(hops_text(result).chars()))
        .with("path.widths", text(widths.join(",").chars()))
        .with("path.width", count(result.width()))
        .with("path.length", count(result.hops.len()))
        .with("path.probes", result.probes)
        .with("path.epsilon", result.epsilon)
        .with_some("path.failure_bound", result.failure_bound)
        .with("path.looped", result.looped)
        .with("path.meshed", result.hops.iter().any(|hop| hop.meshed))
        .with("path.per_packet", result.hops.iter().any(|hop| hop.per_packet))
        .with("path.rate_limited", result.hops.iter().any(|hop| hop.rate_limited))
        .with("path.rewritten", interfaces().any(|interface| interface.rewritten))
        .with("path.mpls", interfaces().any(|interface| !interface.labels.is_empty()))
        .with("path.lost", lost)
        .with("path.lost.terminal", terminal)
        .with_some("path.loss.ratio", result.forwarding_loss())
        .with_some("path.as_path", as_path_text(result))
        .with_some(
            "path.hops.as",
            systems::hops_text(result, &|system| Some(system.number.to_string()))
                .map(|t| text(t.chars())),
        )
        .with_some(
            "path.hops.country",
            systems::hops_text(result, &|system| system.country.clone()).map(|t| text(t.chars())),
        )
        .with("duration_ms", traced.took.as_secs_f64() * 1_000.0);
    if let Some(mtu) = &traced.mtu {
        row = row
            .with("path.mtu", mtu.mtu)
            .with("path.mtu.how", mtu.how.as_str())
            .with_some("path.mtu.hop", mtu.hop.map(|hop| hop.to_string()));
    }
    if let Some(rtt) = result.rtt {
        row = row
            .with("path.rtt.min_ms", rtt.min_ms)
            .with("path.rtt.avg_ms", rtt.avg_ms)
            .with("path.rtt.max_ms", rtt.max_ms);
    }
    row
}

/// The systems of the first flow's way; none without a table that knows one.
fn as_path_text(result: &Multipath) -> Option<String> {
    let path = systems::as_path_of(result)?;
    Some(text(systems::path_text(&path).chars()))
}

/// `10.0.0.1 | 10.1.0.1,10.2.0.1 | * | 192.0.2.7`.
fn hops_text(result: &Multipath) -> String {
    let hops = result.hops.iter().map(|hop| {
        let mut addresses: Vec<String> =
            hop.interfaces.iter().map(|interface| interface.address.to_string()).collect();
        addresses.sort();
        if addresses.is_empty() { "*".to_owned() } else { addresses.join(",") }
    });
    hops.collect::<Vec<_>>().join(" | ")
}

fn change(traced: &Traced, before: &Seen, now: &Seen, changes: &[&str], at: Millis) -> Row {
    let list = |one: &BTreeSet<IpAddr>, other: &BTreeSet<IpAddr>| {
        let only: Vec<String> = one.difference(other).map(ToString::to_string).collect();
        text(only.join(",").chars())
    };
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    head("path_changes", traced, at)
        .with("change", changes.join(","))
        .with("hops.added", list(&now.hops(), &before.hops()))
        .with("hops.removed", list(&before.hops(), &now.hops()))
        .with("length", count(now.length()))
        .with("length.before", count(before.length()))
        .with("reached", now.reached)
        .with_some("rtt_ms", now.rtt_ms)
        .with_some("rtt_ms.before", before.rtt_ms)
}

/// The ways of the flows that got there.
fn observe(
    traced: &Traced,
    result: &Multipath,
    config: &Config,
    context: &PlaneContext,
    at: Millis,
) {
    let hold = (config.interval * 3).max(SHORTEST_HOLD);
    let hold_ms = u32::try_from(hold.as_millis()).unwrap_or(u32::MAX);
    let agent = NodeRef { kind: NodeKind::Agent, name: context.site.as_str() };
    context.facts.observe_node(&NodeObservation { node: agent, attributes: &[], at, hold_ms });
    let target = result.target.to_string();
    let method = traced.method.to_string();
    let peer = traced.job.peer.as_ref().map(|site| ("holm.peer.site", site.as_str()));
    let mut attributes = vec![("holm.path.method", method.as_str())];
    attributes.extend(peer);
    for way in result.flows.iter().filter(|way| way.reached) {
        let between = way.hops.len().saturating_sub(1);
        let names: Vec<Option<String>> =
            way.hops[..between].iter().map(|hop| hop.map(|address| address.to_string())).collect();
        let hops: Vec<Option<NodeRef<'_>>> = names
            .iter()
            .map(|name| name.as_deref().map(|name| NodeRef { kind: NodeKind::Hop, name }))
            .collect();
        let job = &traced.job;
        let flow = match job.protocol {
            crate::wire::Protocol::Icmp => format!("icmp-{}", way.flow),
            protocol => format!("{}-{}-{}", protocol.as_str(), job.port, way.flow),
        };
        context.facts.observe_path(&PathObservation {
            agent,
            target: NodeRef { kind: NodeKind::Host, name: &target },
            flow: &flow,
            hops: &hops,
            attributes: &attributes,
            at,
            hold_ms,
        });
    }
}

fn text(characters: std::str::Chars<'_>) -> String {
    characters.take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(ways: &[&[u8]], reached: bool, rtt_ms: f64) -> Seen {
        // 0: did not answer.
        let hop = |last: &u8| (*last > 0).then(|| IpAddr::from([10, 0, 0, *last]));
        let ways = ways.iter().map(|way| way.iter().map(hop).collect()).collect();
        Seen { ways, reached, rtt_ms: Some(rtt_ms), mtu: None }
    }

    #[test]
    fn a_change_is_another_way_of_the_same_flow() {
        let before = seen(&[&[1, 2, 9], &[1, 3, 9]], true, 20.0);
        for (now, changes) in [
            (seen(&[&[1, 2, 9], &[1, 3, 9]], true, 24.0), vec![]),
            (seen(&[&[1, 0, 9], &[1, 3, 9]], true, 20.0), vec![]),
            (seen(&[&[1, 3, 9], &[1, 3, 9]], true, 20.0), vec!["hops"]),
            (seen(&[&[1, 2, 4, 9], &[1, 3, 9]], true, 26.0), vec!["hops", "length", "rtt"]),
            (seen(&[&[1, 2], &[1, 3]], false, 20.0), vec!["reached"]),
        ] {
            assert_eq!(now.changes(&before, &|_| None), changes, "{now:?}");
        }
        let with = |mtu| Seen { mtu, ..seen(&[&[1, 9]], true, 20.0) };
        for (now, then, changes) in [
            (Some(1_400), Some(1_500), vec!["mtu"]),
            (Some(1_400), Some(1_400), vec![]),
            (None, Some(1_500), vec![]),
            (Some(1_400), None, vec![]),
        ] {
            assert_eq!(with(now).changes(&with(then), &|_| None), changes);
        }
        // Hops below 3 are of one system, others of another; 9 is the target's.
        let system_of = |address: IpAddr| match address {
            IpAddr::V4(address) if address.octets()[3] < 3 => Some(1),
            _ => Some(2),
        };
        for (now, then, changes) in [
            (&[1, 2, 9], &[1, 3, 9], vec!["hops"]),
            (&[1, 3, 9], &[4, 3, 9], vec!["hops", "as_path"]),
        ] {
            let (now, then) = (seen(&[now], true, 20.0), seen(&[then], true, 20.0));
            assert_eq!(now.changes(&then, &system_of), changes);
        }
    }
}
