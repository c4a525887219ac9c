//! A backend for tests: remembers what it was asked and answers as told.

use std::sync::Mutex;

use futures::future::BoxFuture;
use mesh_agents_core::json::JsonText;
use mesh_agents_core::refusal::Refusal;

use crate::backend::{CallMeta, ToolBackend};

type Answer = Box<dyn Fn(&str, &JsonText) -> Result<JsonText, Refusal> + Send + Sync>;

pub(crate) struct FakeBackend {
    answer: Answer,
    pub(crate) calls: Mutex<Vec<(CallMeta, String, String)>>,
}

impl FakeBackend {
    pub(crate) fn new(
        answer: impl Fn(&str, &JsonText) -> Result<JsonText, Refusal> + Send + Sync + 'static,
    ) -> Self {
        Self {
            answer: Box::new(answer),
            calls: Mutex::default(),
        }
    }

    /// Answers every call with `{"tool":…,"args":…}`.
    pub(crate) fn echo() -> Self {
        Self::new(|tool, args| {
            Ok(
                JsonText::parse(&format!("{{\"tool\":{tool:?},\"args\":{}}}", args.as_str()))
                    .unwrap(),
            )
        })
    }

    pub(crate) fn asked(&self) -> Vec<(CallMeta, String, String)> {
        self.calls.lock().unwrap().clone()
    }
}

impl ToolBackend for FakeBackend {
    fn call<'a>(
        &'a self,
        meta: CallMeta,
        tool: &'a str,
        args: JsonText,
    ) -> BoxFuture<'a, Result<JsonText, Refusal>> {
        Box::pin(async move {
            let answer = (self.answer)(tool, &args);
            let call = (meta, tool.to_owned(), args.as_str().to_owned());
            self.calls.lock().unwrap().push(call);
            answer
        })
    }
}
