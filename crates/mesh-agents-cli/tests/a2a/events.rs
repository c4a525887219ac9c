//! Streams: reading them, and what they must look like.

use a2a::{A2AError, StreamResponse, Task, TaskState};
use a2a_client::BoxStream;
use futures::StreamExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::world::{code, text_of};

/// What a stream yields.
pub(crate) type Events = BoxStream<'static, Result<StreamResponse, A2AError>>;

/// The code with which a stream is refused, before it begins or as all it says.
pub(crate) async fn stream_code(stream: Result<Events, A2AError>) -> i32 {
    match stream {
        Err(error) => error.code,
        Ok(mut events) => code(events.next().await.expect("the refusal")),
    }
}

/// All events of a stream.
pub(crate) async fn collect(events: Events) -> Vec<StreamResponse> {
    events.map(Result::unwrap).collect().await
}

/// The text of the answer as a reader of this stream puts it together.
pub(crate) fn assembled(events: &[StreamResponse]) -> String {
    let mut text = String::new();
    for event in events {
        match event {
            StreamResponse::Task(task) => {
                let artifacts = task.artifacts.as_deref().unwrap_or_default();
                let responses = artifacts.iter().filter(|one| one.artifact_id == "response");
                text = responses.map(|one| text_of(&one.parts)).collect();
            }
            StreamResponse::ArtifactUpdate(update) if update.artifact.artifact_id == "response" => {
                if update.append != Some(true) {
                    text.clear();
                }
                text += &text_of(&update.artifact.parts);
            }
            _ => {}
        }
    }
    text
}

/// The states told by a stream.
pub(crate) fn states(events: &[StreamResponse]) -> Vec<TaskState> {
    let state = |event: &StreamResponse| match event {
        StreamResponse::StatusUpdate(update) => Some(update.status.state.clone()),
        _ => None,
    };
    events.iter().filter_map(state).collect()
}

/// The stream begins with the task and ends with this state, told once. The task.
pub(crate) fn ends_with(events: &[StreamResponse], wanted: &TaskState) -> Task {
    let Some(StreamResponse::Task(task)) = events.first() else {
        panic!("the first event is the task; saw {events:?}");
    };
    for event in &events[1..] {
        let whose = match event {
            StreamResponse::StatusUpdate(update) => (&update.task_id, &update.context_id),
            StreamResponse::ArtifactUpdate(update) => (&update.task_id, &update.context_id),
            other => panic!("updates follow; saw {other:?}"),
        };
        assert_eq!(whose, (&task.id, &task.context_id), "whose event it is");
    }
    let Some(StreamResponse::StatusUpdate(last)) = events.last() else {
        panic!("the last event is a state; saw {events:?}");
    };
    assert_eq!(last.status.state, *wanted, "the last state: {last:?}");
    task.clone()
}

/// Reads a stream on its own.
pub(crate) struct Reader {
    begun: watch::Receiver<Vec<StreamResponse>>,
    reading: JoinSet<Option<A2AError>>,
}

impl Reader {
    pub(crate) fn new(mut events: Events) -> Self {
        let (tell, begun) = watch::channel(Vec::new());
        let mut reading = JoinSet::new();
        reading.spawn(async move {
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => tell.send_modify(|seen| seen.push(event)),
                    Err(error) => return Some(error),
                }
            }
            None
        });
        Self { begun, reading }
    }

    /// The first event, once it came.
    pub(crate) async fn first(&mut self) -> StreamResponse {
        let seen = self.begun.wait_for(|seen| !seen.is_empty()).await.unwrap();
        seen[0].clone()
    }

    /// All events, and what broke the stream if something did.
    pub(crate) async fn ended(mut self) -> (Vec<StreamResponse>, Option<A2AError>) {
        let error = self.reading.join_next().await.unwrap().unwrap();
        let events = self.begun.borrow().clone();
        (events, error)
    }

    /// All events of a stream that has to end well.
    pub(crate) async fn all(self) -> Vec<StreamResponse> {
        let (events, error) = self.ended().await;
        assert!(error.is_none(), "the stream broke: {error:?}");
        events
    }
}
