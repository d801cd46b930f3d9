//! Default routes, from `/proc/net/route` and `/proc/net/ipv6_route` (proc_pid_net(5)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Family, MAX_GATEWAYS};

/// RTF_UP, RTF_GATEWAY, RTF_REJECT (`include/uapi/linux/route.h`).
const UP: u32 = 0x1;
const GATEWAY: u32 = 0x2;
const REJECT: u32 = 0x200;

/// A default route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultRoute {
    /// Its family.
    pub family: Family,
    /// The gateway; none on a link without one.
    pub gateway: Option<IpAddr>,
    /// The interface.
    pub interface: String,
    /// The smaller is taken.
    pub metric: u32,
}

/// The default routes of this process's network namespace, IPv4 first, the one that is taken first; at most
/// [`MAX_GATEWAYS`].
///
/// # Errors
/// Why the tables cannot be read.
pub fn default_routes() -> Result<Vec<DefaultRoute>, String> {
    let read = |path: &str| {
        std::fs::read_to_string(path).map_err(|error| format!("{path} cannot be read: {error}"))
    };
    let mut routes = of_v4(&read("/proc/self/net/route")?);
    // A kernel without IPv6 has no table of it.
    routes.extend(of_v6(&read("/proc/self/net/ipv6_route").unwrap_or_default()));
    routes.truncate(MAX_GATEWAYS);
    Ok(routes)
}

fn of_v4(table: &str) -> Vec<DefaultRoute> {
    let mut routes: Vec<DefaultRoute> = table.lines().skip(1).filter_map(v4).collect();
    routes.sort_by_key(|route| route.metric);
    routes
}

fn v4(line: &str) -> Option<DefaultRoute> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [interface, destination, gateway, flags, _, _, metric, mask, ..] = fields[..] else {
        return None;
    };
    let hex = |text: &str| u32::from_str_radix(text, 16).ok();
    if hex(destination)? != 0 || hex(mask)? != 0 || hex(flags)? & (UP | REJECT) != UP {
        return None;
    }
    // In the byte order of the machine, as the kernel prints it.
    let address = Ipv4Addr::from(hex(gateway)?.to_ne_bytes());
    Some(DefaultRoute {
        family: Family::Ipv4,
        gateway: (hex(flags)? & GATEWAY != 0).then_some(IpAddr::V4(address)),
        interface: name(interface)?,
        metric: metric.parse().ok()?,
    })
}

fn of_v6(table: &str) -> Vec<DefaultRoute> {
    let mut routes: Vec<DefaultRoute> = table.lines().filter_map(v6).collect();
    routes.sort_by_key(|route| route.metric);
    routes
}

fn v6(line: &str) -> Option<DefaultRoute> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [destination, length, _, _, gateway, metric, _, _, flags, interface] = fields[..] else {
        return None;
    };
    let hex = |text: &str| u32::from_str_radix(text, 16).ok();
    let address = |text: &str| u128::from_str_radix(text, 16).ok().map(Ipv6Addr::from);
    let is_default = address(destination)?.is_unspecified() && hex(length)? == 0;
    // The kernel's own unreachable default stands on the loopback.
    if !is_default || hex(flags)? & (UP | REJECT) != UP || interface == "lo" {
        return None;
    }
    let has_gateway = hex(flags)? & GATEWAY != 0;
    Some(DefaultRoute {
        family: Family::Ipv6,
        gateway: has_gateway.then_some(IpAddr::V6(address(gateway)?)),
        interface: name(interface)?,
        metric: hex(metric)?,
    })
}

/// IFNAMSIZ bounds names of interfaces.
fn name(text: &str) -> Option<String> {
    (text.len() < 16 && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const V4: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
        eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
        tun0\t00000000\t00000000\t0001\t0\t0\t700\t00000000\t0\t0\t0\n\
        eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n";
    const V6: &str = "fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n\
        00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00450003     eth0\n\
        00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n";

    #[test]
    #[cfg(target_endian = "little")]
    fn defaults_are_found_the_one_that_is_taken_first() {
        let found = of_v4(V4);
        let seen: Vec<_> =
            found.iter().map(|r| (&*r.interface, r.gateway.map(|g| g.to_string()))).collect();
        let of = |text: &str| Some(text.to_owned());
        assert_eq!(
            seen,
            [("eth0", of("192.168.1.1")), ("wlan0", of("192.168.0.1")), ("tun0", None)]
        );
        let found = of_v6(V6);
        assert_eq!((found.len(), &*found[0].interface, found[0].metric), (1, "eth0", 0x400));
        assert_eq!(found[0].gateway, Some("fe80::1".parse().expect("an address")));
    }

    #[test]
    fn this_machine_has_a_table() {
        assert!(default_routes().is_ok());
    }

    proptest! {
        #[test]
        fn tables_of_any_kind_are_read(text in "[0-9a-f eth\t\n]{0,400}", at in 0_usize..700, byte in 0_u8..128) {
            of_v4(&text);
            of_v6(&text);
            for table in [V4, V6] {
                let mut bytes = table.as_bytes().to_vec();
                let at = at % bytes.len();
                bytes[at] = byte;
                let text = String::from_utf8(bytes).expect("ASCII");
                prop_assert!(of_v4(&text).len() + of_v6(&text).len() <= 5);
            }
        }
    }
}
