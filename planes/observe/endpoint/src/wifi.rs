//! The Wi-Fi link by nl80211 over generic netlink (`include/uapi/linux/nl80211.h`, `genetlink.h`). Needs no privilege.

use std::io;

use crate::netlink::{ask, attributes, half, long, open, put, word};
use crate::{Shown, Wifi, WifiLink};

const NETLINK_GENERIC: i32 = 16;
const GENL_ID_CTRL: u16 = 0x10;
const GENL_HEADER_BYTES: usize = 4;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

const CMD_GET_INTERFACE: u8 = 5;
const CMD_GET_STATION: u8 = 17;
const ATTR_IFINDEX: u16 = 3;
const ATTR_IFNAME: u16 = 4;
const ATTR_IFTYPE: u16 = 5;
const ATTR_MAC: u16 = 6;
const ATTR_STA_INFO: u16 = 21;
const ATTR_WIPHY_FREQ: u16 = 38;
const ATTR_SSID: u16 = 52;
const IFTYPE_STATION: u32 = 2;

const STA_SIGNAL: u16 = 7;
const STA_TX_BITRATE: u16 = 8;
const STA_TX_PACKETS: u16 = 10;
const STA_TX_RETRIES: u16 = 11;
const STA_TX_FAILED: u16 = 12;
const STA_SIGNAL_AVG: u16 = 13;
const STA_RX_BITRATE: u16 = 14;
const STA_CONNECTED_TIME: u16 = 16;
const STA_BEACON_LOSS: u16 = 18;
const RATE_BITRATE: u16 = 1;
const RATE_BITRATE32: u16 = 5;

/// Most wireless interfaces that are looked at.
const MAX_INTERFACES: usize = 16;

/// An interface as nl80211 lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Interface {
    index: u32,
    name: String,
    kind: u32,
    ssid: Option<String>,
    frequency_mhz: Option<u32>,
}

/// An access point that an interface is connected to.
#[derive(Debug, Clone, Default, PartialEq)]
struct Station {
    address: Option<String>,
    signal_dbm: Option<i32>,
    average_dbm: Option<i32>,
    tx_mbps: Option<f64>,
    rx_mbps: Option<f64>,
    tx_packets: Option<u64>,
    tx_retries: Option<u64>,
    tx_failed: Option<u64>,
    beacon_losses: Option<u64>,
    connected_s: Option<u64>,
}

/// The Wi-Fi link of this thread's network namespace: that of `default_interface` if it is wireless, else of the
/// first interface that is connected. The number of roams is for the caller to count.
pub fn wifi(default_interface: Option<&str>) -> Wifi {
    match look(default_interface) {
        Ok(wifi) => wifi,
        Err(error) => Wifi::NotMeasured(format!("nl80211: {error}")),
    }
}

fn look(default_interface: Option<&str>) -> io::Result<Wifi> {
    let socket = match open(NETLINK_GENERIC) {
        Ok(socket) => socket,
        Err(error) if error.raw_os_error() == Some(libc::EPROTONOSUPPORT) => {
            return Ok(Wifi::NoWifi);
        }
        Err(error) => return Err(error),
    };
    let mut body = vec![CTRL_CMD_GETFAMILY, 1, 0, 0];
    put(&mut body, CTRL_ATTR_FAMILY_NAME, b"nl80211\0");
    let mut family = None;
    let asked = ask(&socket, (GENL_ID_CTRL, false, 1), &body, |message| {
        family = family.or_else(|| family_of(message));
    });
    // The kernel knows no wireless devices: there are none.
    if asked.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ENOENT)) {
        return Ok(Wifi::NoWifi);
    }
    asked?;
    let Some(family) = family else { return Err(io::ErrorKind::InvalidData.into()) };
    let mut interfaces = Vec::new();
    ask(&socket, (family, true, 2), &[CMD_GET_INTERFACE, 0, 0, 0], |message| {
        let found = interface(message).filter(|_| interfaces.len() < MAX_INTERFACES);
        interfaces.extend(found);
    })?;
    interfaces.retain(|interface: &Interface| interface.kind == IFTYPE_STATION);
    if interfaces.is_empty() {
        return Ok(Wifi::NoWifi);
    }
    interfaces.sort_by_key(|interface| Some(interface.name.as_str()) != default_interface);
    for (interface, sequence) in interfaces.into_iter().zip(3..) {
        let mut body = vec![CMD_GET_STATION, 0, 0, 0];
        put(&mut body, ATTR_IFINDEX, &interface.index.to_ne_bytes());
        let mut known = None;
        ask(&socket, (family, true, sequence), &body, |message| {
            known = known.take().or_else(|| station(message));
        })?;
        if let Some(station) = known {
            return Ok(Wifi::Link(Box::new(link(interface, station, default_interface))));
        }
    }
    Ok(Wifi::NotConnected)
}

