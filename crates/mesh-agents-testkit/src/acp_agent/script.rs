//! Finds script lines in text and turns them into typed [`Line`]s. Pure: nothing is done here.

use serde_json::{Value, json};

use super::{tck, words};

/// One step with the text it came from, so that a failure can name it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) source: String,
    pub(super) step: Step,
}

/// A line that cannot be parsed, or that failed when it was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadLine {
    pub(super) source: String,
    pub(super) reason: String,
}

impl std::fmt::Display for BadLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "scripted-acp-agent: bad script line `{}`: {}",
            self.source, self.reason
        )
    }
}

/// What the agent can be told to do. The table in [`crate::acp_agent`] is the reference.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Text(String),
    Thought(String),
    Chunks {
        count: u32,
        bytes: usize,
        delay_ms: u64,
    },
    Burst(u32),
    Tool {
        call: Value,
        update: Value,
    },
    Update(Value),
    Plan(Vec<String>),
    Usage {
        used: u64,
        size: u64,
    },
    Raw(String),
    Junk(u32),
    BigLine(usize),
    Sleep(u64),
    WaitFile(String),
    Work {
        seconds: u64,
    },
    Write {
        path: String,
        content: String,
    },
    Fill {
        path: String,
        bytes: usize,
    },
    Copy {
        from: String,
        to: String,
    },
    Read(String),
    Shell(String),
    Env(String),
    Pid(String),
    Ask(Ask),
    Elicit(Elicit),
    Mcp {
        tool: String,
        arguments: Value,
    },
    McpTools,
    Hang,
    Deaf,
    Ignore(Vec<Ignored>),
    Exit(i32),
    Die,
    Stderr(String),
    Flood {
        mib: usize,
    },
    Stop(String),
    Error {
        code: i32,
        message: String,
    },
    AuthRequired,
    NeedLogin(Option<String>),
    Recall,
    Daemon {
        kind: DaemonKind,
        pidfile: String,
    },
}

/// A permission request: `toolCall` and `options` as they go on the wire.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ask {
    pub(super) tool_call: Value,
    pub(super) options: Vec<Value>,
    pub(super) end_on_reject: bool,
}

/// A form elicitation; with `until` it is asked again until an answer equals that word.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Elicit {
    pub(super) message: String,
    pub(super) schema: Value,
    pub(super) until: Option<String>,
}

/// What a harness may turn a deaf ear to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ignored {
    Cancel,
    Eof,
    Term,
}

/// The ways in which a tool's child gets away from its harness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DaemonKind {
    Plain,
    Nohup,
    Setsid,
    Double,
    ClearEnv,
    Hidden,
}

/// What `SCRIPTED_ACP` says: the phases before a prompt, what to advertise, and lines for every prompt.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Startup {
    pub(super) start: Vec<Line>,
    pub(super) initialize: Vec<Line>,
    pub(super) new_session: Vec<Line>,
    pub(super) load_session: Vec<Line>,
    pub(super) prompt: Vec<Line>,
    pub(super) caps: Vec<String>,
    pub(super) protocol: Option<u16>,
}

/// Words that `caps` takes.
const CAPS: [&str; 5] = ["load", "resume", "nologin", "terminal", "nomcp"];

impl Startup {
    /// Parses the value of `SCRIPTED_ACP`: a JSON array of lines, or one line per line.
    pub(super) fn parse(text: &str) -> Result<Self, BadLine> {
        let mut startup = Self::default();
        for source in startup_lines(text)? {
            startup.add(&source)?;
        }
        Ok(startup)
    }

    fn add(&mut self, source: &str) -> Result<(), BadLine> {
        let body = source.strip_prefix("script:").unwrap_or(source).trim();
        let (verb, rest) = words::split(body);
        match verb {
            "start:" => self.start.extend(parse_body(rest)?),
            "initialize:" => self.initialize.extend(parse_body(rest)?),
            "new_session:" => self.new_session.extend(parse_body(rest)?),
            "load_session:" => self.load_session.extend(parse_body(rest)?),
            "prompt:" => self.prompt.extend(parse_body(rest)?),
            "hang_initialize" => self.initialize.extend(parse_body("hang")?),
            "hang_new_session" => self.new_session.extend(parse_body("hang")?),
            "caps" => {
                for cap in rest.split_whitespace() {
                    if !CAPS.contains(&cap) {
                        return Err(bad(body, format!("caps takes {CAPS:?}, not {cap:?}")));
                    }
                    self.caps.push(cap.to_owned());
                }
            }
            "protocol" => {
                let version = rest
                    .parse()
                    .map_err(|_| bad(body, "protocol takes a number"))?;
                self.protocol = Some(version);
            }
            _ => self.prompt.extend(parse_body(body)?),
        }
        Ok(())
    }
}

/// The script in a prompt's text blocks: `script:` lines in order, else the last `tck-` word, else nothing.
pub(super) fn parse_prompt(blocks: &[String]) -> Result<Vec<Line>, BadLine> {
    let mut lines = Vec::new();
    let mut tck_word = None;
    for text in blocks.iter().flat_map(|block| block.lines()) {
        // The message may arrive quoted or as a list item inside a larger prompt.
        let text = text.trim_start_matches([' ', '\t', '>', '-', '*', '"', '`']);
        if let Some(body) = text.strip_prefix("script:") {
            lines.extend(parse_body(body.trim())?);
        } else if let Some(steps) = tck::last_word(text) {
            tck_word = Some(steps);
        }
    }
    if lines.is_empty() {
        lines.extend(tck_word.into_iter().flatten());
    }
    Ok(lines)
}

