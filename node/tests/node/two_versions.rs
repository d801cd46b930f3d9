//! One mesh of nodes of two protocol versions, while it is upgraded node by node.

use automerge::transaction::Transactable;
use automerge::{Automerge, ROOT, ReadDoc, ScalarValue};
use holm_certs::{SignedStatement, StatementKind};
use holm_mesh_proto::wire::{OLDEST_PROTOCOL, PROTOCOL_VERSION};
use holm_model::{DocId, Millis};

use crate::common::raw::hostile::hello_of;
use crate::common::raw::{Copy, Hostile, SECRET, counted, found, runtime, topology_of};
use crate::common::{Lab, Running, agree, eventually, holm_with};

const OLDER: (&str, &str) = ("HOLM_MESH_PROTOCOL_AT_MOST", "2");

/// A document as a later release might write it.
fn foreign(kind: &str, key: &str, puts: &[(&str, ScalarValue)]) -> Vec<u8> {
    let mut am = Automerge::new();
    let mut transaction = am.transaction();
    for (name, value) in [("h/kind", kind), ("h/tenant", SECRET), ("h/key", key)] {
        transaction.put(ROOT, name, value).expect("put");
    }
    let now = ScalarValue::Uint(Millis::now().0);
    transaction.put(ROOT, "h/changed_at", now).expect("put");
    for (name, value) in puts {
        transaction.put(ROOT, *name, value.clone()).expect("put");
    }
    transaction.commit();
    am.save()
}

/// The id of a document of a kind that no release knows yet.
fn id_of(kind: &str, key: &str) -> DocId {
    let mut hasher = blake3::Hasher::new_derive_key("holm document id v1");
    for part in [SECRET, kind, key] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    DocId(hasher.finalize().as_bytes()[..16].try_into().expect("16"))
}

/// What stands at the root of a document.
fn value(copy: &Copy, doc: DocId, name: &str) -> Option<String> {
    let bytes = copy.replica.export(doc, &[]).ok()?.bytes;
    let am = Automerge::load(&bytes).ok()?;
    Some(am.get(ROOT, name).ok()??.0.to_string())
}

fn is_on(node: &Running, site: &str) -> bool {
    let topology = node.get("/v1/topology");
    let nodes = topology["nodes"].as_array().expect("a list");
    let site = nodes.iter().find(|node| node["id"] == format!("site:{site}"));
    site.is_some_and(|site| site["attributes"]["holm.plane.active"] != "off")
}

