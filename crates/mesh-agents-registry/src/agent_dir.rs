//! One agent directory, read and checked as a whole.

use std::path::{Component, Path, PathBuf};

use mesh_agents_core::agent::{AgentDefinition, Instructions, RuntimeKind};
use mesh_agents_core::ids::AgentId;
use mesh_agents_core::limits::CARD_BYTES;
use toml::de::DeTable;

use crate::Environment;
use crate::card;
use crate::files::{
    CARD_FILE, DEFAULT_INSTRUCTIONS_FILE, INSTRUCTIONS_BYTES, RUNTIME_BYTES, RUNTIME_FILE, digest,
    read_text,
};
use crate::problem::{Problem, Report, Severity};
use crate::runtime_toml::{self, RuntimeFile};
use crate::toml_reader::At;
use crate::validate::{self, Settings, Surroundings};

/// What one reading of a directory gave.
#[derive(Debug, PartialEq)]
pub(crate) struct Reading {
    /// The agent, unless a problem is an error.
    pub(crate) definition: Option<AgentDefinition>,
    /// What `enabled` says, even when something else is wrong: switching off must always work.
    pub(crate) enabled: Option<bool>,
    /// Everything found wrong.
    pub(crate) problems: Vec<Problem>,
    /// The file the instructions are in, as far as that could be read.
    pub(crate) instructions_file: PathBuf,
    /// `runtime.type` is `remote`.
    remote: bool,
    /// None of an agent's files is there: what was there before is gone, not broken.
    pub(crate) gone: bool,
}

/// Reads the agent `id` in `dir`, an absolute path.
pub(crate) fn read(id: &AgentId, dir: &Path, environment: &Environment) -> Reading {
    let mut reading = Reading {
        definition: None,
        enabled: None,
        problems: Vec::new(),
        instructions_file: dir.join(DEFAULT_INSTRUCTIONS_FILE),
        remote: false,
        gone: is_no_agent(dir),
    };
    if reading.gone {
        reading.problems.push(no_agent(id, dir));
        return reading;
    }
    let (card_text, card) = read_card(id, dir, &mut reading);
    let name = card.as_ref().map(|card| card.name.as_str());
    let (runtime_text, settings) = read_runtime(id, dir, name, environment, &mut reading);
    let instructions_text = if reading.remote {
        // What a remote agent is told, its owner tells it.
        Some(String::new())
    } else {
        read_instructions(id, dir, &mut reading)
    };
    if reading.remote && card.is_some() {
        let bearer = settings.as_ref().and_then(|one| one.bearer_env.as_deref());
        check_target(id, dir, &card_text, bearer, &mut reading);
    }
    if reading.problems.iter().any(Problem::is_error) {
        return reading;
    }
    let (Some(card), Some(settings), Some(text)) = (card, settings, instructions_text) else {
        return reading;
    };
    reading.definition = Some(AgentDefinition {
        id: id.clone(),
        dir: dir.to_owned(),
        digest: digest([&card_text, &runtime_text, &text]),
        enabled: settings.enabled,
        visibility: settings.visibility,
        card,
        runtime: settings.runtime,
        workspace: settings.workspace,
        instructions: Instructions {
            file: reading.instructions_file.clone(),
            text,
            delivery: settings.delivery,
        },
        tools_mesh: settings.tools_mesh,
        require: settings.require,
        bearer_env: settings.bearer_env,
        policy: settings.policy,
    });
    reading
}

fn is_no_agent(dir: &Path) -> bool {
    [CARD_FILE, RUNTIME_FILE, DEFAULT_INSTRUCTIONS_FILE]
        .iter()
        .all(|file| match std::fs::symlink_metadata(dir.join(file)) {
            Ok(_) => false,
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        })
}

fn no_agent(id: &AgentId, dir: &Path) -> Problem {
    Problem {
        agent: Some(id.to_string()),
        file: dir.to_owned(),
        line: None,
        column: None,
        key: None,
        reason: format!("holds no {CARD_FILE}, {RUNTIME_FILE} or {DEFAULT_INSTRUCTIONS_FILE}"),
        fix: Some(format!(
            "remove it and run `mesh-llm agents init {id}`; a directory that is no agent may start with a dot"
        )),
        severity: Severity::Error,
    }
}

fn read_card(
    id: &AgentId,
    dir: &Path,
    reading: &mut Reading,
) -> (String, Option<mesh_agents_core::agent::AgentCard>) {
    let file = dir.join(CARD_FILE);
    let missing = "write an A2A 1.0 Agent Card; `mesh-llm agents init example` shows one";
    let mut report = Report::new(id.as_str(), &file, "");
    let text = read_text(&file, CARD_BYTES, missing, &mut report);
    reading.problems.append(&mut report.into_problems());
    let Some(text) = text else {
        return (String::new(), None);
    };
    let mut report = Report::new(id.as_str(), &file, &text);
    let card = card::read(&text, &mut report);
    reading.problems.append(&mut report.into_problems());
    (text, card)
}

