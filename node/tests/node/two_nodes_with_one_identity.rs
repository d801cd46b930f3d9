//! A copied folder: both nodes stay up, and the mesh says that there are two.

use std::path::Path;

use crate::common::{Lab, agree, eventually};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("readable").filter_map(Result::ok) {
        let to = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("copied");
        }
    }
}

#[test]
fn both_stay_up_and_the_others_name_the_conflict_and_the_remedy() {
    let lab = Lab::new();
    let mut berlin = lab.found("berlin").start();
    let tokyo = lab.join(&berlin, "tokyo").start();
    agree(&[&berlin, &tokyo]);
    let place = tokyo.stop();
    // On the same address, which the web certificate names, and other ports.
    let mut twin = lab.place("twin");
    twin.api.set_ip(place.api.ip());
    twin.mesh.set_ip(place.api.ip());
    copy(&place.dir, &twin.dir);
    let mut tokyo = place.start();
    eventually("the first is connected", || berlin.hears("tokyo").then_some(()));
    let (api, mesh) = (twin.api.to_string(), twin.mesh.to_string());
    let elsewhere = [("HOLM_API_LISTEN", api.as_str()), ("HOLM_MESH_LISTEN", mesh.as_str())];
    let mut twin = twin.start_with(&elsewhere);

    eventually("berlin names the conflict", || {
        let sites = berlin.get("/v1/sites");
        let texts = sites["conflicts"].as_array()?;
        texts
            .iter()
            .filter_map(|text| text.as_str())
            .any(|text| text.contains("tokyo/n1") && text.contains("stop one of them"))
            .then_some(())
    });
    let status = berlin.place.holm(&["status"]).succeeded();
    assert!(status.contains("CONFLICT") && status.contains("tokyo/n1"), "{status}");
    for node in [&mut berlin, &mut tokyo, &mut twin] {
        assert!(node.is_up());
        assert!(node.get("/v1/topology")["nodes"].is_array());
    }
    twin.stop();
    eventually("the one that is left is connected", || {
        (berlin.hears("tokyo") && tokyo.hears("berlin")).then_some(())
    });
    agree(&[&berlin, &tokyo]);
}
