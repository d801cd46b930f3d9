use std::net::SocketAddr;

use super::super::Resolver;
use super::judge::Heard;
use super::*;
use crate::config::ProbeKind;

/// Somebody who does with each packet, by its number on arrival, what `answer` says.
async fn echo(answer: impl Fn(usize, &[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let address = socket.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut buffer = [0; 2_048];
        let mut number = 0;
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            for packet in answer(number, &buffer[..length]) {
                let _ = socket.send_to(&packet, from).await;
            }
            number += 1;
        }
    });
    address
}

fn target(address: SocketAddr, codec: Codec) -> Target {
    let plain = Target::plain(ProbeKind::Rtp, &address.ip().to_string());
    Target { port: address.port(), codec, duration_s: 1, ..plain }
}

async fn call(target: &Target) -> Outcome {
    let call = Call::of(target).expect("good");
    let resolver = Resolver::default();
    probe(&call, Family::Any, Duration::from_secs(20), &Dial::open(&resolver)).await
}

fn metric(outcome: &Outcome, column: &str) -> f64 {
    let found = outcome.metrics.iter().find(|(name, _)| *name == column);
    found.unwrap_or_else(|| panic!("no {column} in {outcome:?}")).1
}

fn attribute<'a>(outcome: &'a Outcome, column: &str) -> Option<&'a str> {
    outcome.attributes.iter().find(|(name, _)| *name == column).map(|(_, text)| &**text)
}

#[tokio::test]
async fn a_stream_that_comes_back_whole_is_rated() {
    for (codec, model) in [(Codec::G711, "G.107"), (Codec::G729, "G.107"), (Codec::Opus, "G.107.1")]
    {
        let address = echo(|_, packet| vec![packet.to_vec()]).await;
        let outcome = call(&target(address, codec)).await;
        assert_eq!(outcome.error, None);
        assert_eq!(metric(&outcome, "rtp.packets.sent"), 50.0);
        assert_eq!(metric(&outcome, "rtp.packets.received"), 50.0);
        assert_eq!(metric(&outcome, "rtp.loss.ratio"), 0.0);
        assert_eq!(metric(&outcome, "rtp.dscp"), 46.0);
        assert!(metric(&outcome, "rtp.jitter_ms") >= 0.0);
        assert!(metric(&outcome, "voice.delay_ms") >= 80.0);
        assert!(outcome.duration_ms.is_some_and(|ms| ms > 0.0));
        let voice = ["voice.codec", "voice.model"].map(|column| attribute(&outcome, column));
        assert_eq!(voice, [Some(codec.as_str()), Some(model)]);
        assert_eq!(attribute(&outcome, "voice.estimate").is_some(), codec == Codec::Opus);
    }
}

#[tokio::test]
async fn losses_in_known_bursts_are_found_as_such() {
    // Packets 10 to 13 and 16 are one burst of 7, and packet 40 is gone alone.
    let gone = [10, 11, 12, 13, 16, 40];
    let address = echo(move |number, packet| match gone.contains(&number) {
        true => Vec::new(),
        false => vec![packet.to_vec()],
    })
    .await;
    let outcome = call(&target(address, Codec::G711)).await;
    assert_eq!(outcome.error, None);
    assert_eq!(metric(&outcome, "rtp.loss.ratio"), 0.12);
    // What a busy machine holds back for longer than the buffer waits is gone for the listener too.
    if metric(&outcome, "rtp.packets.discarded") == 0.0 {
        assert_eq!(metric(&outcome, "rtp.burst.count"), 1.0);
        assert_eq!(metric(&outcome, "rtp.burst.density"), 5.0 / 7.0);
        assert_eq!(metric(&outcome, "rtp.burst.duration_ms"), 140.0);
        assert_eq!(metric(&outcome, "rtp.gap.density"), 1.0 / 43.0);
        assert_eq!(metric(&outcome, "rtp.gap.duration_ms"), 430.0);
        assert!((metric(&outcome, "rtp.burst.ratio") - 2.0 * 0.88).abs() < 1e-9);
    }
    assert!(metric(&outcome, "voice.mos") < 3.5, "{outcome:?}");
}

