//! Files of tests, YAML or JSON, read strictly: a field that is not understood is refused with its path, line and
//! column, because a test that is understood in part is another test.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use holm_model::{Prefix, Severity, SiteId};
use holm_policy::{Fields, Node, Problems, Refused, Value, objects, text_of};

use crate::config::ProbeKind;
use crate::probes::rtp::BESIDES;
use crate::target_text;
use crate::test::{ECHO_COUNT, IN_A_ROW, ONE_ECHO_BELOW, Selector, TIMEOUT, Test, length};

/// The kind of its objects.
pub const KIND: &str = "Test";
/// Names that tests cannot have: what stands in their place in the API's paths.
const TAKEN: [&str; 2] = ["check", "run"];
const MAX_NAME: usize = 63;
const MAX_TEXT: usize = 1_024;
const MAX_LABELS: usize = 16;
const MAX_LABEL: usize = 200;
const MAX_NAMES: usize = 64;
const MAX_RANGES: usize = 16;
const DAY: Duration = Duration::from_secs(86_400);
const INTERVAL: (Duration, Duration) = (Duration::from_millis(100), DAY);
const TIMEOUTS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(300));

/// The tests of a file, in its order.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(text: &str) -> Result<Vec<Test>, Refused> {
    objects(text, KIND, test, |test: &Test| &test.name)
}

fn test(node: &Node, path: &str, problems: &mut Problems) -> Option<Test> {
    let mut fields = Fields::of(node, path, problems)?;
    match fields.needed_text("kind", 100, problems)? {
        (KIND, _) => {}
        (other, mark) => {
            let text = format!("{other} is not read here: {KIND} is");
            problems.add(&fields.at("kind"), mark, text);
            return None;
        }
    }
    let name = fields.needed_text("name", MAX_NAME, problems).and_then(|(text, mark)| {
        let taken = TAKEN.contains(&text);
        let right = is_name(text) && !taken;
        if !right {
            let why = if taken {
                "that is a word of the API"
            } else {
                "1 to 63 small letters, digits and - are"
            };
            problems.add(&fields.at("name"), mark, format!("{text} is no name: {why}"));
        }
        right.then(|| Box::<str>::from(text))
    });
    let description = fields.text("description", MAX_TEXT, problems).map(|(text, _)| text.into());
    let enabled = fields.flag("enabled", problems).is_none_or(|(flag, _)| flag);
    let severity = fields.text("severity", 20, problems).map(|(text, mark)| {
        let read = text.parse::<Severity>();
        if let Err(why) = &read {
            problems.add(&fields.at("severity"), mark, *why);
        }
        read.unwrap_or_default()
    });
    let interval = fields.needed("interval", problems);
    let interval = interval.and_then(|()| span(&mut fields, "interval", INTERVAL, problems));
    let half = interval.map_or(DAY, |interval| interval / 2);
    let jitter = span(&mut fields, "jitter", (Duration::ZERO, half), problems);
    let (target, echo_count) = target_text::read(&mut fields, problems).unzip();
    let stream = target.as_ref().filter(|target| target.probe == ProbeKind::Rtp);
    let stream = stream.map(|target| Duration::from_secs(target.duration_s.into()) + BESIDES);
    let of_browser = target.as_ref().is_some_and(|target| target.probe == ProbeKind::Browser);
    let usual = if of_browser { crate::probes::browser::TIMEOUT } else { TIMEOUT };
    // A stream that is cut off is not what was asked for.
    let timeouts = (stream.unwrap_or(TIMEOUTS.0), TIMEOUTS.1);
    let timeout = span(&mut fields, "timeout", timeouts, problems);
    let timeout = timeout.unwrap_or(stream.unwrap_or(usual));
    let within = (Duration::from_millis(1), timeout);
    let expect_within = span(&mut fields, "expect_within", within, problems);
    let echoes = match interval.is_some_and(|interval| interval < ONE_ECHO_BELOW) {
        true => 1,
        false => ECHO_COUNT,
    };
    let sites = sites(&mut fields, problems);
    let failures = whole(&mut fields, "failures", (1, 100), problems).unwrap_or(IN_A_ROW);
    let successes = whole(&mut fields, "successes", (1, 100), problems).unwrap_or(IN_A_ROW);
    let allow = allow(&mut fields, problems);
    let labels = labels(&mut fields, "labels", problems);
    let trace = fields.flag("trace", problems);
    let of_dns = target.as_ref().is_some_and(|target| target.probe == ProbeKind::Dns);
    if let Some((true, mark)) = trace.filter(|_| of_dns) {
        problems.add(
            &fields.at("trace"),
            mark,
            "a name is no host: what is traced is the host of other kinds of probes",
        );
    }
    fields.finish(
        &[("site", "which sites run it stands in sites: all, or names, regions, labels, count")],
        problems,
    );
    let (name, interval, mut target) = (name?, interval?, target?);
    target.name = name.to_string();
    target.interval = interval;
    Some(Test {
        name,
        description,
        enabled,
        target,
        echo_count: echo_count.flatten().unwrap_or(echoes),
        expect_within,
        interval,
        jitter: jitter.unwrap_or_default(),
        timeout,
        sites,
        failures,
        successes,
        severity: severity.unwrap_or(Severity::Critical),
        allow,
        trace: trace.is_some_and(|(flag, _)| flag),
        labels,
    })
}

