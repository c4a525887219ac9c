//! The verbs: from words (`write a.txt hello`) or from a JSON argument (`{"write": {"path": "a.txt", …}}`) to a [`Step`].

use std::str::FromStr;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::script::{Ask, DaemonKind, Elicit, Ignored, Step};

/// The first word and the rest. The end of the rest stays as it is: it may be a file's last newline.
pub(super) fn split(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    match text.split_once(char::is_whitespace) {
        Some((first, rest)) => (first, rest.trim_start()),
        None => (text, ""),
    }
}

/// Parses a line of words. In the verbs that carry prose, `\n`, `\t` and `\\` are escapes.
pub(super) fn parse(line: &str) -> Result<Step, String> {
    let (verb, rest) = split(line);
    match verb {
        "text" | "thought" | "stderr" | "raw" => parse_verb(verb, &unescape(rest)),
        "write" => {
            let (path, content) = split(rest);
            Ok(Step::Write {
                path: word(path, "a path")?,
                content: unescape(content),
            })
        }
        _ => parse_verb(verb, rest),
    }
}

/// Parses `{verb: argument}`. A plain argument stands for the words after the verb, unescaped by JSON already.
pub(super) fn parse_object(verb: &str, argument: &Value) -> Result<Step, String> {
    match (verb, argument) {
        (_, Value::String(rest)) => parse_verb(verb, rest),
        (_, Value::Number(number)) => parse_verb(verb, &number.to_string()),
        (_, Value::Bool(true) | Value::Null) => parse_verb(verb, ""),
        ("write", _) => {
            let write: WriteArgument = typed(argument)?;
            Ok(Step::Write {
                path: write.path,
                content: text_of(write.content),
            })
        }
        ("tool", _) => {
            let tool: ToolArgument = typed(argument)?;
            let update = tool
                .update
                .unwrap_or_else(|| json!({ "status": "completed" }));
            Ok(Step::Tool {
                call: tool.call,
                update,
            })
        }
        ("update", Value::Object(_)) => Ok(Step::Update(argument.clone())),
        ("plan", _) => Ok(Step::Plan(typed(argument)?)),
        ("ask", _) => ask(typed(argument)?),
        ("elicit", _) => {
            let elicit: ElicitArgument = typed(argument)?;
            let schema = elicit.schema.unwrap_or_else(answer_schema);
            Ok(Step::Elicit(Elicit {
                message: elicit.message,
                schema,
                until: elicit.until,
            }))
        }
        ("mcp", _) => {
            let mcp: McpArgument = typed(argument)?;
            Ok(Step::Mcp {
                tool: mcp.tool,
                arguments: Value::Object(mcp.arguments),
            })
        }
        ("error", _) => {
            let error: ErrorArgument = typed(argument)?;
            Ok(Step::Error {
                code: error.code,
                message: error.message,
            })
        }
        _ => Err(format!("the verb `{verb}` takes text here")),
    }
}

fn parse_verb(verb: &str, rest: &str) -> Result<Step, String> {
    let (first, after) = split(rest);
    Ok(match verb {
        "text" => Step::Text(rest.to_owned()),
        "thought" => Step::Thought(rest.to_owned()),
        "chunks" => {
            let (bytes, delay) = split(after);
            let delay_ms = if delay.is_empty() { 0 } else { number(delay)? };
            Step::Chunks {
                count: number(first)?,
                bytes: number(bytes)?,
                delay_ms,
            }
        }
        "burst" => Step::Burst(number(first)?),
        "tool" => Step::Tool {
            call: json!({ "title": rest, "kind": "execute", "status": "in_progress" }),
            update: json!({ "status": "completed" }),
        },
        "unknown_update" => {
            Step::Update(json!({ "sessionUpdate": "kind_of_tomorrow", "value": 1 }))
        }
        "plan" => Step::Plan(
            rest.split('|')
                .map(|entry| entry.trim().to_owned())
                .collect(),
        ),
        "usage" => Step::Usage {
            used: number(first)?,
            size: number(after)?,
        },
        "raw" => Step::Raw(rest.to_owned()),
        "junk" => Step::Junk(number(first)?),
        "bigline" => Step::BigLine(number(first)?),
        "sleep" => Step::Sleep(number(first)?),
        "wait_file" => Step::WaitFile(word(rest, "a path")?),
        "work" => Step::Work {
            seconds: number(first)?,
        },
        "write" => Step::Write {
            path: word(first, "a path")?,
            content: after.to_owned(),
        },
        "fill" => Step::Fill {
            path: word(first, "a path")?,
            bytes: number(after)?,
        },
        "copy" => Step::Copy {
            from: word(first, "a path")?,
            to: word(after, "two paths")?,
        },
        "read" => Step::Read(word(rest, "a path")?),
        "sh" => Step::Shell(word(rest, "a command")?),
        "env" => Step::Env(word(first, "a name")?),
        "pid" => Step::Pid(word(rest, "a path")?),
        "ask" => default_ask(rest)?,
        "elicit" => Step::Elicit(Elicit {
            message: word(rest, "a message")?,
            schema: answer_schema(),
            until: None,
        }),
        "mcp" => Step::Mcp {
            tool: word(first, "a tool's name")?,
            arguments: arguments(after)?,
        },
        "mcp_tools" => Step::McpTools,
        "daemon" => Step::Daemon {
            kind: daemon_kind(first)?,
            pidfile: word(after, "a pid file")?,
        },
        _ => return parse_ending(verb, rest),
    })
}

