//! Contents that stayed with the node that made them: fetched when somebody first reads them.
//!
//! One fetch goes on for a content, however many want it; who waits may stop waiting, and the fetch goes on.
//! What came is kept beside the blobs whatever breaks, this engine too, and the next fetch asks for the rest. It
//! becomes a blob when its digest is what the node said when it delivered the task; anything else is dropped.

mod partial;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use mesh_agents_core::content::{ContentFault, ContentSpec};
use mesh_agents_core::ids::{AgentId, ArtifactId, TaskId};
use mesh_agents_core::policy::Caller;
use mesh_agents_core::principal::Principal;
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_core::task::ArtifactInfo;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::blobs::Stored;
use crate::drive::skill;
use crate::engine::{Inner, TaskEngine, refusal, stopped, storage};
use crate::offline::told;
use crate::store::{self, StoreError};
use partial::Partial;

/// How long a tool waits for a content. The mesh-llm host ends a call at 30 s (host-contract T3).
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Contents that are fetched at once; each has a stream of its own. The others wait for their turn.
const AT_ONCE: usize = 8;
/// Of these, from one node: one whose line is slow, or that sends nothing, holds up no other.
const AT_ONCE_OF_NODE: usize = 4;
/// How often a line that broke is tried again without a byte having come over it since.
const FRUITLESS: u32 = 3;
/// Before each such try.
const PAUSE: Duration = Duration::from_millis(250);
/// Longest one fetch goes on. 16 MiB take it on a line of 150 kbit/s; who asks again goes on from there.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// A content that is open for reading.
#[derive(Debug)]
pub struct ContentFile {
    /// The artifact it is the content of.
    pub info: ArtifactInfo,
    /// The file, at its first byte. It can be read to its end whatever is removed meanwhile.
    pub file: tokio::fs::File,
    /// Its length.
    pub bytes: u64,
}

/// The fetches under way.
#[derive(Debug)]
pub(crate) struct Fetches {
    under_way: Mutex<HashMap<String, watch::Receiver<State>>>,
    turns: Semaphore,
    /// The turns of each node something is fetched from.
    of_nodes: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Default for Fetches {
    fn default() -> Self {
        Self {
            under_way: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
            of_nodes: Mutex::default(),
        }
    }
}

impl Fetches {
    fn turns_of(&self, agent: &AgentId) -> Arc<Semaphore> {
        let of_nodes = self.of_nodes.lock();
        let mut of_nodes = of_nodes.unwrap_or_else(PoisonError::into_inner);
        of_nodes.retain(|_, turns| Arc::strong_count(turns) > 1);
        let turns = of_nodes.entry(agent.node().unwrap_or_default());
        Arc::clone(turns.or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE_OF_NODE))))
    }
}

/// How a fetch stands.
#[derive(Debug, Clone)]
enum State {
    /// So many bytes are here.
    Under(u64),
    /// It is over. The content stays at least as long as somebody holds this.
    Over(Result<Arc<Stored>, Why>),
}

/// Why there is no content.
#[derive(Debug, Clone)]
enum Why {
    /// What its node, or the way to it, had to say; so many bytes are here.
    Node(ContentFault, u64),
    /// The node sent something else than it said.
    Other,
    /// It takes too long.
    Slow(u64),
    /// This disk.
    Disk(Arc<StoreError>),
    /// This engine stops.
    Stopping,
}

/// One content to be fetched.
#[derive(Debug, Clone)]
struct Wanted {
    agent: AgentId,
    skill: Option<String>,
    name: String,
    sha256: String,
    bytes: u64,
}

impl TaskEngine {
    /// The content an entry of [`crate::TaskView::artifacts`] names, fetched from its node if it is still
    /// there. Who was shown the view may read it: it is not asked again.
    ///
    /// # Errors
    /// `artifact_unavailable` when it is with another node and does not come within `patience`; `storage`,
    /// also when the artifact was deleted since.
    pub async fn content_within(
        &self,
        id: &TaskId,
        entry: &ArtifactInfo,
        patience: Duration,
    ) -> Result<Vec<u8>, Refusal> {
        let _stays = self.bring(id, entry, patience).await?;
        let content = self.inner.blobs.get(&entry.sha256).await;
        content.map_err(|error| unreadable(id, entry, &error))
    }

    /// Opens the content of an artifact that is stored, fetched from its node if it is still there.
    ///
    /// # Errors
    /// As [`Self::artifact`].
    pub async fn open_content(
        &self,
        caller: &Caller,
        id: &TaskId,
        artifact: &ArtifactId,
        patience: Duration,
    ) -> Result<ContentFile, Refusal> {
        let info = self.entry(caller, id, artifact).await?;
        let _stays = self.bring(id, &info, patience).await?;
        let opened = self.inner.blobs.open(&info.sha256).await;
        let (file, bytes) = opened.map_err(|error| unreadable(id, &info, &error))?;
        Ok(ContentFile { info, file, bytes })
    }

