//! Agent Cards: whatever is in one, it loads and can be served as JSON, or its owner is told why.

use arbitrary::{Result, Unstructured};
use mesh_agents_a2a::card::{AccessTokens, Place, served};
use mesh_agents_registry::{CARD_FILE, Environment, RUNTIME_FILE, load};

use super::super::grammar;

const SAMPLES: &[&str] = &[
    include_str!("../../../../../examples/pr-review/agent-card.json"),
    include_str!("../../../../../examples/test-runner/agent-card.json"),
];
const WORDS: &[&str] = &[
    "name",
    "description",
    "version",
    "supportedInterfaces",
    "url",
    "protocolBinding",
    "JSONRPC",
    "HTTP+JSON",
    "protocolVersion",
    "1.0",
    "capabilities",
    "streaming",
    "pushNotifications",
    "extensions",
    "uri",
    "required",
    "params",
    "skills",
    "id",
    "tags",
    "examples",
    "defaultInputModes",
    "text/plain",
    "defaultOutputModes",
    "provider",
    "organization",
    "securitySchemes",
    "securityRequirements",
    "schemes",
    "list",
    "signatures",
    "protected",
    "signature",
    "header",
    "iconUrl",
    "documentationUrl",
    "https://example.com/",
];

pub(crate) fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let Ok(text) = input(&mut u) else { return };
    let dir = tempfile::tempdir().unwrap();
    let agent = dir.path().join("a");
    std::fs::create_dir(&agent).unwrap();
    std::fs::write(agent.join(CARD_FILE), &text).unwrap();
    std::fs::write(
        agent.join(RUNTIME_FILE),
        "[runtime]\ntype = \"acp\"\ncommand = \"/bin/sh\"\n",
    )
    .unwrap();
    std::fs::write(agent.join("instructions.md"), "Be kind.").unwrap();
    let snapshot = load(dir.path(), &Environment::default());

    let errors = snapshot
        .problems
        .iter()
        .filter(|one| one.is_error())
        .count();
    assert_eq!(
        snapshot.agents.is_empty(),
        errors > 0,
        "loaded or told, one of both: {text}"
    );
    let place = Place {
        base: "http://127.0.0.1:3131".into(),
        tokens: AccessTokens::Some,
        seal: None,
    };
    for agent in snapshot.agents.values() {
        let card = served(agent, &place).expect("what loads is served");
        let card: serde_json::Value = serde_json::from_str(card.as_str()).expect("as JSON");
        assert_eq!(card["name"], agent.card.name.as_str());
        let url = card["supportedInterfaces"][0]["url"]
            .as_str()
            .expect("with an address");
        assert!(
            url.starts_with("http://127.0.0.1:3131/a2a/agents/a"),
            "{url}"
        );
        // What we serve is a card to the official types too.
        let typed: Result<a2a::AgentCard, _> = serde_json::from_value(card.clone());
        typed.unwrap_or_else(|error| panic!("the served card is none: {error}\n{card}"));
    }
}

fn input(u: &mut Unstructured<'_>) -> arbitrary::Result<String> {
    if u.ratio(2, 3)? {
        return grammar::sample_gone_wrong(u, SAMPLES);
    }
    grammar::json(u, WORDS)
}
