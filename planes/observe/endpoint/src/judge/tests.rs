//! What samples come to: the order of the parts, what is not measured, and that nothing panics.

use holm_model::Millis;
use proptest::prelude::*;

use super::*;
use crate::{
    Check, Family, Gateway, LastMile, Resolver, Session, SessionFigures, Shown, Thresholds, WayHop,
    WifiLink,
};

fn echo(received: u32, rtt_ms: f64) -> Measured<Echo> {
    let rtt_ms = (received > 0).then_some(rtt_ms);
    Measured::Measured(Echo { sent: 10, received, rtt_ms })
}

fn result(success: bool, ms: f64) -> Measured<CheckResult> {
    let error = (!success).then(|| Shown::Told("192.0.2.77 does not answer".to_owned()));
    let duration_ms = success.then_some(ms);
    Measured::Measured(CheckResult { success, duration_ms, error })
}

fn check(success: bool, ms: f64) -> Check {
    Check { name: Shown::Told("shop".into()), probe: "http".into(), result: result(success, ms) }
}

/// A machine where all is fine.
pub(crate) fn a_sample() -> Sample {
    let address = || Shown::Told("192.0.2.77".parse().expect("an address"));
    Sample {
        at: Millis(1_800_000_000_000),
        interval_ms: 60_000,
        hostname: Shown::Told("ada-laptop".into()),
        wifi: Wifi::Link(Box::new(WifiLink {
            interface: "wlan0".into(),
            ssid: Shown::Told("SecretNet".into()),
            bssid: Shown::Told("02:00:5e:00:00:01".into()),
            default_route: true,
            frequency_mhz: Some(5_180),
            channel: Some(36),
            signal_dbm: Some(-55),
            tx_mbps: Some(866.7),
            rx_mbps: None,
            tx_packets: Some(10),
            tx_retries: Some(1),
            tx_failed: Some(0),
            beacon_losses: None,
            connected_s: Some(60),
            roams: Some(0),
        })),
        gateways: Measured::Measured(vec![Gateway {
            family: Family::Ipv4,
            address: Some(address()),
            interface: "wlan0".into(),
            echo: echo(10, 2.0),
        }]),
        resolvers: Measured::Measured(vec![Resolver {
            address: address(),
            local: true,
            answer: result(true, 9.0),
        }]),
        last_mile: Measured::Measured(LastMile {
            method: "raw sockets".into(),
            hops: vec![WayHop {
                ttl: 2,
                address: Some(address()),
                public: true,
                rtt_ms: Some(9.0),
            }],
            edge_found: true,
            edge: echo(10, 9.0),
        }),
        sessions: Measured::Measured(vec![Session {
            target: Shown::Told("shop.example:443".into()),
            figures: Measured::Measured(SessionFigures {
                connections: 1,
                rtt_ms: 20.0,
                min_rtt_ms: Some(18.0),
                segments_sent: 1_000,
                segments_again: 1,
                delivery_mbps: Some(5.0),
            }),
        }]),
        checks: vec![check(true, 40.0)],
        thresholds: Thresholds::default(),
    }
}

fn with(change: impl FnOnce(&mut Sample)) -> Judgement {
    let mut sample = a_sample();
    change(&mut sample);
    assert_eq!(sample.check(), Ok(()));
    judge(&sample)
}

fn weak(sample: &mut Sample) {
    if let Wifi::Link(link) = &mut sample.wifi {
        link.signal_dbm = Some(-80);
    }
}

fn gateways(sample: &mut Sample) -> &mut Vec<Gateway> {
    let Measured::Measured(gateways) = &mut sample.gateways else { panic!("measured") };
    gateways
}

fn way(sample: &mut Sample) -> &mut LastMile {
    let Measured::Measured(way) = &mut sample.last_mile else { panic!("measured") };
    way
}

