//! Paging: who is told of an incident, by which node, once, and by which provider.
//!
//! What comes in: incidents as they stand ([`Subject`]), what people decided ([`Connector`], [`Route`]), what
//! became of pages at all sites ([`Delivery`], in a [`Book`]), and who is alive ([`Members`]). What goes out:
//! what this node is to write down and to send ([`plan()`](fn@plan)), requests in the words of each provider
//! ([`send()`](fn@send)), and what a provider says back ([`Heard`]). What must never happen: two nodes of one
//! partition that deliver one message; a page that is lost because a provider, a node or a link was down; a
//! secret in an answer, a log or an error; a name that becomes a link or a mention at a provider.
//!
//! All but [`send()`](fn@send) takes the time as an argument and does no I/O. Why it is so:
//! `docs/adr/0024-paging.md`.

mod book;
mod checks;
mod connector;
mod delivery;
mod dial;
mod draft;
mod escape;
mod heard;
mod members;
mod outbox;
mod plan;
mod provider;
mod route;
mod secret;
mod send;
mod smtp;
mod subject;
mod text;
mod thread;

pub use book::{Book, RecordId};
pub use connector::{Connector, MAX_RECIPIENTS};
pub use delivery::{Delivery, DeliveryId, Event, Phase};
pub use dial::MayDial;
pub use draft::{ConnectorError, Draft, Mail, Provider};
pub use heard::{Heard, HeardError, Refusal, Said, Verified};
pub use members::{HOLD_MS, JOIN_MS, Members, Pager, START_MS, elect};
pub use outbox::Outbox;
pub use plan::{Due, Plan, Standing, plan};
pub use provider::{Answer, Message, Outcome, classify};
pub use route::{Route, RouteError, Rule, rules};
pub use secret::Secret;
pub use send::{Http, send};
pub use subject::{Fact, Stand, Subject};
pub use text::{Page, page_of, summary_of, test_of};
pub use thread::{Thread, Told};

/// Most connectors, and most routes, of a tenant.
pub const MAX_CONNECTORS: usize = 64;
/// Most routes of a tenant.
pub const MAX_ROUTES: usize = 256;
/// Longest body of an inbound webhook, in bytes.
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// Most bytes of a provider's answer that are read.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Whether `name` is one of a connector or route: 1 to 63 small letters, digits and `-`.
pub fn is_name(name: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(letter)
}

/// The beginning of a text, at most `max` characters.
pub(crate) fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some(_) => {
            let mut short: String = text.chars().take(max.saturating_sub(1)).collect();
            short.push('…');
            short
        }
    }
}
