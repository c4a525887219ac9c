//! What must hold at every moment, and at the end.

use std::collections::BTreeMap;

use mesh_agents_core::limits::OFFLINE_WAIT;
use mesh_agents_core::run::Outcome;
use mesh_agents_core::task::TaskState;

use super::super::caller::Sent;
use super::super::counts::{Counts, Rare};
use super::super::node::Node;
use super::super::owner::Owned;
use super::World;

impl World {
    /// At every moment: one task for one message, one start of each attempt, and no word here that was
    /// not said there.
    pub(crate) fn check(&mut self) {
        for node in &self.nodes {
            let mut messages = BTreeMap::new();
            for task in &node.tasks.tasks {
                let key = (
                    task.principal.to_string(),
                    task.agent.clone(),
                    &task.message,
                );
                let before = messages.insert(key, &task.id);
                assert!(before.is_none(), "{} was taken twice", task.message);
                assert!(task.starts.iter().all(|n| *n == 1), "{}", task.id);
                let most = usize::try_from(task.kills).unwrap() + 1;
                assert!(task.starts.len() <= most, "{} was started anew", task.id);
            }
            for sent in &node.sent {
                let there = self.there(node, sent);
                if sent.task.attempt == 0 {
                    assert!(there.is_none(), "{} has not left", sent.task.id);
                }
                let forgotten = sent.wish.is_some()
                    && sent.ended.is_none()
                    && !sent.standing.cancel_requested();
                assert!(!forgotten, "the wish to end {}", sent.task.id);
                if let Some(there) = there {
                    assert!(
                        there.text().starts_with(&sent.text),
                        "{}: {:?} is not the start of {:?}",
                        sent.task.id,
                        sent.text,
                        there.text()
                    );
                }
            }
        }
    }

    /// The task that an owner made of what was sent.
    fn there(&self, caller: &Node, sent: &Sent) -> Option<&Owned> {
        let owner = &self.nodes[self.at_key(&sent.owner)];
        let message = sent.message();
        owner.tasks.tasks.iter().find(|task| {
            task.message == message
                && task.agent == sent.agent
                && task.principal == caller.principal
        })
    }

    /// At the end: everybody knows everything, and every task is over, here as there.
    pub(crate) fn check_end(&mut self) {
        self.check();
        self.check_mesh();
        let (mut completed, mut counts) = (0, Counts::default());
        for node in &self.nodes {
            for task in &node.tasks.tasks {
                let state = task.standing.state;
                assert!(state.is_terminal(), "{} is {state} for ever", task.id);
            }
            for sent in &node.sent {
                let there = self.there(node, sent);
                agree(sent, there);
                sent.seen.iter().for_each(|what| counts.saw(*what));
                if sent.was_never_named() {
                    counts.saw(Rare::NeverNamed);
                }
                if sent.is_untold() && sent.standing.state == TaskState::Canceled {
                    counts.saw(Rare::WishGivenUp);
                }
                completed += u64::from(matches!(sent.ended, Some(Outcome::Completed { .. })));
            }
        }
        self.counts.add(&counts);
        self.counts.completed = completed;
    }
}

/// The end here is the end there.
fn agree(sent: &Sent, there: Option<&Owned>) {
    let ended = sent.ended.as_ref();
    let Some(ended) = ended else {
        panic!("{} never ends: {:?}", sent.task.id, sent.standing);
    };
    let state = there.map(|there| there.standing.state);
    // Its owner took the caller off the list, or the agent back, and what it has is not ours to know.
    if sent.denied {
        return;
    }
    // Nobody knows whether its message arrived.
    if sent.standing.state == TaskState::Failed && sent.was_never_named() {
        return;
    }
    // What its outcome makes of it: a wish to end it counts for the state.
    let there = match (sent.standing.state, ended, state) {
        (TaskState::Canceled, _, None | Some(TaskState::Canceled)) => {
            assert!(
                sent.wish.is_some(),
                "{} was canceled by nobody",
                sent.task.id
            );
            return;
        }
        // Nobody could be told in 72 hours.
        (TaskState::Canceled, _, Some(_)) if sent.is_untold() => {
            let waited = u128::from(sent.ended_at - sent.wish.unwrap());
            assert!(waited >= OFFLINE_WAIT.as_millis(), "after {waited} ms");
            return;
        }
        (TaskState::Failed, Outcome::Failed(failure), None) => {
            let unsent = sent.task.attempt == 0 && failure.code == "owner_offline";
            assert!(
                unsent || failure.code == "remote_unreachable",
                "{failure:?}"
            );
            return;
        }
        (TaskState::Failed, Outcome::Failed(failure), Some(TaskState::Failed)) => {
            assert_eq!(failure.code, "remote_failed", "{failure:?}");
            there.unwrap()
        }
        // The wish came when it had failed.
        (TaskState::Canceled, Outcome::Failed(_), Some(TaskState::Failed))
            if sent.wish.is_some() =>
        {
            return;
        }
        (TaskState::Completed, _, Some(TaskState::Completed)) => there.unwrap(),
        other => panic!("{}: {other:?}, {:?}", sent.task.id, sent.notes),
    };
    assert_eq!(sent.text, there.text(), "{}", sent.task.id);
    if there.standing.state == TaskState::Completed {
        let mut files = sent.files.clone();
        // Made here of the final text.
        files.remove("summary.md");
        assert_eq!(files, there.files(), "{}", sent.task.id);
    }
}
