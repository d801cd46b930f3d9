//! What other tools say of the same servers and the same network, where they are installed (Debian: fping,
//! dnsutils, dnsmasq-base, openssl). As root, for the network.

mod common;
#[path = "../../path/tests/lab/network.rs"]
#[allow(dead_code, reason = "not every lab needs all of it")]
mod network;

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::{Heard, context, plane_of};
use holm_active::Config;
use holm_model::{Row, Value};
use holm_plane::Plane;
use network::{Lab, Plan, TARGET_V4, TARGET_V6};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The first row of a probe of this configuration, in the network of this thread.
fn row_of(config: &str, probe: &str, name: &str) -> Row {
    let config: Config = toml::from_str(config).expect("valid");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let heard = Arc::new(Heard::default());
        let (_node, peers) = watch::channel(Vec::new());
        let context = context(&heard, peers);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let plane = tokio::spawn(async move { plane_of(config).run(context, stopped).await });
        let row = tokio::time::timeout(Duration::from_secs(40), heard.row_of(probe, name)).await;
        stop.cancel();
        plane.await.expect("ended").expect("without an error");
        row.expect("probed")
    })
}

/// What a tool prints on both its outputs, or nothing where it is not installed.
fn said(command: &[&str]) -> Option<String> {
    match Command::new(command[0]).args(&command[1..]).stdin(Stdio::null()).output() {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            Some(String::from_utf8_lossy(&text).into_owned())
        }
        Err(_) => {
            println!("skipped: no {} here", command[0]);
            None
        }
    }
}

/// Ends with the test.
struct Server(Child);

impl Server {
    fn start(command: &[&str], port: u16) -> Option<Self> {
        let child = Command::new(command[0])
            .args(&command[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            println!("skipped: no {} here", command[0]);
            return None;
        };
        let server = Self(child);
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("{} does not serve", command[0]);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    listener.local_addr().expect("bound").port()
}

fn text<'a>(row: &'a Row, column: &str) -> &'a str {
    match row.columns.get(column) {
        Some(Value::Text(text)) => text,
        other => panic!("{column}: {other:?} of {row:?}"),
    }
}

#[test]
fn fping_counts_the_same_losses() {
    let lab = match Lab::build(Plan { width: 1, ..Plan::default() }) {
        Ok(lab) => lab,
        Err(reason) => return println!("skipped: no network namespaces here ({reason})"),
    };
    // Of any four requests in a row one is lost, whoever sends them.
    for family in ["icmp", "icmpv6"] {
        let rule = format!("{family} type echo-request numgen inc mod 4 == 0 drop");
        lab.filter("d", &rule, "input").expect("a rule of nftables");
    }
    for target in [TARGET_V4, TARGET_V6] {
        let config = format!(
            "interval = \"60s\"\ntimeout = \"6s\"\necho_count = 40\n\
             [[targets]]\nname = \"d\"\nprobe = \"icmp\"\ntarget = \"{target}\"\n"
        );
        let row = lab.at_source(move || row_of(&config, "icmp", "d"));
        let ours = ["sent", "received"].map(|what| &row.columns[&*format!("icmp.packets.{what}")]);
        assert_eq!(ours, [&Value::Float(40.0), &Value::Float(30.0)], "{target}");
        let fping = ["fping", "-q", "-c", "40", "-p", "20", target];
        let Some(theirs) = lab.at_source(|| said(&fping)) else { return };
        assert!(theirs.contains("40/30/25%"), "{theirs}");
    }
}

#[test]
fn dig_gets_the_same_answers() {
    let port = free_port();
    let at = format!("--port={port}");
    let Some(_server) = Server::start(
        &[
            "dnsmasq",
            "--keep-in-foreground",
            "--no-hosts",
            "--no-resolv",
            "--conf-file=/dev/null",
            "--listen-address=127.0.0.1",
            "--bind-interfaces",
            "--pid-file=",
            &at,
            "--host-record=shop.example,192.0.2.7,2001:db8::7,300",
            "--cname=www.example,shop.example",
            "--mx-host=shop.example,mail.example,10",
            "--txt-record=shop.example,v=spf1 -all",
            "--srv-host=_sip._udp.example,sip.example,5060,1,2",
            "--local=/example/",
        ],
        port,
    ) else {
        return;
    };
    for (name, kind) in [
        ("shop.example", "A"),
        ("shop.example", "AAAA"),
        ("www.example", "A"),
        ("shop.example", "MX"),
        ("shop.example", "TXT"),
        ("_sip._udp.example", "SRV"),
        ("nobody.example", "A"),
    ] {
        let config = format!(
            "[[targets]]\nname = \"q\"\nprobe = \"dns\"\ntarget = \"{name}\"\ndns_type = \"{kind}\"\n\
             dns_server = \"127.0.0.1:{port}\"\n"
        );
        let row = row_of(&config, "dns", "q");
        let port = port.to_string();
        let Some(dig) = said(&["dig", "@127.0.0.1", "-p", &port, name, kind]) else { return };
        let status = dig.split("status: ").nth(1).and_then(|rest| rest.split(',').next());
        assert!(status.is_some_and(|it| it.eq_ignore_ascii_case(text(&row, "dns.rcode"))), "{dig}");
        // Owner, time to live, class, type, and the data.
        let answers = dig.lines().filter(|line| !line.starts_with(';'));
        let answers = answers.map(|line| line.split_whitespace().collect::<Vec<_>>());
        let theirs: BTreeSet<String> = answers
            .filter(|fields| fields.len() > 4)
            .map(|fields| plain(&fields[4..].join(" ")))
            .collect();
        let ours: BTreeSet<String> = match row.columns.get("dns.answer") {
            Some(Value::Text(text)) => text.split(", ").map(plain).collect(),
            _ => BTreeSet::new(),
        };
        assert_eq!(ours, theirs, "{name} {kind}: {dig}");
        assert_eq!(theirs.is_empty(), name == "nobody.example", "{dig}");
    }
}

