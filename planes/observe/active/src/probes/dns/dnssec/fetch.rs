//! Fetches what judging asks for, from the server that gave the answer.

use std::time::Instant;

use hickory_proto::op::Message;

use super::super::{Question, Server, ask};
use super::judge::{Fetched, Judge, Next};
use super::{Anchors, MAX_LOOKUPS, Trust, Verdict};
use crate::outcome::{Outcome, elapsed_ms};
use crate::probes::{Dial, Roots};

/// Bytes that a question takes about beside the first, plain and over TLS.
const PLAIN_BYTES: f64 = 1_500.0;
const TLS_BYTES: f64 = 8_000.0;

/// Whether an answer is signed from the anchors down, and what that took.
pub(in super::super) async fn validate(
    question: &Question,
    answer: &Message,
    (server, roots, anchors): (&Server, &Roots, &Anchors),
    now_s: u32,
    until: Instant,
    dial: &Dial<'_>,
    outcome: &mut Outcome,
) -> Verdict {
    let begin = Instant::now();
    let mut judge = Judge::new(anchors, now_s);
    let mut fetched = Fetched::new();
    let each = if matches!(server, Server::Plain { .. }) { PLAIN_BYTES } else { TLS_BYTES };
    let verdict = loop {
        let (name, kind) =
            match judge.step((&question.name, question.record_type), answer, &fetched) {
                Next::Is(verdict) => break verdict,
                Next::Needs(name, kind) => (name, kind),
            };
        if fetched.len() == MAX_LOOKUPS {
            let why = format!("more than {MAX_LOOKUPS} look-ups would be needed");
            break Verdict::new(Trust::Indeterminate, &name, why);
        }
        if Instant::now() >= until {
            let why = format!("there was no time left for {name} {kind}");
            break Verdict::new(Trust::Indeterminate, &name, why);
        }
        let asked = Question { name: name.clone(), record_type: kind, validated: true };
        // Phases and flags are those of the first question.
        let mut beside = Outcome::default();
        let got = ask(&asked, server, roots, until, dial, &mut beside).await;
        outcome.more_bytes += each + beside.more_bytes;
        fetched.insert((name, kind), got.map(|(message, ..)| message));
    };
    outcome.metric("dns.dnssec.lookups", fetched.len() as f64);
    outcome.metric("dns.dnssec.signatures", f64::from(judge.spent.signatures));
    outcome.metric("dns.dnssec.hashes", f64::from(judge.spent.hashes));
    outcome.metric("dns.dnssec.duration_ms", elapsed_ms(begin));
    if let Some(ends) = judge.spent.ends_s {
        let left = f64::from(ends.wrapping_sub(now_s) as i32);
        outcome.metric("dns.dnssec.days_to_expiry", left / 86_400.0);
    }
    outcome.attribute("dns.dnssec", verdict.trust.as_str());
    if verdict.trust != Trust::Secure {
        outcome.attribute("dns.dnssec.reason", verdict.reason.clone());
    }
    if let Some(zone) = &verdict.zone {
        outcome.attribute("dns.dnssec.zone", zone.to_string());
    }
    verdict
}
