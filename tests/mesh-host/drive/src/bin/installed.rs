//! What a user types, from the release archive to the first finished task: README.md's own commands (its blocks
//! whose fence says `sh host`), line by line, in a fresh home, with the real host as `mesh-llm`.
//! `scripts/test-package.sh` builds what it needs and starts it.
//!
//! The host is started with no configuration at all, so that it finds the plugin by itself. An MCP client then sees
//! the agents at its `/mcp`, and the skills must lie where OpenCode, Claude, goose, Codex and Pi look for them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use mesh_host_drive::{Home, Host, HostSpec, PLUGIN, host_bin, run};
use serde_json::json;

/// Names the environment variable with the path of the archive to install.
const ARCHIVE_ENV: &str = "ARCHIVE";

/// The fence of a block that this program runs.
const FENCE: &str = "```sh host";

/// The fence of the stanza for a program that is not installed, and the path that stands for the program.
const STANZA: (&str, &str) = ("```toml host\n", "/path/to/agents");

/// The skills of the archive.
const SKILLS: [&str; 2] = ["mesh-agents", "mesh-agent-authoring"];

/// What somebody who follows the skill for making agents puts in the place of its words.
const SKILL_WORDS: [(&str, &str); 4] = [
    ("<id>", "mine"),
    ("<template>", "test-runner"),
    ("<a real message>", "$PWD/crates/mesh-agents-cli/demo/shop"),
    (
        "<key>",
        "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
    ),
];

/// What a coding client leaves in a home, by which the installer tells that it is used there, and where it reads skills.
const CLIENTS: [(&str, &str, &str); 5] = [
    ("opencode", ".config/opencode", ".config/opencode/skills"),
    ("claude", ".claude", ".claude/skills"),
    ("goose", ".config/goose", ".agents/skills"),
    ("codex", ".codex", ".agents/skills"),
    ("pi", ".pi/agent", ".pi/agent/skills"),
];

#[tokio::main]
async fn main() {
    run(async |home| {
        let person = Person::sits_down(home)?;
        let readme = fs::read_to_string(repository().join("README.md"))?;
        let commands = commands(&readme);
        ensure!(
            commands.iter().any(|line| line.contains("plugins install")),
            "README.md has no {FENCE:?} block that installs"
        );
        let started = Instant::now();
        let mut host = None;
        let mut finished = None;
        for command in &commands {
            person.types(command)?;
            if host.is_none() && command.contains("plugins install") {
                // Leaves the terminal to whoever types: started as a user's `mesh-llm serve` or service would be.
                let plugin = home.use_installed()?;
                host = Some(Host::start(home, HostSpec::installed("installed", plugin)).await?);
                say("$ mesh-llm serve   # in another terminal, or as a service");
            }
            if command.contains(" send ") {
                finished.get_or_insert(started.elapsed());
            }
        }
        let host = host.context("no command installed the plugin")?;
        say("The commands of the skill mesh-agent-authoring:");
        for command in skill_commands()? {
            person.types(&command)?;
        }
        the_client_sees_the_agents(&host).await?;
        the_skills_are_there(home)?;
        ensure!(host.lost_plugins()? == 0, "the host lost its plugin");
        host.stop().await?;
        the_stanza_works_too(home, &readme).await?;
        let finished = finished.context("README.md sends no message")?;
        say(&format!(
            "installed: {} commands; archive to first finished task: {:.1} s",
            commands.len(),
            finished.as_secs_f64()
        ));
        Ok(())
    })
    .await;
}

/// Somebody at a terminal, in a directory with the archive and the checkout's examples.
struct Person<'home> {
    home: &'home Home,
    desk: PathBuf,
}

impl<'home> Person<'home> {
    fn sits_down(home: &'home Home) -> Result<Self> {
        let archive = std::env::var_os(ARCHIVE_ENV)
            .context("ARCHIVE is not set; scripts/test-package.sh sets it")?;
        let archive = fs::canonicalize(&archive)
            .with_context(|| format!("{ARCHIVE_ENV}={}", archive.display()))?;
        let desk = home.shared("desk")?;
        let link = |from: &Path, to: &Path| {
            std::os::unix::fs::symlink(from, to).with_context(|| format!("link {}", to.display()))
        };
        // README names the archive of one machine; this one's stands in for it.
        for name in archive_names(&archive)? {
            link(&archive, &desk.join(name))?;
        }
        for entry in ["examples", "crates"] {
            link(&repository().join(entry), &desk.join(entry))?;
        }
        link(&host_bin(), &home.shared("bin")?.join("mesh-llm"))?;
        for (_, config, _) in CLIENTS {
            home.shared(config)?;
        }
        Ok(Self { home, desk })
    }

