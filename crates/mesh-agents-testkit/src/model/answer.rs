//! A step made ready to send: placeholders filled, tools resolved, pace known. Still no wire format.

use std::time::Duration;

use serde_json::{Map, Value};

use super::conversation::Conversation;
use super::script::{ErrorAnswer, Script, Step};

/// What a dialect renders.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) thought: String,
    pub(super) text: String,
    pub(super) calls: Vec<Call>,
    /// Overrides the dialect's own word for how the answer ended.
    pub(super) finish_reason: Option<String>,
    pub(super) prompt_tokens: u64,
    pub(super) completion_tokens: u64,
    /// Pause before each further piece of a stream.
    pub(super) chunk_delay: Duration,
    /// The stream stays open after what there is to say.
    pub(super) hang: bool,
}

/// A tool call of the model.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: Map<String, Value>,
}

/// What to do about a request.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    Answer(Answer),
    Error(ErrorAnswer),
}

/// Fills `step` from the conversation, or says what is missing.
pub(super) fn prepare(
    script: &Script,
    step: Step,
    conversation: &Conversation,
) -> Result<Reply, String> {
    if let Some(error) = step.error {
        return Ok(Reply::Error(error));
    }
    let fill = |text: Option<String>| match text {
        Some(text) => conversation.fill(&text, &script.vars),
        None => Ok(String::new()),
    };
    let mut calls = Vec::new();
    for tool in &step.tools {
        let (name, arguments) = tool.resolve(&conversation.tools)?;
        let arguments = conversation.fill_arguments(arguments, &script.vars)?;
        calls.push(Call { name, arguments });
    }
    let (thought, text) = (fill(step.thought)?, fill(step.text)?);
    let prompt = conversation
        .system
        .iter()
        .chain(&conversation.users)
        .chain(&conversation.tool_results);
    Ok(Reply::Answer(Answer {
        prompt_tokens: prompt.map(|text| tokens(text)).sum(),
        completion_tokens: tokens(&thought) + tokens(&text) + calls.len() as u64,
        thought,
        text,
        calls,
        finish_reason: step.finish_reason,
        chunk_delay: Duration::from_millis(step.chunk_delay_ms),
        hang: step.hang,
    }))
}

/// A plausible count: four bytes to a token.
fn tokens(text: &str) -> u64 {
    (text.len() as u64).div_ceil(4)
}