#[tokio::test]
async fn what_is_doubled_forged_and_changed_is_counted_and_not_taken() {
    let address = echo(|number, packet| {
        let mut forged = packet.to_vec();
        match number {
            // Another source, a number that was not sent yet, no RTP at all.
            0 => {
                forged[8] ^= 1;
                let mut future = packet.to_vec();
                future[2] ^= 0x80;
                vec![forged, future, b"garbage".to_vec(), Vec::new(), packet.to_vec()]
            }
            1 => vec![packet.to_vec(), packet.to_vec()],
            2 => {
                forged[100] ^= 1;
                vec![forged]
            }
            _ => vec![packet.to_vec()],
        }
    })
    .await;
    let outcome = call(&target(address, Codec::G711)).await;
    assert_eq!(outcome.error, None);
    assert_eq!(metric(&outcome, "rtp.packets.unmatched"), 4.0);
    assert_eq!(metric(&outcome, "rtp.packets.duplicate"), 1.0);
    assert_eq!(metric(&outcome, "rtp.packets.altered"), 1.0);
    assert_eq!(metric(&outcome, "rtp.packets.received"), 49.0);
}

#[tokio::test]
async fn packets_that_change_places_are_counted() {
    let held = std::sync::Mutex::new(None);
    let address = echo(move |number, packet| {
        let mut held = held.lock().expect("held");
        if number == 5 {
            *held = Some(packet.to_vec());
            return Vec::new();
        }
        [Some(packet.to_vec()), held.take()].into_iter().flatten().collect()
    })
    .await;
    let outcome = call(&target(address, Codec::G729)).await;
    assert_eq!(outcome.error, None);
    assert_eq!(metric(&outcome, "rtp.packets.reordered"), 1.0);
    assert_eq!(metric(&outcome, "rtp.packets.received"), 50.0);
}

#[tokio::test]
async fn who_is_silent_is_sent_no_more_and_says_why() {
    let silent = echo(|_, _| Vec::new()).await;
    let long = Target { duration_s: 30, ..target(silent, Codec::G711) };
    let outcome = call(&long).await;
    assert!(outcome.error.as_deref().expect("failed").contains("packets back: nothing there"));
    assert!(metric(&outcome, "rtp.packets.sent") <= 101.0, "{outcome:?}");
    assert_eq!((metric(&outcome, "rtp.loss.ratio"), outcome.duration_ms), (1.0, None));
    assert!(outcome.metrics.iter().all(|(column, _)| !column.starts_with("voice.")));

    let changes = echo(|_, packet| vec![packet.iter().map(|byte| byte ^ 0x80).collect()]).await;
    let outcome = call(&target(changes, Codec::G729)).await;
    assert_eq!(metric(&outcome, "rtp.packets.unmatched"), metric(&outcome, "rtp.packets.sent"));
    assert!(outcome.error.expect("failed").contains("sent none of"));
    let cuts = echo(|_, packet| vec![packet[..20].to_vec()]).await;
    let error = call(&target(cuts, Codec::G729)).await.error;
    assert!(error.expect("failed").contains("changed on the way"));

    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let closed = socket.local_addr().expect("bound");
    drop(socket);
    let error = call(&target(closed, Codec::G729)).await.error;
    assert!(error.expect("failed").contains("refused"));
}

#[tokio::test]
async fn a_score_that_is_not_reached_is_a_failure() {
    let address = echo(|number, packet| match number % 4 {
        0 => Vec::new(),
        _ => vec![packet.to_vec()],
    })
    .await;
    let strict = Target { expect_mos: "3.6".into(), ..target(address, Codec::G729) };
    let outcome = call(&strict).await;
    let error = outcome.error.as_deref().expect("failed");
    assert!(error.contains("(MOS), and 3.6 is expected"), "{error}");
    assert!(metric(&outcome, "voice.mos") < 3.6);
}