fn link(interface: Interface, station: Station, default_interface: Option<&str>) -> WifiLink {
    WifiLink {
        default_route: default_interface == Some(interface.name.as_str()),
        interface: interface.name,
        ssid: Shown::Told(interface.ssid.unwrap_or_default()),
        bssid: Shown::Told(station.address.unwrap_or_default()),
        frequency_mhz: interface.frequency_mhz,
        channel: interface.frequency_mhz.and_then(channel_of),
        signal_dbm: station.average_dbm.or(station.signal_dbm),
        tx_mbps: station.tx_mbps,
        rx_mbps: station.rx_mbps,
        tx_packets: station.tx_packets,
        tx_retries: station.tx_retries,
        tx_failed: station.tx_failed,
        beacon_losses: station.beacon_losses,
        connected_s: station.connected_s,
        roams: None,
    }
}

/// The channel of a centre frequency (IEEE 802.11-2020, annex E).
fn channel_of(mhz: u32) -> Option<u32> {
    match mhz {
        2_412..=2_472 => Some((mhz - 2_407) / 5),
        2_484 => Some(14),
        5_160..=5_885 => Some((mhz - 5_000) / 5),
        5_955..=7_115 => Some((mhz - 5_950) / 5),
        _ => None,
    }
}

fn attributes_of(message: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    attributes(message.get(GENL_HEADER_BYTES..).unwrap_or_default())
}

fn family_of(message: &[u8]) -> Option<u16> {
    attributes_of(message)
        .find(|(kind, _)| *kind == CTRL_ATTR_FAMILY_ID)
        .and_then(|(_, v)| half(v, 0))
}

/// Text of a kernel or of whoever named a network: without control characters, and bounded by its attribute.
fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end_matches('\0').chars().filter(|c| !c.is_control()).take(64).collect()
}

fn interface(message: &[u8]) -> Option<Interface> {
    let mut found = Interface::default();
    for (kind, value) in attributes_of(message) {
        match kind {
            ATTR_IFINDEX => found.index = word(value, 0)?,
            ATTR_IFNAME => found.name = text(value),
            ATTR_IFTYPE => found.kind = word(value, 0)?,
            ATTR_SSID => found.ssid = Some(text(value)),
            ATTR_WIPHY_FREQ => found.frequency_mhz = word(value, 0),
            _ => {}
        }
    }
    (found.index > 0 && !found.name.is_empty()).then_some(found)
}

fn station(message: &[u8]) -> Option<Station> {
    let mut found = Station::default();
    let mut told = false;
    for (kind, value) in attributes_of(message) {
        match kind {
            ATTR_MAC if value.len() == 6 => {
                let bytes: Vec<String> = value.iter().map(|byte| format!("{byte:02x}")).collect();
                found.address = Some(bytes.join(":"));
            }
            ATTR_STA_INFO => {
                told = true;
                station_info(value, &mut found);
            }
            _ => {}
        }
    }
    told.then_some(found)
}

fn station_info(value: &[u8], found: &mut Station) {
    for (kind, value) in attributes(value) {
        // Signed bytes, in dBm.
        let dbm = || value.first().map(|byte| i32::from(*byte as i8));
        let count = || word(value, 0).map(u64::from).or_else(|| long(value, 0));
        match kind {
            STA_SIGNAL => found.signal_dbm = dbm(),
            STA_SIGNAL_AVG => found.average_dbm = dbm(),
            STA_TX_BITRATE => found.tx_mbps = rate(value),
            STA_RX_BITRATE => found.rx_mbps = rate(value),
            STA_TX_PACKETS => found.tx_packets = count(),
            STA_TX_RETRIES => found.tx_retries = count(),
            STA_TX_FAILED => found.tx_failed = count(),
            STA_BEACON_LOSS => found.beacon_losses = count(),
            STA_CONNECTED_TIME => found.connected_s = count(),
            _ => {}
        }
    }
}

