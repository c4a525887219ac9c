//! Ways out through what lies on the disk: secrets, the engine's files, another task's, and results.

use super::Control::{Always, Never, Perhaps, Root};
use super::Got::{Delivered, Said, Wrote};
use super::{CANARY, OPEN, Probe, py, sh};

pub(super) const SECRETS: &[Probe] = &[
    sh("ssh key", "cat @home@/.ssh/id_ed25519", CANARY, Always),
    sh(
        "secret in HOME",
        "cat @home@/.netrc ~/.netrc",
        CANARY,
        Always,
    ),
    sh("list of HOME", "ls -a @home@ && echo @open@", OPEN, Always),
    sh("access token", "cat @data@/token", CANARY, Always),
    sh(
        "own environment",
        "env; cat /proc/self/environ /proc/$PPID/environ",
        CANARY,
        Never("the owner's variables reach no run"),
    ),
    sh(
        "engine's environment",
        "tr '\\0' '\\n' < /proc/@engine@/environ",
        CANARY,
        Always,
    ),
    sh("shadow", "cat /etc/shadow && echo @open@", OPEN, Root),
    sh(
        "a key of the machine",
        "f=$(find /etc -type f ! -perm -004 2>/dev/null | head -n 1); test -n \"$f\" && cat \"$f\" >/dev/null && echo @open@",
        OPEN,
        Perhaps,
    ),
    sh(
        "disk",
        "for d in /dev/vd? /dev/sd? /dev/nvme?n1 /dev/root /dev/mem; do head -c 1 $d > /dev/null && echo @open@; done",
        OPEN,
        Perhaps,
    ),
    sh(
        "terminals of the owner",
        "ls /dev/pts && echo @open@",
        OPEN,
        Always,
    ),
];

pub(super) const ENGINE: &[Probe] = &[
    sh(
        "database",
        "head -c 15 @data@/a2a/mesh-agents.sqlite",
        Said("SQLite format"),
        Always,
    ),
    sh(
        "database, to write",
        ": >> @data@/a2a/mesh-agents.sqlite && echo @open@",
        OPEN,
        Always,
    ),
    sh(
        "identity.key",
        ": < @data@/a2a/identity.key && echo @open@",
        OPEN,
        Always,
    ),
    sh(
        "identity.key, to write",
        ": >> @data@/a2a/identity.key && echo @open@",
        OPEN,
        Always,
    ),
    sh("acl.toml", "cat @data@/a2a/acl.toml", CANARY, Always),
    sh(
        "acl.toml, to write",
        "echo '# @mark@' >> @data@/a2a/acl.toml",
        Wrote("@data@/a2a/acl.toml"),
        Always,
    ),
    sh(
        "settings",
        "cat @data@/a2a/agents.toml",
        Said("listen ="),
        Always,
    ),
    sh(
        "engine's log",
        ": < @data@/a2a/engine.log && echo @open@",
        OPEN,
        Always,
    ),
    sh(
        "list of the engine's files",
        "ls @data@/a2a && echo @open@",
        OPEN,
        Always,
    ),
    sh(
        "engine's directory by /proc",
        "ls /proc/@engine@/cwd/ && echo @open@",
        OPEN,
        Always,
    ),
    sh(
        "engine's open files by /proc",
        "readlink /proc/@engine@/fd/* | grep -q . && echo @open@",
        OPEN,
        Always,
    ),
    sh(
        "root directory by /proc",
        "cat /proc/@engine@/root@home@/.netrc",
        CANARY,
        Always,
    ),
    py(
        "engine's memory",
        "start, length = mapping(@engine@)\nopen('/proc/@engine@/mem', 'rb', 0).seek(start)\nprint('@open@')",
        OPEN,
        Root,
    ),
    py(
        "engine's network",
        "fd = os.open('/proc/@engine@/ns/net', os.O_RDONLY)\nopened(libc.setns(fd, 0x40000000))",
        OPEN,
        Root,
    ),
];

pub(super) const WRITES: &[Probe] = &[
    sh(
        "HOME",
        "echo @mark@ > @home@/.bashrc",
        Wrote("@home@/.bashrc"),
        Always,
    ),
    sh(
        "another task's workspace, to write",
        "echo @mark@ > @other@/planted",
        Wrote("@other@/planted"),
        Always,
    ),
    sh(
        "another task's results, to write",
        "echo @mark@ > @results@/planted",
        Wrote("@results@/planted"),
        Always,
    ),
    sh(
        "temporary directory",
        "echo @mark@ > @tmp@/planted",
        Wrote("@tmp@/planted"),
        Always,
    ),
    sh(
        "another agent's definition",
        "echo '# @mark@' >> @agents@/tester/runtime.toml",
        Wrote("@agents@/tester/runtime.toml"),
        Always,
    ),
    sh(
        "own definition",
        "echo '# @mark@' >> @agents@/prober/runtime.toml",
        Wrote("@agents@/prober/runtime.toml"),
        Always,
    ),
    sh(
        "through a link",
        "ln -s @home@/linked here && echo @mark@ > here",
        Wrote("@home@/linked"),
        Always,
    ),
    sh(
        "through a directory's link",
        "ln -s @home@ there && echo @mark@ > there/linked-too",
        Wrote("@home@/linked-too"),
        Always,
    ),
    sh(
        "moved out",
        "echo @mark@ > moved && mv moved @home@/moved",
        Wrote("@home@/moved"),
        Always,
    ),
    sh(
        "results elsewhere",
        "TASK_ARTIFACTS_DIR=@home@ bash -c 'echo @mark@ > $TASK_ARTIFACTS_DIR/summary.md'",
        Wrote("@home@/summary.md"),
        Always,
    ),
];

pub(super) const ARTIFACTS: &[Probe] = &[
    sh(
        "link as an artifact",
        "ln -s @home@/.netrc $TASK_ARTIFACTS_DIR/link.txt",
        Delivered("link.txt"),
        Never("links are followed for nobody"),
    ),
    sh(
        "directory's link as an artifact",
        "ln -s @home@ $TASK_ARTIFACTS_DIR/dir",
        Delivered("dir/.netrc"),
        Never("links are followed for nobody"),
    ),
    sh(
        "hard link as an artifact",
        "ln @home@/.netrc $TASK_ARTIFACTS_DIR/hard.txt",
        Delivered("hard.txt"),
        Always,
    ),
    sh(
        "pipe as an artifact",
        "mkfifo $TASK_ARTIFACTS_DIR/pipe; (cat @home@/.netrc > $TASK_ARTIFACTS_DIR/pipe) >/dev/null 2>&1 &",
        Delivered("pipe"),
        Never("only files are collected"),
    ),
];

pub(super) const LAST: &[Probe] = &[
    sh(
        "link that comes late",
        "cd $TASK_ARTIFACTS_DIR; setsid bash -c 'while :; do echo x > swap.txt; rm swap.txt; ln -s @home@/.netrc swap.txt; rm swap.txt; sleep 0.002; done' >/dev/null 2>&1 &",
        Delivered("swap.txt"),
        Never("a run is dead before its artifacts are collected"),
    ),
    sh(
        "artifacts directory replaced",
        "mv $TASK_ARTIFACTS_DIR $TASK_ARTIFACTS_DIR.old && ln -s @home@ $TASK_ARTIFACTS_DIR",
        Delivered(".netrc"),
        Never("the control's other artifacts would be gone"),
    ),
];
