//! What a sender's words may mean in the topology.

use std::net::IpAddr;

use holm_model::{NodeId, NodeKind, Prefix, SiteId};
use holm_moment::Moment;

/// Kinds that a bare name may be of, likeliest first.
const KINDS: [NodeKind; 5] =
    [NodeKind::Service, NodeKind::Host, NodeKind::Device, NodeKind::Site, NodeKind::Agent];

/// The nodes that a word may stand for, likeliest first: an id (`service:checkout`), an address, a prefix, or
/// a bare name; of a path such as `acme/checkout` also its last part.
pub fn candidates(word: &str) -> Vec<NodeId> {
    let word = word.trim();
    if let Some(id) = word.parse::<NodeId>().ok().and_then(|id| id.canonical().ok()) {
        return vec![id];
    }
    let observed = |kind, name: &str| NodeId::observed(kind, name).ok();
    if word.parse::<IpAddr>().is_ok() {
        return [NodeKind::Host, NodeKind::Hop].iter().filter_map(|k| observed(*k, word)).collect();
    }
    if Prefix::parse(word).is_some() {
        return observed(NodeKind::Prefix, word).into_iter().collect();
    }
    let lower = word.to_lowercase();
    let last = word.rsplit('/').next().unwrap_or(word);
    let mut found = Vec::new();
    for name in [word, &lower, last, &last.to_lowercase()] {
        for id in KINDS.iter().filter_map(|kind| observed(*kind, name)) {
            if !found.contains(&id) {
                found.push(id);
            }
        }
    }
    found
}

/// What a word means in a topology to who is at `site`: the first of its [`candidates`] that is there, by
/// the id that it is shown by.
pub fn resolve(moment: &Moment, word: &str, site: &SiteId) -> Option<NodeId> {
    let found = candidates(word).into_iter().find_map(|id| place(moment, &id, site));
    found.map(|node| moment.node(node).clone())
}

/// The node that `site` means by an id, or if it means none, that anybody does.
pub(crate) fn place(moment: &Moment, id: &NodeId, site: &SiteId) -> Option<u32> {
    moment.meant_by(id, site).or_else(|| match moment.find_all(id) {
        [only] => Some(*only),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(word: &str) -> Vec<String> {
        candidates(word).iter().map(NodeId::to_string).collect()
    }

    #[test]
    fn words_may_mean_several_things() {
        assert_eq!(shown("service:checkout"), ["service:checkout"]);
        assert_eq!(shown("192.0.2.7"), ["host:192.0.2.7", "hop:192.0.2.7"]);
        assert_eq!(shown("192.0.2.0/24"), ["prefix:192.0.2.0/24"]);
        let path = shown("acme/Checkout");
        assert_eq!(path[0], "service:acme/Checkout");
        let at = |id: &str| path.iter().position(|known| known == id);
        assert!(at("service:checkout").is_some() && at("service:acme/checkout").is_some());
        assert!(shown("").is_empty());
    }
}
