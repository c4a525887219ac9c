//! Names and paths that stand in `runtime.toml`: of variables, of artifacts, of directories.

use std::path::{Component, Path, PathBuf};

use mesh_agents_core::ids::ArtifactId;

use crate::Environment;
use crate::code;
use crate::report::Report;
use crate::runtime_toml::RuntimeFile;
use crate::toml_reader::At;

/// Set by the guard for every process of a run, so that all of them can be found and ended.
const RUN_MARKER: &str = "MESH_AGENT_RUN";

/// Checks every name of an environment variable.
pub(super) fn check_env(file: &RuntimeFile<'_>, report: &mut Report<'_>) {
    for (index, name) in file.runtime.inherit_env.iter().enumerate() {
        check_env_name(&format!("runtime.inherit_env[{index}]"), name, report);
    }
    for (name, _) in &file.runtime.env {
        check_env_name(&format!("runtime.env.{}", name.value), name, report);
    }
    if let Some(name) = &file.bearer_env {
        check_env_name("auth.bearer_env", name, report);
    }
}

fn check_env_name(key: &str, name: &At<String>, report: &mut Report<'_>) {
    let text = name.value.as_str();
    let valid = !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !valid {
        let plain: String = text
            .trim_start_matches(['$', '{'])
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect();
        let told = report.error(
            code::NAME,
            Some(name.span.clone()),
            key,
            format!("{text:?} is not the name of an environment variable"),
            "write the name alone, such as GH_TOKEN, without $ and without a value",
        );
        if plain.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            told.replace(name.span.clone(), format!("{plain:?}"));
        }
    } else if text == RUN_MARKER {
        report.error(
            code::NAME,
            Some(name.span.clone()),
            key,
            format!("{RUN_MARKER} marks the processes of a run and cannot be set"),
            "remove it",
        );
    }
}

/// `result.require`, each once.
pub(super) fn artifacts(written: &[At<String>], report: &mut Report<'_>) -> Vec<ArtifactId> {
    let mut ids = Vec::new();
    for (index, at) in written.iter().enumerate() {
        let key = format!("result.require[{index}]");
        match at.value.parse::<ArtifactId>() {
            Ok(id) if id.as_str() == ArtifactId::RESPONSE => {
                report
                    .error(
                        code::NAME,
                        Some(at.span.clone()),
                        &key,
                        "\"response\" is the streamed text, which is never a file",
                        "require \"summary.md\" instead: it is the final text unless the agent writes one",
                    )
                    .replace(at.span.clone(), "\"summary.md\"");
            }
            Ok(id) if ids.contains(&id) => {}
            Ok(id) => ids.push(id),
            Err(error) => {
                let plain = below(&at.value);
                let told = report.error(
                    code::NAME,
                    Some(at.span.clone()),
                    &key,
                    error.to_string(),
                    "name a file below the artifacts directory, such as \"findings.json\"",
                );
                if plain.parse::<ArtifactId>().is_ok() {
                    told.replace(at.span.clone(), format!("{plain:?}"));
                }
            }
        }
    }
    ids
}

/// What a path says below the directory it was meant to be in.
fn below(path: &str) -> String {
    let known = [
        "$TASK_ARTIFACTS_DIR",
        "${TASK_ARTIFACTS_DIR}",
        "{{ task.artifacts_dir }}",
    ];
    let path = known
        .iter()
        .find_map(|dir| path.strip_prefix(dir))
        .unwrap_or(path);
    let parts = path
        .split('/')
        .filter(|part| !matches!(*part, "" | "." | ".." | "artifacts"));
    parts.collect::<Vec<_>>().join("/")
}

/// `policy.read` and `policy.write`: absolute, or below the owner's home.
pub(super) fn paths(
    name: &str,
    written: &[At<String>],
    environment: &Environment,
    report: &mut Report<'_>,
) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for (index, at) in written.iter().enumerate() {
        match plain_path(&at.value, environment) {
            Ok(path) => paths.push(path),
            Err((reason, fix)) => {
                let instead = plain_form(&at.value, environment);
                let key = format!("policy.{name}[{index}]");
                let told = report.error(code::PATH, Some(at.span.clone()), &key, reason, fix);
                if let Some(instead) = instead {
                    told.replace(at.span.clone(), format!("{instead:?}"));
                }
            }
        }
    }
    paths
}

/// The plain path that was probably meant: variables expanded, `..` resolved, below the home.
fn plain_form(text: &str, environment: &Environment) -> Option<String> {
    let path = match text.strip_prefix('$') {
        Some(rest) => {
            let rest = rest.trim_start_matches('{');
            let end = rest.find(['}', '/']).unwrap_or(rest.len());
            let value = environment.variables.get(&rest[..end])?;
            format!("{value}{}", rest[end..].trim_start_matches('}'))
        }
        None if text.starts_with('/') => text.to_owned(),
        None if text.contains(['{', '~']) => return None,
        None => format!("{}/{text}", environment.home()?),
    };
    let mut plain = PathBuf::from("/");
    for part in Path::new(&path).components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => {
                plain.pop();
            }
            _ => {}
        }
    }
    let plain = plain.to_str()?.to_owned();
    (path.starts_with('/') && plain_path(&plain, environment).is_ok()).then_some(plain)
}

fn plain_path(text: &str, environment: &Environment) -> Result<PathBuf, (String, &'static str)> {
    const FORMS: &str = "write an absolute path, or one that starts with ~/ or $HOME/; nothing else is expanded here";
    let below_home = ["~", "$HOME", "${HOME}"].iter().find_map(|home| {
        let rest = text.strip_prefix(home)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/'))
    });
    let path = match below_home {
        Some(rest) => {
            let home = environment.home().ok_or_else(|| {
                (
                    format!("{text:?} needs $HOME, which is not set"),
                    "write the whole path",
                )
            })?;
            Path::new(home).join(rest)
        }
        None => PathBuf::from(text),
    };
    if text.contains('$') && below_home.is_none() || text.contains("{{") || text.contains('\0') {
        return Err((format!("{text:?} is not a plain path"), FORMS));
    }
    if !path.is_absolute() {
        return Err((format!("{text:?} is not an absolute path"), FORMS));
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err((format!("{text:?} holds `..`"), "write the path it leads to"));
    }
    Ok(path)
}
