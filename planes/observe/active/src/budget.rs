//! How much tests may send: probes and bytes a second, of a tenant and of the whole node, and to one address. Pure,
//! with the time as an argument.

use std::collections::HashMap;
use std::net::IpAddr;

/// Most addresses that are followed at once; while there are more, those that were not dialled lately make room.
const MAX_ADDRESSES: usize = 20_000;

/// Why a run was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOut {
    /// The browser of the node was at work for others.
    Browser,
    /// As many look-ups of names are under way as may be: name servers are slow or silent.
    LookUps,
    /// The node's tests send as many bytes as they may.
    NodeBytes,
    /// The node's tests run as often as they may.
    NodeProbes,
    /// As many probes of one address are under way, or were sent in this second, as may be.
    OneAddress,
    /// The tenant's tests send as many bytes as they may.
    TenantBytes,
    /// The tenant's tests run as often as they may.
    TenantProbes,
}

impl LeftOut {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Browser,
        Self::LookUps,
        Self::NodeBytes,
        Self::NodeProbes,
        Self::OneAddress,
        Self::TenantBytes,
        Self::TenantProbes,
    ];

    /// The counter of it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Browser => "left_out_browser",
            Self::LookUps => "left_out_look_ups",
            Self::NodeBytes => "left_out_node_bytes",
            Self::NodeProbes => "left_out_node_probes",
            Self::OneAddress => "left_out_one_address",
            Self::TenantBytes => "left_out_tenant_bytes",
            Self::TenantProbes => "left_out_tenant_probes",
        }
    }
}

/// So much a second, saved up for one second at most. What is spent beyond it must come in again first.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bucket {
    per_second: f64,
    most: f64,
    level: f64,
    at_ms: u64,
}

impl Bucket {
    pub(crate) fn new(per_second: f64) -> Self {
        // At least one at once, however seldom.
        let most = per_second.max(1.0);
        Self { per_second, most, level: most, at_ms: 0 }
    }

    fn fill(&mut self, now_ms: u64) {
        let passed = now_ms.saturating_sub(self.at_ms) as f64 / 1_000.0;
        self.at_ms = self.at_ms.max(now_ms);
        self.level = (self.level + passed * self.per_second).min(self.most);
    }

    /// Takes so much, if there is as much.
    pub(crate) fn take(&mut self, amount: f64, now_ms: u64) -> bool {
        let has = self.has(amount, now_ms);
        if has {
            self.level -= amount;
        }
        has
    }

    fn has(&mut self, amount: f64, now_ms: u64) -> bool {
        self.fill(now_ms);
        // One that is larger than all that is ever saved goes when nothing else went.
        self.level >= amount.min(self.most)
    }
}

/// Probes and bytes a second.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Budget {
    probes: Bucket,
    bytes: Bucket,
}

impl Budget {
    /// So many probes and bytes a second.
    pub(crate) fn new(probes_per_second: f64, bytes_per_second: f64) -> Self {
        Self { probes: Bucket::new(probes_per_second), bytes: Bucket::new(bytes_per_second) }
    }

    /// Whether a probe of about `bytes` may begin: probes, bytes.
    fn has(&mut self, bytes: f64, now_ms: u64) -> (bool, bool) {
        (self.probes.has(1.0, now_ms), self.bytes.has(bytes, now_ms))
    }

    fn take(&mut self, bytes: f64) {
        self.probes.level -= 1.0;
        self.bytes.level -= bytes;
    }

    /// What was taken for a probe that did not begin comes back.
    pub(crate) fn give_back(&mut self, bytes: f64) {
        self.probes.level += 1.0;
        self.bytes.level += bytes;
    }

    /// A probe took so many bytes more than it was taken to.
    pub(crate) fn spend(&mut self, bytes: f64) {
        self.bytes.level -= bytes;
    }
}

/// Takes a probe of about `bytes` from the budgets of a tenant and of the node: from both or from neither.
///
/// # Errors
/// Which of them has not so much.
pub(crate) fn begin(
    tenant: &mut Budget,
    node: &mut Budget,
    bytes: f64,
    now_ms: u64,
) -> Result<(), LeftOut> {
    let (of_tenant, of_node) = (tenant.has(bytes, now_ms), node.has(bytes, now_ms));
    match (of_tenant, of_node) {
        ((false, _), _) => Err(LeftOut::TenantProbes),
        ((_, false), _) => Err(LeftOut::TenantBytes),
        (_, (false, _)) => Err(LeftOut::NodeProbes),
        (_, (_, false)) => Err(LeftOut::NodeBytes),
        _ => {
            tenant.take(bytes);
            node.take(bytes);
            Ok(())
        }
    }
}

#[derive(Debug)]
struct Address {
    bucket: Bucket,
    running: u32,
}

/// How often one address is probed by all tests of the node together.
#[derive(Debug)]
pub(crate) struct Politeness {
    per_second: f64,
    at_once: u32,
    addresses: HashMap<IpAddr, Address>,
}

