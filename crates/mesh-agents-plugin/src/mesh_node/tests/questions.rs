//! Questions of a run on one node, asked and answered on another.

use futures::channel::mpsc;
use mesh_agents_core::refusal::Code;
use mesh_agents_core::run::{QuestionKind, QuestionOption};

use super::*;

/// Asks once and completes with what it was answered.
struct Asks(mpsc::UnboundedSender<RunEvent>);

impl RunControl for Asks {
    fn answer(&self, _question: &QuestionId, answer: Answer) {
        let said = match answer {
            Answer::Option(option) => option,
            Answer::Text(text) => text,
            Answer::Declined => "nothing".to_owned(),
        };
        let answer = format!("answered: {said}");
        // A second answer comes too late.
        let _over = self
            .0
            .unbounded_send(RunEvent::Ended(Outcome::Completed { answer }));
    }

    fn cancel(&self) {
        let _over = self.0.unbounded_send(RunEvent::Ended(Outcome::Canceled));
    }
}

/// A run that asks: for permission, if its prompt says so.
pub(super) fn asking(spec: &RunSpec) -> Run {
    let (events, stream) = mpsc::unbounded();
    let kind = match spec.prompt.contains("permission") {
        true => QuestionKind::Permission,
        false => QuestionKind::Elicitation,
    };
    let option = |id: &str, kind: &str| QuestionOption {
        id: id.into(),
        name: id.to_uppercase(),
        kind: kind.into(),
    };
    let asked = RunEvent::Question {
        id: QuestionId::from_ulid(Ulid::new()),
        kind,
        text: "Shall I?".into(),
        options: vec![option("yes", "allow_once"), option("no", "reject_once")],
    };
    events.unbounded_send(asked).unwrap();
    Run {
        events: stream.boxed(),
        control: Arc::new(Asks(events)),
    }
}

async fn told(node: &Peer, task: &str) -> Value {
    let args = json!({ "task_id": task });
    node.call(Caller::local(), "get_task", args).await.unwrap()
}

/// What is asked, once something is. Seen in one look: a question asked anew is gone for an instant between.
async fn asks(node: &Peer, task: &str) -> Value {
    let mut asked = Value::Null;
    until(async || {
        let shown = told(node, task).await;
        asked = shown["task"]["status"]["message"]["parts"][1]["data"].clone();
        shown["state"] == "input_required"
    })
    .await;
    asked
}

async fn answer(node: &Peer, task: &str, metadata: Value) -> Result<Value, Refusal> {
    let args =
        json!({ "agent_id": "echo", "task_id": task, "message": "so", "metadata": metadata });
    node.call(Caller::local(), "send_message", args).await
}

/// The only task of this node that asks, once it does.
async fn only(node: &Peer) -> String {
    let mut asks = None;
    until(async || {
        let args = json!({ "state": "input_required" });
        let list = node.call(Caller::local(), "list_tasks", args).await;
        let id = list.unwrap()["tasks"][0]["task_id"].clone();
        asks = id.as_str().map(str::to_owned);
        asks.is_some()
    })
    .await;
    asks.unwrap()
}

async fn said(node: &Peer, task: &str) -> String {
    until(async || told(node, task).await["state"] == "completed").await;
    told(node, task).await["task"]["history"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_asked_at_the_caller_and_its_answer_reaches_the_run_over_a_restart_too() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![]).await;
    a.allow(b.node.key(), "*").await;
    let echo = b.sees("echo", &a).await;
    for restart in [false, true] {
        let task = b.send(&echo, "ask which").await;
        let id = task.id.as_str();
        let question = asks(&b, id).await;
        assert_eq!(question["kind"], "elicitation");
        assert_eq!(question["options"][1]["name"], "NO");
        let stale = json!({ "option_id": "no", "question_id": "q-01ARZ3NDEKTSV4RRFFQ69G5FAV" });
        let stale = answer(&b, id, stale).await.unwrap_err();
        assert_eq!(stale.code, Code::QuestionGone);
        if restart {
            break;
        }
        let chosen = json!({ "option_id": "no", "question_id": question["question_id"] });
        answer(&b, id, chosen).await.unwrap();
        assert!(said(&b, id).await.contains("answered: no"));
    }
    let id = only(&b).await;
    let dir = b.leave(&mesh).await;
    let number = format!("{:064x}", 2).parse().unwrap();
    let b = Peer::join_as(&mesh, 2, number, vec![], dir).await;
    b.sees("echo", &a).await;
    asks(&b, &id).await;
    answer(&b, &id, json!({ "option_id": "yes" }))
        .await
        .unwrap();
    assert!(said(&b, &id).await.contains("answered: yes"));
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}

