//! Join tokens: minted, carried, shown, used once.

use std::time::Duration;

use holm_certs::{
    JoinProof, JoinToken, MAX_TOKEN_CHARS, SeedPins, SpkiHash, StoredToken, TOKEN_LIFETIME,
    TokenError, TokenLedger, TokenOffer, TrustDomain,
};
use holm_model::SiteId;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::common::{DAY, HOUR, Mesh, NOW, domain};

fn mint(seed: u64) -> (JoinToken, StoredToken) {
    let offer = TokenOffer {
        trust_domain: domain(),
        site: SiteId::new("tokyo").expect("a site"),
        pins: SeedPins { root: Mesh::new().root.pin(), server: SpkiHash([8; 32]) },
        seeds: vec!["berlin.example:8443".to_owned(), "[2001:db8::1]:8443".to_owned()],
        lifetime: TOKEN_LIFETIME,
    };
    JoinToken::mint(&mut StdRng::seed_from_u64(seed), offer, NOW).expect("a token")
}

#[test]
fn a_token_says_where_to_go_and_whom_to_trust() {
    let (token, stored) = mint(1);
    let text = token.to_text();
    assert!(text.starts_with("holm_join_") && text.len() < 300, "{}", text.len());
    let read = JoinToken::parse(&format!("  {}\n", *text)).expect("parses");
    assert_eq!((read.id(), read.pins(), read.expires()), (stored.id(), token.pins(), NOW + HOUR));
    assert_eq!((read.trust_domain(), read.site().as_str()), (&domain(), "tokyo"));
    assert_eq!(read.seeds(), ["berlin.example:8443", "[2001:db8::1]:8443"]);
    assert!(!format!("{token:?}").contains(&hex_secret(&token)), "no secret in Debug");
    let stored = serde_json::to_string(&stored).expect("JSON");
    assert!(!stored.contains(&hex_secret(&token)), "only the hash is stored");
    assert!(serde_json::from_str::<StoredToken>(&stored).is_ok());
}

fn hex_secret(token: &JoinToken) -> String {
    let proof = serde_json::to_value(token.proof()).expect("JSON");
    proof["secret"].as_str().expect("hex").to_owned()
}

#[test]
fn cut_changed_foreign_and_old_tokens_are_told_apart() {
    let (token, _) = mint(2);
    let text = token.to_text();
    for cut in "holm_join_".len() + 8..text.len() - 4 {
        let error = JoinToken::parse(&text[..cut]).expect_err("cut");
        assert!(matches!(error, TokenError::Truncated(_)), "cut at {cut}: {error}");
    }
    for cut in text.len() - 4..text.len() {
        assert!(JoinToken::parse(&text[..cut]).is_err(), "cut at {cut}");
    }
    for at in "holm_join_".len() + 4..text.len() {
        let mut changed = text.as_bytes().to_vec();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).expect("ASCII");
        let error = JoinToken::parse(&changed).expect_err("changed");
        let known = matches!(error, TokenError::Tampered | TokenError::Truncated(_));
        assert!(known, "changed at {at}: {error}");
    }
    let newer = format!("holm_join_Aw{}", &text["holm_join_Aw".len()..]);
    assert_eq!(JoinToken::parse(&newer).expect_err("newer"), TokenError::UnknownVersion(3));
    for garbage in ["", "holm_join_", "holm_join_ä", "ssh-ed25519 AAAA", "holm_join_a b"] {
        assert_eq!(JoinToken::parse(garbage).expect_err(garbage), TokenError::NotAToken);
    }
    let long = format!("holm_join_{}", "A".repeat(MAX_TOKEN_CHARS));
    assert_eq!(JoinToken::parse(&long).expect_err("long"), TokenError::TooLong);
    token.check(NOW + HOUR - 1).expect("still good");
    let error = token.check(NOW + HOUR + 60_000).expect_err("expired");
    assert_eq!(error.code(), "token_expired");
    assert!(error.to_string().contains("holm token create"), "{error}");
    let other = TrustDomain::new("other.test").expect("a domain");
    token.check_mesh(&domain()).expect("its mesh");
    assert_eq!(token.check_mesh(&other).expect_err("foreign").code(), "token_foreign");
}

#[test]
fn a_token_is_used_once_and_a_wrong_secret_does_not_use_it_up() {
    let (token, stored) = mint(3);
    let (stranger, _) = mint(4);
    let mut ledger = TokenLedger::default();
    ledger.add(stored, NOW).expect("remembered");
    let redeem = |ledger: &mut TokenLedger, proof: &JoinProof, now| {
        ledger.redeem(proof, &domain(), now).map_err(|error| error.code())
    };
    assert_eq!(redeem(&mut ledger, &stranger.proof(), NOW).expect_err("no"), "token_unknown");
    let mut wrong = token.proof();
    wrong.secret = stranger.proof().secret;
    assert_eq!(redeem(&mut ledger, &wrong, NOW).expect_err("no"), "token_tampered");
    let mut foreign = token.proof();
    foreign.trust_domain = TrustDomain::new("other.test").expect("a domain");
    assert_eq!(redeem(&mut ledger, &foreign, NOW).expect_err("no"), "token_foreign");
    let mut late = ledger.clone();
    assert_eq!(redeem(&mut late, &token.proof(), NOW + HOUR).expect_err("no"), "token_expired");
    let used = redeem(&mut ledger, &token.proof(), NOW + 1).expect("the first use");
    assert_eq!((used.site().as_str(), used.used()), ("tokyo", Some(NOW + 1)));
    assert_eq!(redeem(&mut ledger, &token.proof(), NOW + 2).expect_err("no"), "token_used");
    // A wrong secret learns nothing about the token, used or not.
    assert_eq!(redeem(&mut ledger, &wrong, NOW + 2).expect_err("no"), "token_tampered");
    let json = serde_json::to_string(&ledger).expect("JSON");
    let mut again: TokenLedger = serde_json::from_str(&json).expect("reads back");
    assert_eq!(redeem(&mut again, &token.proof(), NOW + 3).expect_err("no"), "token_used");
    // Forgotten a month after its end.
    let (_, next) = mint(5);
    again.add(next, NOW + 40 * DAY).expect("remembered");
    assert_eq!(again.iter().count(), 1);
}

#[test]
fn seeds_are_addresses() {
    let offer = |seeds: &[&str]| TokenOffer {
        trust_domain: domain(),
        site: SiteId::new("tokyo").expect("a site"),
        pins: SeedPins { root: SpkiHash([7; 32]), server: SpkiHash([8; 32]) },
        seeds: seeds.iter().map(|&seed| seed.to_owned()).collect(),
        lifetime: Duration::from_secs(60),
    };
    let mut rng = StdRng::seed_from_u64(6);
    for bad in [&[][..], &["host"], &["host:0"], &["host:65536"], &[":1"], &["a b:1"], &["::1:1"]] {
        let refused = JoinToken::mint(&mut rng, offer(bad), NOW);
        assert!(matches!(refused, Err(TokenError::Seed(_))), "{bad:?}");
    }
    assert!(JoinToken::mint(&mut rng, offer(&["a:1"; 9]), NOW).is_err());
    assert!(JoinToken::mint(&mut rng, offer(&["127.0.0.1:1", "[::1]:65535"]), NOW).is_ok());
}
