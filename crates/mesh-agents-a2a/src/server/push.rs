//! The operations on push configurations (§3.1.7 to §3.1.10). Who sends is [`crate::push`].

use mesh_agents_core::ids::TaskId;
use mesh_agents_core::json::JsonText;
use mesh_agents_core::push::{PushAuthentication, PushConfig};
use serde::Serialize;

use super::call::Call;
use super::error::{Fault, Kind};
use super::request::ListConfigs;

/// Adds a configuration to a task, or replaces the one of that id.
pub(super) async fn create(
    call: &Call,
    task: &TaskId,
    config: PushConfig,
) -> Result<JsonText, Fault> {
    call.own_task(task).await?;
    let engine = &call.server.engine;
    let stored = engine.push_put(&call.caller, task, config).await?;
    encode(&WireConfig::of(task, &stored))
}

/// One configuration.
pub(super) async fn get(call: &Call, task: &TaskId, config: &str) -> Result<JsonText, Fault> {
    call.own_task(task).await?;
    let engine = &call.server.engine;
    let stored = engine.push_get(&call.caller, task, config).await?;
    encode(&WireConfig::of(task, &stored))
}

/// A page of them.
pub(super) async fn list(call: &Call, asked: &ListConfigs) -> Result<JsonText, Fault> {
    let task = &asked.task;
    call.own_task(task).await?;
    let token = asked.page_token.as_deref();
    let engine = &call.server.engine;
    let page = engine.push_list(&call.caller, task, asked.page_size, token);
    let page = page.await?;
    let configs = page.configs.iter();
    encode(&WireConfigs {
        configs: configs.map(|config| WireConfig::of(task, config)).collect(),
        next_page_token: page.next_token.as_deref().unwrap_or_default(),
    })
}

/// Removes one; one that is not there is removed already.
pub(super) async fn delete(call: &Call, task: &TaskId, config: &str) -> Result<JsonText, Fault> {
    call.own_task(task).await?;
    let engine = &call.server.engine;
    engine.push_delete(&call.caller, task, config).await?;
    // Clients read an answer, also of an operation that has nothing to say.
    encode(&Nothing {})
}

fn encode<T: Serialize>(value: &T) -> Result<JsonText, Fault> {
    JsonText::of(value).map_err(|error| Fault::new(Kind::Internal, error.to_string()))
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireConfigs<'a> {
    configs: Vec<WireConfig<'a>>,
    next_page_token: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireConfig<'a> {
    id: &'a str,
    task_id: &'a str,
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authentication: Option<&'a PushAuthentication>,
}

impl<'a> WireConfig<'a> {
    fn of(task: &'a TaskId, config: &'a PushConfig) -> Self {
        Self {
            id: &config.id,
            task_id: task.as_str(),
            url: &config.url,
            token: config.token.as_deref(),
            authentication: config.authentication.as_ref(),
        }
    }
}
