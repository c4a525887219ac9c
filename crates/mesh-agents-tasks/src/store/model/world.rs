//! A store and its model side by side: each step is done to both.
//!
//! The model knows what an operation must answer; that the row is what its events add up to is
//! checked after every step, for every task ([`crate::store::past::assert_adds_up`]).

use std::collections::HashMap;
use std::path::PathBuf;

use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::ids::{MessageId, QuestionId, RunId, TaskId};
use mesh_agents_core::principal::Principal;
use mesh_agents_core::question::Question;
use mesh_agents_core::run::{Answer, Outcome, QuestionKind};
use mesh_agents_core::task::{ArtifactInfo, Failure, Message, Role, Task, TaskState};
use mesh_agents_core::transition::{Happening, StopCause};
use rusqlite::Connection;
use ulid::Ulid;

use super::Op;
use crate::recover::plan::{Cut, CutBy};
use crate::store::open::open_connection;
use crate::store::past::assert_adds_up;
use crate::store::*;

/// A task as the model sees it.
#[derive(Debug, Clone)]
struct Known {
    id: TaskId,
    state: TaskState,
    stopping: bool,
    parked: bool,
    attempt: u32,
    questions: Vec<QuestionId>,
    messages: usize,
}

impl Known {
    fn runs(&self) -> bool {
        let asks = self.state == TaskState::InputRequired;
        self.state == TaskState::Working || (asks && !self.parked)
    }

    fn end(&mut self, state: TaskState) {
        self.state = state;
        self.parked = false;
        self.questions.clear();
    }
}

/// A store in a file, and what is known of it.
pub(super) struct World {
    path: PathBuf,
    db: Connection,
    now: i64,
    minted: u128,
    tasks: Vec<Known>,
    /// Task and body of every key that was taken.
    keys: HashMap<u8, (TaskId, u8)>,
}

fn open(path: &std::path::Path) -> Connection {
    let db = open_connection(path).unwrap();
    // What is tested is what a transaction holds, not the disk.
    db.pragma_update(None, "synchronous", "OFF").unwrap();
    db
}

