//! A peer that lies: a member with every right, whose machine does all that the protocol asks, and who
//! sends whatever else it likes on the connections that it has.

use holm_mesh_proto::LeaseKeys;
use holm_mesh_proto::wire::{ChainId, Control, Frame, Hint, HintId, LeaseClaim, LeaseProof};
use holm_model::{DocId, DocVersion, HeadsDigest, Millis, NodeName, SiteId};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::keys::SimKeys;
use crate::world::{Due, World, key, member, site_id};

/// Between two misdeeds.
const PAUSE_US: u64 = 50_000;
/// Messages in a flood.
const FLOOD: usize = 50;

impl World {
    pub(crate) fn misbehave(&mut self, node: usize, life: u32) {
        self.after_us(PAUSE_US, Due::Malice { node, life });
        let peers = self.peers_of(node);
        if peers.is_empty() || !self.writing {
            return;
        }
        let peer = peers[self.chance.malice.random_range(0..peers.len())];
        let trick = self.chance.malice.random_range(0..100);
        match trick {
            0 => self.random_bytes(node, peer),
            1..20 => self.replay(node, peer, false),
            20..30 => self.replay(node, peer, true),
            30..50 => self.flood(node, peer, Self::false_hint),
            50..65 => self.flood(node, peer, Self::false_ids),
            65..80 => self.flood(node, peer, Self::false_leases),
            80..90 => self.swim(node, peer, true),
            _ => self.swim(node, peer, false),
        }
    }

    fn random_bytes(&mut self, node: usize, peer: usize) {
        let length = self.chance.malice.random_range(0..400);
        let bytes: Vec<u8> = (0..length).map(|_| self.chance.malice.random()).collect();
        self.send_frame(node, peer, "malice", bytes.into());
    }

    /// Sends again what was sent before, by itself or by others, perhaps with a flipped bit.
    fn replay(&mut self, node: usize, peer: usize, flip: bool) {
        let captured = &self.sites[node].captured;
        if captured.is_empty() {
            return;
        }
        let at = self.chance.malice.random_range(0..captured.len());
        let mut bytes = captured[at].to_vec();
        if flip && !bytes.is_empty() {
            let at = self.chance.malice.random_range(0..bytes.len());
            bytes[at] ^= 1 << self.chance.malice.random_range(0..8);
        }
        if self.chance.malice.random_range(0..16) == 0 {
            self.sites[node].captured.clear();
        }
        self.send_frame(node, peer, "malice", bytes.into());
    }

    fn flood(&mut self, node: usize, peer: usize, make: impl Fn(&mut Self, usize) -> Control) {
        for _ in 0..FLOOD {
            let message = make(self, node);
            if let Ok(frame) = message.to_frame() {
                self.send_frame(node, peer, "malice", frame.into());
            }
        }
    }

    fn false_hint(&mut self, node: usize) -> Control {
        let rng = &mut self.chance.malice;
        let version = DocVersion {
            tenant: self.tenant.clone(),
            doc: DocId(rng.random::<u128>().to_be_bytes()),
            heads: HeadsDigest(rng.random::<u128>().to_be_bytes()),
            changed_at: Millis(rng.random()),
        };
        Control::Gossip { hint: Hint { version, origin: key(node) }, hops: rng.random() }
    }

    fn false_ids(&mut self, _node: usize) -> Control {
        let rng = &mut self.chance.malice;
        Control::Have((0..64).map(|_| HintId(rng.random::<u128>().to_be_bytes())).collect())
    }

    /// Of nodes that nobody ever saw, and of real ones: unsigned, signed with nonsense, and signed with
    /// the liar's own key.
    fn false_leases(&mut self, node: usize) -> Control {
        let rng = &mut self.chance.malice;
        let tenant = self.tenant.clone();
        let sites = self.sites.len();
        let claim = |rng: &mut StdRng| {
            let site = rng.random_range(0..2 * sites);
            let mut claim = LeaseClaim {
                site: if site < sites { site_id(site) } else { ghost(rng) },
                node: NodeName::new("a").unwrap_or_else(|_| unreachable!("a plain word is a name")),
                tenant: tenant.clone(),
                generation: rng.random(),
                sequence: rng.random(),
                as_of: Millis(rng.random()),
                relays: vec![key(node)],
                proof: None,
            };
            let signature = match rng.random_range(0..3) {
                0 => vec![rng.random(); 71],
                1 => SimKeys(node).sign(&claim.statement()).unwrap_or_default(),
                _ => return claim,
            };
            let signer = rng.random_range(0..sites);
            claim.proof = Some(LeaseProof { signer: chain_id(signer), signature });
            claim
        };
        Control::Leases((0..16).map(|_| claim(rng)).collect())
    }

    /// Says that nodes are down, or that there are nodes that nobody ever saw. The datagram is written
    /// by the format of `docs/formats/mesh-protocol.md`.
    fn swim(&mut self, node: usize, peer: usize, ghosts: bool) {
        let me = self.sites[node].node.me().clone();
        let mut bytes = Vec::new();
        put(&mut bytes, &me);
        bytes.extend([0, 0]);
        let them = self.sites[peer].node.me().clone();
        put(&mut bytes, &them);
        bytes.extend([8, 0]);
        bytes.extend(20_u16.to_be_bytes());
        for _ in 0..20 {
            let rng = &mut self.chance.malice;
            let mut about = member(rng.random_range(0..self.sites.len()), them.generation);
            let mut state = 2;
            if ghosts {
                about.peer.0[2..18].copy_from_slice(&rng.random::<u128>().to_be_bytes());
                about.site = ghost(rng);
                state = 0;
            }
            put(&mut bytes, &about);
            bytes.extend([0, 0, state]);
        }
        if let Ok(frame) = Control::Swim(bytes).to_frame() {
            self.send_frame(node, peer, "malice", frame.into());
        }
    }
}

fn chain_id(site: usize) -> ChainId {
    ChainId::of(&SimKeys(site).chain())
}

fn ghost(rng: &mut StdRng) -> SiteId {
    SiteId::new(&format!("ghost-{}", rng.random::<u32>())).unwrap_or_else(|_| site_id(0))
}

fn put(out: &mut Vec<u8>, id: &holm_mesh_proto::MemberId) {
    let text = |out: &mut Vec<u8>, text: &str| {
        out.push(u8::try_from(text.len()).unwrap_or_default());
        out.extend(text.as_bytes());
    };
    out.extend(id.peer.0);
    out.extend(id.generation.to_be_bytes());
    text(out, id.site.as_str());
    text(out, id.node.as_str());
    out.extend(id.api_port.unwrap_or_default().to_be_bytes());
    out.push(u8::try_from(id.addresses.len()).unwrap_or_default());
    for address in &id.addresses {
        text(out, &address.to_string());
    }
}
