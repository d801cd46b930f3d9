//! The behaviour of holm-certs, one file a behaviour.

mod common;
mod tenancy;

mod bundles_speak_for_one_domain;
mod certificates_never_outlive_their_issuer;
mod erasures_are_for_good;
mod every_must_of_x509_svid_is_enforced;
mod files_are_whole_and_private;
mod forgotten_sites_can_come_back;
mod grants_are_judged_by_the_set;
mod https_is_pinned_or_trusted;
mod join_tokens_are_single_use;
mod mesh_handshakes_verify_both_sides;
mod mutated_chains_are_never_another_identity;
mod published_spiffe_vectors_hold;
mod revocations_always_win;
mod tenant_statements_are_hostile;
mod tenants_stay_unnamed;
