//! The parameters of the operations: decoded and checked in one place for both bindings.
//!
//! Values that callers own keep every digit (they stay text), unknown fields are ignored, names are
//! taken in both spellings ProtoJSON allows, and all that is wrong with a request is told at once,
//! each with the path of its field.

mod message;
pub(super) mod push;
pub(super) mod query;
mod scalars;

use std::collections::BTreeMap;

use a2a::errordetails::FieldViolation;
use jiff::Timestamp;
use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::ids::{ContextId, TaskId};
use mesh_agents_core::json::JsonText;
use mesh_agents_core::policy::QUEUE_EXTENSION;
use mesh_agents_core::push::PushConfig;
use mesh_agents_core::task::{Message, TaskState};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::{Fault, Kind};
use crate::json::{compact, depth};
use message::WireMessage;
use push::WirePushConfig;

/// Deepest nesting of a caller's values. Readers of our answers nest them a few levels deeper, and
/// common ones stop at 100.
const DEPTH: usize = 64;
/// Most bytes of metadata, references and extension names in one request. They are kept with the
/// task and come back with every answer about it.
const ASIDE_BYTES: usize = 256 * 1024;
/// Most tasks on one page (§3.1.4).
const PAGE_MAX: i64 = 100;
/// Tasks on one page when the caller does not say (§3.1.4).
const PAGE: u32 = 50;

/// Gathers what is wrong with a request.
#[derive(Debug, Default)]
pub(super) struct Check {
    violations: Vec<FieldViolation>,
    aside: usize,
}

impl Check {
    pub(super) fn wrong(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.violations.push(FieldViolation {
            field: field.into(),
            description: description.into(),
        });
    }

    /// The value, if it reads as `T`; the reason is told otherwise.
    pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
        &mut self,
        field: &str,
        text: Option<&str>,
    ) -> Option<T> {
        let text = text.filter(|text| !text.is_empty())?;
        text.parse()
            .map_err(|error: T::Err| self.wrong(field, error.to_string()))
            .ok()
    }

    /// A caller's own object.
    pub(super) fn object(&mut self, field: &str, value: Option<JsonText>) -> Option<JsonText> {
        let value = value?;
        if !value.as_str().starts_with('{') {
            self.wrong(field, "must be an object");
            return None;
        }
        self.aside(value.as_str().len());
        self.value(field, &value)
    }

    /// A caller's own value, without the white space between its tokens.
    pub(super) fn value(&mut self, field: &str, value: &JsonText) -> Option<JsonText> {
        if depth(value.as_str()) > DEPTH {
            self.wrong(field, format!("is nested deeper than {DEPTH} levels"));
            return None;
        }
        JsonText::parse(&compact(value.as_str())).ok()
    }

    /// Counts bytes that are kept with the task beside the content of its message.
    pub(super) fn aside(&mut self, bytes: usize) {
        self.aside += bytes;
    }

    /// An agent has no tenants: a request that names one is meant for somebody else.
    fn tenant(&mut self, tenant: Option<&str>) {
        if tenant.is_some_and(|tenant| !tenant.is_empty()) {
            self.wrong("tenant", "this agent has no tenants; leave it out");
        }
    }

    fn history(&mut self, field: &str, length: Option<i64>) -> Option<u32> {
        let length = length?;
        u32::try_from(length)
            .map_err(|_range| self.wrong(field, "must be 0 or more"))
            .ok()
    }

    fn done(mut self) -> Result<(), Fault> {
        if self.aside > ASIDE_BYTES {
            self.wrong(
                "metadata",
                format!("all metadata of a request may be {ASIDE_BYTES} bytes together"),
            );
        }
        if self.violations.is_empty() {
            Ok(())
        } else {
            Err(Fault::invalid(self.violations))
        }
    }

    /// Whether metadata has the message wait for its agent's node.
    fn may_wait(&mut self, field: &str, metadata: Option<&JsonText>) -> bool {
        let said = metadata.and_then(|said| said.read::<BTreeMap<String, Box<RawValue>>>().ok());
        let said = said.and_then(|mut said| said.remove(QUEUE_EXTENSION));
        match said.as_ref().map(|said| said.get()) {
            Some("true") => true,
            None | Some("false" | "null") => false,
            Some(_) => {
                self.wrong(
                    format!("{field}[\"{QUEUE_EXTENSION}\"]"),
                    "must be true or false",
                );
                false
            }
        }
    }
}

