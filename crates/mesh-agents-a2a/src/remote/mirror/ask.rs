//! What the remote asks, and what it is answered.

use a2a::{Task, TaskStatus};
use mesh_agents_core::ids::QuestionId;
use mesh_agents_core::run::{Answer, Outcome, QuestionKind, RunEvent};
use mesh_agents_core::task::Failure;

use super::{Asking, Do, Look, Mirror, Phase, Request};
use crate::remote::question::{self, Asked};

impl Mirror {
    /// Asks the caller's user what this status asks.
    pub(super) fn asks(&mut self, status: TaskStatus) {
        let asked = self.question(&status);
        if let Some(answer) = self.late.take() {
            let before = self.terms.before.question.take();
            // A node names its questions; one that was asked since is not answered by the old answer.
            if !self.terms.on_mesh || before.is_none_or(|before| before == asked.id) {
                return self.reply(&asked, &answer);
            }
        }
        let shown = self.open.take_if(|open| asked.is(open)).is_some();
        if !shown {
            self.withdraw();
            self.log(RunEvent::Question {
                id: asked.id.clone(),
                kind: asked.kind,
                text: asked.text.clone(),
                options: asked.options.clone(),
            });
        }
        // Behind the place there would be a question that may be answered by then, and nobody is asked twice.
        self.place = None;
        self.poll.reset();
        self.out.push_back(Do::HangUp);
        self.wait_for_answer(Box::new(Asking { asked, status }));
    }

    /// What an earlier run asked is asked no more.
    pub(super) fn withdraw(&mut self) {
        if let Some(open) = self.open.take() {
            self.log(RunEvent::QuestionGone(open.id));
        }
    }

    /// The question in a status.
    fn question(&mut self, status: &TaskStatus) -> Asked {
        let terms = &self.terms;
        let number = match &self.late {
            Some(_) => 0,
            None => {
                self.asked += 1;
                self.asked
            }
        };
        let task = terms.on_mesh.then_some(&terms.task);
        let mut asked = question::of(status, &terms.run, number, task);
        if let Some(why) = self.refused.take() {
            asked.text = format!("{}\n\n(The last answer was not taken: {why})", asked.text);
        }
        asked
    }

    /// Waits for an answer, or for the remote to need none any more.
    pub(super) fn wait_for_answer(&mut self, asking: Box<Asking>) {
        let pause = self.poll.next() * 2;
        self.after(pause, Phase::Asking(asking));
    }

    /// Looks whether the remote still waits.
    pub(super) fn look_at_question(&mut self, asking: Box<Asking>) {
        if let Some(task) = self.remote.clone() {
            self.request(Request::Get { task }, Phase::Asking(asking));
        }
    }

    /// So the task stands whose question is open.
    pub(super) fn still_asked(&mut self, asking: Box<Asking>, task: Task) {
        self.heard();
        let before = &asking.status;
        let same = task.status.state == before.state && task.status.message == before.message;
        let now = self.news(task);
        match now {
            _ if self.is_over() => {}
            Some(now) if !same => {
                self.log(RunEvent::QuestionGone(asking.asked.id));
                let then = self.status(now, true);
                self.go_on(then, Look::Attach);
            }
            Some(_) | None => self.wait_for_answer(asking),
        }
    }

    /// The caller's user answers.
    pub(super) fn answer(&mut self, id: &QuestionId, answer: &Answer) {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Asking(asking) if asking.asked.id == *id => self.reply(&asking.asked, answer),
            other => {
                self.phase = other;
                // It is passed on once the remote is heard to ask that still.
                if self.open.take_if(|open| open.id == *id).is_some() {
                    self.terms.before.question = Some(id.clone());
                    self.late = Some(answer.clone());
                }
            }
        }
    }

    /// What follows from an answer.
    fn reply(&mut self, asked: &Asked, answer: &Answer) {
        self.poll.reset();
        self.retry.reset();
        if asked.kind == QuestionKind::Auth && *answer == Answer::Declined {
            let message = format!(
                "the remote agent needs a login and nobody gave it: {}; log in as it says, then send the message again",
                asked.text
            );
            let failure = Failure::new("remote_auth_required", message);
            return self.leave(Outcome::Failed(failure));
        }
        self.answered = Some((asked.id.clone(), answer.clone()));
        let (text, data) = asked.reply(answer);
        let message = self.follow_up(text, data);
        self.send(Box::new(message));
    }
}
