//! An event as the body of a notification: the `StreamResponse` a stream would send for it (A2A
//! §3.2.3, §4.3.3).

use mesh_agents_core::task::Task;
use mesh_agents_tasks::PushDelivery;

use crate::convert::{Body, ConvertError};
use crate::updates::{Update, Updates};

/// What stands in for the content of an artifact that is not sent along.
const TOO_LARGE: &str = "too large for a notification; read it from the task with GetTask";

/// The body of a notification; `None` for an event that means nothing to a client.
pub(super) fn notification(delivery: &PushDelivery) -> Result<Option<String>, ConvertError> {
    // The time of a change is its event's, never that of the row, which may be further.
    let task = Task {
        updated_at: delivery.task.created_at,
        ..delivery.task.clone()
    };
    let mut updates = Updates::after(task, None);
    let body = match updates.take(&delivery.event)? {
        Some(Update::Send(update)) => Some(update),
        Some(Update::Stored(artifact)) => {
            let content = delivery.content.as_deref();
            let body = content.map_or(Body::LeftOut(TOO_LARGE), Body::Whole);
            Some(updates.whole(&artifact, body)?)
        }
        None => None,
    };
    Ok(body.map(|body| body.as_str().to_owned()))
}
