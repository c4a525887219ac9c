//! Who may do what: one pure function for local and remote callers alike (DESIGN §4).
//!
//! What it decides on comes in as values: who calls, what the owner's list says of a mesh peer's key
//! ([`Grant`]), what the agent is to this node ([`AgentState`]), what is asked ([`Operation`]). A peer without
//! a grant may nothing, so a surface that forgets to look it up lets nobody in.

#[cfg(test)]
mod tests;

use crate::agent::AgentDefinition;
use crate::ids::{AgentId, TaskId};
use crate::limits::TASK_DEPTH;
use crate::principal::Principal;
use crate::refusal::{Code, Refusal};
use crate::run::QuestionKind;

/// The header of a request on a mesh stream that names the skill it is for: whether it may call is decided
/// before its body is read. A call without it names none.
pub const SKILL_HEADER: &str = "mesh-agents-skill";

/// The A2A extension, and the key in a message's or request's metadata, by which a caller has a message wait for
/// an agent whose node is away: `true` is what `queue_if_offline` is to the tools.
pub const QUEUE_EXTENSION: &str = "urn:mesh-agents:queue-if-offline:1";

/// A caller, with what its authority rests on. Made by its constructors only, so that none of it is forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caller {
    /// On whose behalf.
    pub principal: Principal,
    /// How deep the task is whose harness calls; `None` unless the principal is a task.
    pub depth: Option<u8>,
    /// Who sent the first task of the chain; the principal itself unless that is a task. A task here: who it
    /// was is not known any more, and nothing may be sent in its name.
    pub root: Principal,
    /// What the owner's list says of the key that is the root; looked up anew for every request.
    pub grant: Option<Grant>,
    /// Whether the owner lets the access token that is the root call agents of other nodes, which happens in
    /// this node's name; looked up anew for every request. The person at this machine needs no leave.
    pub abroad: bool,
}

impl Caller {
    /// The person at this machine.
    #[must_use]
    pub fn local() -> Self {
        Self::of(Principal::Local)
    }

    /// The holder of the access token of that name.
    #[must_use]
    pub fn token(name: impl Into<String>) -> Self {
        Self::of(Principal::Token(name.into()))
    }

    /// A mesh peer that proved its key, with what the owner's list says of it.
    #[must_use]
    pub fn key(did: impl Into<String>, grant: Grant) -> Self {
        Self::of(Principal::Key(did.into())).with_grant(grant)
    }

    /// The harness of a run of `task`, which is `depth` tasks deep in a chain that `root` began. `None` for a
    /// run that is over.
    #[must_use]
    pub fn task(task: TaskId, depth: Option<u8>, root: Principal) -> Self {
        Self {
            depth,
            root,
            ..Self::of(Principal::Task(task))
        }
    }

    /// The same caller with what the owner's list says of its root's key.
    #[must_use]
    pub fn with_grant(self, grant: Grant) -> Self {
        Self {
            grant: Some(grant),
            ..self
        }
    }

    /// The same caller with whether its root's token may call agents of other nodes.
    #[must_use]
    pub fn with_abroad(self, abroad: bool) -> Self {
        Self { abroad, ..self }
    }

    /// A caller with no authority but its name: as a mesh peer it may nothing yet, as a task it sends nothing.
    #[must_use]
    pub fn of(principal: Principal) -> Self {
        Self {
            root: principal.clone(),
            principal,
            depth: None,
            grant: None,
            abroad: false,
        }
    }
}

/// What the owner of this node has written of one key and one agent, and whether the agent is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The agent it is about; of any other it says nothing.
    pub agent: AgentId,
    /// The skill the call names, if it names one.
    pub skill: Option<String>,
    /// Whether this node offers the agent on this mesh now.
    pub advertised: bool,
    /// Whether the key may call it.
    pub standing: Standing,
    /// Whether the key also answers what its tasks ask permission for (`approve = true`).
    pub approve: bool,
}

/// What the owner's list says of a key and an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It may call.
    Allowed,
    /// Nothing; so it may not.
    Unlisted,
    /// It may not, in so many words.
    Denied,
    /// There has been no list without a mistake since the engine started; nobody may.
    Closed,
}

