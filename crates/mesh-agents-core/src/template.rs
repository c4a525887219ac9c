//! The one substitution language of `runtime.toml` (DESIGN §2.5).
//!
//! `{{ name }}` and `{{ env.NAME }}` in Handlebars syntax, `$NAME` and `${NAME}` with NAME =
//! `[A-Z_][A-Z0-9_]*`, and `$$` for a dollar sign; every other `$` stands for itself. As in
//! Handlebars `\{{` is a literal `{{`. There are no helpers, blocks, partials, comments and no
//! escaping of values.
//!
//! A template is taken apart once, when it is parsed; expanding it only joins the parts. So what a
//! value brings in is never read again, whatever it contains.

use std::fmt;

use handlebars::template::{Parameter, Template as Parsed, TemplateElement};

use crate::near::nearest;

/// Every name that may stand between `{{` and `}}`, besides `env.NAME`.
pub const VARIABLES: &[&str] = &[
    "agent.id",
    "agent.name",
    "agent.dir",
    "agent.card_path",
    "agent.runtime_path",
    "task.id",
    "task.workspace",
    "task.prompt_path",
    "task.artifacts_dir",
    "task.logs_dir",
    "instructions.file",
    "instructions.dir",
    "mesh.mcp_url",
    "mesh.api_url",
    "mesh.openai_url",
    "mesh.model",
    "mesh.data_dir",
];

/// Variables that a run's own processes have in their environment, and the template that gives the
/// same value: templates are expanded before that environment exists.
const OF_THE_RUN: &[(&str, &str)] = &[
    ("MESH_AGENT_ID", "agent.id"),
    ("MESH_TASK_WORKSPACE", "task.workspace"),
    ("TASK_ARTIFACTS_DIR", "task.artifacts_dir"),
    ("TASK_PROMPT_PATH", "task.prompt_path"),
];

/// The template variable that gives what a run's own processes have in this variable.
#[must_use]
pub fn template_of(environment_variable: &str) -> Option<&'static str> {
    OF_THE_RUN
        .iter()
        .find(|(name, _)| *name == environment_variable)
        .map(|(_, variable)| *variable)
}

/// The variable of a run's own processes that holds what this template variable gives.
#[must_use]
pub fn environment_of(variable: &str) -> Option<&'static str> {
    OF_THE_RUN
        .iter()
        .find(|(_, same)| *same == variable)
        .map(|(name, _)| *name)
}

/// What a template asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variable {
    /// One of [`VARIABLES`], such as `mesh.mcp_url`.
    Named(String),
    /// A variable of our own environment, such as `HOME`.
    Env(String),
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => write!(f, "{{{{ {name} }}}}"),
            Self::Env(name) => write!(f, "${name}"),
        }
    }
}

/// Why a text is no template, or why it cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The text is not in the language.
    #[error(
        "{reason}; a template holds text, {{{{ name }}}}, $NAME and ${{NAME}} only ($$ is a dollar sign, \\{{{{ two braces)"
    )]
    Syntax {
        /// What was found.
        reason: String,
    },
    /// The name between the braces is no variable.
    #[error("unknown variable {{{{ {name} }}}}; {}", near_hint(nearest.as_deref()))]
    UnknownVariable {
        /// The name as written.
        name: String,
        /// The variable that was probably meant.
        nearest: Option<String>,
    },
    /// The variable has no value here.
    #[error("{name} has no value; {hint}")]
    Unset {
        /// The variable as one writes it, such as `$GH_TOKEN`.
        name: String,
        /// How to give it a value.
        hint: String,
    },
}

impl TemplateError {
    /// The error for a variable that has no value.
    #[must_use]
    pub fn unset(variable: &Variable) -> Self {
        Self::Unset {
            name: variable.to_string(),
            hint: how_to_set(variable),
        }
    }
}

/// A text whose variables are known, ready to be expanded any number of times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(Variable),
}

impl Template {
    /// Takes `text` apart.
    ///
    /// # Errors
    /// [`TemplateError::Syntax`] for what is not in the language, [`TemplateError::UnknownVariable`]
    /// for a name that is not in [`VARIABLES`].
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        // Tildes make Handlebars eat the white space around; that is not in our language, and the
        // parsed form does not show it.
        if text.contains("{{") && (text.contains("{{~") || text.contains("~}}")) {
            return Err(syntax("`{{~` and `~}}` are not supported"));
        }
        let parsed = Parsed::compile(text).map_err(|error| syntax(&not_handlebars(&error)))?;
        let mut parts = Vec::new();
        let mut literal = String::new();
        for element in &parsed.elements {
            match element {
                // Neighbouring pieces belong together: `$` and its name may be split by an escape.
                TemplateElement::RawString(text) => literal.push_str(text),
                TemplateElement::Expression(expression)
                    if !expression.block
                        && expression.params.is_empty()
                        && expression.hash.is_empty() =>
                {
                    scan_dollars(&std::mem::take(&mut literal), &mut parts);
                    parts.push(Part::Variable(variable(&expression.name)?));
                }
                other => return Err(syntax(unsupported(other))),
            }
        }
        scan_dollars(&literal, &mut parts);
        Ok(Self { parts })
    }

    /// The variables it asks for, in the order written, repeats included.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(variable) => Some(variable),
            Part::Text(_) => None,
        })
    }

    /// The text with every variable replaced by what `values` has for it. One pass: values are
    /// copied as they are.
    ///
    /// # Errors
    /// [`TemplateError::Unset`] for the first variable `values` has nothing for.
    pub fn expand(
        &self,
        values: &dyn Fn(&Variable) -> Option<String>,
    ) -> Result<String, TemplateError> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Variable(variable) => {
                    text.push_str(&values(variable).ok_or_else(|| TemplateError::unset(variable))?);
                }
            }
        }
        Ok(text)
    }
}

