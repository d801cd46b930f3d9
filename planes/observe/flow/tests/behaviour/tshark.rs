//! sFlow captures against tshark's reading of them (`tshark/README.md` has the commands).

use std::collections::BTreeMap;

use crate::common::{self, Row, datagrams, decode_with, decoder, pcap_payloads, vectors};

/// Every field's values over all datagrams, without the carrier's own addresses.
fn tshark(name_of_capture: &str) -> BTreeMap<String, Vec<String>> {
    let path =
        format!("{}/tests/behaviour/tshark/{name_of_capture}.tsv", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("tshark's fields");
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().expect("a header").split('\t').collect();
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines {
        for (name, values) in names.iter().zip(line.split('\t')) {
            // One capture came over IPv6: there the carrier has no IPv4 address.
            let v4 = *name == "ip.dst" && name_of_capture != "sflow-print-v6";
            let carrier = usize::from(v4 || *name == "eth.src");
            let values = values.split(',').skip(carrier).filter(|value| !value.is_empty());
            fields.entry((*name).to_owned()).or_default().extend(values.map(str::to_owned));
        }
    }
    fields
}

fn column(rows: &[Row], name: &str) -> Vec<String> {
    rows.iter().filter_map(|row| row.get(name).cloned()).collect()
}

/// Compares; returns how many flow rows and counter rows there were.
fn check(name: &str, payloads: &[Vec<u8>]) -> (usize, usize) {
    let wanted = tshark(name);
    let (mut flows, counters) = decode_with(&mut decoder(), payloads);
    flows.retain(|row| row["flow.type"] == "sflow_5");
    for (theirs, ours) in [
        ("sflow_245.header.frame_length", "flow.io.bytes"),
        ("eth.src", "source.mac"),
        ("sflow.flow_sample.input_interface", "flow.in.interface.index"),
    ] {
        if let Some(wanted) = wanted.get(theirs) {
            assert_eq!(&column(&flows, ours), wanted, "{name}: {theirs}");
        }
    }
    // The switch's word on the VLAN, else the packet's tag.
    let switch = &wanted["sflow_245.vlan.in"];
    let vlans = if switch.is_empty() { &wanted["vlan.id"] } else { switch };
    assert_eq!(&column(&flows, "flow.vlan.id"), vlans, "{name}");
    let v4: Vec<Row> = flows.iter().filter(|f| f["network.type"] == "ipv4").cloned().collect();
    assert_eq!(column(&v4, "destination.address"), wanted["ip.dst"], "{name}");
    for (theirs, ours) in [
        ("sflow_245.ifindex", "network.interface.index"),
        ("sflow_245.ifspeed", "network.interface.speed"),
        ("sflow_245.ifinoct", "in.bytes"),
        ("sflow_245.ifinpkt", "in.packets.unicast"),
        ("sflow_245.ifinerr", "in.errors"),
        ("sflow_245.ifoutoct", "out.bytes"),
        ("sflow_245.ifoutpkt", "out.packets.unicast"),
        ("sflow_245.dot3StatsFCSErrors", "ethernet.fcs_errors"),
    ] {
        assert_eq!(column(&counters, ours), wanted[theirs], "{name}: {theirs}");
    }
    (flows.len(), counters.len())
}

#[test]
fn captures_of_tcpdump() {
    let Some(folder) = vectors("wire/tcpdump") else { return };
    let read = |name: &str| check(name, &pcap_payloads(&folder.join(format!("{name}.pcap"))));
    assert_eq!(read("sflow_expanded"), (1, 0));
    assert_eq!(read("sflow-print-v6"), (13, 48));
    let name = "sflow_multiple_counter_30_pdus";
    let mut payloads = pcap_payloads(&folder.join(format!("{name}.pcap")));
    // Frames 12 and 18 have a host's counters, which tshark cannot get over (see its README).
    let host = [payloads.remove(17), payloads.remove(11)];
    let mut decoder = common::decoder();
    decode_with(&mut decoder, &host);
    let totals = decoder.totals();
    assert_eq!((totals.truncated, totals.formats_skipped), (0, 12));
    let (flows, counters) = check(name, &payloads);
    assert_eq!(flows, 0);
    assert!(counters > 100, "{counters} counter rows");
    // NetFlow v5 to the same port, which tshark takes for no protocol.
    let (rows, _) = decode_with(&mut common::decoder(), &payloads);
    let lengths: Vec<&str> = rows.iter().map(|row| row["flow.io.bytes"].as_str()).collect();
    assert_eq!(lengths, ["60", "1538", "71", "71", "71", "71", "71"]);
}

#[test]
fn a_datagram_with_flow_and_counter_samples() {
    let Some(folder) = vectors("flow/telegraf/sflow_issue_15918") else { return };
    let payloads = datagrams(&folder);
    assert_eq!(check("sflow_issue_15918", &payloads), (6, 1));
    // An output of format 2 is several interfaces, and has no index.
    let wanted = tshark("sflow_issue_15918");
    let indexes = wanted["sflow.flow_sample.output_interface_value"].iter();
    let formats = &wanted["sflow.flow_sample.output_interface_format"];
    let single = indexes.zip(formats).filter(|(_, format)| *format == "0");
    let single: Vec<String> = single.map(|(index, _)| index.clone()).collect();
    let (flows, _) = decode_with(&mut decoder(), &payloads);
    assert_eq!(column(&flows, "flow.out.interface.index"), single);
}

#[test]
fn a_capture_that_once_broke_a_decoder() {
    let Some(folder) = vectors("wire/tcpdump") else { return };
    let mut decoder = decoder();
    let payloads = pcap_payloads(&folder.join("sflow_print-segv.pcap"));
    assert!(!payloads.is_empty());
    decode_with(&mut decoder, &payloads);
    let totals = decoder.totals();
    assert!(totals.truncated + totals.unknown_version > 0, "{totals:?}");
}
