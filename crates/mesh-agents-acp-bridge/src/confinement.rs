//! What a run's processes can reach of the file system (DESIGN §5, "Confinement"): decided here
//! from values, enforced by [`crate::platform`].

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mesh_agents_core::agent::{AgentPolicy, Filesystem, Network};
use mesh_agents_core::confinement::PlatformConfinement;
use mesh_agents_core::task::Failure;
use serde::{Deserialize, Serialize};

use crate::network::Reach;
use crate::plan::LaunchPlan;
use crate::platform;
pub(crate) use crate::support::ConfinementSupport;

/// Whether this machine can confine a harness, for `agents doctor` and `get_agent`.
#[must_use]
pub fn confinement_support() -> ConfinementSupport {
    platform::confinement_support()
}

/// What this machine can keep a run from. Tries it, in processes of `agents_exe`, the binary
/// `agents`, so it takes some milliseconds and blocks.
#[must_use]
pub fn platform_confinement(agents_exe: &Path) -> PlatformConfinement {
    let filesystem = match confinement_support() {
        ConfinementSupport::Landlock => None,
        ConfinementSupport::Missing(why) => Some(why),
    };
    // A run's network is held only by a run that cannot have other programs of the owner's act for
    // it, and some of those it reaches through files.
    let deny = filesystem.clone().or_else(platform::filter_missing);
    let loopback = deny.clone().or_else(|| no_own_network(agents_exe));
    PlatformConfinement {
        filesystem,
        loopback,
        deny,
    }
}

/// Why a process cannot have a network of its own here. This one cannot try: it has threads.
fn no_own_network(agents_exe: &Path) -> Option<String> {
    let tried = Command::new(agents_exe)
        .args(["harness", "probe"])
        .env_clear()
        .stdin(Stdio::null())
        .output();
    match tried {
        Ok(tried) if tried.status.success() => None,
        Ok(tried) => {
            let why = String::from_utf8_lossy(&tried.stderr).trim().to_owned();
            Some(match why.is_empty() {
                true => format!("the try of a network namespace ended with {}", tried.status),
                false => why,
            })
        }
        Err(error) => Some(format!(
            "{} could not be started to try it: {error}",
            agents_exe.display()
        )),
    }
}

/// What a harness can reach. Everything else is refused by the kernel, to its children too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grants {
    /// What it can read and execute.
    pub(crate) read: Reading,
    /// What it can write, besides reading it.
    pub(crate) write: Vec<PathBuf>,
    /// What it can reach of the network.
    pub(crate) network: Reach,
}

/// What a harness can read and execute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reading {
    /// Anything.
    All,
    /// These and what is below them.
    Only(Vec<PathBuf>),
}

/// System directories every program needs to read, besides [`ETC`].
const SYSTEM: [&str; 8] = [
    "/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin", "/proc", "/sys",
];
/// System configuration: read too, but to the superuser only what everybody may read of it.
const ETC: &str = "/etc";
/// Devices every program may use. Not the rest of `/dev`: to the superuser the disk is there, and
/// to everybody the terminals of the owner are, where what is typed can be read.
const DEVICES: [&str; 8] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/shm",
];

/// What belongs to one run, and so is granted to it and to nobody else.
#[derive(Debug, Clone)]
pub(crate) struct Own<'a> {
    /// The run's directory: prompt, artifacts, logs. Read.
    pub(crate) run: &'a Path,
    /// The agent's directory. Read.
    pub(crate) agent: &'a Path,
    /// Artifacts, logs, private HOME, TMPDIR. Written.
    pub(crate) write: Vec<PathBuf>,
    /// The workspace. Written.
    pub(crate) workspace: &'a Path,
}

