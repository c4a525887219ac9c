//! A push configuration as callers write it. Where its URL leads is checked when it is stored and
//! again when it is called; here it is only checked that it can be written into a request.

use mesh_agents_core::push::{PushAuthentication, PushConfig};
use serde::Deserialize;

use super::Check;

/// Longest id of a configuration.
const ID_CHARS: usize = 256;
/// Longest URL: what common proxies take.
const URL_BYTES: usize = 4 * 1024;
/// Longest token and credentials: a header line that servers take.
const SECRET_BYTES: usize = 4 * 1024;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, expecting = "an object")]
pub(super) struct WirePushConfig {
    pub(super) tenant: Option<String>,
    id: Option<String>,
    #[serde(alias = "task_id")]
    pub(super) task_id: Option<String>,
    url: Option<String>,
    token: Option<String>,
    authentication: Option<WireAuthentication>,
}

#[derive(Deserialize, Default)]
#[serde(default, expecting = "an object")]
struct WireAuthentication {
    scheme: Option<String>,
    credentials: Option<String>,
}

impl WirePushConfig {
    /// The configuration, if nothing is wrong with it. Its id is empty when the caller gave none.
    pub(super) fn check(self, check: &mut Check, at: &str) -> Option<PushConfig> {
        let field = |name: &str| match at {
            "" => name.to_owned(),
            at => format!("{at}.{name}"),
        };
        let url = self.url.unwrap_or_default();
        let web = ["http://", "https://"].iter().any(|scheme| {
            url.get(..scheme.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        });
        let plain = url.bytes().all(|byte| byte.is_ascii_graphic());
        if url.is_empty() {
            check.wrong(field("url"), "is required");
        } else if !web || !plain || url.len() > URL_BYTES {
            check.wrong(
                field("url"),
                format!("must be an http or https URL of at most {URL_BYTES} bytes"),
            );
        }
        let id = self.id.unwrap_or_default();
        if id.chars().count() > ID_CHARS || id.chars().any(|c| c.is_control() || c == '/') {
            check.wrong(
                field("id"),
                format!("may be {ID_CHARS} characters without slashes and control characters"),
            );
        }
        let token = self.token.filter(|token| !token.is_empty());
        secret(check, &field("token"), token.as_deref());
        let authentication = self.authentication.map(|wire| {
            let scheme = wire.scheme.unwrap_or_default();
            if scheme.is_empty() || !scheme.bytes().all(is_token_byte) {
                check.wrong(
                    field("authentication.scheme"),
                    "is required: the name of an HTTP authentication scheme, such as Bearer",
                );
            }
            let credentials = wire.credentials.filter(|text| !text.is_empty());
            secret(
                check,
                &field("authentication.credentials"),
                credentials.as_deref(),
            );
            PushAuthentication {
                scheme,
                credentials,
            }
        });
        Some(PushConfig {
            id,
            url,
            token,
            authentication,
        })
    }
}

/// A value that goes into a header line.
fn secret(check: &mut Check, field: &str, value: Option<&str>) {
    let fits = |text: &str| {
        text.len() <= SECRET_BYTES && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
    };
    if value.is_some_and(|text| !fits(text)) {
        check.wrong(
            field,
            format!("may be {SECRET_BYTES} printable ASCII characters"),
        );
    }
}

/// The characters of a token in HTTP (RFC 9110 §5.6.2).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
