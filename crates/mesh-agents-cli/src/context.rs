//! What every verb works with: the environment read once, the settings, the places.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use crate::args::Common;
use crate::settings::{Environment, Settings};
use crate::system;

/// What a verb may know of the world.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The environment.
    pub(crate) environment: Arc<Environment>,
    /// The settings in force.
    pub(crate) settings: Settings,
    /// This program, to start the engine and guards with.
    pub(crate) program: PathBuf,
    /// The system's temporary directory.
    pub(crate) temp: PathBuf,
}

impl Context {
    /// Gathers it.
    pub(crate) fn load(common: &Common, environment: Environment) -> Result<Self> {
        let settings = Settings::load(common, &environment)?;
        let program = std::env::current_exe().context("cannot tell where this program lies")?;
        Ok(Self {
            settings,
            program,
            temp: std::env::temp_dir(),
            environment: Arc::new(environment),
        })
    }

    /// A label for this machine, for the people of other nodes.
    pub(crate) fn host_name(&self) -> String {
        system::host_name(&self.environment)
    }

    /// What agent definitions are checked against.
    pub(crate) fn registry_environment(&self) -> mesh_agents_registry::Environment {
        mesh_agents_registry::Environment {
            variables: self.environment.0.clone(),
        }
    }
}
