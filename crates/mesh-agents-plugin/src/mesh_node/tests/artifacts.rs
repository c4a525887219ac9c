//! Large artifacts of another node: they stay there until somebody reads them, and then come once and whole.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::{self, Next};
use axum::response::Response;
use mesh_agents_core::content::ContentFault;
use mesh_agents_core::refusal::Code;
use mesh_agents_core::task::ArtifactInfo;
use tokio_util::bytes::Bytes;

use super::*;

/// What a node was asked by others, and what is done to its answers.
#[derive(Debug, Default)]
pub(super) struct Tap {
    /// The contents asked for: path and range.
    asked: Mutex<Vec<(String, Option<String>)>>,
    /// Bytes of all answers.
    sent: AtomicU64,
    /// What becomes of the next contents.
    plans: Mutex<VecDeque<Plan>>,
}

/// What becomes of a content on its way.
#[derive(Debug, Clone, Copy)]
enum Plan {
    /// The line breaks behind so many bytes.
    Break(u64),
    /// Nothing comes behind so many bytes, and the line stays.
    Stall(u64),
    /// Its first byte becomes another.
    Change,
}

impl Tap {
    fn asked(&self) -> Vec<(String, Option<String>)> {
        self.asked.lock().unwrap().clone()
    }

    fn ranges(&self) -> Vec<Option<String>> {
        self.asked().into_iter().map(|(_, range)| range).collect()
    }

    fn plan(&self, plan: Plan) {
        self.plans.lock().unwrap().push_back(plan);
    }
}

pub(super) fn tapped(router: Router, tap: &Arc<Tap>) -> Router {
    router.layer(middleware::from_fn_with_state(Arc::clone(tap), listen))
}

async fn listen(State(tap): State<Arc<Tap>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let range = request.headers().get(header::RANGE);
    let range = range.map(|range| range.to_str().unwrap().to_owned());
    let response = next.run(request).await;
    let mut plan = None;
    if path.contains("/artifacts/") {
        tap.asked.lock().unwrap().push((path, range));
        plan = tap.plans.lock().unwrap().pop_front();
    }
    response.map(|body| {
        let begun = (body.into_data_stream(), 0_u64, tap);
        Body::from_stream(futures::stream::unfold(
            Some(begun),
            move |state| async move {
                let (mut body, sent, tap) = state?;
                let piece: Bytes = body.next().await?.unwrap();
                let piece = match plan {
                    Some(Plan::Break(most) | Plan::Stall(most)) => {
                        let most = usize::try_from(most - sent).unwrap();
                        piece.slice(..most.min(piece.len()))
                    }
                    Some(Plan::Change) if sent == 0 => {
                        let mut changed = piece.to_vec();
                        changed[0] ^= 1;
                        changed.into()
                    }
                    _ => piece,
                };
                if piece.is_empty() && matches!(plan, Some(Plan::Stall(_))) {
                    std::future::pending::<()>().await;
                }
                if piece.is_empty() && matches!(plan, Some(Plan::Break(_))) {
                    return Some((Err(io::Error::from(io::ErrorKind::ConnectionReset)), None));
                }
                tap.sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
                let sent = sent + piece.len() as u64;
                Some((Ok(piece), Some((body, sent, tap))))
            },
        ))
    })
}

/// Text of so many bytes, no part like another.
fn text(bytes: usize) -> String {
    let mut text: String = (0..bytes / 8 + 1).map(|n| format!("{n:07}\n")).collect();
    text.truncate(bytes);
    text
}

/// What a run leaves that is told `big NAME BYTES`, for every line that says so.
pub(super) fn left(prompt: &str) -> Vec<RunEvent> {
    let files = prompt.lines().filter_map(|line| {
        let (name, bytes) = line.strip_prefix("big ")?.rsplit_once(' ')?;
        Some(RunEvent::Artifact {
            id: name.parse().unwrap(),
            media_type: "text/plain".into(),
            source: ArtifactSource::Text(text(bytes.parse().unwrap())),
            complete: true,
        })
    });
    files.collect()
}

/// Two nodes, the second of which may call the first's agent.
async fn two(mesh: &MemoryMesh) -> (Peer, Peer, AgentId) {
    let a = Peer::join(mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(mesh, 2, vec![]).await;
    a.allow(b.node.key(), "*").await;
    let echo = b.sees("echo", &a).await;
    (a, b, echo)
}

/// A task of `b` that has left what it was told.
async fn done(b: &Peer, echo: &AgentId, prompt: &str) -> Task {
    let done = b.ended(&b.send(echo, prompt).await).await;
    assert_eq!(done.state, TaskState::Completed, "{:?}", done.failure);
    done
}

async fn read(node: &Peer, task: &Task, name: &str) -> Result<(ArtifactInfo, Vec<u8>), Refusal> {
    let id = name.parse().unwrap();
    node.engine.artifact(&Caller::local(), &task.id, &id).await
}

fn same(content: &[u8], bytes: usize) {
    assert_eq!(content.len(), bytes);
    assert!(content == text(bytes).as_bytes(), "byte for byte");
}

/// The files of a node's blobs that begin so.
fn files(node: &Peer, start: &str) -> Vec<PathBuf> {
    let dir = Layout::new(node.dir.path()).blobs();
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap());
    let named = files.filter(|file| file.file_name().to_str().unwrap().starts_with(start));
    named.map(|file| file.path()).collect()
}

