//! The resolvers of DNS of this machine, from `/etc/resolv.conf` (resolv.conf(5)).

use std::net::IpAddr;

/// Most resolvers that are looked at; the C library takes three.
pub const MAX_RESOLVERS: usize = 8;
const MAX_FILE_BYTES: u64 = 65_536;

/// The resolvers in the order in which they are asked.
///
/// # Errors
/// Why the file cannot be read.
pub fn resolvers() -> Result<Vec<IpAddr>, String> {
    use std::io::Read;
    let path = "/etc/resolv.conf";
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text))
        .map_err(|error| format!("{path} cannot be read: {error}"))?;
    Ok(read(&text))
}

fn read(text: &str) -> Vec<IpAddr> {
    let named = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and(words.next())?;
        // The scope of a link-local address names an interface.
        address.split('%').next()?.parse().ok()
    });
    let mut found: Vec<IpAddr> = Vec::new();
    for address in named {
        if found.len() < MAX_RESOLVERS && !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_found_in_their_order_and_once() {
        let text = "# nameserver 192.0.2.1\nsearch example\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\n\
                    nameserver 127.0.0.53\nnameserver nowhere\nnameserver\noptions edns0\n";
        let found: Vec<String> = read(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["127.0.0.53", "fe80::1"]);
        let many: String = (0..99).map(|n| format!("nameserver 192.0.2.{n}\n")).collect();
        assert_eq!(read(&many).len(), MAX_RESOLVERS);
    }
}
