//! Confinement by Landlock: what a process and all its children can reach of the file system.

use std::path::PathBuf;

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::confinement::{ConfinementSupport, Grants, Reading};

/// The least that counts as confined: before ABI 3 (Linux 6.2) any file could be truncated.
const NEEDED: ABI = ABI::V3;
/// What is used where the kernel has it. Later rights (sockets) are not ours to take away.
const WANTED: ABI = ABI::V5;

/// Whether this kernel can confine a harness.
pub(crate) fn confinement_support() -> ConfinementSupport {
    let needed = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(NEEDED))
        .and_then(Ruleset::create);
    match needed {
        Ok(_) => ConfinementSupport::Landlock,
        Err(error) => ConfinementSupport::Missing(format!(
            "this kernel has no Landlock of version 3 or later (Linux 6.2 with landlock among its security modules): {error}"
        )),
    }
}

/// Confines this process and all it will start. There is no way back.
pub(crate) fn confine(grants: &Grants) -> Result<(), String> {
    drop_powers().map_err(|error| format!("capabilities cannot be dropped: {error}"))?;
    match restrict(grants) {
        Ok(RulesetStatus::NotEnforced) => Err("the kernel enforced nothing".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Gives up what lets an owner who is root (as in a container) reach around the confinement: the
/// environment of any process is readable with `CAP_PERFMON`, whatever Landlock says. They stay
/// dropped after `exec`, since confining sets `no_new_privs`.
fn drop_powers() -> rustix::io::Result<()> {
    let powers = CapabilitySet::SYS_ADMIN
        | CapabilitySet::PERFMON
        | CapabilitySet::SYS_PTRACE
        | CapabilitySet::SYS_MODULE
        | CapabilitySet::SYS_RAWIO
        | CapabilitySet::SYS_RESOURCE
        | CapabilitySet::BPF;
    let mut sets = capabilities(None)?;
    sets.effective.remove(powers);
    sets.permitted.remove(powers);
    sets.inheritable.remove(powers);
    set_capabilities(None, sets)
}

fn restrict(grants: &Grants) -> Result<RulesetStatus, RulesetError> {
    let root = [PathBuf::from("/")];
    let read = match &grants.read {
        Reading::All => &root[..],
        Reading::Only(paths) => paths,
    };
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(NEEDED))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))?
        // A harness must not be able to kill its guard or the engine.
        .scope(Scope::Signal)?
        .create()?
        .add_rules(path_beneath_rules(read, AccessFs::from_read(WANTED)))?
        .add_rules(path_beneath_rules(
            &grants.write,
            AccessFs::from_all(WANTED),
        ))?
        .restrict_self()?;
    Ok(status.ruleset)
}
