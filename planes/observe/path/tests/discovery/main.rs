//! The engine against networks in virtual time, and against other tools' simulations.

mod fakeroute;
mod the_bound;
