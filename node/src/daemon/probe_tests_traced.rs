//! The hosts of tests that ask for it are traced too, by the path plane of the sites that run them.

use std::net::IpAddr;
use std::sync::Arc;

use holm_active::{ProbeKind, Test, TestRunner};
use holm_model::host_of;
use holm_path::Wanted;
use holm_path::wire::Protocol;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the path plane is told, until the node stops.
pub(super) fn traced(
    runner: &Arc<TestRunner>,
    shutdown: CancellationToken,
) -> watch::Receiver<Arc<Vec<Wanted>>> {
    let mut assigned = runner.subscribe();
    let (tell, told) = watch::channel(Arc::default());
    let runner = Arc::clone(runner);
    assigned.mark_changed();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                changed = assigned.changed() => if changed.is_err() { return },
                () = shutdown.cancelled() => return,
            }
            let tests = Arc::clone(&assigned.borrow_and_update());
            let all = tests.iter().filter(|test| test.trace).map(|test| wanted(&runner, test));
            tell.send_replace(Arc::new(all.collect()));
        }
    });
    told
}

fn wanted(runner: &Arc<TestRunner>, test: &Arc<Test>) -> Wanted {
    let guard = runner.guard(test);
    let (protocol, port) = by(test);
    let host = host_of(&test.target.target).trim_matches(['[', ']']).to_owned();
    Wanted { host, protocol, port, allowed: Arc::new(move |at: IpAddr| guard.check(at)) }
}

/// Probes of a trace as the test's own are made, where they go to a port: what lets these pass lets those.
fn by(test: &Test) -> (Option<Protocol>, Option<u16>) {
    let target = &test.target;
    match target.probe {
        ProbeKind::Icmp => (Some(Protocol::Icmp), None),
        ProbeKind::Tcp | ProbeKind::Tls => {
            (Some(Protocol::Tcp), Some(target.port).filter(|port| *port > 0).or(Some(443)))
        }
        ProbeKind::Browser | ProbeKind::Http | ProbeKind::Script => {
            let plain = target.target.starts_with("http://");
            let port = port_of(&target.target).unwrap_or(if plain { 80 } else { 443 });
            (Some(Protocol::Tcp), Some(port))
        }
        ProbeKind::Stamp | ProbeKind::Udp | ProbeKind::Rtp | ProbeKind::Sip | ProbeKind::Dns => {
            (None, None)
        }
    }
}

fn port_of(url: &str) -> Option<u16> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?', '#']).next()?;
    authority.rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_made_of_what_the_test_is_made_of() {
        let of = |text: &str| {
            let text = format!("kind: Test\nname: a\ninterval: 1m\n{text}\n");
            by(&holm_active::parse(&text).expect("good")[0])
        };
        let tcp = |port| (Some(Protocol::Tcp), Some(port));
        assert_eq!(of("probe: http\ntarget: https://shop.example/a?b=:9"), tcp(443));
        assert_eq!(of("probe: http\ntarget: http://shop.example:8080/"), tcp(8080));
        assert_eq!(of("probe: http\ntarget: http://[2001:db8::1]/"), tcp(80));
        assert_eq!(of("probe: tcp\ntarget: db.example\nport: 5432"), tcp(5432));
        assert_eq!(of("probe: tls\ntarget: db.example"), tcp(443));
        assert_eq!(of("probe: icmp\ntarget: db.example"), (Some(Protocol::Icmp), None));
        assert_eq!(of("probe: stamp\ntarget: db.example"), (None, None));
    }
}