/// Mbit/s; the kernel counts in 100 kbit/s, in 32 bits where 16 are too few.
fn rate(value: &[u8]) -> Option<f64> {
    let of = |wanted: u16| attributes(value).find(|(kind, _)| *kind == wanted).map(|(_, v)| v);
    let units = of(RATE_BITRATE32).and_then(|v| word(v, 0));
    let units = units.or_else(|| of(RATE_BITRATE).and_then(|v| half(v, 0)).map(u32::from));
    units.map(|units| f64::from(units) / 10.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the kernel writes it: `struct genlmsghdr`, then attributes.
    fn message(attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = vec![0, 1, 0, 0];
        for (kind, value) in attributes {
            put(&mut bytes, *kind, value);
        }
        bytes
    }

    fn nested(attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
        message(attributes).split_off(GENL_HEADER_BYTES)
    }

    fn an_interface() -> Vec<u8> {
        message(&[
            (ATTR_IFINDEX, 3_u32.to_ne_bytes().into()),
            (ATTR_IFNAME, b"wlan0\0".to_vec()),
            (1, 0_u32.to_ne_bytes().into()),
            (ATTR_IFTYPE, IFTYPE_STATION.to_ne_bytes().into()),
            (ATTR_WIPHY_FREQ, 5_180_u32.to_ne_bytes().into()),
            (ATTR_SSID, b"Caf\xc3\xa9".to_vec()),
        ])
    }

    fn a_station() -> Vec<u8> {
        let tx = nested(&[
            (RATE_BITRATE, 8_667_u16.to_ne_bytes().into()),
            (RATE_BITRATE32, 8_667_u32.to_ne_bytes().into()),
            (12, vec![9]),
        ]);
        let rx = nested(&[(RATE_BITRATE, 60_u16.to_ne_bytes().into())]);
        let info = nested(&[
            (STA_SIGNAL, vec![(-61_i8) as u8]),
            (STA_SIGNAL_AVG, vec![(-58_i8) as u8]),
            (STA_TX_BITRATE | 0x8000, tx),
            (STA_RX_BITRATE | 0x8000, rx),
            (STA_TX_PACKETS, 1_000_u32.to_ne_bytes().into()),
            (STA_TX_RETRIES, 90_u32.to_ne_bytes().into()),
            (STA_TX_FAILED, 2_u32.to_ne_bytes().into()),
            (STA_CONNECTED_TIME, 3_600_u32.to_ne_bytes().into()),
        ]);
        message(&[
            (ATTR_IFINDEX, 3_u32.to_ne_bytes().into()),
            (ATTR_MAC, vec![2, 0, 0x5e, 0, 0, 1]),
            (ATTR_STA_INFO | 0x8000, info),
        ])
    }

    #[test]
    fn a_link_is_read_as_the_kernel_writes_it() {
        let interface = interface(&an_interface()).expect("an interface");
        let station = station(&a_station()).expect("a station");
        let link = link(interface, station, Some("wlan0"));
        assert_eq!((link.ssid.told().map(String::as_str), link.channel), (Some("Café"), Some(36)));
        assert_eq!(link.bssid, Shown::Told("02:00:5e:00:00:01".into()));
        assert_eq!(
            (link.signal_dbm, link.tx_mbps, link.rx_mbps),
            (Some(-58), Some(866.7), Some(6.0))
        );
        assert_eq!(
            (link.tx_packets, link.tx_retries, link.tx_failed),
            (Some(1_000), Some(90), Some(2))
        );
        assert_eq!((link.connected_s, link.beacon_losses), (Some(3_600), None));
        assert!(link.default_route);
    }

    #[test]
    fn channels_are_those_of_the_standard() {
        let channels = [2_412, 2_472, 2_484, 5_180, 5_825, 5_955, 60_480].map(channel_of);
        assert_eq!(channels, [Some(1), Some(13), Some(14), Some(36), Some(165), Some(1), None]);
    }

    #[test]
    fn this_machine_says_something() {
        // Whatever hardware there is: an answer, or why there is none.
        if let Wifi::NotMeasured(why) = wifi(None) {
            assert!(why.starts_with("nl80211: "), "{why}");
        }
    }

    proptest! {
        #[test]
        fn messages_that_were_changed_or_cut_never_panic(
            at in 0_usize..300, byte: u8, length in 0_usize..300, of_interface: bool,
        ) {
            let mut bytes = if of_interface { an_interface() } else { a_station() };
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(length);
            let _ = family_of(&bytes);
            if let Some(found) = interface(&bytes) {
                prop_assert!(found.name.chars().count() <= 64);
            }
            if let Some(dbm) = station(&bytes).and_then(|station| station.signal_dbm) {
                prop_assert!((-128..=127).contains(&dbm));
            }
        }
    }
}
