//! What the templates of `runtime.toml` are filled with (DESIGN §2.5).

use std::collections::BTreeMap;
use std::path::Path;

use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::run::RunSpec;
use mesh_agents_core::task::Failure;
use mesh_agents_core::template::{Template, Variable};

use crate::plan::PlanContext;

/// The values known at one moment; what is not known yet has no value.
pub(super) struct Values<'a> {
    agent: &'a AgentDefinition,
    environment: &'a BTreeMap<String, String>,
    spec: Option<&'a RunSpec>,
    workspace: Option<&'a Path>,
    model: Option<&'a str>,
}

impl<'a> Values<'a> {
    /// All values: a run about to start.
    pub(super) fn of_run(ctx: &PlanContext<'a>) -> Self {
        Self {
            workspace: Some(ctx.workspace),
            model: ctx.model,
            ..Self::before_workspace(ctx.spec, ctx.environment)
        }
    }

    /// Those of a run whose workspace is being decided.
    pub(super) fn before_workspace(
        spec: &'a RunSpec,
        environment: &'a BTreeMap<String, String>,
    ) -> Self {
        Self {
            spec: Some(spec),
            ..Self::of_agent(&spec.agent, environment)
        }
    }

    /// Those that hold for every run of an agent.
    pub(super) fn of_agent(
        agent: &'a AgentDefinition,
        environment: &'a BTreeMap<String, String>,
    ) -> Self {
        Self {
            agent,
            environment,
            spec: None,
            workspace: None,
            model: None,
        }
    }

    /// `text` with its variables replaced.
    ///
    /// # Errors
    /// `configuration`, naming `key`.
    pub(super) fn expand(&self, key: &str, text: &str) -> Result<String, Failure> {
        Template::parse(text)
            .and_then(|template| template.expand(&|variable| self.value(variable)))
            .map_err(|error| configuration(key, &error.to_string()))
    }

    fn value(&self, variable: &Variable) -> Option<String> {
        match variable {
            Variable::Env(name) => self.environment.get(name).cloned(),
            Variable::Named(name) => self.named(name),
        }
    }

    fn named(&self, name: &str) -> Option<String> {
        let agent = self.agent;
        let mesh = || self.spec.map(|spec| &spec.mesh);
        let dirs = || self.spec.map(|spec| &spec.dirs);
        match name {
            "agent.id" => Some(agent.id.to_string()),
            "agent.name" => Some(agent.card.name.clone()),
            "agent.dir" => text(&agent.dir),
            "agent.card_path" => text(&agent.dir.join("agent-card.json")),
            "agent.runtime_path" => text(&agent.dir.join("runtime.toml")),
            "task.id" => self.spec.map(|spec| spec.task_id.to_string()),
            "task.workspace" => self.workspace.and_then(text),
            "task.prompt_path" => text(&dirs()?.prompt()),
            "task.artifacts_dir" => text(&dirs()?.artifacts()),
            "task.logs_dir" => text(&dirs()?.logs()),
            "instructions.file" => text(&agent.instructions.file),
            "instructions.dir" => agent.instructions.file.parent().and_then(text),
            "mesh.mcp_url" => mesh()?.mcp_url.clone(),
            "mesh.api_url" => mesh()?.api_url.clone(),
            "mesh.openai_url" => mesh()?.openai_url.clone(),
            "mesh.data_dir" => text(&mesh()?.data_dir),
            "mesh.model" => self.model.map(str::to_owned),
            _ => None,
        }
    }
}

/// A path as a value. One that is not UTF-8 has none: a different path would be worse.
fn text(path: &Path) -> Option<String> {
    path.to_str().map(str::to_owned)
}

/// Every text of the agent that is expanded at a run's start, the workspace's path aside.
pub(super) fn texts(agent: &AgentDefinition) -> impl Iterator<Item = &str> {
    let runtime = &agent.runtime;
    let args = runtime.args.iter().flatten();
    let env = runtime.env.iter().map(|(_, value)| value);
    let texts = runtime.command.iter().chain(args).chain(env);
    texts.map(String::as_str)
}

/// Whether `text` asks for the variable `name`.
pub(super) fn mentions(text: &str, name: &str) -> bool {
    asks_for(text, |known| known == name)
}

/// Whether `text` asks for something that is only known once there is a task.
pub(super) fn needs_a_task(text: &str) -> bool {
    asks_for(text, |name| {
        name.starts_with("task.") || name.starts_with("mesh.")
    })
}

fn asks_for(text: &str, wanted: impl Fn(&str) -> bool) -> bool {
    Template::parse(text).is_ok_and(|template| {
        template
            .variables()
            .any(|variable| matches!(variable, Variable::Named(name) if wanted(name)))
    })
}

/// A mistake in `runtime.toml` under `key`.
pub(super) fn configuration(key: &str, cause: &str) -> Failure {
    Failure::new("configuration", format!("runtime.toml: {key}: {cause}"))
}
