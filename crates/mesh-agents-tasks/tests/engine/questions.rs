//! Questions of a run: shown, answered by those who may, exactly once; expired, taken back, void.

use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::ids::{ContextId, QuestionId};
use mesh_agents_core::refusal::Refusal;
use mesh_agents_core::task::{Content, Message, Task};
use mesh_agents_tasks::Submit;

use super::prelude::*;

const PERMISSION: [&str; 3] = [
    "once:Allow once:allow_once",
    "always:Allow always:allow_always",
    "no:Reject:reject_once",
];

fn token(name: &str) -> Caller {
    Caller::token(name)
}

fn reply(task: &Task, text: &str) -> Submit {
    Submit {
        task_id: Some(task.id.clone()),
        ..submit(task.agent_id.as_str(), text, &unique())
    }
}

fn with(mut submit: Submit, metadata: &str) -> Submit {
    submit.message.metadata = Some(JsonText::parse(metadata).unwrap());
    submit
}

async fn answer(bench: &Bench, caller: &Caller, submit: Submit) -> Result<Task, Refusal> {
    bench.engine.submit(caller, submit).await
}

/// The question a task shows.
fn shown(task: &Task) -> String {
    let message = task.status_message.as_ref().unwrap();
    let Content::Data(data) = &message.parts[1].content else {
        panic!("{message:?}");
    };
    let data: serde_json::Value = data.read().unwrap();
    format!(
        "{} {} {}",
        data["kind"].as_str().unwrap(),
        data["question_id"].as_str().unwrap(),
        message.joined_text()
    )
}

