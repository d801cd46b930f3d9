//! The last step before anything is sent: the address that a probe dials is looked at, and asked for no oftener than
//! is polite.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::Resolver;
use crate::budget::LeftOut;
use crate::outcome::Outcome;
use crate::runner::NodeLimits;
use crate::{Family, Guard};

/// How a probe comes to the address that it dials.
#[derive(Clone, Copy)]
pub(crate) struct Dial<'a> {
    resolver: &'a Resolver,
    /// What a test that was made by policy must pass.
    pub(super) gate: Option<&'a Gate>,
}

impl<'a> Dial<'a> {
    pub(crate) fn new(resolver: &'a Resolver, gate: Option<&'a Gate>) -> Self {
        Self { resolver, gate }
    }

    /// What nobody has to pass: the node's own configuration, and the mesh itself.
    #[cfg(test)]
    pub(super) fn open(resolver: &'a Resolver) -> Self {
        Self::new(resolver, None)
    }

    /// The address of `host`, which may be dialled. A name's look-up time goes into `dns_column`.
    pub(crate) async fn resolve(
        &self,
        host: &str,
        family: Family,
        until: Instant,
        dns_column: &'static str,
        outcome: &mut Outcome,
    ) -> Result<IpAddr, String> {
        let ip = self.resolver.resolve(host, family, until, dns_column, outcome).await?;
        if let Some(gate) = self.gate {
            gate.pass(ip, outcome)?;
        }
        Ok(ip)
    }
}

/// What one run of a test has to pass, and holds until it ends.
pub(crate) struct Gate {
    guard: Guard,
    limits: Arc<NodeLimits>,
    held: Mutex<Vec<IpAddr>>,
}

impl Gate {
    pub(crate) fn new(guard: Guard, limits: Arc<NodeLimits>) -> Self {
        Self { guard, limits, held: Mutex::default() }
    }

    /// Whether `address` may be dialled now: by the guard, and by what is polite.
    pub(super) fn pass(&self, address: IpAddr, outcome: &mut Outcome) -> Result<(), String> {
        if let Err(why) = self.guard.check(address) {
            outcome.refused = true;
            return Err(why);
        }
        self.pass_politely(address, outcome)
    }

    /// The same for an address that the node's operator chose.
    pub(super) fn pass_politely(
        &self,
        address: IpAddr,
        outcome: &mut Outcome,
    ) -> Result<(), String> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.contains(&address) {
            if !self.limits.begin_address(address) {
                outcome.left_out = Some(LeftOut::OneAddress);
                return Err("this node's tests ask this address as often as they may".into());
            }
            held.push(address);
        }
        Ok(())
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        for address in self.held.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            self.limits.end_address(address);
        }
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("guard", &self.guard).finish_non_exhaustive()
    }
}
