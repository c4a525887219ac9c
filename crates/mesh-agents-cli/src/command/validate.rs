//! `agents validate`: every mistake of an agent's files in one pass, for people and for editors.

mod machine;
mod show;

use std::collections::BTreeSet;

use anyhow::Result;
use mesh_agents_core::ids::AgentId;
use mesh_agents_registry::{Action, Problem, Severity, check};
use serde::Serialize;

use self::show::Texts;
use super::files::{ProblemLine, agent_id, not_found};
use crate::args;
use crate::context::Context;
use crate::output::{Exit, Output};

/// A problem as editors get it: `AUTHORING.md` of the registry has every member.
#[derive(Debug, Serialize)]
struct Finding<'a> {
    #[serde(flatten)]
    line: ProblemLine<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_column: Option<u32>,
    message: String,
    actions: Vec<ActionLine<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
enum ActionLine<'a> {
    Replace {
        file: String,
        start: At,
        end: At,
        text: &'a str,
    },
    Create {
        file: String,
        text: &'a str,
    },
    Rename {
        file: String,
        to: String,
    },
    SetMode {
        file: String,
        mode: String,
    },
}

#[derive(Debug, Serialize)]
struct At {
    line: u32,
    column: u32,
    /// In bytes, from 0.
    offset: usize,
}

impl<'a> From<&'a Problem> for Finding<'a> {
    fn from(problem: &'a Problem) -> Self {
        let message = match &problem.key {
            Some(key) => format!("{key}: {}", problem.reason),
            None => problem.reason.clone(),
        };
        Self {
            line: ProblemLine::from(problem),
            end_line: problem.end.map(|end| end.line),
            end_column: problem.end.map(|end| end.column),
            message,
            actions: problem.actions.iter().map(ActionLine::from).collect(),
        }
    }
}

impl<'a> From<&'a Action> for ActionLine<'a> {
    fn from(action: &'a Action) -> Self {
        match action {
            Action::Replace {
                file,
                bytes,
                start,
                end,
                text,
            } => Self::Replace {
                file: file.display().to_string(),
                start: At {
                    line: start.line,
                    column: start.column,
                    offset: bytes.start,
                },
                end: At {
                    line: end.line,
                    column: end.column,
                    offset: bytes.end,
                },
                text,
            },
            Action::Create { file, text } => Self::Create {
                file: file.display().to_string(),
                text,
            },
            Action::Rename { file, to } => Self::Rename {
                file: file.display().to_string(),
                to: to.display().to_string(),
            },
            Action::SetMode { file, mode } => Self::SetMode {
                file: file.display().to_string(),
                mode: format!("{mode:04o}"),
            },
        }
    }
}

/// Fails when an agent cannot be used; with `strict` when there is anything to say.
pub(crate) async fn validate(
    context: &Context,
    output: &mut Output,
    asked: &args::Validate,
) -> Result<Exit> {
    #[derive(Serialize)]
    struct Validate<'a> {
        valid: bool,
        errors: usize,
        warnings: usize,
        checked: Vec<String>,
        problems: Vec<Finding<'a>>,
    }
    let only: BTreeSet<String> = asked.agents.iter().cloned().collect();
    let agents_dir = &context.settings.agents_dir;
    let snapshot = check(agents_dir, &context.registry_environment(), &only);
    for name in &asked.agents {
        let _an_id: AgentId = agent_id(name)?;
        if !snapshot.dir.join(name).is_dir() {
            return Err(not_found(&snapshot, name).into());
        }
    }
    let wanted = |problem: &Problem| match &problem.agent {
        Some(agent) => only.is_empty() || only.contains(agent),
        None => only.is_empty(),
    };
    let mut problems = snapshot.problems.clone();
    problems.retain(wanted);
    let checked: BTreeSet<String> = if only.is_empty() {
        let broken = problems.iter().filter_map(|problem| problem.agent.clone());
        let loaded = snapshot.agents.keys().map(ToString::to_string);
        loaded.chain(broken).collect()
    } else {
        only
    };
    if !asked.files_only {
        let agents = snapshot.agents.values();
        let agents = agents.filter(|agent| checked.contains(agent.id.as_str()));
        machine::check(context, agents, &mut problems).await;
    }
    let of = |severity| problems.iter().filter(move |one| one.severity == severity);
    let (errors, warnings) = (of(Severity::Error).count(), of(Severity::Warning).count());
    let document = Validate {
        valid: errors == 0,
        errors,
        warnings,
        checked: checked.into_iter().collect(),
        problems: problems.iter().map(Finding::from).collect(),
    };
    let words = output.words();
    output.answer("validate", &document, |out| {
        let mut texts = Texts::default();
        for problem in &problems {
            show::problem(out, problem, &mut texts, words)?;
        }
        for agent in &document.checked {
            show::verdict(out, agent, &problems)?;
        }
        Ok(())
    })?;
    let good = errors == 0 && !(asked.strict && warnings > 0);
    Ok(if good { Exit::Done } else { Exit::Failed })
}
