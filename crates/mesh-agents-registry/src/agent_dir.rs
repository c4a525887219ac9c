//! One agent directory, read and checked as a whole.

use std::path::{Component, Path, PathBuf};

use mesh_agents_core::agent::{AgentCard, AgentDefinition, Instructions, RuntimeKind};
use mesh_agents_core::ids::AgentId;
use mesh_agents_core::limits::CARD_BYTES;
use toml::de::DeTable;

use crate::Environment;
use crate::card;
use crate::code;
use crate::files::{
    CARD_FILE, DEFAULT_INSTRUCTIONS_FILE, INSTRUCTIONS_BYTES, RUNTIME_BYTES, RUNTIME_FILE, digest,
    read_text,
};
use crate::lint;
use crate::patched::Patched;
use crate::problem::{Action, Problem, Severity};
use crate::report::Report;
use crate::runtime_toml::{self, RuntimeFile};
use crate::scaffold;
use crate::slips;
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
    read_as(id, dir, environment, Care::Loads)
}

/// Reads it as [`read`] does, and tells too what is legal and probably not meant.
pub(crate) fn read_thoroughly(id: &AgentId, dir: &Path, environment: &Environment) -> Reading {
    read_as(id, dir, environment, Care::IsMeant)
}

/// What is asked of an agent's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Care {
    /// Whether they give an agent.
    Loads,
    /// Whether they say what their owner meant, besides.
    IsMeant,
}

fn read_as(id: &AgentId, dir: &Path, environment: &Environment, care: Care) -> Reading {
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
    let of = Files {
        id,
        dir,
        environment,
        care,
    };
    let (card_text, card) = of.card(&mut reading);
    let name = card.as_ref().map(|card| card.name.as_str());
    let (runtime_text, settings) = of.runtime(name, &mut reading);
    let instructions_text = if reading.remote {
        // What a remote agent is told, its owner tells it.
        Some(String::new())
    } else {
        of.instructions(&mut reading)
    };
    if reading.remote && card.is_some() {
        let bearer = settings.as_ref().and_then(|one| one.bearer_env.as_deref());
        of.target(&card_text, bearer, &mut reading);
    }
    if care == Care::IsMeant {
        let brief = instructions_text.as_deref();
        of.meant(&card_text, &runtime_text, brief, &mut reading);
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
    Problem::new(
        Severity::Error,
        code::NOT_FOUND,
        Some(id.as_str()),
        dir.to_owned(),
        format!("holds no {CARD_FILE}, {RUNTIME_FILE} or {DEFAULT_INSTRUCTIONS_FILE}"),
        format!(
            "remove it and run `mesh-llm agents init {id}`; the name of a directory that is not an agent may begin with a dot"
        ),
    )
}

/// The files of one agent, and what they are read against.
#[derive(Clone, Copy)]
struct Files<'a> {
    id: &'a AgentId,
    dir: &'a Path,
    environment: &'a Environment,
    care: Care,
}