#[test]
fn the_closest_impaired_part_is_to_blame() {
    use Attribution::{Isp, Local, Network, None, Target};
    assert_eq!(with(|_| {}).attribution, None);
    assert_eq!(with(|_| {}).confidence, 1.0);
    let all = with(|s| {
        weak(s);
        gateways(s)[0].echo = echo(5, 100.0);
        way(s).edge = echo(5, 300.0);
    });
    assert_eq!(all.attribution, Attribution::Wifi);
    assert_eq!(all.evidence.len(), 3);
    assert!((all.confidence - 0.666).abs() < 0.01, "{all:?}");
    assert_eq!(with(|s| gateways(s)[0].echo = echo(10, 25.0)).attribution, Local);
    assert_eq!(with(|s| gateways(s)[0].echo = echo(9, 2.0)).attribution, Local);
    assert_eq!(with(|s| way(s).edge = echo(10, 80.0)).attribution, Isp);
    assert_eq!(with(|s| way(s).edge = echo(8, 9.0)).attribution, Isp);
    assert_eq!(with(|s| s.checks = vec![check(false, 0.0)]).attribution, Target);
    let network = with(|s| {
        s.checks = vec![check(false, 0.0), check(true, 1_500.0)];
        s.sessions = Measured::Measured(vec![]);
    });
    assert_eq!((network.attribution, network.confidence), (Network, 1.0));
    let alone = with(|s| {
        s.checks = vec![check(false, 0.0)];
        s.sessions = Measured::Measured(vec![]);
    });
    assert_eq!((alone.attribution, alone.confidence), (Target, LESS_SURE));
}

#[test]
fn a_wired_machine_never_blames_wifi() {
    let wired = with(|s| {
        weak(s);
        if let Wifi::Link(link) = &mut s.wifi {
            link.default_route = false;
        }
    });
    assert_eq!(wired.attribution, Attribution::None);
    assert_eq!(wired.layers[0].state, LayerState::Absent);
    let none = with(|s| s.wifi = Wifi::NoWifi);
    assert_eq!(none.layers[0].text, "no wi-fi");
}

#[test]
fn a_silent_gateway_that_carries_is_not_to_blame() {
    let silent = |s: &mut Sample| gateways(s)[0].echo = echo(0, 0.0);
    let carries = with(silent);
    assert_eq!(carries.attribution, Attribution::None);
    assert_eq!(carries.layers[1].state, LayerState::NotMeasured);
    let dead = with(|s| {
        silent(s);
        way(s).edge_found = false;
        s.checks = vec![check(false, 0.0)];
        s.sessions = Measured::Measured(vec![]);
    });
    assert_eq!((dead.attribution, dead.confidence), (Attribution::Local, 1.0));
    let cut = with(|s| {
        way(s).edge_found = false;
        s.checks = vec![check(false, 0.0)];
        s.sessions = Measured::Measured(vec![]);
    });
    assert_eq!(cut.attribution, Attribution::Isp);
    let lost = with(|s| {
        gateways(s).clear();
        s.checks = vec![check(false, 0.0)];
        s.sessions = Measured::Measured(vec![]);
    });
    assert_eq!(lost.evidence[0], "there is no default route");
}

#[test]
fn resolvers_that_all_fail_are_blamed_on_where_they_stand() {
    let failing = |local: bool| {
        with(|s| {
            let address = Shown::Withheld;
            let answer = result(false, 0.0);
            s.resolvers = Measured::Measured(vec![Resolver { address, local, answer }]);
        })
    };
    assert_eq!(failing(true).attribution, Attribution::Local);
    assert_eq!(failing(false).attribution, Attribution::Network);
}

#[test]
fn what_was_not_measured_is_not_fine() {
    let unsaid = || "no permission".to_owned();
    let nothing = with(|s| {
        s.wifi = Wifi::NotMeasured(unsaid());
        s.gateways = Measured::NotMeasured(unsaid());
        s.resolvers = Measured::NotMeasured(unsaid());
        s.last_mile = Measured::NotMeasured(unsaid());
        s.sessions = Measured::NotMeasured(unsaid());
        s.checks.clear();
    });
    assert_eq!((nothing.attribution, nothing.confidence), (Attribution::Unknown, 0.0));
    assert_eq!(nothing.evidence.len(), 3);
    let behind = with(|s| {
        s.gateways = Measured::NotMeasured(unsaid());
        way(s).edge = echo(0, 0.0);
        way(s).hops[0].rtt_ms = Some(160.0);
    });
    assert_eq!((behind.attribution, behind.confidence), (Attribution::Isp, LESS_SURE));
}

#[test]
fn bad_samples_and_thresholds_are_named() {
    let bad = |change: fn(&mut Sample)| {
        let mut sample = a_sample();
        change(&mut sample);
        sample.check().expect_err("bad")
    };
    assert!(bad(|s| s.hostname = Shown::Told("x".repeat(501))).starts_with("hostname"));
    assert!(bad(|s| gateways(s)[0].echo = echo(11, 1.0)).starts_with("gateways.echo"));
    assert!(bad(|s| way(s).edge = echo(10, f64::NAN)).starts_with("last_mile.edge"));
    assert!(bad(|s| s.checks = vec![check(true, 1.0); 65]).contains("at most 64"));
    assert!(bad(|s| s.thresholds.isp_loss = 0.0).contains("isp_loss"));
    assert!(bad(|s| s.thresholds.check_ms = f64::NAN).contains("check_ms"));
}