fn syntax(reason: &str) -> TemplateError {
    TemplateError::Syntax {
        reason: reason.to_owned(),
    }
}

/// Handlebars describes a failed parse by its grammar's rule names; the place is what helps.
fn not_handlebars(error: &handlebars::TemplateError) -> String {
    match error.pos() {
        Some((1, column)) => format!("`{{{{` without a name and `}}}}` at character {column}"),
        Some((line, column)) => {
            format!("`{{{{` without a name and `}}}}` at line {line}, character {column}")
        }
        None => "`{{` without a name and `}}`".to_owned(),
    }
}

fn unsupported(element: &TemplateElement) -> &'static str {
    match element {
        TemplateElement::HtmlExpression(_) => "`{{{ name }}}` and `{{& name }}` are not supported",
        TemplateElement::Expression(_) => "a helper call in `{{ }}` is not supported",
        TemplateElement::Comment(_) => "a comment in `{{! }}` is not supported",
        TemplateElement::PartialExpression(_) | TemplateElement::PartialBlock(_) => {
            "a partial in `{{> }}` is not supported"
        }
        _ => "a block or decorator in `{{ }}` is not supported",
    }
}

fn variable(name: &Parameter) -> Result<Variable, TemplateError> {
    let name = name
        .as_name()
        .ok_or_else(|| syntax("a subexpression in `{{ }}` is not supported"))?;
    if VARIABLES.contains(&name) {
        return Ok(Variable::Named(name.to_owned()));
    }
    let meant = match name.strip_prefix("env.") {
        Some(env) if is_env_name(env) => return Ok(Variable::Env(env.to_owned())),
        Some(env) => Some(env.to_ascii_uppercase())
            .filter(|env| is_env_name(env))
            .map(|env| format!("env.{env}")),
        None if is_env_name(name) => Some(format!("env.{name}")),
        None => VARIABLES
            .iter()
            .find(|known| known.split_once('.').is_some_and(|(_, last)| last == name))
            .copied()
            .or_else(|| nearest(name, VARIABLES.iter().copied()))
            .map(str::to_owned),
    };
    Err(TemplateError::UnknownVariable {
        name: name.to_owned(),
        nearest: meant,
    })
}

fn is_env_name(name: &str) -> bool {
    !name.is_empty() && env_name_length(name) == name.len()
}

/// How many bytes at the start of `text` are a name `[A-Z_][A-Z0-9_]*`; 0 when there is none.
fn env_name_length(text: &str) -> usize {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    text.bytes()
        .take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_')
        .count()
}

/// Splits literal text at its `$NAME` and `${NAME}` and turns `$$` into `$`.
fn scan_dollars(literal: &str, parts: &mut Vec<Part>) {
    let mut text = String::new();
    let mut rest = literal;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some((name, after)) = env_reference(after) {
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(Part::Variable(Variable::Env(name.to_owned())));
            rest = after;
        } else {
            text.push('$');
            rest = after;
        }
    }
    text.push_str(rest);
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
}

/// The name after a `$`, bare or in braces, and what follows it.
fn env_reference(after: &str) -> Option<(&str, &str)> {
    if let Some(braced) = after.strip_prefix('{') {
        let (name, rest) = braced.split_once('}')?;
        return is_env_name(name).then_some((name, rest));
    }
    let length = env_name_length(after);
    (length > 0).then(|| after.split_at(length))
}

fn near_hint(nearest: Option<&str>) -> String {
    match nearest {
        Some(name) => format!("did you mean {{{{ {name} }}}}?"),
        None => format!("known are {} and env.NAME", VARIABLES.join(", ")),
    }
}

fn how_to_set(variable: &Variable) -> String {
    let name = match variable {
        Variable::Env(name) => {
            if let Some((_, same)) = OF_THE_RUN.iter().find(|(known, _)| known == name) {
                return format!(
                    "only the run's processes have it: write {{{{ {same} }}}} here, or $${name} for a shell of the run to expand"
                );
            }
            return format!(
                "set {name} in the environment mesh-llm (or `agents serve`) is started with, or write $$ for a literal dollar sign"
            );
        }
        Variable::Named(name) => name.as_str(),
    };
    match name {
        "mesh.mcp_url" | "mesh.api_url" => {
            "start mesh-llm or `agents serve`, or set MESH_LLM_API_URL".to_owned()
        }
        "mesh.openai_url" => "start a mesh-llm node, or set MESH_LLM_OPENAI_URL".to_owned(),
        "mesh.model" => {
            "name one in runtime.toml (`model` under [runtime]), or serve a model on the mesh"
                .to_owned()
        }
        _ if name.starts_with("task.") => "it exists only while a task runs".to_owned(),
        _ => "it exists only for a loaded agent".to_owned(),
    }
}

#[cfg(test)]
mod tests;
