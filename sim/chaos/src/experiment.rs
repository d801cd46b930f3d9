//! Baseline, inject, observe, heal.

use crate::link::{Faults, Link};

/// What was measured before, during and after a fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Phases<T> {
    /// Without a fault.
    pub baseline: T,
    /// With it.
    pub injected: T,
    /// Without it again.
    pub healed: T,
}

/// Measures without `faults`, with them, and without again. The link is left without faults, also when a
/// measurement fails or is given up.
///
/// # Errors
/// The first measurement that fails.
pub async fn experiment<T, E>(
    link: &Link,
    faults: Faults,
    mut measure: impl AsyncFnMut() -> Result<T, E>,
) -> Result<Phases<T>, E> {
    let _heal = Heal(link);
    link.set(Faults::NONE);
    let baseline = measure().await?;
    link.set(faults);
    let injected = measure().await?;
    link.set(Faults::NONE);
    let healed = measure().await?;
    Ok(Phases { baseline, injected, healed })
}

struct Heal<'a>(&'a Link);

impl Drop for Heal<'_> {
    fn drop(&mut self) {
        self.0.set(Faults::NONE);
    }
}
