//! Where a node serves HTTP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, bail};
use tokio::net::TcpListener;

/// Ports tried after a taken one.
const NEXT_PORTS: u16 = 50;

/// Where a node serves HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listen {
    /// The address.
    pub(crate) address: SocketAddr,
    /// Whether a later port will do when this one is taken.
    pub(crate) or_next: bool,
}

impl Listen {
    /// `serve`: people type this address, so no other will do.
    pub(crate) const SERVE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3131);
    /// The engine beside a mesh-llm host, whose own console may have 3131.
    pub(crate) const ENGINE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3132);

    /// Opens the listener.
    pub(super) async fn bind(self) -> Result<TcpListener> {
        let last = if self.or_next { NEXT_PORTS } else { 0 };
        let mut address = self.address;
        for step in 0..=last {
            address.set_port(self.address.port().saturating_add(step));
            match TcpListener::bind(address).await {
                Ok(listener) => return Ok(listener),
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot listen on {address}"));
                }
            }
        }
        if self.or_next {
            bail!(
                "ports {} to {} are all taken; set listen in a2a/agents.toml",
                self.address.port(),
                address.port()
            );
        }
        bail!(
            "{address} is taken, perhaps by a mesh-llm console or another node\nChoose another port: --listen {}:{} (0 takes a free one)",
            address.ip(),
            address.port().wrapping_add(1)
        );
    }
}

/// The address by which this machine itself reaches a listener.
pub(super) fn loopback(bound: SocketAddr) -> SocketAddr {
    let mut address = bound;
    if bound.ip().is_unspecified() {
        address.set_ip(match bound.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_named_or_stepped_over() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let refused = Listen {
            address,
            or_next: false,
        }
        .bind()
        .await
        .unwrap_err();
        let text = format!("{refused:#}");
        assert!(
            text.contains(&address.to_string()) && text.contains("--listen"),
            "{text}"
        );
        let other = Listen {
            address,
            or_next: true,
        }
        .bind()
        .await
        .unwrap();
        assert_ne!(other.local_addr().unwrap(), address);
    }
}
