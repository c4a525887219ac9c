//! The environment of a harness: exactly what DESIGN §5 promises, and nothing of ours besides.

use std::collections::BTreeMap;
use std::path::Path;

use mesh_agents_core::run::RunSpec;

use crate::plan::{HomeKind, LaunchPlan};

/// Variables of our own environment every harness gets, when set; `LC_*` besides.
const PASSED: [&str; 7] = ["PATH", "LANG", "TZ", "TERM", "USER", "LOGNAME", "SHELL"];

/// The whole environment of the harness of `spec`; later sources win over earlier ones, the
/// variables that say which run it is over all.
pub(crate) fn of_harness(
    own: &BTreeMap<String, String>,
    spec: &RunSpec,
    plan: &LaunchPlan,
    workspace: &Path,
    tmp: &Path,
) -> Vec<(String, String)> {
    let mut env: BTreeMap<String, String> = own
        .iter()
        .filter(|(name, _)| PASSED.contains(&name.as_str()) || name.starts_with("LC_"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let home = match plan.home {
        HomeKind::Private => Some(text(&spec.home)),
        HomeKind::Owner => own.get("HOME").cloned(),
    };
    env.extend(home.map(|home| ("HOME".to_owned(), home)));
    env.insert("TMPDIR".to_owned(), text(tmp));
    let inherited = spec.agent.runtime.inherit_env.iter();
    env.extend(inherited.filter_map(|name| Some((name.clone(), own.get(name)?.clone()))));
    env.extend(plan.env.iter().cloned());
    let run = [
        ("MESH_AGENT_ID", spec.agent.id.as_str().to_owned()),
        ("MESH_AGENT_RUN", spec.run_id.as_str().to_owned()),
        ("MESH_TASK_WORKSPACE", text(workspace)),
        ("TASK_ARTIFACTS_DIR", text(&spec.dirs.artifacts())),
        ("TASK_PROMPT_PATH", text(&spec.dirs.prompt())),
    ];
    env.extend(run.map(|(name, value)| (name.to_owned(), value)));
    env.into_iter().collect()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