fn any_echo() -> impl Strategy<Value = Measured<Echo>> {
    prop_oneof![
        Just(Measured::NotMeasured("why".to_owned())),
        (0_u32..11, 0.0_f64..1_000.0).prop_map(|(received, ms)| echo(received, ms)),
    ]
}

fn any_wifi() -> impl Strategy<Value = Wifi> {
    let Wifi::Link(link) = a_sample().wifi else { panic!("a link") };
    prop_oneof![
        Just(Wifi::NoWifi),
        Just(Wifi::NotConnected),
        Just(Wifi::NotMeasured("why".to_owned())),
        (prop::option::of(-120_i32..0), any::<bool>()).prop_map(
            move |(signal_dbm, default_route)| {
                Wifi::Link(Box::new(WifiLink { signal_dbm, default_route, ..(*link).clone() }))
            }
        ),
    ]
}

prop_compose! {
    fn any_sample()(
        wifi in any_wifi(), gateway in prop::option::of(any_echo()), edge in any_echo(),
        edge_found: bool, checks in prop::collection::vec((any::<bool>(), 0.0_f64..5_000.0), 0..4),
    ) -> Sample {
        let mut sample = a_sample();
        sample.wifi = wifi;
        match gateway {
            Some(echo) => gateways(&mut sample)[0].echo = echo,
            None => gateways(&mut sample).clear(),
        }
        way(&mut sample).edge = edge;
        way(&mut sample).edge_found = edge_found;
        sample.sessions = Measured::Measured(vec![]);
        sample.checks = checks.into_iter().map(|(success, ms)| check(success, ms)).collect();
        sample
    }
}

proptest! {
    #[test]
    fn the_blamed_is_the_first_that_is_impaired(sample in any_sample()) {
        let judged = judge(&sample);
        prop_assert!((0.0..=1.0).contains(&judged.confidence));
        prop_assert_eq!(judged.layers.len(), 4);
        let first = judged.layers.iter().find(|layer| layer.state == LayerState::Impaired);
        let part = match judged.attribution {
            Attribution::Wifi => Some(Part::Wifi),
            Attribution::Local => Some(Part::Gateway),
            Attribution::Isp => Some(Part::Isp),
            Attribution::Network | Attribution::Target => Some(Part::Target),
            Attribution::None | Attribution::Unknown => None,
        };
        prop_assert_eq!(first.map(|layer| layer.part), part);
        for layer in &judged.layers {
            prop_assert_eq!(layer.state == LayerState::Impaired, layer.score >= 0.5);
            prop_assert!(layer.score == 0.0 || layer.score >= 0.5 && layer.score <= 1.0);
        }
        if judged.attribution == Attribution::Wifi {
            let Wifi::Link(link) = &sample.wifi else { panic!("blamed without a link") };
            prop_assert!(link.default_route && link.signal_dbm.is_some());
        }
        if judged.attribution == Attribution::None && judged.confidence == 1.0 {
            prop_assert!(judged.layers.iter().all(|layer| layer.state != LayerState::NotMeasured));
        }
    }

    #[test]
    fn worse_is_never_less_blamed(sample in any_sample(), more in 0.0_f64..1_000.0) {
        let before = judge(&sample);
        let mut worse = sample;
        if let Measured::Measured(Echo { rtt_ms: Some(ms), .. }) = &mut way(&mut worse).edge {
            *ms += more;
        }
        let after = judge(&worse);
        prop_assert!(after.layers[2].score >= before.layers[2].score);
        prop_assert_eq!(&after.layers[..2], &before.layers[..2]);
    }

    #[test]
    fn a_sample_is_the_same_after_its_way(sample in any_sample()) {
        let text = serde_json::to_string(&sample).expect("JSON");
        let read: Sample = serde_json::from_str(&text).expect("its own");
        prop_assert_eq!(judge(&read).attribution, judge(&sample).attribution);
    }

    #[test]
    fn bytes_of_anybody_never_panic(at in 0_usize..3_000, byte in any::<u8>()) {
        let mut bytes = serde_json::to_vec(&a_sample()).expect("JSON");
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(sample) = serde_json::from_slice::<Sample>(&bytes) && sample.check().is_ok() {
            let judged = judge(&sample);
            prop_assert!((0.0..=1.0).contains(&judged.confidence));
        }
    }
}
