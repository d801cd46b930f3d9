//! What is probed, as it stands in files of tests: read strictly, and written.

use std::collections::BTreeMap;

use holm_policy::{Fields, Mark, Problems, Value, text_of};
use serde_json::json;

use crate::config::{
    DnsTransport, Dnssec, Family, HttpVersion, ProbeKind, SipTransport, Target, TlsScan,
};
use crate::parse::whole;
use crate::probes::browser::STEP;
use crate::probes::rtp::SECONDS;
use crate::probes::udp::PAYLOAD;
use crate::step::{MAX_STEPS, Step};
use crate::target::{MAX_DSCP, OF_PROBE, understands};
use crate::voice::Codec;

/// Longest text of a list or map.
const MAX_ITEM: usize = 2_048;
/// Longest body of a request in a test, in bytes: a test is sent to every node.
const MAX_BODY: usize = 8 << 10;
/// Most of a list or map that is read; what has fewer is said where it is looked at.
const MAX_ITEMS: usize = 64;

/// What is probed, and how many echo requests are said.
pub(crate) fn read(
    fields: &mut Fields<'_>,
    problems: &mut Problems,
) -> Option<(Target, Option<u16>)> {
    let probe = fields.needed_text("probe", 20, problems).and_then(|(text, mark)| {
        let found = ProbeKind::ALL.into_iter().find(|kind| kind.as_str() == text);
        if found.is_none() {
            let text = format!("{text} is no probe: {} are", listed(&ProbeKind::ALL, " and "));
            problems.add(&fields.at("probe"), mark, text);
        }
        found
    });
    let mark = fields.mark;
    let asked = fields.needed_text("target", 2_048, problems);
    let family = one_of(
        fields,
        "family",
        &[("any", Family::Any), ("4", Family::V4), ("6", Family::V6)],
        problems,
    );
    let mut marks: BTreeMap<&str, Mark> =
        asked.map(|(_, mark)| ("target", mark)).into_iter().collect();
    for (key, kinds) in OF_PROBE {
        let Some((node, at)) = fields.node(key) else { continue };
        marks.insert(key, node.mark);
        if let Some(probe) = probe.filter(|probe| !understands(*probe, key)) {
            let others = listed(kinds, " or ");
            let text = format!("a probe of {} has none: one of {others} has", probe.as_str());
            problems.add(&fields.at(key), at, text);
        }
    }
    no_files(fields, problems);
    let mut target =
        Target::plain(probe.unwrap_or(ProbeKind::Icmp), asked.map_or("", |(text, _)| text));
    target.family = family.unwrap_or_default();
    let port = whole(fields, "port", (1, 65_535), problems);
    target.port = port.and_then(|port| u16::try_from(port).ok()).unwrap_or_default();
    let echo_count = whole(fields, "echo_count", (1, 100), problems);
    for (key, most, place) in [
        ("expect_status", 255, &mut target.expect_status),
        ("method", 20, &mut target.method),
        ("body", MAX_BODY, &mut target.body),
        ("content_type", 255, &mut target.content_type),
        ("identity", 63, &mut target.identity),
        ("stamp_key", 63, &mut target.stamp_key),
        ("expect_body", MAX_ITEM, &mut target.expect_body),
        ("expect_mos", 20, &mut target.expect_mos),
        ("server_name", 255, &mut target.server_name),
        ("dns_type", 255, &mut target.dns_type),
        ("dns_server", MAX_ITEM, &mut target.dns_server),
    ] {
        if let Some((text, _)) = fields.text(key, most, problems) {
            text.clone_into(place);
        }
    }
    let versions = [HttpVersion::Auto, HttpVersion::V1, HttpVersion::V2, HttpVersion::V3]
        .map(|v| (v.as_str(), v));
    target.http_version = one_of(fields, "http_version", &versions, problems).unwrap_or_default();
    let follow = whole(fields, "follow_redirects", (0, 10), problems);
    target.follow_redirects = follow.and_then(|follow| u8::try_from(follow).ok()).unwrap_or(0);
    let scans = [TlsScan::None, TlsScan::Versions, TlsScan::Ciphers].map(|s| (s.as_str(), s));
    target.tls_scan = one_of(fields, "tls_scan", &scans, problems).unwrap_or_default();
    let days = whole(fields, "expect_days_left", (0, 825), problems);
    target.expect_days_left = days.and_then(|days| u16::try_from(days).ok()).unwrap_or(0);
    let bytes = whole(fields, "payload_bytes", (PAYLOAD.0.into(), PAYLOAD.1.into()), problems);
    if let Some(bytes) = bytes.and_then(|bytes| u16::try_from(bytes).ok()) {
        target.payload_bytes = bytes;
    }
    let dscp = whole(fields, "dscp", (0, MAX_DSCP.into()), problems);
    target.dscp = dscp.and_then(|dscp| u8::try_from(dscp).ok());
    let seconds = whole(fields, "duration_s", (SECONDS.0.into(), SECONDS.1.into()), problems);
    if let Some(seconds) = seconds.and_then(|seconds| u8::try_from(seconds).ok()) {
        target.duration_s = seconds;
    }
    let transports = [
        DnsTransport::Udp,
        DnsTransport::Tcp,
        DnsTransport::Tls,
        DnsTransport::Https,
        DnsTransport::Quic,
    ];
    let transports = transports.map(|transport| (transport.as_str(), transport));
    target.dns_transport =
        one_of(fields, "dns_transport", &transports, problems).unwrap_or_default();
    let sip = [SipTransport::Udp, SipTransport::Tcp, SipTransport::Tls].map(|t| (t.as_str(), t));
    target.sip_transport = one_of(fields, "sip_transport", &sip, problems).unwrap_or_default();
    let ways = [Dnssec::None, Dnssec::Validate, Dnssec::Require].map(|way| (way.as_str(), way));
    target.dnssec = one_of(fields, "dnssec", &ways, problems).unwrap_or_default();
    let codecs = Codec::ALL.map(|codec| (codec.as_str(), codec));
    target.voice = one_of(fields, "voice", &codecs, problems);
    target.codec = one_of(fields, "codec", &codecs, problems).unwrap_or_default();
    target.headers = texts(fields, "headers", problems);
    target.expect_header = list(fields, "expect_header", problems);
    target.expect_json = list(fields, "expect_json", problems);
    target.steps = steps(fields, problems);
    probe?;
    asked?;
    // An error begins with the key that it is about.
    if let Err(why) = target.check() {
        let key = why.split(|c: char| !(c.is_ascii_lowercase() || c == '_')).next();
        let key = key.unwrap_or_default();
        let mark = marks.get(key).copied().unwrap_or(mark);
        let said = why.strip_prefix(key).unwrap_or(&why);
        let said = said.strip_prefix(": ").unwrap_or(said).trim_start();
        // Of a field that this probe does not have it was said above.
        if understands(target.probe, key) {
            problems.add(&fields.at(key), mark, said);
        }
        return None;
    }
    let echo_count = echo_count.and_then(|count| u16::try_from(count).ok());
    Some((target, echo_count))
}