/// The endpoint that the card of a remote agent names.
fn check_target(
    id: &AgentId,
    dir: &Path,
    card_text: &str,
    bearer_env: Option<&str>,
    reading: &mut Reading,
) {
    let file = dir.join(CARD_FILE);
    let mut report = Report::new(id.as_str(), &file, card_text);
    card::check_target(card_text, bearer_env, &mut report);
    reading.problems.append(&mut report.into_problems());
}

fn read_runtime(
    id: &AgentId,
    dir: &Path,
    card_name: Option<&str>,
    environment: &Environment,
    reading: &mut Reading,
) -> (String, Option<Settings>) {
    let file = dir.join(RUNTIME_FILE);
    let missing = "write at least [runtime] with `type`; `mesh-llm agents init example` shows one";
    let mut report = Report::new(id.as_str(), &file, "");
    let text = read_text(&file, RUNTIME_BYTES, missing, &mut report);
    reading.problems.append(&mut report.into_problems());
    let Some(text) = text else {
        return (String::new(), None);
    };
    let mut report = Report::new(id.as_str(), &file, &text);
    let (table, errors) = DeTable::parse_recoverable(&text);
    for error in &errors {
        report.error(
            error.span(),
            "",
            format!("is not TOML: {}", error.message()),
            "write tables as [name], keys as name = value, texts in double quotes",
        );
    }
    let mut settings = None;
    // What is left of a file that is not TOML would be blamed for what the parser lost.
    if errors.is_empty() {
        let written = runtime_toml::read(table.get_ref(), &mut report);
        reading.enabled = written.enabled;
        reading.remote = written.runtime.kind == Some(RuntimeKind::Remote);
        if let Some(name) = instructions_name(&written, &mut report) {
            reading.instructions_file = dir.join(name);
        }
        let instructions = reading.instructions_file.clone();
        let known = |name: &str| known_variable(name, id, dir, card_name, &instructions);
        let around = Surroundings {
            environment,
            known: &known,
        };
        settings = validate::settings(written, around, &mut report);
    }
    reading.problems.append(&mut report.into_problems());
    (text, settings)
}

/// What a template variable stands for as far as the agent's files decide it.
fn known_variable(
    name: &str,
    id: &AgentId,
    dir: &Path,
    card_name: Option<&str>,
    instructions: &Path,
) -> Option<String> {
    let text = |path: &Path| path.to_str().map(str::to_owned);
    match name {
        "agent.id" => Some(id.to_string()),
        "agent.name" => card_name.map(str::to_owned),
        "agent.dir" => text(dir),
        "agent.card_path" => text(&dir.join(CARD_FILE)),
        "agent.runtime_path" => text(&dir.join(RUNTIME_FILE)),
        "instructions.file" => text(instructions),
        "instructions.dir" => instructions.parent().and_then(text),
        _ => None,
    }
}

/// `instructions.file`, when it names something below the agent's directory.
fn instructions_name(file: &RuntimeFile<'_>, report: &mut Report<'_>) -> Option<PathBuf> {
    let At { value, span } = file.instructions_file.as_ref()?;
    let path = PathBuf::from(value);
    let stays = path
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !stays || value.contains('\0') {
        report.error(
            Some(span.clone()),
            "instructions.file",
            format!("{value:?} leaves the agent's directory"),
            "name a file inside it, such as \"instructions.md\"",
        );
        return None;
    }
    Some(path)
}

fn read_instructions(id: &AgentId, dir: &Path, reading: &mut Reading) -> Option<String> {
    let file = reading.instructions_file.clone();
    let mut report = Report::new(id.as_str(), &file, "");
    let missing = "write the brief there: what the agent is to do, in your own words";
    let mut text = read_text(&file, INSTRUCTIONS_BYTES, missing, &mut report);
    if text.as_ref().is_some_and(|text| text.trim().is_empty()) {
        report.error(None, "", "is empty", missing);
    }
    if text.is_some() && leaves(dir, &file) {
        report.error(
            None,
            "",
            "is a link that leaves the agent's directory",
            "copy the file in; the directory as a whole may be a link",
        );
        text = None;
    }
    reading.problems.append(&mut report.into_problems());
    text
}

fn leaves(dir: &Path, file: &Path) -> bool {
    match (dir.canonicalize(), file.canonicalize()) {
        (Ok(dir), Ok(file)) => !file.starts_with(dir),
        _ => true,
    }
}
