//! Names and paths that stand in `runtime.toml`: of variables, of artifacts, of directories.

use std::path::{Component, Path, PathBuf};

use mesh_agents_core::ids::ArtifactId;

use crate::Environment;
use crate::problem::Report;
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
        report.error(
            Some(name.span.clone()),
            key,
            format!("{text:?} is not the name of an environment variable"),
            "write the name alone, such as GH_TOKEN, without $ and without a value",
        );
    } else if text == RUN_MARKER {
        report.error(
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
            Ok(id) if id.as_str() == ArtifactId::RESPONSE => report.error(
                Some(at.span.clone()),
                &key,
                "\"response\" is the streamed text, which is never a file",
                "require \"summary.md\" instead: it is the final text unless the agent writes one",
            ),
            Ok(id) if ids.contains(&id) => {}
            Ok(id) => ids.push(id),
            Err(error) => report.error(
                Some(at.span.clone()),
                &key,
                error.to_string(),
                "name a file below the artifacts directory, such as \"findings.json\"",
            ),
        }
    }
    ids
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
            Err((reason, fix)) => report.error(
                Some(at.span.clone()),
                &format!("policy.{name}[{index}]"),
                reason,
                fix,
            ),
        }
    }
    paths
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
