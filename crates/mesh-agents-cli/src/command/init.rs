//! `agents init` and `agents schema`: the files of a first agent, and what an editor knows of them.

use anyhow::Result;
use mesh_agents_core::agent::RuntimeKind;
use mesh_agents_core::ids::AgentId;
use mesh_agents_registry::scaffold::{self, TEMPLATES, Template};
use mesh_agents_registry::schema as schemas;
use serde::Serialize;

use super::files::agent_id;
use crate::args::{self, AgentRuntimeArg, SchemaArg};
use crate::context::Context;
use crate::output::{Exit, Output};

impl From<AgentRuntimeArg> for RuntimeKind {
    fn from(argument: AgentRuntimeArg) -> Self {
        match argument {
            AgentRuntimeArg::Opencode => Self::Opencode,
            AgentRuntimeArg::Goose => Self::Goose,
            AgentRuntimeArg::Pi => Self::Pi,
            AgentRuntimeArg::Acp => Self::Acp,
            AgentRuntimeArg::Command => Self::Command,
            AgentRuntimeArg::Remote => Self::Remote,
        }
    }
}

/// Makes the directory of one agent, or lists what it can begin with.
pub(crate) fn init(context: &Context, output: &mut Output, asked: &args::Init) -> Result<Exit> {
    if asked.list_templates {
        return templates(output);
    }
    #[derive(Serialize)]
    struct Init {
        agent_id: AgentId,
        #[serde(skip_serializing_if = "Option::is_none")]
        template: Option<String>,
        dir: String,
        files: Vec<String>,
        schemas: String,
        to_do: Vec<String>,
    }
    let id = agent_id(asked.agent.as_deref().unwrap_or_default())?;
    let agents_dir = &context.settings.agents_dir;
    let kind = asked.runtime.map(RuntimeKind::from);
    let remote = kind == Some(RuntimeKind::Remote);
    // An id that is a template's name means it, unless something else is asked for.
    let by_name = Template::named(id.as_str())
        .filter(|template| kind.is_none_or(|kind| kind.is_preset() && template.kind().is_preset()))
        .map(|template| template.name);
    let template = asked.template.as_deref().or(by_name);
    let created = match (asked.url.as_deref(), template) {
        (Some(url), _) if remote => scaffold::init_remote(agents_dir, &id, url)?,
        (Some(_), _) => anyhow::bail!("--url is for --runtime remote only\nLeave it out"),
        (None, Some(template)) => scaffold::init_template(agents_dir, &id, template, kind)?,
        (None, None) => scaffold::init(agents_dir, &id, kind.unwrap_or(RuntimeKind::Opencode))?,
    };
    let document = Init {
        agent_id: id,
        template: template.map(str::to_owned),
        dir: created.dir.display().to_string(),
        files: created
            .files
            .iter()
            .map(|file| file.display().to_string())
            .collect(),
        schemas: created.schemas.display().to_string(),
        to_do: created.to_do,
    };
    output.answer("init", &document, |out| {
        writeln!(out, "created {}", document.dir)?;
        for file in &document.files {
            writeln!(out, "  {file}")?;
        }
        Ok(())
    })?;
    if !output.is_json() {
        for line in &document.to_do {
            output.say(line);
        }
        output.say(match (remote, &document.template) {
            (true, _) => "Then check and try it:",
            (_, Some(_)) => "Read instructions.md and runtime.toml, then check and try it:",
            _ => "Edit instructions.md, then check and try it:",
        });
        let id = &document.agent_id;
        output.hint(&format!("  agents validate {id}"));
        output.hint(&format!("  agents send {id} \"what it should do\""));
    }
    Ok(Exit::Done)
}

/// `agents init --list-templates`.
fn templates(output: &mut Output) -> Result<Exit> {
    #[derive(Serialize)]
    struct Line {
        name: &'static str,
        about: &'static str,
        runtime: &'static str,
    }
    #[derive(Serialize)]
    struct Templates {
        templates: Vec<Line>,
    }
    let line = |template: &Template| Line {
        name: template.name,
        about: template.about,
        runtime: template.kind().as_str(),
    };
    let document = Templates {
        templates: TEMPLATES.iter().map(line).collect(),
    };
    output.answer("templates", &document, |out| {
        for one in &document.templates {
            writeln!(out, "{:<16} {:<9} {}", one.name, one.runtime, one.about)?;
        }
        Ok(())
    })?;
    if !output.is_json() {
        output.hint("take one with: agents init <id> --template <name>");
    }
    Ok(Exit::Done)
}

/// `agents schema`. The schema as it is, whatever was asked for.
pub(crate) fn schema(output: &mut Output, of: SchemaArg) -> Result<Exit> {
    let schema = match of {
        SchemaArg::Card => schemas::card_schema(),
        SchemaArg::Runtime => schemas::runtime_schema(),
    };
    output.raw().write_all(schemas::text(&schema).as_bytes())?;
    output.raw().flush()?;
    Ok(Exit::Done)
}
