//! Renewal while an issuer can be reached, and what is left when none can. A minute is the shortest
//! lifetime that a node issues, so these two take their time, side by side.

use std::time::Duration;

use serde_json::Value;

use crate::common::{Lab, Running, agree, eventually, within};

const MINUTE: [(&str, &str); 1] = [("HOLM_IDENTITY_SVID_LIFETIME", "60s")];
const LONG: Duration = Duration::from_secs(100);

fn svid(node: &Running) -> Value {
    node.get("/v1/me")["svid"].clone()
}

/// A mesh whose issuer gives certificates of one minute, and a site that joined it.
fn mesh(lab: &Lab) -> (Running, Running) {
    let berlin = lab.found("berlin").start_with(&MINUTE);
    let tokyo = lab.join(&berlin, "tokyo").start();
    agree(&[&berlin, &tokyo]);
    eventually("both hear each other", || {
        (berlin.hears("tokyo") && tokyo.hears("berlin")).then_some(())
    });
    assert_eq!(svid(&tokyo)["state"], "valid");
    (berlin, tokyo)
}

fn is_renewed_on_a_live_connection() {
    let lab = Lab::new();
    let (berlin, tokyo) = mesh(&lab);
    let before = svid(&tokyo)["not_after"].clone();
    let handshakes = |node: &Running| node.get("/v1/sites")["counters"]["handshakes"].clone();
    let connected = (handshakes(&berlin), handshakes(&tokyo));
    within("the certificate is renewed", LONG, || {
        // RFC 3339 in UTC with milliseconds: later is greater.
        (svid(&tokyo)["not_after"].as_str()? > before.as_str()?).then_some(())
    });
    eventually("the peer has heard of the new end, on the connection that stands", || {
        let seen = berlin.member("tokyo")?["svid_not_after"].clone();
        (seen == svid(&tokyo)["not_after"]).then_some(())
    });
    assert_eq!((handshakes(&berlin), handshakes(&tokyo)), connected, "no new connection");
    let place = tokyo.stop();
    assert!(place.start().hears_again("berlin"), "the new certificate is on disk");
}

fn is_survived_without_an_issuer() {
    let lab = Lab::new();
    let (berlin, tokyo) = mesh(&lab);
    let berlin = berlin.stop();
    within("the certificate ends", LONG, || (svid(&tokyo)["state"] == "expired").then_some(()));
    let reason = eventually("it does not replicate, and says why", || {
        let sites = tokyo.get("/v1/sites");
        (sites["replicating"] == false).then(|| sites["replicating_reason"].clone())
    });
    let reason = reason.as_str().expect("a reason").to_owned();
    assert!(reason.contains("certificate ended") && reason.contains("new token"), "{reason}");
    let status = tokyo.place.holm(&["status"]).succeeded();
    for part in ["EXPIRED", "holm token create --site tokyo", "holm join", "NOT REPLICATING"] {
        assert!(status.contains(part), "\"{part}\" is not in:\n{status}");
    }
    assert_eq!(tokyo.get("/v1/topology")["total"]["nodes"], 2, "it serves what it has");

    // It is not let in with the old certificate, and comes back with a token, without a restart.
    let berlin = berlin.start();
    tokyo.place.join(&berlin.token("tokyo")).succeeded();
    eventually("it is back", || {
        (berlin.hears("tokyo") && tokyo.get("/v1/sites")["replicating"] == true).then_some(())
    });
    agree(&[&berlin, &tokyo]);
}

impl Running {
    fn hears_again(&self, site: &str) -> bool {
        eventually("it is connected again", || self.hears(site).then_some(true))
    }
}

#[test]
fn it_is_renewed_in_time_or_the_node_serves_on_alone_and_says_so() {
    std::thread::scope(|scope| {
        scope.spawn(is_renewed_on_a_live_connection);
        scope.spawn(is_survived_without_an_issuer);
    });
}
