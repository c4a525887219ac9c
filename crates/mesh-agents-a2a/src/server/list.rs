//! `ListTasks` (§3.1.4): the caller's tasks with this agent, the newest change first.

use mesh_agents_core::json::JsonText;
use mesh_agents_core::refusal::Code;
use mesh_agents_core::task::Task;
use serde::Serialize;

use super::call::Call;
use super::document::{self, Room};
use super::error::{Fault, Kind};
use super::request;

/// All four are required: an empty page has them too.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WirePage<'a> {
    tasks: &'a [JsonText],
    next_page_token: &'a str,
    page_size: u32,
    total_size: u64,
}

/// A page of the list.
pub(super) async fn page(call: &Call, asked: &request::ListTasks) -> Result<JsonText, Fault> {
    let query = mesh_agents_tasks::ListTasks {
        agent_id: Some(call.agent.id.clone()),
        context_id: asked.context.clone(),
        state: asked.state,
        since: asked.since,
        count: true,
        limit: asked.page_size,
        cursor: asked.page_token.clone(),
    };
    let page = call.server.engine.list(&call.caller, query).await;
    let page = page.map_err(|refusal| match refusal.code {
        Code::InvalidArgument => Fault::field(
            "pageToken",
            "is not one this server made; pass nextPageToken of the page before unchanged",
        ),
        _ => refusal.into(),
    })?;
    let mut room = Room::of_one_answer();
    let mut tasks = Vec::with_capacity(page.tasks.len());
    for (task, _) in &page.tasks {
        tasks.push(entry(call, asked, task, &mut room).await?);
    }
    let wire = WirePage {
        tasks: &tasks,
        next_page_token: page.next_cursor.as_deref().unwrap_or_default(),
        page_size: asked.page_size,
        total_size: page.total.unwrap_or(tasks.len() as u64),
    };
    JsonText::of(&wire).map_err(|error| Fault::new(Kind::Internal, error.to_string()))
}

/// One task of the page. Its artifacts are left out entirely unless they were asked for.
async fn entry(
    call: &Call,
    asked: &request::ListTasks,
    task: &Task,
    room: &mut Room,
) -> Result<JsonText, Fault> {
    let history = asked.history.filter(|length| *length > 0);
    if history.is_none() && !asked.artifacts {
        return Ok(document::bare(task, &[])?);
    }
    let (engine, caller) = (&call.server.engine, &call.caller);
    let view = match engine.view(caller, &task.id).await {
        Ok(view) => view,
        // Deleted since the page was read.
        Err(refusal) if refusal.code == Code::TaskNotFound => {
            return Ok(document::bare(task, &[])?);
        }
        Err(refusal) => return Err(refusal.into()),
    };
    let history = Some(history.unwrap_or(0));
    if asked.artifacts {
        return document::whole(&call.server, &view, history, room).await;
    }
    Ok(document::bare(
        &view.task,
        document::newest(&view.history, history),
    )?)
}
