//! Who may do what: one pure function for local and remote callers alike (DESIGN §4).

use crate::agent::AgentDefinition;
use crate::limits::TASK_DEPTH;
use crate::principal::Principal;
use crate::refusal::{Code, Refusal};
use crate::run::QuestionKind;

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

/// Whether `caller` may answer a question of this kind that a task of `owner` asks, and why not.
///
/// A permission is the owner's of this node: whoever sent the work does not grant it the machine.
/// What the work is about, and a login it needs, its own caller answers. A harness answers nothing:
/// it would grant itself what it was denied (DESIGN §5).
///
/// # Errors
/// `not_allowed`, with who may.
pub fn may_answer(caller: &Caller, owner: &Principal, kind: QuestionKind) -> Result<(), Refusal> {
    let refused = |why: &str| Err(Refusal::new(Code::NotAllowed, why));
    match (&caller.principal, kind) {
        (Principal::Local, _) => Ok(()),
        (Principal::Task(_), _) => refused(
            "a run answers no questions; the person at this node or the caller of the task does",
        ),
        (Principal::Token(_) | Principal::Key(_), QuestionKind::Permission) => refused(
            "a permission is granted or denied by the owner of this node only, not by a caller",
        ),
        (
            Principal::Token(_) | Principal::Key(_),
            QuestionKind::Elicitation | QuestionKind::Auth,
        ) => {
            if caller.principal == *owner {
                Ok(())
            } else {
                refused("only the caller of a task and the owner of this node answer its questions")
            }
        }
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

    #[test]
    fn a_permission_is_the_owner_s_the_rest_its_caller_s_and_a_run_answers_nothing() {
        let caller = |principal: &Principal| Caller {
            principal: principal.clone(),
            depth: matches!(principal, Principal::Task(_)).then_some(0),
        };
        let all = [
            Principal::Local,
            Principal::Token("ci".into()),
            Principal::Token("other".into()),
            Principal::Key("did:key:z6Mk".into()),
            Principal::Task(TaskId::from_ulid(Ulid::nil())),
        ];
        let kinds = [
            QuestionKind::Permission,
            QuestionKind::Elicitation,
            QuestionKind::Auth,
        ];
        for owner in &all {
            for asker in &all {
                for kind in kinds {
                    let own = asker == owner && kind != QuestionKind::Permission;
                    let may = match asker {
                        Principal::Local => true,
                        Principal::Task(_) => false,
                        Principal::Token(_) | Principal::Key(_) => own,
                    };
                    let said = may_answer(&caller(asker), owner, kind);
                    assert_eq!(said.is_ok(), may, "{asker} answers {kind:?} of {owner}");
                }
            }
        }
    }
}
