//! Which addresses a provider may be reached at: asked of the address that is dialled, after its name was looked
//! up, so that a name that means another address a moment later gets no further (CWE-918).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Says of an address whether it may be dialled; why not, and what would allow it.
type Judge = dyn Fn(IpAddr) -> Result<(), String> + Send + Sync;

/// What may be dialled for connectors.
#[derive(Clone)]
pub struct MayDial(Arc<Judge>);

impl fmt::Debug for MayDial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MayDial")
    }
}

/// No address that a host has may be dialled.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotDialled(String);

impl MayDial {
    /// As `judge` says.
    pub fn new(judge: impl Fn(IpAddr) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(judge))
    }

    /// Whether a host that is written as an address may be dialled; a name may until it is looked up.
    pub(crate) fn check_literal(&self, host: &str) -> Result<(), NotDialled> {
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => (self.0)(address).map_err(NotDialled),
            Err(_) => Ok(()),
        }
    }

    /// The addresses of a host that may be dialled, at least one.
    pub(crate) async fn addresses(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let mut refused = None;
        let mut may = Vec::new();
        for address in tokio::net::lookup_host((host, port)).await? {
            match (self.0)(address.ip()) {
                Ok(()) => may.push(address),
                Err(why) => refused = Some(why),
            }
        }
        match refused.filter(|_| may.is_empty()) {
            Some(why) => Err(Box::new(NotDialled(why))),
            None if may.is_empty() => Err("the name has no address".into()),
            None => Ok(may),
        }
    }
}

impl Resolve for MayDial {
    fn resolve(&self, name: Name) -> Resolving {
        let may = self.clone();
        Box::pin(async move {
            let addresses = may.addresses(name.as_str(), 0).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_as_good_as_the_addresses_that_it_has() {
        let may = MayDial::new(|address| match address.is_loopback() {
            true => Err(format!("{address} is this node itself")),
            false => Ok(()),
        });
        let refused = may.addresses("localhost", 80).await.expect_err("refused").to_string();
        assert!(refused.ends_with("is this node itself"), "{refused}");
        assert_eq!(may.addresses("192.0.2.1", 80).await.expect("may").len(), 1);
        assert!(may.check_literal("[::1]").is_err() && may.check_literal("127.0.0.1").is_err());
        assert!(may.check_literal("example.org").is_ok() && may.check_literal("192.0.2.1").is_ok());
        let all = MayDial::new(|_| Ok(()));
        assert!(all.addresses("localhost", 80).await.is_ok());
    }
}