fn listed(kinds: &[ProbeKind], last: &str) -> String {
    let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    match &names[..] {
        [all @ .., end] if !all.is_empty() => format!("{}{last}{end}", all.join(", ")),
        names => names.concat(),
    }
}

/// One of several words.
fn one_of<T: Copy>(
    fields: &mut Fields<'_>,
    key: &str,
    words: &[(&str, T)],
    problems: &mut Problems,
) -> Option<T> {
    let (text, mark) = fields.text(key, 40, problems)?;
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    if found.is_none() {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let text = match &names[..] {
            [all @ .., end] => format!("it is {} or {end}", all.join(", ")),
            [] => String::new(),
        };
        problems.add(&fields.at(key), mark, text);
    }
    found
}

/// A list of texts.
fn list(fields: &mut Fields<'_>, key: &str, problems: &mut Problems) -> Vec<String> {
    let path = fields.at(key);
    let Some((items, mark)) = fields.list(key, problems) else { return Vec::new() };
    if items.len() > MAX_ITEMS {
        problems.add(&path, mark, format!("it has more than {MAX_ITEMS}"));
    }
    let items = items.iter().take(MAX_ITEMS).enumerate();
    items
        .filter_map(|(n, item)| text_of(item, &format!("{path}[{n}]"), MAX_ITEM, problems))
        .map(str::to_owned)
        .collect()
}

