//! The Runner port: how the engine drives work it does not understand (DESIGN §3, "One Runner").
//!
//! A harness process and a remote agent are both Runners. The engine hands one a [`RunSpec`] and
//! gets back a stream of [`RunEvent`]s and a [`RunControl`]. A stream that ends without
//! [`RunEvent::Ended`] is a lost run.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use serde::{Deserialize, Serialize};

use crate::agent::AgentDefinition;
use crate::clock::UnixMillis;
use crate::content::{self, ContentSpec, ContentStream};
use crate::ids::{AgentId, ArtifactId, ContextId, QuestionId, RunId, TaskId};
use crate::layout::RunDirs;
use crate::question::Question;
use crate::task::Failure;

/// Starts runs. Called inside an async runtime; must return at once and do its work in the stream.
pub trait Runner: Send + Sync + fmt::Debug {
    /// Starts one run. Every failure, at start too, is a [`RunEvent::Ended`] of the stream.
    fn start(&self, spec: RunSpec) -> Run;

    /// Whether the process group of an earlier run of this machine still exists.
    fn alive(&self, process: &ProcessRef) -> bool;

    /// Kills what is left of an earlier run of this machine, its guard included, and returns how
    /// many processes would not die. For the engine that finds such a run after a restart: guard
    /// and engine may have been killed together, and then nobody ended what had left the process
    /// group. Blocks, for at most a few seconds.
    fn reap(&self, run: &RunId, guard: Option<&ProcessRef>) -> u32;

    /// The results that an earlier run of this machine had written when it was killed, so that what a failed
    /// task left can be read. Called once nothing of the run is left. Blocks while it looks at the disk.
    fn left(&self, _agent: &AgentDefinition, _dirs: &RunDirs) -> Vec<LeftFile> {
        Vec::new()
    }

    /// What stands in the way of running this agent here and now, such as a harness not on PATH.
    fn unavailable(&self, agent: &AgentDefinition) -> Option<String>;

    /// Whether the node the agent is on cannot be called at the moment. `None` for agents of this node.
    fn away(&self, _agent: &AgentDefinition) -> Option<Away> {
        None
    }

    /// The content of an artifact that a run left where it was made ([`ArtifactSource::Elsewhere`]). Must
    /// return at once and do its work in the stream.
    fn content(&self, _wanted: ContentSpec) -> ContentStream {
        content::none()
    }

    /// By what the tasks of an agent that nobody offers any more are followed to their end: what goes on
    /// elsewhere does not end here with the offer. `None` when they can go on only with its definition.
    fn stand_in(&self, _agent: &AgentId) -> Option<AgentDefinition> {
        None
    }
}

/// A result that a run had written when it was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftFile {
    /// Its path relative to the run's artifacts directory.
    pub id: ArtifactId,
    /// Its media type.
    pub media_type: String,
    /// Its absolute path.
    pub path: PathBuf,
}

/// A node that cannot be called at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Away {
    /// What people call it.
    pub name: String,
    /// Since when it is away; `None` when it is there, and something else is in the way.
    pub since: Option<UnixMillis>,
    /// The cause, in words.
    pub why: String,
}

/// A run under way.
pub struct Run {
    /// What happens, in order, ending with [`RunEvent::Ended`].
    pub events: Pin<Box<dyn Stream<Item = RunEvent> + Send>>,
    /// How to influence it. Dropping the stream and the control ends the run by force.
    pub control: Arc<dyn RunControl>,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").finish_non_exhaustive()
    }
}

/// How a run under way is influenced. Both calls return at once; effects show as events.
pub trait RunControl: Send + Sync {
    /// Answers an open question. An unknown or settled question is ignored.
    fn answer(&self, question: &QuestionId, answer: Answer);

    /// Asks the run to end: politely, then by force, the whole process tree (DESIGN §5, "End").
    /// [`RunEvent::Ended`] follows when nothing of it is left. A second call changes nothing.
    fn cancel(&self);
}

/// All a runner needs for one run.
#[derive(Debug, Clone)]
pub struct RunSpec {
    /// The run; also the marker in the environment of its processes.
    pub run_id: RunId,
    /// The task.
    pub task_id: TaskId,
    /// Its conversation.
    pub context_id: ContextId,
    /// 1 for the first.
    pub attempt: u32,
    /// The definition it is started with.
    pub agent: Arc<AgentDefinition>,
    /// What to say to the agent: the caller's message, or what [`Resume`] calls for.
    pub prompt: String,
    /// The earlier session to go on in, instead of a new one.
    pub resume: Option<Resume>,
    /// What the runs before it left, when it goes on with the same task; else empty.
    pub before: Before,
    /// The skill the message is for, where its caller named one.
    pub skill: Option<String>,
    /// How long to try to deliver its message to a node that does not take it; `None` for as long as
    /// the runner thinks right.
    pub patience: Option<Duration>,
    /// Where prompt, artifacts and logs lie. The runner creates them.
    pub dirs: RunDirs,
    /// The harness's private HOME. The runner creates it.
    pub home: PathBuf,
    /// Where the mesh is, as known now.
    pub mesh: MeshEndpoints,
    /// Our tools for the harness, when the agent has them.
    pub tools: Option<ToolsGrant>,
}

/// What earlier runs of the same task left. For a runner whose agent was not cut off with them: it
/// need not be told to go on, and what it said meanwhile must be told from what is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Before {
    /// The streamed text that is stored; [`RunEvent::Text`] goes on from it.
    pub said: String,
    /// The last answer there was. With [`ResumeReason::Answered`] nobody was told it yet; with
    /// [`ResumeReason::Interrupted`] the run may have been cut off before it passed it on.
    pub answer: Option<Answer>,
    /// The question it answers.
    pub question: Option<QuestionId>,
    /// The question that is still open: shown, and not answered. The run takes it back when it is asked no
    /// more, and does not ask it again.
    pub open: Option<Question>,
}

