//! What the runs themselves say: every run of a message appends lines to that message's own file. The file's
//! name is in the message, so it shows how often a message ran, whatever the engine thinks of it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::schedule::Work;

/// What stands in a message before its key, for the agent that is a shell script.
const KEY: &str = "fault-key ";

/// In a message that waits, for the same agent.
const WAITS: &str = "wait for the gate";

/// In a message that streams, for the same agent.
const STREAMS: &str = "take your time";

/// The notes of the runs of one message.
#[derive(Clone, Debug)]
pub(crate) struct Witness {
    directory: PathBuf,
    key: String,
}

/// One note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// `start` or `end`.
    pub(crate) what: String,
    /// The run that wrote it.
    pub(crate) run: String,
}

impl Witness {
    /// The notes on the message with that key.
    pub(crate) fn new(directory: &Path, key: String) -> Self {
        Self {
            directory: directory.to_owned(),
            key,
        }
    }

    /// The key: unique among all messages of all points of a run of this program.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    fn file(&self, suffix: &str) -> PathBuf {
        self.directory.join(format!("{}{suffix}", self.key))
    }

    /// The message: what the scripted agent does, line by line, and the words the shell script looks for.
    pub(crate) fn message(&self, work: Work) -> String {
        let (notes, gate, pids) = (self.file(""), self.file(".go"), self.file(".pids"));
        let (notes, gate, pids) = (notes.display(), gate.display(), pids.display());
        let key = &self.key;
        let mut lines = vec![
            format!("{KEY}{key}"),
            format!("script: sh echo \"start $MESH_AGENT_RUN\" >> {notes}"),
        ];
        match work {
            Work::Quick => {}
            Work::Stream => {
                lines.push(STREAMS.to_owned());
                lines.push("script: chunks 30 40 10".to_owned());
            }
            Work::Gated => lines.push(WAITS.to_owned()),
            Work::Brood => {
                let kinds = ["setsid", "double", "hidden"];
                lines.extend(kinds.map(|kind| format!("script: daemon {kind} {pids}")));
            }
            Work::Asks => lines.push("script: elicit Shall I go on?".to_owned()),
            Work::Deaf => lines.push("script: deaf".to_owned()),
        }
        if matches!(work, Work::Gated | Work::Brood) {
            lines.push("script: chunks 3 40 5".to_owned());
            lines.push(format!("script: wait_file {gate}"));
        }
        lines.push(format!("script: write $TASK_ARTIFACTS_DIR/out.txt {key}"));
        lines.push(format!(
            "script: sh echo \"end $MESH_AGENT_RUN\" >> {notes}"
        ));
        lines.push(format!("script: text the work on {key} is done"));
        lines.join("\n")
    }

    /// The script that does the same where there is no scripted agent.
    pub(crate) fn shell_script(directory: &Path) -> String {
        let directory = directory.display();
        format!(
            "#!/bin/sh\n# Does what the message wants, and notes when.\nset -eu\n\
             key=$(sed -n 's/^{KEY}//p' \"$TASK_PROMPT_PATH\")\n\
             echo \"start $MESH_AGENT_RUN\" >> \"{directory}/$key\"\n\
             if grep -q '{STREAMS}' \"$TASK_PROMPT_PATH\"; then\n  \
             for n in 1 2 3 4 5 6; do echo \"piece $n\"; sleep 0.05; done\nfi\n\
             if grep -q '{WAITS}' \"$TASK_PROMPT_PATH\"; then\n  \
             while [ ! -e \"{directory}/$key.go\" ]; do sleep 0.02; done\nfi\n\
             echo \"$key\" > \"$TASK_ARTIFACTS_DIR/out.txt\"\n\
             echo \"end $MESH_AGENT_RUN\" >> \"{directory}/$key\"\n\
             echo \"the work on $key is done\"\n"
        )
    }

    /// Lets what waits go on.
    pub(crate) fn let_go(&self) -> Result<()> {
        fs::write(self.file(".go"), "").context("open a gate")
    }

    /// The notes so far.
    pub(crate) fn notes(&self) -> Vec<Note> {
        // Not there means that nothing ran.
        let text = fs::read_to_string(self.file("")).unwrap_or_default();
        let lines = text.split_inclusive('\n');
        lines
            .filter_map(|line| {
                let (what, run) = line.strip_suffix('\n')?.split_once(' ')?;
                Some(Note {
                    what: what.to_owned(),
                    run: run.to_owned(),
                })
            })
            .collect()
    }

    /// Whether a run of it began.
    pub(crate) fn started(&self) -> bool {
        self.notes().iter().any(|note| note.what == "start")
    }
}
