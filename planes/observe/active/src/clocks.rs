//! What is known of the clocks of those that are probed.

use std::net::IpAddr;

/// How far other clocks are ahead of this node's.
pub trait Clocks: std::fmt::Debug + Send + Sync {
    /// By how many nanoseconds the wall clock of the node at `address` is ahead of ours now: certainly within these
    /// two, inclusive; negative where it is behind. `None` where nothing is certain.
    fn ahead_ns(&self, address: IpAddr) -> Option<(i64, i64)>;
}

/// Nothing is known of anybody's.
impl Clocks for () {
    fn ahead_ns(&self, _address: IpAddr) -> Option<(i64, i64)> {
        None
    }
}
