//! A task's open question on a terminal: its options, and the command that answers it.

use mesh_agents_core::run::{QuestionKind, QuestionOption};
use serde::Deserialize;

use crate::output::Words;

/// The data of a waiting task's status message.
#[derive(Debug, Deserialize)]
pub(super) struct Question {
    kind: QuestionKind,
    /// Who answers it, where that is not the caller.
    answered_by: Option<String>,
    #[serde(default)]
    options: Vec<QuestionOption>,
}

impl Question {
    /// The options with their numbers, and how to answer. The question itself is the task's status.
    pub(super) fn how_to_answer(&self, agent: &str, task: &str, words: Words) -> Vec<String> {
        let options = (1_usize..).zip(&self.options);
        let mut lines: Vec<String> = options
            .map(|(number, option)| format!("  {number}. {} ({})", option.name, option.id))
            .collect();
        if self.answered_by.as_deref() == Some("owner") {
            lines.push("the owner of the agent's node answers this".to_owned());
            return lines;
        }
        let command = words.commands(&format!("agents send {agent} --task {task}"));
        match self.options.as_slice() {
            [] => {}
            [only] => {
                let id = shell_word(&only.id);
                lines.push(format!("answer with: {command} --option {id}"));
            }
            // None of them is suggested.
            _ => lines.push(format!("answer with: {command} --option ID")),
        }
        match (self.kind, self.options.is_empty()) {
            (QuestionKind::Permission | QuestionKind::OwnerPermission, true) => {
                lines.push(format!(
                    "it offers no answer; {} ends the task",
                    words.commands(&format!("agents cancel {task}"))
                ));
            }
            (QuestionKind::Auth, false) => {
                lines.push(format!("or, once logged in elsewhere: {command} done"));
            }
            (QuestionKind::Auth, true) => lines.push(format!("once logged in: {command} done")),
            (QuestionKind::Elicitation, true) => {
                lines.push(format!("answer with: {command} \"your answer\""));
            }
            (_, false) => {}
        }
        lines
    }
}

/// A word as a shell takes it.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@".contains(c);
    if !word.is_empty() && word.chars().all(plain) && !word.starts_with('-') {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_a_harness_cannot_become_a_command() {
        assert_eq!(shell_word("allow_once"), "allow_once");
        assert_eq!(shell_word("$(rm -rf x)"), "'$(rm -rf x)'");
        assert_eq!(shell_word("it's"), "'it'\\''s'");
        assert_eq!(shell_word(""), "''");
    }
}