    /// Has the content here. What it returns keeps it.
    async fn bring(
        &self,
        id: &TaskId,
        entry: &ArtifactInfo,
        patience: Duration,
    ) -> Result<Option<Arc<Stored>>, Refusal> {
        let Some(name) = &entry.remote else {
            return Ok(None);
        };
        if let Some(stored) = self.inner.blobs.held(&entry.sha256).await {
            return Ok(Some(Arc::new(stored)));
        }
        let task_id = id.clone();
        let read = self
            .inner
            .store
            .read(move |db| store::task(db, &task_id, &Principal::Local));
        let task = read.await.map_err(|error| refusal(&error, id))?.task;
        let wanted = Wanted {
            agent: task.agent_id,
            skill: skill(task.metadata.as_ref()),
            name: name.clone(),
            sha256: entry.sha256.clone(),
            bytes: entry.bytes,
        };
        let node = wanted.agent.clone();
        let mut state = self.inner.fetch(wanted);
        let over = state.wait_for(|state| matches!(state, State::Over(_)));
        let over = timeout(patience, over)
            .await
            .map(|over| over.map(|state| state.clone()));
        let what = What { id, entry, node };
        match over {
            Ok(Ok(State::Over(Ok(stored)))) => Ok(Some(stored)),
            Ok(Ok(State::Over(Err(why)))) => Err(what.refused(&why)),
            // Still under way, or its task is gone with the engine.
            Ok(_) => Err(what.refused(&Why::Stopping)),
            Err(_) => {
                let here = match &*state.borrow() {
                    State::Under(here) => *here,
                    State::Over(_) => entry.bytes,
                };
                Err(what.slow(here))
            }
        }
    }
}

impl Inner {
    /// The fetch of a content: the one under way, or a new one.
    fn fetch(self: &Arc<Self>, wanted: Wanted) -> watch::Receiver<State> {
        let lock = || {
            let under_way = &self.fetches.under_way;
            under_way.lock().unwrap_or_else(PoisonError::into_inner)
        };
        let mut under_way = lock();
        if let Some(state) = under_way.get(&wanted.sha256)
            && state.has_changed().is_ok()
        {
            return state.clone();
        }
        let (tell, state) = watch::channel(State::Under(0));
        under_way.insert(wanted.sha256.clone(), state.clone());
        drop(under_way);
        let inner = Arc::clone(self);
        self.spawn(async move {
            let mut stop = inner.stop_signal();
            let done = tokio::select! {
                done = timeout(LONGEST, whole(&inner, &wanted, &tell)) => done,
                () = stopped(&mut stop) => Ok(Err(Why::Stopping)),
            };
            let done = done.unwrap_or_else(|_| Err(Why::Slow(here(&tell))));
            // Whoever comes from now on finds the content, or tries anew.
            let under_way = &inner.fetches.under_way;
            let mut under_way = under_way.lock().unwrap_or_else(PoisonError::into_inner);
            under_way.remove(&wanted.sha256);
            drop(under_way);
            tell.send_replace(State::Over(done.map(Arc::new)));
        });
        state
    }
}

fn here(tell: &watch::Sender<State>) -> u64 {
    match &*tell.borrow() {
        State::Under(here) => *here,
        State::Over(_) => 0,
    }
}

/// Fetches a content to its end and makes it a blob.
async fn whole(
    inner: &Arc<Inner>,
    wanted: &Wanted,
    tell: &watch::Sender<State>,
) -> Result<Stored, Why> {
    let of_node = inner.fetches.turns_of(&wanted.agent);
    let _its_turn = of_node.acquire().await;
    let _turn = inner.fetches.turns.acquire().await;
    let mut fruitless = 0;
    let mut anew = false;
    loop {
        let path = inner.blobs.partial(&wanted.sha256);
        let mut partial = Partial::open(path, wanted.bytes)
            .await
            .map_err(disk(inner))?;
        let before = partial.here();
        tell.send_replace(State::Under(before));
        let pulled = pull(inner, wanted, &mut partial, tell).await;
        let here = partial.here();
        match pulled {
            Ok(()) if here >= wanted.bytes => {
                if let Some(stored) = finish(inner, wanted, partial).await? {
                    return Ok(stored);
                }
                // What was here before may have been damaged; what came in one piece is what was sent.
                if before == 0 || anew {
                    return Err(Why::Other);
                }
                anew = true;
            }
            // The node has less than it said: as a line that broke, for its disk may have.
            Ok(()) if fruitless >= FRUITLESS => return Err(Why::Other),
            Ok(()) => fruitless += 1,
            Err(Why::Node(fault @ ContentFault::Away { .. }, here)) => {
                let away = matches!(&fault, ContentFault::Away { node: Some(away), .. } if away.since.is_some());
                fruitless = if here > before { 0 } else { fruitless + 1 };
                if away || fruitless >= FRUITLESS {
                    return Err(Why::Node(fault, here));
                }
            }
            Err(why) => return Err(why),
        }
        sleep(PAUSE).await;
    }
}

