//! What a harness asks and somebody has to answer: permissions, forms, logins.

use std::fs;

use futures::StreamExt as _;
use mesh_agents_core::agent::{AgentDefinition, Approval};
use mesh_agents_core::run::{
    Answer, Outcome, QuestionKind, QuestionOption, Run, RunEvent, Runner as _,
};

use super::support::{Events, World, scripted, within};

fn asking(world: &World) -> AgentDefinition {
    let mut agent = world.agent();
    agent.policy.approval = Approval::Ask;
    agent
}

fn option(id: &str) -> Answer {
    Answer::Option(id.to_owned())
}

fn text(text: &str) -> Answer {
    Answer::Text(text.to_owned())
}

fn ids(options: &[QuestionOption]) -> Vec<&str> {
    options.iter().map(|option| option.id.as_str()).collect()
}

/// Reads up to the next question; the events before it are added to `events`.
async fn next_question(
    run: &mut Run,
    events: &mut Vec<RunEvent>,
) -> mesh_agents_core::ids::QuestionId {
    within(async {
        loop {
            let event = run.events.next().await.expect("a question");
            events.push(event.clone());
            if let RunEvent::Question { id, .. } = event {
                return id;
            }
        }
    })
    .await
}

const ASK: &str = "script: ask allow_always reject_once allow_once\nscript: text .";

#[tokio::test]
async fn the_owner_is_asked_with_the_harnesss_own_options_and_the_answer_is_chosen() {
    let world = World::new();
    for (answer, chosen) in [
        (option("allow_once"), "selected allow_once"),
        (option("allow_always"), "selected allow_always"),
        (option("reject_once"), "selected reject_once"),
        (text("Allow_Once"), "selected allow_once"),
        (Answer::Declined, "selected reject_once"),
    ] {
        let spec = world.spec(asking(&world), ASK);
        let events = world
            .run_answering(spec, std::slice::from_ref(&answer))
            .await;
        let wanted = format!("permission: {chosen}\n.");
        assert_eq!(events.text(), wanted, "{answer:?}");
        let [(kind, asked, options)] = events.questions()[..] else {
            panic!("{events:#?}")
        };
        assert_eq!(kind, QuestionKind::Permission);
        assert!(
            asked.contains("run a command") && asked.contains("execute"),
            "{asked}"
        );
        assert!(asked.contains("{\"command\":\"true\"}"), "{asked}");
        assert_eq!(ids(options), ["allow_always", "reject_once", "allow_once"]);
        assert_eq!(options[0].kind, "allow_always");
    }
    // Nothing to reject with.
    let spec = world.spec(asking(&world), "script: ask allow_once\nscript: text .");
    let events = world.run_answering(spec, &[Answer::Declined]).await;
    assert_eq!(events.text(), "permission: cancelled\n.");
}

#[tokio::test]
async fn an_answer_that_is_no_option_is_asked_for_again_and_then_rejected() {
    let world = World::new();
    let spec = world.spec(asking(&world), ASK);
    let events = world
        .run_answering(spec, &[text("perhaps"), option("allow_once")])
        .await;
    assert_eq!(events.text(), "permission: selected allow_once\n.");
    assert!(events.questions()[1].1.contains("none of the options"));

    let spec = world.spec(asking(&world), ASK);
    let events = world
        .run_answering(spec, &[text("a"), text("b"), text("c")])
        .await;
    assert_eq!(events.text(), "permission: selected reject_once\n.");
}

#[tokio::test]
async fn what_lies_within_the_grant_is_not_asked() {
    let world = World::new();
    let mut spec = world.spec(asking(&world), "");
    let file = spec.dirs.artifacts().join("a.md");
    let call = format!(
        "{{\"kind\":\"edit\",\"locations\":[{{\"path\":\"{}\"}}]}}",
        file.display()
    );
    spec.prompt = format!("script: {{\"ask\":{{\"tool_call\":{call}}}}}");
    let events = world.run_answering(spec, &[]).await;
    assert_eq!(events.text(), "permission: selected allow_once\n");
}

#[tokio::test]
async fn an_open_question_holds_up_neither_updates_nor_other_questions() {
    let world = World::new();
    let bridge = world.bridge();
    let request = r#"{"jsonrpc":"2.0","id":"early","method":"session/request_permission","params":{"sessionId":"s","toolCall":{"toolCallId":"t","title":"first"},"options":[{"optionId":"yes","name":"Yes","kind":"allow_once"}]}}"#;
    let prompt =
        format!("script: raw {request}\nscript: text working\nscript: ask\nscript: text .");
    let spec = world.spec(asking(&world), &prompt);
    let log = spec.dirs.acp_log();
    let mut run = bridge.start(spec);
    let mut events = Vec::new();
    let first = next_question(&mut run, &mut events).await;
    let second = next_question(&mut run, &mut events).await;
    assert!(events.contains(&RunEvent::Text("working".to_owned())));
    run.control.answer(&second, option("allow_once"));
    run.control.answer(&first, option("yes"));
    // A second answer to the same question changes nothing.
    run.control.answer(&first, Answer::Declined);
    let events = Events::collect(run).await;
    assert!(events.answer().starts_with('.') || events.answer().contains("allow_once"));
    within(bridge.drain()).await;
    let log = fs::read_to_string(log).unwrap();
    assert!(
        log.contains(
            r#""id":"early","result":{"outcome":{"outcome":"selected","optionId":"yes"}}"#
        ),
        "{log}"
    );
}