/// The grants of a run under this policy, with this reach of the network; `None` when it is not to
/// be confined.
///
/// # Errors
/// A grant that would reach the engine's own files below `a2a_root`.
pub(crate) fn grants(
    policy: &AgentPolicy,
    own: &Own<'_>,
    plan: &LaunchPlan,
    a2a_root: &Path,
    network: Reach,
) -> Result<Option<Grants>, Failure> {
    if policy.filesystem == Filesystem::Unconfined {
        return Ok(None);
    }
    let foreign = Foreign { own, a2a_root };
    for path in &policy.write {
        foreign.refuse(path, "policy.write")?;
    }
    foreign.refuse(own.workspace, "runtime.workspace")?;
    let mut write: BTreeSet<PathBuf> = own.write.iter().cloned().collect();
    write.extend(DEVICES.map(PathBuf::from));
    let (held, wanted) = Held::of(own, policy, plan)?;
    write.extend(wanted);
    let read = match policy.filesystem {
        Filesystem::ReadAll | Filesystem::Unconfined => Reading::All,
        Filesystem::Workspace => {
            let mut read: BTreeSet<PathBuf> = SYSTEM.map(PathBuf::from).into();
            for path in &policy.read {
                foreign.refuse(path, "policy.read")?;
                if held.opens(path, "policy.read")? {
                    read.insert(path.clone());
                }
            }
            read.extend(configuration(Path::new(ETC), platform::is_superuser()));
            read.insert(own.run.to_path_buf());
            read.insert(own.agent.to_path_buf());
            read.insert(plan.program.clone());
            // What a program reads to be itself is found by rule, so it never reaches too far.
            let plan = plan.read.iter();
            let plan = plan.filter(|path| foreign.refuse(path, "").is_ok());
            read.extend(plan.filter(|path| !held.has(path)).cloned());
            Reading::Only(read.into_iter().collect())
        }
    };
    Ok(Some(Grants {
        read,
        write: write.into_iter().collect(),
        network,
    }))
}

/// What is granted of `dir`: all of it, where the permissions of files hold the owner; else what
/// they leave to everybody.
fn configuration(dir: &Path, superuser: bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if superuser {
        everybodys(dir, &mut found);
    } else {
        found.push(dir.to_owned());
    }
    found
}

/// Adds what everybody may read of `path`, in as few paths as say it. Whether that is all of it.
fn everybodys(path: &Path, found: &mut Vec<PathBuf>) -> bool {
    let Ok(meta) = fs::symlink_metadata(path) else {
        return true;
    };
    // What a link leads to is granted where it lies, or not.
    if meta.is_symlink() {
        return true;
    }
    let needed = if meta.is_dir() { 0o005 } else { 0o004 };
    if meta.mode() & needed != needed {
        return false;
    }
    let mut below = Vec::new();
    let mut whole = true;
    if meta.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            whole &= everybodys(&entry.path(), &mut below);
        }
    }
    if whole {
        found.push(path.to_owned());
    } else {
        found.append(&mut below);
    }
    whole
}

/// Tells which paths would reach the engine's files.
struct Foreign<'a> {
    own: &'a Own<'a>,
    a2a_root: &'a Path,
}

impl Foreign<'_> {
    fn refuse(&self, path: &Path, key: &str) -> Result<(), Failure> {
        // Compared as the kernel sees them. What does not exist grants nothing.
        let (Ok(path), Ok(root)) = (path.canonicalize(), self.a2a_root.canonicalize()) else {
            return Ok(());
        };
        let own = std::iter::once(self.own.run)
            .chain(self.own.write.iter().map(PathBuf::as_path))
            .filter_map(|own| own.canonicalize().ok())
            .any(|own| path.starts_with(own));
        if own || !(root.starts_with(&path) || path.starts_with(&root)) {
            return Ok(());
        }
        Err(Failure::new(
            "confinement_conflict",
            format!(
                "{key} grants {}, which reaches the engine's own files in {}; name narrower directories, or set policy.filesystem = \"unconfined\"",
                path.display(),
                root.display()
            ),
        ))
    }
}

/// What a run can write, and its next one finds as it left it. A path in there may be a link by then, and what a
/// link leads to is granted where it lies: so nothing in there is granted by a path of its own.
struct Held {
    /// As the kernel sees them.
    places: Vec<PathBuf>,
}

