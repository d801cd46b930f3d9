//! Sockets: UDP over both families, IPFIX over TCP, stop and start again.

use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::common::*;
use holm_flow::{Batch, Collector, FlowSink, Limits, Listener, SinkFull, Transport};
use holm_model::TenantId;

/// Keeps rows with their tenant.
#[derive(Default)]
struct Kept(Mutex<Vec<(TenantId, Row)>>);

impl FlowSink for Kept {
    fn take(&self, tenant: &TenantId, batch: Batch) -> Result<(), SinkFull> {
        let (Batch::Flows(batch) | Batch::InterfaceCounters(batch)) = batch;
        let rows = rows(&batch).into_iter().map(|row| (tenant.clone(), row));
        self.0.lock().expect("not poisoned").extend(rows);
        Ok(())
    }
}

struct Full;

impl FlowSink for Full {
    fn take(&self, _: &TenantId, _: Batch) -> Result<(), SinkFull> {
        Err(SinkFull)
    }
}

fn acme() -> TenantId {
    TenantId::new("acme").expect("a name")
}

fn listener(address: &str, transport: Transport) -> Listener {
    let address = address.parse().expect("an address");
    Listener { address, transport, sockets: 3, receive_buffer_kib: 0 }
}

/// Waits for what must come; the bound is for a machine that hangs.
fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(60), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn teach() -> Vec<u8> {
    v9(1, &[set(0, template(256, &[(8, 4), (1, 4)]))])
}

fn data(n: u32) -> Vec<u8> {
    v9(n, &[set(256, Bytes::default().put(&[10, 0, 0, 1]).u32(n))])
}

#[test]
fn udp_of_both_families_through_several_sockets() {
    let kept = Arc::new(Kept::default());
    let sink: Arc<dyn FlowSink> = kept.clone();
    let listeners = [listener("127.0.0.1:0", Transport::Udp), listener("[::1]:0", Transport::Udp)];
    let started =
        Collector::start(&acme(), &listeners, &Limits::default(), None, &sink, &Arc::default());
    let Ok(collector) = started else {
        println!("skipped: no IPv6 here");
        return;
    };
    let exporters = 8;
    for to in collector.addresses() {
        let any = if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        for _ in 0..exporters {
            let socket = UdpSocket::bind(any).expect("a socket");
            socket.send_to(&teach(), to).expect("sent");
            for n in 2..12 {
                socket.send_to(&data(n), to).expect("sent");
            }
        }
    }
    let wanted = 2 * exporters * 10;
    eventually("all rows", || kept.0.lock().expect("not poisoned").len() == wanted);
    eventually("all counters", || collector.report().totals.flows == wanted as u64);
    let report = collector.report();
    assert_eq!(report.exporters.len(), 2 * exporters);
    assert_eq!((report.kernel_drops, report.totals.lost_datagrams), (0, 0));
    assert!(report.receive_buffer_bytes > 0);
    let rows = kept.0.lock().expect("not poisoned");
    assert!(rows.iter().all(|(tenant, _)| *tenant == acme()));
    let v6 = rows.iter().filter(|(_, row)| row["flow.exporter.address"] == "::1").count();
    assert_eq!(v6, wanted / 2);
}

#[test]
fn templates_survive_a_restart_of_the_collector() {
    let kept = Arc::new(Kept::default());
    let sink: Arc<dyn FlowSink> = kept.clone();
    let listeners = [listener("127.0.0.1:0", Transport::Udp)];
    let limits = Limits::default();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let collector = Collector::start(&acme(), &listeners, &limits, None, &sink, &Arc::default())
        .expect("started");
    socket.send_to(&teach(), collector.addresses()[0]).expect("sent");
    eventually("the template", || collector.report().totals.templates == 1);
    let state = collector.stop();
    assert_eq!(state.len(), 1);
    let again =
        Collector::start(&acme(), &listeners, &limits, Some(&state), &sink, &Arc::default())
            .expect("started");
    socket.send_to(&data(5), again.addresses()[0]).expect("sent");
    eventually("the row", || kept.0.lock().expect("not poisoned").len() == 1);
    assert_eq!(again.report().totals.sets_before_template, 0);
}

#[test]
fn ipfix_over_tcp_in_pieces_and_a_session_that_lies() {
    let kept = Arc::new(Kept::default());
    let sink: Arc<dyn FlowSink> = kept.clone();
    let listeners = [listener("127.0.0.1:0", Transport::Tcp)];
    let collector =
        Collector::start(&acme(), &listeners, &Limits::default(), None, &sink, &Arc::default())
            .expect("started");
    let to: SocketAddr = collector.addresses()[0];
    let mut stream = TcpStream::connect(to).expect("connected");
    let mut bytes = ipfix(0, &[set(2, template(256, &[(1, 4)]))]);
    for n in 0..50 {
        bytes.extend(ipfix(n, &[set(256, Bytes::default().u32(n))]));
    }
    for piece in bytes.chunks(7) {
        stream.write_all(piece).expect("sent");
    }
    eventually("all rows", || kept.0.lock().expect("not poisoned").len() == 50);
    drop(stream);
    let mut liar = TcpStream::connect(to).expect("connected");
    liar.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
    eventually("the end of both", || {
        let report = collector.report();
        report.tcp_sessions == 0 && report.tcp_broken == 1
    });
    let report = collector.report();
    assert_eq!((report.totals.flows, report.totals.lost_records), (50, 0));
}

#[test]
fn rows_that_the_sink_refuses_are_counted() {
    let sink: Arc<dyn FlowSink> = Arc::new(Full);
    let listeners = [listener("127.0.0.1:0", Transport::Udp)];
    let collector =
        Collector::start(&acme(), &listeners, &Limits::default(), None, &sink, &Arc::default())
            .expect("started");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.send_to(&teach(), collector.addresses()[0]).expect("sent");
    socket.send_to(&data(2), collector.addresses()[0]).expect("sent");
    eventually("the refusal", || collector.report().totals.rows_refused == 1);
}

#[test]
fn what_the_kernel_drops_is_counted() {
    /// Holds the receiving thread while the socket's buffer fills.
    struct Slow;
    impl FlowSink for Slow {
        fn take(&self, _: &TenantId, _: Batch) -> Result<(), SinkFull> {
            std::thread::sleep(Duration::from_millis(300));
            Ok(())
        }
    }
    let sink: Arc<dyn FlowSink> = Arc::new(Slow);
    let mut one = listener("127.0.0.1:0", Transport::Udp);
    (one.sockets, one.receive_buffer_kib) = (1, 4);
    let limits = Limits { batch_rows: 1, ..Limits::default() };
    let collector =
        Collector::start(&acme(), &[one], &limits, None, &sink, &Arc::default()).expect("started");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let to = collector.addresses()[0];
    socket.send_to(&teach(), to).expect("sent");
    let mut sent = 0;
    eventually("a drop that is counted", || {
        for _ in 0..200 {
            sent += 1;
            socket.send_to(&data(sent), to).expect("sent");
        }
        collector.report().kernel_drops > 0
    });
}
