//! HTTPS: the enrolling client trusts a pin, the CLI a bundle, browsers a plain web certificate.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use holm_certs::{
    Bundle, NodeKey, SeedPins, SpkiHash, WebIdentity, pinned_client_config, trusted_client_config,
};
use holm_model::Millis;
use rustls::{ClientConfig, ClientConnection, Connection, Error, ServerConnection};

use crate::common::{DAY, HOUR, Mesh, domain, minutes, node_id};

struct Site {
    mesh: Mesh,
    key: NodeKey,
    web: WebIdentity,
}

fn now() -> Millis {
    Millis::now()
}

fn site_at(issued: Millis) -> Site {
    let mesh = Mesh::of(&domain(), issued);
    let key = NodeKey::generate().expect("a key");
    let (names, ips) = (["n1.example".to_owned()], ["127.0.0.1".parse::<IpAddr>().expect("ip")]);
    let chain = mesh.issuer.issue_web(key.public_key(), &names, &ips, minutes(60), issued);
    let web = WebIdentity::issued(chain.expect("issued"), &key).expect("belongs together");
    Site { mesh, key, web }
}

fn connect(config: ClientConfig, name: &str, web: &WebIdentity) -> Result<Connection, Error> {
    let name = name.to_owned().try_into().expect("a name");
    let mut client: Connection =
        ClientConnection::new(Arc::new(config), name).expect("a client").into();
    let config = Arc::new(web.server_config().expect("a configuration"));
    let mut server: Connection = ServerConnection::new(config).expect("a server").into();
    for _ in 0..6 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("memory");
        }
        let mut bytes = wire.as_slice();
        while !bytes.is_empty() {
            server.read_tls(&mut bytes).expect("memory");
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory");
        }
        let mut bytes = wire.as_slice();
        while !bytes.is_empty() {
            client.read_tls(&mut bytes).expect("memory");
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking());
    Ok(client)
}

#[test]
fn the_cli_trusts_the_bundle_and_checks_the_name() {
    let site = site_at(now());
    let config = || trusted_client_config(&site.mesh.bundle()).expect("a configuration");
    let client = connect(config(), "n1.example", &site.web).expect("by DNS name");
    assert_eq!(client.alpn_protocol(), Some(&b"http/1.1"[..]));
    connect(config(), "127.0.0.1", &site.web).expect("by address");
    assert!(connect(config(), "n2.example", &site.web).is_err(), "another name");
    assert!(connect(config(), "127.0.0.2", &site.web).is_err(), "another address");
    let twin = trusted_client_config(&Mesh::of(&domain(), now()).bundle()).expect("ok");
    assert!(connect(twin, "n1.example", &site.web).is_err(), "another mesh");
    let empty = Bundle::new(&domain(), vec![], 1, 1).expect("a bundle");
    assert!(trusted_client_config(&empty).is_err());
}

#[test]
fn enrolment_trusts_the_pinned_root_only() {
    let site = site_at(now());
    let server = site.key.public_key().hash();
    let pinned = |root| pinned_client_config(&SeedPins { root, server }).expect("a configuration");
    let pin = site.mesh.root.pin();
    connect(pinned(pin), "n1.example", &site.web).expect("the pinned root");
    connect(pinned(pin), "198.51.100.7", &site.web).expect("the address is not compared");
    assert!(connect(pinned(SpkiHash([7; 32])), "n1.example", &site.web).is_err());
    // The pin of the intermediate or of the leaf is no root's pin that leads to the leaf.
    let leaf = pinned(site.key.public_key().hash());
    assert!(connect(leaf, "n1.example", &site.web).is_err());
    // Another node of the mesh: a revoked one keeps its web certificate for weeks.
    let other = NodeKey::generate().expect("a key");
    let names = ["n1.example".to_owned()];
    let chain = site.mesh.issuer.issue_web(other.public_key(), &names, &[], minutes(60), now());
    let other = WebIdentity::issued(chain.expect("issued"), &other).expect("belongs together");
    assert!(connect(pinned(pin), "n1.example", &other).is_err(), "not the maker of the token");
    // A server of another mesh that sends the pinned root along without being signed by it.
    let evil = site_at(now());
    let mut chain = evil.web.chain();
    chain[2] = site.mesh.root.certificate().clone();
    evil.web.replace_issued(chain, &evil.key).expect("belongs together");
    assert!(connect(pinned(pin), "n1.example", &evil.web).is_err(), "a borrowed root");
    // A server that does not send the root cannot be checked.
    let mut chain = site.web.chain();
    chain.truncate(2);
    site.web.replace_issued(chain, &site.key).expect("belongs together");
    assert!(connect(pinned(pin), "n1.example", &site.web).is_err(), "no root sent");
}

