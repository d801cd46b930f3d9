//! Routers of MPLS, which this kernel has none of: a program behind a TUN device answers for them. Probes and
//! replies cross real sockets, and other tools read the replies too.

#![allow(unsafe_code)] // one ioctl, with the reason why it is sound

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::network::{Lab, run};

/// Where the tunnel leads.
pub(crate) const BEYOND: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 9);
/// The routers: (address by parity of the source port, counter, labels). The target is the fifth hop.
const HOPS: [[(Ipv4Addr, usize, &[u32]); 2]; 4] = [
    [(Ipv4Addr::new(10, 9, 1, 1), 0, &[]); 2],
    // Two interfaces of one router, within the tunnel.
    [
        (Ipv4Addr::new(10, 9, 2, 1), 1, &[24_001, 16]),
        (Ipv4Addr::new(10, 9, 2, 2), 1, &[24_011, 16]),
    ],
    // Two routers.
    [(Ipv4Addr::new(10, 9, 3, 1), 2, &[24_002]), (Ipv4Addr::new(10, 9, 3, 2), 3, &[24_012])],
    [(Ipv4Addr::new(10, 9, 4, 1), 4, &[]); 2],
];

/// Answers until it is dropped.
pub(crate) struct Tunnel {
    stop: Arc<AtomicBool>,
    answers: Option<JoinHandle<()>>,
}

impl Tunnel {
    /// A TUN device in the source's namespace, with the routers behind it.
    pub(crate) fn open(lab: &Lab) -> Result<Self, String> {
        let mut device = lab.at_source(attach)?;
        let source = lab.of("s");
        let set = "link set tun0 up\naddr add 10.9.255.1/32 dev tun0\nroute add 10.9.0.0/16 dev tun0 src 10.9.255.1\n";
        run(&["ip", "-n", &source, "-batch", "-"], set)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let answers = std::thread::spawn(move || {
            let mut counters = [7_u16, 65_530, 20_000, 40_000, 9];
            let mut packet = [0; 2_048];
            while !stopped.load(Ordering::Relaxed) {
                match device.read(&mut packet) {
                    Ok(length) => {
                        if let Some(reply) = answer(&packet[..length], &mut counters) {
                            device.write_all(&reply).expect("the device takes packets");
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        std::thread::sleep(Duration::from_micros(200));
                    }
                    Err(error) => panic!("the device: {error}"),
                }
            }
        });
        Ok(Self { stop, answers: Some(answers) })
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(answers) = self.answers.take() {
            let _ = answers.join();
        }
    }
}

/// The TUN device `tun0` of this thread's namespace.
fn attach() -> Result<File, String> {
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")
        .map_err(|error| format!("/dev/net/tun: {error}"))?;
    // struct ifreq: the name, and IFF_TUN | IFF_NO_PI.
    let mut request = [0_u8; 40];
    request[..4].copy_from_slice(b"tun0");
    request[16..18].copy_from_slice(&0x1001_u16.to_ne_bytes());
    // Sound: TUNSETIFF reads and writes one ifreq, which is 40 bytes and alive throughout.
    let set = unsafe { libc::ioctl(device.as_raw_fd(), 0x4004_54ca, request.as_mut_ptr()) };
    if set < 0 {
        return Err(format!("TUNSETIFF: {}", std::io::Error::last_os_error()));
    }
    Ok(device)
}

/// What the routers answer to a packet.
fn answer(packet: &[u8], counters: &mut [u16; 5]) -> Option<Vec<u8>> {
    if packet.len() < 28 || packet[0] != 0x45 {
        return None;
    }
    let (ttl, protocol) = (packet[8], packet[9]);
    let parity = usize::from(packet[21] & 1);
    let hop = HOPS.get(usize::from(ttl).checked_sub(1)?).map(|hop| hop[parity]);
    let (from, counter, labels) = hop.unwrap_or((BEYOND, 0, &[]));
    let mut icmp = match (hop, protocol) {
        // The target: an echo reply, or that the port is closed.
        (None, 1) if packet[20] == 8 => {
            let mut echo = packet[20..].to_vec();
            echo[0] = 0;
            echo
        }
        (None, 17) => {
            // It quotes the TTL that the packet arrived with.
            let mut quoted = packet[..packet.len().min(128)].to_vec();
            quoted[8] -= 4;
            [&[3, 3, 0, 0, 0, 0, 0, 0], quoted.as_slice()].concat()
        }
        (None, _) => return None,
        (Some(_), _) => {
            // RFC 4884 §5.1: 128 bytes of the packet, their length in words, then the extensions.
            let mut quoted = packet[..packet.len().min(128)].to_vec();
            quoted[8] = 1;
            quoted.resize(128, 0);
            let mut icmp = [&[11, 0, 0, 0, 0, 32, 0, 0], quoted.as_slice()].concat();
            icmp.extend(extensions(labels));
            icmp
        }
    };
    icmp[2..4].fill(0);
    let sum = checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum);
    counters[counter] = counters[counter].wrapping_add(1);
    let mut reply = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 255 - ttl, 1, 0, 0];
    reply[2..4].copy_from_slice(&u16::try_from(20 + icmp.len()).ok()?.to_be_bytes());
    reply[4..6].copy_from_slice(&counters[counter].to_be_bytes());
    reply.extend(from.octets());
    reply.extend(&packet[12..16]);
    let sum = checksum(&reply);
    reply[10..12].copy_from_slice(&sum);
    reply.extend(icmp);
    Some(reply)
}

