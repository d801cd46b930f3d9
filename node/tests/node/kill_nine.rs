//! Kill -9 at any instant: what the API acknowledged is there after the restart.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::common::{Client, Lab, Place};

const KILLS: usize = 100;

/// Makes tokens as fast as the node gives them, until `stop`; those it acknowledged.
fn load(place: &Place, stop: &AtomicBool, acknowledged: &Mutex<Vec<String>>) {
    let client = place.client();
    let body = json!({ "name": "load", "role": "viewer" });
    while !stop.load(Ordering::Relaxed) {
        match client.try_post("/v1/api-tokens", &body) {
            Ok(answer) if answer.status == 201 => {
                let token = answer.json()["token"].as_str().expect("a token").to_owned();
                acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push(token);
            }
            Ok(answer) => panic!("{}: {}", answer.status, answer.body),
            // Not up yet, or killed before it answered.
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

#[test]
fn a_hundred_kills_at_random_instants_lose_no_acknowledged_token() {
    let lab = Lab::new();
    // The first start makes the admin token that the load is asked with.
    let place = lab.found("berlin").start().stop();
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let acknowledged = Mutex::new(Vec::new());
    let mut checked = 0;
    for kill in 0..KILLS {
        let early = kill % 3 == 0;
        let wait = Duration::from_micros(rng.random_range(0..250_000));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // Every third is killed while it starts; the others while they serve.
            let node = if early { place.spawn(&[]) } else { place.start() };
            for _ in 0..2 {
                scope.spawn(|| load(&place, &stop, &acknowledged));
            }
            std::thread::sleep(wait);
            node.kill();
            stop.store(true, Ordering::Relaxed);
        });
        let known = acknowledged.lock().expect("no load panicked");
        if kill % 5 == 4 {
            // The ones since the last look; all of them at the end.
            check(&place, &known[checked..], seed);
            checked = known.len();
        }
    }
    let known = acknowledged.into_inner().expect("no load panicked");
    println!("{} tokens acknowledged, {KILLS} kills", known.len());
    assert!(known.len() >= KILLS, "the load was no load: {} tokens", known.len());
    check(&place, &known, seed);
}

fn check(place: &Place, tokens: &[String], seed: u64) {
    let node = place.start();
    let anyone = Client::without_token(place);
    for token in tokens {
        let answer = anyone.clone().with_token(token).get("/v1/me");
        assert_eq!(
            answer.status, 200,
            "seed {seed}: an acknowledged token is gone: {}",
            answer.body
        );
    }
    assert!(!node.log().contains("damaged"), "seed {seed}:\n{}", node.log());
    node.stop();
}