const BIG: usize = 3_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_artifact_stays_with_its_node_until_somebody_reads_it() {
    let mesh = MemoryMesh::default();
    let (a, b, echo) = two(&mesh).await;
    let task = done(
        &b,
        &echo,
        &format!("big a/b c.txt {BIG}\nbig small.txt 9000"),
    )
    .await;
    assert_eq!(a.tap.asked(), []);
    let sent = a.tap.sent.load(Ordering::Relaxed);
    assert!(sent < 200_000, "{sent} bytes came with the task");
    let args = json!({ "task_id": task.id });
    let shown = b
        .call(Caller::local(), "list_tasks", json!({}))
        .await
        .unwrap();
    let lines = &shown["tasks"][0]["artifacts"];
    let line = json!({ "artifact_id": "a/b c.txt", "media_type": "text/plain", "bytes": BIG, "elsewhere": true });
    assert_eq!(lines[0], line);
    assert_eq!(lines[2]["artifact_id"], "small.txt");
    assert_eq!(lines[2].get("elsewhere"), None, "it came with the task");
    let shown = b.call(Caller::local(), "get_task", args).await.unwrap();
    let said = shown.to_string();
    assert!(
        said.contains("still with its node: view_text_artifact"),
        "{said}"
    );
    assert_eq!(a.tap.asked(), [], "showing a task fetches nothing");

    let args = json!({ "task_id": task.id, "artifact_id": "a/b c.txt", "offset": 2_999_990 });
    let viewed = b
        .call(Caller::local(), "view_text_artifact", args)
        .await
        .unwrap();
    assert_eq!(viewed["text"], text(BIG)[2_999_990..]);
    let (info, content) = read(&b, &task, "a/b c.txt").await.unwrap();
    same(&content, BIG);
    assert_eq!(info.remote, None, "its row says that it is here");
    let asked = a.tap.asked();
    assert_eq!(asked.len(), 1, "it comes once: {asked:?}");
    assert!(asked[0].0.ends_with("/artifacts/a/b%20c.txt"), "{asked:?}");
    assert_eq!(asked[0].1, None);
    let shown = b
        .call(Caller::local(), "list_tasks", json!({}))
        .await
        .unwrap();
    assert_eq!(shown["tasks"][0]["artifacts"][0].get("elsewhere"), None);

    // Another task leaves the same: it is here already.
    let again = done(&b, &echo, &format!("big other.txt {BIG}")).await;
    same(&read(&b, &again, "other.txt").await.unwrap().1, BIG);
    assert_eq!(a.tap.asked().len(), 1);
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_goes_on_where_its_line_broke_and_over_a_restart_of_both() {
    let mesh = MemoryMesh::default();
    let (a, b, echo) = two(&mesh).await;
    let task = done(
        &b,
        &echo,
        &format!("big one.txt {BIG}\nbig two.txt 2000000"),
    )
    .await;

    // The line breaks once, and is there again.
    a.tap.plan(Plan::Break(1_000_000));
    same(&read(&b, &task, "one.txt").await.unwrap().1, BIG);
    let ranges = a.tap.ranges();
    assert_eq!(ranges.len(), 2, "{ranges:?}");
    let from = ranges[1]
        .as_deref()
        .and_then(|one| one.strip_prefix("bytes="));
    let from: u64 = from.unwrap().trim_end_matches('-').parse().unwrap();
    assert!((1..=1_000_000).contains(&from), "{ranges:?}");

    // The node goes in the middle of it.
    a.tap.plan(Plan::Stall(700_000));
    let here = || {
        let partial = files(&b, ".partial-");
        partial
            .first()
            .map_or(0, |file| std::fs::metadata(file).unwrap().len())
    };
    let agents = b.engine.agents();
    let leaving = async {
        until(async || here() == 700_000).await;
        // That it is away is known before its streams end, so that whoever reads is told.
        mesh.leave(&a.id);
        until(async || b.engine.unavailable(agents.get(&echo).unwrap()).is_some()).await;
        a.stop().await
    };
    let (refused, dir_a) = tokio::join!(read(&b, &task, "two.txt"), leaving);
    let refused = refused.unwrap_err();
    assert_eq!(refused.code, Code::ArtifactUnavailable);
    let said = refused.to_string();
    for word in [
        "node 1",
        "away since 2026-09-",
        "2000000 bytes",
        "700000 bytes of it are here",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let dir_b = b.leave(&mesh).await;
    let b = Peer::join_as(&mesh, 2, peer_id(2), vec![], dir_b).await;
    let refused = read(&b, &task, "two.txt").await.unwrap_err();
    assert_eq!(refused.code, Code::ArtifactUnavailable, "{refused}");

    let a = Peer::join_as(&mesh, 1, peer_id(1), vec![offered("echo")], dir_a).await;
    let agents = b.engine.agents();
    until(async || b.engine.unavailable(agents.get(&echo).unwrap()).is_none()).await;
    same(&read(&b, &task, "two.txt").await.unwrap().1, 2_000_000);
    assert_eq!(a.tap.ranges(), [Some("bytes=700000-".to_owned())]);
    assert!(files(&b, ".partial-").is_empty());
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_that_is_not_what_its_node_said_is_not_kept() {
    let mesh = MemoryMesh::default();
    let (a, b, echo) = two(&mesh).await;
    let task = done(&b, &echo, &format!("big one.txt {BIG}")).await;
    let before = files(&b, "").len();
    a.tap.plan(Plan::Change);
    let refused = read(&b, &task, "one.txt").await.unwrap_err();
    assert_eq!(refused.code, Code::ArtifactUnavailable);
    assert!(refused.message.contains("is not what it said"), "{refused}");
    assert_eq!(files(&b, "").len(), before, "nothing of it is kept");
    same(&read(&b, &task, "one.txt").await.unwrap().1, BIG);

    // What was here before it went wrong is fetched anew once.
    let task = done(&b, &echo, "big two.txt 2000000").await;
    a.tap.plan(Plan::Break(500_000));
    a.tap.plan(Plan::Change);
    same(&read(&b, &task, "two.txt").await.unwrap().1, 2_000_000);
    let ranges = a.tap.ranges();
    assert_eq!(ranges.len(), 5, "{ranges:?}");
    assert!(ranges[3].is_some() && ranges[4].is_none(), "{ranges:?}");
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_readers_share_one_fetch() {
    let mesh = MemoryMesh::default();
    let (a, b, echo) = two(&mesh).await;
    let task = done(&b, &echo, &format!("big one.txt {BIG}\nbig two.txt {BIG}")).await;
    let reads = [0, 1, 2, 3].map(|n| read(&b, &task, ["one.txt", "two.txt"][n % 2]));
    for content in futures::future::join_all(reads).await {
        same(&content.unwrap().1, BIG);
    }
    assert_eq!(a.tap.ranges(), [None], "both are one content");
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}

/// What the node of `reader` gets when it asks `owner`'s for the content of one of its tasks.
async fn asked_for(
    reader: &Peer,
    agent: &AgentId,
    task: &Task,
    name: &str,
    sha256: &str,
) -> Result<usize, ContentFault> {
    let dial = Arc::new(reader.node.clone());
    let runner = RemoteRunner::new(Arc::new(|_| None), RemoteTimeouts::default(), Some(dial));
    let wanted = ContentSpec {
        agent: agent.clone(),
        skill: None,
        name: format!("{}/{name}", task.id),
        sha256: sha256.to_owned(),
        from: 0,
    };
    let mut pieces = runner.content(wanted);
    let mut bytes = 0;
    while let Some(piece) = pieces.next().await {
        bytes += piece?.len();
    }
    Ok(bytes)
}

/// The only task of a node.
async fn only_task(node: &Peer) -> Task {
    let all = mesh_agents_tasks::ListTasks {
        limit: 2,
        ..Default::default()
    };
    let mut page = node.engine.list(&Caller::local(), all).await.unwrap();
    assert_eq!(page.tasks.len(), 1);
    page.tasks.remove(0).0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_is_for_whoever_may_read_its_task_and_for_nobody_else() {
    let mesh = MemoryMesh::default();
    let (a, b, echo) = two(&mesh).await;
    let c = Peer::join(&mesh, 3, vec![]).await;
    let both = format!(
        "[peers.\"{}\"]\nallow = [\"*\"]\n[peers.\"{}\"]\nallow = [\"*\"]\n",
        b.node.key(),
        c.node.key()
    );
    write_list(a.dir.path(), &both);
    until(async || a.node.state().acl.acl().peer(&c.node.key()).is_some()).await;
    c.sees("echo", &a).await;
    let task = done(&b, &echo, &format!("big one.txt {BIG}")).await;
    let there = only_task(&a).await;
    let view = b.engine.view(&Caller::local(), &task.id).await.unwrap();
    let sha256 = view
        .artifacts
        .iter()
        .find(|one| one.id.as_str() == "one.txt");
    let sha256 = sha256.unwrap().sha256.clone();

    let got = asked_for(&b, &echo, &there, "one.txt", &sha256).await;
    assert_eq!(got, Ok(BIG));
    let got = asked_for(&c, &echo, &there, "one.txt", &sha256).await;
    assert!(
        matches!(&got, Err(ContentFault::Gone(why)) if why.contains("no task")),
        "{got:?}"
    );
    // Neither its task's other names nor paths lead out of what it may read.
    for name in ["../one.txt", "one.txt/..", "x", "response/../one.txt"] {
        let got = asked_for(&b, &echo, &there, name, &sha256).await;
        assert!(matches!(got, Err(ContentFault::Gone(_))), "{name}: {got:?}");
    }
    // What has another content now is not what was said.
    let got = asked_for(&b, &echo, &there, "one.txt", &"0".repeat(64)).await;
    assert!(
        matches!(&got, Err(ContentFault::Gone(why)) if why.contains("another content")),
        "{got:?}"
    );

    let only_c = format!("[peers.\"{}\"]\nallow = [\"*\"]\n", c.node.key());
    write_list(a.dir.path(), &only_c);
    until(async || a.node.state().acl.acl().peer(&b.node.key()).is_none()).await;
    let refused = read(&b, &task, "one.txt").await.unwrap_err();
    assert_eq!(refused.code, Code::ArtifactUnavailable);
    let asks = format!("agents peers allow {} echo", b.node.key());
    assert!(refused.message.contains(&asks), "{refused}");
    assert!(
        files(&b, ".partial-")
            .iter()
            .all(|file| std::fs::metadata(file).unwrap().len() == 0)
    );
    for node in [c, b, a] {
        node.leave(&mesh).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_client_of_the_caller_s_node_gets_the_content_or_where_it_is_read() {
    let mesh = MemoryMesh::default();
    let (a, b, echo) = two(&mesh).await;
    let (base, serving) = served::serve(&b).await;
    let agent = format!("{base}/a2a/peers/{}/agents/echo", a.node.key());
    let http = mesh_agents_a2a::http::plain_client().unwrap();
    let get = async |url: &str, range: Option<&str>| {
        let request = http.get(url).header("A2A-Version", "1.0");
        let request = match range {
            Some(range) => request.header("Range", range),
            None => request,
        };
        request.send().await.unwrap()
    };
    let shown = async |task: &Task| {
        let answer = get(&format!("{agent}/tasks/{}", task.id), None).await;
        let task: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        let artifacts = task["artifacts"].as_array().unwrap().clone();
        let big = artifacts
            .into_iter()
            .find(|one| one["artifactId"] == "one.txt");
        big.unwrap()
    };

    let first = done(&b, &echo, &format!("big one.txt {BIG}")).await;
    let artifact = shown(&first).await;
    assert_eq!(artifact["parts"][0]["text"].as_str().unwrap(), text(BIG));

    let second = done(&b, &echo, "big one.txt 2000000").await;
    let dir_a = a.leave(&mesh).await;
    let agents = b.engine.agents();
    until(async || b.engine.unavailable(agents.get(&echo).unwrap()).is_some()).await;
    let artifact = shown(&second).await;
    let part = &artifact["parts"][0];
    assert_eq!(artifact["metadata"]["bytes"], 2_000_000);
    let url = part["url"].as_str().unwrap();
    assert_eq!(
        url,
        format!("{agent}/tasks/{}/artifacts/one.txt", second.id)
    );
    let answer = get(url, None).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    let said = answer.text().await.unwrap();
    assert!(said.contains("which is away since 2026-09-"), "{said}");

    let a = Peer::join_as(&mesh, 1, peer_id(1), vec![offered("echo")], dir_a).await;
    until(async || b.engine.unavailable(agents.get(&echo).unwrap()).is_none()).await;
    let answer = get(url, Some("bytes=1999990-")).await;
    assert_eq!(answer.status(), 206);
    assert_eq!(
        answer.headers()["content-range"],
        "bytes 1999990-1999999/2000000"
    );
    assert_eq!(
        answer.headers()["content-disposition"],
        "attachment",
        "no page of ours"
    );
    assert_eq!(answer.bytes().await.unwrap(), text(2_000_000)[1_999_990..]);
    let answer = get(url, None).await;
    assert_eq!(answer.status(), 200);
    same(&answer.bytes().await.unwrap(), 2_000_000);
    let answer = get(url, Some("bytes=2000000-")).await;
    assert_eq!(answer.status(), 416);
    assert_eq!(answer.headers()["content-range"], "bytes */2000000");
    assert_eq!(a.tap.asked().len(), 1, "once, whoever reads it here");
    drop(serving);
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}
