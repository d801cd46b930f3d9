//! A trace for people and for other programs.

use std::fmt::Write;
use std::net::IpAddr;

use crate::engine::{Alias, Multipath, Outcome, ReplyKind};

/// The result as one JSON document.
///
/// # Errors
/// None that a result can bring about; serde_json's own.
pub fn to_json(result: &Multipath) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(result)
}

/// The ways as a graph that Graphviz reads. A node is an interface at a hop: one that answers at two
/// hops stands twice.
pub fn to_dot(result: &Multipath) -> String {
    let mut dot = String::from("digraph path {\n  rankdir=LR;\n  node [shape=box];\n");
    for hop in &result.hops {
        if hop.interfaces.is_empty() {
            let _ = writeln!(dot, "  \"{} *\" [label=\"*\", style=dashed];", hop.ttl);
        }
        for interface in &hop.interfaces {
            let labels: String =
                interface.labels.iter().map(|label| format!("\\nMPLS {}", label.label)).collect();
            let nat = if interface.rewritten { "\\nNAT" } else { "" };
            let system = interface.system.as_ref().map(|s| format!("\\n{}", quoted(s)));
            let system = system.unwrap_or_default();
            let place =
                interface.place.as_ref().map(|p| format!("\\n{}", quoted(p))).unwrap_or_default();
            let _ = writeln!(
                dot,
                "  \"{} {}\" [label=\"{}\\n{:.2} ms{labels}{nat}{system}{place}\"];",
                hop.ttl, interface.address, interface.address, interface.rtt.min_ms
            );
        }
    }
    for (hop, alias) in result.hops.iter().flat_map(|hop| hop.aliases.iter().map(move |a| (hop, a)))
    {
        let pairs = alias.addresses.windows(2);
        for pair in pairs {
            let _ = writeln!(
                dot,
                "  \"{ttl} {}\" -> \"{ttl} {}\" [style=dotted, dir=none, constraint=false, label=\"one router?\"];",
                pair[0],
                pair[1],
                ttl = hop.ttl
            );
        }
    }
    for link in &result.links {
        let style = if link.flows.is_empty() { " [style=dotted]" } else { "" };
        let (from, to) = (link.ttl, link.ttl + 1);
        let _ = writeln!(dot, "  \"{from} {}\" -> \"{to} {}\"{style};", link.from, link.to);
    }
    // Around a silent hop nobody knows which interface leads where.
    for pair in result.hops.windows(2) {
        let ends = |hop: &crate::engine::Hop| -> Vec<String> {
            if hop.interfaces.is_empty() {
                return vec![format!("{} *", hop.ttl)];
            }
            hop.interfaces.iter().map(|i| format!("{} {}", hop.ttl, i.address)).collect()
        };
        if pair.iter().any(|hop| hop.interfaces.is_empty()) {
            for from in ends(&pair[0]) {
                for to in ends(&pair[1]) {
                    let _ = writeln!(dot, "  \"{from}\" -> \"{to}\" [style=dashed];");
                }
            }
        }
    }
    dot.push_str("}\n");
    dot
}

/// For a label of DOT: the table is the operator's, its names may have any character.
fn quoted(of: &impl ToString) -> String {
    let text = of.to_string();
    text.chars()
        .filter(|c| !c.is_control())
        .map(|c| if matches!(c, '"' | '\\') { '\'' } else { c })
        .collect()
}

/// A hint at one router in words.
pub fn alias_text(alias: &Alias) -> String {
    let addresses: Vec<String> = alias.addresses.iter().map(ToString::to_string).collect();
    one_router_text(&addresses, alias.chance)
}

/// The same of what was kept.
pub fn one_router_text(addresses: &[String], chance: f64) -> String {
    // Rounded up: it is a bound.
    let chance = (chance * 10_000.0).ceil().max(1.0) / 10_000.0;
    let addresses = addresses.join(", ");
    format!(
        "{addresses} may be one router: their replies are numbered by one counter (by chance: at most {chance})"
    )
}

/// What a router says that lets no packet further, by the code of its ICMP message: RFC 792, RFC 1122
/// §3.2.2.1 and RFC 1812 §5.2.7.1 of IPv4, RFC 4443 §3.1 of IPv6.
pub fn unreachable_text(from: IpAddr, code: u8) -> String {
    let known = match (from.is_ipv4(), code) {
        (true, 0 | 6 | 11) | (false, 0) => "no route to its network",
        (true, 1 | 7 | 12) | (false, 3) => "no host at its address",
        (true, 2) => "no such protocol",
        (true, 4) => "the packet is too large for what follows",
        (true, 5) => "the source route failed",
        (true, 9 | 10 | 13) | (false, 1) => "forbidden by a rule",
        (true, 14 | 15) => "its precedence is too low",
        (false, 2) => "beyond the scope of the source address",
        (false, 5) => "the source address failed a rule",
        (false, 6) => "its route rejects",
        _ => return format!("unreachable (ICMP code {code})"),
    };
    known.to_owned()
}

/// The result as lines of text: a line an interface.
pub fn to_text(result: &Multipath) -> String {
    let mut text = String::new();
    for hop in &result.hops {
        let loss = if hop.loss.forwarding > 0 {
            format!("  {} of {} lost", hop.loss.forwarding, hop.loss.sent)
        } else {
            String::new()
        };
        if hop.interfaces.is_empty() {
            let _ = writeln!(text, "{:>3}  *{loss}", hop.ttl);
        }
        for (index, interface) in hop.interfaces.iter().enumerate() {
            let ttl = if index == 0 { hop.ttl.to_string() } else { String::new() };
            let labels: String =
                interface.labels.iter().map(|l| format!("  MPLS {}", l.label)).collect();
            let nat = if interface.rewritten { "  NAT" } else { "" };
            let system = interface.system.as_ref().map(|s| format!("  {s}")).unwrap_or_default();
            let place = interface.place.as_ref().map(|p| format!("  {p}")).unwrap_or_default();
            let ends = match interface.kind {
                ReplyKind::Unreachable(code) => {
                    format!("  {}", unreachable_text(interface.address, code))
                }
                ReplyKind::Exceeded | ReplyKind::Reached => String::new(),
            };
            let more = if index == 0 { loss.as_str() } else { "" };
            let _ = writeln!(
                text,
                "{ttl:>3}  {:<39} {:>9.3} ms  {:>3} flows{labels}{nat}{system}{place}{ends}{more}",
                interface.address.to_string(),
                interface.rtt.min_ms,
                interface.flows.len()
            );
        }
    }
    for (hop, alias) in result.hops.iter().flat_map(|hop| hop.aliases.iter().map(move |a| (hop, a)))
    {
        let _ = writeln!(text, "hop {}: {}", hop.ttl, alias_text(alias));
    }
    let bound = match result.failure_bound {
        Some(bound) if result.outcome == Outcome::Silent => {
            format!(
                "a branch before the silence was missed with a probability of at most {bound:.3}"
            )
        }
        Some(bound) => format!("a branch was missed with a probability of at most {bound:.3}"),
        None => "what may be missing is not known".to_owned(),
    };
    let _ = writeln!(text, "{}: {} probes, {bound}", result.outcome.as_str(), result.probes);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_words_and_unknown_ones_their_number() {
        let (v4, v6) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([0_u16; 8]));
        assert_eq!(unreachable_text(v4, 1), unreachable_text(v6, 3));
        assert_eq!(unreachable_text(v4, 13), unreachable_text(v6, 1));
        assert_ne!(unreachable_text(v4, 1), unreachable_text(v6, 1));
        assert_eq!(unreachable_text(v6, 77), "unreachable (ICMP code 77)");
    }
}