#[test]
fn an_expired_server_is_refused() {
    let site = site_at(now() - DAY);
    let pins = SeedPins { root: site.mesh.root.pin(), server: site.key.public_key().hash() };
    let pinned = pinned_client_config(&pins).expect("ok");
    assert!(connect(pinned, "n1.example", &site.web).is_err());
    let names = ["n1.example".to_owned()];
    let (key, from) = (site.key.public_key(), now() - HOUR / 60);
    let chain = site.mesh.issuer.issue_web(key, &names, &[], minutes(60), from).expect("issued");
    site.web.replace_issued(chain, &site.key).expect("replaced without a restart");
    let trusted = trusted_client_config(&site.mesh.bundle()).expect("ok");
    connect(trusted, "n1.example", &site.web).expect("renewed");
}

#[test]
fn an_svid_or_a_wrong_key_serves_no_web() {
    let site = site_at(now());
    let other = NodeKey::generate().expect("a key");
    assert!(site.web.replace_issued(site.web.chain(), &other).is_err(), "another key");
    let svid = site.mesh.svid(&other, &node_id("berlin", "n1"), now());
    let web = WebIdentity::issued(svid, &other).expect("belongs together");
    let trusted = trusted_client_config(&site.mesh.bundle()).expect("ok");
    assert!(connect(trusted, "n1.example", &web).is_err(), "an SVID has no web name");
    assert!(site.web.clone().with_operators("", "").is_err());
    assert!(site.web.with_operators("nonsense", "nonsense").is_err());
}

#[test]
fn the_operators_certificate_is_for_browsers_and_the_meshs_for_the_mesh() {
    let (site, operator) = (site_at(now()), site_at(now()));
    let pem = |der: &[u8]| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    };
    let chain: String = operator.web.chain().iter().map(|der| pem(der)).collect();
    let web = site.web.with_operators(&chain, &operator.key.to_pem()).expect("belongs together");
    let pins = SeedPins { root: site.mesh.root.pin(), server: site.key.public_key().hash() };
    let enrolment = pinned_client_config(&pins).expect("ok");
    connect(enrolment, "198.51.100.7", &web).expect("enrolment meets the mesh's");
    let trusted = |mesh: &Mesh| trusted_client_config(&mesh.bundle()).expect("ok");
    connect(trusted(&site.mesh), "n1.example", &web).expect("so does the command line");
    let mut browser = trusted(&operator.mesh);
    browser.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let seen = connect(browser, "n1.example", &web).expect("a browser meets the operator's");
    assert_eq!(seen.alpn_protocol(), Some(&b"h2"[..]));
}

#[test]
fn a_certificate_says_whether_it_is_for_all_names() {
    let site = site_at(now());
    let dns = |name: &str| vec![name.to_owned()];
    let loopback: IpAddr = "127.0.0.1".parse().expect("ip");
    assert!(site.web.covers(&dns("n1.example"), &[loopback]));
    assert!(!site.web.covers(&dns("n2.example"), &[loopback]));
    assert!(!site.web.covers(&dns("n1.example"), &["127.0.0.2".parse().expect("ip")]));
    assert!(!site.web.covers(&dns("not a name"), &[]));
}
