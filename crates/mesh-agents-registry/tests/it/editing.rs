//! Switching an agent on and off in a file its owner wrote.

use std::fs;

use mesh_agents_registry::edit::{Edited, set_enabled};

use crate::support::Agents;

const WRITTEN: &str = "\
# My reviewer. Do not touch on Fridays.
enabled = true            # was false in May
[runtime]                 # what runs
type   =   'opencode'
inherit_env = [
    \"GH_TOKEN\", # for gh
]
";

#[test]
fn one_key_changes_and_every_comment_stays() {
    let agents = Agents::new();
    agents.with_runtime("a", WRITTEN);
    let file = agents.dir().join("a/runtime.toml");
    let id = "a".parse().unwrap();
    assert_eq!(
        set_enabled(&agents.dir(), &id, false).unwrap(),
        Edited::Changed
    );
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        WRITTEN.replace("enabled = true", "enabled = false")
    );
    assert!(!agents.definition("a").enabled);
    assert_eq!(
        set_enabled(&agents.dir(), &id, false).unwrap(),
        Edited::Unchanged
    );
    assert_eq!(
        set_enabled(&agents.dir(), &id, true).unwrap(),
        Edited::Changed
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), WRITTEN);
    let left: Vec<_> = fs::read_dir(agents.dir().join("a"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 3, "nothing is left behind: {left:?}");
}

#[cfg(unix)]
#[test]
fn permissions_and_links_stay() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let agents = Agents::new();
    agents.good("a");
    let real = agents.beside("shared.toml");
    fs::write(&real, WRITTEN).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    let file = agents.dir().join("a/runtime.toml");
    fs::remove_file(&file).unwrap();
    symlink(&real, &file).unwrap();
    set_enabled(&agents.dir(), &"a".parse().unwrap(), false).unwrap();
    assert!(fs::symlink_metadata(&file).unwrap().is_symlink());
    assert_eq!(
        fs::metadata(&real).unwrap().permissions().mode() & 0o777,
        0o640
    );
    assert!(
        fs::read_to_string(&real)
            .unwrap()
            .contains("enabled = false")
    );
}

#[test]
fn what_cannot_be_edited_is_told() {
    let agents = Agents::new();
    agents.with_runtime("broken", "enabled = true\n[runtime\n");
    let told = |agent: &str| {
        let error = set_enabled(&agents.dir(), &agent.parse().unwrap(), false).unwrap_err();
        agents.unrooted(&error.to_string())
    };
    insta::assert_snapshot!([told("nobody"), told("brokn"), told("broken")].join("\n"));
    assert_eq!(
        fs::read_to_string(agents.dir().join("broken/runtime.toml")).unwrap(),
        "enabled = true\n[runtime\n"
    );
}