/// The steps of a script, or of a browser.
fn steps(fields: &mut Fields<'_>, problems: &mut Problems) -> Vec<Step> {
    let path = fields.at("steps");
    let Some((items, mark)) = fields.list("steps", problems) else { return Vec::new() };
    if items.len() > MAX_STEPS {
        problems.add(&path, mark, format!("it has more than {MAX_STEPS}"));
    }
    let items = items.iter().take(MAX_STEPS).enumerate();
    items
        .filter_map(|(n, item)| {
            let mut fields = Fields::of(item, &format!("{path}[{n}]"), problems)?;
            let name = fields.needed_text("name", 255, problems);
            let url = fields.text("url", MAX_ITEM, problems);
            let mut step =
                Step::plain(name.map_or("", |(name, _)| name), url.map_or("", |(url, _)| url));
            for (key, most, place) in [
                ("method", 20, &mut step.method),
                ("body", MAX_BODY, &mut step.body),
                ("content_type", 255, &mut step.content_type),
                ("expect_status", 255, &mut step.expect_status),
                ("expect_body", MAX_ITEM, &mut step.expect_body),
                ("click", MAX_ITEM, &mut step.click),
                ("into", MAX_ITEM, &mut step.into),
                ("type", MAX_ITEM, &mut step.typed),
                ("press", 40, &mut step.press),
                ("expect_element", MAX_ITEM, &mut step.expect_element),
                ("expect_text", MAX_ITEM, &mut step.expect_text),
                ("expect_title", MAX_ITEM, &mut step.expect_title),
                ("expect_url", MAX_ITEM, &mut step.expect_url),
            ] {
                if let Some((text, _)) = fields.text(key, most, problems) {
                    text.clone_into(place);
                }
            }
            step.timeout = crate::parse::span(&mut fields, "timeout", STEP, problems);
            step.headers = texts(&mut fields, "headers", problems);
            step.take = texts(&mut fields, "take", problems);
            step.expect_header = list(&mut fields, "expect_header", problems);
            step.expect_json = list(&mut fields, "expect_json", problems);
            no_files(&mut fields, problems);
            fields.finish(&[], problems);
            Some(step)
        })
        .collect()
}

/// That no file of a node is named.
fn no_files(fields: &mut Fields<'_>, problems: &mut Problems) {
    for key in ["header_files", "body_file", "type_file"] {
        if let Some((_, at)) = fields.node(key) {
            let text = "files are named in a node's own configuration ([[planes.active.targets]]), not in a test";
            problems.add(&fields.at(key), at, text);
        }
    }
}

/// A map of texts.
fn texts(fields: &mut Fields<'_>, key: &str, problems: &mut Problems) -> BTreeMap<String, String> {
    let path = fields.at(key);
    let Some((node, mark)) = fields.node(key) else { return BTreeMap::new() };
    let Value::Map(pairs) = &node.value else {
        problems.add(&path, mark, format!("a map is wanted, not {}", node.value.what()));
        return BTreeMap::new();
    };
    if pairs.len() > MAX_ITEMS {
        problems.add(&path, mark, format!("it has more than {MAX_ITEMS}"));
    }
    let pairs = pairs.iter().take(MAX_ITEMS);
    pairs
        .filter_map(|(name, _, value)| {
            let text = text_of(value, &format!("{path}.{name}"), MAX_ITEM, problems)?;
            Some((name.clone(), text.to_owned()))
        })
        .collect()
}