fn sites(fields: &mut Fields<'_>, problems: &mut Problems) -> Selector {
    let mut selector = Selector::default();
    let Some((node, _)) = fields.node("sites") else { return selector };
    let path = fields.at("sites");
    if let Value::Scalar(text, _) = &node.value {
        if text != "all" {
            let said = "it is all, or a map of names, regions, labels and count";
            problems.add(&path, node.mark, said);
        }
        return selector;
    }
    let Some(mut map) = Fields::of(node, &path, problems) else { return selector };
    selector.names = words(&mut map, "names", problems);
    let at = map.at("names");
    for name in &selector.names {
        if name.parse::<SiteId>().is_err() {
            problems.add(&at, node.mark, format!("{name} is no name of a site"));
        }
    }
    selector.regions = words(&mut map, "regions", problems);
    selector.labels = labels(&mut map, "labels", problems);
    selector.count = whole(&mut map, "count", (1, 10_000), problems);
    map.finish(&[], problems);
    selector
}

/// A list of words, each once.
fn words(fields: &mut Fields<'_>, key: &str, problems: &mut Problems) -> Vec<Box<str>> {
    let path = fields.at(key);
    let Some((items, mark)) = fields.list(key, problems) else { return Vec::new() };
    if items.is_empty() || items.len() > MAX_NAMES {
        problems.add(&path, mark, format!("it has 1 to {MAX_NAMES} of them; leave it out for any"));
    }
    let mut words: Vec<Box<str>> = Vec::new();
    for (number, item) in items.iter().take(MAX_NAMES).enumerate() {
        let path = format!("{path}[{number}]");
        let Some(text) = text_of(item, &path, MAX_LABEL, problems) else { continue };
        if text.is_empty() || words.iter().any(|known| **known == *text) {
            problems.add(&path, item.mark, "each stands here once, by its name");
            continue;
        }
        words.push(text.into());
    }
    words
}

fn labels(
    fields: &mut Fields<'_>,
    key: &str,
    problems: &mut Problems,
) -> BTreeMap<Box<str>, Box<str>> {
    let mut labels = BTreeMap::new();
    let path = fields.at(key);
    let Some((node, mark)) = fields.node(key) else { return labels };
    let Value::Map(pairs) = &node.value else {
        problems.add(&path, mark, format!("a map is wanted, not {}", node.value.what()));
        return labels;
    };
    if pairs.len() > MAX_LABELS {
        problems.add(&path, mark, format!("it has more than {MAX_LABELS} labels"));
    }
    for (key, mark, value) in pairs.iter().take(MAX_LABELS) {
        let path = format!("{path}.{key}");
        if !is_label(key) {
            problems.add(&path, *mark, LABEL);
        }
        if let Some(text) = text_of(value, &path, MAX_LABEL, problems) {
            labels.insert(key.as_str().into(), text.into());
        }
    }
    labels
}