#[tokio::test]
async fn a_cancel_answers_every_open_request_with_cancelled() {
    let world = World::new();
    for (prompt, answered) in [
        (ASK, r#"{"outcome":{"outcome":"cancelled"}}"#),
        ("script: elicit who?", r#"{"action":"cancel"}"#),
    ] {
        let bridge = world.bridge();
        let spec = world.spec(asking(&world), prompt);
        let log = spec.dirs.acp_log();
        let mut run = bridge.start(spec);
        let mut events = Vec::new();
        let id = next_question(&mut run, &mut events).await;
        run.control.cancel();
        let rest = Events::collect(run).await;
        assert_eq!(rest.outcome(), &Outcome::Canceled);
        assert!(rest.0.contains(&RunEvent::QuestionGone(id)), "{rest:#?}");
        within(bridge.drain()).await;
        let log = fs::read_to_string(log).unwrap();
        assert!(log.contains(&format!("\"result\":{answered}")), "{log}");
    }
}

#[tokio::test]
async fn a_question_goes_with_the_harness_or_with_its_wish() {
    let world = World::new();
    let bridge = world.bridge();
    let request = r#"{"jsonrpc":"2.0","id":"early","method":"session/request_permission","params":{"toolCall":{},"options":[]}}"#;
    let prompt = format!("script: raw {request}\nscript: wait_file go\nscript: die");
    let spec = world.spec(asking(&world), &prompt);
    let go = world
        .tmp()
        .join(format!("mesh-a2a-tester-{}/go", spec.task_id));
    let mut run = bridge.start(spec);
    let mut events = Vec::new();
    let id = next_question(&mut run, &mut events).await;
    fs::write(go, "").unwrap();
    let rest = Events::collect(run).await;
    assert_eq!(rest.failure().code, "harness_exited");
    assert!(rest.0.contains(&RunEvent::QuestionGone(id)), "{rest:#?}");

    let taken_back =
        r#"{"jsonrpc":"2.0","method":"$/cancel_request","params":{"requestId":"early"}}"#;
    let prompt = format!(
        "script: raw {request}\nscript: wait_file go\nscript: raw {taken_back}\nscript: wait_file on\nscript: text ."
    );
    let spec = world.spec(asking(&world), &prompt);
    let workspace = world
        .tmp()
        .join(format!("mesh-a2a-tester-{}", spec.task_id));
    let mut run = bridge.start(spec);
    let id = next_question(&mut run, &mut events).await;
    fs::write(workspace.join("go"), "").unwrap();
    // The turn goes on only after the question is gone.
    within(async { while run.events.next().await != Some(RunEvent::QuestionGone(id.clone())) {} })
        .await;
    fs::write(workspace.join("on"), "").unwrap();
    assert_eq!(Events::collect(run).await.answer(), ".");
    within(bridge.drain()).await;
}

#[tokio::test]
async fn auto_edit_allows_changes_of_the_runs_own_files_and_nothing_else() {
    let world = World::new();
    for (call, answer) in [
        (
            r#"{"kind":"edit","rawInput":{"filePath":"src/a.rs"}}"#,
            "allow_once",
        ),
        (
            r#"{"kind":"edit","rawInput":{"filePath":"/etc/passwd"}}"#,
            "reject_once",
        ),
        (
            r#"{"kind":"execute","rawInput":{"command":"true"}}"#,
            "reject_once",
        ),
    ] {
        let mut agent = world.agent();
        agent.policy.approval = Approval::AutoEdit;
        let prompt = format!("script: {{\"ask\":{{\"tool_call\":{call}}}}}");
        let events = world.run_answering(world.spec(agent, &prompt), &[]).await;
        assert_eq!(
            events.text(),
            format!("permission: selected {answer}\n"),
            "{call}"
        );
    }
}

#[tokio::test]
async fn a_form_is_asked_of_the_caller_whatever_the_policy() {
    let world = World::new();
    let spec = world.spec(world.agent(), "script: elicit Which branch?");
    let events = world.run_answering(spec, &[text("main")]).await;
    assert_eq!(events.text(), "elicitation: accept {\"answer\":\"main\"}\n");
    let [(kind, asked, options)] = events.questions()[..] else {
        panic!("{events:#?}")
    };
    assert_eq!(kind, QuestionKind::Elicitation);
    assert!(asked.starts_with("Which branch?"), "{asked}");
    assert!(options.is_empty());

    let spec = world.spec(world.agent(), "script: elicit Which branch?");
    let events = world.run_answering(spec, &[Answer::Declined]).await;
    assert_eq!(events.text(), "elicitation: decline null\n");

    let schema = r#"{"type":"object","properties":{"n":{"type":"integer"}}}"#;
    let prompt =
        format!("script: {{\"elicit\":{{\"message\":\"How many?\",\"schema\":{schema}}}}}");
    let spec = world.spec(world.agent(), &prompt);
    let events = world.run_answering(spec, &[text("many"), text("3")]).await;
    assert_eq!(events.text(), "elicitation: accept {\"n\":3}\n");
    assert!(events.questions()[1].1.contains("whole number"));

    let spec = world.spec(world.agent(), "tck-multi-turn");
    let events = world
        .run_answering(spec, &[text("more"), text("done")])
        .await;
    assert!(events.answer().ends_with("The task is complete."));
}

#[tokio::test]
async fn a_login_the_harness_can_do_is_offered_and_the_call_made_again() {
    let world = World::new();
    // At the prompt, as claude asks, and at the opening of the session, as others do.
    for script in [
        "caps terminal\nneed-login",
        "caps terminal\nnew_session: need-login",
    ] {
        let agent = scripted(world.agent(), script);
        let spec = world.spec(agent, "script: text in");
        let events = world.run_answering(spec, &[option("scripted-login")]).await;
        assert_eq!(events.answer(), "in", "{script}");
        let [(kind, asked, options)] = events.questions()[..] else {
            panic!("{events:#?}")
        };
        assert_eq!(kind, QuestionKind::Auth);
        assert!(asked.contains("login"), "{asked}");
        assert_eq!(ids(options), ["scripted-login"]);
    }
}

#[tokio::test]
async fn a_login_done_elsewhere_is_told_by_any_text() {
    let world = World::new();
    let agent = scripted(world.agent(), "caps nologin");
    let spec = world.spec(agent, "script: need-login done\nscript: text in");
    let done = world
        .tmp()
        .join(format!("mesh-a2a-tester-{}/done", spec.task_id));
    let bridge = world.bridge();
    let mut run = bridge.start(spec);
    let mut events = Vec::new();
    let first = next_question(&mut run, &mut events).await;
    run.control.answer(&first, text("I think so"));
    let second = next_question(&mut run, &mut events).await;
    fs::write(done, "").unwrap();
    run.control.answer(&second, text("now"));
    assert_eq!(Events::collect(run).await.answer(), "in");
    within(bridge.drain()).await;
}

#[tokio::test]
async fn a_login_nobody_gives_fails_the_task_and_is_not_asked_for_ever() {
    let world = World::new();
    let spec = world.spec(world.agent(), "tck-auth-required");
    let events = world.run_answering(spec, &[Answer::Declined]).await;
    assert_eq!(events.failure().code, "auth_required");

    let agent = scripted(world.agent(), "caps nologin\nneed-login");
    let spec = world.spec(agent, "script: text in");
    let events = world
        .run_answering(spec, &[text("1"), text("2"), text("3")])
        .await;
    assert_eq!(events.failure().code, "auth_required");
}

/// Each request that waits is held in memory, and a harness can send them faster than anybody takes them.
#[tokio::test]
async fn a_flood_of_requests_is_declined_beyond_what_may_wait() {
    let world = World::new();
    let mut prompt = String::new();
    for id in 0..200 {
        let request = serde_json::json!({
            "jsonrpc": "2.0", "id": 90_000 + id, "method": "session/request_permission",
            "params": { "sessionId": "s", "toolCall": { "toolCallId": "t" },
                "options": [{ "optionId": "no", "kind": "reject_once", "name": "No" }] },
        });
        prompt.push_str(&format!(
            "script: {}\n",
            serde_json::json!({ "raw": request.to_string() })
        ));
    }
    // Nobody answers, and the turn ends while they wait.
    prompt.push_str(
        "script: sh until [ $(grep -c '\"selected\"' $TASK_ARTIFACTS_DIR/../logs/acp.jsonl) -ge 136 ]; do sleep 0.02; done\nscript: text .",
    );
    let events = world.run_spec(world.spec(asking(&world), &prompt)).await;
    assert_eq!(events.questions().len(), 64, "{events:#?}");
    let notes = events.0.iter().filter(|event| {
        matches!(event, RunEvent::Note { code, text }
            if code == "permission" && text.contains("too many wait for an answer"))
    });
    assert_eq!(notes.count(), 200 - 64);
}
