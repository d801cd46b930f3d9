//! Join tokens that are no good: each refusal names the thing and the remedy, and costs nothing.

use holm_certs::files::IdentityDir;
use holm_certs::{JoinToken, SeedPins, TOKEN_LIFETIME, TokenOffer, TrustDomain};
use holm_model::Millis;

use crate::common::{Lab, Place, agree};

/// A token as the issuer in `place` would make it at `at`, with these seeds, unknown to its ledger.
fn minted(place: &Place, domain: &str, seed: &str, at: Millis) -> String {
    let files = IdentityDir::at(&place.file("identity"));
    let issuer = files.load_issuer().expect("readable").expect("an issuer");
    let offer = TokenOffer {
        trust_domain: TrustDomain::new(domain).expect("valid"),
        site: "tokyo".parse().expect("valid"),
        pins: SeedPins {
            root: issuer.pin().expect("a root"),
            server: files.load_web_key().expect("readable").public_key().hash(),
        },
        seeds: vec![seed.into()],
        lifetime: TOKEN_LIFETIME,
    };
    let (token, _) = JoinToken::mint(&mut rand::rng(), offer, at).expect("minted");
    token.to_text().to_string()
}

#[test]
fn a_bad_token_is_refused_by_name_and_the_folder_joins_with_a_good_one_afterwards() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let seed = berlin.place.api.to_string();
    let token = berlin.token("tokyo");
    let tokyo = lab.place("tokyo");

    let cut = &token[..token.len() - 7];
    tokyo.join(cut).failed_naming(&["token is cut off", "copy it again"]);
    let mut changed = token.clone();
    let last = if token.ends_with('A') { "B" } else { "A" };
    changed.replace_range(60..61, if &token[60..61] == last { "C" } else { last });
    tokyo.join(&changed).failed_naming(&["token was changed or mistyped", "copy it again"]);
    tokyo.join("hunter2").failed_naming(&["not a join token", "holm_join_"]);
    tokyo.join(&"holm_join_A".repeat(1_000)).failed_naming(&["longer than", "copy only the token"]);

    let old = minted(&berlin.place, "t.test", &seed, Millis(Millis::now().0 - 2 * 3_600_000));
    tokyo.join(&old).failed_naming(&["token expired", "holm token create"]);
    let unknown = minted(&berlin.place, "t.test", &seed, Millis::now());
    tokyo.join(&unknown).failed_naming(&["did not make that join token", "holm token create"]);
    let nobody = minted(&berlin.place, "t.test", "127.0.0.1:9", Millis::now());
    tokyo.join(&nobody).failed_naming(&["no seed of the token answers", "127.0.0.1:9"]);

    tokyo.join(&token).succeeded();
    lab.place("thief")
        .join_as(&token, "n2")
        .failed_naming(&["token was used", "holm token create"]);
    agree(&[&berlin, &tokyo.start()]);
}

#[test]
fn a_token_of_another_mesh_is_refused_on_both_sides() {
    let lab = Lab::new();
    let ours = lab.found("berlin").start();
    let theirs = lab.found_mesh("other.test", "oslo", "oslo").start();
    let member = lab.join(&ours, "tokyo");
    member.join(&theirs.token("tokyo")).failed_naming(&[
        "other.test",
        "t.test",
        "empty data folder",
    ]);

    // Their pin and our address: nobody who is not of the pinned mesh gets as far as the secret.
    let seed = ours.place.api.to_string();
    let lured = lab.place("lured");
    let pinned = minted(&theirs.place, "other.test", &seed, Millis::now());
    lured
        .join(&pinned)
        .failed_naming(&["no seed of the token answers", "certificate is not accepted"]);
    assert!(!lured.file("mesh.json").exists(), "nothing of the other mesh was taken");
    lured.join(&ours.token("lured")).succeeded();
    agree(&[&ours, &member.start(), &lured.start()]);
}

#[test]
fn a_live_nodes_name_is_not_given_away_and_the_token_stays_good() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let tokyo = lab.join(&berlin, "tokyo").start();
    agree(&[&berlin, &tokyo]);
    let token = berlin.token("tokyo");
    let second = lab.place("second");
    second.join(&token).failed_naming(&["live node with another key", "--node", "holm revoke"]);
    second.join_as(&token, "n2").succeeded();
    let listed = berlin.place.holm(&["token", "list"]).succeeded();
    assert_eq!(listed.matches("used").count(), 2, "{listed}");
}

#[test]
fn a_node_that_does_not_issue_says_who_does() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let tokyo = lab.join(&berlin, "tokyo").start();
    let refused = tokyo.place.holm(&["token", "create", "--site", "oslo"]);
    refused.failed_naming(&["issues no certificates", "holm issuer install"]);
}
