use super::*;
use proptest::prelude::*;

fn command(text: &str) -> Vec<Attribute> {
    vec![("process.command", text.into())]
}

fn take(said: &mut Said, began: u64, at: u64, text: &str) -> bool {
    said.take(By(began, 1), Millis(at), || command(text))
}

#[test]
fn the_process_that_began_last_speaks_and_of_many_seldom_another() {
    let mut said = Said::new(command("a"), By(100, 1), Millis(0));
    assert!(!take(&mut said, 99, 1_000, "b"), "it began before");
    assert!(!take(&mut said, 100, 1_000, "b"), "it began no later");
    assert!(take(&mut said, 200, 1_000, "b"));
    assert!(!take(&mut said, 0, 1_000, "c"), "when it began is not known");
    // A restart or two are told at once; of what is run again and again, one in ten minutes.
    let changes = (300..400).filter(|n| take(&mut said, *n, 2_000, &n.to_string())).count();
    assert_eq!(changes as u64, CHANGES - 1);
    assert!(!said.settle(Millis(SELDOM_MS)), "ten minutes since the first change");
    assert!(said.settle(Millis(1_000 + SELDOM_MS)), "the last one waited");
    assert_eq!(said.attributes(), command("399"));
    assert!(!said.settle(Millis(1_000 + 2 * SELDOM_MS)), "nothing waits");
    assert!(!take(&mut said, 500, 1_000 + 2 * SELDOM_MS, "399"), "it says the same");
    assert!(take(&mut said, 600, 2_000 + 2 * SELDOM_MS, "d"), "and that was no change");
}

#[test]
fn what_is_not_said_any_more_is_empty() {
    let both = vec![("process.command", "a".into()), ("container.id", "c1".into())];
    let mut said = Said::new(both, By(1, 1), Millis(0));
    assert!(said.replace(By(2, 1), command("a")));
    let emptied: Vec<Attribute> =
        vec![("process.command", "a".into()), ("container.id", "".into())];
    assert_eq!(said.attributes(), emptied);
    assert!(!said.replace(By(3, 1), command("a")) && !take(&mut said, 4, 10, "a"));
    assert_eq!(said.attributes(), emptied, "it was told: it stays empty");
}

#[test]
fn a_restart_changes_no_port_and_a_port_that_is_left_goes() {
    let (mut ports, mut left_out) = (Listening::new(Millis(0)), 0);
    assert_eq!(ports.told(), "", "it never listened");
    let open = |ports: &mut Listening, port, at| ports.open(port, Millis(at), &mut 0);
    assert!(open(&mut ports, 7001, 0) && open(&mut ports, 7002, 0));
    assert!(!open(&mut ports, 7001, 0), "a second socket");
    ports.close(7001, Millis(1_000));
    ports.close(7001, Millis(2_000));
    assert!(!ports.settle(Millis(2_000 + REOPENS_MS - 1), &mut left_out));
    assert!(!open(&mut ports, 7001, 2_000 + REOPENS_MS - 1), "it was listened on again");
    ports.close(7001, Millis(20_000));
    assert!(ports.settle(Millis(20_000 + REOPENS_MS), &mut left_out));
    assert_eq!(ports.told(), "7002");
    ports.close(7002, Millis(40_000));
    // However often it is started anew on another port, the one that it listens on is told.
    for port in 8000..8100 {
        let at = u64::from(port) * 100;
        assert!(open(&mut ports, port, at), "{port}");
        ports.close(port, Millis(at + 10));
    }
    assert!(ports.settle(Millis(9_000_000), &mut left_out));
    assert_eq!(ports.told(), "0", "it listens no more");
    assert!(!ports.settle(Millis(9_900_000), &mut left_out));
    assert!(open(&mut ports, 9000, 9_900_000));
    assert_eq!((ports.told().as_str(), left_out), ("9000", 0));
}

#[test]
fn ports_that_come_and_go_beside_another_are_told_if_they_stay() {
    let (mut ports, mut left_out, mut changes) = (Listening::new(Millis(0)), 0, 0);
    ports.open(21, Millis(0), &mut left_out);
    for transfer in 0..3_000 {
        let (port, at) = (40_000 + transfer as u16, 1_000 * transfer);
        changes += u32::from(ports.open(port, Millis(at), &mut left_out));
        ports.close(port, Millis(at + 500));
        changes += u32::from(ports.settle(Millis(at + 900), &mut left_out));
    }
    assert!(changes <= 2 * (MAX_PORTS as u32 + 5), "{changes} in 50 minutes");
    assert!(!ports.open(30_000, Millis(2_999_950), &mut left_out), "one of many");
    ports.settle(Millis(2_999_950 + STANDS_MS), &mut left_out);
    assert_eq!(ports.told(), "21,30000", "it stayed");
    ports.close(21, Millis(3_100_000));
    ports.close(30_000, Millis(3_100_000));
    assert!(ports.open(22, Millis(3_100_001), &mut left_out), "nothing else is listened on");
}