async fn until_shown(bench: &Bench, id: &TaskId, question: &QuestionId) -> Task {
    loop {
        let task = bench.engine.task(&local(), id).await.unwrap();
        let message = task.status_message.as_ref();
        if message.is_some_and(|_| shown(&task).contains(question.as_str())) {
            return task;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_question_interrupts_is_answered_once_and_the_wait_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let task = bench.send("a", "x").await;
    let mut run = bench.next_run().await;
    run.say(RunEvent::Text("I need to know. ".into()));
    let question = run.ask(QuestionKind::Elicitation, "Which branch?", &[]);
    let me = local();
    let waited = bench.engine.wait(&me, &task.id, PATIENCE);
    let asked = waited.await.unwrap();
    assert_eq!(asked.state, TaskState::InputRequired);
    assert_eq!(
        shown(&asked),
        format!("elicitation {question} Which branch?")
    );

    let reply = reply(&task, "main");
    let working = answer(&bench, &local(), reply.clone()).await.unwrap();
    assert_eq!(working.state, TaskState::Working);
    assert_eq!(working.status_message, None);
    assert_eq!(run.told().await, (question, Answer::Text("main".into())));
    // A repeat is the same task and answers nothing; another body under its key is refused.
    let again = answer(&bench, &local(), reply.clone()).await.unwrap();
    assert_eq!(again.id, task.id);
    let other = Submit {
        message: Message::text(reply.message.message_id.clone(), Role::User, "develop"),
        ..reply
    };
    let conflict = answer(&bench, &local(), other).await.unwrap_err();
    assert_eq!(conflict.code, Code::MessageConflict);

    let waiting = bench.engine.wait(&me, &task.id, PATIENCE);
    let ending = async { run.complete("on main") };
    let (done, ()) = tokio::join!(waiting, ending);
    assert_eq!(done.unwrap().state, TaskState::Completed);
    assert!(run.answers.try_recv().is_err(), "answered twice");
    let view = bench.engine.view(&local(), &task.id).await.unwrap();
    let said: Vec<_> = view.history.iter().map(Message::joined_text).collect();
    assert_eq!(said, ["x", "main", "on main"]);
    assert_eq!(
        bench.kinds(&task.id).await,
        [
            "message",
            "attempt",
            "state",
            "text",
            "question",
            "state",
            "message",
            "question_gone",
            "state",
            "artifact",
            "message",
            "state"
        ]
    );
}

#[tokio::test]
async fn several_open_questions_are_shown_one_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let task = bench.send("a", "x").await;
    let mut run = bench.next_run().await;
    let first = run.ask(QuestionKind::Permission, "May I?", &PERMISSION);
    let second = run.ask(QuestionKind::Auth, "Log in", &[]);
    let third = run.ask(QuestionKind::Elicitation, "Which?", &["a:A:", "b:B:"]);
    let asked = until_shown(&bench, &task.id, &first).await;
    assert_eq!(asked.state, TaskState::InputRequired);
    bench.stored(&task.id, "question", 3).await;
    // Still the oldest; a younger one is answered when it is named.
    until_shown(&bench, &task.id, &first).await;
    let named = with(
        reply(&task, "B"),
        &format!(r#"{{"question_id":"{third}"}}"#),
    );
    let still = answer(&bench, &local(), named).await.unwrap();
    assert!(shown(&still).contains(first.as_str()));
    let once = with(reply(&task, "ok"), r#"{"option_id":"once"}"#);
    let login = answer(&bench, &local(), once).await.unwrap();
    assert_eq!(login.state, TaskState::AuthRequired);
    assert_eq!(shown(&login), format!("auth {second} Log in"));
    let stale = with(
        reply(&task, "1"),
        &format!(r#"{{"question_id":"{first}"}}"#),
    );
    let gone = answer(&bench, &local(), stale).await.unwrap_err();
    assert_eq!(gone.code, Code::QuestionGone);
    assert!(gone.hint.unwrap().contains(second.as_str()));
    let working = answer(&bench, &local(), reply(&task, "done"))
        .await
        .unwrap();
    assert_eq!(working.state, TaskState::Working);
    let option = |id: &str| Answer::Option(id.into());
    assert_eq!(run.told().await, (third, option("b")));
    assert_eq!(run.told().await, (first, option("once")));
    assert_eq!(run.told().await, (second, Answer::Text("done".into())));
    run.complete("ok");
    bench.until(&task.id, TaskState::Completed).await;
}

#[tokio::test]
async fn who_may_not_answer_and_what_is_no_answer_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let ci = token("ci");
    let sent = bench.engine.submit(&ci, submit("a", "x", &unique()));
    let task = sent.await.unwrap();
    let mut run = bench.next_run().await;
    let own = run.spec.tools.clone().unwrap().token;
    let itself = bench.engine.caller_of_token(&own).unwrap();
    run.ask(QuestionKind::Permission, "May I?", &PERMISSION);
    bench.until(&task.id, TaskState::InputRequired).await;

    for (caller, code) in [
        (&ci, Code::NotAllowed),
        (&token("other"), Code::TaskNotFound),
        (&itself, Code::TaskNotFound),
    ] {
        let refused = answer(&bench, caller, reply(&task, "1")).await.unwrap_err();
        assert_eq!(refused.code, code, "{}", caller.principal);
    }
    let unclear = answer(&bench, &local(), reply(&task, "maybe")).await;
    let unclear = unclear.unwrap_err();
    assert_eq!(unclear.code, Code::InvalidArgument);
    assert!(unclear.hint.unwrap().contains("2. Allow always"));
    let elsewhere = Submit {
        context_id: Some("ctx-other".parse::<ContextId>().unwrap()),
        ..reply(&task, "1")
    };
    let elsewhere = answer(&bench, &local(), elsewhere).await.unwrap_err();
    assert_eq!(elsewhere.code, Code::InvalidArgument);
    let asked = bench.engine.task(&local(), &task.id).await.unwrap();
    assert_eq!(asked.state, TaskState::InputRequired);

    let here = Submit {
        context_id: Some(task.context_id.clone()),
        ..reply(&task, "3")
    };
    answer(&bench, &local(), here).await.unwrap();
    assert_eq!(run.told().await.1, Answer::Option("no".into()));
    // An elicitation is its own caller's.
    run.ask(QuestionKind::Elicitation, "Which?", &[]);
    bench.until(&task.id, TaskState::InputRequired).await;
    answer(&bench, &ci, reply(&task, "that")).await.unwrap();
    assert_eq!(run.told().await.1, Answer::Text("that".into()));
    run.complete("ok");
    bench.until(&task.id, TaskState::Completed).await;
}

#[tokio::test]
async fn a_run_does_not_answer_the_questions_of_its_children() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a"), definition("b")])).await;
    let _task = bench.send("a", "x").await;
    let parent = bench.next_run().await;
    let harness = parent.spec.tools.clone().unwrap().token;
    let harness = bench.engine.caller_of_token(&harness).unwrap();
    let child = bench
        .engine
        .submit(&harness, submit("b", "help", &unique()));
    let child = child.await.unwrap();
    let run = bench.next_run().await;
    run.ask(QuestionKind::Elicitation, "Which?", &[]);
    bench.until(&child.id, TaskState::InputRequired).await;
    let refused = answer(&bench, &harness, reply(&child, "that")).await;
    assert_eq!(refused.unwrap_err().code, Code::NotAllowed);
    run.complete("ok");
    bench.until(&child.id, TaskState::Completed).await;
    parent.complete("ok");
}

#[tokio::test]
async fn a_question_nobody_answers_is_declined_and_the_run_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = definition("a");
    // Longer asked than silent: a question stops the clock of silence.
    agent.policy.idle_seconds = 600;
    agent.policy.ask_seconds = 1_200;
    agent.policy.max_task_seconds = u64::MAX;
    let mut bench = Bench::open(dir.path(), agents([agent])).await;
    let task = bench.send("a", "x").await;
    let mut run = bench.next_run().await;
    let question = run.ask(QuestionKind::Permission, "May I?", &PERMISSION);
    let form = run.ask(QuestionKind::Elicitation, "Which?", &[]);
    bench.stored(&task.id, "question", 2).await;
    let mut told = Vec::new();
    while told.len() < 2 {
        jump(900).await;
        // What the jump made due is done in its own time.
        tokio::time::sleep(Duration::from_millis(5)).await;
        told.extend(std::iter::from_fn(|| run.answers.try_recv().ok()));
    }
    let no = (question, Answer::Option("no".into()));
    assert_eq!(told, [no, (form, Answer::Declined)]);
    run.complete("without");
    bench.until(&task.id, TaskState::Completed).await;
    let events = bench
        .engine
        .events(&local(), &task.id, 0, 100)
        .await
        .unwrap();
    let notes = events.iter().filter(|one| {
        matches!(&one.event, TaskEvent::Note { code, text, .. }
            if code == "question_expired" && text.contains("policy.ask_seconds"))
    });
    assert_eq!(notes.count(), 2);
}

#[tokio::test]
async fn a_question_does_not_stop_the_clock_of_the_task() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = definition("a");
    agent.policy.max_task_seconds = 600;
    let mut bench = Bench::open(dir.path(), agents([agent])).await;
    let task = bench.send("a", "x").await;
    let run = bench.next_run().await;
    run.ask(QuestionKind::Elicitation, "Which?", &[]);
    bench.until(&task.id, TaskState::InputRequired).await;
    jump(700).await;
    let failed = bench.until(&task.id, TaskState::Failed).await;
    assert_eq!(failed.failure.unwrap().code, "deadline_exceeded");
    let kinds = bench.kinds(&task.id).await;
    assert!(kinds.contains(&"question_gone"), "{kinds:?}");
}

