//! The ways out, one row each. `@name@` in a text stands for a value of the scene.

mod files;
mod processes;

/// One way out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe {
    pub(super) name: &'static str,
    /// What stops it.
    pub(super) needs: Needs,
    /// A script for bash, or for Python where `python`.
    pub(super) code: &'static str,
    pub(super) python: bool,
    /// What it is after.
    pub(super) got: Got,
    /// Whether it succeeds where nothing confines it.
    pub(super) control: Control,
}

/// Which part of a run's confinement stops a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// `policy.filesystem`, with what comes with it: signals, powers, abstract sockets; or the node
    /// by itself.
    Files,
    /// `policy.network`.
    Network,
}

/// How it shows that a probe got what it wanted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Got {
    /// It said this.
    Said(&'static str),
    /// This file has the mark.
    Wrote(&'static str),
    /// This listener was reached.
    Heard(&'static str),
    /// This artifact has the canary.
    Delivered(&'static str),
    /// The process of the owner's is dead.
    Killed,
}

/// Whether a probe succeeds where nothing confines it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Control {
    /// Yes.
    Always,
    /// When the owner is the superuser, as in CI's containers and not on everybody's machine.
    Root,
    /// Where the machine has what it asks for.
    Perhaps,
    /// It is not tried there, for this reason.
    Never(&'static str),
}

impl Control {
    /// Whether it must succeed on this machine.
    pub(super) fn leads_out(self) -> bool {
        match self {
            Self::Always => true,
            Self::Root => rustix::process::geteuid().is_root(),
            Self::Perhaps | Self::Never(_) => false,
        }
    }
}

const CANARY: Got = Got::Said("@canary@");
const OPEN: Got = Got::Said("@open@");

const fn sh(name: &'static str, code: &'static str, got: Got, control: Control) -> Probe {
    Probe {
        name,
        needs: Needs::Files,
        code,
        python: false,
        got,
        control,
    }
}

const fn py(name: &'static str, code: &'static str, got: Got, control: Control) -> Probe {
    Probe {
        python: true,
        ..sh(name, code, got, control)
    }
}

const fn net(name: &'static str, code: &'static str, got: Got, control: Control) -> Probe {
    Probe {
        needs: Needs::Network,
        ..py(name, code, got, control)
    }
}

/// Every row. What destroys something of the scene for others comes last.
pub(super) fn probes() -> Vec<Probe> {
    [
        files::SECRETS,
        files::ENGINE,
        processes::OTHERS,
        files::WRITES,
        processes::POWERS,
        files::ARTIFACTS,
        processes::NETWORK,
        files::LAST,
    ]
    .concat()
}