#[test]
fn what_comes_too_late_is_discarded_and_what_is_late_is_jitter() {
    // 10 ms each, but one 69 ms and one 71 ms, and one that never comes.
    let mut came: Vec<(u16, f64)> = (0..49).map(|number| (number, 10.0)).collect();
    came[20].1 = 69.0;
    came[30].1 = 71.0;
    let heard = Heard { sent: 50, came, ..Heard::default() };
    let mut outcome = Outcome::default();
    heard.tell(&mut outcome);
    heard.judge(Codec::G711).expect("judged").tell(Codec::G711, &mut outcome);
    assert_eq!(metric(&outcome, "rtp.packets.discarded"), 1.0);
    assert_eq!(metric(&outcome, "rtp.discard.ratio"), 0.02);
    assert_eq!(metric(&outcome, "rtp.loss.ratio"), 0.02);
    // Both are gone for the listener, 18 packets apart.
    assert_eq!(metric(&outcome, "rtp.burst.count"), 0.0);
    assert_eq!(metric(&outcome, "rtp.gap.density"), 0.04);
    // Half of the fastest, the buffer, and a packet.
    assert_eq!(metric(&outcome, "voice.delay_ms"), 5.0 + 60.0 + 20.0);
    // RFC 3550, a sixteenth of each of 48 steps: two of 59 ms, 8 of nothing, two of 61 ms, 17 of nothing.
    let keeps = 15.0_f64 / 16.0;
    let first = 59.0 / 16.0 * keeps + 59.0 / 16.0;
    let second = (first * keeps.powi(9) + 61.0 / 16.0) * keeps + 61.0 / 16.0;
    let wanted = second * keeps.powi(17);
    assert!((metric(&outcome, "rtp.jitter_ms") - wanted).abs() < 1e-9);
    let one = Heard { sent: 50, came: vec![(3, 10.0)], ..Heard::default() };
    assert!(one.judge(Codec::G711).is_none(), "one packet is no stream");
}

#[test]
fn what_a_target_says_is_looked_at() {
    let good = Target { port: 7, ..Target::plain(ProbeKind::Rtp, "a.example") };
    let call = Call::of(&good).expect("good");
    assert_eq!((call.packets(), call.dscp, call.bytes()), (250, 46, 250.0 * 172.0));
    for (bad, says) in [
        (Target { port: 0, ..good.clone() }, "port: "),
        (Target { duration_s: 0, ..good.clone() }, "duration_s: it goes from 1 to 30"),
        (Target { duration_s: 31, ..good.clone() }, "duration_s: "),
        (Target { expect_mos: "5".into(), ..good.clone() }, "expect_mos: 5 is no score"),
        (Target { expect_mos: "NaN".into(), ..good.clone() }, "expect_mos: "),
        (Target { dscp: Some(64), ..good.clone() }, "dscp: "),
        (Target { voice: Some(Codec::G711), ..good.clone() }, "voice: "),
    ] {
        let error = bad.check().expect_err(says);
        assert!(error.starts_with(says), "{error}");
    }
    let other = Target { codec: Codec::Opus, ..Target::plain(ProbeKind::Icmp, "a.example") };
    assert!(other.check().expect_err("refused").starts_with("codec: "));
}

#[tokio::test]
async fn packets_are_marked_in_both_families() {
    let v4 = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    mark(&v4, false, USUAL_DSCP).expect("marked");
    assert_eq!(SockRef::from(&v4).tos_v4().expect("told"), 46 << 2);
    let Ok(v6) = UdpSocket::bind("[::1]:0").await else { return };
    mark(&v6, true, USUAL_DSCP).expect("marked");
    assert_eq!(SockRef::from(&v6).tclass_v6().expect("told"), 46 << 2);
}
