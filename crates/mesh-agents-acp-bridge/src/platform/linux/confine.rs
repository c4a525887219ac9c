//! Confinement of a process and all its children: by Landlock what they can reach of the file
//! system, of other processes and of abstract sockets; by [`super::filter`] which sockets they make.

use std::path::PathBuf;

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::filter;
use crate::confinement::{ConfinementSupport, Grants, Reading};
use crate::network::Reach;

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
    drop_powers(&grants.network)
        .map_err(|error| format!("capabilities cannot be dropped: {error}"))?;
    match restrict(grants) {
        Ok(RulesetStatus::NotEnforced) => Err("the kernel enforced nothing".to_owned()),
        // Last, since setting up the others needs what it may refuse.
        Ok(_) => filter::set(&grants.network),
        Err(error) => Err(error.to_string()),
    }
}

/// What remains of the powers of an owner who is root (as in a container), and of the process that
/// made itself a network: those over files it may reach anyway, and over its own ids.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::AUDIT_WRITE);

/// Gives up what reaches around the confinement, or at the machine itself: the environment of any
/// process is readable with `CAP_PERFMON`, whatever Landlock says; others load modules, set the
/// clock, change routes. They stay dropped after `exec`, since confining sets `no_new_privs`.
fn drop_powers(network: &Reach) -> rustix::io::Result<()> {
    // `ping`, where the owner lets it out.
    let kept = match network {
        Reach::All => KEPT.union(CapabilitySet::NET_RAW),
        Reach::Only(_) | Reach::Nothing => KEPT,
    };
    let mut sets = capabilities(None)?;
    sets.effective &= kept;
    sets.permitted &= kept;
    sets.inheritable &= kept;
    set_capabilities(None, sets)
}

/// All of what can be done to files, but making devices: to the superuser one of those is the disk.
fn all_rights() -> BitFlags<AccessFs> {
    AccessFs::from_all(WANTED) & !(AccessFs::MakeChar | AccessFs::MakeBlock)
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
        // Nor to have a program of the owner's act for it.
        .scope(Scope::AbstractUnixSocket)?
        .create()?
        .add_rules(path_beneath_rules(read, AccessFs::from_read(WANTED)))?
        .add_rules(path_beneath_rules(&grants.write, all_rights()))?
        .restrict_self()?;
    Ok(status.ruleset)
}
