//! Diamonds within and across each other: two layers of routers.

use super::network::{Lab, run};

impl Lab {
    /// Two layers of routers between `a` and `b`: each of the first leads to some of the second. IPv4 only.
    /// What comes back takes the first of its ways, so that a router answers from one address.
    pub(crate) fn layers(first: &[(&str, &[&str])]) -> Result<Self, String> {
        let mut lab = Self::new();
        let mut second: Vec<&str> =
            first.iter().flat_map(|(_, leads)| leads.iter().copied()).collect();
        second.sort_unstable();
        second.dedup();
        let between = first.iter().map(|(name, _)| *name).chain(second.iter().copied());
        for name in ["s", "a", "b", "d"].into_iter().chain(between) {
            lab.add(name, false)?;
        }
        lab.link("s", "a", "10.1.0", "fd00:1")?;
        lab.link("b", "d", "10.3.0", "fd00:3")?;
        lab.routes("s", "route add default via 10.1.0.2\n")?;
        lab.routes("d", "route add default via 10.3.0.1\n")?;
        let mut links = 0;
        let mut link = |lab: &Self, one: &str, other: &str| {
            links += 1;
            lab.link(one, other, &format!("10.20.{links}"), &format!("fd00:20:{links:x}"))?;
            Ok::<_, String>(links)
        };
        let mut forth_of_a = String::new();
        for (name, _) in first {
            let at = link(&lab, "a", name)?;
            forth_of_a.push_str(&format!(" nexthop via 10.20.{at}.2"));
            lab.routes(name, &format!("route add 10.1.0.0/24 via 10.20.{at}.1\n"))?;
        }
        lab.routes("a", &format!("route add 10.3.0.0/24{forth_of_a}\n"))?;
        // All namespaces hash with one seed: routers behind each other would agree on every flow. These take
        // the source port alone.
        for (name, _) in first {
            let script = "cd /proc/sys/net/ipv4; echo 3 >fib_multipath_hash_policy; echo 16 >fib_multipath_hash_fields";
            run(&["ip", "netns", "exec", &lab.of(name), "sh", "-c", script], "")?;
        }
        let mut has_back = std::collections::BTreeSet::new();
        for (name, leads) in first {
            let mut forth = String::new();
            for lead in *leads {
                let at = link(&lab, name, lead)?;
                forth.push_str(&format!(" nexthop via 10.20.{at}.2"));
                if has_back.insert(*lead) {
                    lab.routes(lead, &format!("route add 10.1.0.0/24 via 10.20.{at}.1\n"))?;
                }
            }
            lab.routes(name, &format!("route add 10.3.0.0/24{forth}\n"))?;
        }
        for (index, name) in second.iter().enumerate() {
            let at = link(&lab, name, "b")?;
            lab.routes(name, &format!("route add 10.3.0.0/24 via 10.20.{at}.2\n"))?;
            if index == 0 {
                lab.routes("b", &format!("route add 10.1.0.0/24 via 10.20.{at}.1\n"))?;
            }
        }
        Ok(lab)
    }
}
