//! Whose the hops are, from the operator's own table.

use std::collections::HashMap;
use std::net::IpAddr;

use holm_asn::Origin;
use serde::Serialize;

use crate::engine::Multipath;

/// The autonomous system that announces an address, as the operator's table has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct System {
    /// Its number.
    pub number: u32,
    /// What the table calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The country of the address, two letters (ISO 3166-1 alpha-2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

impl From<Origin<'_>> for System {
    fn from(origin: Origin<'_>) -> Self {
        Self {
            number: origin.number,
            name: origin.name.map(str::to_owned),
            country: origin.country.map(|letters| letters.iter().collect()),
        }
    }
}

impl std::fmt::Display for System {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AS{}", self.number)?;
        if let Some(name) = &self.name {
            write!(f, " {name}")?;
        }
        self.country.as_ref().map_or(Ok(()), |country| write!(f, " ({country})"))
    }
}

/// The systems that a way goes through, in order; what follows itself is there once. Hops without an
/// answer, and those that the table does not know, are passed over.
pub fn as_path(way: &[Option<IpAddr>], system_of: &dyn Fn(IpAddr) -> Option<u32>) -> Vec<u32> {
    let mut path: Vec<u32> = way.iter().flatten().filter_map(|hop| system_of(*hop)).collect();
    path.dedup();
    path
}

/// A piece of a way: a system, or hops that did not answer and may be anybody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Of(u32),
    Gap,
}

fn pieces(way: &[Option<IpAddr>], system_of: &dyn Fn(IpAddr) -> Option<u32>) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = way
        .iter()
        .filter_map(|hop| match hop {
            None => Some(Piece::Gap),
            // An address that is nobody's in the table (private, an exchange) is no system.
            Some(address) => system_of(*address).map(Piece::Of),
        })
        .collect();
    pieces.dedup();
    pieces
}

/// Whether two ways surely go through other systems: whatever the hops are that did not answer.
pub(crate) fn is_other(
    now: &[Option<IpAddr>],
    then: &[Option<IpAddr>],
    system_of: &dyn Fn(IpAddr) -> Option<u32>,
) -> bool {
    let (now, then) = (pieces(now, system_of), pieces(then, system_of));
    // `fits[j]`: what of `now` was looked at may be the same as the first `j` of `then`.
    let mut fits: Vec<bool> = vec![false; then.len() + 1];
    for i in 0..=now.len() {
        let before = fits.clone();
        for j in 0..=then.len() {
            let gap_now = i > 0 && now[i - 1] == Piece::Gap;
            let gap_then = j > 0 && then[j - 1] == Piece::Gap;
            fits[j] = (i == 0 && j == 0)
                // A gap is nothing, or takes one more of the other way.
                || (gap_now && (before[j] || (j > 0 && fits[j - 1])))
                || (gap_then && ((j > 0 && fits[j - 1]) || (i > 0 && before[j])))
                || (i > 0 && j > 0 && now[i - 1] == then[j - 1] && before[j - 1])
                // Behind a gap the same system may just go on.
                || (i > 1 && j > 0 && now[i - 2] == Piece::Gap && now[i - 1] == then[j - 1] && before[j])
                || (j > 1 && i > 0 && then[j - 2] == Piece::Gap && now[i - 1] == then[j - 1] && fits[j - 1]);
        }
    }
    !fits[then.len()]
}

/// `64496 64497`, as it stands in rows.
pub(crate) fn path_text(path: &[u32]) -> String {
    path.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// What `of` says of each interface, like `path.hops`: `- | 64496,64497 | * | 64500`.
pub(crate) fn hops_text(
    result: &Multipath,
    of: &dyn Fn(&System) -> Option<String>,
) -> Option<String> {
    let mut some = false;
    let hops = result.hops.iter().map(|hop| {
        let mut interfaces: Vec<_> =
            hop.interfaces.iter().map(|i| (i.address.to_string(), &i.system)).collect();
        interfaces.sort_by(|(one, _), (other, _)| one.cmp(other));
        let said = interfaces.iter().map(|(_, system)| {
            let said = system.as_ref().and_then(of);
            some |= said.is_some();
            said.unwrap_or_else(|| "-".to_owned())
        });
        let said: Vec<String> = said.collect();
        if said.is_empty() { "*".to_owned() } else { said.join(",") }
    });
    let text = hops.collect::<Vec<_>>().join(" | ");
    some.then_some(text)
}

/// The systems of the way of a result's first flow; `None` if none of its hops is known.
pub fn as_path_of(result: &Multipath) -> Option<Vec<u32>> {
    let known: HashMap<IpAddr, u32> = result
        .hops
        .iter()
        .flat_map(|hop| &hop.interfaces)
        .filter_map(|interface| Some((interface.address, interface.system.as_ref()?.number)))
        .collect();
    let way = result.flows.first()?;
    let path = as_path(&way.hops, &|address| known.get(&address).copied());
    (!path.is_empty()).then_some(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 0 does not answer; 100 and more are nobody's; else the tens are the system.
    fn way(hops: &[u8]) -> Vec<Option<IpAddr>> {
        hops.iter().map(|hop| (*hop > 0).then(|| IpAddr::from([10, 0, 0, *hop]))).collect()
    }

    fn system_of(address: IpAddr) -> Option<u32> {
        let IpAddr::V4(address) = address else { return None };
        let hop = address.octets()[3];
        (hop < 100).then_some(u32::from(hop) / 10)
    }

    #[test]
    fn a_way_goes_through_other_systems_only_if_it_surely_does() {
        for (now, then, other) in [
            (&[11, 12, 21][..], &[13, 22, 23][..], false),
            (&[11, 21], &[11, 31], true),
            (&[11, 21, 31], &[11, 31], true),
            // What did not answer may have been of that system.
            (&[11, 0, 31], &[11, 21, 31], false),
            (&[11, 0, 31], &[11, 21, 41], true),
            (&[0, 21], &[11, 0, 21], false),
            (&[11, 0, 31], &[0, 21, 31], false),
            (&[11, 0], &[11, 21, 31], false),
            // What answers and is nobody's hides nothing.
            (&[11, 100, 31], &[11, 31], false),
            (&[11, 100, 31], &[11, 21, 31], true),
            (&[], &[], false),
            (&[11], &[], true),
            (&[0], &[], false),
        ] {
            assert_eq!(is_other(&way(now), &way(then), &system_of), other, "{now:?} {then:?}");
            assert_eq!(is_other(&way(then), &way(now), &system_of), other, "{then:?} {now:?}");
        }
        assert_eq!(as_path(&way(&[11, 12, 0, 100, 21, 11]), &system_of), [1, 2, 1]);
    }

    proptest! {
        #[test]
        fn silence_alone_is_never_another_way(
            hops in prop::collection::vec(10_u8..120, 0..12),
            first in prop::collection::vec(any::<bool>(), 12),
            second in prop::collection::vec(any::<bool>(), 12),
        ) {
            let hidden = |silent: &[bool]| -> Vec<u8> {
                hops.iter().zip(silent).map(|(hop, silent)| if *silent { 0 } else { *hop }).collect()
            };
            prop_assert!(!is_other(&way(&hidden(&first)), &way(&hidden(&second)), &system_of));
        }

        #[test]
        fn without_silence_it_is_the_path_of_systems(
            now in prop::collection::vec(10_u8..120, 0..8), then in prop::collection::vec(10_u8..120, 0..8),
        ) {
            let (now, then) = (way(&now), way(&then));
            let differs = as_path(&now, &system_of) != as_path(&then, &system_of);
            prop_assert_eq!(is_other(&now, &then, &system_of), differs);
        }
    }
}
