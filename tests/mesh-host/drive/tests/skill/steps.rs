//! The steps of a skill or a prompt, as a client has to read them: a numbered list whose calls stand in code spans.

use anyhow::{Context as _, Result, ensure};
use rmcp::model::Tool;
use serde_json::{Map, Value};

/// One numbered step.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Its number in the list.
    pub(crate) number: usize,
    /// All of its words on one line.
    pub(crate) text: String,
    /// The calls it says to make, in their order.
    pub(crate) calls: Vec<Call>,
}

/// A call a step says to make.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// A tool, with arguments whose `<words>` are to be filled in.
    Tool {
        /// Its name without a client's prefix.
        name: String,
        /// Its arguments.
        arguments: Map<String, Value>,
    },
    /// A shell command.
    Shell(String),
}

/// Reads the steps of a text.
pub(crate) fn parse(text: &str) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let numbered = line
            .split_once(". ")
            .and_then(|(number, rest)| Some((number.parse().ok()?, rest)));
        if let Some((number, rest)) = numbered {
            let (text, calls) = (rest.to_owned(), Vec::new());
            steps.push(Step {
                number,
                text,
                calls,
            });
            inside = true;
        } else if let (true, Some(rest), Some(step)) =
            (inside, line.strip_prefix("   "), steps.last_mut())
        {
            step.text.push(' ');
            step.text.push_str(rest);
        } else {
            inside = false;
        }
    }
    for step in &mut steps {
        step.calls = calls(&step.text).with_context(|| format!("step {}", step.number))?;
    }
    ensure!(!steps.is_empty(), "no numbered steps in {text:?}");
    Ok(steps)
}

/// The code spans of a step that are calls: a word and a JSON object, or a command of `gh`.
fn calls(text: &str) -> Result<Vec<Call>> {
    let mut calls = Vec::new();
    for span in text.split('`').skip(1).step_by(2) {
        if span.starts_with("gh ") {
            calls.push(Call::Shell(span.to_owned()));
        } else if let Some((name, arguments)) = span.split_once(" {") {
            let arguments = format!("{{{arguments}");
            calls.push(Call::Tool {
                name: name.to_owned(),
                arguments: serde_json::from_str(&arguments).context(arguments)?,
            });
        }
    }
    Ok(calls)
}

/// Fails when a step names a tool, or an argument of one, that the host's `tools/list` has not, or leaves out one that
/// the tool needs.
pub(crate) fn fit(steps: &[Step], listed: &[Tool]) -> Result<()> {
    for step in steps {
        for call in &step.calls {
            let Call::Tool { name, arguments } = call else {
                continue;
            };
            let tool = listed
                .iter()
                .find(|tool| tool.name == format!("agents.{name}"))
                .with_context(|| format!("step {}: no tool {name}", step.number))?;
            let schema = Value::Object((*tool.input_schema).clone());
            for argument in arguments.keys() {
                ensure!(
                    schema["properties"].get(argument).is_some(),
                    "step {}: {name} has no argument {argument}",
                    step.number
                );
            }
            for needed in schema["required"].as_array().into_iter().flatten() {
                ensure!(
                    needed
                        .as_str()
                        .is_some_and(|key| arguments.contains_key(key)),
                    "step {}: {name} needs {needed}",
                    step.number
                );
            }
        }
    }
    Ok(())
}

/// The number in "(step 4)", where a step says to go back to another.
pub(crate) fn goes_back_to(step: &Step) -> Option<usize> {
    let (_, rest) = step.text.split_once("(step ")?;
    rest.split_once(')')?.0.parse().ok()
}
