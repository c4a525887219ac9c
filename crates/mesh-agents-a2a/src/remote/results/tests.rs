//! The rules of what is passed on as text, what is kept, and under which name.

use serde_json::json;

use super::*;

fn artifact(value: serde_json::Value) -> Artifact {
    serde_json::from_value(value).unwrap()
}

fn text(id: &str, text: &str) -> Artifact {
    artifact(json!({"artifactId": id, "parts": [{"text": text}]}))
}

fn kept(results: Results) -> Vec<(String, String, String)> {
    let (pieces, _) = results.finish();
    let shown = |piece: Piece| {
        let Held::Here(content) = piece.content else {
            panic!("{} did not come", piece.id)
        };
        let content = String::from_utf8(content).unwrap();
        (piece.id.to_string(), piece.media_type, content)
    };
    pieces.into_iter().map(shown).collect()
}

#[test]
fn the_answer_streams_and_a_snapshot_adds_only_what_is_new() {
    let mut results = Results::default();
    assert_eq!(results.update(text("a1", "Hel"), false), "Hel");
    assert_eq!(results.update(text("a1", "lo"), true), "lo");
    // The connection was lost; the task as it stands comes whole.
    assert_eq!(results.snapshot(vec![text("a1", "Hello wor")]), " wor");
    assert_eq!(results.update(text("a1", "ld"), true), "ld");
    // An older state than what was seen already.
    assert_eq!(results.snapshot(vec![text("a1", "Hello")]), "");
    assert_eq!(results.said(), "Hello world");
    assert!(kept(results).is_empty());
}

#[test]
fn an_answer_written_anew_is_kept_beside_what_was_said() {
    let mut results = Results::default();
    results.update(text("a1", "Draft"), false);
    assert_eq!(results.update(text("a1", "Final"), false), "");
    assert_eq!(results.update(text("a1", "!"), true), "");
    let kept = kept(results);
    assert_eq!(kept, [("a1".into(), "text/plain".into(), "Final!".into())]);
}

#[test]
fn files_are_never_the_answer_and_keep_name_type_and_every_digit() {
    let mut results = Results::default();
    let said = results.snapshot(vec![
        text("LICENSE", "free"),
        text("notes.md", "# Notes"),
        artifact(json!({"artifactId": "7", "parts": [
            {"data": {"big": 9007199254740993_u64, "x": 1}, "filename": "findings.json"},
            {"url": "https://example.com/x"}]})),
        text("response", "The answer."),
    ]);
    assert_eq!(said, "The answer.");
    let row = |id: &str, media: &str, content: &str| {
        (id.to_owned(), media.to_owned(), content.to_owned())
    };
    assert_eq!(
        kept(results),
        [
            row("LICENSE", "text/plain", "free"),
            row("notes.md", "text/markdown", "# Notes"),
            row(
                "findings.json",
                "application/json",
                r#"{"big":9007199254740993,"x":1}"#
            ),
            row("7", "text/uri-list", "https://example.com/x"),
        ]
    );
}

#[test]
fn no_name_of_a_remote_leaves_its_place_or_takes_another() {
    let mut results = Results::default();
    for id in [
        "../../etc/passwd.txt",
        "/abs\\win\u{7}.md",
        "..",
        "response.md",
        "response.md",
    ] {
        results.gather(text(id, "x"), true);
    }
    // Reserved for the streamed text.
    results.gather(
        artifact(json!({"artifactId": "response", "parts": [{"raw": "AAE="}]})),
        false,
    );
    let (pieces, _) = results.finish();
    let ids: Vec<_> = pieces.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "etc/passwd.txt",
            "abs/win_.md",
            "artifact",
            "response.md",
            "response-2"
        ]
    );
    assert_eq!(pieces[4].content, Held::Here(vec![0, 1]));
}

#[test]
fn what_is_too_large_is_left_out_and_told() {
    let mut results = Results::default();
    let megabytes = |n: usize| "x".repeat(n * 1024 * 1024);
    results.gather(text("a.txt", &megabytes(17)), false);
    results.gather(text("b.txt", &megabytes(48)), false);
    results.gather(text("c.txt", "small"), false);
    let (pieces, skipped) = results.finish();
    let ids: Vec<_> = pieces.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, ["c.txt"]);
    assert_eq!(skipped.len(), 2, "{skipped:?}");
    assert!(skipped[0].starts_with("b.txt is beyond the 64 MiB"));
    assert!(skipped[1].starts_with("a.txt has 17825792 bytes"));
}

