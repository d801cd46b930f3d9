use holm_path::engine::{Algorithm, Hop, HopLoss, Interface, Link, Multipath, Outcome, Rtt};
use holm_path::wire::Label;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;

fn interface(last: u8, kind: ReplyKind, ms: f64) -> Interface {
    Interface {
        address: IpAddr::from([10, 0, 0, last]),
        kind,
        rtt: Rtt { min_ms: ms, avg_ms: ms, max_ms: ms, count: 1 },
        labels: Vec::new(),
        interface: None,
        rewritten: false,
        system: None,
        place: None,
        flows: vec![0],
    }
}

fn hop(ttl: u8, interfaces: Vec<Interface>, loss: [u32; 3]) -> Hop {
    let [sent, terminal, forwarding] = loss;
    Hop {
        ttl,
        interfaces,
        silent_flows: 0,
        loss: HopLoss { sent, lost: terminal + forwarding, terminal, forwarding },
        per_packet: false,
        rate_limited: false,
        meshed: false,
        miss: 0.0,
        aliases: Vec::new(),
    }
}

fn rounds() -> Rounds {
    let mut labelled = interface(3, ReplyKind::Exceeded, 12.5);
    labelled.labels = vec![Label { label: 24_001, class: 0, bottom: true, ttl: 1 }];
    let mut behind = interface(9, ReplyKind::Reached, 100.0);
    behind.rewritten = true;
    let mut second = hop(2, vec![interface(2, ReplyKind::Exceeded, 2.0), labelled], [8, 0, 2]);
    second.per_packet = true;
    let hops = vec![
        hop(1, vec![interface(1, ReplyKind::Exceeded, 0.5)], [4, 1, 0]),
        second,
        hop(3, Vec::new(), [4, 4, 0]),
        hop(4, vec![behind], [4, 0, 0]),
    ];
    let link = Link {
        ttl: 1,
        from: IpAddr::from([10, 0, 0, 1]),
        to: IpAddr::from([10, 0, 0, 2]),
        flows: vec![0],
    };
    let mut rounds = Rounds::new(IpAddr::from([10, 0, 0, 9]));
    rounds.take(
        Multipath {
            target: IpAddr::from([10, 0, 0, 9]),
            outcome: Outcome::Reached,
            algorithm: Algorithm::Lite,
            hops,
            links: vec![link],
            flows: Vec::new(),
            probes: 20,
            duplicates: 0,
            late: 0,
            epsilon: 0.05,
            failure_bound: Some(0.04),
            looped: false,
            rtt: Some(Rtt { min_ms: 100.0, avg_ms: 100.0, max_ms: 100.0, count: 4 }),
        },
        true,
    );
    rounds
}

fn drawn(rounds: &Rounds, state: &State, (width, height): (u16, u16)) -> Vec<String> {
    let whose = |address: IpAddr| {
        (address == IpAddr::from([10, 0, 0, 2])).then(|| "AS64496 Example".to_owned())
    };
    let how = "udp 33434, raw sockets";
    let screen = Screen { rounds, state, target: "shop.example", how, whose: &whose };
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| draw(frame, &screen)).expect("drawn");
    let buffer = terminal.backend().buffer();
    let line = |y: u16| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..height).map(|y| line(y).trim_end().to_owned()).collect()
}

#[test]
fn the_picture_is_as_it_should_be() {
    let lines = drawn(&rounds(), &State::default(), (110, 10));
    let wanted = "\
shop.example (10.0.0.9)  udp 33434, raw sockets  round 1, 20 probes
target: 0% lost  last 100.0  avg 100.0  best 100.0  worst 100.0  jitter - ms  ▁
ways: up to 2 side by side; one was missed with a probability of at most 0.040
hop interface       marks  loss silent   last    avg   best  worst jitter recent         AS
  1 10.0.0.1                 0%    25%   0.50   0.50   0.50   0.50      - ▁
  2 10.0.0.2        P       25%     0%   2.00   2.00   2.00   2.00      - ▁              AS64496 Example
    | 10.0.0.3      M                    12.5   12.5   12.5   12.5      - ▁
  3 *                        0%   100%      -      -      -      -      -
  4 10.0.0.9        N        0%     0%  100.0  100.0  100.0  100.0      - ▁
q quit  p pause  r restart  ↑↓ choose  enter details  d DOT  j JSON  ? help";
    for (got, want) in lines.iter().zip(wanted.lines()) {
        assert_eq!(got, want, "\n{}", lines.join("\n"));
    }
}

