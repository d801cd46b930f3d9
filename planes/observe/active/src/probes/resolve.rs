//! Names to addresses, by the system's resolver, with a bound on the look-ups under way.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::left;
use crate::Family;
use crate::budget::LeftOut;
use crate::outcome::{Outcome, elapsed_ms};
use crate::runner::why_text;

/// Most look-ups at once, those included that nobody waits for any more.
const MAX_LOOKUPS: usize = 32;
/// A name whose look-up takes longer is a slow one, until one of it is faster.
const SLOW: Duration = Duration::from_secs(2);
/// Most slow names that are remembered.
const MAX_SLOW: usize = 10_000;

type LookUp = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Looks names up. The system's call cannot be ended: with servers that are silent it takes far
/// longer than a probe, so that without a bound every probe of a name would leave a thread behind.
/// The threads are our own: those of the runtime serve the whole node, and a stop waits for them. Names that were slow
/// before have half of the places at most, so that a zone whose servers are silent holds up no other.
pub(crate) struct Resolver {
    look_up: Arc<LookUp>,
    slots: Arc<Semaphore>,
    slow_slots: Arc<Semaphore>,
    slow: Arc<Mutex<HashSet<String>>>,
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
            slow_slots: Arc::new(Semaphore::new((slots / 2).max(1))),
            slow: Arc::default(),
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
        let Some((slot, slow_slot)) = self.place(bare, until).await else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            outcome.left_out = Some(LeftOut::LookUps);
            return Err(format!(
                "the name {bare} was not looked up: {}",
                why_text(LeftOut::LookUps)
            ));
        };
        let (found, ms) = self.addresses(bare, until, (slot, slow_slot)).await?;
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

    /// A place for a look-up of `name`; none if there was none in time.
    async fn place(&self, name: &str, until: Instant) -> Option<Place> {
        let is_slow = lock(&self.slow).contains(name);
        let place = async {
            let slow = match is_slow {
                true => Some(Arc::clone(&self.slow_slots).acquire_owned().await.ok()?),
                false => None,
            };
            Some((Arc::clone(&self.slots).acquire_owned().await.ok()?, slow))
        };
        tokio::time::timeout(left(until), place).await.ok().flatten()
    }

    /// The addresses of a name, and how many milliseconds the look-up took.
    async fn addresses(
        &self,
        name: &str,
        until: Instant,
        place: Place,
    ) -> Result<(Vec<IpAddr>, f64), String> {
        let begin = Instant::now();
        let (answer, answered) = oneshot::channel();
        let (look_up, asked) = (Arc::clone(&self.look_up), name.to_owned());
        let slow = Arc::clone(&self.slow);
        std::thread::Builder::new()
            .name("active-lookup".into())
            .spawn(move || {
                let found = look_up(&asked);
                remember(&slow, asked, begin.elapsed() > SLOW);
                drop(place);
                // Nobody may wait for it any more.
                let _ = answer.send((found, elapsed_ms(begin)));
            })
            .map_err(|error| format!("the name {name} was not looked up: no thread: {error}"))?;
        let (found, ms) = tokio::time::timeout(left(until), answered)
            .await
            .map_err(|_| {
                remember(&self.slow, name.to_owned(), true);
                format!("the name {name} was not resolved in time")
            })?
            .map_err(|_| format!("the name {name} is not resolved: the look-up broke off"))?;
        let found = found.map_err(|error| format!("the name {name} is not resolved: {error}"))?;
        Ok((found, ms))
    }
}

/// What a look-up holds while it is under way.
type Place = (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>);

fn lock(slow: &Mutex<HashSet<String>>) -> MutexGuard<'_, HashSet<String>> {
    slow.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remember(slow: &Mutex<HashSet<String>>, name: String, is_slow: bool) {
    let mut slow = lock(slow);
    if !is_slow {
        slow.remove(&name);
    } else if slow.len() < MAX_SLOW {
        slow.insert(name);
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
    use std::sync::Condvar;
    use std::sync::atomic::AtomicUsize;

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
    async fn names_that_are_slow_leave_room_for_others() {
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let open = Arc::clone(&gate);
        // Two places for the first look-ups of the dead ones, three for their later ones, and one.
        let resolver = Resolver::new(6, move |name: &str| {
            if name.starts_with("dead") {
                let shut = open.0.lock().expect("whole");
                drop(open.1.wait_while(shut, |open| !*open).expect("whole"));
            }
            Ok(vec![IpAddr::from([192, 0, 2, 1])])
        });
        let short = Duration::from_millis(20);
        for n in 0..8 {
            assert!(resolve(&resolver, &format!("dead{}.example", n % 2), short).await.is_err());
            let limit = Duration::from_secs(20);
            assert!(resolve(&resolver, "shop.example", limit).await.is_ok());
        }
        assert_eq!(resolver.refused(), 3, "those that had no place");
        let mut outcome = Outcome::default();
        let until = Instant::now() + short;
        let late = resolver.resolve("dead0.example", Family::Any, until, "d", &mut outcome).await;
        assert!(late.is_err() && outcome.left_out == Some(LeftOut::LookUps), "no failure of it");
        *gate.0.lock().expect("whole") = true;
        gate.1.notify_all();
        let limit = Duration::from_secs(20);
        assert!(resolve(&resolver, "dead0.example", limit).await.is_ok());
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
