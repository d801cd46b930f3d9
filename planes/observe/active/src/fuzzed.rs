//! What servers answer, for the fuzzer (deploy/fuzz); in no other build.

use holm_model::Millis;

use crate::probes::{dns, icmp, sip, stamp};
use crate::tls_facts::{Fact, TlsFacts};

/// As what a socket of ICMP delivers.
pub fn echo(packet: &[u8]) {
    icmp::fuzzed(packet);
}

/// As a message of each protocol that has messages.
pub fn message(bytes: &[u8]) {
    dns::fuzzed(bytes);
    sip::fuzzed(bytes);
    stamp::fuzzed(bytes);
}

/// As the certificates that a server shows, its own first, and the staple with them.
pub fn certificates(staple: &[u8], chain: &[&[u8]]) {
    let mut facts = TlsFacts::of_chain(chain.iter().copied());
    if !chain.is_empty() {
        facts = facts.with_staple(staple, chain.iter().copied());
    }
    for (column, fact) in facts.columns() {
        if let Fact::Text(text) = fact {
            assert!(text.chars().count() <= 10_000, "{column} has no bound: {}", text.len());
        }
    }
    crate::tls_findings(&facts, Millis(1_700_000_000_000), 21);
}
