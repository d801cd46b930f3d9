//! Streams of voice, from the text of a test or a target to the row.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::{Heard, context, plane_of, runner};
use holm_active::{Config, Test};
use holm_model::{Row, Value};
use holm_plane::Plane;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Sends back all but every tenth packet.
async fn echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let address = socket.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut buffer = [0; 2_048];
        let mut number = 0_u64;
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            number += 1;
            if !number.is_multiple_of(10) {
                let _ = socket.send_to(&buffer[..length], from).await;
            }
        }
    });
    address
}

fn test(port: u16, more: &str) -> Test {
    let text = format!(
        "kind: Test\nname: voice\nprobe: rtp\ntarget: localhost\nfamily: 4\nport: {port}\nduration_s: 1\ninterval: 1m\n{more}"
    );
    holm_active::parse(&text).expect("good").remove(0)
}

fn number(row: &Row, column: &str) -> f64 {
    match row.columns.get(column) {
        Some(Value::Float(value)) => *value,
        other => panic!("{column} is {other:?} in {row:?}"),
    }
}

#[tokio::test]
async fn a_test_comes_to_a_row() {
    let port = echo().await.port();
    let config: Config =
        toml::from_str("mesh = false\nallow = [\"127.0.0.0/8\"]\n").expect("valid");
    let runner = runner(&config);
    let row = runner.once(&test(port, "codec: opus\n")).await.expect("a row");
    assert_eq!(row.columns["success"], Value::Bool(true), "{row:?}");
    assert_eq!(row.columns["probe"], Value::from("rtp"));
    assert_eq!(row.columns["voice.codec"], Value::from("opus"));
    assert_eq!(row.columns["voice.model"], Value::from("G.107.1"));
    assert_eq!((number(&row, "rtp.packets.sent"), number(&row, "rtp.loss.ratio")), (50.0, 0.1));
    assert!((1.0..4.5).contains(&number(&row, "voice.mos")));
    let strict =
        runner.once(&test(port, "codec: g711-plain\nexpect_mos: 4\n")).await.expect("a row");
    assert_eq!(strict.columns["success"], Value::Bool(false), "{strict:?}");
    let Value::Text(error) = &strict.columns["error"] else { panic!("a text") };
    assert!(error.contains("(MOS), and 4 is expected"), "{error}");

    let closed: Config = toml::from_str("mesh = false\n").expect("valid");
    let row = common::runner(&closed).once(&test(port, "")).await.expect("a row");
    assert_eq!(row.columns["refused"], Value::Bool(true), "{row:?}");
    assert!(!row.columns.contains_key("rtp.packets.sent"), "nothing was sent");
}

#[tokio::test]
async fn a_target_of_the_node_has_the_time_that_its_stream_takes() {
    let port = echo().await.port();
    // Its own time-out would end before the stream.
    let text = format!(
        "mesh = false\ntimeout = \"200ms\"\n[[targets]]\nname = \"voice\"\nprobe = \"rtp\"\ntarget = \"127.0.0.1\"\nport = {port}\nduration_s = 1\ndscp = 0\n"
    );
    let config: Config = toml::from_str(&text).expect("valid");
    assert_eq!(config.check(), Ok(()));
    let heard = Arc::new(Heard::default());
    let (_tell, peers) = watch::channel(Vec::new());
    let (stop, context) = (CancellationToken::new(), context(&heard, peers));
    let plane = tokio::spawn({
        let stop = stop.clone();
        async move { plane_of(config).run(context, stop).await }
    });
    let row = heard.row_of("rtp", "voice");
    let row = tokio::time::timeout(Duration::from_secs(60), row).await.expect("a row");
    assert_eq!(row.columns["success"], Value::Bool(true), "{row:?}");
    assert_eq!((number(&row, "rtp.packets.sent"), number(&row, "rtp.dscp")), (50.0, 0.0));
    stop.cancel();
    plane.await.expect("it ends").expect("well");
}

#[test]
fn a_stream_that_would_be_cut_off_is_refused() {
    let text = |more: &str| {
        format!("kind: Test\nname: a\nprobe: rtp\ntarget: a.example\nport: 7\ninterval: 1m\n{more}")
    };
    let of = |more: &str| holm_active::parse(&text(more));
    assert_eq!(of("duration_s: 30\n").expect("good")[0].timeout, Duration::from_secs(33));
    for (more, says) in [
        ("timeout: 5s\n", "timeout: it is from 8s to 5m"),
        ("duration_s: 31\n", "duration_s: 31: a whole number from 1 to 30"),
        ("codec: mp3\n", "codec: it is g711, g711-plain, g729 or opus"),
        ("expect_mos: good\n", "line 7, column 13: expect_mos: good is no score"),
        ("dscp: 64\n", "dscp: 64: a whole number from 0 to 63"),
        ("echo_count: 3\n", "echo_count: a probe of rtp has none"),
    ] {
        let refused = of(more).expect_err(more).to_string();
        assert!(refused.contains(says), "{more}: {refused}");
    }
}
