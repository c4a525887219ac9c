//! `runtime.toml` with its templates: whatever is in it, the agent loads or its owner is told why.

use arbitrary::{Result, Unstructured};
use mesh_agents_core::template::Template;
use mesh_agents_registry::{Environment, RUNTIME_FILE, Severity, load};

use super::super::grammar;

const SAMPLES: &[&str] = &[
    include_str!("../../../../../examples/pr-review/runtime.toml"),
    include_str!("../../../../../examples/test-runner/runtime.toml"),
    "enabled = true\n[runtime]\ntype = \"acp\"\ncommand = \"sh\"\nargs = [\"{{ agent.dir }}\", \"$HOME\", \"${HOME}\", \"$$\"]\n\
     [runtime.env]\nA = \"{{ env.HOME }} {{ mesh.mcp_url }}\"\n[runtime.queue]\nmode = \"queue\"\nmax_pending_tasks = 16\n\
     [runtime.workspace]\nmode = \"path\"\npath = \"$HOME\"\n[policy]\nread = [\"/usr\"]\nmax_task_seconds = 3600\n",
];
const WORDS: &[&str] = &[
    "enabled",
    "visibility",
    "private",
    "public",
    "runtime",
    "type",
    "opencode",
    "goose",
    "pi",
    "acp",
    "command",
    "remote",
    "args",
    "model",
    "auto",
    "config",
    "mesh",
    "user",
    "max_concurrent_tasks",
    "inherit_env",
    "on_interrupt",
    "fail",
    "retry",
    "max_attempts",
    "session",
    "per_task",
    "per_context",
    "env",
    "queue",
    "mode",
    "reject",
    "max_pending_tasks",
    "workspace",
    "temp_per_task",
    "path",
    "agent_dir",
    "none",
    "keep",
    "never",
    "always",
    "instructions",
    "file",
    "delivery",
    "first_prompt",
    "tools",
    "result",
    "require",
    "findings.json",
    "auth",
    "bearer_env",
    "policy",
    "approval",
    "deny",
    "ask",
    "filesystem",
    "read_all",
    "unconfined",
    "read",
    "write",
    "network",
    "allow",
    "loopback",
    "max_task_seconds",
    "idle_seconds",
    "ask_seconds",
];

pub(crate) fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    // Bytes that run out end an input early; that is no finding.
    let Ok(text) = input(&mut u) else { return };
    templates(&text);
    let dir = tempfile::tempdir().unwrap();
    let agent = dir.path().join("a");
    std::fs::create_dir(&agent).unwrap();
    std::fs::write(agent.join(RUNTIME_FILE), &text).unwrap();
    let card = include_str!("../../../../../examples/pr-review/agent-card.json");
    std::fs::write(agent.join("agent-card.json"), card).unwrap();
    std::fs::write(agent.join("instructions.md"), "Be kind.").unwrap();
    let home = ("HOME".to_owned(), "/home/u".to_owned());
    let snapshot = load(dir.path(), &Environment::new([home]));

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
    for problem in &snapshot.problems {
        assert!(problem.file.starts_with(dir.path()), "{problem}");
        assert!(!problem.reason.trim().is_empty(), "{problem:?}");
        let lines = u32::try_from(text.lines().count()).unwrap() + 1;
        if problem.file.ends_with(RUNTIME_FILE) {
            assert!(
                problem.line.is_none_or(|line| (1..=lines).contains(&line)),
                "{problem}"
            );
        }
        assert!(problem.severity == Severity::Warning || problem.to_string().contains("a"));
    }
}

/// What parses expands to something without a template in it, once every variable has a value.
fn templates(text: &str) {
    for line in text.lines() {
        let Ok(template) = Template::parse(line) else {
            continue;
        };
        let expanded = template.expand(&|_| Some("value".to_owned()));
        let expanded = expanded.expect("every variable has a value");
        assert!(
            line.contains('$') || line.contains("{{") || expanded == line,
            "{line:?}"
        );
    }
}

fn input(u: &mut Unstructured<'_>) -> Result<String> {
    if u.ratio(2, 3)? {
        return grammar::sample_gone_wrong(u, SAMPLES);
    }
    let mut text = String::new();
    while !u.is_empty() {
        if u.ratio(1, 3)? {
            text.push_str(&format!(
                "[{}.{}]\n",
                grammar::text(u, WORDS)?,
                grammar::text(u, WORDS)?
            ));
        }
        let key = grammar::text(u, WORDS)?;
        text.push_str(&format!("{key} = {}\n", grammar::json(u, WORDS)?));
    }
    Ok(text)
}