/// An earlier session to go on in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// The harness's id for it, from [`RunEvent::Started`].
    pub session_id: String,
    /// Why it is taken up again.
    pub why: ResumeReason,
}

/// Why an earlier session is taken up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumeReason {
    /// Its run was cut off in the middle of this task. A session that cannot be taken up ends the
    /// run with [`Outcome::Interrupted`]; its artifacts and workspace are kept.
    Interrupted,
    /// Its run was cut off while a question of this task was open, and the answer, which
    /// [`RunSpec::prompt`] tells, came later. Otherwise as [`Self::Interrupted`].
    Answered,
    /// An earlier task of the same context ended there (`session = "per_context"`). A session that
    /// cannot be taken up is replaced by a new one, with a [`RunEvent::Note`] that says so.
    NextTask,
}

/// Where the mesh is. A variable without a value is an error only where it is used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MeshEndpoints {
    /// The host's MCP endpoint, `{{ mesh.mcp_url }}`.
    pub mcp_url: Option<String>,
    /// The host's management API, `{{ mesh.api_url }}`.
    pub api_url: Option<String>,
    /// The OpenAI-compatible API with the mesh's models, `{{ mesh.openai_url }}`.
    pub openai_url: Option<String>,
    /// The data directory, `{{ mesh.data_dir }}`.
    pub data_dir: PathBuf,
}

/// Access to our own MCP endpoint for one run.
#[derive(Clone, PartialEq, Eq)]
pub struct ToolsGrant {
    /// `http://127.0.0.1:PORT/mcp`.
    pub url: String,
    /// Bearer token; valid while the run lasts.
    pub token: String,
}

impl fmt::Debug for ToolsGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolsGrant")
            .field("url", &self.url)
            .field("token", &"…")
            .finish()
    }
}

/// A process that outlives a restart of the engine, told apart from a later one with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRef {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since boot (`/proc/<pid>/stat` field 22), 0 where unknown.
    pub birth: u64,
}

/// What happens in a run.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEvent {
    /// The guard of the run exists.
    Process(ProcessRef),
    /// The harness opened its session.
    Started {
        /// The harness's id for it.
        session_id: String,
        /// Whether it can be resumed.
        resumable: bool,
    },
    /// A piece of the answer.
    Text(String),
    /// A sign of life that is not kept (thoughts, unknown updates).
    Activity,
    /// A tool call began or changed.
    ToolCall(ToolCall),
    /// The harness's plan, whole.
    Plan(Vec<PlanEntry>),
    /// Tokens used so far.
    Usage {
        /// Tokens in the context.
        used: u64,
        /// Size of the context.
        size: u64,
    },
    /// An artifact is there to be stored. The file stays until the event after the next was asked for.
    Artifact {
        /// Its id.
        id: ArtifactId,
        /// Its media type.
        media_type: String,
        /// Its content.
        source: ArtifactSource,
        /// False when the run did not complete.
        complete: bool,
    },
    /// Something worth knowing that changes nothing.
    Note {
        /// A stable word.
        code: String,
        /// For a person.
        text: String,
    },
    /// Whoever does the work is out of reach, or in reach again. It says nothing about the work.
    Reach {
        /// Why not; `None` when it is in reach again.
        away: Option<String>,
    },
    /// The run asks and waits.
    Question {
        /// Its id.
        id: QuestionId,
        /// What kind.
        kind: QuestionKind,
        /// What is asked.
        text: String,
        /// What may be answered.
        options: Vec<QuestionOption>,
    },
    /// A question is settled or void.
    QuestionGone(QuestionId),
    /// The run is over and nothing of it is left. Always the last event.
    Ended(Outcome),
}

/// Where an artifact's content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtifactSource {
    /// In this file.
    File(PathBuf),
    /// Here.
    Text(String),
    /// With the node that made it: [`Runner::content`] has it, when somebody asks for it.
    Elsewhere {
        /// What it is called there.
        name: String,
        /// SHA-256 of it, hex, as that node says.
        sha256: String,
        /// Its length in bytes, as that node says.
        bytes: u64,
    },
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// By the success rule of DESIGN §5.
    Completed {
        /// The final answer, for the history.
        answer: String,
    },
    /// With a cause.
    Failed(Failure),
    /// The harness would not do it.
    Refused(String),
    /// Because we asked it to end.
    Canceled,
    /// Cut off by something that is not its fault and not ours.
    Interrupted(String),
}

/// A tool call of a harness; every field is what is known so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The harness's id for it.
    pub id: String,
    /// What a person would call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// ACP's tool kind, such as `read`, `edit`, `execute`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// ACP's status, such as `in_progress`, `completed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// One entry of a harness's plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanEntry {
    /// What is to be done.
    pub content: String,
    /// ACP's status, such as `pending`, `completed`.
    pub status: String,
}

/// What kind of question a run asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuestionKind {
    /// May it do this? Answered by the owner.
    Permission,
    /// The same, asked on another node whose owner alone answers it: its caller is shown it and no more.
    OwnerPermission,
    /// What does the caller want? Answered by the caller.
    Elicitation,
    /// A login is needed.
    Auth,
}

/// One possible answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionOption {
    /// The harness's id for it.
    pub id: String,
    /// What it says.
    pub name: String,
    /// ACP's option kind, such as `allow_once`.
    pub kind: String,
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// This option.
    Option(String),
    /// This text.
    Text(String),
    /// No answer; the question is void.
    Declined,
}
