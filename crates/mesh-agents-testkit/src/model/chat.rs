//! The dialect `/v1/chat/completions`: reads OpenAI-style requests, renders answers as JSON or as an event stream.

use serde_json::{Value, json};

use super::answer::Answer;
use super::conversation::Conversation;

/// Characters per streamed piece of text or arguments: small, so that harnesses have to put pieces together.
const PIECE_CHARS: usize = 24;

/// Goose puts notes of its own into user messages, beside the user's text or alone; they are no user text.
const NOTE: (&str, &str) = ("<info-msg>", "</info-msg>");

/// What the request says, in terms no dialect knows.
pub(super) fn read(request: &Value) -> Conversation {
    let mut conversation = Conversation::default();
    let mut in_results = false;
    for message in request["messages"].as_array().into_iter().flatten() {
        let text = text_of(&message["content"]);
        let is_result = message["role"] == "tool";
        match message["role"].as_str() {
            Some("system" | "developer") => conversation.system.push(text),
            Some("user") => {
                let said = without_notes(&text);
                if !said.trim().is_empty() || said.len() == text.len() {
                    conversation.users.push(said);
                    conversation.rounds = 0;
                }
            }
            Some("tool") => {
                conversation.tool_results.push(text);
                conversation.rounds += usize::from(!in_results);
            }
            _ => {}
        }
        in_results = is_result;
    }
    let tools = request["tools"].as_array().into_iter().flatten();
    let names = tools.filter_map(|tool| tool["function"]["name"].as_str());
    conversation.tools = names.map(str::to_owned).collect();
    conversation
}

fn without_notes(text: &str) -> String {
    let mut said = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(NOTE.0) {
        said.push_str(before);
        rest = after.split_once(NOTE.1).map_or("", |(_, after)| after);
    }
    said + rest
}

/// The answer as one JSON body.
pub(super) fn whole(answer: &Answer, request: &Value, seq: usize) -> Value {
    let mut message = json!({ "role": "assistant", "content": null });
    if !answer.text.is_empty() {
        message["content"] = Value::from(answer.text.as_str());
    }
    if !answer.thought.is_empty() {
        message["reasoning_content"] = Value::from(answer.thought.as_str());
    }
    if !answer.calls.is_empty() {
        let calls = answer.calls.iter().enumerate().map(|(at, call)| {
            let arguments = Value::Object(call.arguments.clone()).to_string();
            json!({
                "id": call_id(seq, at),
                "type": "function",
                "function": { "name": call.name, "arguments": arguments },
            })
        });
        message["tool_calls"] = calls.collect();
    }
    let choice = json!({ "index": 0, "message": message, "finish_reason": finish_reason(answer) });
    let mut body = envelope("chat.completion", request, seq);
    body["choices"] = json!([choice]);
    body["usage"] = usage(answer);
    body
}

/// The answer as the data of server-sent events, in order. An answer that hangs has no end.
pub(super) fn pieces(answer: &Answer, request: &Value, seq: usize) -> Vec<String> {
    let chunk = |delta: Value, finish: Value| {
        let mut chunk = envelope("chat.completion.chunk", request, seq);
        chunk["choices"] = json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
        chunk.to_string()
    };
    let mut pieces = vec![chunk(
        json!({ "role": "assistant", "content": "" }),
        Value::Null,
    )];
    for (field, text) in [
        ("reasoning_content", &answer.thought),
        ("content", &answer.text),
    ] {
        pieces.extend(
            split(text)
                .into_iter()
                .map(|piece| chunk(json!({ field: piece }), Value::Null)),
        );
    }
    for (at, call) in answer.calls.iter().enumerate() {
        let call_delta = |delta: Value| chunk(json!({ "tool_calls": [delta] }), Value::Null);
        pieces.push(call_delta(json!({
            "index": at,
            "id": call_id(seq, at),
            "type": "function",
            "function": { "name": call.name, "arguments": "" },
        })));
        let arguments = Value::Object(call.arguments.clone()).to_string();
        pieces.extend(
            split(&arguments).into_iter().map(|piece| {
                call_delta(json!({ "index": at, "function": { "arguments": piece } }))
            }),
        );
    }
    if answer.hang {
        return pieces;
    }
    pieces.push(chunk(json!({}), Value::from(finish_reason(answer))));
    if request["stream_options"]["include_usage"] == true {
        let mut last = envelope("chat.completion.chunk", request, seq);
        last["choices"] = json!([]);
        last["usage"] = usage(answer);
        pieces.push(last.to_string());
    }
    pieces.push("[DONE]".to_owned());
    pieces
}

fn envelope(object: &str, request: &Value, seq: usize) -> Value {
    // `created` is fixed: nothing should depend on it, and runs stay equal.
    json!({ "id": format!("chatcmpl-{seq}"), "object": object, "created": 0, "model": request["model"] })
}

fn finish_reason(answer: &Answer) -> &str {
    let usual = if answer.calls.is_empty() {
        "stop"
    } else {
        "tool_calls"
    };
    answer.finish_reason.as_deref().unwrap_or(usual)
}

fn usage(answer: &Answer) -> Value {
    json!({
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
    })
}

/// Unique over a server's life, as harnesses use it as a key.
fn call_id(seq: usize, at: usize) -> String {
    format!("call_{seq}_{at}")
}

/// Content is a string or a list of parts, of which the texts count.
fn text_of(content: &Value) -> String {
    if let Some(text) = content.as_str() {
        return text.to_owned();
    }
    let parts = content.as_array().into_iter().flatten();
    let texts: Vec<&str> = parts.filter_map(|part| part["text"].as_str()).collect();
    texts.join("\n")
}

fn split(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars
        .chunks(PIECE_CHARS)
        .map(|piece| piece.iter().collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_count_groups_of_results_since_the_last_user_text() {
        let request = json!({ "messages": [
            { "role": "system", "content": "s" },
            { "role": "user", "content": "first" },
            { "role": "tool", "content": "old" },
            { "role": "user", "content": [{ "type": "text", "text": "<info-msg>before</info-msg>\nsecond" }, { "type": "text", "text": "part" }] },
            { "role": "assistant", "tool_calls": [] },
            { "role": "tool", "content": "a" },
            { "role": "tool", "content": [{ "type": "text", "text": "b" }] },
            { "role": "user", "content": "<info-msg>now</info-msg>" },
            { "role": "assistant", "content": "" },
            { "role": "tool", "content": "c" },
        ]});
        let conversation = read(&request);
        assert_eq!(conversation.last_user(), "\nsecond\npart");
        assert_eq!(conversation.tool_results, ["old", "a", "b", "c"]);
        assert_eq!(conversation.rounds, 2);
    }
}