impl Politeness {
    /// So many probes a second to one address, and so many at once.
    pub(crate) fn new(per_second: f64, at_once: u32) -> Self {
        Self { per_second, at_once, addresses: HashMap::new() }
    }

    /// Whether a probe of `address` may begin; it is ended with [`Self::end`].
    pub(crate) fn begin(&mut self, address: IpAddr, now_ms: u64) -> bool {
        if self.addresses.len() >= MAX_ADDRESSES && !self.addresses.contains_key(&address) {
            self.addresses.retain(|_, known| {
                known.bucket.fill(now_ms);
                known.running > 0 || known.bucket.level < known.bucket.most
            });
            if self.addresses.len() >= MAX_ADDRESSES {
                return false;
            }
        }
        let new = || Address { bucket: Bucket::new(self.per_second), running: 0 };
        let known = self.addresses.entry(address).or_insert_with(new);
        let may = known.running < self.at_once && known.bucket.has(1.0, now_ms);
        if may {
            known.running += 1;
            known.bucket.level -= 1.0;
        }
        may
    }

    /// A probe of `address` has ended.
    pub(crate) fn end(&mut self, address: IpAddr) {
        if let Some(known) = self.addresses.get_mut(&address) {
            known.running = known.running.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_more_goes_out_than_each_budget_has() {
        let (mut tenant, mut node) = (Budget::new(2.0, 1_000.0), Budget::new(3.0, 10_000.0));
        let mut other = Budget::new(9.0, 10_000.0);
        let mut take = |of: &mut Budget, bytes, at| begin(of, &mut node, bytes, at);
        assert_eq!(take(&mut tenant, 100.0, 0), Ok(()));
        assert_eq!(take(&mut tenant, 100.0, 0), Ok(()));
        assert_eq!(take(&mut tenant, 100.0, 0), Err(LeftOut::TenantProbes));
        assert_eq!(take(&mut other, 100.0, 0), Ok(()));
        assert_eq!(
            take(&mut other, 100.0, 0),
            Err(LeftOut::NodeProbes),
            "all of the node's are gone"
        );
        assert_eq!(take(&mut tenant, 900.0, 1_000), Ok(()), "it comes in again");
        assert_eq!(take(&mut tenant, 200.0, 1_000), Err(LeftOut::TenantBytes));
        tenant.spend(5_000.0);
        assert_eq!(
            take(&mut tenant, 1.0, 5_000),
            Err(LeftOut::TenantBytes),
            "a debt is paid first"
        );
        assert_eq!(take(&mut tenant, 1.0, 8_000), Ok(()));
    }

    #[test]
    fn one_that_is_larger_than_the_budget_goes_alone() {
        let (mut tenant, mut node) = (Budget::new(9.0, 100.0), Budget::new(9.0, 1_000_000.0));
        assert_eq!(begin(&mut tenant, &mut node, 5_000.0, 0), Ok(()));
        assert_eq!(begin(&mut tenant, &mut node, 1.0, 40_000), Err(LeftOut::TenantBytes));
        assert_eq!(begin(&mut tenant, &mut node, 1.0, 60_000), Ok(()));
    }

    #[test]
    fn one_address_is_asked_seldom_and_not_by_all_at_once() {
        let mut polite = Politeness::new(2.0, 1);
        let [a, b] = [1, 2].map(|last| IpAddr::from([192, 0, 2, last]));
        assert!(polite.begin(a, 0) && !polite.begin(a, 0), "one at once");
        assert!(polite.begin(b, 0), "another address is another's");
        polite.end(a);
        assert!(polite.begin(a, 0));
        polite.end(a);
        assert!(!polite.begin(a, 100), "two a second");
        assert!(polite.begin(a, 600));
    }

    #[test]
    fn addresses_that_are_at_rest_make_room() {
        let mut polite = Politeness::new(1.0, 1);
        let address = |number: u32| IpAddr::from(number.to_be_bytes());
        for number in 0..MAX_ADDRESSES as u32 {
            assert!(polite.begin(address(number), 0));
        }
        assert!(!polite.begin(address(u32::MAX), 0));
        polite.end(address(7));
        assert!(!polite.begin(address(u32::MAX), 0), "it was asked just now");
        assert!(polite.begin(address(u32::MAX), 2_000));
    }

    proptest! {
        #[test]
        fn over_any_time_no_more_goes_out_than_was_given(rate in 1..20_u32, steps in proptest::collection::vec(0..500_u64, 1..200)) {
            let (mut tenant, mut node) = (Budget::new(f64::from(rate), 1e9), Budget::new(1e6, 1e9));
            let (mut now, mut begun) = (0, 0_u32);
            for step in steps {
                now += step;
                begun += u32::from(begin(&mut tenant, &mut node, 1.0, now).is_ok());
                let most = f64::from(rate) * (1.0 + now as f64 / 1_000.0);
                prop_assert!(f64::from(begun) <= most + 1e-6);
            }
        }
    }
}