/// The verbs after which a well-behaved harness would not go on.
fn parse_ending(verb: &str, rest: &str) -> Result<Step, String> {
    let (first, after) = split(rest);
    Ok(match verb {
        "hang" => Step::Hang,
        "deaf" => Step::Deaf,
        "ignore" => Step::Ignore(
            rest.split_whitespace()
                .map(ignored)
                .collect::<Result<_, _>>()?,
        ),
        "exit" => Step::Exit(number(first)?),
        "die" => Step::Die,
        "stderr" => Step::Stderr(rest.to_owned()),
        "flood" => Step::Flood {
            mib: number(first)?,
        },
        "stop" => Step::Stop(word(first, "a stop reason")?),
        "error" => Step::Error {
            code: number(first)?,
            message: after.to_owned(),
        },
        "auth_required" => Step::AuthRequired,
        "need-login" => Step::NeedLogin((!first.is_empty()).then(|| first.to_owned())),
        "recall" => Step::Recall,
        _ => {
            return Err(format!(
                "no such verb `{verb}` (see the table in mesh_agents_testkit::acp_agent)"
            ));
        }
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteArgument {
    path: String,
    content: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolArgument {
    call: Value,
    update: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ElicitArgument {
    message: String,
    schema: Option<Value>,
    until: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct McpArgument {
    tool: String,
    #[serde(default)]
    arguments: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorArgument {
    code: i32,
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskArgument {
    options: Option<Vec<Value>>,
    #[serde(default)]
    tool_call: Map<String, Value>,
    #[serde(default)]
    end_on_reject: bool,
}

/// `ask [kind…]`: an edit of nothing in particular, with an option per kind in that order.
fn default_ask(kinds: &str) -> Result<Step, String> {
    let kinds: Vec<Value> = kinds.split_whitespace().map(Value::from).collect();
    let tool_call =
        json!({ "title": "run a command", "kind": "execute", "rawInput": { "command": "true" } });
    ask(AskArgument {
        options: (!kinds.is_empty()).then_some(kinds),
        tool_call: tool_call.as_object().cloned().unwrap_or_default(),
        end_on_reject: false,
    })
}

/// An option given as a kind becomes `{optionId: kind, name: kind, kind}`; an object goes out as it is.
fn ask(argument: AskArgument) -> Result<Step, String> {
    let usual = || {
        ["allow_once", "allow_always", "reject_once"]
            .map(Value::from)
            .to_vec()
    };
    let options = argument.options.unwrap_or_else(usual);
    let options = options
        .into_iter()
        .map(|option| match option {
            Value::String(kind) => Ok(json!({ "optionId": kind, "name": kind, "kind": kind })),
            Value::Object(_) => Ok(option),
            other => Err(format!("an option is a kind or an object, not {other}")),
        })
        .collect::<Result<_, _>>()?;
    let mut tool_call = argument.tool_call;
    tool_call
        .entry("toolCallId")
        .or_insert_with(|| Value::from("asked-1"));
    let tool_call = Value::Object(tool_call);
    Ok(Step::Ask(Ask {
        tool_call,
        options,
        end_on_reject: argument.end_on_reject,
    }))
}

/// The form schema of a question that takes one line of text.
pub(super) fn answer_schema() -> Value {
    json!({
        "type": "object",
        "properties": { "answer": { "type": "string", "title": "Answer" } },
        "required": ["answer"],
    })
}

fn arguments(text: &str) -> Result<Value, String> {
    if text.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_str(text).map_err(|error| format!("the arguments are not JSON: {error}"))
}

fn daemon_kind(text: &str) -> Result<DaemonKind, String> {
    Ok(match text {
        "plain" => DaemonKind::Plain,
        "nohup" => DaemonKind::Nohup,
        "setsid" => DaemonKind::Setsid,
        "double" => DaemonKind::Double,
        "clearenv" => DaemonKind::ClearEnv,
        "hidden" => DaemonKind::Hidden,
        other => {
            return Err(format!(
                "a daemon is plain, nohup, setsid, double, clearenv or hidden, not `{other}`"
            ));
        }
    })
}

fn ignored(text: &str) -> Result<Ignored, String> {
    match text {
        "cancel" => Ok(Ignored::Cancel),
        "eof" => Ok(Ignored::Eof),
        "term" => Ok(Ignored::Term),
        other => Err(format!("ignore takes cancel, eof and term, not `{other}`")),
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("needs a number where `{text}` is"))
}

fn word(text: &str, what: &str) -> Result<String, String> {
    if text.is_empty() {
        Err(format!("needs {what}"))
    } else {
        Ok(text.to_owned())
    }
}

fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|error| error.to_string())
}

fn text_of(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => format!("{other:#}\n"),
    }
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('\\') | None => out.push('\\'),
            Some(other) => out.extend(['\\', other]),
        }
    }
    out
}