/// Takes what its node sends.
async fn pull(
    inner: &Arc<Inner>,
    wanted: &Wanted,
    partial: &mut Partial,
    tell: &watch::Sender<State>,
) -> Result<(), Why> {
    if partial.here() >= wanted.bytes {
        return Ok(());
    }
    let mut pieces = inner.runner.content(ContentSpec {
        agent: wanted.agent.clone(),
        skill: wanted.skill.clone(),
        name: wanted.name.clone(),
        sha256: wanted.sha256.clone(),
        from: partial.here(),
    });
    let pulled = loop {
        match pieces.next().await {
            Some(Ok(piece)) => {
                partial.take(&piece).await.map_err(disk(inner))?;
                tell.send_replace(State::Under(partial.here()));
                if partial.here() > wanted.bytes {
                    // More than was said; nothing of it can be right.
                    break Ok(());
                }
            }
            Some(Err(fault)) => break Err(Why::Node(fault, partial.here())),
            None => break Ok(()),
        }
    };
    partial.settle().await.map_err(disk(inner))?;
    pulled
}

/// Makes a blob of what is whole; drops it, if it is something else.
async fn finish(
    inner: &Arc<Inner>,
    wanted: &Wanted,
    partial: Partial,
) -> Result<Option<Stored>, Why> {
    let (blobs, sha256, bytes) = (inner.blobs.clone(), wanted.sha256.clone(), wanted.bytes);
    let work = tokio::task::spawn_blocking(move || match partial.verified(&sha256, bytes)? {
        Some(path) => blobs.adopt(&path, &sha256, bytes).map(Some),
        None => Ok(None),
    });
    let done = work
        .await
        .map_err(|_panicked| Why::Stopping)?
        .map_err(disk(inner))?;
    if done.is_some() {
        let sha256 = wanted.sha256.clone();
        let noted = inner.store.write(move |db| store::here(db, &sha256)).await;
        if let Err(error) = noted {
            // It is found here all the same.
            tracing::warn!(%error, "that a content was fetched was not stored");
        }
    }
    Ok(done)
}

/// This disk refuses.
fn disk(inner: &Inner) -> impl Fn(std::io::Error) -> Why {
    let dir = inner.blobs.dir().to_owned();
    move |error| Why::Disk(Arc::new(StoreError::of_file(&error, &dir)))
}

fn unreadable(id: &TaskId, entry: &ArtifactInfo, error: &std::io::Error) -> Refusal {
    let text = format!("artifact \"{}\" of {id} cannot be read: {error}", entry.id);
    Refusal::new(Code::Storage, text)
}

/// What was to be read.
struct What<'a> {
    id: &'a TaskId,
    entry: &'a ArtifactInfo,
    node: AgentId,
}

impl What<'_> {
    fn refused(&self, why: &Why) -> Refusal {
        let Self { id, entry, .. } = self;
        let name = format!("artifact \"{}\" of {id}", entry.id);
        let known = format!(
            "Known of it: {}, {} bytes, SHA-256 {}.",
            entry.media_type, entry.bytes, entry.sha256
        );
        let node = self.node.node().unwrap_or_default();
        match why {
            Why::Node(ContentFault::Away { node: away, why }, here) => {
                let (node, since) = match away {
                    Some(away) => (away.name.clone(), away.since),
                    None => (node, None),
                };
                let state = match since {
                    Some(since) => format!("which is away since {}", told(since)),
                    None => format!("which cannot be reached ({why})"),
                };
                let text = format!("{name} is still with the node {node}, {state}");
                let hint = format!(
                    "It is fetched when that node is back: read it again then. {known} {here} bytes of it are here."
                );
                Refusal::new(Code::ArtifactUnavailable, text).hint(hint)
            }
            Why::Node(ContentFault::Gone(said), _) => {
                let text = format!(
                    "{name} is no longer at its node {node} ({said}), and was not read before"
                );
                let hint = "Nodes remove old tasks. Send the message again for a new result.";
                Refusal::new(Code::ArtifactUnavailable, text).hint(format!("{hint} {known}"))
            }
            Why::Node(ContentFault::Refused(said), _) => {
                let text = format!(
                    "{name} is with the node {node}, which turned the request away: {said}"
                );
                Refusal::new(Code::ArtifactUnavailable, text).hint(known)
            }
            Why::Other => {
                let text = format!(
                    "what the node {node} sent as {name} is not what it said when the task ended, so nothing of it was kept"
                );
                let hint = format!(
                    "Read it again to have it sent anew, or ask that node's owner. {known}"
                );
                Refusal::new(Code::ArtifactUnavailable, text).hint(hint)
            }
            Why::Slow(here) => self.slow(*here),
            Why::Disk(error) => storage(error),
            Why::Stopping => storage(&StoreError::Closed),
        }
    }

    /// It is under way.
    fn slow(&self, here: u64) -> Refusal {
        let Self { id, entry, .. } = self;
        let text = format!(
            "artifact \"{}\" of {id} is being fetched from its node: {here} of {} bytes are here",
            entry.id, entry.bytes
        );
        let hint = "Read it again in a moment; nothing of what came is lost.";
        Refusal::new(Code::ArtifactUnavailable, text).hint(hint)
    }
}
