//! What is private on a node never leaves it.

use std::path::PathBuf;

use mesh_agents_core::agent::WorkspaceMode;
use mesh_agents_core::json::JsonText;
use mesh_agents_mesh::{Known, MeshCard};

use super::support::*;

const CANARY: &str = "canary-5f1c";

#[test]
fn nothing_of_the_runtime_the_brief_or_the_environment_is_in_card_advert_or_reason() {
    let canary = || CANARY.to_owned();
    let mut agent = advertised("a");
    agent.dir = PathBuf::from("/home").join(CANARY);
    agent.runtime.command = Some(canary());
    agent.runtime.args = Some(vec![canary()]);
    agent.runtime.model = canary();
    agent.runtime.inherit_env = vec![canary()];
    agent.runtime.env = vec![(canary(), canary())];
    agent.workspace.mode = WorkspaceMode::Path(canary());
    agent.instructions.file = PathBuf::from(CANARY);
    agent.instructions.text = canary();
    agent.require = vec![CANARY.parse().unwrap()];
    agent.bearer_env = Some(canary());
    agent.policy.read = vec![PathBuf::from(CANARY)];
    agent.policy.write = vec![PathBuf::from(CANARY)];
    agent.digest = canary();
    // The card is public, but not where a remote agent behind it is, nor how one logs in there.
    let card = r#"{"supportedInterfaces": [{"url": "https://CANARY.example/", "protocolBinding": "JSONRPC"}],
        "securitySchemes": {"CANARY": {"httpAuthSecurityScheme": {"scheme": "CANARY"}}},
        "securityRequirements": [{"schemes": {"CANARY": {}}}],
        "signatures": [{"protected": "CANARY", "signature": "CANARY"}],
        "skills": [{"id": "s", "name": "S", "description": "d", "tags": ["t"],
                    "securityRequirements": [{"schemes": {"CANARY": {}}}], "x": "CANARY"}],
        "capabilities": {"x": "CANARY"}, "x-notes": "CANARY", "description": "unchecked CANARY"}"#;
    agent.card.json = JsonText::parse(&card.replace("CANARY", CANARY)).unwrap();

    let card = MeshCard::sign(&agent, &secret(1)).unwrap();
    assert!(!card.json().as_str().contains(CANARY), "{:?}", card.json());
    let mut other = Other::new(1, &[]);
    other.agents = vec![agent.clone()];
    other.publish(START);
    let advert = String::from_utf8(other.answer(Known::default(), START)).unwrap();
    assert!(advert.contains(r#""id":"a""#), "{advert}");
    assert!(!advert.contains(CANARY), "{advert}");

    // An agent that stays leaves no trace but the reason, which is for its owner.
    agent.policy.filesystem_explicit = false;
    let standing = other.standing();
    let published = other
        .bulletin
        .publish(&standing, [&agent], &other.secret, START.wall);
    assert!(published.changed);
    assert!(!format!("{published:?}").contains(CANARY));
    let advert = String::from_utf8(other.answer(Known::default(), START)).unwrap();
    assert!(advert.contains(r#""agents":[]"#), "{advert}");
}