/// The caller's engine was started anew while its task asks there; then the question goes away without it.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_a_question_stays_open_and_what_becomes_of_it_at_its_owner_is_heard() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let mut b = Peer::join(&mesh, 2, vec![]).await;
    a.allow(b.node.key(), "*").await;
    let echo = b.sees("echo", &a).await;
    for (who, ends) in [("answered", "completed"), ("canceled", "canceled")] {
        let task = b.send(&echo, "ask which").await;
        let id = task.id.as_str();
        let question = asks(&b, id).await;
        let begun = told(&b, id).await["task"]["status"].clone();
        let dir = b.leave(&mesh).await;
        let number = format!("{:064x}", 2).parse().unwrap();
        b = Peer::join_as(&mesh, 2, number, vec![], dir).await;
        // Nothing shows of it: the same question, asked once.
        assert_eq!(asks(&b, id).await, question);
        assert_eq!(told(&b, id).await["task"]["status"], begun);
        let there = only(&a).await;
        if who == "answered" {
            let yes = json!({ "option_id": "yes" });
            answer(&a, &there, yes).await.unwrap();
        } else {
            let args = json!({ "task_id": there });
            a.call(Caller::local(), "cancel_task", args).await.unwrap();
        }
        let over = ["completed", "canceled", "failed"];
        until(async || over.contains(&&*word(&told(&b, id).await))).await;
        let shown = told(&b, id).await;
        let state = word(&shown);
        assert!(state == ends || state == "failed", "{shown}");
        assert_eq!(
            shown["task"].to_string().contains("answered: yes"),
            ends == "completed",
            "{shown}"
        );
    }
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}

/// The state of a task as a tool shows it.
fn word(shown: &Value) -> String {
    shown["state"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_is_shown_to_the_caller_and_given_by_the_owner_or_a_key_that_approves() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![]).await;
    a.allow(b.node.key(), "*").await;
    let echo = b.sees("echo", &a).await;
    let task = b.send(&echo, "ask for permission").await;
    let id = task.id.as_str();
    let question = asks(&b, id).await;
    assert_eq!(
        (&question["kind"], &question["answered_by"]),
        (&json!("permission"), &json!("owner"))
    );
    let yes = || json!({ "option_id": "yes" });
    let refused = answer(&b, id, yes()).await.unwrap_err();
    assert_eq!(refused.code, Code::NotAllowed);
    let words = refused.to_string();
    for word in [
        &*a.node.key().to_string(),
        "agents peers allow",
        "--approve",
    ] {
        assert!(words.contains(word), "{word} in {words}");
    }
    let there = only(&a).await;
    answer(&a, &there, yes()).await.unwrap();
    assert!(said(&b, id).await.contains("answered: yes"));

    // Told to approve, its owner's word is the caller's to give, of a question that is open already too.
    let task = b.send(&echo, "ask for permission").await;
    let id = task.id.as_str();
    assert_eq!(asks(&b, id).await["answered_by"], "owner");
    let list = format!(
        "[peers.\"{}\"]\nallow = [\"*\"]\napprove = true\n",
        b.node.key()
    );
    write_list(a.dir.path(), &list);
    until(async || asks(&b, id).await.get("answered_by").is_none()).await;
    answer(&b, id, json!({ "option_id": "no" })).await.unwrap();
    assert!(said(&b, id).await.contains("answered: no"));
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}
