//! The certificate that HTTPS shows: it follows the configuration, and the operator may bring one.

use std::net::IpAddr;
use std::time::Duration;

use holm_certs::files::IdentityDir;
use holm_certs::{NodeKey, RootAuthority, TrustDomain};
use holm_model::Millis;

use crate::common::{Client, Lab, Place, eventually};

#[test]
fn a_new_address_is_in_the_certificate_soon_after_the_start() {
    let lab = Lab::new();
    let place = lab.found("berlin").start().stop();
    let moved =
        Place { api: format!("127.0.0.77:{}", place.api.port()).parse().expect("valid"), ..place };
    let listen = moved.api.to_string();
    let node = moved.spawn(&[("HOLM_API_LISTEN", &listen)]);
    eventually("a client that checks the name is content", || {
        let answer = Client::without_token(&node.place).try_get("/readyz").ok()?;
        (answer.status == 200).then_some(())
    });
    assert!(node.place.holm(&["status"]).succeeded().contains("site/berlin/node/n1"));
}

/// A certificate of an authority that no node knows.
fn operators(place: &Place) -> IdentityDir {
    let files = IdentityDir::create(&place.file("operator")).expect("made");
    let domain = TrustDomain::new("operator.test").expect("valid");
    let root = RootAuthority::create(&domain, Millis::now()).expect("a root");
    let issuer = root.create_issuer(Millis::now()).expect("an issuer");
    let key = NodeKey::generate().expect("a key");
    let names = ["holm.operator.test".to_owned()];
    let (ips, day) = ([IpAddr::from([127, 0, 0, 1])], Duration::from_secs(86_400));
    let chain = issuer.issue_web(key.public_key(), &names, &ips, day, Millis::now());
    files.save_web_key(&key).expect("saved");
    files.save_web_chain(&chain.expect("issued")).expect("saved");
    files
}

#[test]
fn with_the_operators_certificate_browsers_see_it_and_the_mesh_goes_on_as_before() {
    let lab = Lab::new();
    let place = lab.found("berlin");
    operators(&place);
    let (cert, key) = (place.file("operator/web.pem"), place.file("operator/web-key.pem"));
    let (cert, key) = (cert.to_string_lossy(), key.to_string_lossy());
    let berlin = place.spawn(&[("HOLM_API_TLS_CERT", &*cert), ("HOLM_API_TLS_KEY", &*key)]);
    eventually("the command line beside it is content", || {
        place.holm(&["status"]).ok.then_some(())
    });
    // This client asks as a browser does, and trusts the mesh alone.
    let browser = Client::without_token(&place).try_get("/readyz");
    assert!(browser.is_err(), "it met the mesh's certificate");
    let tokyo = lab.join(&berlin, "tokyo").start();
    eventually("they are connected", || tokyo.hears("berlin").then_some(()));
}
