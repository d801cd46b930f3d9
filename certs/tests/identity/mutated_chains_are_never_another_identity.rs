//! Bit flips, cuts and splices over whole chains: never a panic, never another identity.

use crate::common::{Chain, Mesh, NOW, leaf_params, node_id};
use holm_certs::{NodeKey, SignedStatement, StatementKind, Verifier};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustls_pki_types::CertificateDer;

/// A seeded generator: a failure names its round, and the round repeats.
struct Draw(StdRng);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0.random_range(0..bound.max(1))
    }
}

fn draw() -> Draw {
    Draw(StdRng::seed_from_u64(2026))
}

fn mutate(chain: &Chain, draw: &mut Draw) -> Chain {
    let mut bytes: Vec<Vec<u8>> = chain.iter().map(|der| der.to_vec()).collect();
    for _ in 0..=draw.below(3) {
        let at = draw.below(bytes.len());
        let other = bytes[draw.below(bytes.len())].clone();
        let der = &mut bytes[at];
        if der.is_empty() {
            continue;
        }
        let place = draw.below(der.len());
        match draw.below(8) {
            0 => der.truncate(place),
            1 => der[place] = u8::try_from(draw.below(256)).expect("a byte"),
            2 => der.insert(place, u8::try_from(draw.below(256)).expect("a byte")),
            3 => {
                der.remove(place);
            }
            4 => {
                let end = (place + draw.below(32)).min(der.len()).min(other.len());
                let start = place.min(end);
                der[start..end].copy_from_slice(&other[start..end]);
            }
            _ => der[place] ^= 1 << draw.below(8),
        }
    }
    bytes.into_iter().map(CertificateDer::from).collect()
}

#[test]
fn thirty_thousand_mutations_give_no_panic_and_no_other_identity() {
    let mesh = Mesh::new();
    let key = NodeKey::generate().expect("a key");
    let good = mesh.svid(&key, &node_id("berlin", "n1"), NOW);
    let names = leaf_params(&["spiffe://holm.test/a/b/c", "spiffe://holm.test/d"]);
    let chains = [good.clone(), mesh.issuer_ca().leaf(&names)];
    let original = Verifier::verify(&good, &mesh.bundles, NOW).expect("valid");
    let mut draw = draw();
    let (mut judged, mut codes) = (0, std::collections::BTreeSet::new());
    for round in 0..32_000 {
        let input = &chains[usize::from(round % 4 == 0)];
        let chain = mutate(input, &mut draw);
        if chain == *input {
            continue; // The mutation wrote what was there.
        }
        judged += 1;
        match Verifier::verify(&chain, &mesh.bundles, NOW) {
            Ok(svid) => {
                assert_eq!(svid.spki(), original.spki(), "round {round}: another key");
                assert_eq!(svid.spiffe_id(), original.spiffe_id(), "round {round}: another name");
                panic!("round {round}: a changed chain was accepted, as the same identity");
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                codes.insert(error.code());
            }
        }
    }
    assert!(judged >= 20_000, "{judged} chains were changed");
    assert!(codes.len() >= 8, "mutations reach many rules: {codes:?}");
}

#[test]
fn mutated_statements_are_refused() {
    let mesh = Mesh::new();
    let kind = StatementKind(77);
    let statement = SignedStatement::sign(kind, b"payload".to_vec(), &mesh.issuer).expect("signed");
    let bytes = statement.to_bytes().expect("bytes");
    let mut draw = draw();
    for round in 0..3_000 {
        let mutated = mutate(&vec![bytes.clone().into()], &mut draw);
        let Ok(parsed) = SignedStatement::from_bytes(&mutated[0]) else { continue };
        if parsed != statement {
            let verdict = parsed.verify(&mesh.bundles, NOW);
            assert!(verdict.is_err(), "round {round}: a changed statement was accepted");
        }
    }
}