#[test]
fn a_narrow_terminal_leaves_out_columns_and_never_the_losses() {
    for size in [(80, 24), (60, 12), (40, 10), (20, 5), (3, 3), (1, 1)] {
        let lines = drawn(&rounds(), &State::default(), size);
        assert_eq!(lines.len(), usize::from(size.1));
        if size.0 >= 40 {
            let text = lines.join("\n");
            for part in ["interface", "loss", "silent", "last", "10.0.0.3", "25%", "12.5"] {
                assert!(text.contains(part), "{part} at {size:?}:\n{text}");
            }
            assert!(!text.contains("AS64496"), "there is no room for it:\n{text}");
        }
    }
}

#[test]
fn details_say_in_words_what_marks_are_short_for() {
    let state = State { selected: 2, detail: true, ..State::default() };
    let text = drawn(&rounds(), &state, (110, 24)).join("\n");
    for part in [
        "hop 2: 8 probes, 2 lost on the way (25%), 0 not answered by the hop itself (0%)",
        "packets of one flow take several ways",
        "10.0.0.3: forwards; answered in 1 of 1 rounds, 1 round trips",
        "MPLS labels, outermost first: 24001 (class 0, TTL 1)",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    let first = State { selected: 0, ..state.clone() };
    assert!(drawn(&rounds(), &first, (110, 24)).join("\n").contains("leads to 10.0.0.2"));
    // A line that is not there any more is the last one.
    let beyond = State { selected: 99, ..state };
    let text = drawn(&rounds(), &beyond, (110, 24)).join("\n");
    assert!(text.contains("10.0.0.9: is the target") && text.contains("a NAT is on the way"));
}

#[test]
fn help_pause_notes_and_an_empty_picture_are_drawn() {
    let mtu = Some("path MTU 1400 bytes, as 10.0.0.2 says".to_owned());
    let note = "written: x".to_owned();
    let state = State { help: true, paused: true, note, mtu, ..State::default() };
    let text = drawn(&rounds(), &state, (130, 24)).join("\n");
    for part in ["keys and words", "M MPLS labels", "paused", "written: x", "path MTU 1400 bytes"] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    let none = Rounds::new(IpAddr::from([10, 0, 0, 9]));
    let text = drawn(&none, &State { detail: true, ..State::default() }, (80, 20)).join("\n");
    assert!(text.contains("nothing is known yet") && text.contains("- lost"), "{text}");
}

#[test]
fn many_hops_scroll_to_the_one_that_is_chosen() {
    let mut rounds = rounds();
    let whole = rounds.whole.clone().expect("there");
    let more =
        (5..40).map(|n| hop(n, vec![interface(n + 50, ReplyKind::Exceeded, 1.0)], [1, 0, 0]));
    let hops = whole.hops[..3].iter().cloned().chain(more).collect();
    rounds.take(Multipath { hops, rtt: None, ..whole }, true);
    let top = drawn(&rounds, &State::default(), (90, 12)).join("\n");
    assert!(top.contains("10.0.0.1 ") && !top.contains("10.0.0.89"), "{top}");
    let end = drawn(&rounds, &State { selected: 99, ..State::default() }, (90, 12)).join("\n");
    assert!(end.contains("10.0.0.89") && !end.contains("10.0.0.1 "), "{end}");
}