impl World {
    /// An empty store.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            db: open(&path),
            path,
            now: 1_790_000_000_000,
            minted: 0,
            tasks: Vec::new(),
            keys: HashMap::new(),
        }
    }

    fn at(&self) -> UnixMillis {
        UnixMillis(self.now)
    }

    fn ulid(&mut self) -> Ulid {
        self.minted += 1;
        Ulid(self.minted)
    }

    fn message(&mut self) -> MessageId {
        MessageId::from_ulid(self.ulid())
    }

    fn key(key: u8, body: u8) -> Key {
        Key {
            agent: "a".parse().unwrap(),
            principal: Principal::Local,
            message_id: format!("m-{key}").parse().unwrap(),
            body_hash: body.to_string(),
            instance: None,
            answered_at_once: false,
        }
    }

    /// Does it in a transaction. One that dies before its commit must leave nothing, and is then
    /// done again by the next process.
    fn write<T>(
        &mut self,
        dies: bool,
        op: impl Fn(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if dies {
            self.db.execute_batch("BEGIN").unwrap();
            let _never_committed = op(&self.db);
            self.db = open(&self.path);
            self.check();
        }
        self.db.execute_batch("BEGIN").unwrap();
        let done = op(&self.db);
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        self.db.execute_batch(end).unwrap();
        done
    }

    fn row(&self, id: &TaskId) -> Row {
        task(&self.db, id, &Principal::Local).unwrap()
    }

    /// Everything must be as the model has it, and as its events add up.
    pub(super) fn check(&self) {
        for known in &self.tasks {
            let row = self.row(&known.id);
            assert_adds_up(&self.db, &row);
            assert_eq!(row.task.state, known.state, "{known:?}");
            assert_eq!(row.task.attempt, known.attempt, "{known:?}");
            assert_eq!(
                row.stopping.is_some(),
                known.stopping && known.runs(),
                "{known:?}"
            );
            assert_eq!(row.standing().parked(), known.parked, "{known:?}");
            let open = open_questions(&self.db, &known.id).unwrap().into_iter();
            let open: Vec<_> = open.map(|open| open.question.id).collect();
            assert_eq!(open, known.questions, "{known:?}");
            let shown = row
                .task
                .status_message
                .filter(|_| known.state.is_interrupted());
            assert_eq!(shown.is_some(), !known.questions.is_empty(), "{known:?}");
            assert_eq!(
                history(&self.db, &known.id).unwrap().len(),
                known.messages,
                "{known:?}"
            );
        }
    }

    fn submit(&mut self, key: u8, body: u8, dies: bool) {
        let id = TaskId::from_ulid(self.ulid());
        let (now, wanted) = (self.at(), Self::key(key, body));
        let new = blank(&id, now);
        let stored = self.write(dies, |db| match find(db, now, &wanted)? {
            Found::Nothing => {
                let said = Message::text(wanted.message_id.clone(), Role::User, "do");
                insert_task(db, now, new.clone(), said, None, &wanted).map(|task| Ok(task.id))
            }
            Found::Repeat(task) => Ok(Ok(task)),
            Found::Conflict(task) => Ok(Err(task)),
        });
        match (self.keys.get(&key), stored.unwrap()) {
            (Some((task, same)), Ok(found)) => assert_eq!((task, *same), (&found, body)),
            (Some((task, same)), Err(found)) => {
                assert_eq!(*task, found);
                assert_ne!(*same, body);
            }
            (None, stored) => {
                assert_eq!(stored.as_ref(), Ok(&id));
                self.keys.insert(key, (id.clone(), body));
                self.tasks.push(Known {
                    id,
                    state: TaskState::Submitted,
                    stopping: false,
                    parked: false,
                    attempt: 0,
                    questions: Vec::new(),
                    messages: 1,
                });
            }
        }
    }

    fn start(&mut self, n: usize, dies: bool) {
        let (now, minted) = (self.at(), self.message());
        let run = RunId::from_ulid(self.ulid());
        let terms = Terms {
            definition: "d".into(),
            limit_ms: 60_000,
            max_attempts: 3,
            retry: n.is_multiple_of(2),
            per_context: false,
        };
        let known = self.tasks[n].clone();
        let again = self.row(&known.id).again.is_some();
        let begun = self.write(dies, |db| {
            start_attempt(db, now, &known.id, &run, &terms, &minted)
        });
        assert_eq!(
            begun.is_ok(),
            known.state == TaskState::Submitted,
            "{known:?}"
        );
        if let Ok(begun) = begun {
            assert!(again || begun.resume.is_none());
            let known = &mut self.tasks[n];
            known.attempt += 1;
            known.state = TaskState::Working;
            known.stopping = false;
        }
    }

    /// A write of a run: accepted from the newest attempt while that runs, and from nobody else.
    fn by_run<T>(
        &mut self,
        n: usize,
        (late, dies): (bool, bool),
        op: impl Fn(&Connection, UnixMillis, &TaskId, u32) -> Result<T, StoreError>,
    ) -> Option<T> {
        let (now, known) = (self.at(), self.tasks[n].clone());
        let attempt = if late {
            known.attempt.wrapping_sub(1)
        } else {
            known.attempt
        };
        let done = self.write(dies, |db| op(db, now, &known.id, attempt));
        let may = !late && known.runs();
        assert_eq!(done.is_ok(), may, "{known:?} {:?}", done.err());
        done.ok()
    }

    fn ask(&mut self, n: usize, late: bool, dies: bool) {
        let (id, minted) = (QuestionId::from_ulid(self.ulid()), self.message());
        let question = OpenQuestion {
            question: Question {
                id: id.clone(),
                kind: QuestionKind::Elicitation,
                text: "Which?".into(),
                options: Vec::new(),
            },
            expires: UnixMillis(i64::MAX),
        };
        let asked = self.by_run(n, (late, dies), |db, now, task, attempt| {
            ask(db, now, task, attempt, &question, &minted)
        });
        let known = &mut self.tasks[n];
        if let Some(asked) = asked {
            assert_eq!(asked.is_some(), !known.stopping);
            if asked.is_some() {
                known.questions.push(id);
                known.state = TaskState::InputRequired;
            }
        }
    }

    /// Takes the oldest question out of the model; says whether it was there.
    fn settled(&mut self, n: usize) -> bool {
        let known = &mut self.tasks[n];
        if known.questions.is_empty() {
            return false;
        }
        known.questions.remove(0);
        if known.questions.is_empty() {
            known.state = match known.parked {
                true => TaskState::Submitted,
                false => TaskState::Working,
            };
            known.parked = false;
        }
        true
    }

    fn take_back(&mut self, n: usize, dies: bool) {
        let minted = self.message();
        let oldest = self.tasks[n].questions.first().cloned();
        let oldest = oldest.unwrap_or_else(|| QuestionId::from_ulid(Ulid(0)));
        let gone = self.by_run(n, (false, dies), |db, now, task, attempt| {
            settle(db, now, task, Some(attempt), (&oldest, None), None, &minted)
        });
        if let Some(gone) = gone {
            assert_eq!(gone.is_some(), self.settled(n));
        }
    }

    fn answer(&mut self, n: usize, key: u8, dies: bool) {
        let (now, minted, known) = (self.at(), self.message(), self.tasks[n].clone());
        let wanted = Self::key(key, u8::try_from(n).unwrap());
        let said = Message::text(wanted.message_id.clone(), Role::User, "that");
        let answered = self.write(dies, |db| {
            let read = |_: &Row, open: &[OpenQuestion]| match open.first() {
                Some(open) => Ok((open.question.id.clone(), Answer::Text("that".into()))),
                None => Err(mesh_agents_core::refusal::Refusal::new(
                    mesh_agents_core::refusal::Code::TaskBusy,
                    "it asks nothing",
                )),
            };
            answer(db, now, &wanted, &known.id, said.clone(), read, &minted)
        });
        match (answered.unwrap(), self.keys.get(&key).cloned()) {
            (Answered::Repeat(task), Some((taken, _))) => {
                assert_eq!((&task, &taken), (&taken, &known.id));
            }
            (Answered::Conflict(task), Some((taken, _))) => {
                assert_eq!(task, taken);
                assert_ne!(task, known.id);
            }
            (Answered::Refused(_), None) => assert!(known.questions.is_empty()),
            (Answered::Given(_, question, _), None) => {
                assert_eq!(known.questions.first(), Some(&question));
                self.keys.insert(key, (known.id, u8::try_from(n).unwrap()));
                self.tasks[n].messages += 1;
                assert!(self.settled(n));
            }
            (answered, key) => panic!("{answered:?} under {key:?}"),
        }
    }

    fn stop(&mut self, n: usize, shutdown: bool, dies: bool) {
        let (now, minted, known) = (self.at(), self.message(), self.tasks[n].clone());
        let cause = match shutdown {
            true => StopCause::Shutdown,
            false => StopCause::Canceled,
        };
        let stop = Happening::Stop(cause);
        let done = self.write(dies, |db| apply(db, now, &known.id, None, &stop, &minted));
        assert_eq!(done.is_ok(), !known.state.is_terminal());
        let known = &mut self.tasks[n];
        if known.runs() {
            known.stopping = true;
        } else if !known.state.is_terminal() && !shutdown {
            known.end(TaskState::Canceled);
        }
    }

    fn end(&mut self, n: usize, (late, well): (bool, bool), dies: bool) {
        let minted = self.message();
        let outcome = match well {
            true => Outcome::Completed {
                answer: "done".into(),
            },
            false => Outcome::Failed(Failure::new("harness_exited", "it left")),
        };
        let ended = Happening::Ended(outcome);
        let change = self.by_run(n, (late, dies), |db, now, task, attempt| {
            apply(db, now, task, Some(attempt), &ended, &minted)
        });
        if let Some(change) = change {
            let known = &mut self.tasks[n];
            known.messages += usize::from(well);
            assert_eq!(change.task.state == TaskState::Completed, well);
            known.end(change.task.state);
        }
    }

    fn cut_off(&mut self, n: usize, (killed, session_lost): (bool, bool), dies: bool) {
        let minted = self.message();
        let cut = Cut {
            by: if killed { CutBy::Kill } else { CutBy::Loss },
            why: "it was cut off".into(),
            at: None,
            session_lost,
            agent_known: true,
            undead: 0,
        };
        let change = self.by_run(n, (false, dies), |db, now, task, attempt| {
            run_gone(db, now, task, attempt, &cut, &minted)
        });
        let Some(change) = change else { return };
        let known = &mut self.tasks[n];
        let state = change.task.state;
        match state {
            // Nothing that was to end goes on, and no question is dropped by going on.
            TaskState::Submitted => assert!(!known.stopping && known.questions.is_empty()),
            TaskState::InputRequired => assert!(!known.stopping && !known.questions.is_empty()),
            _ => assert!(state.is_terminal()),
        }
        known.parked = state == TaskState::InputRequired;
        if state.is_terminal() {
            known.end(state);
        }
        known.state = state;
    }

    /// Does it to the store and to the model. `dies`: the process does so before its first commit.
    pub(super) fn act(&mut self, op: &Op, dies: bool) {
        self.now += 7;
        let known = self.tasks.len();
        let n = |task: u8| usize::from(task) % known.max(1);
        match *op {
            Op::Submit { key, body } => self.submit(key, body, dies),
            _ if known == 0 => {}
            Op::Start { task } => self.start(n(task), dies),
            Op::Session { task, late } => {
                self.by_run(n(task), (late, dies), |db, now, id, attempt| {
                    session_opened(db, now, id, attempt, "s".into(), true)
                });
            }
            Op::Say { task, late } => {
                let text = [TaskEvent::Text {
                    text: format!("{} ", self.now),
                }];
                self.by_run(n(task), (late, dies), |db, now, id, attempt| {
                    append(db, now, id, attempt, &text)
                });
            }
            Op::Keep {
                task,
                artifact,
                late,
            } => {
                let info = artifact_info(["response", "a.md", "b.json"][usize::from(artifact)]);
                self.by_run(n(task), (late, dies), |db, now, id, attempt| {
                    store_artifact(db, now, id, attempt, &info)
                });
            }
            Op::Ask { task, late } => self.ask(n(task), late, dies),
            Op::TakeBack { task } => self.take_back(n(task), dies),
            Op::Answer { task, key } => self.answer(n(task), key, dies),
            Op::Stop { task, shutdown } => self.stop(n(task), shutdown, dies),
            Op::End { task, late, well } => self.end(n(task), (late, well), dies),
            Op::CutOff {
                task,
                killed,
                session_lost,
            } => self.cut_off(n(task), (killed, session_lost), dies),
        }
    }
}

fn artifact_info(id: &str) -> ArtifactInfo {
    ArtifactInfo {
        id: id.parse().unwrap(),
        media_type: "text/markdown".into(),
        bytes: 1,
        sha256: "0".repeat(64),
        partial: false,
        remote: None,
    }
}

fn blank(id: &TaskId, now: UnixMillis) -> Task {
    Task {
        id: id.clone(),
        context_id: "ctx".parse().unwrap(),
        agent_id: "a".parse().unwrap(),
        principal: Principal::Local,
        state: TaskState::Submitted,
        status_message: None,
        failure: None,
        cancel_requested: false,
        unreachable_since: None,
        deliver_until: None,
        parent: None,
        depth: 0,
        attempt: 0,
        summary: String::new(),
        metadata: None,
        created_at: now,
        updated_at: now,
        version: 1,
        last_seq: 0,
    }
}
