//! The tools over a real task engine whose runs do what their message says.

mod bench;

use std::collections::BTreeSet;

use mesh_agents_core::agent::testing::definition;
use mesh_agents_core::policy::{Grant, Standing};
use serde_json::{Value, json};

use super::*;
use crate::backend::Surface;
use bench::Bench;

#[tokio::test]
async fn work_is_given_waited_for_and_read() {
    let bench = Bench::open([definition("a")]).await;
    let text = r#"json {"findings":[{"line":9007199254740993}]}"#;
    let (sent, id) = bench.done(&format!("summary.md s 5\n{text}")).await;
    assert_eq!(sent["task"]["status"]["state"], "TASK_STATE_COMPLETED");
    let artifacts = sent["task"]["artifacts"].as_array().unwrap();
    let ids: Vec<_> = artifacts
        .iter()
        .map(|one| one["artifactId"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["summary.md", "findings.json", "response"]);
    assert_eq!(
        artifacts[1]["parts"][0]["data"]["findings"][0]["line"],
        9_007_199_254_740_993_u64
    );

    let shown = bench
        .call("get_task", json!({"task_id": id}))
        .await
        .unwrap();
    assert_eq!(shown["task"]["history"].as_array().unwrap().len(), 2);
    let last = shown["last_activity"].as_str().unwrap();
    assert!(last.starts_with("2023-11-14T22:13:20."), "{last}");
    let text = json!({"task_id": id, "artifact_id": "summary.md", "agent_id": "a"});
    assert_eq!(
        bench.call("view_text_artifact", text).await.unwrap()["text"],
        "sssss"
    );
    let data = json!({"task_id": id, "artifact_id": "findings.json", "pointer": "/findings/0"});
    assert_eq!(
        bench.call("view_data_artifact", data).await.unwrap()["data"]["line"],
        9_007_199_254_740_993_u64
    );
    let listed = bench
        .call("list_tasks", json!({"state": "completed"}))
        .await
        .unwrap();
    assert_eq!(listed["tasks"][0]["task_id"], id);
    assert_eq!(listed["tasks"][0]["artifacts"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_question_is_shown_and_answered_with_the_tools_alone() {
    let bench = Bench::open([definition("a")]).await;
    let args = json!({"agent_id": "a", "message": "ask", "wait_seconds": 60});
    let sent = bench.call("send_message", args).await.unwrap();
    assert_eq!(sent["state"], "input_required");
    let status = &sent["task"]["status"];
    assert_eq!(status["state"], "TASK_STATE_INPUT_REQUIRED");
    let parts = &status["message"]["parts"];
    assert_eq!(parts[0]["text"], "Run rm -rf build?");
    let asked = &parts[1]["data"];
    assert_eq!(asked["kind"], "permission");
    let reject = json!({"id": "p2", "name": "Reject", "kind": "reject_once"});
    assert_eq!(asked["options"][1], reject);
    let id = &sent["task_id"];
    let waited = json!({"task_id": id, "wait_seconds": 60});
    let shown = bench.call("get_task", waited).await.unwrap();
    assert_eq!(
        shown["task"]["status"], *status,
        "a wait ends at a question"
    );

    let wrong = json!({"agent_id": "a", "task_id": id, "message": "hm"});
    let wrong = bench.refused("send_message", wrong).await;
    assert!(
        wrong.starts_with("invalid_argument: ") && wrong.contains("2. Reject"),
        "{wrong}"
    );
    let stale = json!({"question_id": "q-0", "option_id": "p1"});
    let stale = json!({"agent_id": "a", "task_id": id, "message": "1", "metadata": stale});
    let stale = bench.refused("send_message", stale).await;
    let open = asked["question_id"].as_str().unwrap();
    assert!(
        stale.starts_with("question_gone: ") && stale.contains(open),
        "{stale}"
    );
    let chosen = json!({"question_id": open, "option_id": "p1"});
    let answer = json!({
        "agent_id": "a", "task_id": id, "message": "go on", "metadata": chosen, "wait_seconds": 60
    });
    let done = bench.call("send_message", answer).await.unwrap();
    assert_eq!(
        (&done["task_id"], &done["state"]),
        (id, &json!("completed"))
    );
    let history = done["task"]["history"].as_array().unwrap();
    assert_eq!(history[1]["parts"][0]["text"], "go on");
    assert_eq!(history[2]["parts"][0]["text"], "told Option(\"p1\")");
}

#[tokio::test]
async fn a_parked_call_ends_at_the_cap_of_its_surface() {
    let bench = Bench::open([definition("a")]).await;
    let meta = CallMeta {
        wait_cap: std::time::Duration::from_millis(30),
        ..CallMeta::local(Surface::Host)
    };
    let args = json!({"agent_id": "a", "message": "hang", "wait_seconds": 100_000});
    let sent = bench.ask(meta.clone(), "send_message", args).await.unwrap();
    // Whether it has begun by then is its disk's to say.
    let begins = ["submitted", "working"].contains(&sent["state"].as_str().unwrap());
    assert!(begins, "{sent}");
    let at_once = json!({"task_id": sent["task_id"]});
    while bench.call("get_task", at_once.clone()).await.unwrap()["state"] == "submitted" {
        tokio::task::yield_now().await;
    }
    let args = json!({"task_id": sent["task_id"], "wait_seconds": 100_000});
    let shown = bench.ask(meta, "get_task", args).await.unwrap();
    assert_eq!(shown["state"], "working");
}

#[tokio::test]
async fn long_artifacts_are_paged_whole() {
    let bench = Bench::open([definition("a")]).await;
    let (sent, id) = bench.done("long.md ä€\u{1}\" 30000\nanswer 40000").await;
    assert!(
        sent["left_out"]
            .as_str()
            .unwrap()
            .contains("view_text_artifact")
    );
    let mut read = String::new();
    let mut offset = json!(0);
    while !offset.is_null() {
        let args = json!({"task_id": id, "artifact_id": "long.md", "offset": offset, "max_chars": 1_000_000});
        let page = bench.call("view_text_artifact", args).await.unwrap();
        assert_eq!(page["total_chars"], 120_000);
        read.push_str(page["text"].as_str().unwrap());
        offset = page["next_offset"].clone();
    }
    assert_eq!(read, "ä€\u{1}\"".repeat(30_000));
}

#[tokio::test]
async fn lists_of_many_fit_and_their_pages_miss_nothing() {
    let many = |n: usize| {
        let mut agent = definition(&format!("agent-{n:03}"));
        agent.card.description = "ä\u{202e}x".repeat(2_000);
        agent.card.skills = (0..40)
            .map(|n| mesh_agents_core::agent::Skill {
                id: format!("skill-{n}"),
                name: "n".repeat(300),
                description: String::new(),
                tags: vec!["t".repeat(300); 30],
            })
            .collect();
        agent.enabled = n != 7;
        agent
    };
    let bench = Bench::open((0..130).map(many).chain([definition("a")])).await;
    let mut seen = BTreeSet::new();
    let mut cursor = Value::Null;
    loop {
        let page = bench
            .call("get_agents", json!({"cursor": cursor, "limit": 100}))
            .await
            .unwrap();
        assert_eq!(
            page["problems"].is_array(),
            cursor.is_null(),
            "problems are on the first page"
        );
        for agent in page["agents"].as_array().unwrap() {
            assert!(seen.insert(agent["agent_id"].as_str().unwrap().to_owned()));
        }
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(seen.len(), 130, "all but the disabled one");

    let long = "n".repeat(200);
    let files: String = (0..25).map(|n| format!("{long}/{n}.md x 1\n")).collect();
    let message = format!("{}\n{files}", "ä\"".repeat(100));
    let mut sent = BTreeSet::new();
    for _ in 0..8 {
        sent.insert(bench.done(&message).await.1);
    }
    let mut pages = 0;
    let mut seen = BTreeSet::new();
    let mut cursor = Value::Null;
    loop {
        let page = bench
            .call("list_tasks", json!({"cursor": cursor, "limit": 100}))
            .await
            .unwrap();
        pages += 1;
        for task in page["tasks"].as_array().unwrap() {
            assert_eq!(
                task["more_artifacts"], 6,
                "25 files and the response, 20 listed"
            );
            assert!(seen.insert(task["task_id"].as_str().unwrap().to_owned()));
        }
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(seen, sent);
    assert!(pages > 1, "what is asked for does not fit one page");
}

#[tokio::test]
async fn the_largest_card_fits_a_result() {
    let mut agent = definition("a");
    let filler = "x".repeat(mesh_agents_core::limits::CARD_BYTES - 40);
    agent.card.json =
        JsonText::parse(&format!(r#"{{"name":"a","description":"{filler}"}}"#)).unwrap();
    let bench = Bench::open([agent]).await;
    let shown = bench
        .call("get_agent", json!({"agent_id": "a"}))
        .await
        .unwrap();
    assert_eq!(
        shown["agent_card"]["supportedInterfaces"][0]["url"],
        "http://127.0.0.1:3131/a2a/agents/a"
    );
    assert_eq!(
        shown["runtime"]["workspace"],
        json!({"mode": "temp_per_task", "keep": "on_failure"})
    );
}

#[tokio::test]
async fn an_agent_that_cannot_run_says_why() {
    let bench = Bench::open([definition("broken")]).await;
    let page = bench.call("get_agents", json!({})).await.unwrap();
    assert_eq!(page["agents"][0]["state"], "unavailable");
    assert_eq!(page["agents"][0]["reason"], "opencode is not on PATH");
    let remote = bench
        .call("get_agents", json!({"location": "remote"}))
        .await
        .unwrap();
    assert_eq!(remote["agents"], json!([]));
}

#[tokio::test]
async fn only_a_call_the_host_sends_again_is_the_same_task() {
    let bench = Bench::open([definition("a")]).await;
    let meta = |surface, instance: &str| CallMeta {
        instance: Some(instance.to_owned()),
        minted: true,
        ..CallMeta::local(surface)
    };
    let send = async |surface, instance, key: &str| {
        let args = json!({"agent_id": "a", "message": "hang", "message_id": key});
        let sent = bench
            .ask(meta(surface, instance), "send_message", args)
            .await
            .unwrap();
        sent["task_id"].as_str().unwrap().to_owned()
    };
    let first = send(Surface::Host, "01A", "k1").await;
    assert_eq!(
        send(Surface::Host, "01A", "k1").await,
        first,
        "the same key"
    );
    assert_ne!(
        send(Surface::Host, "01A", "k2").await,
        first,
        "the same process asks twice"
    );
    let again = send(Surface::Host, "01B", "k3").await;
    assert_eq!(again, first, "the host's own re-send to the next process");
    let stdio = send(Surface::Stdio, "01C", "k4").await;
    assert_ne!(
        send(Surface::Stdio, "01D", "k5").await,
        stdio,
        "two clients are two wishes"
    );
}

#[tokio::test]
async fn another_principal_sees_only_its_own() {
    let bench = Bench::open([definition("a")]).await;
    let (_, id) = bench.done("summary.md s 1").await;
    let stranger = CallMeta {
        caller: Caller::token("ci"),
        ..CallMeta::local(Surface::Http)
    };
    for (tool, args) in [
        ("get_task", json!({"task_id": id})),
        ("cancel_task", json!({"task_id": id})),
        (
            "view_text_artifact",
            json!({"task_id": id, "artifact_id": "summary.md"}),
        ),
        (
            "view_data_artifact",
            json!({"task_id": id, "artifact_id": "summary.md"}),
        ),
    ] {
        let refusal = bench.ask(stranger.clone(), tool, args).await.unwrap_err();
        assert_eq!(refusal.code, Code::TaskNotFound, "{tool}");
    }
    let listed = bench.ask(stranger, "list_tasks", json!({})).await.unwrap();
    assert_eq!(listed["tasks"], json!([]));
}

#[tokio::test]
async fn a_harness_that_works_for_a_peer_sees_no_agent_its_peer_may_not() {
    let bench = Bench::open([definition("a"), definition("private")]).await;
    let root = "key:did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
    let run = "task-01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    let harness = Caller::task(run, Some(0), root.parse().unwrap());
    let of_peer = |caller: &Caller| CallMeta {
        caller: caller.clone(),
        ..CallMeta::local(Surface::Http)
    };
    let nobody = of_peer(&harness);
    let listed = bench.ask(nobody.clone(), "get_agents", json!({})).await;
    assert_eq!(listed.unwrap(), json!({"agents": []}));
    for (tool, args) in [
        ("get_agent", json!({"agent_id": "private"})),
        ("get_agent", json!({"agent_id": "privat"})),
        (
            "send_message",
            json!({"agent_id": "privat", "message": "m"}),
        ),
        (
            "send_message",
            json!({"agent_id": "private", "message": "m"}),
        ),
    ] {
        let refusal = bench.ask(nobody.clone(), tool, args).await.unwrap_err();
        assert_eq!(refusal.code, Code::AgentNotFound, "{tool}");
        let said = refusal.to_string().replace("\"private\"", "\"privat\"");
        assert!(!said.contains("private"), "{said}");
    }
    let grant = Grant {
        agent: "a".parse().unwrap(),
        skill: None,
        advertised: true,
        standing: Standing::Allowed,
        approve: false,
    };
    let allowed = of_peer(&harness.with_grant(grant));
    let listed = bench.ask(allowed, "get_agents", json!({})).await.unwrap();
    let ids: Vec<_> = listed["agents"].as_array().unwrap().iter().collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(ids[0]["agent_id"], "a");
    assert_eq!(listed.get("problems"), None);
}

#[tokio::test]
async fn refusals_say_what_is_wrong_and_what_to_do() {
    let mut off = definition("off");
    off.enabled = false;
    let bench = Bench::open([definition("a"), definition("pr-review"), off]).await;
    let (_, id) = bench.done("summary.md s 3\njson {\"a\":1}\nbytes").await;
    let all = [
        bench
            .refused(
                "send_message",
                json!({"agent_id": "pr-reveiw", "message": "m"}),
            )
            .await,
        bench
            .refused("send_message", json!({"agent_id": "off", "message": "m"}))
            .await,
        bench
            .refused("send_message", json!({"agent_id": "a", "message": " "}))
            .await,
        bench
            .refused(
                "send_message",
                json!({"agent_id": "a", "message": "m", "task_id": id}),
            )
            .await,
        bench.refused("get_agent", json!({"agent_id": "off"})).await,
        bench.refused("get_agents", json!({"cursor": "x y"})).await,
        bench
            .refused("get_task", json!({"task_id": id, "agent_id": "pr-review"}))
            .await,
        bench
            .refused(
                "get_task",
                json!({"task_id": "task-01ARZ3NDEKTSV4RRFFQ69G5FAV"}),
            )
            .await,
        bench.refused("cancel_task", json!({"task_id": id})).await,
        bench
            .refused(
                "view_text_artifact",
                json!({"task_id": id, "artifact_id": "sumary.md"}),
            )
            .await,
        bench
            .refused(
                "view_text_artifact",
                json!({"task_id": id, "artifact_id": "summary.md", "offset": 4}),
            )
            .await,
        bench
            .refused(
                "view_text_artifact",
                json!({"task_id": id, "artifact_id": "shot.png"}),
            )
            .await,
        bench
            .refused(
                "view_data_artifact",
                json!({"task_id": id, "artifact_id": "summary.md"}),
            )
            .await,
        bench
            .refused(
                "view_data_artifact",
                json!({"task_id": id, "artifact_id": "findings.json", "pointer": "/b"}),
            )
            .await,
        bench
            .refused(
                "view_data_artifact",
                json!({"task_id": id, "artifact_id": "findings.json", "offset": 1}),
            )
            .await,
    ];
    let text = all.join("\n---\n").replace(&id, "[task]");
    let context = text
        .split("context_id ")
        .nth(1)
        .and_then(|rest| rest.split('.').next());
    insta::assert_snapshot!(text.replace(context.unwrap(), "[context]"));
}
