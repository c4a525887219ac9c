//! Where the mesh is: what was set, else what a front-end in the host reports, else the usual places.

use mesh_agents_core::run::MeshEndpoints;
use mesh_agents_plugin::socket::MeshReport;

use crate::settings::Settings;

/// Where a mesh-llm host serves its management API unless told otherwise.
const API_URL: &str = "http://127.0.0.1:3131";
/// Where it serves its models unless told otherwise.
const OPENAI_URL: &str = "http://127.0.0.1:9337/v1";

/// What is set, and so not changed by a report.
#[derive(Debug, Clone)]
pub(crate) struct Mesh {
    set: MeshEndpoints,
    own_mcp: Option<String>,
}

impl Mesh {
    /// From settings. `own_mcp` stands for `{{ mesh.mcp_url }}` where no host is.
    pub(crate) fn new(settings: &Settings, own_mcp: Option<String>) -> Self {
        let set = MeshEndpoints {
            mcp_url: None,
            api_url: settings.api_url.clone(),
            openai_url: settings.openai_url.clone(),
            data_dir: settings.data_dir.clone(),
        };
        Self { set, own_mcp }
    }

    /// What is known before anybody reported.
    pub(crate) fn as_set(&self) -> MeshEndpoints {
        self.with(API_URL.to_owned(), Some(OPENAI_URL.to_owned()))
    }

    /// What is known after a front-end reported its host.
    pub(crate) fn reported(&self, report: &MeshReport) -> MeshEndpoints {
        self.with(
            report.api_url.clone(),
            report.openai_url.clone().or(Some(OPENAI_URL.to_owned())),
        )
    }

    fn with(&self, api_url: String, openai_url: Option<String>) -> MeshEndpoints {
        let api_url = self.set.api_url.clone().unwrap_or(api_url);
        let api_url = api_url.trim_end_matches('/').to_owned();
        MeshEndpoints {
            mcp_url: self
                .own_mcp
                .clone()
                .or_else(|| Some(format!("{api_url}/mcp"))),
            api_url: Some(api_url),
            openai_url: self.set.openai_url.clone().or(openai_url),
            data_dir: self.set.data_dir.clone(),
        }
    }
}
