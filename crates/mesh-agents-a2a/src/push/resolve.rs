//! Names of receivers, looked up once and screened: the connection goes to exactly the addresses
//! that passed, so a name that changes its answer between a check and a connection gains nothing.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use mesh_agents_core::push::{Forbidden, PushTargets};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// How a name becomes addresses.
pub trait Lookup: Send + Sync + fmt::Debug {
    /// All addresses of `host`.
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The operating system's way.
#[derive(Debug, Clone, Copy)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        }
        .boxed()
    }
}

/// A name that leads to no address we may send to. The address is not in the message: a caller must
/// not learn from us what the names of the owner's network stand for.
#[derive(Debug, thiserror::Error)]
#[error(
    "the name {host} leads to {}, and notifications go to public addresses only; \
     the owner of this node can allow it by push_allow in a2a/agents.toml",
    .first.kind
)]
pub(super) struct Screened {
    host: String,
    first: Forbidden,
}

/// A name without any address.
#[derive(Debug, thiserror::Error)]
#[error("the name {0} has no address")]
struct NoAddress(String);

/// Looks up and screens.
#[derive(Debug)]
pub(super) struct ScreenedResolver {
    targets: Arc<PushTargets>,
    lookup: Arc<dyn Lookup>,
}

impl ScreenedResolver {
    pub(super) fn new(targets: Arc<PushTargets>, lookup: Arc<dyn Lookup>) -> Self {
        Self { targets, lookup }
    }
}

impl Resolve for ScreenedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let (targets, found) = (Arc::clone(&self.targets), self.lookup.lookup(host.clone()));
        Box::pin(async move {
            let addresses = screen(&targets, &host, found.await?)?;
            // The port is the url's; the connector fills it in.
            let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

/// Those of the addresses that may be sent to. A name may have others too: a machine's private
/// address beside its public one is common, and they are simply not used.
fn screen(
    targets: &PushTargets,
    host: &str,
    found: Vec<IpAddr>,
) -> Result<Vec<IpAddr>, Box<dyn std::error::Error + Send + Sync>> {
    let mut refused = None;
    let mut passed = Vec::new();
    for address in found {
        match targets.screen(host, address) {
            Ok(()) => passed.push(address),
            Err(forbidden) => refused = refused.or(Some(forbidden)),
        }
    }
    match refused {
        Some(first) if passed.is_empty() => Err(Box::new(Screened {
            host: host.to_owned(),
            first,
        })),
        None if passed.is_empty() => Err(Box::new(NoAddress(host.to_owned()))),
        _ => Ok(passed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_pass_are_connected_to() {
        let pass = |entries: &[&str], found: &[&str]| {
            let targets = PushTargets::read(entries.iter().copied()).unwrap();
            let found = found.iter().map(|ip| ip.parse().unwrap()).collect();
            match screen(&targets, "hooks.example", found) {
                Ok(passed) => passed.iter().map(ToString::to_string).collect(),
                Err(error) => vec![error.to_string()],
            }
        };
        assert_eq!(pass(&[], &["8.8.8.8", "127.0.0.1"]), ["8.8.8.8"]);
        assert_eq!(pass(&["127.0.0.1"], &["127.0.0.1"]), ["127.0.0.1"]);
        assert_eq!(pass(&[], &[]), ["the name hooks.example has no address"]);
        let [refused] = pass(&[], &["10.0.0.1", "::1"]).try_into().unwrap();
        assert!(refused.contains("hooks.example"), "{refused}");
        assert!(refused.contains("leads to a private address"), "{refused}");
        assert!(!refused.contains("10.0.0.1"), "{refused}");
        assert!(refused.contains("push_allow"), "{refused}");
    }
}
