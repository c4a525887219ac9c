//! The endpoint of a remote agent: what `supportedInterfaces` must offer when it is the target.

use mesh_agents_core::endpoint;
use serde_json::value::RawValue;

use super::object::{Node, Object};
use super::objects;
use crate::code;
use crate::report::Report;

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
    let Some(card) = Object::read(&root, text) else {
        return;
    };
    let interfaces = objects(&card, "supportedInterfaces", text);
    let called = interfaces.iter().find(|interface| {
        interface
            .string("protocolBinding")
            .is_some_and(|binding| BINDINGS.contains(&binding.as_str()))
    });
    let Some(called) = called else {
        report.error(
            code::ENDPOINT,
            card.place("supportedInterfaces"),
            "supportedInterfaces",
            "names no interface a remote agent can be called over",
            "add one with protocolBinding \"JSONRPC\" or \"HTTP+JSON\"; the remote agent's own card lists them",
        );
        return;
    };
    if let Some(url) = called.string("url") {
        check_url(called, &url, bearer_env, report);
    }
}

fn check_url(interface: &Object<'_>, url: &str, bearer_env: Option<&str>, report: &mut Report<'_>) {
    let (place, path) = (interface.place("url"), interface.path_of("url"));
    // With TLS it is the same address, but for one that has a port of its own.
    let secure = url
        .strip_prefix("http://")
        .map(|rest| format!("\"https://{rest}\""))
        .zip(place.clone());
    let told = match (endpoint::parse(url), bearer_env) {
        (Err(error), _) => report.error(
            code::ENDPOINT,
            place,
            &path,
            error.to_string(),
            "write the address of the remote agent, such as \"https://agents.example.com/a2a/agents/review\"",
        ),
        (Ok(endpoint), Some(name)) if !endpoint.is_private() => report.error(
            code::ENDPOINT,
            place,
            &path,
            format!("would send the token of {name} to another machine unencrypted"),
            "write https://, or remove auth.bearer_env from runtime.toml",
        ),
        (Ok(endpoint), None) if !endpoint.is_private() => report.warning(
            code::ENDPOINT,
            place,
            &path,
            "is another machine without TLS: whoever is in between can read and change what is sent",
            "write https:// where the remote agent offers it",
        ),
        (Ok(_), _) => return,
    };
    if let Some((text, place)) = secure {
        told.replace(place, text);
    }
}
