//! Bytes by channel, frames included.

use std::sync::atomic::{AtomicU64, Ordering};

use holm_mesh_proto::wire::Control;

/// What bytes are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    /// What goes on the control stream besides the next two: pings, leases, certificates.
    Control,
    /// Membership.
    Swim,
    /// What tells of new versions: hints, their ids, and what is said about them.
    Hint,
    /// Calls, served and made.
    Rpc,
    /// Reconciliations, begun and served.
    Sync,
}

const CHANNELS: usize = 5;
/// Names of the counters, by channel: in, out.
const NAMES: [[&str; 2]; CHANNELS] = [
    ["control_bytes_in", "control_bytes_out"],
    ["swim_bytes_in", "swim_bytes_out"],
    ["hint_bytes_in", "hint_bytes_out"],
    ["rpc_bytes_in", "rpc_bytes_out"],
    ["sync_bytes_in", "sync_bytes_out"],
];

impl Channel {
    pub(crate) const fn of(message: &Control) -> Self {
        match message {
            Control::Graft(_)
            | Control::Gossip { .. }
            | Control::SealedGossip { .. }
            | Control::SealedStored(_)
            | Control::Have(_)
            | Control::Prune
            | Control::Stored(_) => Self::Hint,
            Control::Swim(_) => Self::Swim,
            Control::Chains(_)
            | Control::ChainsWanted(_)
            | Control::Leases(_)
            | Control::Ping { .. }
            | Control::Pong { .. }
            | Control::SvidRefresh(_) => Self::Control,
        }
    }
}

/// Counts without a lock: every frame passes here.
#[derive(Debug, Default)]
pub(crate) struct Traffic([[AtomicU64; 2]; CHANNELS]);

impl Traffic {
    pub(crate) fn came(&self, channel: Channel, bytes: u64) {
        self.0[channel as usize][0].fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn went(&self, channel: Channel, bytes: u64) {
        self.0[channel as usize][1].fetch_add(bytes, Ordering::Relaxed);
    }

    /// All counts, those that are 0 too.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = NAMES.iter().flatten().copied();
        names.zip(self.0.iter().flatten().map(|count| count.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_has_its_own_two_names() {
        let traffic = Traffic::default();
        let channels =
            [Channel::Control, Channel::Swim, Channel::Hint, Channel::Rpc, Channel::Sync];
        for (nth, channel) in channels.into_iter().enumerate() {
            traffic.came(channel, 2 * nth as u64);
            traffic.went(channel, 2 * nth as u64 + 1);
        }
        let counts: Vec<u64> = traffic.all().map(|(_, count)| count).collect();
        assert_eq!(counts, (0..10).collect::<Vec<u64>>());
        let mut names: Vec<&str> = traffic.all().map(|(name, _)| name).collect();
        names.dedup();
        assert_eq!(names.len(), 10);
        assert_eq!(NAMES[Channel::Sync as usize], ["sync_bytes_in", "sync_bytes_out"]);
        assert_eq!(NAMES[Channel::Swim as usize], ["swim_bytes_in", "swim_bytes_out"]);
    }
}
