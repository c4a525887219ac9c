//! A fake host speaks the real protocol over a real socket (host-contract §10, "lighter option").

use std::collections::VecDeque;

use mesh_agents_core::limits::WAIT_SECONDS_HOST;
use mesh_llm_plugin::proto::{
    Envelope, HealthRequest, InitializeRequest, ShutdownRequest, envelope::Payload,
};
use mesh_llm_plugin::{PROTOCOL_VERSION, read_envelope, write_envelope};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use super::*;
use crate::fake::FakeBackend;

mod mesh;

struct FakeHost {
    stream: LocalStream,
    next_id: u64,
    /// What the plugin said meanwhile: requests of its own, answers to other questions.
    said: VecDeque<Envelope>,
    plugin: JoinSet<Result<(), HostError>>,
    _dir: tempfile::TempDir,
}

impl FakeHost {
    async fn start(backend: Arc<FakeBackend>) -> Self {
        Self::start_with(backend, HostMesh::default()).await
    }

    async fn start_with(backend: Arc<FakeBackend>, mesh: HostMesh) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let endpoint = dir.path().join("p.sock");
        let listener = UnixListener::bind(&endpoint).unwrap();
        let cli: CliRunner = Arc::new(|request| {
            Box::pin(async move {
                CliAnswer {
                    exit_code: 2,
                    stdout: request.args.join("|"),
                    stderr: request.cwd.unwrap().display().to_string(),
                }
            })
        });
        let config = HostConfig {
            endpoint,
            transport: Some("unix".into()),
            instance: "01ARZ3NDEKTSV4RRFFQ69G5FAV".into(),
            version: "0.0.0".into(),
        };
        let mut plugin = JoinSet::new();
        plugin.spawn(run_plugin(config, backend, cli, mesh));
        let (stream, _) = listener.accept().await.unwrap();
        Self {
            stream: LocalStream::Unix(stream),
            next_id: 1,
            said: VecDeque::new(),
            plugin,
            _dir: dir,
        }
    }

    async fn ask(&mut self, payload: Payload) -> Payload {
        let id = self.say(payload).await;
        self.said_that(|envelope| envelope.request_id == id).await.1
    }

    /// Sends without waiting for an answer; says under which id.
    async fn say(&mut self, payload: Payload) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.send(id, payload).await;
        id
    }

    async fn send(&mut self, id: u64, payload: Payload) {
        let envelope = Envelope {
            protocol_version: PROTOCOL_VERSION,
            plugin_id: PLUGIN_ID.into(),
            request_id: id,
            payload: Some(payload),
        };
        write_envelope(&mut self.stream, &envelope).await.unwrap();
    }

    /// The first thing the plugin says, or has said, that is wanted.
    async fn said_that(&mut self, wanted: impl Fn(&Envelope) -> bool) -> (u64, Payload) {
        let known = self.said.iter().position(&wanted);
        if let Some(envelope) = known.and_then(|at| self.said.remove(at)) {
            return (envelope.request_id, envelope.payload.unwrap());
        }
        loop {
            let envelope = read_envelope(&mut self.stream).await.unwrap();
            if wanted(&envelope) {
                return (envelope.request_id, envelope.payload.unwrap());
            }
            self.said.push_back(envelope);
        }
    }

    async fn initialize(&mut self) -> PluginManifest {
        let hello = InitializeRequest {
            host_protocol_version: PROTOCOL_VERSION,
            host_version: "0.78.1".into(),
            ..InitializeRequest::default()
        };
        match self.ask(Payload::InitializeRequest(hello)).await {
            Payload::InitializeResponse(answer) => {
                assert_eq!(answer.plugin_id, "agents");
                answer.manifest.unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    async fn invoke(&mut self, name: &str, input: &str) -> InvokeServiceResponse {
        let request = InvokeServiceRequest {
            kind: ServiceKind::Operation.into(),
            service_name: name.into(),
            input_json: input.into(),
        };
        match self.ask(Payload::InvokeServiceRequest(request)).await {
            Payload::InvokeServiceResponse(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    async fn ended(mut self) -> Result<(), HostError> {
        drop(self.stream);
        self.plugin.join_next().await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn the_host_is_shown_the_tools_and_nothing_else() {
    let mut host = FakeHost::start(Arc::new(FakeBackend::echo())).await;
    let manifest = host.initialize().await;
    let names: Vec<_> = manifest
        .operations
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ToolName::ALL.map(ToolName::as_str));
    for operation in &manifest.operations {
        for schema in [
            &operation.input_schema_json,
            operation.output_schema_json.as_ref().unwrap(),
        ] {
            let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
            assert_eq!(schema["type"], "object");
        }
    }
    let send = &manifest.operations[2].description;
    assert!(
        send.contains(&format!("at most {WAIT_SECONDS_HOST})")),
        "{send}"
    );
    host.ended().await.unwrap();
}

#[tokio::test]
async fn a_call_reaches_the_backend_and_its_text_comes_back_untouched() {
    let backend = Arc::new(FakeBackend::echo());
    let mut host = FakeHost::start(Arc::clone(&backend)).await;
    host.initialize().await;
    let input = r#"{"n":9007199254740993.10}"#;
    let answer = host.invoke("get_agents", input).await;
    assert!(!answer.is_error);
    assert_eq!(
        answer.output_json,
        format!(r#"{{"tool":"get_agents","args":{input}}}"#)
    );
    let (meta, ..) = backend.asked().remove(0);
    assert_eq!(
        (meta.surface, meta.wait_cap.as_secs()),
        (Surface::Host, WAIT_SECONDS_HOST)
    );
    assert_eq!(meta.instance.as_deref(), Some("01ARZ3NDEKTSV4RRFFQ69G5FAV"));
    host.ended().await.unwrap();
}

#[tokio::test]
async fn a_refusal_is_a_tool_error_in_words_and_not_a_fault_of_the_protocol() {
    let refuse = |_: &str, _: &JsonText| Err(Refusal::new(Code::AgentFull, "the queue is full"));
    let mut host = FakeHost::start(Arc::new(FakeBackend::new(refuse))).await;
    host.initialize().await;
    for (name, input, said) in [
        ("send_message", "{}", "agent_full: the queue is full"),
        (
            "send_message",
            "{",
            "invalid_argument: the arguments of send_message are not JSON",
        ),
        (
            "get_agnts",
            "{}",
            "invalid_argument: there is no tool \"get_agnts\"",
        ),
    ] {
        let answer = host.invoke(name, input).await;
        assert!(answer.is_error);
        assert!(
            answer.output_json.starts_with(said),
            "{}",
            answer.output_json
        );
    }
    host.ended().await.unwrap();
}

#[tokio::test]
async fn a_command_is_run_though_it_is_no_tool() {
    let mut host = FakeHost::start(Arc::new(FakeBackend::echo())).await;
    host.initialize().await;
    let typed = r#"{"command":"agents","args":["list","--json"],"argv":["agents","list","--json"],"cwd":"/w"}"#;
    let answer = host.invoke("cli.run", typed).await;
    assert_eq!(
        answer.output_json,
        r#"{"exit_code":2,"stdout":"list|--json","stderr":"/w"}"#
    );
    assert!(!answer.is_error);
    host.ended().await.unwrap();
}

#[tokio::test]
async fn health_is_fine_and_a_shutdown_is_answered_before_the_end() {
    let mut host = FakeHost::start(Arc::new(FakeBackend::echo())).await;
    host.initialize().await;
    let health = host.ask(Payload::HealthRequest(HealthRequest {})).await;
    assert!(
        matches!(health, Payload::HealthResponse(answer) if answer.status == 1),
        "status OK"
    );
    let bye = host
        .ask(Payload::ShutdownRequest(ShutdownRequest::default()))
        .await;
    assert!(matches!(bye, Payload::ShutdownResponse(_)));
    let ended = host.plugin.join_next().await.unwrap().unwrap();
    ended.unwrap();
}

#[tokio::test]
async fn a_host_that_is_not_there_is_named() {
    let config = HostConfig {
        endpoint: "/nonexistent/p.sock".into(),
        transport: None,
        instance: String::new(),
        version: String::new(),
    };
    let cli: CliRunner = Arc::new(|_| unreachable!("no host, no command"));
    let backend = Arc::new(FakeBackend::echo());
    let error = run_plugin(config, backend, cli, HostMesh::default()).await;
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("/nonexistent/p.sock")
    );
}

#[test]
fn a_long_output_is_cut_at_a_character_and_says_so() {
    let mut long = "ä".repeat(OUTPUT_BYTES);
    cut(&mut long);
    assert!(long.len() < OUTPUT_BYTES + 100 && long.ends_with("see all of it]\n"));
}

/// An archive's manifest tells the host of settings or a web page. A page of settings that reach nobody (T17) would lie
/// to whoever fills it in, and makes the host refuse to start where the plugin is configured and not installed (T18).
#[test]
fn the_manifest_of_an_archive_promises_no_settings_and_no_page() {
    let text = package_manifest().unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(manifest, serde_json::json!({}), "{text}");
}
