//! A node that starts again while its only seed is away: it knows whom it knew, meets those that are there, and says
//! from whom it is cut off.

use crate::common::{Lab, Running, agree, eventually};

fn hears(node: &Running, site: &str) -> bool {
    node.member(site).is_some_and(|member| member["connected"] == true)
}

#[test]
fn two_sites_meet_again_without_the_seed_that_made_them_meet() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let tokyo = lab.join(&berlin, "tokyo").start();
    let oslo = lab.join(&berlin, "oslo").start();
    agree(&[&berlin, &tokyo, &oslo]);
    let kept = |node: &Running, site: &str| {
        let text = std::fs::read_to_string(node.place.file("known-nodes.json")).ok()?;
        text.contains(&format!("\"site\":\"{site}\"")).then_some(())
    };
    eventually("each keeps the other", || {
        kept(&tokyo, "oslo")?;
        kept(&oslo, "tokyo")
    });
    let _berlin = berlin.kill();
    let (tokyo, oslo) = (tokyo.kill(), oslo.kill());

    // Alone: it has not forgotten that there are others.
    let tokyo = tokyo.start();
    eventually("it says that it is the one cut off", || {
        let mesh = tokyo.get("/v1/mesh");
        let members = mesh["members"].as_array()?.len();
        let verdicts = mesh["verdicts"].as_array()?;
        (members == 2 && verdicts.iter().any(|one| one["kind"] == "cut_off")).then_some(())
    });
    let doctor = tokyo.place.holm(&["doctor"]);
    assert!(!doctor.ok && doctor.out.contains("BROKEN"), "{}", doctor.out);

    // The seed of both is gone; each knows the other's address.
    let oslo = oslo.start();
    eventually("they meet", || (hears(&tokyo, "oslo") && hears(&oslo, "tokyo")).then_some(()));
    agree(&[&tokyo, &oslo]);

    // A file that is damaged costs nothing but the memory.
    let place = tokyo.stop();
    std::fs::write(place.file("known-nodes.json"), b"[{").expect("its own file");
    let tokyo = place.start();
    assert!(tokyo.log().contains("known-nodes.json: it is damaged"), "{}", tokyo.log());
    eventually("oslo still knows it", || hears(&oslo, "tokyo").then_some(()));
    eventually("and the file is whole again", || kept(&tokyo, "oslo"));
}
