//! The example `pr-review` on a real OpenCode, with a script in its model's place: what stands in the files of a
//! repository reaches `findings.json` by the harness's own tools, or not at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::scripts::Gate;
use crate::{Client, Home, opencode_bin};

/// In the message of the task that delivers all it must.
pub const WHOLE: &str = "Review the last commit.";

/// In the message of the task that forgets its findings.
pub const HALF: &str = "Summarise the last commit.";

/// What a review must leave.
pub const RESULTS: [&str; 2] = ["findings.json", "summary.md"];

/// In the prompt of a session that is taken up after its harness was killed.
const RESUMED: &str = "was cut off";

/// Where the prompt tells the harness to write, as the script of the model reads it.
const ARTIFACTS: &str = r"${prompt:written to the directory (\S+) \(also}";

/// A git repository with two commits and a change to the working copy, and in them words nobody can know who
/// has not looked.
#[derive(Debug)]
pub struct Repository {
    path: PathBuf,
    /// In the working copy of a file, and nowhere in its history.
    written: String,
    /// In the last commit.
    committed: String,
}

impl Repository {
    /// Makes one in a home.
    ///
    /// # Errors
    /// What git or the file system refuses.
    pub fn new(home: &Home) -> Result<Self> {
        let repository = Self {
            path: home.shared("shop")?,
            written: format!("w{:016x}", random()),
            committed: format!("c{:016x}", random()),
        };
        let price = repository.path.join("price.sh");
        let git = |args: &[&str]| git(home, &repository.path, args);
        git(&["init", "--quiet"])?;
        fs::write(&price, "price=1\n")?;
        git(&["add", "."])?;
        git(&["commit", "--quiet", "--message", "Add the price"])?;
        fs::write(
            &price,
            format!("price=2 # token={}\n", repository.committed),
        )?;
        git(&["commit", "--quiet", "--all", "--message", "Raise the price"])?;
        fs::write(&price, format!("price=3 # token={}\n", repository.written))?;
        Ok(repository)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The gate its reviews go through where their script has one; each notes its start there.
    #[must_use]
    pub fn gate(&self) -> Gate {
        Gate::new(&self.path)
    }

    /// The model's part in both reviews: look with the harness's tools, write what was seen. With a gate the
    /// first tool call waits in the middle of its work until the gate is open.
    #[must_use]
    pub fn script(&self, gated: bool) -> Value {
        let shell = |command: &str| json!({ "tools": [{ "names": ["bash"], "arguments": { "command": command, "description": "look" } }] });
        let write = |name: &str, content: &str| json!({ "tools": [{ "names": ["write"], "arguments": { "filePath": format!("{ARTIFACTS}/{name}"), "content": content } }] });
        let path = self.path.display();
        let show = format!("git -C {path} show HEAD");
        let wait =
            format!("echo start >> {path}/starts; while [ ! -e {path}/go ]; do sleep 0.1; done; ");
        let look = shell(&show);
        let first = if gated {
            shell(&format!("{wait}{show}"))
        } else {
            look.clone()
        };
        let read = json!({ "tools": [{ "names": ["read"], "arguments": { "filePath": format!("{path}/price.sh") } }] });
        let committed = r"${tool_result:\+price=2 # token=(\w+)}";
        let written = r"${tool_result:price=3 # token=(\w+)}";
        // Written as text: in a JSON string the placeholders' own backslashes would be doubled.
        let findings = format!(
            r#"{{"findings":[{{"severity":"high","file":"price.sh","line":1,"issue":"committed {committed}"}},{{"severity":"low","file":"price.sh","line":1,"issue":"written {written}"}}]}}"#
        );
        let summary = write(
            "summary.md",
            &format!("# Review\n\nThe commit has {committed}.\n"),
        );
        let done = json!({ "text": "The review is written." });
        let rest = [
            read,
            write("findings.json", &findings),
            summary.clone(),
            done.clone(),
        ];
        let whole = |first: &Value| [std::slice::from_ref(first), &rest].concat();
        json!({
            "rules": [
                { "when": RESUMED, "steps": whole(&look) },
                { "when": WHOLE, "steps": whole(&first) },
                { "when": HALF, "steps": [look, summary, done] },
            ],
            "aux": { "text": "A title" },
        })
    }

    /// Reads the results of a review through an MCP client and checks that they hold what only the repository
    /// tells. Returns their digests, in the order of [`RESULTS`].
    ///
    /// # Errors
    /// When they cannot be read, or say something else.
    pub async fn check(&self, mcp: &Client, task: &Value) -> Result<[String; 2]> {
        let data = view(mcp, "view_data_artifact", task, "findings.json").await?;
        let issues = data["data"]["findings"].as_array().context("findings")?;
        let issues: Vec<_> = issues.iter().map(|finding| &finding["issue"]).collect();
        let expected = [
            format!("committed {}", self.committed),
            format!("written {}", self.written),
        ];
        ensure!(issues == expected.each_ref(), "{data}");
        let summary = view(mcp, "view_text_artifact", task, "summary.md").await?;
        let expected = format!("# Review\n\nThe commit has {}.\n", self.committed);
        ensure!(summary["text"] == *expected, "{summary}");
        let findings = view(mcp, "view_text_artifact", task, "findings.json").await?;
        Ok([digest(&findings)?, digest(&summary)?])
    }

    /// Whether a text holds what stands in the last commit.
    #[must_use]
    pub fn is_told_by(&self, text: &str) -> bool {
        text.contains(&self.committed)
    }
}

/// Writes the example agent with the OpenCode of the environment, and with these lines for
/// `runtime.workspace.mode` and at the beginning of `[policy]`.
///
/// # Errors
/// When the example is not what it was.
///
/// # Panics
/// As [`opencode_bin`].
pub fn agent(home: &Home, id: &str, workspace: &str, policy: &str) -> Result<()> {
    let path = home.example("pr-review", id)?.join("runtime.toml");
    let runtime = fs::read_to_string(&path)?;
    let command = format!("type = \"opencode\"\ncommand = {}\n", json!(opencode_bin()));
    let runtime = replaced(&runtime, "type = \"opencode\"\n", &command)?;
    let runtime = replaced(&runtime, "mode = \"temp_per_task\"", workspace)?;
    let runtime = replaced(&runtime, "[policy]\n", &format!("[policy]\n{policy}\n"))?;
    fs::write(&path, runtime).context("write runtime.toml")
}

/// What a tool shows of a task's artifact.
///
/// # Errors
/// As the tool says.
pub async fn view(mcp: &Client, tool: &str, task: &Value, artifact_id: &str) -> Result<Value> {
    let request = json!({ "task_id": task["task_id"], "artifact_id": artifact_id });
    Ok(mcp.call(tool, request).await?)
}

fn digest(shown: &Value) -> Result<String> {
    ensure!(shown["next_offset"].is_null(), "more than a page: {shown}");
    let text = shown["text"].as_str().context("a text")?;
    let digest = Sha256::digest(text.as_bytes());
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The keys of a map are random: the standard library's own source of random numbers.
fn random() -> u64 {
    use std::hash::BuildHasher as _;
    std::hash::RandomState::new().hash_one(std::process::id())
}

fn git(home: &Home, repository: &Path, args: &[&str]) -> Result<()> {
    let person = [
        "-c",
        "user.name=Tester",
        "-c",
        "user.email=tester@localhost",
    ];
    let output = Command::new("git")
        .args(person)
        .args(args)
        .env_clear()
        .envs(home.environment())
        .current_dir(repository)
        .output()
        .context("run git")?;
    ensure!(output.status.success(), "git {args:?}: {output:?}");
    Ok(())
}

fn replaced(text: &str, from: &str, to: &str) -> Result<String> {
    ensure!(text.contains(from), "the example has no {from:?} any more");
    Ok(text.replacen(from, to, 1))
}