/// Writes what a target says beside its probe, its target and its family. What is as usual is left out where it was
/// not always written.
pub(crate) fn write(target: &Target, put: &mut impl FnMut(&str, serde_json::Value)) {
    let plain = Target::plain(target.probe, &target.target);
    match target.probe {
        ProbeKind::Tcp => put("port", json!(target.port)),
        ProbeKind::Http => {
            put("expect_status", json!(target.expect_status));
            if target.http_version != plain.http_version {
                put("http_version", json!(target.http_version.as_str()));
            }
            if target.follow_redirects != 0 {
                put("follow_redirects", json!(target.follow_redirects));
            }
            if !target.headers.is_empty() {
                put("headers", json!(target.headers));
            }
        }
        ProbeKind::Dns => {
            put("dns_type", json!(target.dns_type));
            if target.dns_transport != plain.dns_transport {
                put("dns_transport", json!(target.dns_transport.as_str()));
            }
            if target.dnssec != plain.dnssec {
                put("dnssec", json!(target.dnssec.as_str()));
            }
        }
        ProbeKind::Browser if target.steps.is_empty() => {}
        ProbeKind::Browser => put("steps", json!(target.steps)),
        ProbeKind::Icmp => {
            if target.payload_bytes != plain.payload_bytes {
                put("payload_bytes", json!(target.payload_bytes));
            }
        }
        ProbeKind::Rtp => {
            put("port", json!(target.port));
            put("codec", json!(target.codec.as_str()));
            if target.duration_s != plain.duration_s {
                put("duration_s", json!(target.duration_s));
            }
        }
        ProbeKind::Script => {
            if target.http_version != plain.http_version {
                put("http_version", json!(target.http_version.as_str()));
            }
            if target.follow_redirects != 0 {
                put("follow_redirects", json!(target.follow_redirects));
            }
            put("steps", json!(target.steps));
        }
        ProbeKind::Sip => {
            if target.port != 0 {
                put("port", json!(target.port));
            }
            if target.sip_transport != plain.sip_transport {
                put("sip_transport", json!(target.sip_transport.as_str()));
            }
            put("expect_status", json!(target.expect_status));
        }
        ProbeKind::Stamp => {
            if target.port != 0 {
                put("port", json!(target.port));
            }
        }
        ProbeKind::Udp => {
            put("port", json!(target.port));
            if target.payload_bytes != plain.payload_bytes {
                put("payload_bytes", json!(target.payload_bytes));
            }
        }
        ProbeKind::Tls => {
            if target.port != 0 {
                put("port", json!(target.port));
            }
            if target.tls_scan != plain.tls_scan {
                put("tls_scan", json!(target.tls_scan.as_str()));
            }
            if target.expect_days_left != 0 {
                put("expect_days_left", json!(target.expect_days_left));
            }
        }
    }
    if let Some(dscp) = target.dscp {
        put("dscp", json!(dscp));
    }
    if let Some(codec) = target.voice {
        put("voice", json!(codec.as_str()));
    }
    for (key, text, usual) in [
        ("method", &target.method, &plain.method),
        ("body", &target.body, &plain.body),
        ("content_type", &target.content_type, &plain.content_type),
        ("identity", &target.identity, &plain.identity),
        ("stamp_key", &target.stamp_key, &plain.stamp_key),
        ("server_name", &target.server_name, &plain.server_name),
        ("expect_body", &target.expect_body, &plain.expect_body),
        ("expect_mos", &target.expect_mos, &plain.expect_mos),
        ("dns_server", &target.dns_server, &plain.dns_server),
    ] {
        if text != usual && understands(target.probe, key) {
            put(key, json!(text));
        }
    }
    for (key, texts) in
        [("expect_header", &target.expect_header), ("expect_json", &target.expect_json)]
    {
        if !texts.is_empty() && understands(target.probe, key) {
            put(key, json!(texts));
        }
    }
}
