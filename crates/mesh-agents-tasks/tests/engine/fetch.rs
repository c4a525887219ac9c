//! Contents of artifacts that stayed with another node.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::content::{ContentFault, ContentSpec};
use mesh_agents_core::layout::Layout;
use mesh_agents_core::refusal::Refusal;
use mesh_agents_core::run::Away;
use mesh_agents_core::task::ArtifactInfo;
use mesh_agents_tasks::{Agents, Prune};

use super::fake::NOON;
use super::prelude::*;

/// An agent of another node.
const THERE: &str = "a@z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";
/// `printf 'half and half' | sha256sum`.
const DIGEST: &str = "c26d7757b5540ad43f288bc4d70a80e2f57e737b368103aebe1487738599b8bd";
const CONTENT: &str = "half and half";

fn there() -> Agents {
    agents([definition(THERE)])
}

fn elsewhere(sha256: &str, bytes: u64) -> ArtifactSource {
    ArtifactSource::Elsewhere {
        name: "task-there/x.txt".into(),
        sha256: sha256.into(),
        bytes,
    }
}

/// A task that has ended, its artifact `x.txt` being with another node.
async fn left(bench: &mut Bench, source: ArtifactSource) -> TaskId {
    left_with(bench, THERE, source).await
}

/// The same of this agent.
async fn left_with(bench: &mut Bench, agent: &str, source: ArtifactSource) -> TaskId {
    let id = bench.send(agent, "do it").await.id;
    let run = bench.next_run().await;
    run.say(RunEvent::Artifact {
        id: "x.txt".parse().unwrap(),
        media_type: "text/plain".into(),
        source,
        complete: true,
    });
    run.complete("done");
    bench.until(&id, TaskState::Completed).await;
    id
}

async fn read(bench: &Bench, id: &TaskId) -> Result<(ArtifactInfo, Vec<u8>), Refusal> {
    let name: ArtifactId = "x.txt".parse().unwrap();
    bench.engine.artifact(&local(), id, &name).await
}

fn piece(text: &str) -> Result<Vec<u8>, ContentFault> {
    Ok(text.as_bytes().to_vec())
}

fn broken() -> Result<Vec<u8>, ContentFault> {
    Err(ContentFault::Away {
        node: Some(Away {
            name: "lab".into(),
            since: Some(UnixMillis(NOON - 60_000)),
            why: "the node lab is away".into(),
        }),
        why: "the line broke".into(),
    })
}

fn partial(dir: &Path, sha256: &str) -> PathBuf {
    Layout::new(dir).blobs().join(format!(".partial-{sha256}"))
}

/// Has a file look as if nothing had come to it for so long.
fn aged(file: &Path, hours: u64) {
    let at =
        Duration::from_millis(u64::try_from(NOON).unwrap()) - Duration::from_secs(hours * 3600);
    let file = fs::File::options().append(true).open(file).unwrap();
    file.set_modified(UNIX_EPOCH + at).unwrap();
}

fn from(asked: &[ContentSpec]) -> Vec<u64> {
    asked.iter().map(|one| one.from).collect()
}

#[tokio::test]
async fn a_node_that_sends_nothing_holds_up_no_other() {
    const STALLS: &str = "b@z6MktULudTtAsAhRegYPiZ6631RV3viv12qd4GQF8z1xB22S";
    let dir = tempfile::tempdir().unwrap();
    let both = agents([definition(THERE), definition(STALLS)]);
    let mut bench = Bench::open(dir.path(), both).await;
    let stalls = STALLS.parse().unwrap();
    bench.runner.stalls.lock().unwrap().insert(stalls);
    // More of it are wanted than are fetched at once.
    let mut readers = tokio::task::JoinSet::new();
    for n in 0..10 {
        let source = elsewhere(&format!("{n:064}"), 13);
        let id = left_with(&mut bench, STALLS, source).await;
        let engine = bench.engine.clone();
        readers.spawn(async move {
            let name: ArtifactId = "x.txt".parse().unwrap();
            engine.artifact(&local(), &id, &name).await
        });
    }
    while bench.runner.asked.lock().unwrap().len() < 4 {
        tokio::task::yield_now().await;
    }
    let id = left(&mut bench, elsewhere(DIGEST, 13)).await;
    bench.runner.sends(vec![piece(CONTENT)]);
    let (_, content) = read(&bench, &id).await.unwrap();
    assert_eq!(content, CONTENT.as_bytes());
    bench.engine.shutdown(true).await;
}

