//! The texts of `runtime.toml` that are templates, checked before a task meets them.

use std::path::PathBuf;

use mesh_agents_core::agent::WorkspaceMode;
use mesh_agents_core::template::{Template, TemplateError, Variable};

use super::Surroundings;
use crate::problem::Report;
use crate::runtime_toml::{RuntimeTable, WorkspaceTable, WorkspaceWord};
use crate::toml_reader::At;

/// Every text of `[runtime]` that is a template, with the name of its key.
fn templates<'f>(table: &'f RuntimeTable<'_>) -> impl Iterator<Item = (String, &'f At<String>)> {
    let command = table
        .command
        .iter()
        .map(|at| ("runtime.command".into(), at));
    let args = table
        .args
        .iter()
        .flatten()
        .enumerate()
        .map(|(index, at)| (format!("runtime.args[{index}]"), at));
    let env = table
        .env
        .iter()
        .map(|(name, at)| (format!("runtime.env.{}", name.value), at));
    command.chain(args).chain(env)
}

/// Checks every template of `[runtime]`.
pub(super) fn check(table: &RuntimeTable<'_>, around: Surroundings<'_>, report: &mut Report<'_>) {
    for (key, at) in templates(table) {
        checked_template(&key, at, around, report);
    }
}

/// The template, unless something is wrong with it.
fn checked_template(
    key: &str,
    at: &At<String>,
    around: Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<Template> {
    if at.value.contains('\0') {
        report.error(
            Some(at.span.clone()),
            key,
            "holds a NUL character, which no program can be given",
            "remove \\u0000",
        );
        return None;
    }
    let template = match Template::parse(&at.value) {
        Ok(template) => template,
        Err(error) => {
            template_problem(key, at, &error, report);
            return None;
        }
    };
    let unset: Vec<_> = template
        .variables()
        .filter(|variable| match variable {
            Variable::Env(name) => !around.environment.variables.contains_key(name),
            Variable::Named(_) => false,
        })
        .map(TemplateError::unset)
        .collect();
    let complete = unset.is_empty();
    for error in unset {
        template_problem(key, at, &error, report);
    }
    complete.then_some(template)
}

fn template_problem(key: &str, at: &At<String>, error: &TemplateError, report: &mut Report<'_>) {
    let text = error.to_string();
    let (reason, fix) = text.split_once("; ").unwrap_or((&text, ""));
    report.error(Some(at.span.clone()), key, reason, fix);
}

/// The mode with what it needs; `None` when that is missing.
pub(super) fn workspace_mode(
    table: &WorkspaceTable<'_>,
    around: Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<WorkspaceMode> {
    match table.mode {
        None | Some(WorkspaceWord::TempPerTask) => Some(WorkspaceMode::TempPerTask),
        Some(WorkspaceWord::AgentDir) => Some(WorkspaceMode::AgentDir),
        Some(WorkspaceWord::None) => Some(WorkspaceMode::None),
        Some(WorkspaceWord::GitWorktree) => {
            if table.section.lacks("repo") {
                report.error(
                    table.section.place("mode"),
                    "runtime.workspace.repo",
                    "is required when mode is \"git_worktree\"",
                    "add `repo = \"$HOME/src/app\"` under [runtime.workspace]",
                );
            }
            None
        }
        Some(WorkspaceWord::Path) => {
            let Some(path) = &table.path else {
                if table.section.lacks("path") {
                    report.error(
                        table.section.place("mode"),
                        "runtime.workspace.path",
                        "is required when mode is \"path\"",
                        "add `path = \"$HOME/src/app\"` under [runtime.workspace]",
                    );
                }
                return None;
            };
            check_workspace_path(path, around, report);
            Some(WorkspaceMode::Path(path.value.clone()))
        }
    }
}

/// A path that is known before a task is must be a directory by now.
fn check_workspace_path(path: &At<String>, around: Surroundings<'_>, report: &mut Report<'_>) {
    const KEY: &str = "runtime.workspace.path";
    let Some(template) = checked_template(KEY, path, around, report) else {
        return;
    };
    let value = |variable: &Variable| match variable {
        Variable::Env(name) => around.environment.variables.get(name).cloned(),
        Variable::Named(name) => (around.known)(name),
    };
    // An error means that only a task knows the value.
    let Ok(expanded) = template.expand(&value) else {
        return;
    };
    let expanded = PathBuf::from(expanded);
    let (reason, fix) = if !expanded.is_absolute() {
        (
            format!("{} is not an absolute path", expanded.display()),
            "start it with / or $HOME/",
        )
    } else if !expanded.exists() {
        (
            format!("{} does not exist", expanded.display()),
            "create the directory, or name another one",
        )
    } else if !expanded.is_dir() {
        (
            format!("{} is not a directory", expanded.display()),
            "name the directory it is in",
        )
    } else {
        return;
    };
    report.error(Some(path.span.clone()), KEY, reason, fix);
}
