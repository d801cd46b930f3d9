//! The host plane as it behaves, most of it on real connections of this machine.

mod built_object;
mod common;
mod namespaces;
mod real_connections;
mod service_map;
mod started_anew;
mod without_privilege;