/// Without the dots at the end of names, and without quotes.
fn plain(data: &str) -> String {
    let words = data.split_whitespace().map(|word| word.trim_matches('"').trim_end_matches('.'));
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn openssl_agrees_on_the_same_tls_and_reads_the_same_certificate() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (key, certificate) = (at("key.pem"), at("cert.pem"));
    let made = said(&[
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        &key,
        "-out",
        &certificate,
        "-days",
        "37",
        "-subj",
        "/O=Shop/CN=shop.example",
        "-addext",
        "subjectAltName=DNS:shop.example,DNS:www.shop.example",
    ]);
    if made.is_none() {
        return;
    }
    for (version, how) in [
        ("1.3", ["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256", "-groups", "P-256"]),
        ("1.3", ["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256", "-groups", "X25519"]),
        ("1.2", ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256", "-groups", "P-384"]),
    ] {
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let mut command = vec!["openssl", "s_server", "-quiet", "-accept", &listen];
        command.extend(["-cert", &certificate, "-key", &key]);
        command.extend(how);
        let Some(_server) = Server::start(&command, port) else { return };
        let config = format!(
            "[[targets]]\nname = \"t\"\nprobe = \"tls\"\ntarget = \"127.0.0.1\"\nport = {port}\n\
             server_name = \"shop.example\"\n"
        );
        let row = row_of(&config, "tls", "t");
        let client =
            ["openssl", "s_client", "-brief", "-connect", &listen, "-servername", "shop.example"];
        let Some(client) = said(&client) else { return };
        let theirs = |field: &str| {
            let line = client.lines().find_map(|line| line.strip_prefix(field));
            line.unwrap_or_else(|| panic!("no {field} in {client}")).trim().to_owned()
        };
        assert_eq!(theirs("Protocol version:"), format!("TLSv{version}"));
        assert_eq!(text(&row, "tls.version"), format!("TLSv{}", version.replace('.', "_")));
        assert_eq!(suite(text(&row, "tls.cipher")), suite(&theirs("Ciphersuite:")));
        let group = theirs("Server Temp Key:");
        let group = group.split(", ").find(|word| *word != "ECDH").unwrap_or_default();
        assert_eq!(curve(text(&row, "tls.key_exchange")), curve(group), "{client}");
        let facts = ["openssl", "x509", "-noout", "-in", &certificate, "-checkend"];
        let Some(Value::Float(days)) = row.columns.get("tls.days_to_expiry") else {
            panic!("no days in {row:?}");
        };
        // It ends within two hours of what we say.
        for (seconds, word) in [(-3_600.0, "will not"), (3_600.0, "will")] {
            let end = ((days * 86_400.0 + seconds) as u64).to_string();
            let said = said(&[&facts[..], &[end.as_str()]].concat()).unwrap_or_default();
            assert!(said.contains(&format!("{word} expire")), "{days}: {said}");
        }
        let names = [
            "openssl",
            "x509",
            "-noout",
            "-in",
            &certificate,
            "-subject",
            "-ext",
            "subjectAltName",
        ];
        let names = said(&names).unwrap_or_default();
        for name in text(&row, "tls.server.san").split(", ") {
            assert!(names.contains(&format!("DNS:{name}")), "{name} of {names}");
        }
        assert_eq!(row.columns.get("success"), Some(&Value::Bool(false)), "nobody vouches for it");
    }
}

/// `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256` is OpenSSL's `ECDHE-RSA-AES128-GCM-SHA256`.
fn suite(name: &str) -> String {
    let name = name.trim_start_matches("TLS13").trim_start_matches("TLS");
    name.replace("WITH", "").replace(['_', '-'], "")
}

/// `secp256r1` is OpenSSL's `P-256`, or `prime256v1`.
fn curve(name: &str) -> String {
    let lower = name.to_lowercase();
    let bits = ["256", "384", "25519"].into_iter().find(|bits| lower.contains(bits));
    bits.unwrap_or(name).to_owned()
}