#[test]
fn what_came_of_a_content_outlives_its_engine_and_is_not_asked_for_again() {
    let dir = tempfile::tempdir().unwrap();
    let id = killed(dir.path(), there(), async |bench| {
        let id = left(bench, elsewhere(DIGEST, 13)).await;
        bench.runner.sends(vec![piece("half "), broken()]);
        let refused = read(bench, &id).await.unwrap_err();
        assert_eq!(refused.code, Code::ArtifactUnavailable);
        let said = refused.to_string();
        for word in [
            "the node lab, which is away since 2023-11-14 22:12 UTC",
            "13 bytes",
            DIGEST,
            "5 bytes of it are here",
        ] {
            assert!(said.contains(word), "{word}: {said}");
        }
        id
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let bench = Bench::open(dir.path(), there()).await;
        let checked = bench.engine.check().await.unwrap();
        assert_eq!(
            checked.problems, [""; 0],
            "what is elsewhere is not missing"
        );
        bench.runner.sends(vec![piece("and half")]);
        let (info, content) = read(&bench, &id).await.unwrap();
        assert_eq!(
            (content.as_slice(), info.remote),
            (CONTENT.as_bytes(), None)
        );
        let asked = bench.runner.asked.lock().unwrap().clone();
        assert_eq!(from(&asked), [5]);
        assert_eq!(
            (asked[0].name.as_str(), asked[0].sha256.as_str()),
            ("task-there/x.txt", DIGEST)
        );
        assert!(!partial(dir.path(), DIGEST).exists());
        // From now on it is an artifact like any other.
        assert_eq!(read(&bench, &id).await.unwrap().1, CONTENT.as_bytes());
        assert_eq!(bench.runner.asked.lock().unwrap().len(), 1);
        bench.engine.shutdown(true).await;
    });
}

#[tokio::test]
async fn a_content_that_is_shorter_or_longer_than_was_said_is_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), there()).await;
    let id = left(&mut bench, elsewhere(DIGEST, 13)).await;
    // Nothing comes, and the line seems well.
    let refused = read(&bench, &id).await.unwrap_err();
    assert!(refused.message.contains("is not what it said"), "{refused}");
    bench.runner.sends(vec![piece("half and half and more")]);
    let refused = read(&bench, &id).await.unwrap_err();
    assert!(refused.message.contains("is not what it said"), "{refused}");
    assert!(!partial(dir.path(), DIGEST).exists());
    bench
        .runner
        .sends(vec![Err(ContentFault::Gone("no task".into()))]);
    let refused = read(&bench, &id).await.unwrap_err();
    assert!(
        refused.message.contains("is no longer at its node"),
        "{refused}"
    );
    bench.engine.shutdown(true).await;
}

#[tokio::test]
async fn a_digest_that_is_a_path_is_no_digest() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), there()).await;
    for (sha256, bytes) in [
        ("../mesh-agents.sqlite".to_owned(), 13),
        ("A".repeat(64), 13),
        (DIGEST.to_owned(), 17 * 1024 * 1024),
    ] {
        let id = left(&mut bench, elsewhere(&sha256, bytes)).await;
        let refused = read(&bench, &id).await.unwrap_err();
        assert_eq!(refused.code, Code::ArtifactNotFound, "{sha256}");
    }
    bench.engine.shutdown(true).await;
}

#[tokio::test]
async fn what_came_of_a_content_goes_when_nobody_wants_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), there()).await;
    let id = left(&mut bench, elsewhere(DIGEST, 13)).await;
    bench.runner.sends(vec![piece("half "), broken()]);
    read(&bench, &id).await.unwrap_err();
    let wanted = partial(dir.path(), DIGEST);
    let unwanted = partial(dir.path(), &"0".repeat(64));
    fs::write(&unwanted, "x").unwrap();
    let fresh = partial(dir.path(), &"1".repeat(64));
    fs::write(&fresh, "x").unwrap();
    aged(&wanted, 48);
    aged(&unwanted, 48);
    aged(&fresh, 0);
    bench.engine.prune(Prune::default()).await.unwrap();
    assert!(wanted.exists(), "an artifact wants the rest of it");
    assert!(fresh.exists(), "it may be on its way");
    assert!(!unwanted.exists());
    aged(&wanted, 8 * 24);
    bench.engine.prune(Prune::default()).await.unwrap();
    assert!(!wanted.exists(), "nobody has asked for a week");

    // What is elsewhere takes no room, and goes with its task.
    bench.runner.sends(vec![piece("half "), broken()]);
    read(&bench, &id).await.unwrap_err();
    aged(&wanted, 2);
    let all = Prune {
        keep: Some(0),
        ..Prune::default()
    };
    let dry = Prune {
        dry_run: true,
        ..all
    };
    let told = bench.engine.prune(dry).await.unwrap();
    assert_eq!((told.tasks, told.blobs, told.bytes), (1, 0, 0));
    let done = bench.engine.prune(all).await.unwrap();
    assert_eq!((done.tasks, done.blobs, done.bytes), (1, 0, 0));
    assert!(!wanted.exists());
    bench.engine.shutdown(true).await;
}
