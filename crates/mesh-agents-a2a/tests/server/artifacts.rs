//! Large artifacts: by URL for a node that fetches them, whole for everybody else, and what the URL leads to.

use axum::body::Body;
use axum::http::Request;
use mesh_agents_core::policy::{Caller, Grant, Standing};
use mesh_agents_core::run::{ArtifactSource, RunEvent};
use serde_json::{Value, json};

use crate::fake::{AGENT, Answered, Node, at_once, read, rpc};

const ADA: &str = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
const BOB: &str = "did:key:z6MkfUL9RCyJfHPrJLF1XGjhKvaLyvb4UvGqL5uzrXCoP6f8";
const KIB: usize = 1024;

fn peer(did: &str) -> Caller {
    let grant = Grant {
        agent: "a".parse().unwrap(),
        skill: None,
        advertised: true,
        standing: Standing::Allowed,
        approve: false,
    };
    Caller::key(did, grant)
}

fn left(id: &str, bytes: usize) -> RunEvent {
    RunEvent::Artifact {
        id: id.parse().unwrap(),
        media_type: "text/plain".into(),
        source: ArtifactSource::Text(id.repeat(bytes / id.len() + 1)[..bytes].to_owned()),
        complete: true,
    }
}

/// The artifacts of a task, as a caller is shown them that sends this header or none.
async fn shown(node: &Node, caller: &Caller, id: &Value, header: Option<&str>) -> Vec<Value> {
    let mut request = rpc("GetTask", &json!({ "id": id }));
    if let Some(header) = header {
        let headers = request.headers_mut();
        headers.insert("mesh-agents-artifacts", header.parse().unwrap());
    }
    let answer = read(node.request_as(caller, request).await).await.json();
    answer["result"]["artifacts"].as_array().unwrap().clone()
}

async fn get(node: &Node, caller: &Caller, method: &str, url: &str, range: &str) -> Answered {
    // A URL is no operation of A2A: nobody has to name the version.
    let request = Request::builder()
        .method(method)
        .uri(url)
        .header("range", range)
        .body(Body::empty());
    read(node.request_as(caller, request.unwrap()).await).await
}

#[tokio::test]
async fn a_node_that_fetches_is_told_where_large_artifacts_are_and_others_get_them() {
    let mut node = Node::start().await;
    let (ada, bob) = (peer(ADA), peer(BOB));
    let sent = node.call_as(&ada, "SendMessage", at_once("m1", "x")).await;
    let id = sent["result"]["task"]["id"].clone();
    let run = node.next_run().await;
    run.say(left("big file.txt", 100 * KIB));
    for n in 10..30 {
        run.say(left(&format!("{n}.txt"), 60 * KIB));
    }
    run.complete("done");
    while node.call_as(&ada, "GetTask", json!({ "id": id })).await["result"]["status"]["state"]
        != "TASK_STATE_COMPLETED"
    {
        tokio::task::yield_now().await;
    }

    let all = shown(&node, &ada, &id, Some("by-reference")).await;
    let by_url = |one: &&Value| one["parts"][0].get("url").is_some();
    let large: Vec<&Value> = all.iter().filter(by_url).collect();
    // 17 of the small ones make a MiB; the other three and the large one stay.
    assert_eq!((all.len(), large.len()), (21, 4), "{large:?}");
    let big = all.iter().find(|one| one["artifactId"] == "big file.txt");
    let big = big.unwrap();
    let part = &big["parts"][0];
    let url = part["url"].as_str().unwrap();
    let task = id.as_str().unwrap();
    assert_eq!(
        url,
        format!("{AGENT}/tasks/{task}/artifacts/big%20file.txt")
    );
    assert_eq!(
        (part.get("text"), &part["mediaType"]),
        (None, &json!("text/plain"))
    );
    assert_eq!(big["metadata"]["bytes"], 100 * KIB);
    assert_eq!(big["metadata"]["sha256"].as_str().unwrap().len(), 64);

    // A node of before, one that says something else, and a person, whatever is said.
    for (caller, header) in [
        (&ada, None),
        (&ada, Some("whole")),
        (&Caller::local(), Some("by-reference")),
    ] {
        let all = shown(&node, caller, &id, header).await;
        assert!(!all.iter().any(|one| by_url(&one)), "{header:?}");
        let lengths = all
            .iter()
            .map(|one| one["parts"][0]["text"].as_str().unwrap().len());
        assert_eq!(lengths.max(), Some(100 * KIB));
    }

    // What the URL leads to, and for whom.
    let part = get(&node, &ada, "GET", url, "bytes=4-8").await;
    assert_eq!((part.status.as_u16(), part.body.as_str()), (206, "file."));
    assert_eq!(part.headers["content-range"], "bytes 4-8/102400");
    assert_eq!(part.headers["x-content-type-options"], "nosniff");
    assert_eq!(part.headers["content-disposition"], "attachment");
    let whole = get(&node, &ada, "GET", url, "").await;
    assert_eq!((whole.status.as_u16(), whole.body.len()), (200, 100 * KIB));
    let other = url.replace("/agents/a/", "/agents/b/");
    let beside = url.replace("big%20file.txt", "..%2fbig%20file.txt");
    for (caller, method, url, status) in [
        (&bob, "GET", url, 404),
        (&ada, "POST", url, 405),
        (&ada, "GET", beside.as_str(), 404),
        (&ada, "GET", &format!("{url}x"), 404),
    ] {
        let answer = get(&node, caller, method, url, "").await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{method} {url}: {}",
            answer.body
        );
    }
    let answer = get(&node, &ada, "GET", &other, "").await;
    assert!(
        answer.status.is_client_error(),
        "another agent's address: {answer:?}"
    );
    let past = get(&node, &ada, "GET", url, "bytes=102400-").await;
    assert_eq!(past.status.as_u16(), 416);
    assert_eq!(past.headers["content-range"], "bytes */102400");
}
