//! What a push configuration must be, checked before it is stored.

use std::net::Ipv4Addr;

use mesh_agents_core::push::{PushAuthentication, PushConfig};
use mesh_agents_core::refusal::{Code, Refusal};
use url::{Host, Url};

use crate::engine::Inner;
use crate::store::push::NewPush;

/// Longest id of a configuration: it travels in paths.
const ID_BYTES: usize = 128;
/// Longest url: what servers and proxies take in a request line with some room.
const URL_BYTES: usize = 2048;
/// Longest token or credentials: servers refuse a head above 8 KiB, and the token is sent twice.
const SECRET_BYTES: usize = 2048;

/// Checks a configuration, gives it an id if it has none, and finds its receiver.
pub(crate) fn checked(inner: &Inner, mut config: PushConfig) -> Result<NewPush, Refusal> {
    let minted = inner.mint.next(inner.now()).to_string();
    if config.id.is_empty() {
        config.id = format!("push-{minted}");
    }
    check_id(&config.id)?;
    let receiver = receiver(inner, &config.url)?;
    if let Some(token) = &config.token {
        check_value("token", token)?;
    }
    if let Some(authentication) = &config.authentication {
        check_authentication(authentication)?;
    }
    Ok(NewPush {
        config,
        receiver,
        revision: minted,
    })
}

fn wrong(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::InvalidArgument, message)
}

fn check_id(id: &str) -> Result<(), Refusal> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
    if id.len() <= ID_BYTES && id.bytes().all(allowed) {
        return Ok(());
    }
    let shown: String = id.chars().take(ID_BYTES).collect();
    Err(wrong(format!(
        "push id {shown:?} is not the id of a configuration"
    ))
    .hint(format!(
        "Use 1 to {ID_BYTES} of A-Z a-z 0-9 . _ : -, or leave it out to have one minted."
    )))
}

/// Host and port of a url that may be sent to. A host that is an address is screened here; a name
/// when it was looked up.
fn receiver(inner: &Inner, text: &str) -> Result<String, Refusal> {
    const NEXT: &str = "Give an absolute http or https url, such as \"https://hooks.example/a2a\".";
    if text.len() > URL_BYTES {
        return Err(wrong(format!("push url is longer than {URL_BYTES} bytes")).hint(NEXT));
    }
    let url = Url::parse(text)
        .map_err(|error| wrong(format!("push url {text:?} is not a URL: {error}")).hint(NEXT))?;
    if !matches!(url.scheme(), "http" | "https") {
        let scheme = url.scheme();
        return Err(wrong(format!("push url {text:?} has the scheme {scheme:?}")).hint(NEXT));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("push url holds a user name or password").hint(
            "Put credentials into authentication; they are sent as the Authorization header.",
        ));
    }
    let address = match url.host() {
        Some(Host::Ipv4(address)) => Some(address.into()),
        Some(Host::Ipv6(address)) => Some(address.into()),
        // By definition this machine (RFC 6761): said now, not after three tries.
        Some(Host::Domain(name)) if is_localhost(name) => Some(Ipv4Addr::LOCALHOST.into()),
        Some(Host::Domain(_)) => None,
        None => return Err(wrong(format!("push url {text:?} has no host")).hint(NEXT)),
    };
    let host = url.host_str().unwrap_or_default();
    if let Some(address) = address {
        let screened = inner.push.targets().screen(host, address);
        screened.map_err(|forbidden| wrong(format!("push url {text:?}: {forbidden}")))?;
    }
    let port = url.port_or_known_default().unwrap_or_default();
    Ok(format!("{host}:{port}"))
}

fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

fn check_authentication(authentication: &PushAuthentication) -> Result<(), Refusal> {
    let scheme = &authentication.scheme;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if scheme.is_empty() || scheme.len() > 64 || !scheme.bytes().all(allowed) {
        let shown: String = scheme.chars().take(80).collect();
        return Err(wrong(format!(
            "push authentication scheme {shown:?} is not an HTTP scheme"
        ))
        .hint("Name one, such as \"Bearer\" or \"Basic\", and put the rest into credentials."));
    }
    match &authentication.credentials {
        Some(credentials) => check_value("credentials", credentials),
        None => Ok(()),
    }
}

/// What goes into a header: no line breaks, which would start another header. Never shown.
fn check_value(what: &str, value: &str) -> Result<(), Refusal> {
    let fits = value.len() <= SECRET_BYTES && value.bytes().all(|b| (0x20..0x7f).contains(&b));
    if fits {
        return Ok(());
    }
    Err(
        wrong(format!("push {what} cannot be sent as a header")).hint(format!(
            "Use at most {SECRET_BYTES} printable ASCII characters on one line."
        )),
    )
}