#[test]
fn what_a_node_sends_is_kept_only_with_the_digest_it_names() {
    let named = |id: &str, sha256: String| {
        artifact(json!({"artifactId": id, "metadata": {"sha256": sha256},
            "parts": [{"text": "{ \"a\" : 1 }\n", "mediaType": "application/json"}]}))
    };
    let right = format!("{:x}", Sha256::digest("{ \"a\" : 1 }\n"));
    let all = vec![
        named("good.json", right),
        named("bad.json", "0".repeat(64)),
        artifact(
            json!({"artifactId": "big.json", "metadata": {"left_out": true},
            "parts": [{"text": "left out"}]}),
        ),
    ];
    let mut results = Results::going_on(String::new(), 0, true);
    results.snapshot(all.clone());
    let (pieces, skipped) = results.finish();
    assert_eq!(pieces.len(), 1);
    assert_eq!(pieces[0].content, Held::Here(b"{ \"a\" : 1 }\n".to_vec()));
    assert!(
        skipped.join("; ").contains("bad.json has another digest"),
        "{skipped:?}"
    );
    assert!(
        skipped.join("; ").contains("big.json was left out"),
        "{skipped:?}"
    );
    // What any other server calls a digest is its own business.
    let mut results = Results::going_on(String::new(), 0, false);
    results.snapshot(all);
    assert_eq!(results.finish().0.len(), 3);
}

fn of_node(id: &str, sha256: &str, part: &serde_json::Value, bytes: u64) -> Artifact {
    let metadata = json!({ "sha256": sha256, "bytes": bytes });
    artifact(json!({ "artifactId": id, "metadata": metadata, "parts": [part] }))
}

#[test]
fn what_came_stays_when_a_later_look_leaves_it_out_or_sends_it_wrong() {
    let right = format!("{:x}", Sha256::digest("whole"));
    let text = json!({ "text": "whole" });
    let came = || {
        let mut results = Results::going_on(String::new(), 0, true);
        results.update(of_node("a.txt", &right, &text, 5), false);
        results
    };
    let left_out = artifact(
        json!({"artifactId": "a.txt", "metadata": {"left_out": true},
        "parts": [{"text": "left out"}]}),
    );
    let mut results = came();
    results.snapshot(vec![left_out]);
    let (pieces, skipped) = results.finish();
    assert_eq!((pieces.len(), skipped.len()), (1, 0), "{skipped:?}");

    let mut results = came();
    results.snapshot(vec![of_node(
        "a.txt",
        &right,
        &json!({ "text": "other" }),
        5,
    )]);
    let (pieces, skipped) = results.finish();
    assert_eq!((pieces.len(), skipped.len()), (1, 1), "{skipped:?}");

    let url = json!({ "url": "/there" });
    let mut results = came();
    results.snapshot(vec![of_node("a.txt", &right, &url, 5)]);
    let (pieces, _) = results.finish();
    assert_eq!(pieces[0].content, Held::Here(b"whole".to_vec()));

    // What is another content now is what counts.
    let other = "b".repeat(64);
    let mut results = came();
    results.snapshot(vec![of_node("a.txt", &other, &url, 7)]);
    let (pieces, _) = results.finish();
    let there = Held::There {
        sha256: other,
        bytes: 7,
    };
    assert_eq!((pieces.len(), &pieces[0].content), (1, &there));
}

#[test]
fn what_stays_with_its_node_is_known_by_a_digest_and_a_length_or_not_at_all() {
    let url = json!({ "url": "/there" });
    let good = "a".repeat(64);
    let mut results = Results::going_on(String::new(), 0, true);
    results.snapshot(vec![
        of_node("good.bin", &good, &url, 9),
        of_node("path.bin", "../../acl.toml", &url, 9),
        of_node("upper.bin", &"A".repeat(64), &url, 9),
        artifact(json!({"artifactId": "long.bin", "metadata": {"sha256": good}, "parts": [url]})),
        of_node("huge.bin", &good, &url, ARTIFACT_BYTES + 1),
    ]);
    let (pieces, skipped) = results.finish();
    let ids: Vec<_> = pieces.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, ["good.bin"], "{skipped:?}");
    assert_eq!(skipped.len(), 4, "{skipped:?}");
    // Of any other server a URL is no more than its text.
    let mut results = Results::going_on(String::new(), 0, false);
    results.snapshot(vec![of_node("good.bin", &good, &url, 9)]);
    let (pieces, _) = results.finish();
    assert_eq!(pieces[0].content, Held::Here(b"/there".to_vec()));
}
