//! The texts of `runtime.toml` that are templates, checked before a task meets them.

use std::path::PathBuf;

use mesh_agents_core::agent::WorkspaceMode;
use mesh_agents_core::template::{Template, TemplateError, Variable, template_of};

use super::Surroundings;
use crate::code;
use crate::report::Report;
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
        let passed_on = table.env.iter().find(|(_, value)| std::ptr::eq(value, at));
        match passed_on.filter(|(name, value)| is_passed_on(name, value, around)) {
            Some((name, value)) => passed_on_unset(&key, name, value, table, report),
            None => {
                checked_template(&key, at, around, report);
            }
        }
    }
}

/// Whether the variable is handed on under its own name, and is not set here.
fn is_passed_on(name: &At<String>, value: &At<String>, around: Surroundings<'_>) -> bool {
    let (name, value) = (name.value.as_str(), value.value.as_str());
    let same = value.strip_prefix('$') == Some(name)
        || value
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'))
            == Some(name);
    same && template_of(name).is_none() && !around.environment.variables.contains_key(name)
}

/// A variable that is handed on when it is set, and is not: that has a key of its own.
fn passed_on_unset(
    key: &str,
    name: &At<String>,
    value: &At<String>,
    table: &RuntimeTable<'_>,
    report: &mut Report<'_>,
) {
    let variable = &name.value;
    let told = report
        .error(
            code::UNSET_VARIABLE,
            Some(value.span.clone()),
            key,
            format!("${variable} has no value"),
            format!("name it in inherit_env under [runtime], which hands it on when it is set; or set {variable} where mesh-llm (or `agents serve`) is started"),
        )
        .remove(Some((name.span.clone(), value.span.clone())));
    told.inherit(table, variable);
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
            code::TEMPLATE,
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
    let code = match error {
        TemplateError::Unset { .. } => code::UNSET_VARIABLE,
        _ => code::TEMPLATE,
    };
    let told = report.error(code, Some(at.span.clone()), key, reason, fix);
    if let Some(instead) = instead_of(&at.value, error) {
        told.replace(at.span.clone(), ::toml::Value::String(instead).to_string());
    }
}

/// The template that was probably meant.
fn instead_of(text: &str, error: &TemplateError) -> Option<String> {
    match error {
        TemplateError::UnknownVariable {
            name,
            nearest: Some(near),
        } => Some(text.replace(name.as_str(), near)),
        TemplateError::Unset { name, .. } => {
            let bare = name.trim_start_matches('$');
            let of_the_run = template_of(bare);
            let instead = match of_the_run {
                Some(variable) => format!("{{{{ {variable} }}}}"),
                None => format!("$${bare}"),
            };
            let braces = format!("${{{bare}}}");
            let changed = text
                .replace(&braces, &instead)
                .replace(name.as_str(), &instead);
            let instead = of_the_run.is_some();
            (instead && changed != text).then_some(changed)
        }
        _ => None,
    }
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
                    code::MISSING,
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
                    report
                        .error(
                            code::MISSING,
                            table.section.place("mode"),
                            "runtime.workspace.path",
                            "is required when mode is \"path\"",
                            "add `path = \"$HOME/src/app\"` under [runtime.workspace], or write mode = \"temp_per_task\"",
                        )
                        .set(table.section.entry("mode"), "\"temp_per_task\"");
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
    let below_home = path
        .value
        .strip_prefix('~')
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .map(|rest| format!("$HOME{rest}"));
    let parent = expanded.parent().filter(|parent| parent.is_dir());
    let file_in = parent
        .filter(|_| expanded.is_file())
        .and_then(|parent| parent.to_str().map(str::to_owned));
    let told = report.error(code::PATH, Some(path.span.clone()), KEY, reason, fix);
    if let Some(instead) = below_home.or(file_in) {
        told.replace(
            path.span.clone(),
            ::toml::Value::String(instead).to_string(),
        );
    }
}