fn allow(fields: &mut Fields<'_>, problems: &mut Problems) -> Vec<Prefix> {
    let path = fields.at("allow");
    let Some((items, mark)) = fields.list("allow", problems) else { return Vec::new() };
    if items.len() > MAX_RANGES {
        problems.add(&path, mark, format!("it has at most {MAX_RANGES} ranges"));
    }
    let mut ranges = Vec::new();
    for (number, item) in items.iter().take(MAX_RANGES).enumerate() {
        let path = format!("{path}[{number}]");
        let Some(text) = text_of(item, &path, 64, problems) else { continue };
        match range(text) {
            Some(range) => ranges.push(range),
            None => {
                let text = format!("{text} is no range of addresses: 10.0.0.0/8 or 10.1.2.3 is");
                problems.add(&path, item.mark, text);
            }
        }
    }
    ranges
}

/// A range of addresses, or one address.
pub(crate) fn range(text: &str) -> Option<Prefix> {
    let one = || text.parse::<IpAddr>().ok().map(|address| Prefix::around(address, 128));
    Prefix::parse(text).or_else(one)
}

/// What the name of a label is.
pub const LABEL: &str = "a label's name has 1 to 63 letters, digits, - _ and .";

/// Whether a text is the name of a label.
pub fn is_label(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(letter)
}

fn is_name(text: &str) -> bool {
    let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.len() <= MAX_NAME && text.bytes().all(letters)
}

/// A whole number.
pub(crate) fn whole(
    fields: &mut Fields<'_>,
    key: &str,
    (least, most): (u32, u32),
    problems: &mut Problems,
) -> Option<u32> {
    let (text, mark) = fields.text(key, 40, problems)?;
    let found = text.parse::<u32>().ok().filter(|number| (least..=most).contains(number));
    if found.is_none() {
        let text = format!("{text}: a whole number from {least} to {most} is wanted");
        problems.add(&fields.at(key), mark, text);
    }
    found
}

/// A length of time: a number and one of ms, s, m, h, d. `None` if it is none.
pub fn length_of(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok().filter(|_| number.len() <= 9)?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(unit_ms)?))
}

