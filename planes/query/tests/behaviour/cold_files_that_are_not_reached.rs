//! Rows in cold storage that does not answer are missing, and the answer says so.

use std::sync::Arc;

use holm_query::PlaceState;
use serde_json::json;

use crate::common::{Mesh, Site, alone, ask, first_file, schema, site, site_in};

/// A site with two files of flows, of which one went away.
fn half_cold(name: &str) -> Site {
    let before = site(name, &[(1, 10), (2, 20)]);
    before.store.roll();
    let Site { folder, store, engine, .. } = before;
    drop((engine, store));
    let first = first_file(folder.path());
    let sealed = std::fs::read(&first).expect("read");
    let stub = [&sealed[..40], &(sealed.len() as u64).to_be_bytes()].concat();
    std::fs::write(first.with_extension("cold"), stub).expect("written");
    std::fs::remove_file(first).expect("removed");
    site_in(folder, "acme", name, schema())
}

#[test]
fn the_answer_says_what_it_goes_without() {
    let (berlin, tokyo) = (half_cold("berlin"), half_cold("tokyo"));
    let whole = site("lima", &[(1, 1)]);
    for sql in [
        "SELECT count(*) FROM flows",
        "SELECT source.address, count(*) FROM flows GROUP BY 1 ORDER BY 2 DESC LIMIT 3",
        "SELECT flow.io.bytes FROM flows ORDER BY 1 LIMIT 10",
        "SELECT count(*) FROM flows WHERE flow.io.bytes > 1000000 GROUP BY source.port",
    ] {
        let mesh = Arc::new(Mesh::of(&[&tokyo, &whole]));
        let answer = ask(&berlin, &mesh, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        for place in &answer.places {
            assert_eq!(place.state, PlaceState::Answered, "{sql}: {place:?}");
            let says = place.missing.as_deref().is_some_and(|text| text.contains("cold storage"));
            assert_eq!(says, place.place.site.as_str() != "lima", "{sql}: {place:?}");
        }
    }
    // What a question's time leaves out is not missed.
    let sql = "SELECT count(*) FROM flows WHERE flow.time_received > '2024-03-05T00:00:00Z'";
    let answer = ask(&berlin, &alone(), sql).expect("answered");
    assert_eq!(answer.places[0].missing, None);
    assert_eq!(answer.rows(), [[json!(0)]]);
}
