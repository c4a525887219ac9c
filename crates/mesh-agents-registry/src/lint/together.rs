//! What takes more than one file to see, or the files themselves.

use std::path::{Path, PathBuf};

use mesh_agents_core::agent::{Delivery, RuntimeKind};
use mesh_agents_core::ids::AgentId;
use mesh_agents_core::near::nearest;
use mesh_agents_core::template::{VARIABLES, environment_of};
use toml::de::DeTable;

use crate::code;
use crate::files::{CARD_FILE, RUNTIME_FILE};
use crate::patched::Patched;
use crate::problem::{Action, Problem, Severity};
use crate::report::Report;
use crate::runtime_toml::{self, RuntimeFile};
use crate::toml_reader::At;

/// The files of one agent as they were read; empty where they could not be.
pub(crate) struct Together<'a> {
    pub(crate) id: &'a AgentId,
    pub(crate) dir: &'a Path,
    pub(crate) card: &'a str,
    pub(crate) runtime: &'a str,
    pub(crate) brief: Option<&'a str>,
    pub(crate) brief_file: &'a Path,
    pub(crate) remote: bool,
}

/// What is probably not meant.
pub(crate) fn together(all: &Together<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !all.remote {
        problems.extend(addresses(all));
        problems.extend(templates(all));
    }
    let source = Patched::new(all.runtime);
    let (table, errors) = DeTable::parse_recoverable(all.runtime);
    if errors.is_empty() {
        let file = all.dir.join(RUNTIME_FILE);
        // Everything that is wrong in itself was told before.
        let mut again = Report::new(all.id.as_str(), &file, &source);
        let written = runtime_toml::read(table.get_ref(), &mut again);
        let mut report = Report::new(all.id.as_str(), &file, &source);
        artifacts(&written, all, &mut report);
        scripts(&written, all.dir, &mut report);
        problems.extend(report.into_problems());
    }
    problems.extend(modes(all));
    problems
}

/// Addresses in the card of an agent here: the node serves its own.
fn addresses(all: &Together<'_>) -> Vec<Problem> {
    let file = all.dir.join(CARD_FILE);
    let source = Patched::new(all.card);
    let mut report = Report::new(all.id.as_str(), &file, &source);
    let own = format!("/a2a/agents/{}", all.id);
    for (key, url, place) in crate::card::addresses(all.card) {
        if url.trim_end_matches('/').ends_with(&own) {
            continue;
        }
        report
            .warning(
                code::UNUSED_URL,
                Some(place.clone()),
                &key,
                format!("{url:?} is not where callers will find {}: the node serves its own address, which ends in {own}", all.id),
                "write the draft address; only for type = \"remote\" is this one called. `public_url` in agents.toml says by which name a node is reached",
            )
            .replace(place, format!("\"http://127.0.0.1:3131{own}\""));
    }
    report.into_problems()
}

/// Templates in the brief: nobody expands them there.
fn templates(all: &Together<'_>) -> Vec<Problem> {
    let Some(brief) = all.brief else {
        return Vec::new();
    };
    let source = Patched::new(brief);
    let mut report = Report::new(all.id.as_str(), all.brief_file, &source);
    let mut from = 0;
    while let Some(start) = brief[from..].find("{{").map(|at| from + at) {
        let Some(length) = brief[start..].find("}}") else {
            break;
        };
        let span = start..start + length + 2;
        from = span.end;
        let name = brief[start + 2..start + length].trim();
        let variable = name.strip_prefix("env.");
        let near = nearest(name, VARIABLES.iter().copied());
        if variable.is_none() && near.is_none() {
            continue;
        }
        let same = variable.or_else(|| near.and_then(environment_of));
        let fix = match same {
            Some(name) => format!("write ${name}, which the run's shell knows"),
            None => "write what it stands for, or hand it to the run in [runtime.env]".to_owned(),
        };
        let told = report.warning(
            code::NOT_EXPANDED,
            Some(span.clone()),
            "",
            format!(
                "{} is not expanded in instructions: the harness reads it as it stands",
                &brief[span.clone()]
            ),
            fix,
        );
        if let Some(name) = same {
            told.replace(span, format!("${name}"));
        }
    }
    report.into_problems()
}