#[test]
fn ports_beyond_the_bound_are_counted_by_a_service_and_replaced_seldom_on_an_edge() {
    let (mut ports, mut left_out) = (Listening::new(Millis(0)), 0);
    for port in (1..=20).rev() {
        ports.open(port, Millis(0), &mut left_out);
    }
    ports.settle(Millis(STANDS_MS), &mut left_out);
    assert_eq!(ports.told(), "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", "the lowest");
    assert_eq!(left_out, 4);
    let mut met = Met::new();
    for port in 1..=16 {
        assert!(met.meet(port, Millis(u64::from(port))));
    }
    assert!(!met.meet(17, Millis(100)), "too soon");
    met.meet(1, Millis(1_000));
    assert!(met.meet(18, Millis(17 + SELDOM_MS)));
    assert_eq!(met.told(), "1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,18");
}

#[test]
fn a_port_that_no_connection_goes_to_leaves_its_edge() {
    let mut met = Met::new();
    for port in [7001, 7002, 7002, 7011] {
        met.meet(port, Millis(0));
    }
    met.part(7001, Millis(10));
    met.part(7002, Millis(10));
    assert!(!met.settle(Millis(9 + FORGOTTEN_MS)));
    assert!(met.settle(Millis(10 + FORGOTTEN_MS)));
    assert_eq!(met.told(), "7002,7011", "of one a connection is open");
    met.part(7002, Millis(20));
    met.part(7011, Millis(20));
    assert!(!met.settle(Millis(10 * FORGOTTEN_MS)), "the last ones stay");
}

proptest! {
    #[test]
    fn what_is_told_is_what_is_listened_on(
        steps in proptest::collection::vec((1_u16..8, any::<bool>(), 0_u64..30_000), 0..80),
    ) {
        let (mut ports, mut left_out, mut now) = (Listening::new(Millis(0)), 0, 0);
        let mut open: BTreeMap<u16, u32> = BTreeMap::new();
        for (port, opens, later) in steps {
            now += later;
            ports.settle(Millis(now), &mut left_out);
            let sockets = open.entry(port).or_default();
            let told = ports.told();
            if opens {
                *sockets += 1;
                prop_assert_eq!(ports.open(port, Millis(now), &mut left_out), told != ports.told() );
            } else {
                *sockets = sockets.saturating_sub(1);
                ports.close(port, Millis(now));
                prop_assert_eq!(told, ports.told(), "not yet");
            }
            open.retain(|_, sockets| *sockets > 0);
            // A service that listens is never said not to.
            ports.settle(Millis(now), &mut left_out);
            prop_assert!(open.is_empty() || !["", "0"].contains(&ports.told().as_str()));
        }
        ports.settle(Millis(now + STANDS_MS), &mut left_out);
        let listened = list(open.keys().copied());
        let told = ports.told();
        let none = listened.is_empty() && (told.is_empty() || told == "0");
        prop_assert!(none || told == listened, "{told} instead of {listened}");
        prop_assert!(!ports.settle(Millis(now + 2 * STANDS_MS), &mut left_out), "nothing changed");
    }

    #[test]
    fn what_stays_the_same_is_never_new(
        ports in proptest::collection::vec(1_u16..30, 1..60),
        commands in proptest::collection::vec((1_u64..9, "[ab]"), 1..20),
    ) {
        let mut met = Met::new();
        let mut said = Said::new(command("a"), By::default(), Millis(0));
        let (mut changes, mut says) = (0, 0);
        for at in 0..5_000 {
            let port = ports[at % ports.len()];
            changes += u32::from(met.meet(port, Millis(at as u64)));
            let (began, text) = &commands[at % commands.len()];
            says += u64::from(take(&mut said, *began, at as u64, text));
            says += u64::from(said.settle(Millis(at as u64)));
        }
        prop_assert!(changes <= MAX_PORTS as u32, "{changes}");
        prop_assert!(says <= CHANGES, "{says}");
    }
}