/// Reads parameters. A value of the wrong type is told with the path of its field.
fn decode<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Fault> {
    // A struct reads from an array too, and that is not what a caller meant.
    if !text.trim_start().starts_with('{') {
        return Err(Fault::new(
            Kind::InvalidParams,
            "the parameters must be an object",
        ));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "" } else { path.as_str() };
        Fault::field(field, error.inner().to_string())
    })
}

/// The id of an existing task. One that no server of ours can have made names no task.
fn task_id(text: &str) -> Result<TaskId, Fault> {
    text.parse().map_err(|_no_id| Fault::no_task(text))
}

/// Ids that came with the path of a REST request.
#[derive(Debug, Default, Clone)]
pub(super) struct PathIds {
    /// `{id}` or `{taskId}`.
    pub(super) task: Option<String>,
    /// The `{id}` of a push configuration.
    pub(super) config: Option<String>,
}

/// What the path says, or the body when the path says nothing; the two may not differ.
fn one_of(
    check: &mut Check,
    field: &str,
    path: Option<&str>,
    body: Option<&str>,
) -> Option<String> {
    let body = body.filter(|id| !id.is_empty());
    match (path, body) {
        (Some(path), Some(body)) if path != body => {
            check.wrong(field, format!("the path says {path:?}"));
            None
        }
        (Some(id), _) | (None, Some(id)) => Some(id.to_owned()),
        (None, None) => {
            check.wrong(field, "is required");
            None
        }
    }
}

/// `SendMessage` and `SendStreamingMessage`.
#[derive(Debug)]
pub(super) struct SendMessage {
    pub(super) message: Message,
    /// The task the message is for, when it is for one.
    pub(super) task: Option<TaskId>,
    pub(super) context: Option<ContextId>,
    pub(super) metadata: Option<JsonText>,
    /// Whether it may wait for an agent whose node is away.
    pub(super) queue_if_offline: bool,
    /// Messages to return at most; all when absent.
    pub(super) history: Option<u32>,
    pub(super) return_immediately: bool,
    pub(super) push: Option<PushConfig>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, expecting = "an object")]
struct WireSend {
    tenant: Option<String>,
    message: Option<WireMessage>,
    configuration: Option<WireConfiguration>,
    metadata: Option<JsonText>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, expecting = "an object")]
struct WireConfiguration {
    // Read so that a wrong type is told; what a harness answers with is not for us to choose.
    #[serde(rename = "acceptedOutputModes", alias = "accepted_output_modes")]
    _accepted_output_modes: Option<Vec<String>>,
    #[serde(alias = "task_push_notification_config")]
    task_push_notification_config: Option<WirePushConfig>,
    #[serde(alias = "history_length", deserialize_with = "scalars::int")]
    history_length: Option<i64>,
    #[serde(alias = "return_immediately", deserialize_with = "scalars::bool")]
    return_immediately: Option<bool>,
}

