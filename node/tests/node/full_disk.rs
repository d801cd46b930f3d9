//! A node whose disk is full receives and serves on, says so, and has everything once there is room.

use std::io::Write;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::common::{Lab, eventually};
use crate::flows::{addresses, ask, start, v9, words};

/// A folder with a file system of its own, of a few megabytes.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` for who may not mount.
    fn mount(folder: &Path) -> Option<Self> {
        std::fs::create_dir(folder).expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=48m,mode=0700", "tmpfs"]).arg(folder);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Self(folder.to_owned()))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    fn fill(&self) {
        let mut file =
            std::fs::File::options().create(true).append(true).open(self.filler()).expect("a file");
        for size in [65_536, 4_096] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a node that outlives a failed test does not keep the test from ending.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn rows_of_flows_wait_for_room_while_the_node_serves_and_says_why() {
    let lab = Lab::new();
    let Some(disk) = SmallDisk::mount(&lab.path().join("berlin")) else {
        println!("skipped: a file system can be mounted by root alone");
        return;
    };
    let place = lab.found("berlin");
    let listen = addresses(&place);
    let node = start(&place, listen, &[]);
    let socket = UdpSocket::bind((listen.0.ip(), 0)).expect("a socket");
    // Template 256: source and destination address, bytes.
    let template = words(&[0, 20, 256, 3, 8, 4, 12, 4, 1, 4]);
    socket.send_to(&v9(1, &template), listen.0).expect("sent");
    let send = |sequence: u16| {
        let data = [words(&[256, 16]), vec![192, 0, 2, 1, 198, 51, 100, 2, 0, 0]].concat();
        let data = [data, sequence.to_be_bytes().to_vec()].concat();
        socket.send_to(&v9(sequence, &data), listen.0).expect("sent");
    };
    let sum = || ask(&node, "SELECT count(*), sum(flow.io.bytes) FROM flows");
    send(2);
    eventually("the first row is there", || (sum() == [[json!(1), json!(2)]]).then_some(()));

    disk.fill();
    let mut sequence = 2;
    let told = eventually("the node says that its disk is full", || {
        disk.fill();
        sequence += 1;
        send(sequence);
        let told = node.get("/v1/events");
        told["problem"].as_str().map(str::to_owned)
    });
    assert!(told.contains("disk space"), "{told}");
    node.place.holm(&["doctor"]).failed_naming(&["something is broken"]);
    let planes = node.get("/v1/planes");
    let flow = planes["items"].as_array().expect("planes").iter().find(|p| p["plane"] == "flow");
    assert_eq!(flow.expect("the flow plane")["state"], "running", "the plane does not wait");
    assert!(node.get("/v1/topology")["nodes"].is_array());

    std::fs::remove_file(disk.filler()).expect("removed");
    let expected = (2..=u64::from(sequence)).sum::<u64>();
    eventually("everything that was received is there", || {
        let told = node.get("/v1/events");
        let lost = told["dropped_oldest"].as_u64()? + told["dropped_queue_full"].as_u64()?;
        assert_eq!(lost, 0, "{told}");
        let whole = [[json!(sequence - 1), json!(expected)]];
        (told["problem"].is_null() && sum() == whole).then_some(())
    });
    drop(node.stop());
}