/// Artifacts a run must leave, of which the brief says nothing.
fn artifacts(written: &RuntimeFile<'_>, all: &Together<'_>, report: &mut Report<'_>) {
    let told = matches!(
        written.runtime.kind,
        Some(RuntimeKind::Acp | RuntimeKind::Opencode | RuntimeKind::Goose | RuntimeKind::Pi)
    ) && written.delivery != Some(Delivery::None);
    let Some(brief) = all.brief.filter(|_| told) else {
        return;
    };
    for (index, At { value, span }) in written.require.iter().enumerate() {
        let name = value.rsplit('/').next().unwrap_or(value);
        // The final text becomes `summary.md` when the agent writes none.
        if value == "summary.md" || brief.contains(name) {
            continue;
        }
        let line = format!(
            "\nLeave `{value}` in the artifacts directory the prompt names (`$TASK_ARTIFACTS_DIR`).\n"
        );
        let source = Patched::new(brief);
        let mut own = Report::new(all.id.as_str(), all.brief_file, &source);
        own.warning(code::UNSAID_ARTIFACT, None, "", "", "")
            .replace(brief.len()..brief.len(), line);
        let action = own
            .into_problems()
            .pop()
            .and_then(|mut one| one.actions.pop());
        let told = report.warning(
            code::UNSAID_ARTIFACT,
            Some(span.clone()),
            &format!("result.require[{index}]"),
            format!("the brief never says {name:?}, and without it every task has failed"),
            "say in the brief that it is to be left, and what is to be in it",
        );
        if let Some(action) = action {
            told.action(action);
        }
    }
}

/// Files of the agent's own directory that `command` and `args` name: there, and a program if one
/// is to be started.
fn scripts(written: &RuntimeFile<'_>, dir: &Path, report: &mut Report<'_>) {
    let command = written
        .runtime
        .command
        .iter()
        .map(|at| ("runtime.command".to_owned(), at));
    let args = written.runtime.args.iter().flatten().enumerate();
    let args = args.map(|(index, at)| (format!("runtime.args[{index}]"), at));
    for (key, at) in command.chain(args) {
        let Some((prefix, rest)) = below_agent(&at.value) else {
            continue;
        };
        let path = dir.join(rest);
        if !path.exists() {
            let near = near_file(dir, rest);
            let fix = match &near {
                Some(near) => format!("did you mean {near:?}?"),
                None => "write the file, or name another one".to_owned(),
            };
            let reason = format!("{rest:?} is not in the agent's directory");
            let told = report.warning(code::NOT_FOUND, Some(at.span.clone()), &key, reason, fix);
            if let Some(near) = near {
                let instead = toml::Value::String(format!("{prefix}{near}")).to_string();
                told.replace(at.span.clone(), instead);
            }
        } else if key == "runtime.command"
            && let Some(mode) = not_executable(&path)
        {
            report
                .warning(
                    code::PERMISSIONS,
                    Some(at.span.clone()),
                    &key,
                    format!("{rest:?} is not executable"),
                    format!("run `chmod +x {}`", path.display()),
                )
                .action(Action::SetMode { file: path, mode });
        }
    }
}

/// A path below `{{ agent.dir }}`: the template before it, and the path.
fn below_agent(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix("{{")?;
    let (name, rest) = inside.split_once("}}")?;
    let rest = rest.strip_prefix('/').filter(|rest| !rest.is_empty())?;
    let plain = name.trim() == "agent.dir" && !rest.contains(['{', '$']) && !rest.contains("..");
    plain.then(|| text.split_at(text.len() - rest.len()))
}

fn near_file(dir: &Path, name: &str) -> Option<String> {
    let names: Vec<String> = std::fs::read_dir(dir)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    nearest(name, names.iter().map(String::as_str)).map(str::to_owned)
}

/// The mode that makes a file a program for whoever can read it; `None` when it is one.
#[cfg(unix)]
fn not_executable(path: &Path) -> Option<u32> {
    let mode = mode(path)?;
    (path.is_file() && mode & 0o111 == 0).then_some(mode | (mode & 0o444) >> 2)
}

#[cfg(not(unix))]
fn not_executable(_path: &Path) -> Option<u32> {
    None
}

#[cfg(unix)]
fn mode(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    Some(std::fs::metadata(path).ok()?.permissions().mode() & 0o7777)
}

#[cfg(not(unix))]
fn mode(_path: &Path) -> Option<u32> {
    None
}

/// Files everybody on this machine can change: they decide what runs as their owner.
fn modes(all: &Together<'_>) -> Vec<Problem> {
    let brief = (!all.remote).then(|| all.brief_file.to_owned());
    let files: [Option<PathBuf>; 4] = [
        Some(all.dir.to_owned()),
        Some(all.dir.join(CARD_FILE)),
        Some(all.dir.join(RUNTIME_FILE)),
        brief,
    ];
    let open = |file: PathBuf| {
        let mode = mode(&file).filter(|mode| mode & 0o002 != 0)?;
        let mut problem = Problem::new(
            Severity::Warning,
            code::PERMISSIONS,
            Some(all.id.as_str()),
            file.clone(),
            "everybody on this machine can change it, and it decides what runs as you",
            format!("run `chmod o-w {}`", file.display()),
        );
        problem.actions.push(Action::SetMode {
            file,
            mode: mode & !0o002,
        });
        Some(problem)
    };
    files.into_iter().flatten().filter_map(open).collect()
}
