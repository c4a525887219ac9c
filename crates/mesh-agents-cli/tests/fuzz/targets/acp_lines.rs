//! Lines of a harness, from `initialize` to the answer of the prompt: whatever it says, the session
//! ends, and what was told of it stays within its limits.

use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use mesh_agents_acp_bridge::fuzzing::{NEXT_ID, talk};
use mesh_agents_core::agent::{Approval, testing::definition};
use mesh_agents_core::ids::{ContextId, RunId, TaskId};
use mesh_agents_core::layout::Layout;
use mesh_agents_core::limits::ARTIFACT_BYTES;
use mesh_agents_core::run::{Before, MeshEndpoints, Resume, ResumeReason, RunEvent, RunSpec};
use tokio::runtime::{Builder, Runtime};
use ulid::Ulid;

use super::super::grammar;

const WORDS: &[&str] = &[
    "jsonrpc",
    "2.0",
    "id",
    "method",
    "params",
    "result",
    "error",
    "code",
    "message",
    "data",
    "sessionId",
    "s1",
    "update",
    "sessionUpdate",
    "agent_message_chunk",
    "agent_thought_chunk",
    "user_message_chunk",
    "tool_call",
    "tool_call_update",
    "plan",
    "usage_update",
    "content",
    "type",
    "text",
    "toolCallId",
    "t1",
    "title",
    "kind",
    "edit",
    "execute",
    "status",
    "completed",
    "entries",
    "priority",
    "used",
    "size",
    "toolCall",
    "options",
    "optionId",
    "name",
    "allow_once",
    "reject_once",
    "rawInput",
    "locations",
    "path",
    "stopReason",
    "end_turn",
    "refusal",
    "protocolVersion",
    "agentCapabilities",
    "loadSession",
    "sessionCapabilities",
    "resume",
    "mcpCapabilities",
    "http",
    "authMethods",
    "requestedSchema",
    "properties",
    "mode",
    "form",
];
const METHODS: &[&str] = &[
    "session/update",
    "session/request_permission",
    "elicitation/create",
    "elicitation/complete",
    "fs/write_text_file",
    "$/cancel_request",
    "_vendor/thing",
];
const SAMPLES: &[&str] = &[
    r#"{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s1","update":{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"hello"}}}}"#,
    r#"{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s1","update":{"sessionUpdate":"tool_call","toolCallId":"t1","title":"write","kind":"edit","status":"pending","locations":[{"path":"/w/a"}]}}}"#,
    r#"{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s1","update":{"sessionUpdate":"plan","entries":[{"content":"one","priority":"high","status":"pending"}]}}}"#,
    r#"{"jsonrpc":"2.0","id":7,"method":"session/request_permission","params":{"sessionId":"s1","toolCall":{"toolCallId":"t1","kind":"edit"},"options":[{"optionId":"a","name":"Allow","kind":"allow_once"},{"optionId":"r","name":"Reject","kind":"reject_once"}]}}"#,
    r#"{"jsonrpc":"2.0","id":8,"method":"elicitation/create","params":{"sessionId":"s1","mode":"form","message":"which?","requestedSchema":{"type":"object","properties":{"answer":{"type":"string","enum":["a","b"]}},"required":["answer"]}}}"#,
    r#"{"jsonrpc":"2.0","id":@ID,"error":{"code":-32000,"message":"login"}}"#,
    r#"{"jsonrpc":"2.0","id":@ID,"result":{"stopReason":"end_turn"}}"#,
];
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","id":@ID,"result":{"protocolVersion":1,"agentCapabilities":{"loadSession":true,"sessionCapabilities":{"resume":{}},"mcpCapabilities":{"http":true}},"authMethods":[{"id":"m","name":"M"}]}}"#;
const OPENED: &str = r#"{"jsonrpc":"2.0","id":@ID,"result":{"sessionId":"s1"}}"#;
const ANSWERED: &str = r#"{"jsonrpc":"2.0","id":@ID,"result":{"stopReason":"end_turn"}}"#;

thread_local! {
    // Time stands still but for waits that nothing else ends, so that no patience is waited out.
    static RUNTIME: Runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
}

pub(crate) fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let Ok((spec, lines)) = input(&mut u) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("acp.jsonl");
    let talk = RUNTIME.with(|runtime| runtime.block_on(talk(&spec, &log, &lines)));
    let talk = talk.unwrap();
    let limit = usize::try_from(ARTIFACT_BYTES).unwrap();
    assert!(talk.answer.len() <= limit, "{lines:?}");
    assert!(!talk.end.is_empty());
    for event in &talk.events {
        assert!(!matches!(event, RunEvent::Ended(_)), "{lines:?}");
    }
}

fn spec(u: &mut Unstructured<'_>) -> Result<RunSpec> {
    let mut agent = definition("a");
    agent.policy.approval = *u.choose(&[
        Approval::Deny,
        Approval::Ask,
        Approval::AutoEdit,
        Approval::Auto,
    ])?;
    let resume = u.ratio(1, 4)?.then_some(Resume {
        session_id: "s1".into(),
        why: *u.choose(&[
            ResumeReason::Interrupted,
            ResumeReason::Answered,
            ResumeReason::NextTask,
        ])?,
    });
    let layout = Layout::new("/nowhere".as_ref());
    let task_id = TaskId::from_ulid(Ulid(1));
    Ok(RunSpec {
        run_id: RunId::from_ulid(Ulid(2)),
        context_id: ContextId::from_ulid(Ulid(3)),
        attempt: 1,
        prompt: "do it".into(),
        resume,
        before: Before::default(),
        patience: None,
        dirs: layout.run(&agent.id, &task_id),
        home: layout.agent_home(&agent.id),
        mesh: MeshEndpoints::default(),
        tools: None,
        task_id,
        agent: Arc::new(agent),
    })
}

fn input(u: &mut Unstructured<'_>) -> Result<(RunSpec, Vec<String>)> {
    let spec = spec(u)?;
    let mut lines = Vec::new();
    if u.ratio(7, 8)? {
        lines.push(INITIALIZED.to_owned());
        if u.ratio(7, 8)? {
            lines.push(OPENED.to_owned());
        }
    }
    for _ in 0..u.int_in_range(0..=12)? {
        lines.push(line(u)?);
    }
    if u.ratio(1, 2)? {
        lines.push(ANSWERED.to_owned());
    }
    Ok((spec, lines))
}

fn line(u: &mut Unstructured<'_>) -> Result<String> {
    Ok(match u.int_in_range(0..=5)? {
        0 => grammar::json(u, WORDS)?,
        1 => format!(
            r#"{{"jsonrpc":"2.0","id":{NEXT_ID},"result":{}}}"#,
            grammar::json(u, WORDS)?
        ),
        2 => {
            let (method, params) = (u.choose(METHODS)?, grammar::json(u, WORDS)?);
            format!(r#"{{"jsonrpc":"2.0","id":5,"method":"{method}","params":{params}}}"#)
        }
        3 => {
            let (method, params) = (u.choose(METHODS)?, grammar::json(u, WORDS)?);
            format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#)
        }
        _ => grammar::sample_gone_wrong(u, SAMPLES)?,
    })
}