/// A label stack (RFC 4950 §3), outermost first; nothing where there is none.
fn extensions(labels: &[u32]) -> Vec<u8> {
    if labels.is_empty() {
        return Vec::new();
    }
    let length = u16::try_from(4 + labels.len() * 4).expect("short");
    let mut bytes = vec![0x20, 0, 0, 0];
    bytes.extend(length.to_be_bytes());
    bytes.extend([1, 1]);
    for (index, label) in labels.iter().enumerate() {
        let bottom = u32::from(index + 1 == labels.len());
        bytes.extend((label << 12 | bottom << 8 | 1).to_be_bytes());
    }
    let sum = checksum(&bytes);
    bytes[2..4].copy_from_slice(&sum);
    bytes
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).unwrap_or(0)).to_be_bytes()
}

#[test]
fn a_tunnel_shows_its_labels_and_which_interfaces_are_one_router() {
    use holm_path::engine::{Outcome, TraceOptions};
    use holm_path::socket::Request;
    use holm_path::wire::Protocol;

    use super::{addresses, lab, request, traces};

    let Some(lab) = lab(super::Plan { width: 1, ..super::Plan::default() }) else { return };
    let tunnel = match Tunnel::open(&lab) {
        Ok(tunnel) => tunnel,
        Err(reason) => return println!("skipped: no TUN device here ({reason})"),
    };
    let options = TraceOptions { epsilon: 1e-6, ..TraceOptions::default() };
    let of = Request { options, ..request(&BEYOND.to_string(), Protocol::Udp) };
    let result = traces(&lab, false, vec![of]).remove(0);
    assert_eq!(result.outcome, Outcome::Reached);
    assert_eq!(result.hops.len(), 5);
    for (index, hop) in HOPS.iter().enumerate() {
        let ours = hop.iter().map(|(address, ..)| IpAddr::from(*address)).collect();
        assert_eq!(addresses(&result, index + 1), ours);
        for interface in &result.hops[index].interfaces {
            let labels: Vec<u32> = interface.labels.iter().map(|label| label.label).collect();
            let wanted = hop.iter().find(|(address, ..)| interface.address == *address);
            assert_eq!(Some(labels.as_slice()), wanted.map(|(.., labels)| *labels));
        }
    }
    let aliases: Vec<(u8, usize)> = result
        .hops
        .iter()
        .flat_map(|hop| hop.aliases.iter().map(|alias| (hop.ttl, alias.addresses.len())))
        .collect();
    assert_eq!(aliases, [(2, 2)], "hop 2 is one router, hop 3 is two");

    // Another tool reads the same labels out of the same replies.
    let beyond = BEYOND.to_string();
    let command = ["traceroute", "-n", "-e", "-q", "2", "-w", "1", beyond.as_str()];
    let said = lab.output(&command).unwrap_or_default();
    if said.trim().is_empty() {
        println!("skipped: no {} here", command[0]);
    } else {
        assert!(["L=24002", "L=24012"].iter().any(|label| said.contains(label)), "{said}");
        assert!(!said.contains("10.9.1.1 <MPLS"), "{said}");
    }
    drop(tunnel);
}
