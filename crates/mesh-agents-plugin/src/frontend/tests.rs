//! Front-ends against an engine that comes, breaks and goes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use super::*;
use crate::backend::Surface;

/// Reads one request; returns its head and body.
async fn read(stream: &mut tokio::net::UnixStream) -> (String, String) {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let n = stream.read(&mut piece).await.unwrap();
        bytes.extend_from_slice(&piece[..n]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length: ")
                    .map(str::to_owned)
            });
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return (head.to_owned(), body.to_owned());
            }
        }
    }
}

async fn answer(stream: &mut tokio::net::UnixStream, body: &str) {
    let text = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await.unwrap();
}

fn frontend(socket: PathBuf, start: StartEngine) -> Frontend {
    Frontend::new(FrontendConfig {
        socket,
        start,
        instance: "01A".into(),
        version: "0.1.0".into(),
    })
}

fn no_start() -> StartEngine {
    Arc::new(|| async { Ok(()) }.boxed())
}

#[tokio::test]
async fn a_call_whose_engine_breaks_off_is_sent_again_with_the_same_key() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let frontend = frontend(socket, no_start());
    let args =
        JsonText::parse(r#"{"agent_id":"a","message":"x","metadata":{"n":9007199254740993}}"#)
            .unwrap();
    let call = frontend.call(CallMeta::local(Surface::Host), "send_message", args);
    let engine = async {
        let (mut first, _) = listener.accept().await.unwrap();
        let (_, body) = read(&mut first).await;
        drop(first);
        let (mut second, _) = listener.accept().await.unwrap();
        let (head, again) = read(&mut second).await;
        answer(&mut second, "{\"ok\":true}").await;
        (head, body, again)
    };
    let (result, (head, body, again)) = tokio::join!(call, engine);
    assert_eq!(result.unwrap().as_str(), "{\"ok\":true}");
    assert_eq!(body, again);
    assert!(
        body.contains("\"message_id\":\"msg-") && body.contains("9007199254740993"),
        "{body}"
    );
    assert!(
        head.contains("x-agents-minted: 1") && head.contains("x-agents-surface: host"),
        "{head}"
    );
}

#[tokio::test]
async fn a_caller_s_own_key_is_left_alone() {
    let args = JsonText::parse(r#"{"agent_id":"a","message_id":"mine"}"#).unwrap();
    assert_eq!(with_key(args.clone()).unwrap(), (args, false));
    let nonsense = JsonText::parse("[1]").unwrap();
    assert_eq!(with_key(nonsense.clone()).unwrap(), (nonsense, false));
}

#[tokio::test]
async fn an_engine_is_started_when_none_listens() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let listener = Arc::new(Mutex::new(None));
    let starts = Arc::new(AtomicU32::new(0));
    let start: StartEngine = {
        let (socket, listener, starts) =
            (socket.clone(), Arc::clone(&listener), Arc::clone(&starts));
        Arc::new(move || {
            starts.fetch_add(1, Ordering::SeqCst);
            *listener.lock().unwrap() = Some(UnixListener::bind(&socket).unwrap());
            async { Ok(()) }.boxed()
        })
    };
    let frontend = frontend(socket, start);
    let call = frontend.call(
        CallMeta::local(Surface::Cli),
        "list_tasks",
        JsonText::parse("{}").unwrap(),
    );
    let engine = async {
        let taken = loop {
            if let Some(listener) = listener.lock().unwrap().take() {
                break listener;
            }
            tokio::task::yield_now().await;
        };
        let (mut stream, _) = taken.accept().await.unwrap();
        read(&mut stream).await;
        answer(&mut stream, "{}").await;
    };
    let (result, ()) = tokio::join!(call, engine);
    assert_eq!(result.unwrap().as_str(), "{}");
    assert_eq!(starts.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_engine_that_cannot_be_started_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let start: StartEngine = Arc::new(|| {
        async {
            Err(Refusal::new(
                Code::EngineUnavailable,
                "the engine did not start",
            ))
        }
        .boxed()
    });
    let frontend = frontend(dir.path().join("s"), start);
    let refusal = frontend.running().await;
    assert!(refusal.is_none());
    let call = frontend.call(
        CallMeta::local(Surface::Cli),
        "list_tasks",
        JsonText::parse("{}").unwrap(),
    );
    assert_eq!(call.await.unwrap_err().message, "the engine did not start");
    frontend.stop(true).await.unwrap();
}

#[test]
fn versions_compare_by_number() {
    assert!(is_newer("0.10.0", "0.9.9"));
    assert!(!is_newer("0.1.0", "0.1.0"));
    assert!(!is_newer("0.1.0-rc.1", "0.1.0"));
}
