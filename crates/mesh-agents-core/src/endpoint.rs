//! The URL a remote agent is called at, checked: the registry checks it when the agent is loaded,
//! and the runner again before a token goes out.

use std::net::IpAddr;

/// What matters of such a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `https`, not `http`.
    pub tls: bool,
    /// The host, lower case, without brackets and port.
    pub host: String,
}

/// Why a URL cannot be the endpoint of a remote agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Another scheme, or none.
    #[error("the URL must start with https:// or http://")]
    Scheme,
    /// No host.
    #[error("the URL names no host")]
    Host,
    /// A name or password before the host.
    #[error(
        "the URL holds a user name or password; name a variable with a token in [auth] bearer_env"
    )]
    UserInfo,
    /// A query or fragment.
    #[error("the URL holds a query or a fragment; an A2A endpoint is a plain address")]
    Query,
    /// The port is no number from 1 to 65535.
    #[error("the port of the URL is not a number from 1 to 65535")]
    Port,
    /// White space, control characters, backslashes or non-ASCII characters.
    #[error("the URL holds a character no URL may; encode it as %XX")]
    Character,
}

impl Endpoint {
    /// Whether it is this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self
                .host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }

    /// Whether nobody in between can read what is sent: TLS, or this machine itself.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.tls || self.is_loopback()
    }
}

/// Checks the URL of a remote agent.
///
/// # Errors
/// What is wrong with it; the first rule it breaks.
pub fn parse(url: &str) -> Result<Endpoint, EndpointError> {
    if !url.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
        return Err(EndpointError::Character);
    }
    let (scheme, rest) = url.split_once("://").ok_or(EndpointError::Scheme)?;
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "https" => true,
        "http" => false,
        _ => return Err(EndpointError::Scheme),
    };
    if rest.contains(['?', '#']) {
        return Err(EndpointError::Query);
    }
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Err(EndpointError::UserInfo);
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(inner) => {
            let (host, after) = inner.split_once(']').ok_or(EndpointError::Host)?;
            host.parse::<std::net::Ipv6Addr>()
                .map_err(|_| EndpointError::Host)?;
            let port = match after.strip_prefix(':') {
                Some(port) => Some(port),
                None if after.is_empty() => None,
                None => return Err(EndpointError::Host),
            };
            (host, port)
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() {
        return Err(EndpointError::Host);
    }
    // An empty port (`http://host:/`) means the default one.
    if let Some(port) = port.filter(|port| !port.is_empty())
        && (!port.bytes().all(|b| b.is_ascii_digit()) || !matches!(port.parse::<u16>(), Ok(1..)))
    {
        return Err(EndpointError::Port);
    }
    Ok(Endpoint {
        tls,
        host: host.to_ascii_lowercase(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_can_listen_in_is_told_apart() {
        for (url, loopback, private) in [
            ("http://127.0.0.1:3131/a2a/agents/x", true, true),
            ("http://[::1]:80/", true, true),
            ("HTTP://LocalHost", true, true),
            ("http://localhost.evil.example/", false, false),
            ("http://127.0.0.1.evil.example/", false, false),
            ("http://192.168.1.4:8080/", false, false),
            ("https://agents.example/review", false, true),
        ] {
            let endpoint = parse(url).unwrap();
            assert_eq!(
                (endpoint.is_loopback(), endpoint.is_private()),
                (loopback, private),
                "{url}"
            );
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_its_rule() {
        use EndpointError::{Character, Host, Port, Query, Scheme, UserInfo};
        for (url, rule) in [
            ("agents.example:50051", Scheme),
            ("mesh://did:key:x/a", Scheme),
            ("file:///etc/passwd", Scheme),
            ("http:///x", Host),
            ("http://[::1", Host),
            ("http://[::1]x/", Host),
            ("https://me:secret@agents.example/", UserInfo),
            ("http://127.0.0.1@evil.example/", UserInfo),
            ("https://agents.example/?token=x", Query),
            ("https://agents.example/#x", Query),
            ("http://agents.example:99999/", Port),
            ("http://agents.example:0/", Port),
            ("http://agents.example:+80/", Port),
            ("http://evil.example\\@127.0.0.1/", Character),
            ("http://agents.example/ x", Character),
        ] {
            assert_eq!(parse(url), Err(rule), "{url}");
        }
    }
}
