//! Who may do what: one pure function for local and remote callers alike (DESIGN §4).

use crate::agent::AgentDefinition;
use crate::limits::TASK_DEPTH;
use crate::principal::Principal;
use crate::refusal::{Code, Refusal};

/// A caller, with what its authority rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// On whose behalf.
    pub principal: Principal,
    /// How deep the task is whose harness calls; `None` unless the principal is a task.
    pub depth: Option<u8>,
}

impl Caller {
    /// The person at this machine.
    #[must_use]
    pub fn local() -> Self {
        Self {
            principal: Principal::Local,
            depth: None,
        }
    }
}

/// Whether `caller` may send work to `agent`, and why not.
///
/// # Errors
/// The refusal to give: the agent is switched off, the caller is not let in, or its chain of tasks is too deep.
pub fn may_send(caller: &Caller, agent: &AgentDefinition) -> Result<(), Refusal> {
    if !agent.enabled {
        return Err(Refusal::new(
            Code::AgentDisabled,
            format!("agent {:?} is disabled", agent.id.as_str()),
        )
        .hint(format!(
            "Its owner can run `mesh-llm agents enable {}`; get_agents lists the others.",
            agent.id
        )));
    }
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
        (Principal::Key(_), _) => Err(Refusal::new(
            Code::NotAllowed,
            "agents of this node take no work from other nodes",
        )),
        (Principal::Local | Principal::Token(_) | Principal::Task(_), _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::testing::definition;
    use crate::ids::TaskId;
    use ulid::Ulid;

    fn task_caller(depth: Option<u8>) -> Caller {
        Caller {
            principal: Principal::Task(TaskId::from_ulid(Ulid::nil())),
            depth,
        }
    }

    #[test]
    fn a_chain_of_tasks_ends_at_the_depth_limit() {
        let agent = definition("a");
        assert!(may_send(&Caller::local(), &agent).is_ok());
        assert!(may_send(&task_caller(Some(TASK_DEPTH - 1)), &agent).is_ok());
        assert_eq!(
            may_send(&task_caller(Some(TASK_DEPTH)), &agent)
                .unwrap_err()
                .code,
            Code::NotAllowed
        );
        assert_eq!(
            may_send(&task_caller(None), &agent).unwrap_err().code,
            Code::NotAllowed
        );
    }

    #[test]
    fn nobody_sends_to_a_disabled_agent_and_no_peer_sends_yet() {
        let mut agent = definition("a");
        let peer = Caller {
            principal: Principal::Key("did:key:z6Mk".into()),
            depth: None,
        };
        assert_eq!(may_send(&peer, &agent).unwrap_err().code, Code::NotAllowed);
        agent.enabled = false;
        assert_eq!(
            may_send(&Caller::local(), &agent).unwrap_err().code,
            Code::AgentDisabled
        );
    }
}
