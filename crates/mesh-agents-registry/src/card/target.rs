//! The endpoint of a remote agent: what `supportedInterfaces` must offer when it is the target.

use mesh_agents_core::endpoint;
use serde_json::value::RawValue;

use super::object::{Node, Object};
use crate::problem::Report;

/// The bindings remote agents are called over.
const BINDINGS: [&str; 2] = ["JSONRPC", "HTTP+JSON"];

/// Checks the card of a remote agent, which was read without a mistake before: one interface must
/// be of a kind that is called, and the first such one is. `bearer_env` names the token's variable.
pub(crate) fn check_target(text: &str, bearer_env: Option<&str>, report: &mut Report<'_>) {
    let Ok(raw) = serde_json::from_str::<&RawValue>(text) else {
        return;
    };
    let root = Node {
        raw,
        path: String::new(),
    };
    let Some(card) = Object::read(&root, text, report) else {
        return;
    };
    let interfaces = card
        .objects("supportedInterfaces", report)
        .unwrap_or_default();
    let called = interfaces.iter().find(|interface| {
        interface
            .line("protocolBinding", report)
            .is_some_and(|binding| BINDINGS.contains(&binding.as_str()))
    });
    let Some(called) = called else {
        report.error(
            card.place("supportedInterfaces"),
            "supportedInterfaces",
            "names no interface a remote agent can be called over",
            "add one with protocolBinding \"JSONRPC\" or \"HTTP+JSON\"; the remote agent's own card lists them",
        );
        return;
    };
    if let Some(url) = called.line("url", report) {
        check_url(called, &url, bearer_env, report);
    }
}

fn check_url(interface: &Object<'_>, url: &str, bearer_env: Option<&str>, report: &mut Report<'_>) {
    let (place, path) = (interface.place("url"), interface.path_of("url"));
    match (endpoint::parse(url), bearer_env) {
        (Err(error), _) => report.error(
            place,
            &path,
            error.to_string(),
            "write the address of the remote agent, such as \"https://agents.example.com/a2a/agents/review\"",
        ),
        (Ok(endpoint), Some(name)) if !endpoint.is_private() => report.error(
            place,
            &path,
            format!("would send the token of {name} to another machine unencrypted"),
            "write https://, or remove auth.bearer_env from runtime.toml",
        ),
        (Ok(endpoint), None) if !endpoint.is_private() => report.warning(
            place,
            &path,
            "is another machine without TLS: whoever is in between can read and change what is sent",
            "write https:// where the remote agent offers it",
        ),
        (Ok(_), _) => {}
    }
}
