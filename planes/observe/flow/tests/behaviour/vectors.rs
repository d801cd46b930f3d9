//! Real captures, field by field against the expectations that came with them.
//!
//! `flow/telegraf`: datagrams with what Telegraf's own decoder says (`expected.out`, line protocol).

use std::collections::BTreeMap;
use std::path::Path;

use crate::common::{Row, datagrams, decode_with, decoder, vectors};

/// A measurement and its fields, as Telegraf wrote them.
fn expected(folder: &Path) -> Vec<(String, BTreeMap<String, String>)> {
    let text = std::fs::read_to_string(folder.join("expected.out")).expect("expectations");
    text.lines().filter(|line| !line.is_empty()).map(line).collect()
}

/// One line: `measurement,tags fields [time]`, where strings may have spaces and commas.
fn line(line: &str) -> (String, BTreeMap<String, String>) {
    let (head, rest) = line.split_once(' ').expect("a measurement");
    let measurement = head.split(',').next().expect("a name").to_owned();
    let (mut fields, mut part, mut quoted) = (BTreeMap::new(), String::new(), false);
    for character in rest.chars().chain([',']) {
        match character {
            '"' => quoted = !quoted,
            ',' | ' ' if !quoted => {
                if let Some((name, value)) = part.split_once('=') {
                    let plain = value.trim_end_matches('u');
                    let number = plain.parse::<u64>().is_ok();
                    let value = if number { plain } else { value };
                    fields.insert(name.to_owned(), value.to_owned());
                }
                part.clear();
            }
            _ => part.push(character),
        }
    }
    (measurement, fields)
}

/// Telegraf's names and ours.
const NAMES: &[(&str, &str)] = &[
    ("src", "source.address"),
    ("dst", "destination.address"),
    ("src_port", "source.port"),
    ("dst_port", "destination.port"),
    ("in_bytes", "flow.io.bytes"),
    ("in_total_bytes", "flow.io.bytes"),
    ("l2_bytes", "flow.io.bytes"),
    ("in_packets", "flow.io.packets"),
    ("next_hop", "flow.next_hop.address"),
    ("src_mask", "source.prefix_length"),
    ("dst_mask", "destination.prefix_length"),
    ("bgp_src_as", "source.as.number"),
    ("bgp_dst_as", "destination.as.number"),
    ("in_snmp", "flow.in.interface.index"),
    ("out_snmp", "flow.out.interface.index"),
    ("vlan_src", "flow.vlan.id"),
    ("in_src_mac", "source.mac"),
    ("out_dst_mac", "destination.mac"),
    ("agent_ip", "flow.agent.address"),
    ("agent_subid", "flow.domain"),
    ("sampling_interval", "flow.sampling_rate"),
    ("reason", "flow.drop.reason"),
    ("icmp_type", "flow.icmp.type"),
    ("icmp_code", "flow.icmp.code"),
    ("ttl", "flow.ip.ttl"),
];