#[tokio::test]
async fn a_question_the_run_takes_back_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let task = bench.send("a", "x").await;
    let mut run = bench.next_run().await;
    let question = run.ask(QuestionKind::Elicitation, "Which?", &[]);
    bench.until(&task.id, TaskState::InputRequired).await;
    run.say(RunEvent::QuestionGone(question));
    bench.until(&task.id, TaskState::Working).await;
    let late = answer(&bench, &local(), reply(&task, "that")).await;
    assert_eq!(late.unwrap_err().code, Code::TaskBusy);
    // A cancel ends a question too, and its run is not asked to go on.
    run.ask(QuestionKind::Elicitation, "And now?", &[]);
    bench.until(&task.id, TaskState::InputRequired).await;
    let canceled = bench.engine.cancel(&local(), &task.id).await.unwrap();
    assert_eq!(canceled.state, TaskState::Canceled);
    let late = answer(&bench, &local(), reply(&task, "that")).await;
    assert_eq!(late.unwrap_err().code, Code::TaskTerminal);
    assert!(run.answers.try_recv().is_err());
}

#[tokio::test]
async fn a_run_that_asks_without_end_is_declined() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let task = bench.send("a", "x").await;
    let mut run = bench.next_run().await;
    for n in 0..32 {
        run.ask(QuestionKind::Elicitation, &format!("{n}?"), &[]);
    }
    let last = run.ask(QuestionKind::Permission, "One more?", &PERMISSION);
    assert_eq!(run.told().await, (last, Answer::Option("no".into())));
    run.complete("ok");
    bench.until(&task.id, TaskState::Completed).await;
}

#[tokio::test]
async fn an_engine_that_lets_its_runs_end_takes_the_answers_they_wait_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let task = bench.send("a", "x").await;
    let mut run = bench.next_run().await;
    let question = run.ask(QuestionKind::Elicitation, "Which branch?", &[]);
    until_shown(&bench, &task.id, &question).await;
    let ending = bench.engine.shutdown(false);
    let talking = async {
        let refused = loop {
            let new = bench
                .engine
                .submit(&local(), submit("a", "new", &unique()))
                .await;
            // The shutdown beside this has begun with its first turn.
            match new {
                Err(refusal) => break refusal,
                Ok(_) => tokio::task::yield_now().await,
            }
        };
        assert_eq!(refused.code, Code::EngineUnavailable);
        answer(&bench, &local(), reply(&task, "main"))
            .await
            .unwrap();
        assert_eq!(run.told().await, (question, Answer::Text("main".into())));
        run.complete("on main");
    };
    tokio::time::timeout(PATIENCE, async { tokio::join!(ending, talking) })
        .await
        .expect("the engine ends when its runs have ended");
    let bench = Bench::open(dir.path(), agents([definition("a")])).await;
    bench.until(&task.id, TaskState::Completed).await;
    bench.engine.shutdown(true).await;
}