/// Reads a message to be sent. `takes` says which media types the agent's card names besides text.
pub(super) fn send(text: &str, takes: &[String]) -> Result<SendMessage, Fault> {
    let wire: WireSend = decode(text)?;
    let mut check = Check::default();
    check.tenant(wire.tenant.as_deref());
    let metadata = check.object("metadata", wire.metadata);
    let configuration = wire.configuration.unwrap_or_default();
    let history = check.history("configuration.historyLength", configuration.history_length);
    let push = configuration
        .task_push_notification_config
        .and_then(|config| config.check(&mut check, "configuration.taskPushNotificationConfig"));
    let Some(wire) = wire.message else {
        check.wrong("message", "is required");
        check.done()?;
        return Err(Fault::field("message", "is required"));
    };
    let (task, context) = (wire.task_id.clone(), wire.context_id.clone());
    let context = check.parsed("message.contextId", context.as_deref());
    let message = wire.check(&mut check);
    let beside = message
        .as_ref()
        .and_then(|(message, _)| message.metadata.as_ref());
    let queue_if_offline =
        check.may_wait("message.metadata", beside) | check.may_wait("metadata", metadata.as_ref());
    check.done()?;
    let (message, refused) = message.ok_or_else(|| Fault::field("message", "cannot be read"))?;
    if let Some(refused) = message::refused_media(&message, refused, takes) {
        return Err(refused);
    }
    Ok(SendMessage {
        message,
        task: task
            .filter(|task| !task.is_empty())
            .map(|task| task_id(&task))
            .transpose()?,
        context,
        metadata,
        queue_if_offline,
        history,
        return_immediately: configuration.return_immediately.unwrap_or(false),
        push,
    })
}

/// `GetTask`, `CancelTask` and `SubscribeToTask`.
#[derive(Debug)]
pub(super) struct OneTask {
    pub(super) id: TaskId,
    /// Messages to return at most; all when absent. `GetTask` only.
    pub(super) history: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, expecting = "an object")]
struct WireOneTask {
    tenant: Option<String>,
    id: Option<String>,
    #[serde(alias = "history_length", deserialize_with = "scalars::int")]
    history_length: Option<i64>,
    metadata: Option<JsonText>,
}

pub(super) fn one_task(text: &str, path: &PathIds) -> Result<OneTask, Fault> {
    let wire: WireOneTask = decode(text)?;
    let mut check = Check::default();
    check.tenant(wire.tenant.as_deref());
    check.object("metadata", wire.metadata);
    let history = check.history("historyLength", wire.history_length);
    let id = one_of(&mut check, "id", path.task.as_deref(), wire.id.as_deref());
    check.done()?;
    let id = task_id(&id.unwrap_or_default())?;
    Ok(OneTask { id, history })
}

/// `ListTasks`.
#[derive(Debug)]
pub(super) struct ListTasks {
    pub(super) context: Option<ContextId>,
    pub(super) state: Option<TaskState>,
    pub(super) page_size: u32,
    pub(super) page_token: Option<String>,
    /// Messages of each task to return at most; none when absent.
    pub(super) history: Option<u32>,
    pub(super) since: Option<UnixMillis>,
    pub(super) artifacts: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, expecting = "an object")]
struct WireList {
    tenant: Option<String>,
    #[serde(alias = "context_id")]
    context_id: Option<String>,
    #[serde(deserialize_with = "scalars::word")]
    status: Option<String>,
    #[serde(alias = "page_size", deserialize_with = "scalars::int")]
    page_size: Option<i64>,
    #[serde(alias = "page_token")]
    page_token: Option<String>,
    #[serde(alias = "history_length", deserialize_with = "scalars::int")]
    history_length: Option<i64>,
    #[serde(alias = "status_timestamp_after")]
    status_timestamp_after: Option<String>,
    #[serde(alias = "include_artifacts", deserialize_with = "scalars::bool")]
    include_artifacts: Option<bool>,
}

pub(super) fn list(text: &str) -> Result<ListTasks, Fault> {
    let wire: WireList = decode(text)?;
    let mut check = Check::default();
    check.tenant(wire.tenant.as_deref());
    let page_size = match wire.page_size {
        None => Some(PAGE),
        Some(size) if (1..=PAGE_MAX).contains(&size) => u32::try_from(size).ok(),
        Some(_) => {
            check.wrong("pageSize", format!("must be 1 to {PAGE_MAX}"));
            None
        }
    };
    let status = wire.status.as_deref();
    let state = status.and_then(|name| match scalars::state(name) {
        Ok(state) => state,
        Err(unknown) => {
            check.wrong("status", unknown);
            None
        }
    });
    let since = wire.status_timestamp_after.as_deref();
    let since: Option<Timestamp> = check.parsed("statusTimestampAfter", since);
    let request = ListTasks {
        context: check.parsed("contextId", wire.context_id.as_deref()),
        state,
        page_size: page_size.unwrap_or(PAGE),
        page_token: wire.page_token.filter(|token| !token.is_empty()),
        history: check.history("historyLength", wire.history_length),
        since: since.map(not_before),
        artifacts: wire.include_artifacts.unwrap_or(false),
    };
    check.done()?;
    Ok(request)
}

