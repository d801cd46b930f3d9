//! The real binary, as its users meet it: what they type, what they ask, and what goes wrong.
//!
//! Every node is a process with a folder and loopback addresses of its own, so that all of these
//! stories run at the same time. The planes are off unless a story needs them. Nothing here asserts
//! how long something took: a wait ends when the thing happened, or after a generous limit.

mod common;

mod a_certificate_ends;
mod a_mesh_comes_to_be;
mod adversary;
mod adversary_hints;
mod alerts;
mod bad_configuration;
mod browser;
mod changes;
mod clickhouse;
mod clocks;
mod damaged_files;
mod endpoints;
mod flow_answers;
mod flow_truths;
mod flows;
mod forgotten;
mod full_disk;
mod garbage_on_the_mesh_port;
mod incidents;
mod join_tokens;
mod kill_nine;
mod known_before;
mod lab;
mod live;
mod nat;
mod pages;
mod partition;
mod probe_kinds;
mod probe_tests;
mod query;
mod questions;
mod revocation;
mod slos;
mod spans;
mod tenants;
mod the_api;
mod time_travel;
mod tls_posture;
mod traces;
mod two_nodes_with_one_identity;
mod two_versions;
mod web_certificate;
mod who_reaches_whom;
