//! Names to addresses, by the system's resolver, with a bound on the look-ups under way.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::{Semaphore, oneshot};

use super::left;
use crate::Family;
use crate::outcome::{Outcome, elapsed_ms};

/// Most look-ups at once, those included that nobody waits for any more.
const MAX_LOOKUPS: usize = 32;

type LookUp = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Looks names up. The system's call cannot be ended: with servers that are silent it takes far
/// longer than a probe, so that without a bound every probe of a name would leave a thread behind.
/// The threads are our own: those of the runtime serve the whole node, and a stop waits for them.
pub(crate) struct Resolver {
    look_up: Arc<LookUp>,
    slots: Arc<Semaphore>,
    refused: AtomicU64,
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new(MAX_LOOKUPS, |name: &str| {
            Ok((name, 0_u16).to_socket_addrs()?.map(|address| address.ip()).collect())
        })
    }
}

impl Resolver {
    fn new(
        slots: usize,
        look_up: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            look_up: Arc::new(look_up),
            slots: Arc::new(Semaphore::new(slots)),
            refused: AtomicU64::new(0),
        }
    }

    /// Look-ups that could not begin in their probe's time: too many were under way.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The address of `host`. A name's look-up time goes into `dns_column`.
    pub(super) async fn resolve(
        &self,
        host: &str,
        family: Family,
        until: Instant,
        dns_column: &'static str,
        outcome: &mut Outcome,
    ) -> Result<IpAddr, String> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let fits = |ip: &IpAddr| match family {
            Family::Any => true,
            Family::V4 => ip.is_ipv4(),
            Family::V6 => ip.is_ipv6(),
        };
        // An IPv4 address in IPv6 form, as a dual-stack socket tells a peer's, is one of IPv4.
        if let Ok(ip) = bare.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
            if !fits(&ip) {
                return Err(format!("{ip} is not of the address family that the target asks for"));
            }
            outcome.address = Some(ip);
            return Ok(ip);
        }
        let (found, ms) = self.addresses(bare, until).await?;
        outcome.metric(dns_column, ms);
        let mut found: Vec<IpAddr> = found.into_iter().map(|ip| ip.to_canonical()).collect();
        let ip = found
            .iter()
            .copied()
            .find(fits)
            .ok_or_else(|| format!("the name {bare} has no address of the wanted family"))?;
        outcome.address = Some(ip);
        found.retain(|other| other.is_ipv4() == ip.is_ipv4() && *other != ip);
        // A name of several addresses is a way to several things.
        if found.is_empty() && !ip.is_loopback() {
            outcome.name = Some(bare.to_lowercase());
        }
        Ok(ip)
    }

    /// The addresses of a name, and how many milliseconds the look-up took.
    async fn addresses(&self, name: &str, until: Instant) -> Result<(Vec<IpAddr>, f64), String> {
        let waiting = Arc::clone(&self.slots).acquire_owned();
        let Ok(Ok(slot)) = tokio::time::timeout(left(until), waiting).await else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(format!(
                "the name {name} was not looked up: too many look-ups are under way, the system's name servers are slow or silent"
            ));
        };
        let begin = Instant::now();
        let (answer, answered) = oneshot::channel();
        let (look_up, asked) = (Arc::clone(&self.look_up), name.to_owned());
        std::thread::Builder::new()
            .name("active-lookup".into())
            .spawn(move || {
                let found = look_up(&asked);
                drop(slot);
                // Nobody may wait for it any more.
                let _ = answer.send((found, elapsed_ms(begin)));
            })
            .map_err(|error| format!("the name {name} was not looked up: no thread: {error}"))?;
        let (found, ms) = tokio::time::timeout(left(until), answered)
            .await
            .map_err(|_| format!("the name {name} was not resolved in time"))?
            .map_err(|_| format!("the name {name} is not resolved: the look-up broke off"))?;
        let found = found.map_err(|error| format!("the name {name} is not resolved: {error}"))?;
        Ok((found, ms))
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("slots", &self.slots).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::sync::{Condvar, Mutex};
    use std::time::Duration;

    #[tokio::test]
    async fn a_name_of_one_address_is_another_name_of_it() {
        let found = |addresses: &'static [[u8; 4]]| async move {
            let all = move |_: &str| Ok(addresses.iter().copied().map(IpAddr::from).collect());
            let mut outcome = Outcome::default();
            let until = Instant::now() + Duration::from_secs(5);
            let resolver = Resolver::new(1, all);
            let asked = resolver.resolve("Shop.example", Family::Any, until, "d", &mut outcome);
            asked.await.expect("it resolves");
            outcome.name
        };
        assert_eq!(found(&[[192, 0, 2, 1], [192, 0, 2, 1]]).await.as_deref(), Some("shop.example"));
        assert_eq!(found(&[[192, 0, 2, 1], [192, 0, 2, 2]]).await, None, "a way to two hosts");
        assert_eq!(found(&[[127, 0, 0, 1]]).await, None, "every host's own");
    }

    async fn resolve(resolver: &Resolver, host: &str, limit: Duration) -> Result<IpAddr, String> {
        let mut outcome = Outcome::default();
        let until = Instant::now() + limit;
        resolver.resolve(host, Family::Any, until, "tcp.dns_ms", &mut outcome).await
    }

    #[tokio::test]
    async fn silent_name_servers_hold_no_more_threads_than_there_are_slots() {
        let (begun, gate) =
            (Arc::new(AtomicUsize::new(0)), Arc::new((Mutex::new(false), Condvar::new())));
        let (counted, open) = (Arc::clone(&begun), Arc::clone(&gate));
        let resolver = Resolver::new(2, move |_: &str| {
            counted.fetch_add(1, Ordering::SeqCst);
            let shut = open.0.lock().expect("whole");
            drop(open.1.wait_while(shut, |open| !*open).expect("whole"));
            Ok(vec![IpAddr::from([192, 0, 2, 1])])
        });
        for _ in 0..6 {
            let limit = Duration::from_millis(20);
            assert!(resolve(&resolver, "shop.example", limit).await.is_err());
        }
        assert_eq!((begun.load(Ordering::SeqCst), resolver.refused()), (2, 4));
        *gate.0.lock().expect("whole") = true;
        gate.1.notify_all();
        let limit = Duration::from_secs(20);
        assert_eq!(resolve(&resolver, "shop.example", limit).await, Ok([192, 0, 2, 1].into()));
    }

    #[tokio::test]
    async fn names_are_timed_and_addresses_are_taken_as_they_are() {
        let resolver = Resolver::default();
        let mut outcome = Outcome::default();
        let until = Instant::now() + Duration::from_secs(20);
        let found =
            resolver.resolve("localhost", Family::Any, until, "tcp.dns_ms", &mut outcome).await;
        assert!(found.expect("known").is_loopback());
        assert!(matches!(outcome.metrics[..], [("tcp.dns_ms", ms)] if ms > 0.0));
        let limit = Duration::from_secs(2);
        assert_eq!(resolve(&resolver, "[::1]", limit).await, Ok("::1".parse().expect("valid")));
        let mapped = resolve(&resolver, "::ffff:192.0.2.1", limit).await;
        assert_eq!(mapped, Ok([192, 0, 2, 1].into()), "one host has one name");
    }
}