/// What an agent is to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AgentState {
    /// There is none of that id.
    Absent,
    /// Its files have errors and no earlier version is held.
    Broken,
    /// It is switched off.
    Disabled,
    /// It takes work, though perhaps not at once.
    Ready,
}

impl AgentState {
    /// What the agent is whose definition this is. `is_broken`: there is none, but a directory of that id.
    #[must_use]
    pub fn of(definition: Option<&AgentDefinition>, is_broken: bool) -> Self {
        match definition {
            Some(agent) if agent.enabled => Self::Ready,
            Some(_) => Self::Disabled,
            None if is_broken => Self::Broken,
            None => Self::Absent,
        }
    }
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation<'a> {
    /// To know that the agent exists, and its card.
    Discover,
    /// To come with a call that is not read yet: whatever it is, it may be read.
    Enter,
    /// The same, for one who has tasks of it.
    Return,
    /// To give it work.
    Send,
    /// To see a task of it: state, history, artifacts, stream. Here and below: who sent the task, `None` when
    /// there is none of that id.
    Read(Option<&'a Principal>),
    /// To cancel a task of it.
    Cancel(Option<&'a Principal>),
    /// To answer a question of this kind that a task of it asks.
    Answer(Option<&'a Principal>, QuestionKind),
}

/// Whether `caller` may do `operation` on the agent `id`, which is `state` here, and why not.
///
/// To a mesh peer an agent that is not offered to it, switched off or broken is as one that never was, and
/// a task of somebody else likewise.
///
/// # Errors
/// The refusal to give: `agent_not_found`, `agent_disabled`, `agent_unavailable`, `task_not_found`, or
/// `not_allowed` with what can be done about it.
pub fn may(
    caller: &Caller,
    id: &AgentId,
    state: AgentState,
    operation: Operation<'_>,
) -> Result<(), Refusal> {
    match operation {
        Operation::Return if matches!(caller.principal, Principal::Key(_)) => {
            // Its work ends normally, and is read, whatever became of the agent since.
            match Peer::of(caller, id) {
                Some(peer) if peer.is_allowed() => Ok(()),
                _ => may(caller, id, state, Operation::Enter),
            }
        }
        Operation::Discover | Operation::Enter | Operation::Return | Operation::Send => {
            goes_abroad(caller, id)?;
            match Peer::of(caller, id) {
                Some(peer) => peer.may_use(state, operation != Operation::Discover)?,
                None => usable(id, state)?,
            }
            match operation {
                Operation::Send => chain_goes_on(caller),
                _ => Ok(()),
            }
        }
        Operation::Read(owner) | Operation::Cancel(owner) => sees(caller, id, state, owner),
        Operation::Answer(owner, kind) => {
            sees(caller, id, state, owner)?;
            answers(caller, id, kind)
        }
    }
}

/// [`Operation::Answer`] to a task that `owner` sent to the agent `id`.
///
/// # Errors
/// As [`may`].
pub fn may_answer(
    caller: &Caller,
    id: &AgentId,
    owner: &Principal,
    kind: QuestionKind,
) -> Result<(), Refusal> {
    // What the agent is by now does not matter to who may answer for a task it has.
    may(
        caller,
        id,
        AgentState::Ready,
        Operation::Answer(Some(owner), kind),
    )
}

/// The refusal for an agent that is not there, or not for this caller.
#[must_use]
pub fn no_agent(id: &AgentId) -> Refusal {
    Refusal::new(
        Code::AgentNotFound,
        format!("no agent \"{id}\" on this node"),
    )
    .hint("get_agents lists the agents there are.")
}

/// Whether an agent of another node may be called for this caller: that node sees this node's key and no
/// other. The person here may, and what works for it. The holder of an access token may if the owner wrote so.
/// Another node may not: what a third node lets this one do is not passed on.
fn goes_abroad(caller: &Caller, id: &AgentId) -> Result<(), Refusal> {
    match &caller.root {
        _ if id.is_local() => Ok(()),
        Principal::Local => Ok(()),
        Principal::Token(_) if caller.abroad => Ok(()),
        Principal::Token(name) => Err(Refusal::new(
            Code::NotAllowed,
            format!(
                "agent \"{id}\" is on another node, which would be called in this node's name, and the access token \"{name}\" may not do that"
            ),
        )
        .hint(format!(
            "The owner of this node can allow it: add \"{name}\" to mesh_tokens in agents.toml (`agents settings` shows it), then `agents stop`."
        ))),
        Principal::Key(_) => Err(no_agent(id)),
        // Nobody knows whose work it is; what may be sent in its name is decided where chains are.
        Principal::Task(_) => Ok(()),
    }
}

/// Whether an agent of this node takes work from those who may see everything of it.
fn usable(id: &AgentId, state: AgentState) -> Result<(), Refusal> {
    match state {
        AgentState::Ready => Ok(()),
        AgentState::Absent => Err(no_agent(id)),
        AgentState::Broken => Err(Refusal::new(
            Code::AgentUnavailable,
            format!("agent \"{id}\" cannot be used: its files have errors"),
        )
        .hint(format!(
            "Run `mesh-llm agents validate {id}`, or see problems in get_agents."
        ))),
        AgentState::Disabled => Err(Refusal::new(
            Code::AgentDisabled,
            format!("agent \"{id}\" is disabled"),
        )
        .hint(format!(
            "Its owner can run `mesh-llm agents enable {id}`; get_agents lists the others."
        ))),
    }
}

/// Whether the chain of tasks the caller stands in may be one longer.
fn chain_goes_on(caller: &Caller) -> Result<(), Refusal> {
    match (&caller.principal, caller.depth) {
        (Principal::Task(_), Some(depth)) if depth >= TASK_DEPTH => Err(Refusal::new(
            Code::NotAllowed,
            format!(
                "this task is {depth} tasks deep and {TASK_DEPTH} is the deepest a chain may be"
            ),
        )
        .hint("Do the work in this task, or report back to the caller.")),
        (Principal::Task(_), None) => Err(Refusal::new(
            Code::NotAllowed,
            "the run this token was made for is over",
        )),
        (Principal::Task(_), Some(_)) if matches!(caller.root, Principal::Task(_)) => {
            Err(Refusal::new(
                Code::NotAllowed,
                "the task this chain began with is no longer kept, so nobody knows what it may call",
            )
            .hint("Do the work in this task, or report back to the caller."))
        }
        (
            Principal::Task(_) | Principal::Local | Principal::Token(_) | Principal::Key(_),
            _,
        ) => Ok(()),
    }
}

/// Whether the caller sees a task that `owner` sent to this agent.
fn sees(
    caller: &Caller,
    id: &AgentId,
    state: AgentState,
    owner: Option<&Principal>,
) -> Result<(), Refusal> {
    let own = owner.is_some_and(|owner| caller.principal.sees(owner));
    let no_task = || {
        Refusal::new(
            Code::TaskNotFound,
            format!("no such task of agent \"{id}\""),
        )
        .hint("list_tasks shows yours.")
    };
    match (&caller.principal, Peer::of(caller, id)) {
        (Principal::Key(_), Some(peer)) => {
            if own && peer.is_allowed() {
                // Its work ends normally, and is read, whatever became of the agent since.
                return Ok(());
            }
            peer.may_use(state, true)?;
            Err(no_task())
        }
        _ if own => Ok(()),
        _ => Err(no_task()),
    }
}

/// Whether a caller that sees a task may answer this question of it.
///
/// A permission is the owner's of this node: whoever sent the work does not grant it the machine, unless
/// the owner said so of its key. What the work is about, and a login it needs, its own caller answers. A
/// harness answers nothing: it would grant itself what it was denied (DESIGN §5).
fn answers(caller: &Caller, id: &AgentId, kind: QuestionKind) -> Result<(), Refusal> {
    let refused = |why: &str| Err(Refusal::new(Code::NotAllowed, why));
    match (&caller.principal, kind) {
        (_, QuestionKind::OwnerPermission) => {
            let (name, node) = (id.name(), id.node().unwrap_or_default());
            Err(Refusal::new(
                Code::NotAllowed,
                format!("what agent \"{name}\" asks permission for is answered by the owner of its node {node}, and not by your node's key"),
            )
            .hint(format!(
                "Ask that owner to answer it, or to run there: agents peers allow <your node's key, see `agents identity show`> {name} --approve true"
            )))
        }
        (Principal::Local, _) => Ok(()),
        (Principal::Task(_), _) => refused(
            "a run answers no questions; the person at this node or the caller of the task does",
        ),
        (
            Principal::Token(_) | Principal::Key(_),
            QuestionKind::Elicitation | QuestionKind::Auth,
        ) => Ok(()),
        (Principal::Key(_), QuestionKind::Permission)
            if Peer::of(caller, id).is_some_and(|peer| peer.approves()) =>
        {
            Ok(())
        }
        (Principal::Token(_) | Principal::Key(_), QuestionKind::Permission) => refused(
            "a permission is granted or denied by the owner of this node only, not by a caller",
        ),
    }
}

/// The mesh peer whose authority a request rests on: the caller, or the one a harness's chain began with.
struct Peer<'a> {
    caller: &'a Caller,
    did: &'a str,
    agent: &'a AgentId,
    /// What the owner's list says; none, if it says it of another agent.
    grant: Option<&'a Grant>,
}

impl<'a> Peer<'a> {
    fn of(caller: &'a Caller, agent: &'a AgentId) -> Option<Self> {
        let did = match (&caller.principal, &caller.root) {
            (Principal::Key(did), _) | (Principal::Task(_), Principal::Key(did)) => did,
            _ => return None,
        };
        // The list is about this node's own agents, also where it allows all.
        let grant = caller.grant.as_ref();
        let grant = grant.filter(|grant| grant.agent == *agent && agent.is_local());
        Some(Self {
            caller,
            did,
            agent,
            grant,
        })
    }

    fn standing(&self) -> Standing {
        self.grant
            .map_or(Standing::Unlisted, |grant| grant.standing)
    }

    fn is_allowed(&self) -> bool {
        self.standing() == Standing::Allowed
    }

    fn approves(&self) -> bool {
        self.is_allowed() && self.grant.is_some_and(|grant| grant.approve)
    }

    /// Whether it may know of the agent and, to `call` it, do so.
    fn may_use(&self, state: AgentState, call: bool) -> Result<(), Refusal> {
        let offered = self.grant.is_some_and(|grant| grant.advertised);
        if !offered || state != AgentState::Ready {
            return Err(no_agent(self.agent));
        }
        if call && !self.is_allowed() {
            return Err(self.refusal());
        }
        Ok(())
    }

    /// Why it may not call, and what its user can do about it.
    fn refusal(&self) -> Refusal {
        let (did, agent) = (self.did, self.agent);
        if matches!(self.caller.principal, Principal::Task(_)) {
            return Refusal::new(
                Code::NotAllowed,
                format!("this task works for {did}, which may not call agent \"{agent}\""),
            )
            .hint("Do the work in this task, or report back to the caller.");
        }
        let refused = |why: String| Refusal::new(Code::NotAllowed, why);
        match self.standing() {
            Standing::Denied => refused(format!(
                "the owner of this node denies agent \"{agent}\" to your node's key {did}"
            ))
            .hint(format!(
                "Only the owner can change that; there, `agents peers show {did}` says what is denied."
            )),
            Standing::Closed => refused(format!(
                "this node cannot read its list of who may call, so nobody may; your node's key is {did}"
            ))
            .hint("Ask its owner to look at `agents doctor`."),
            Standing::Unlisted | Standing::Allowed => refused(format!(
                "agent \"{agent}\" takes no calls from your node's key {did} yet"
            ))
            .hint(format!(
                "Ask its owner to run: agents peers allow {did} {}",
                self.wanted()
            )),
        }
    }

    /// What to allow, as the list writes it.
    fn wanted(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let skill = self.grant.and_then(|grant| grant.skill.as_deref());
        // It came from the caller, and somebody will paste this into a shell.
        match skill.filter(|skill| skill.chars().all(plain)) {
            Some(skill) => format!("{}/{skill}", self.agent),
            None => self.agent.to_string(),
        }
    }
}
