//! The swarm's behaviours together.

use std::sync::Arc;
use std::time::Duration;

use libp2p_core::Transport;
use libp2p_core::muxing::StreamMuxerBox;
use libp2p_identity::PublicKey;
use libp2p_swarm::behaviour::toggle::Toggle;
use libp2p_swarm::{NetworkBehaviour, Swarm};
use tokio::sync::mpsc;

use crate::shared::Shared;
use crate::streams::{Inbound, Streams};
use crate::transport::HolmTransport;

/// How often peers tell each other under which address they see each other.
const IDENTIFY_INTERVAL_S: u64 = 300;

#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p_swarm::derive_prelude")]
pub(crate) struct Network {
    // First: it judges connections before the others see them.
    pub(crate) streams: Streams,
    pub(crate) identify: libp2p_identify::Behaviour,
    pub(crate) mdns: Toggle<libp2p_mdns::tokio::Behaviour>,
}

pub(crate) fn swarm(
    shared: &Arc<Shared>,
    key: PublicKey,
    transport: HolmTransport,
    inbound: mpsc::Sender<Inbound>,
) -> Swarm<Network> {
    let identify = libp2p_identify::Config::new("holm/1".to_owned(), key)
        .with_interval(Duration::from_secs(IDENTIFY_INTERVAL_S))
        .with_cache_size(0);
    let network = Network {
        streams: Streams::new(shared.clone(), inbound),
        identify: libp2p_identify::Behaviour::new(identify),
        mdns: mdns(shared).into(),
    };
    let transport = transport.map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer))).boxed();
    // Lazy: the first words go out with the protocol's name instead of a round trip after it. Every
    // node of this protocol version knows all our protocols, so there is nothing to choose.
    let config = libp2p_swarm::Config::with_tokio_executor()
        .with_max_negotiating_inbound_streams(128)
        .with_substream_upgrade_protocol_override(libp2p_core::upgrade::Version::V1Lazy);
    Swarm::new(transport, network, shared.local, config)
}

fn mdns(shared: &Shared) -> Option<libp2p_mdns::tokio::Behaviour> {
    if !shared.config.mdns {
        return None;
    }
    match libp2p_mdns::tokio::Behaviour::new(libp2p_mdns::Config::default(), shared.local) {
        Ok(behaviour) => {
            shared.set_mdns_state("looking for nodes on the local network".to_owned());
            Some(behaviour)
        }
        Err(error) => {
            // Seeds still work.
            shared.set_mdns_state(format!("off: {error}; use seeds"));
            None
        }
    }
}