#[test]
fn an_older_node_agrees_with_newer_ones_and_carries_what_it_does_not_understand() {
    assert_eq!((OLDEST_PROTOCOL, PROTOCOL_VERSION), (2, 4), "the versions of this story");
    let (lab, runtime) = (Lab::new(), runtime());
    let (place, mesh) = found(&lab, "berlin");
    let off = ("HOLM_PLANES_ACTIVE_ENABLED", "false");
    let berlin = place.start_with(&[off]);
    let tokyo = lab.join(&berlin, "tokyo").start_with(&[off, OLDER]);
    let oslo = lab.join(&berlin, "oslo").start_with(&[off]);
    agree(&[&berlin, &tokyo, &oslo]);
    // News of both kinds of node reach the other kind.
    let tokyo = tokyo.stop().start_with(&[("HOLM_PLANES_ACTIVE_ENABLED", "true"), OLDER]);
    let oslo = oslo.stop().start_with(&[("HOLM_PLANES_ACTIVE_ENABLED", "true")]);
    agree(&[&berlin, &tokyo, &oslo]);
    eventually("each sees what the other wrote", || {
        (is_on(&oslo, "tokyo") && is_on(&tokyo, "oslo")).then_some(())
    });
    eventually("with the older one hints are as they were", || {
        (counted(&tokyo, "hints_received") > 0 && counted(&berlin, "hints_sent_unsealed") > 0)
            .then_some(())
    });
    assert_eq!(counted(&tokyo, "hints_unsealed"), 0);

    // A node of a release that is still to come speaks with the older node alone.
    for site in ["paris", "lima"] {
        berlin.place.holm(&["tenant", "grant", SECRET, "--site", site]).succeeded();
    }
    let identity = mesh.identity("paris");
    let mut hello = hello_of(&identity, mesh.id);
    hello.protocol_max = PROTOCOL_VERSION + 5;
    let later = runtime.block_on(Hostile::greet(&identity, hello, tokyo.place.mesh));
    let later = later.expect("a version in common");
    let documents = Copy::of(SECRET, &mesh.label(), "paris");
    let kept = ScalarValue::Str("kept".into());
    let ledger = (id_of("a-later-kind", "paris/2026-11"), "x/later");
    let topology = (topology_of("paris", SECRET), "x/later");
    let record = ScalarValue::Bytes(vec![8, 9, 0xfa, 1, 3, 1, 2, 3]);
    for ((id, _), bytes) in [
        (ledger, foreign("a-later-kind", "paris/2026-11", &[("x/later", kept.clone())])),
        (
            topology,
            foreign(
                "topology",
                "paris/0/0",
                &[("x/later", kept), ("e/n1/host:later", record), ("h/node/n1", 1.into())],
            ),
        ),
    ] {
        documents.replica.apply(id, &bytes, "the next release", Millis::now()).expect("carried");
    }
    let roster = Copy::of_roster("paris");
    let said = SignedStatement::sign(StatementKind(999), vec![1, 2, 3], identity.statement_key());
    let said = said.expect("signed").to_bytes().expect("bytes");
    roster.say(&said);
    eventually("the older node has heard of the grant, and takes it in", || {
        runtime.block_on(documents.reconcile(&later)).ok()
    });
    runtime.block_on(roster.reconcile(&later)).expect("everyone's");
    assert_eq!(later.connection.close_reason(), None, "the older node is content with it");

    // Over the older node, also through its disk, to a newer one.
    let tokyo = tokyo.stop().start_with(&[OLDER]);
    let reader =
        runtime.block_on(Hostile::connect(&mesh.identity("lima"), mesh.id, berlin.place.mesh));
    let (arrived, statements) = (Copy::of(SECRET, &mesh.label(), "lima"), Copy::of_roster("lima"));
    eventually("all of it is at the newer node, as it was written", || {
        runtime.block_on(arrived.reconcile(&reader)).ok()?;
        runtime.block_on(statements.reconcile(&reader)).ok()?;
        let kept = |(doc, name): (DocId, &str)| value(&arrived, doc, name);
        (kept(ledger)?.contains("kept") && kept(topology)?.contains("kept")).then_some(())?;
        assert!(value(&arrived, topology.0, "e/n1/host:later").is_some());
        statements.replica.statements().contains(&said).then_some(())
    });

    // The older node is upgraded, and everyone speaks the newer version.
    let tokyo = tokyo.stop().start();
    agree(&[&berlin, &tokyo, &oslo]);
    eventually("connected anew", || (berlin.hears("tokyo") && oslo.hears("tokyo")).then_some(()));
    let before = counted(&berlin, "hints_sent_unsealed");
    let oslo = oslo.stop().start();
    agree(&[&berlin, &tokyo, &oslo]);
    assert_eq!(counted(&berlin, "hints_sent_unsealed"), before, "sealed from now on");
}

#[test]
fn a_version_that_is_spoken_no_more_is_refused_with_the_reason() {
    let (lab, runtime) = (Lab::new(), runtime());
    let (place, mesh) = found(&lab, "berlin");
    let berlin = place.start();
    let identity = mesh.identity("tokyo");
    let mut hello = hello_of(&identity, mesh.id);
    (hello.protocol_min, hello.protocol_max) = (1, OLDEST_PROTOCOL - 1);
    let refused = runtime.block_on(Hostile::greet(&identity, hello.clone(), berlin.place.mesh));
    let (code, reason) = refused.err().expect("nothing in common");
    assert_eq!(code, 7, "{reason}");
    assert!(reason.contains("protocol version differs"), "{reason}");
    let shown = berlin.get("/v1/mesh").to_string();
    assert!(shown.contains("protocol version differs"), "{shown}");
    hello.protocol_max = OLDEST_PROTOCOL;
    let let_in = runtime.block_on(Hostile::greet(&identity, hello, berlin.place.mesh));
    assert!(let_in.is_ok(), "the oldest that is spoken");

    let dir = berlin.place.dir.to_string_lossy().into_owned();
    for version in ["1", "5"] {
        let variable = [("HOLM_MESH_PROTOCOL_AT_MOST", version)];
        holm_with(&["config", "check", "--dir", &dir], &variable).failed_naming(&[
            "mesh.protocol_at_most",
            version,
            "2 to 4",
        ]);
    }
}
