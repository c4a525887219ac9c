//! What a user's `mesh-llm plugins install` makes of our names: the reference README tells them to type, and the names
//! of the archives a release has, given to the host's own plugin manager.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mesh_llm_plugin_manager::{
    ArchiveExt, PluginInstallRef, PluginTarget, PluginVersion, parse_install_ref,
    select_plugin_asset,
};

/// The command README shows.
const INSTALL: &str = "mesh-llm plugins install ";

/// What the manager knows, as the operating systems name themselves.
const MACHINES: [(&str, &str); 6] = [
    ("linux", "x86_64"),
    ("linux", "aarch64"),
    ("macos", "x86_64"),
    ("macos", "aarch64"),
    ("windows", "x86_64"),
    ("windows", "aarch64"),
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(file: &str) -> String {
    fs::read_to_string(repository().join(file)).unwrap()
}

/// The archive's name, by the script that packs it.
fn archive_name(triple: &str) -> String {
    let output = Command::new(repository().join("scripts/package.sh"))
        .args(["--name", triple])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What a release offers for download: the archives of these targets, each with its checksum.
fn assets(triples: &[String]) -> Vec<String> {
    let archives = triples.iter().map(|triple| archive_name(triple));
    archives
        .flat_map(|name| [format!("{name}.sha256"), name])
        .collect()
}

/// The targets of the release workflow.
fn released() -> Vec<String> {
    let workflow = read(".github/workflows/release.yml");
    let targets = workflow
        .lines()
        .filter_map(|line| line.split_once("target: ").map(|(_, triple)| triple))
        .map(|triple| triple.trim_end_matches([' ', '}']).to_owned());
    targets.collect()
}

#[test]
fn the_manager_finds_our_plugin_by_what_readme_tells_people_to_type() {
    let readme = read("README.md");
    let reference = readme
        .lines()
        .filter_map(|line| line.strip_prefix(INSTALL))
        .find(|rest| !rest.starts_with("--"))
        .and_then(|rest| rest.split_whitespace().next())
        .expect("README tells people what to type");
    let parsed = parse_install_ref(reference).unwrap();
    // The installer wants an executable of the repository's name, and the plugin answers to it on the mesh.
    assert_eq!(parsed.install_name(), "agents");
    let PluginInstallRef::GitHub { source, version } = parsed else {
        panic!("{reference} is no repository");
    };
    assert_eq!(source.repo_slug(), "Mesh-LLM/agents");
    assert_eq!(version, None);
    let pinned = parse_install_ref(&format!("{reference}@v0.1.0")).unwrap();
    assert_eq!(pinned.requested_version().unwrap().as_str(), "v0.1.0");
}

#[test]
fn every_machine_is_given_its_own_archive_and_never_a_checksum() {
    let targets: Vec<_> = MACHINES
        .iter()
        .map(|(os, arch)| PluginTarget::from_os_arch(os, arch).unwrap())
        .collect();
    let triples: Vec<_> = targets
        .iter()
        .map(|target| target.triple().to_owned())
        .collect();
    let offered = assets(&triples);
    for target in &targets {
        for version in ["v0.1.0", "0.1.0", "v1.2.3-rc.1"] {
            let version = PluginVersion::new(version).unwrap();
            let selected = select_plugin_asset("agents", Some(&version), target, &offered).unwrap();
            assert_eq!(selected.name, archive_name(target.triple()));
            let zip = target.archive_ext() == ArchiveExt::Zip;
            assert_eq!(selected.name.ends_with(".zip"), zip, "{}", selected.name);
        }
    }
}

#[test]
fn what_is_released_is_what_the_manager_looks_for() {
    let released = released();
    assert_eq!(released.len(), 4, "{released:?}");
    for triple in &released {
        assert!(PluginTarget::is_supported_triple(triple), "{triple}");
    }
    let offered = assets(&released);
    let version = PluginVersion::new("v0.1.0").unwrap();
    for (os, arch) in MACHINES {
        let target = PluginTarget::from_os_arch(os, arch).unwrap();
        let selected = select_plugin_asset("agents", Some(&version), &target, &offered);
        // Not for Windows yet, and an installer there says so instead of taking another machine's.
        assert_eq!(
            selected.is_ok(),
            os != "windows",
            "{os} {arch}: {selected:?}"
        );
    }
}
