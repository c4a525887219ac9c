//! What is said to the agent: the caller's message as text, or how to go on after an interruption.
//!
//! A prompt is text. Parts that are not text are shown as text where they have such a form, and
//! named where they have none, so that an agent never works on half a message without knowing.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::DecodePaddingMode};
use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::ids::QuestionId;
use mesh_agents_core::question::Question;
use mesh_agents_core::run::{Answer, ResumeReason};
use mesh_agents_core::task::{Content, Message, Part, Role};

/// Callers pad or do not; both are clear.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Answers told to an agent that goes on: the newest, in case its session ends before it had them.
const EXCHANGES: usize = 8;

/// A message as text, a blank line between its parts.
pub(crate) fn render(message: &Message) -> String {
    let parts: Vec<String> = message.parts.iter().map(part).collect();
    parts.join("\n\n")
}

fn part(part: &Part) -> String {
    let name = part.filename.as_deref();
    let media_type = part.media_type.as_deref();
    match &part.content {
        Content::Text(text) => match name {
            Some(name) => format!("File {name}:\n\n{text}"),
            None => text.clone(),
        },
        Content::Data(data) => {
            let title = name.map(|name| format!("File {name}:\n\n"));
            let block = fenced("json", data.as_str());
            format!("{}{block}", title.unwrap_or_default())
        }
        Content::Url(url) => {
            let what = described(name, media_type);
            let what = what.map(|what| format!(" ({what})"));
            format!("Attached by URL{}: {url}", what.unwrap_or_default())
        }
        Content::Raw(raw) => match shown(raw, media_type) {
            Some(text) => {
                let what = described(name, media_type).unwrap_or_else(|| "file".to_owned());
                let language = if is_json(media_type) { "json" } else { "" };
                format!("Attached {what}:\n\n{}", fenced(language, &text))
            }
            None => {
                let what = described(name, media_type).unwrap_or_else(|| "a file".to_owned());
                let bytes = raw.trim_end_matches('=').len() * 3 / 4;
                format!("[Attached, and not shown because it is not text: {what}, {bytes} bytes]")
            }
        },
    }
}

fn described(name: Option<&str>, media_type: Option<&str>) -> Option<String> {
    match (name, media_type) {
        (Some(name), Some(media_type)) => Some(format!("{name}, {media_type}")),
        (Some(one), None) | (None, Some(one)) => Some(one.to_owned()),
        (None, None) => None,
    }
}

/// The bytes of a file as text, where its media type says that they are and they are.
fn shown(raw: &str, media_type: Option<&str>) -> Option<String> {
    let text = media_type.is_some_and(|one| essence(one).starts_with("text/"));
    if !text && !is_json(media_type) {
        return None;
    }
    String::from_utf8(BASE64.decode(raw).ok()?).ok()
}

fn is_json(media_type: Option<&str>) -> bool {
    media_type.is_some_and(|one| {
        let essence = essence(one);
        essence == "application/json" || essence.ends_with("+json")
    })
}

