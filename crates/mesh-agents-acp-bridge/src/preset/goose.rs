//! Goose (acp.md §4, verified with 1.34.0): configured by environment alone.

use mesh_agents_core::agent::{Approval, ConfigSource};
use mesh_agents_core::task::Failure;

use super::{CONTEXT_TOKENS, Configured, Harness, Setup, XDG_CONFIG, XDG_DATA, XDG_STATE, pairs};
use crate::plan::{McpSupport, no_text};

pub(super) const HARNESS: Harness = Harness {
    command: "goose",
    args: &["acp"],
    install: "install it with `npm install -g @aaif/goose`, or set runtime.command to its path",
    uses_model: true,
    helpers: &[],
    mcp: McpSupport::Http,
    ignore_text: no_text,
    configure,
};

fn configure(setup: &Setup<'_>) -> Result<Configured, Failure> {
    let mut configured = match setup.config() {
        ConfigSource::Mesh => Configured {
            env: mesh_env(setup)?,
            ..Configured::default()
        },
        ConfigSource::User => {
            let mut configured = setup.owner_xdg("goose", &[XDG_CONFIG, XDG_DATA, XDG_STATE])?;
            let model = setup.named_model();
            let model = model.map(|model| ("GOOSE_MODEL".to_owned(), model.to_owned()));
            configured.env.extend(model);
            configured
        }
    };
    // It has no grants by path: it asks for everything or for nothing. What it may reach is the
    // confinement's business.
    let mode = match setup.ctx.spec.agent.policy.approval {
        Approval::Deny | Approval::Auto => "auto",
        Approval::Ask | Approval::AutoEdit => "approve",
    };
    configured.env.extend(pairs(&[("GOOSE_MODE", mode)]));
    Ok(configured)
}

fn mesh_env(setup: &Setup<'_>) -> Result<Vec<(String, String)>, Failure> {
    let (url, model) = setup.mesh_model()?;
    let (host, path) = split_host(url);
    let mut env = pairs(&[
        ("GOOSE_PROVIDER", "openai"),
        ("GOOSE_MODEL", model),
        ("GOOSE_CONTEXT_LIMIT", &CONTEXT_TOKENS.to_string()),
        ("OPENAI_HOST", host),
        ("OPENAI_API_KEY", "none"),
        ("GOOSE_DISABLE_KEYRING", "1"),
        ("GOOSE_TELEMETRY_OFF", "1"),
    ]);
    if path != "v1" {
        let path = format!("{path}/chat/completions");
        let path = path.trim_start_matches('/');
        env.extend(pairs(&[("OPENAI_BASE_PATH", path)]));
    }
    Ok(env)
}

/// Scheme and authority, and the path without its slashes. Goose joins its own path to a host.
fn split_host(url: &str) -> (&str, &str) {
    let authority = url.find("://").map_or(0, |scheme| scheme + 3);
    match url[authority..].find('/') {
        Some(slash) => {
            let (host, path) = url.split_at(authority + slash);
            (host, path.trim_matches('/'))
        }
        None => (url, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::split_host;

    #[test]
    fn the_host_is_what_stands_before_the_path() {
        for (url, host, path) in [
            ("http://127.0.0.1:9337/v1", "http://127.0.0.1:9337", "v1"),
            ("http://h/a/v1", "http://h", "a/v1"),
            ("http://h:1", "http://h:1", ""),
        ] {
            assert_eq!(split_host(url), (host, path), "{url}");
        }
    }
}