/// The turn of a prompt without a script.
pub(super) fn echo(text: &str) -> Vec<Line> {
    let line = |text: &str| Line {
        source: "echo".to_owned(),
        step: Step::Text(text.to_owned()),
    };
    vec![line("echo: "), line(text)]
}

/// What `session/load` replays before it answers: the earlier prompts, each with an answer, and what else a turn brings.
pub(super) fn replay(prompts: &[String]) -> Vec<Line> {
    let update = |update: Value| Line {
        source: "replay".to_owned(),
        step: Step::Update(update),
    };
    let message = |kind: &str, text: &str| {
        update(json!({ "sessionUpdate": kind, "content": { "type": "text", "text": text } }))
    };
    let mut lines = Vec::new();
    for prompt in prompts {
        lines.push(message("user_message_chunk", prompt));
        lines.push(update(json!({ "sessionUpdate": "tool_call", "toolCallId": "earlier-1", "title": "an earlier tool" })));
        lines.push(update(json!({ "sessionUpdate": "plan", "entries": [{ "content": "an earlier plan", "priority": "low", "status": "completed" }] })));
        lines.push(message("agent_message_chunk", "an earlier answer"));
    }
    lines
}

/// One script line: a JSON array of lines, a JSON object `{verb: argument}`, or words.
fn parse_body(body: &str) -> Result<Vec<Line>, BadLine> {
    let body = body.trim();
    if body.starts_with(['{', '[']) {
        let value =
            serde_json::from_str(body).map_err(|error| bad(body, format!("not JSON: {error}")))?;
        return parse_value(&value);
    }
    if let Some(lines) = tck::exact_word(body) {
        return Ok(lines);
    }
    let step = words::parse(body).map_err(|reason| bad(body, reason))?;
    Ok(vec![Line {
        source: body.to_owned(),
        step,
    }])
}

fn parse_value(value: &Value) -> Result<Vec<Line>, BadLine> {
    match value {
        Value::Array(items) => {
            let mut lines = Vec::new();
            for item in items {
                lines.extend(parse_value(item)?);
            }
            Ok(lines)
        }
        Value::String(text) => parse_body(text),
        Value::Object(object) => match object.iter().next() {
            Some((verb, argument)) if object.len() == 1 => {
                let source = value.to_string();
                let step =
                    words::parse_object(verb, argument).map_err(|reason| bad(&source, reason))?;
                Ok(vec![Line { source, step }])
            }
            _ => Err(bad(
                &value.to_string(),
                "an object has exactly one key, the verb",
            )),
        },
        other => Err(bad(
            &other.to_string(),
            "a line is text, an object or an array of them",
        )),
    }
}

fn startup_lines(text: &str) -> Result<Vec<String>, BadLine> {
    let text = text.trim();
    if !text.starts_with('[') {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        return Ok(lines.map(str::to_owned).collect());
    }
    let items: Vec<Value> =
        serde_json::from_str(text).map_err(|error| bad(text, format!("not JSON: {error}")))?;
    Ok(items
        .into_iter()
        .map(|item| match item {
            Value::String(line) => line,
            other => other.to_string(),
        })
        .collect())
}

fn bad(source: &str, reason: impl Into<String>) -> BadLine {
    BadLine {
        source: source.to_owned(),
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Vec<Step> {
        let lines = parse_prompt(&[text.to_owned()]).unwrap();
        lines.into_iter().map(|line| line.step).collect()
    }

    #[test]
    fn script_lines_are_found_inside_a_wrapped_prompt() {
        let text = "You are a reviewer.\n\nThe message:\n> script: write a.txt one\\ntwo\nscript: hang\nBye.";
        let write = Step::Write {
            path: "a.txt".to_owned(),
            content: "one\ntwo".to_owned(),
        };
        assert_eq!(steps(text), [write, Step::Hang]);
    }

    #[test]
    fn json_lines_nest_words_and_objects() {
        let text =
            r#"script: ["text hi", {"text": "a\\n"}, {"error": {"code": -5, "message": "no"}}]"#;
        let error = Step::Error {
            code: -5,
            message: "no".to_owned(),
        };
        assert_eq!(
            steps(text),
            [Step::Text("hi".into()), Step::Text("a\\n".into()), error]
        );
    }

    #[test]
    fn a_script_line_wins_over_a_tck_word_and_plain_text_is_no_script() {
        assert_eq!(steps("tck-burst\nscript: hang"), [Step::Hang]);
        assert_eq!(steps("please (tck-burst)."), [Step::Burst(400)]);
        assert_eq!(steps("not-tck-burst and manuscript: hang"), []);
    }

    #[test]
    fn a_bad_line_is_named_with_its_reason() {
        let error = parse_prompt(&["script: burst many".to_owned()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "scripted-acp-agent: bad script line `burst many`: needs a number where `many` is"
        );
        let error = parse_prompt(&["script: jump".to_owned()]).unwrap_err();
        assert!(error.reason.contains("no such verb"), "{error}");
    }

    #[test]
    fn startup_puts_lines_into_their_phases() {
        let startup = Startup::parse(
            "hang_initialize\nnew_session: exit 3\ncaps load nomcp\nprotocol 2\ntext x",
        )
        .unwrap();
        assert_eq!(startup.initialize[0].step, Step::Hang);
        assert_eq!(startup.new_session[0].step, Step::Exit(3));
        assert_eq!(startup.prompt[0].step, Step::Text("x".to_owned()));
        assert_eq!((startup.caps.len(), startup.protocol), (2, Some(2)));
        assert!(Startup::parse("caps fly").is_err());
    }
}
