//! What a harness asks: answered at once where the policy knows the answer, else asked on. Nothing
//! waits in the SDK's dispatch loop; what waits is a task of the connection.

use std::sync::Arc;

use agent_client_protocol::v1::{ConnectionTo, Responder};
use agent_client_protocol::{Agent, Error, RequestCancellation, UntypedMessage};
use mesh_agents_core::agent::Approval;
use mesh_agents_core::run::{Answer, QuestionKind};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::elicitation::Form;
use super::feed::Feed;
use super::grant::Grant;
use super::permission::{Choice, choose, describe, options, outcome, told};
use super::questions::{Asked, Question, Questions, chosen};

/// How often a question is put again to somebody whose answer does not fit it.
const ROUNDS: u32 = 3;
/// Requests of one run that wait for an answer at once; more are declined. Twice what the engine shows: each is held
/// in memory until then, and a harness that asks faster than this waits for no answer.
pub(super) const WAITING: usize = 64;

/// How a harness's requests are answered.
#[derive(Debug)]
pub(super) struct Requests {
    /// What is said to permissions beyond the grant.
    pub(super) approval: Approval,
    /// What the run may touch anyway.
    pub(super) grant: Grant,
    /// Once cancelled, every request is.
    pub(super) cancel: CancellationToken,
    /// Where decisions are noted.
    pub(super) feed: Arc<Feed>,
    /// Where others are asked.
    pub(super) questions: Arc<Questions>,
    /// Places for those that wait: [`WAITING`].
    pub(super) places: Arc<Semaphore>,
}

/// What the policy says to a permission request.
enum Decision {
    /// This, because of that.
    Known { allow: bool, because: &'static str },
    /// The owner decides.
    Ask,
}

impl Requests {
    /// Takes one request.
    pub(super) async fn take(
        self: &Arc<Self>,
        request: UntypedMessage,
        responder: Responder<Value>,
        cx: &ConnectionTo<Agent>,
    ) -> Result<(), Error> {
        match request.method() {
            "session/request_permission" => match (self.decide(request.params()), self.place()) {
                (Decision::Known { allow, because }, _) => {
                    self.answer_at_once(&request, responder, allow, because)
                        .await
                }
                (Decision::Ask, None) => {
                    self.answer_at_once(&request, responder, false, "too many wait for an answer")
                        .await
                }
                (Decision::Ask, Some(place)) => {
                    let requests = Arc::clone(self);
                    cx.spawn(async move {
                        let _until_answered = place;
                        requests.ask_permission(&request, responder).await
                    })
                }
            },
            "elicitation/create" => match (Form::of(request.params()), self.place()) {
                (Some(form), Some(place)) => {
                    let requests = Arc::clone(self);
                    cx.spawn(async move {
                        let _until_answered = place;
                        requests.ask_form(&form, responder).await
                    })
                }
                _ => responder.respond(json!({ "action": "decline" })),
            },
            _ => responder.respond_with_result(Err(Error::method_not_found())),
        }
    }

    /// A place for a request that is to wait, if there is one.
    fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    async fn answer_at_once(
        &self,
        request: &UntypedMessage,
        responder: Responder<Value>,
        allow: bool,
        because: &str,
    ) -> Result<(), Error> {
        let params = request.params();
        let choice = choose(params, allow, self.cancel.is_cancelled());
        responder.respond(outcome(choice.as_ref()))?;
        let text = told(params, choice.as_ref(), because);
        self.feed.note("permission", text).await;
        Ok(())
    }

    fn decide(&self, params: &Value) -> Decision {
        let known = |allow, because| Decision::Known { allow, because };
        let call = params.get("toolCall").unwrap_or(&Value::Null);
        if self.grant.covers(call) {
            return known(true, "within its grant");
        }
        match self.approval {
            Approval::Deny => known(false, "policy.approval = \"deny\""),
            Approval::Auto => known(true, "policy.approval = \"auto\""),
            Approval::AutoEdit => known(self.grant.edits(call), "policy.approval = \"auto_edit\""),
            Approval::Ask if self.cancel.is_cancelled() => known(false, "the run is ending"),
            Approval::Ask => Decision::Ask,
        }
    }

    /// Asks the owner, with the harness's own options.
    async fn ask_permission(
        &self,
        request: &UntypedMessage,
        responder: Responder<Value>,
    ) -> Result<(), Error> {
        let params = request.params();
        let options = options(params);
        let mut text = describe(params);
        let given_up = responder.cancellation();
        for round in 1.. {
            let question = Question {
                kind: QuestionKind::Permission,
                text: text.clone(),
                options: options.clone(),
            };
            let asked = self.ask(question, &given_up).await;
            let (choice, because) = match &asked.answer {
                None => (None, "the run is ending"),
                Some(Answer::Declined) => (choose(params, false, false), "nobody allowed it"),
                Some(answer) => match chosen(answer, &options) {
                    Some(option) => (Some(Choice::of(option)), "answered"),
                    None if round < ROUNDS => {
                        text = format!("That is none of the options. {}", describe(params));
                        self.questions.gone(&self.feed, asked.id).await;
                        continue;
                    }
                    None => (choose(params, false, false), "no option was chosen"),
                },
            };
            responder.respond(outcome(choice.as_ref()))?;
            self.questions.gone(&self.feed, asked.id).await;
            let text = told(params, choice.as_ref(), because);
            self.feed.note("permission", text).await;
            break;
        }
        Ok(())
    }

    /// Asks the caller to fill a form.
    async fn ask_form(&self, form: &Form, responder: Responder<Value>) -> Result<(), Error> {
        let mut question = form.question();
        let given_up = responder.cancellation();
        for round in 1.. {
            let asked = self.ask(question.clone(), &given_up).await;
            let answer = match &asked.answer {
                None => json!({ "action": "cancel" }),
                Some(Answer::Declined) => json!({ "action": "decline" }),
                Some(answer) => match form.fill(answer) {
                    Ok(content) => json!({ "action": "accept", "content": content }),
                    Err(wrong) if round < ROUNDS => {
                        question.text = format!("{wrong}. {}", form.question().text);
                        self.questions.gone(&self.feed, asked.id).await;
                        continue;
                    }
                    Err(_) => json!({ "action": "cancel" }),
                },
            };
            responder.respond(answer)?;
            self.questions.gone(&self.feed, asked.id).await;
            break;
        }
        Ok(())
    }

    /// Asks until the run or the harness itself gives the request up.
    async fn ask(&self, question: Question, given_up: &RequestCancellation) -> Asked {
        let void = async {
            tokio::select! {
                () = self.cancel.cancelled() => {}
                () = given_up.cancelled() => {}
            }
        };
        self.questions.ask(&self.feed, question, void).await
    }
}