    fn types(&self, command: &str) -> Result<()> {
        let at = Instant::now();
        let mut path = self.home.path().join("bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", command])
            .env_clear()
            .envs(self.home.environment())
            .env("PATH", path)
            .current_dir(&self.desk)
            .output()
            .context("start bash")?;
        say(&format!(
            "$ {command}   # {:.1} s",
            at.elapsed().as_secs_f64()
        ));
        if !output.status.success() {
            bail!(
                "{command}: {}\n{}{}",
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }
}

/// The lines of the blocks whose fence says that a host runs them; one that ends in `\` goes on.
fn commands(readme: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut lines = readme.lines();
    while lines.by_ref().any(|line| line == FENCE) {
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        let block = block.join("\n").replace("\\\n", "");
        commands.extend(
            block
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(str::to_owned),
        );
    }
    commands
}

/// The commands that the skill for making agents tells a client to type, with words in their places.
fn skill_commands() -> Result<Vec<String>> {
    let text = fs::read_to_string(repository().join("skills").join(SKILLS[1]).join("SKILL.md"))?;
    // What stands between the first two rules is for the client's list of skills.
    let (_, steps) = text.split_once("\n---\n").context("front matter")?;
    let commands: Vec<_> = steps
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|span| span.starts_with("mesh-llm "))
        .map(|span| {
            SKILL_WORDS
                .iter()
                .fold(span.to_owned(), |span, (word, value)| {
                    span.replace(word, value)
                })
        })
        .collect();
    for verb in ["init", "validate", "send", "disable"] {
        let typed = format!("mesh-llm agents {verb} ");
        ensure!(
            commands.iter().any(|command| command.starts_with(&typed)),
            "the skill does not tell of {verb}: {commands:?}"
        );
    }
    Ok(commands)
}

/// The archive's own name and that of the machine README shows.
fn archive_names(archive: &Path) -> Result<Vec<String>> {
    let name = archive
        .file_name()
        .and_then(|name| name.to_str())
        .context("the archive's name")?;
    let mut names = vec![
        name.to_owned(),
        "agents-x86_64-unknown-linux-gnu.tar.gz".to_owned(),
    ];
    names.dedup();
    Ok(names)
}

async fn the_client_sees_the_agents(host: &Host<'_>) -> Result<()> {
    let mcp = host.mcp().await?;
    let listed = mcp.call("get_agents", json!({})).await?;
    let agents = listed["agents"].as_array().context("agents")?;
    let ids: Vec<_> = agents
        .iter()
        .filter_map(|agent| agent["agent_id"].as_str())
        .collect();
    ensure!(
        ids.contains(&"pr-review") && ids.contains(&"test-runner"),
        "{PLUGIN}.get_agents at the host's /mcp: {listed}"
    );
    let tasks = mcp
        .call("list_tasks", json!({ "state": "completed" }))
        .await?;
    ensure!(
        tasks["tasks"]
            .as_array()
            .is_some_and(|tasks| !tasks.is_empty()),
        "the task sent by the command line is completed at /mcp: {tasks}"
    );
    say(&format!("{PLUGIN}.get_agents at /mcp: {}", ids.join(", ")));
    mcp.close().await
}

/// The same host with README's stanza, which names a program instead of what is installed.
async fn the_stanza_works_too(home: &Home, readme: &str) -> Result<()> {
    let (fence, path) = STANZA;
    let (_, rest) = readme
        .split_once(fence)
        .with_context(|| format!("README.md has no {fence:?} block"))?;
    let stanza = rest.split("```").next().unwrap_or_default();
    ensure!(stanza.contains(path), "{stanza}");
    let elsewhere = home.shared("built")?.join(PLUGIN);
    let installed = home.use_installed()?;
    fs::copy(&installed, &elsewhere).context("copy the program")?;
    let stanza = stanza.replace(path, &elsewhere.display().to_string());
    fs::write(home.data_dir().join("config.toml"), stanza)?;
    let host = Host::start(home, HostSpec::installed("stanza", elsewhere)).await?;
    the_client_sees_the_agents(&host).await?;
    host.stop().await
}

fn the_skills_are_there(home: &Home) -> Result<()> {
    for (client, _, skills) in CLIENTS {
        for skill in SKILLS {
            let installed = home.path().join(skills).join(skill).join("SKILL.md");
            let text = fs::read(&installed)
                .with_context(|| format!("{client} has no skill at {}", installed.display()))?;
            let ours = repository().join("skills").join(skill).join("SKILL.md");
            ensure!(text == fs::read(ours)?, "{client} has another {skill}");
        }
        say(&format!(
            "skills for {client}: ~/{skills}/{{{}}}",
            SKILLS.join(",")
        ));
    }
    Ok(())
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

#[expect(clippy::print_stdout, reason = "the figures are the program's answer")]
fn say(line: &str) {
    println!("{line}");
}