/// The first whole millisecond that is not before `at`: stored times have no finer parts.
fn not_before(at: Timestamp) -> UnixMillis {
    const MILLI: i128 = 1_000_000;
    let nanos = at.as_nanosecond();
    let millis = nanos.div_euclid(MILLI) + i128::from(nanos.rem_euclid(MILLI) != 0);
    UnixMillis(i64::try_from(millis).unwrap_or(i64::MAX))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, expecting = "an object")]
struct WireOfConfig {
    tenant: Option<String>,
    #[serde(alias = "task_id")]
    task_id: Option<String>,
    id: Option<String>,
    #[serde(alias = "page_size", deserialize_with = "scalars::int")]
    page_size: Option<i64>,
    #[serde(alias = "page_token")]
    page_token: Option<String>,
}

/// `GetTaskPushNotificationConfig` and `DeleteTaskPushNotificationConfig`: the task and the id of the
/// configuration.
pub(super) fn config(text: &str, path: &PathIds) -> Result<(TaskId, String), Fault> {
    let wire: WireOfConfig = decode(text)?;
    let mut check = Check::default();
    check.tenant(wire.tenant.as_deref());
    let task = one_of(
        &mut check,
        "taskId",
        path.task.as_deref(),
        wire.task_id.as_deref(),
    );
    let config = one_of(&mut check, "id", path.config.as_deref(), wire.id.as_deref());
    check.done()?;
    Ok((
        task_id(&task.unwrap_or_default())?,
        config.unwrap_or_default(),
    ))
}

/// `ListTaskPushNotificationConfigs`.
#[derive(Debug)]
pub(super) struct ListConfigs {
    pub(super) task: TaskId,
    /// Configurations on one page; all of them when absent.
    pub(super) page_size: Option<u32>,
    pub(super) page_token: Option<String>,
}

pub(super) fn configs(text: &str, path: &PathIds) -> Result<ListConfigs, Fault> {
    let wire: WireOfConfig = decode(text)?;
    let mut check = Check::default();
    check.tenant(wire.tenant.as_deref());
    let task = one_of(
        &mut check,
        "taskId",
        path.task.as_deref(),
        wire.task_id.as_deref(),
    );
    // 0 is what an absent number is to a protobuf client.
    let page_size = wire.page_size.filter(|size| *size != 0);
    let page_size = page_size.and_then(|size| {
        u32::try_from(size)
            .map_err(|_range| check.wrong("pageSize", "must be 0 or more"))
            .ok()
    });
    check.done()?;
    Ok(ListConfigs {
        task: task_id(&task.unwrap_or_default())?,
        page_size,
        page_token: wire.page_token.filter(|token| !token.is_empty()),
    })
}

/// `CreateTaskPushNotificationConfig`.
pub(super) fn new_config(text: &str, path: &PathIds) -> Result<(TaskId, PushConfig), Fault> {
    let wire: WirePushConfig = decode(text)?;
    let mut check = Check::default();
    check.tenant(wire.tenant.as_deref());
    let task = one_of(
        &mut check,
        "taskId",
        path.task.as_deref(),
        wire.task_id.as_deref(),
    );
    let config = wire.check(&mut check, "");
    check.done()?;
    let config = config.ok_or_else(|| Fault::field("url", "is required"))?;
    Ok((task_id(&task.unwrap_or_default())?, config))
}

#[derive(Deserialize, Default)]
#[serde(default, expecting = "an object")]
struct WireTenant {
    tenant: Option<String>,
}

/// `GetExtendedAgentCard`.
pub(super) fn nothing(text: &str) -> Result<(), Fault> {
    let wire: WireTenant = decode(text)?;
    let mut check = Check::default();
    check.tenant(wire.tenant.as_deref());
    check.done()
}

#[cfg(test)]
mod tests;