impl Held {
    /// With the paths of what is to be written that are granted by themselves.
    fn of(
        own: &Own<'_>,
        policy: &AgentPolicy,
        plan: &LaunchPlan,
    ) -> Result<(Self, Vec<PathBuf>), Failure> {
        let places = own.write.iter().filter_map(|path| path.canonicalize().ok());
        let mut held = Self {
            places: places.collect(),
        };
        let named = |key: &'static str| move |path: &PathBuf| (path.clone(), key);
        let mut wanted: Vec<(PathBuf, &str)> =
            policy.write.iter().map(named("policy.write")).collect();
        wanted.extend(plan.write.iter().map(named("runtime.config")));
        wanted.push((own.workspace.to_path_buf(), "runtime.workspace"));
        // What lies in another comes after it.
        wanted.sort_by_key(|(path, _)| path.components().count());
        let mut granted = Vec::new();
        for (path, key) in wanted {
            if held.opens(&path, key)? {
                held.places.extend(path.canonicalize());
                granted.push(path);
            }
        }
        Ok((held, granted))
    }

    /// Whether it is the run's to say where this path leads: a directory on the way to it is the run's to write.
    fn has(&self, path: &Path) -> bool {
        let above = path.ancestors().skip(1);
        let mut above = above.filter_map(|dir| dir.canonicalize().ok());
        above.any(|dir| self.holds(&dir))
    }

    fn holds(&self, real: &Path) -> bool {
        self.places.iter().any(|place| real.starts_with(place))
    }

    /// Whether this path is to be granted by itself; `false` where what can be written has it already.
    fn opens(&self, path: &Path, key: &str) -> Result<bool, Failure> {
        if !self.has(path) {
            return Ok(true);
        }
        match path.canonicalize() {
            Ok(real) if !self.holds(&real) => Err(Failure::new(
                "confinement_conflict",
                format!(
                    "{key} grants {}, which lies where the run can write and is a link that leads out, to {}; name {} itself, or remove the link",
                    path.display(),
                    real.display(),
                    real.display()
                ),
            )),
            _ => Ok(false),
        }
    }
}

/// The failure of a run that asked for `network` on a machine that cannot keep it.
pub(crate) fn network_unavailable(network: Network, why: &str) -> Failure {
    Failure::new(
        "confinement_unavailable",
        format!(
            "policy.network = \"{}\" cannot be enforced: {why}; run the agent where it can, or write network = \"allow\" to run it without",
            network.as_str()
        ),
    )
}

/// A hint for a failure that looks as if the confinement refused a path: names the path and the key.
pub(crate) fn hint(filesystem: Filesystem, stderr: &str) -> Option<String> {
    let refused = stderr.lines().rev().find(|line| {
        let line = line.to_ascii_lowercase();
        ["permission denied", "eacces", "operation not permitted"]
            .iter()
            .any(|words| line.contains(words))
    })?;
    let path = refused
        .split(|c: char| c.is_whitespace() || "'\"`(),;[]".contains(c))
        .map(|word| word.trim_end_matches(':'))
        .find(|word| word.starts_with('/') && word.len() > 1)?;
    Some(format!(
        "the run is confined (policy.filesystem = \"{}\") and was refused {path}; if it needs it, add it to policy.read or policy.write",
        filesystem.as_str()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_superuser_is_granted_of_the_configuration_what_everybody_may_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("ssl/private")).unwrap();
        fs::create_dir_all(at("fonts/conf.d")).unwrap();
        let files = [
            ("passwd", 0o644),
            ("shadow", 0o640),
            ("ssl/cert.pem", 0o644),
            ("ssl/private/key.pem", 0o644),
            ("fonts/conf.d/one", 0o644),
            ("fonts/two", 0o444),
        ];
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        for (name, bits) in files {
            fs::write(at(name), "x").unwrap();
            mode(&at(name), bits);
        }
        for (name, bits) in [("", 0o755), ("ssl", 0o755), ("ssl/private", 0o710)] {
            mode(&at(name), bits);
        }
        std::os::unix::fs::symlink(at("shadow"), at("link")).unwrap();
        let mut granted = configuration(dir.path(), true);
        granted.sort();
        let expected = ["fonts", "passwd", "ssl/cert.pem"].map(at);
        assert_eq!(granted, expected);
        assert_eq!(configuration(dir.path(), false), [dir.path()]);
    }
}