pub(crate) fn span(
    fields: &mut Fields<'_>,
    key: &str,
    (least, most): (Duration, Duration),
    problems: &mut Problems,
) -> Option<Duration> {
    let (text, mark) = fields.text(key, 20, problems)?;
    let found = length_of(text);
    let said = match found {
        Some(time) if (least..=most).contains(&time) => return Some(time),
        Some(_) => format!("it is from {} to {}", length(least), length(most)),
        None => format!("{text} is no length of time: 500ms, 30s, 5m, 2h and 1d are"),
    };
    problems.add(&fields.at(key), mark, said);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "kind: Test\nname: shop\nprobe: http\ntarget: https://shop.example/health\ninterval: 30s\n";

    #[test]
    fn what_is_read_is_written_and_read_again() {
        for more in [
            "",
            "jitter: 3s\ntimeout: 800ms\nexpect_within: 500ms\nexpect_status: '200,204'\nfamily: 6\n",
            "sites: all\nenabled: false\nseverity: info\nfailures: 2\nsuccesses: 5\n",
            "sites: { names: [berlin, tokyo], regions: [eu], labels: { tier: edge }, count: 2 }\n",
            "trace: true\nallow: [10.0.0.0/8, 'fd00::1']\nlabels: { team: net }\ndescription: the shop\n",
        ] {
            let text = format!("{GOOD}{more}");
            let read = parse(&text).expect(more).remove(0);
            let again = parse(&read.to_json().to_string()).expect("its own").remove(0);
            assert_eq!(again, read, "{more}");
        }
        let dns = "kind: Test\nname: a\nprobe: dns\ntarget: shop.example\ninterval: 1d\ndns_type: MX\ndns_server: 192.0.2.53\n";
        let icmp = "kind: Test\nname: b\nprobe: icmp\ntarget: shop.example\ninterval: 100ms\n";
        let more = [
            "name: d\nprobe: http\ntarget: https://a.example/\nmethod: POST\nhttp_version: auto\nfollow_redirects: 3\n\
             headers: { x-a: b }\nidentity: probe\nexpect_header: ['a: b', 'c ~ d']\nexpect_body: up\n\
             expect_json: ['$.a[0].b = \"c\"']",
            "name: l\nprobe: http\ntarget: https://a.example/\nmethod: PUT\nhttp_version: 3\nbody: '{\"a\": 1}'\ncontent_type: application/json",
            "name: e\nprobe: tls\ntarget: a.example\nport: 993\nserver_name: b.example\ntls_scan: ciphers\n\
             expect_days_left: 14",
            "name: f\nprobe: tls\ntarget: a.example",
            "name: g\nprobe: udp\ntarget: a.example\nport: 7\npayload_bytes: 1400\necho_count: 10\nvoice: g729",
            "name: h\nprobe: stamp\ntarget: a.example\nvoice: g711",
            "name: j\nprobe: dns\ntarget: a.example\ndns_transport: tls\ndns_server: 192.0.2.1\nserver_name: dns.example",
            "name: m\nprobe: dns\ntarget: a.example\ndns_transport: quic\ndnssec: require\ndns_server: 192.0.2.1\nserver_name: dns.example",
            "name: k\nprobe: dns\ntarget: a.example\ndns_transport: https\ndns_server: https://dns.example/dns-query",
            "name: n\nprobe: sip\ntarget: sip.example\nport: 5080\nsip_transport: tls\nserver_name: pbx.example\nexpect_status: 200,404",
            "name: p\nprobe: script\ntarget: https://a.example/\nfollow_redirects: 1\nsteps:\n \
             - { name: in, url: /in, method: POST, body: '{}', content_type: a/json, take: { t: json $.t } }\n \
             - { name: on, url: '/{{t}}', headers: { authorization: 'Bearer {{t}}' }, expect_status: '200', expect_header: ['a: b'], \
                 expect_body: up, expect_json: ['$.a = 1'] }",
            "name: o\nprobe: sip\ntarget: sip.example",
            "name: q\nprobe: browser\ntarget: https://a.example/\ntimeout: 90s\nsteps:\n \
             - { name: in, url: /in, expect_status: '200', expect_title: Shop } \n \
             - { name: go, into: '#q', type: tea, press: Enter, expect_text: found, expect_url: /q, timeout: 90s } \n \
             - { name: on, click: 'a.next', expect_element: '#end' }",
            "name: r\nprobe: browser\ntarget: https://a.example/",
            "name: s\nprobe: rtp\ntarget: a.example\nport: 7\ncodec: opus\nduration_s: 10\ndscp: 0\nexpect_mos: 3.6\ntimeout: 13s",
            "name: t\nprobe: rtp\ntarget: a.example\nport: 7\ntimeout: 8s\ncodec: g711-plain",
            "name: u\nprobe: icmp\ntarget: a.example\ndscp: 46\nvoice: opus",
            "name: i\nprobe: stamp\ntarget: a.example\nport: 8620\necho_count: 100\nstamp_key: lab",
        ];
        for text in more {
            let read = parse(&format!("kind: Test\ninterval: 1m\n{text}\n")).expect(text).remove(0);
            let written = read.to_json();
            assert_eq!(parse(&written.to_string()).expect("its own"), [read], "{text}");
            for line in text.lines().filter(|line| !line.starts_with(' ')) {
                let key = line.split(':').next().expect("a key");
                assert!(written.get(key).is_some(), "{key} is lost");
            }
        }
        let tcp = "[{ kind: Test, name: c, probe: tcp, target: db, port: 5432, interval: 1s }]";
        let both = parse(&format!("{dns}---\n{icmp}---\n{tcp}")).expect("several");
        assert_eq!(both.iter().map(|test| &*test.name).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!((both[1].echo_count, both[1].jitter), (1, Duration::ZERO));
        for test in both {
            assert_eq!(parse(&test.to_json().to_string()).expect("its own"), [test]);
        }
    }

    #[test]
    fn every_problem_is_named_with_its_place() {
        for (more, says) in [
            ("colour: red\n", "line 6, column 1: colour: it is not evaluated here"),
            ("jitter: 20s\n", "line 6, column 9: jitter: it is from 0ms to 15s"),
            ("timeout: fast\n", "line 6, column 10: timeout: fast is no length of time"),
            (
                "port: 80\n",
                "line 6, column 1: port: a probe of http has none: one of tcp, tls, udp, stamp, sip or rtp has",
            ),
            ("headers: { Cookie: x }\n", "line 6, column 10: headers: cookie is a secret"),
            ("header_files: { Cookie: x }\n", "header_files: files are named in a node's own"),
            (
                "steps: [{ name: a, url: / }]\n",
                "line 6, column 1: steps: a probe of http has none: one of browser or script has",
            ),
            ("body_file: /x\n", "body_file: files are named in a node's own"),
            ("body: x\n", "line 6, column 7: body: a GET request has none"),
            ("http_version: 4\n", "http_version: it is auto, 1.1, 2 or 3"),
            ("expect_json: ['a']\n", "line 6, column 14: expect_json: \"a\": a path begins with $"),
            ("follow_redirects: 11\n", "follow_redirects: 11: a whole number from 0 to 10"),
            ("voice: g711\n", "voice: a probe of http has none: one of icmp, udp or stamp has"),
            ("codec: g729\n", "codec: a probe of http has none: one of rtp has"),
            ("expect_status: 9xx\n", "line 6, column 16: expect_status: \"9xx\""),
            ("sites: { count: 0 }\n", "line 6, column 17: sites.count: 0: a whole number"),
            ("sites: some\n", "line 6, column 8: sites: it is all, or a map"),
            ("sites: { names: [] }\n", "sites.names: it has 1 to 64"),
            ("allow: [10.0.0]\n", "line 6, column 9: allow[0]: 10.0.0 is no range"),
            ("labels: { 'a b': c }\n", "labels.a b: a label's name"),
            ("expect_within: 10s\n", "expect_within: it is from 1ms to 3s"),
            ("enabled: maybe\n", "enabled: it is true or false"),
        ] {
            let refused = parse(&format!("{GOOD}{more}")).expect_err(more).to_string();
            assert!(refused.contains(says), "{more}: {refused}");
        }
        for (text, says) in [
            (
                GOOD.replace("https://shop.example/health", "ftp://x"),
                "line 4, column 9: target: \"ftp://x\"",
            ),
            (GOOD.replace("30s", "2d"), "line 5, column 11: interval: it is from 100ms to 1d"),
            (GOOD.replace("interval: 30s\n", ""), "interval: it is missing"),
            (
                GOOD.replace("name: shop", "name: The Shop"),
                "line 2, column 7: name: The Shop is no name",
            ),
            (GOOD.replace("name: shop", "name: run"), "name: run is no name: that is a word"),
            (GOOD.replace("probe: http", "probe: smtp"), "probe: smtp is no probe"),
            (GOOD.replace("kind: Test", "kind: SLO"), "SLO is not read here"),
            (
                GOOD.replace("http\n", "script\n")
                    + "steps: [{ name: a, url: /, take: { x: y }, body_file: z }]\n",
                "steps[0].body_file: files are named in a node's own",
            ),
            (
                GOOD.replace("http\n", "script\n") + "steps: [{ name: a, url: '/{{x}}' }]\n",
                "line 6, column 8: steps: [0]: url: {{x}} stands for nothing",
            ),
            (
                GOOD.replace("http\n", "script\n") + "steps: [{ name: a, colour: red }]\n",
                "steps[0].colour: it is not evaluated here",
            ),
            (format!("{GOOD}---\n{GOOD}"), "shop stands here twice"),
            (
                GOOD.replace("http\n", "tcp\n").replace("https://shop.example/health", "x"),
                "port: a tcp target needs one",
            ),
            (String::new(), "it has no object of kind Test"),
        ] {
            let refused = parse(&text).expect_err(&text).to_string();
            assert!(refused.contains(says), "{text}: {refused}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,400}") {
            let _ = parse(&text);
            let _ = parse(&format!("{GOOD}{text}"));
            let _ = length_of(&text);
        }
    }
}
