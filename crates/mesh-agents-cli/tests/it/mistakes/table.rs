//! What people get wrong in an agent's files: each a small change of a template.

use super::Mistake;
use super::Seed::{Directory, Edit, Gone, Mode};

const CARD: &str = "agent-card.json";
const RUNTIME: &str = "runtime.toml";
const BRIEF: &str = "instructions.md";

/// A change of `runtime.toml` of the template pr-review.
const fn runtime(
    name: &'static str,
    from: &'static str,
    to: &'static str,
    at: &'static str,
    code: &'static str,
    schema_sees: bool,
) -> Mistake {
    Mistake {
        name,
        template: "pr-review",
        file: RUNTIME,
        seed: Edit(from, to),
        at,
        code,
        schema_sees,
    }
}

/// A change of its card.
const fn card(
    name: &'static str,
    from: &'static str,
    to: &'static str,
    at: &'static str,
    code: &'static str,
    schema_sees: bool,
) -> Mistake {
    Mistake {
        file: CARD,
        ..runtime(name, from, to, at, code, schema_sees)
    }
}

/// A change of its brief, which no schema sees.
const fn brief(
    name: &'static str,
    from: &'static str,
    to: &'static str,
    at: &'static str,
    code: &'static str,
) -> Mistake {
    Mistake {
        file: BRIEF,
        ..runtime(name, from, to, at, code, false)
    }
}

/// The same in the template test-runner.
const fn of_command(mistake: Mistake) -> Mistake {
    Mistake {
        template: "test-runner",
        ..mistake
    }
}

const WORKSPACE: &str = "mode = \"temp_per_task\"";
const LIMIT: &str = "max_task_seconds = 1800";
const ENV: &str = "\n[runtime.workspace]";
const INTERFACES: &str = r#"  "supportedInterfaces": [
    {
      "url": "http://127.0.0.1:3131/a2a/agents/pr-review",
      "protocolBinding": "JSONRPC",
      "protocolVersion": "1.0"
    }
  ],
"#;
const OLD_INTERFACE: &str = r#"  "url": "http://127.0.0.1:3131/a2a/agents/pr-review",
  "preferredTransport": "JSONRPC",
"#;