/// A media type without its parameters, in lower case.
fn essence(media_type: &str) -> String {
    let essence = media_type.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

/// A block no line of the text ends early.
fn fenced(language: &str, text: &str) -> String {
    let ticks = |line: &str| line.trim_start().chars().take_while(|c| *c == '`').count();
    let longest = text.lines().map(ticks).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let end = if text.ends_with('\n') { "" } else { "\n" };
    format!("{fence}{language}\n{text}{end}{fence}")
}

/// What an agent is told that goes on in its session after its run was cut off. `task` is the
/// caller's message, where it may be that the agent never got it; `log` is what happened since that
/// work began: its questions and what was answered.
pub(crate) fn go_on(why: ResumeReason, task: Option<&Message>, log: &[TaskEvent]) -> String {
    let mut text = match why {
        ResumeReason::Answered => String::from(
            "Your work on this task was cut off while you waited for an answer, and your session was taken up again now that it is there.",
        ),
        ResumeReason::Interrupted | ResumeReason::NextTask => String::from(
            "Your work on this task was cut off: the program that ran you was stopped, and your session was taken up again.",
        ),
    };
    text.push_str(
        " Your workspace and the directory for results are as you left them; commands you had started are gone. \
         See what is done already, then go on with the task and finish it.",
    );
    if let Some(task) = task {
        // A String takes every write.
        let _infallible = write!(text, "\n\nThe task is:\n\n{}", render(task));
    }
    let exchanges = exchanges(log);
    let newest = exchanges.len().saturating_sub(EXCHANGES);
    for (question, answer) in exchanges.iter().skip(newest) {
        let (asked, answer) = (&question.text, told(question, answer));
        let _infallible = write!(text, "\n\nYou asked: {asked}\nThe answer: {answer}");
    }
    text
}

/// The newest answer in what happened since a work began, and the question it answers.
pub(crate) fn last_answer(log: &[TaskEvent]) -> Option<(QuestionId, Answer)> {
    let (question, answer) = exchanges(log).pop()?;
    Some((question.id, answer))
}

/// Questions that came to an answer, in the order of the answers.
fn exchanges(log: &[TaskEvent]) -> Vec<(Question, Answer)> {
    let mut asked: Vec<Question> = Vec::new();
    let mut said: Option<&Message> = None;
    let mut found = Vec::new();
    let mut log = log.iter().peekable();
    while let Some(event) = log.next() {
        match event {
            TaskEvent::Question {
                id,
                question,
                text,
                options,
            } => asked.push(Question {
                id: id.clone(),
                kind: *question,
                text: text.clone(),
                options: options.clone(),
            }),
            TaskEvent::Message { message } if message.role == Role::User => {
                said = Some(message);
                continue;
            }
            TaskEvent::QuestionGone { id, chosen } => {
                let expired = matches!(log.peek(), Some(TaskEvent::Note { code, .. }) if code == TaskEvent::EXPIRED);
                let question = asked.iter().position(|question| question.id == *id);
                let question = question.map(|at| asked.remove(at));
                if let Some(question) = question {
                    let answer = answer(chosen.as_ref(), said, expired);
                    found.extend(answer.map(|answer| (question, answer)));
                }
            }
            _ => {}
        }
        // An answer's message stands right before the end of its question.
        said = None;
    }
    found
}

/// What a question came to; `None` when the run took it back itself.
fn answer(chosen: Option<&String>, said: Option<&Message>, expired: bool) -> Option<Answer> {
    if expired {
        return Some(Answer::Declined);
    }
    let chosen = chosen.cloned().map(Answer::Option);
    chosen.or_else(|| said.map(|said| Answer::Text(render(said))))
}

/// An answer in words.
fn told(question: &Question, answer: &Answer) -> String {
    match answer {
        Answer::Declined => "nobody answered in time, so it counts as declined".to_owned(),
        Answer::Text(text) => text.clone(),
        Answer::Option(id) => {
            let option = question.options.iter().find(|option| option.id == *id);
            option.map_or(id, |option| &option.name).to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_agents_core::json::JsonText;
    use mesh_agents_core::run::{QuestionKind, QuestionOption};

    fn message(parts: Vec<Part>) -> Message {
        Message {
            parts,
            ..Message::text("m".parse().unwrap(), Role::User, "")
        }
    }

    fn file(content: Content, media_type: Option<&str>, filename: Option<&str>) -> Part {
        Part {
            content,
            media_type: media_type.map(str::to_owned),
            filename: filename.map(str::to_owned),
            metadata: None,
        }
    }

    #[test]
    fn every_kind_of_part_is_shown_or_named() {
        let raw = |text: &str| Content::Raw(BASE64.encode(text));
        let data = JsonText::parse(r#"{"pr":9007199254740993}"#).unwrap();
        let url = Content::Url("https://example.org/x.pdf".into());
        let all = message(vec![
            Part::text("Review this."),
            file(Content::Data(data), None, None),
            file(url.clone(), Some("application/pdf"), Some("x.pdf")),
            file(url, None, None),
            file(
                raw("a\n```\nb"),
                Some("text/x-rust; charset=utf-8"),
                Some("a.rs"),
            ),
            file(raw("[1]\n"), Some("application/problem+json"), None),
            file(raw("png!"), Some("image/png"), Some("shot.png")),
            file(Content::Raw("////".into()), Some("text/plain"), None),
            file(
                Content::Raw("YQ".into()),
                Some("TEXT/plain"),
                Some("unpadded"),
            ),
        ]);
        insta::assert_snapshot!(render(&all));
    }

    #[test]
    fn a_plain_message_is_its_own_words() {
        let plain = Message::text("m".parse().unwrap(), Role::User, "look at\nthis");
        assert_eq!(render(&plain), "look at\nthis");
    }

    #[test]
    fn who_goes_on_is_told_what_was_answered() {
        let question = |n: u128, text: &str, options: &[&str]| TaskEvent::Question {
            id: mesh_agents_core::ids::QuestionId::from_ulid(ulid::Ulid(n)),
            question: QuestionKind::Elicitation,
            text: text.into(),
            options: options
                .iter()
                .map(|name| QuestionOption {
                    id: format!("id-{name}"),
                    name: (*name).into(),
                    kind: String::new(),
                })
                .collect(),
        };
        let gone = |n: u128, chosen: Option<&str>| TaskEvent::QuestionGone {
            id: mesh_agents_core::ids::QuestionId::from_ulid(ulid::Ulid(n)),
            chosen: chosen.map(str::to_owned),
        };
        let said = |text: &str| TaskEvent::Message {
            message: message(vec![Part::text(text)]),
        };
        let note = TaskEvent::Note {
            code: TaskEvent::EXPIRED.into(),
            text: String::new(),
            data: None,
        };
        let log = [
            question(1, "Which branch?", &[]),
            question(2, "Which shell?", &["bash", "zsh"]),
            question(3, "Taken back?", &[]),
            question(4, "Too late?", &[]),
            said("2"),
            gone(2, Some("id-zsh")),
            gone(3, None),
            said("main"),
            gone(1, None),
            gone(4, None),
            note,
            question(5, "Still open?", &[]),
        ];
        insta::assert_snapshot!(go_on(ResumeReason::Answered, None, &log));
        let task = message(vec![Part::text("count to ten")]);
        let start = go_on(ResumeReason::Interrupted, Some(&task), &[]);
        assert!(start.ends_with("The task is:\n\ncount to ten"), "{start}");
    }
}
