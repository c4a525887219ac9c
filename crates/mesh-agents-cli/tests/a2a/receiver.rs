//! A webhook of our own: what it was told, by path.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use ulid::Ulid;

use crate::world::until;

/// What webhooks were sent, by path.
#[derive(Clone)]
pub(crate) struct Receiver {
    base: String,
    seen: Told,
    /// Ends with the last receiver.
    _server: Arc<JoinSet<()>>,
}

type Told = Arc<Mutex<HashMap<String, Vec<(HeaderMap, Value)>>>>;

impl Receiver {
    pub(crate) async fn start() -> Self {
        let seen = Told::default();
        let app = Router::new().fallback(took).with_state(Arc::clone(&seen));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            base,
            seen,
            _server: Arc::new(server),
        }
    }

    /// A fresh path and the URL that leads to it.
    pub(crate) fn hook(&self) -> (String, String) {
        let path = format!("/{}", Ulid::new());
        let url = format!("{}{path}", self.base);
        (path, url)
    }

    /// What a path was told, in order.
    pub(crate) fn told(&self, path: &str) -> Vec<(HeaderMap, Value)> {
        self.seen
            .lock()
            .unwrap()
            .get(path)
            .cloned()
            .unwrap_or_default()
    }

    /// The states told to a path, in order; a whole task's counts too.
    pub(crate) fn states(&self, path: &str) -> Vec<String> {
        let told = self.told(path).into_iter();
        let state = |(_, body): (HeaderMap, Value)| {
            let state = body["statusUpdate"]["status"]["state"].as_str();
            let state = state.or_else(|| body["task"]["status"]["state"].as_str());
            state.map(|state| state.trim_start_matches("TASK_STATE_").to_owned())
        };
        told.filter_map(state).collect()
    }

    /// Waits until a path is told this state.
    pub(crate) async fn until(&self, path: &str, state: &str) {
        until(&format!("the webhook is told {state}"), || async {
            self.states(path)
                .iter()
                .any(|one| one == state)
                .then_some(())
        })
        .await;
    }
}

async fn took(State(seen): State<Told>, uri: Uri, headers: HeaderMap, body: Bytes) {
    let body = serde_json::from_slice(&body).unwrap();
    let mut seen = seen.lock().unwrap();
    seen.entry(uri.path().to_owned())
        .or_default()
        .push((headers, body));
}