/// All of them.
pub(super) const MISTAKES: &[Mistake] = &[
    // Keys.
    runtime(
        "a typo in a key",
        "max_concurrent",
        "max_concurent",
        "max_concurent",
        "unknown_key",
        true,
    ),
    runtime(
        "a key in the wrong table",
        "[runtime.workspace]",
        "idle_seconds = 300\n\n[runtime.workspace]",
        "idle_seconds",
        "unknown_key",
        true,
    ),
    runtime(
        "a key of the top of the file in a table",
        "model = \"auto\"",
        "model = \"auto\"\nvisibility = \"private\"",
        "visibility",
        "unknown_key",
        true,
    ),
    runtime(
        "a table without its parent",
        "[runtime.workspace]",
        "[workspace]",
        "[workspace]",
        "unknown_key",
        true,
    ),
    runtime(
        "a limit in minutes",
        LIMIT,
        "max_task_minutes = 30",
        "max_task_minutes",
        "unknown_key",
        true,
    ),
    runtime(
        "a key written twice",
        "model = \"auto\"",
        "model = \"auto\"\nmodel = \"auto\"\n",
        "model = ",
        "duplicate",
        false,
    ),
    // Values.
    runtime(
        "a type there is not",
        "type = \"opencode\"",
        "type = \"open-code\"",
        "open-code",
        "unknown_value",
        true,
    ),
    runtime(
        "a number in quotes",
        "max_concurrent_tasks = 1",
        "max_concurrent_tasks = \"1\"",
        "max_concurrent_tasks",
        "wrong_type",
        true,
    ),
    runtime(
        "yes for true",
        "enabled = true",
        "enabled = \"yes\"",
        "enabled",
        "wrong_type",
        true,
    ),
    runtime(
        "a time with its unit",
        LIMIT,
        "max_task_seconds = \"30m\"",
        "max_task_seconds",
        "wrong_type",
        true,
    ),
    runtime(
        "arguments as one text",
        "config = \"mesh\"",
        "config = \"mesh\"\nargs = \"acp\"",
        "args",
        "wrong_type",
        true,
    ),
    runtime(
        "no task at once",
        "max_concurrent_tasks = 1",
        "max_concurrent_tasks = 0",
        "max_concurrent_tasks",
        "out_of_range",
        true,
    ),
    runtime(
        "an empty model",
        "model = \"auto\"",
        "model = \"\"",
        "model = ",
        "empty",
        true,
    ),
    runtime(
        "a template for a model",
        "model = \"auto\"",
        "model = \"{{ mesh.model }}\"",
        "model = ",
        "template",
        true,
    ),
    // Syntax.
    runtime(
        "a text without quotes",
        "type = \"opencode\"",
        "type = opencode",
        "type =",
        "syntax",
        false,
    ),
    runtime(
        "a table without its bracket",
        "[runtime]",
        "[runtime",
        "[runtime",
        "syntax",
        false,
    ),
    runtime(
        "a colon for an equals sign",
        "config = \"mesh\"",
        "config: mesh",
        "config:",
        "syntax",
        false,
    ),
    runtime(
        "quotes that are not closed",
        "config = \"mesh\"",
        "config = \"mesh",
        "config =",
        "syntax",
        false,
    ),
    // Templates and variables.
    runtime(
        "a typo in a variable",
        ENV,
        "[runtime.env]\nWHERE = \"{{ task.workspce }}\"\n\n[runtime.workspace]",
        "WHERE",
        "template",
        false,
    ),
    runtime(
        "a variable only the run has",
        ENV,
        "[runtime.env]\nOUT = \"$TASK_ARTIFACTS_DIR/x\"\n\n[runtime.workspace]",
        "OUT",
        "unset_variable",
        false,
    ),
    runtime(
        "a variable handed on that is not set",
        ENV,
        "[runtime.env]\nGITLAB_TOKEN = \"$GITLAB_TOKEN\"\n\n[runtime.workspace]",
        "GITLAB_TOKEN",
        "unset_variable",
        false,
    ),
    runtime(
        "a dollar before a name",
        "[\"GH_TOKEN\"]",
        "[\"$GH_TOKEN\"]",
        "inherit_env",
        "name",
        true,
    ),
    runtime(
        "a secret in plain text",
        ENV,
        "[runtime.env]\nGH_TOKEN = \"ghp_0123456789abcdef\"\n\n[runtime.workspace]",
        "GH_TOKEN = ",
        "plain_secret",
        false,
    ),
    // Paths.
    runtime(
        "an absolute artifact",
        "\"findings.json\"]",
        "\"/findings.json\"]",
        "require = ",
        "name",
        true,
    ),
    runtime(
        "a brief outside of the directory",
        "[result]",
        "[instructions]\nfile = \"../instructions.md\"\n\n[result]",
        "file = ",
        "path",
        false,
    ),
    runtime(
        "a path that is not absolute",
        LIMIT,
        "max_task_seconds = 1800\nread = [\"src\"]",
        "read = ",
        "path",
        true,
    ),
    runtime(
        "a home written as a tilde",
        WORKSPACE,
        "mode = \"path\"\npath = \"~\"",
        "path = ",
        "path",
        false,
    ),
    runtime(
        "a mode without its path",
        WORKSPACE,
        "mode = \"path\"",
        "mode = ",
        "missing",
        true,
    ),
    of_command(runtime(
        "a script of another name",
        "/run.sh",
        "/runs.sh",
        "args = ",
        "not_found",
        false,
    )),
    // What does not go together, or does nothing.
    runtime(
        "a model without a network",
        LIMIT,
        "max_task_seconds = 1800\nnetwork = \"deny\"",
        "network = ",
        "conflict",
        false,
    ),
    of_command(runtime(
        "a command that is to ask",
        "[policy]",
        "[policy]\napproval = \"ask\"",
        "approval",
        "conflict",
        false,
    )),
    of_command(runtime(
        "no command",
        "command = \"sh\"\n",
        "",
        "type = ",
        "missing",
        true,
    )),
    runtime(
        "flags OpenCode has not",
        "config = \"mesh\"",
        "config = \"mesh\"\nargs = [\"acp\", \"--mcp\", \"x\", \"--instructions\", \"y\"]",
        "args = ",
        "harness_args",
        false,
    ),
    runtime(
        "OpenCode without acp",
        "config = \"mesh\"",
        "config = \"mesh\"\nargs = [\"--pure\"]",
        "args = ",
        "harness_args",
        false,
    ),
    runtime(
        "a command line as a command",
        "config = \"mesh\"",
        "config = \"mesh\"\ncommand = \"opencode acp\"",
        "command = ",
        "harness_args",
        false,
    ),
    runtime(
        "a pause longer than the task",
        LIMIT,
        "max_task_seconds = 1800\nidle_seconds = 3600",
        "idle_seconds",
        "limit",
        false,
    ),
    runtime(
        "advertised and nobody lets it",
        LIMIT,
        "max_task_seconds = 1800\nadvertise_on_mesh = true",
        "advertise_on_mesh",
        "nobody_calls",
        false,
    ),
    runtime(
        "for a public mesh and not advertised",
        LIMIT,
        "max_task_seconds = 1800\npublic_mesh = true",
        "public_mesh",
        "no_effect",
        false,
    ),
    // The card.
    card(
        "a comma before the end",
        "\"version\": \"0.1.0\",",
        "\"version\": \"0.1.0\",\n  \"iconUrl\": \"http://127.0.0.1/i.png\",,",
        "iconUrl",
        "syntax",
        false,
    ),
    card(
        "a trailing comma",
        "\"protocolVersion\": \"1.0\"",
        "\"protocolVersion\": \"1.0\",",
        "\"protocolVersion\"",
        "syntax",
        false,
    ),
    card(
        "no comma",
        "\"version\": \"0.1.0\",",
        "\"version\": \"0.1.0\"",
        "\"version\"",
        "syntax",
        false,
    ),
    card(
        "a comment",
        "\"version\": \"0.1.0\",",
        "\"version\": \"0.1.0\", // mine",
        "// mine",
        "syntax",
        false,
    ),
    card(
        "quotes of another kind",
        "\"JSONRPC\"",
        "'JSONRPC'",
        "'JSONRPC'",
        "syntax",
        false,
    ),
    card(
        "no version",
        "  \"version\": \"0.1.0\",\n",
        "",
        "{",
        "missing",
        true,
    ),
    card(
        "a typo in a field",
        "\"defaultInputModes\"",
        "\"defaultInputMode\"",
        "\"defaultInputMode\"",
        "missing",
        true,
    ),
    card(
        "a typo in what is optional",
        "\"streaming\"",
        "\"streeming\"",
        "streeming",
        "unknown_field",
        false,
    ),
    card(
        "a schema of its own",
        "  \"version\"",
        "  \"$schema\": \"x.json\",\n  \"version\"",
        "$schema",
        "unknown_field",
        false,
    ),
    card(
        "an empty name",
        "\"name\": \"PR Review\"",
        "\"name\": \"\"",
        "\"name\": \"\"",
        "empty",
        true,
    ),
    card(
        "tags as one text",
        "[\"review\", \"pull-request\", \"code\", \"security\"]",
        "\"review\"",
        "\"tags\"",
        "wrong_type",
        true,
    ),
    card(
        "true as a text",
        "\"streaming\": true",
        "\"streaming\": \"true\"",
        "streaming",
        "wrong_type",
        true,
    ),
    card(
        "the interface as A2A 0.3 has it",
        INTERFACES,
        OLD_INTERFACE,
        "\"url\"",
        "old_a2a",
        true,
    ),
    card(
        "the version of A2A 0.3",
        "\"protocolVersion\": \"1.0\"",
        "\"protocolVersion\": \"0.3.0\"",
        "\"protocolVersion\"",
        "old_a2a",
        true,
    ),
    card(
        "a transport as A2A 0.3 has it",
        "\"protocolBinding\"",
        "\"transport\"",
        "\"transport\"",
        "old_a2a",
        true,
    ),
    card(
        "a binding there is not",
        "\"JSONRPC\"",
        "\"JSON-RPC\"",
        "JSON-RPC",
        "unknown_value",
        false,
    ),
    card(
        "a field written twice",
        "  \"version\": \"0.1.0\",",
        "  \"version\": \"0.1.0\",\n  \"name\": \"PR Review\",",
        "\"name\": \"PR Review\"",
        "duplicate",
        false,
    ),
    card(
        "the address of another agent",
        "/a2a/agents/pr-review",
        "/a2a/agents/reviewer",
        "/a2a/agents/reviewer",
        "unused_url",
        false,
    ),
    // The brief.
    brief(
        "a template in the brief",
        "`findings.json`:",
        "`{{ task.artifacts_dir }}/findings.json`:",
        "{{ task",
        "not_expanded",
    ),
    Mistake {
        file: RUNTIME,
        ..brief(
            "an artifact the brief is silent of",
            "",
            "",
            "require = ",
            "unsaid_artifact",
        )
    },
    Mistake {
        seed: Gone,
        ..brief("no brief", "", "", "", "not_found")
    },
    // The files.
    Mistake {
        seed: Mode(0o666),
        ..runtime(
            "a policy everybody can write",
            "",
            "",
            "",
            "permissions",
            false,
        )
    },
    Mistake {
        file: "",
        seed: Directory("pr review"),
        ..runtime("a name that is no id", "", "", "", "name", false)
    },
];
