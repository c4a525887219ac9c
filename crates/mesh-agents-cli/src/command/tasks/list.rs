//! `agents tasks`: a page of the list.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use mesh_agents_a2a::convert::read_timestamp;
use mesh_agents_core::clock::Clock as _;
use mesh_agents_core::task::TaskState;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::client::Client;
use crate::clock::SystemClock;
use crate::output::{Exit, Output, age, first_line, table};

/// Which tasks `agents tasks` shows.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) agent: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) context: Option<String>,
    pub(crate) limit: u32,
    pub(crate) cursor: Option<String>,
}

/// Characters of a task's message in a list.
const SUMMARY: usize = 60;

#[derive(Debug, Deserialize)]
struct Page {
    tasks: Vec<Line>,
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Line {
    task_id: String,
    agent_id: String,
    state: TaskState,
    updated_at: String,
    summary: String,
    unreachable_since: Option<String>,
    #[serde(default)]
    cancel_requested: bool,
}

impl Line {
    fn row(&self) -> [String; 5] {
        // Of another program's clock, perhaps: what cannot be read is shown as it is.
        let changed = read_timestamp(&self.updated_at).map_or_else(
            || self.updated_at.clone(),
            |at| age(SystemClock.now().since(at)),
        );
        let summary = first_line(&self.summary, SUMMARY);
        [
            self.task_id.clone(),
            self.state.as_str().to_owned(),
            self.agent_id.clone(),
            changed,
            format!("{}{summary}", self.marks()),
        ]
    }

    /// What is to be known besides the state, before the summary.
    fn marks(&self) -> String {
        let away = self.unreachable_since.as_ref();
        let away = away.map(|since| format!("[node unreachable since {since}] "));
        let cancel = self.cancel_requested.then_some("[cancel requested] ");
        format!("{}{}", away.unwrap_or_default(), cancel.unwrap_or_default())
    }
}

/// `agents tasks`.
pub(crate) async fn tasks(client: &Client, output: &mut Output, filter: Filter) -> Result<Exit> {
    let mut args = Map::new();
    args.insert("limit".into(), filter.limit.into());
    let given = [
        ("agent_id", "--agent", filter.agent),
        ("state", "--state", filter.state),
        ("context_id", "--context", filter.context),
        ("cursor", "", filter.cursor),
    ];
    // The next page is of the same list.
    let mut filters = String::new();
    for (name, flag, value) in given {
        let Some(value) = value else { continue };
        if !flag.is_empty() {
            // Writing to a String cannot fail.
            let _ok = write!(filters, " {flag} {value}");
        }
        args.insert(name.into(), value.into());
    }
    let answer = client.tool("list_tasks", &Value::Object(args)).await?;
    let page: Page = answer
        .read()
        .context("the engine's answer has another shape")?;
    output.answer("tasks", &answer, |out| {
        table(out, page.tasks.iter().map(Line::row))
    })?;
    if output.is_json() {
        return Ok(Exit::Done);
    }
    if let Some(cursor) = page.next_cursor {
        let limit = filter.limit;
        output.hint(&format!(
            "more: agents tasks{filters} --limit {limit} --cursor {cursor}"
        ));
    } else if page.tasks.is_empty() {
        output.hint(if filters.is_empty() {
            "no tasks; agents send <agent> \"what to do\" makes one"
        } else {
            "no such tasks; agents tasks lists all"
        });
    }
    Ok(Exit::Done)
}
