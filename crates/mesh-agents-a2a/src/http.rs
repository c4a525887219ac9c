//! How this program connects to HTTP servers of others: one way to set up a client, so that no
//! caller forgets one of its rules.
//!
//! A client never follows a redirect (a token must not travel to a host nobody named), never reads
//! the environment by itself, and trusts what the operating system trusts. TLS is rustls with ring:
//! no OpenSSL, and nothing global is installed.

use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::Resolve;
use reqwest::{Client, ClientBuilder, NoProxy, Proxy, redirect};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;

/// Longest wait for a connection, TLS included. A server that takes longer is not reachable in any
/// useful sense, and a person is waiting.
pub const CONNECT: Duration = Duration::from_secs(10);
/// An idle connection is kept this long. Short of the 30 s and more after which servers close them,
/// so that a request seldom meets a connection that is being closed.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// Why no client could be set up.
#[derive(Debug, thiserror::Error)]
pub enum HttpSetupError {
    /// The system's certificates could not be loaded.
    #[error(
        "the certificates this system trusts cannot be loaded ({0}); install them (the package is usually called ca-certificates)"
    )]
    Tls(#[source] rustls::Error),
    /// A proxy setting is no URL.
    #[error("{name} holds no usable proxy URL ({reason}); correct or unset it")]
    Proxy {
        /// The variable.
        name: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The HTTP library refused.
    #[error("the HTTP client cannot be set up ({0})")]
    Client(String),
}

/// A client for `http://` URLs: this machine, or a network its owner trusts. Uses no proxy.
///
/// # Errors
/// [`HttpSetupError`], which a caller can only report.
pub fn plain_client() -> Result<Client, HttpSetupError> {
    finish(base(blind()?).no_proxy())
}

/// A client for `https://` URLs. `lookup` answers for `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`
/// (and their lower-case forms), which are honoured as curl does. Reads the system's certificates,
/// so it takes some milliseconds: keep it.
///
/// # Errors
/// [`HttpSetupError`] when certificates or proxy settings are unusable.
pub fn secure_client(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Client, HttpSetupError> {
    let mut builder = base(trusting()?).no_proxy();
    if let Some(proxy) = proxy(lookup)? {
        builder = builder.proxy(proxy);
    }
    finish(builder)
}

/// A client for URLs of others: it connects only to the addresses `resolver` gives for a name, and
/// uses no proxy, which would look up names itself. `secure` is for `https://`, and then it reads the
/// system's certificates.
///
/// # Errors
/// [`HttpSetupError`] when certificates are unusable.
pub(crate) fn screened_client(
    secure: bool,
    resolver: Arc<dyn Resolve>,
) -> Result<Client, HttpSetupError> {
    let tls = if secure { trusting()? } else { blind()? };
    finish(base(tls).no_proxy().dns_resolver(resolver))
}

/// TLS that trusts what the operating system trusts.
fn trusting() -> Result<ClientConfig, HttpSetupError> {
    Ok(tls_builder()?
        .with_platform_verifier()
        .map_err(HttpSetupError::Tls)?
        .with_no_client_auth())
}

/// TLS that trusts nobody, for clients that are not to speak it.
fn blind() -> Result<ClientConfig, HttpSetupError> {
    Ok(tls_builder()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

fn tls_builder()
-> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, HttpSetupError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(HttpSetupError::Tls)
}

fn base(tls: ClientConfig) -> ClientBuilder {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT)
        .pool_idle_timeout(POOL_IDLE)
        .user_agent(concat!("mesh-agents/", env!("CARGO_PKG_VERSION")))
}

fn finish(builder: ClientBuilder) -> Result<Client, HttpSetupError> {
    builder
        .build()
        .map_err(|error| HttpSetupError::Client(error.to_string()))
}

fn proxy(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Option<Proxy>, HttpSetupError> {
    let set = |name: &str| lookup(name).filter(|value| !value.is_empty());
    let mut found = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .filter_map(|name| Some((name, set(name)?)));
    let Some((name, url)) = found.next() else {
        return Ok(None);
    };
    let proxy = Proxy::https(&url).map_err(|error| HttpSetupError::Proxy {
        name,
        reason: error.to_string(),
    })?;
    let except = set("NO_PROXY").or_else(|| set("no_proxy"));
    Ok(Some(proxy.no_proxy(
        except.as_deref().and_then(NoProxy::from_string),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_is_no_url_is_named() {
        let lookup = |name: &str| (name == "https_proxy").then(|| "::nope::".to_owned());
        let error = secure_client(&lookup).unwrap_err();
        assert!(
            error.to_string().starts_with("https_proxy holds"),
            "{error}"
        );
        assert!(proxy(&|_| None).unwrap().is_none());
    }
}
