//! Calls of a harness that wants a login first: it is asked for, and then the call is made again.
//!
//! A harness says so by error -32000, claude only at its first prompt (acp.md §1). Some can log in
//! by themselves when told which way (`authenticate`); for the others the owner logs in with the
//! harness's own program, and answers when that is done.

use std::time::Duration;

use agent_client_protocol::Agent;
use agent_client_protocol::v1::ConnectionTo;
use mesh_agents_core::run::{Answer, QuestionKind, QuestionOption};
use mesh_agents_core::task::Failure;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::questions::{Question, chosen};
use super::{Broken, Session, request};

/// The code of the failure that is a missing login.
pub(super) const AUTH_REQUIRED: &str = "auth_required";
/// How often one call is made again after a login. Who has not managed by then needs another way.
const LOGINS: u32 = 3;
/// The kind of the options of such a question. Ours: ACP has kinds for permissions only.
const LOGIN_KIND: &str = "login";

impl Session<'_> {
    /// Makes a call. Each answer has to come within `limit`; questions take their own time.
    pub(super) async fn call(
        &self,
        cx: &ConnectionTo<Agent>,
        agent: &Value,
        method: &str,
        params: &Value,
        limit: Option<Duration>,
    ) -> Result<Value, Broken> {
        let mut trouble = None;
        let mut logins = 0;
        loop {
            let sent = request(cx, method, params.clone());
            let answer = match limit {
                Some(limit) => timeout(limit, sent)
                    .await
                    .map_err(|_| self.silent(method, "session_timeout", limit))?,
                None => sent.await,
            };
            match answer {
                Err(Broken::Failed(failure))
                    if failure.code == AUTH_REQUIRED && logins < LOGINS =>
                {
                    logins += 1;
                    trouble = self.log_in(cx, agent, failure, trouble).await?;
                }
                other => return other,
            }
        }
    }

    /// Asks for a login, and does what was answered. Returns why `authenticate` failed, if it did:
    /// the call that is made again decides.
    async fn log_in(
        &self,
        cx: &ConnectionTo<Agent>,
        agent: &Value,
        failure: Failure,
        trouble: Option<String>,
    ) -> Result<Option<String>, Broken> {
        let options = ways(agent);
        let question = Question {
            kind: QuestionKind::Auth,
            text: text(&failure, &options, trouble.as_deref()),
            options: options.clone(),
        };
        let asked = self
            .questions
            .ask(self.feed, question, self.cancel.cancelled());
        let asked = asked.await;
        self.questions.gone(self.feed, asked.id).await;
        let way = match &asked.answer {
            None | Some(Answer::Declined) => return Err(failure.into()),
            Some(answer) => chosen(answer, &options),
        };
        let Some(way) = way else {
            return Ok(None);
        };
        let params = json!({ "methodId": way.id });
        let limit = self.timeouts.new_session;
        match timeout(limit, request(cx, "authenticate", params)).await {
            Ok(Ok(_)) => Ok(None),
            Ok(Err(Broken::Failed(failure))) => Ok(Some(failure.message)),
            Ok(Err(broken)) => Err(broken),
            Err(_) => {
                let seconds = limit.as_secs();
                Ok(Some(format!(
                    "authenticate was not answered within {seconds} s"
                )))
            }
        }
    }
}

/// The logins a harness can do by itself. One that needs a terminal is none of them: there is no
/// terminal.
fn ways(agent: &Value) -> Vec<QuestionOption> {
    let methods = agent.get("authMethods").and_then(Value::as_array);
    let methods = methods.into_iter().flatten();
    methods
        .filter(|method| method.get("type").and_then(Value::as_str) != Some("terminal"))
        .filter_map(|method| {
            let id = method.get("id")?.as_str()?.to_owned();
            let name = method.get("name").and_then(Value::as_str).unwrap_or(&id);
            Some(QuestionOption {
                name: name.to_owned(),
                kind: LOGIN_KIND.to_owned(),
                id,
            })
        })
        .collect()
}

fn text(failure: &Failure, options: &[QuestionOption], trouble: Option<&str>) -> String {
    let mut text = failure.message.clone();
    if let Some(trouble) = trouble {
        text = format!("that login did not work ({trouble}); {text}");
    }
    text.push_str(if options.is_empty() {
        ". Answer with any text once that is done, and the harness is tried again"
    } else {
        ". Choose a login the harness does by itself, or answer with any other text once it is done, and the harness is tried again"
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_that_need_a_terminal_are_not_offered() {
        let agent = json!({ "authMethods": [
            { "id": "t", "name": "Terminal", "type": "terminal" },
            { "id": "a", "name": "Account" },
            { "id": "b", "type": "agent" },
            { "name": "no id" },
        ]});
        let ways: Vec<_> = ways(&agent)
            .into_iter()
            .map(|way| (way.id, way.name))
            .collect();
        let wanted = [("a", "Account"), ("b", "b")];
        assert_eq!(
            ways,
            wanted.map(|(id, name)| (id.to_owned(), name.to_owned()))
        );
        assert!(super::ways(&Value::Null).is_empty());
    }
}
