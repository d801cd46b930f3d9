//! Path MTUs of real kernels: told, filtered, and asked for without echo replies.

use std::net::IpAddr;

use holm_path::mtu::{How, PathMtu, path_mtu};

use super::network::{Lab, Plan, TARGET_V4, TARGET_V6};

fn found(lab: &Lab, target: &str) -> Option<PathMtu> {
    let target: IpAddr = target.parse().expect("an address");
    lab.at_source(move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(path_mtu(target, 33_434)).expect("sockets")
    })
}

fn narrow(target: &str) -> IpAddr {
    let first = if target == TARGET_V4 { "10.2.1.2" } else { "fd00:2:1::2" };
    first.parse().expect("an address")
}

#[test]
fn a_way_without_a_narrow_link_takes_what_the_own_link_does() {
    let Some(lab) = super::lab(Plan { width: 1, ..Plan::default() }) else { return };
    for target in [TARGET_V4, TARGET_V6] {
        let found = found(&lab, target).expect("it answers");
        assert_eq!((found.mtu, found.how, found.hop, found.lies), (1_500, How::Link, None, 0));
    }
}

#[test]
fn a_router_that_says_so_is_named() {
    let Some(lab) = super::lab(Plan { width: 1, mtu: 1_397, ..Plan::default() }) else { return };
    for target in [TARGET_V4, TARGET_V6] {
        let found = found(&lab, target).expect("it answers");
        assert_eq!((found.mtu, found.how, found.lies), (1_397, How::Told, 0), "{target}");
        assert_eq!(found.hop, Some(narrow(target)));
    }
}

#[test]
fn where_the_message_is_filtered_it_is_found_by_trying() {
    let plan = Plan { width: 1, mtu: 1_397, no_too_big: true, ..Plan::default() };
    let Some(lab) = super::lab(plan) else { return };
    for target in [TARGET_V4, TARGET_V6] {
        let found = found(&lab, target).expect("it answers");
        assert_eq!((found.mtu, found.how, found.lies), (1_397, How::Searched, 0), "{target}");
        assert_eq!(found.hop, Some(narrow(target)), "longer packets vanish behind it");
    }
}

#[test]
fn without_echo_replies_udp_finds_the_same() {
    let plan = Plan { width: 1, mtu: 1_300, no_echo: true, ..Plan::default() };
    let Some(lab) = super::lab(plan) else { return };
    for target in [TARGET_V4, TARGET_V6] {
        let found = found(&lab, target).expect("it answers");
        assert_eq!((found.mtu, found.how), (1_300, How::Told), "{target}");
        assert_eq!(found.hop, Some(narrow(target)));
    }
}