impl Files<'_> {
    /// A whole file; `None` when it cannot be read, reported. `template` is what to write when it
    /// is not there.
    fn text(
        &self,
        file: &Path,
        limit: usize,
        missing: &str,
        template: impl Fn() -> String,
        reading: &mut Reading,
    ) -> Option<String> {
        let nothing = Patched::new("");
        let mut report = Report::new(self.id.as_str(), file, &nothing);
        let text = read_text(file, limit, missing, &mut report);
        let mut problems = report.into_problems();
        for problem in &mut problems {
            if problem.code == code::NOT_FOUND {
                problem.actions.push(Action::Create {
                    file: file.to_owned(),
                    text: template(),
                });
            }
        }
        reading.problems.append(&mut problems);
        text
    }

    fn card(&self, reading: &mut Reading) -> (String, Option<AgentCard>) {
        let file = self.dir.join(CARD_FILE);
        let missing = "write an A2A 1.0 Agent Card; `mesh-llm agents init example` shows one";
        let template = || scaffold::card(self.id);
        let Some(text) = self.text(&file, CARD_BYTES, missing, template, reading) else {
            return (String::new(), None);
        };
        let (source, slips, whole) = slips::json(&text);
        let mut report =
            Report::new(self.id.as_str(), &file, &source).thorough(self.care == Care::IsMeant);
        for slip in slips {
            report.slip(slip);
        }
        let card = whole.then(|| card::read(&source, &mut report)).flatten();
        reading.problems.append(&mut report.into_problems());
        (text, card)
    }

    /// The endpoint that the card of a remote agent names.
    fn target(&self, card_text: &str, bearer_env: Option<&str>, reading: &mut Reading) {
        let file = self.dir.join(CARD_FILE);
        let source = Patched::new(card_text);
        let mut report = Report::new(self.id.as_str(), &file, &source);
        card::check_target(card_text, bearer_env, &mut report);
        reading.problems.append(&mut report.into_problems());
    }

    fn runtime(
        &self,
        card_name: Option<&str>,
        reading: &mut Reading,
    ) -> (String, Option<Settings>) {
        let (id, dir) = (self.id, self.dir);
        let file = dir.join(RUNTIME_FILE);
        let missing =
            "write at least [runtime] with `type`; `mesh-llm agents init example` shows one";
        let template = || scaffold::runtime();
        let Some(text) = self.text(&file, RUNTIME_BYTES, missing, template, reading) else {
            return (String::new(), None);
        };
        let (parsed, errors) = DeTable::parse_recoverable(&text);
        let intact = errors.is_empty();
        let (source, slips, whole) = if intact {
            (Patched::new(&text), Vec::new(), true)
        } else {
            slips::toml(&text)
        };
        let mut report = Report::new(id.as_str(), &file, &source);
        for slip in slips {
            report.slip(slip);
        }
        let mut settings = None;
        // What is left of a file that is not TOML would be blamed for what the parser lost.
        if whole {
            let table = if intact {
                parsed
            } else {
                DeTable::parse_recoverable(source.text()).0
            };
            let written = runtime_toml::read(table.get_ref(), &mut report);
            reading.enabled = written.enabled.filter(|_| intact);
            reading.remote = written.runtime.kind == Some(RuntimeKind::Remote);
            if let Some(name) = instructions_name(&written, &mut report) {
                reading.instructions_file = dir.join(name);
            }
            let instructions = reading.instructions_file.clone();
            let known = |name: &str| known_variable(name, id, dir, card_name, &instructions);
            let around = Surroundings {
                environment: self.environment,
                known: &known,
            };
            if self.care == Care::IsMeant {
                lint::runtime(&written, id, &mut report);
            }
            settings = validate::settings(written, around, &mut report);
        }
        reading.problems.append(&mut report.into_problems());
        (text, settings)
    }

    fn instructions(&self, reading: &mut Reading) -> Option<String> {
        let file = reading.instructions_file.clone();
        let missing = "write the brief there: what the agent is to do, in your own words";
        let brief = || scaffold::instructions(self.id);
        let mut text = self.text(&file, INSTRUCTIONS_BYTES, missing, brief, reading);
        let nothing = Patched::new("");
        let mut report = Report::new(self.id.as_str(), &file, &nothing);
        if let Some(empty) = text.as_ref().filter(|text| text.trim().is_empty()) {
            let source = Patched::new(empty);
            let mut own = Report::new(self.id.as_str(), &file, &source);
            own.error(code::EMPTY, None, "", "is empty", missing)
                .replace(0..empty.len(), brief());
            reading.problems.append(&mut own.into_problems());
        }
        if text.is_some() && leaves(self.dir, &file) {
            report.error(
                code::PATH,
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

    /// What is legal and probably not meant, of what takes more than one file to see.
    fn meant(
        &self,
        card_text: &str,
        runtime_text: &str,
        brief: Option<&str>,
        reading: &mut Reading,
    ) {
        let all = lint::Together {
            id: self.id,
            dir: self.dir,
            card: card_text,
            runtime: runtime_text,
            brief,
            brief_file: &reading.instructions_file,
            remote: reading.remote,
        };
        reading.problems.append(&mut lint::together(&all));
    }
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
        report
            .error(
                code::PATH,
                Some(span.clone()),
                "instructions.file",
                format!("{value:?} leaves the agent's directory"),
                "name a file inside it, such as \"instructions.md\"",
            )
            .replace(span.clone(), "\"instructions.md\"");
        return None;
    }
    Some(path)
}

fn leaves(dir: &Path, file: &Path) -> bool {
    match (dir.canonicalize(), file.canonicalize()) {
        (Ok(dir), Ok(file)) => !file.starts_with(dir),
        _ => true,
    }
}
