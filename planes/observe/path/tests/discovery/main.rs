//! The engine against networks in virtual time, and against other tools' simulations.

mod aliases;
mod fakeroute;
mod odd_networks;
mod simulations;
mod the_bound;