/// What of Telegraf's fields is compared, in our names and words.
fn wanted(fields: &BTreeMap<String, String>, sflow: bool) -> Row {
    let mut row = Row::new();
    for (name, value) in fields {
        // Telegraf's "total packets" of sFlow is the sample pool, and its input interface the
        // sample's source; what tshark says of interfaces is in `tshark.rs`.
        let pool = matches!(name.as_str(), "in_total_packets" | "in_snmp" | "out_snmp");
        if sflow && pool && !fields.contains_key("reason") {
            continue;
        }
        if let Some((_, ours)) = NAMES.iter().find(|(theirs, _)| theirs == name) {
            // 0 says "not told" here, and is null.
            if *ours == "flow.sampling_rate" && value == "0" {
                continue;
            }
            row.insert((*ours).to_owned(), value.clone());
        }
        match name.as_str() {
            "in_total_packets" => row.insert("flow.io.packets".into(), value.clone()),
            "flow_start_ms" => row.insert("flow.start".into(), format!("{value}000000")),
            "flow_end_ms" => row.insert("flow.end".into(), format!("{value}000000")),
            "src_tos" => {
                let tos = value.trim_start_matches("0x");
                let tos = u8::from_str_radix(tos, 16).expect("a ToS");
                row.insert("flow.ip.tos".into(), tos.to_string())
            }
            // Telegraf stops at the first extension header of IPv6; here the last one tells.
            "protocol" if value == "hopopt" => None,
            "protocol" => row.insert("network.transport".into(), value.clone()),
            "direction" => {
                let word = if value == "ingress" { "receive" } else { "transmit" };
                row.insert("network.io.direction".into(), word.into())
            }
            "tcp_flags" => row.insert("flow.tcp_flags".into(), flags(value).to_string()),
            "type_29305_85" => row.insert("flow.reverse.io.bytes".into(), hex(value)),
            "type_29305_86" => row.insert("flow.reverse.io.packets".into(), hex(value)),
            _ => None,
        };
    }
    row
}

fn hex(value: &str) -> String {
    u64::from_str_radix(value.trim_start_matches("0x"), 16).expect("a number").to_string()
}

/// `...AP...` as a number: CWR ECE URG ACK PSH RST SYN FIN.
fn flags(text: &str) -> u32 {
    text.chars().fold(0, |all, flag| (all << 1) | u32::from(flag != '.'))
}

/// Takes the rows that have all of `wanted` out; panics with the nearest if there is none.
fn take(rows: &mut Vec<Row>, wanted: &Row) {
    let differs = |row: &Row| -> Vec<String> {
        let other = |(name, value): (&String, &String)| {
            let ours = row.get(name);
            (ours != Some(value)).then(|| format!("{name}: {value} here {ours:?}"))
        };
        wanted.iter().filter_map(other).collect()
    };
    match rows.iter().position(|row| differs(row).is_empty()) {
        Some(index) => drop(rows.swap_remove(index)),
        None => {
            let nearest = rows.iter().map(differs).min_by_key(Vec::len);
            panic!("no row has {wanted:?}; nearest differs in {nearest:?}");
        }
    }
}

fn check(name: &str, truncated: u64) {
    let Some(folder) = vectors("flow/telegraf") else { return };
    let folder = folder.join(name);
    let mut decoder = decoder();
    let (mut flows, _) = decode_with(&mut decoder, &datagrams(&folder));
    let sflow = name.starts_with("sflow");
    let flow = |(measurement, fields): &(String, BTreeMap<String, String>)| {
        let counters = sflow && fields.contains_key("interface");
        measurement == "netflow" && !counters
    };
    let wanted: Vec<Row> =
        expected(&folder).iter().filter(|e| flow(e)).map(|(_, f)| wanted(f, sflow)).collect();
    assert_eq!(flows.len(), wanted.len(), "rows of {name}");
    for row in &wanted {
        assert!(row.len() >= 5, "little is compared: {row:?}");
        take(&mut flows, row);
    }
    let totals = decoder.totals();
    assert_eq!((totals.truncated, totals.templates_refused), (truncated, 0), "{name}");
}

#[test]
fn netflow_v5() {
    check("netflow_v5_example", 0);
}

#[test]
fn netflow_v9() {
    check("netflow_v9_example", 0);
}

#[test]
fn ipfix_with_biflows() {
    check("ipfix_example", 0);
}

#[test]
fn ipfix_with_enterprise_elements_of_variable_length() {
    check("ipfix_pen_35632", 0);
    check("issue_13305", 0);
}

#[test]
fn ipfix_whose_length_is_less_than_its_sets() {
    // Its header says 290 bytes, its sets have 292; its template gives times no bytes.
    check("issue_14370", 1);
}

#[test]
fn sflow_flow_samples() {
    check("sflow_issue_15918", 0);
}

#[test]
fn sflow_discarded_packets() {
    check("sflow_issue_15375", 0);
}
