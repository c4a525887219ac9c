//! A scripted model server beside a home: what a harness talks to instead of a language model.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{Home, Process, eventually, model_bin};

/// Limit for it to leave after SIGTERM, with nothing left to answer.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// A running `scripted-model`. Dropping it kills it.
#[derive(Debug)]
pub struct Model {
    child: Child,
    url: String,
    /// Kept open: what it still has to say must find somebody.
    out: BufReader<ChildStdout>,
}

impl Model {
    /// Starts one with this script (see the testkit's `model`) and returns once it listens.
    ///
    /// # Errors
    /// When it does not start, as with a script that is none.
    ///
    /// # Panics
    /// As [`model_bin`].
    pub fn start(home: &Home, script: &Value) -> Result<Self> {
        let path = home.path().join("model.json");
        fs::write(&path, script.to_string()).context("write the model's script")?;
        let mut child = Command::new(model_bin())
            .arg("--script")
            .arg(&path)
            .env_clear()
            .envs(home.environment())
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("start scripted-model")?;
        let out = child.stdout.take().context("piped")?;
        let mut model = Self {
            child,
            url: String::new(),
            out: BufReader::new(out),
        };
        let mut line = String::new();
        model.out.read_line(&mut line)?;
        match line.trim().strip_prefix("ready ") {
            Some(url) => model.url = format!("{url}/v1"),
            None => bail!("scripted-model said {line:?}"),
        }
        Ok(model)
    }

    /// What a harness wants as the base of its API.
    #[must_use]
    pub fn openai_url(&self) -> &str {
        &self.url
    }

    /// The requests so far, as the server's own log has them.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn log(&self) -> Result<Vec<Value>> {
        let url = self.url.trim_end_matches("/v1");
        let http = reqwest::Client::builder().no_proxy().build()?;
        let answer = http.get(format!("{url}/__log")).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it does not leave.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(process) = i32::try_from(self.child.id()).ok().and_then(Process::of) {
            process.terminate();
        }
        let left = eventually("the model to leave", STOP_LIMIT, async || {
            Ok(self.child.try_wait()?)
        });
        left.await.map(drop)
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
