//! Who of other nodes may call: `peers allow|deny|forget` edit `acl.toml`, `identity show` prints what a
//! node asks its friends to allow, `identity rotate` makes another. `forget` and `rotate` need an engine;
//! one that runs reads the list within a second.

mod offered;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_mesh::NodeKey;
use mesh_agents_mesh::acl::edit::{self, EditError, Edited};
use mesh_agents_mesh::acl::{Acl, Pattern, Rules};
use mesh_agents_plugin::mesh_node::ForgetRequest;
use serde::Serialize;

use crate::client::Client;
use crate::context::Context;
use crate::engine::node::identity;
use crate::exclusive;
use crate::output::{Exit, Output};
use crate::system;

/// What is to be said of a key besides what it may.
#[derive(Debug, Default)]
pub(crate) struct Also {
    /// A name for it.
    pub(crate) label: Option<String>,
    /// Whether it answers for permissions.
    pub(crate) approve: Option<bool>,
}

#[derive(Serialize)]
struct Changed<'a> {
    peer_id: NodeKey,
    file: &'a Path,
    changed: bool,
    /// Your name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// What it may call now by what is written of it, and what not.
    allow: Vec<String>,
    deny: Vec<String>,
    /// What every node may call, and what none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    everyone_allow: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    everyone_deny: Vec<String>,
    /// Why some of what it may call cannot be called all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Identity {
    peer_id: NodeKey,
}

/// `agents identity show`.
pub(crate) fn identity(context: &Context, output: &mut Output) -> Result<Exit> {
    // A key is for a node.
    system::can_run_engine()?;
    let layout = &context.settings.layout;
    if let Some(dir) = layout.identity().parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    let shown = Identity {
        peer_id: identity::of(layout)?.key(),
    };
    output.answer("identity.show", &shown, |out| {
        writeln!(out, "{}", shown.peer_id)
    })?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Rotated {
    peer_id: NodeKey,
    old_peer_id: NodeKey,
    old_key_file: PathBuf,
    /// Tasks that run when the engine was asked to leave; it waits for them.
    running: u32,
    /// Tasks that wait; the next engine starts them.
    queued: u32,
}

/// `agents identity rotate`. The engine that runs ends its work under the old key and leaves; the next one
/// reads the new key.
pub(crate) async fn rotate(
    context: &Context,
    client: &Client,
    output: &mut Output,
    force: bool,
) -> Result<Exit> {
    let status = client.status().await;
    let (running, queued) = status.map_or((0, 0), |engine| (engine.running, engine.queued));
    if running + queued > 0 && !force {
        return Err(Refusal::new(
            Code::TaskBusy,
            format!(
                "{running} tasks run and {queued} wait. With a new key this node is another one to the rest of \
                 the mesh: tasks that still wait would be refused by other nodes until their owners let the \
                 new key in, and nodes that sent a task here that waits would not hear of it again"
            ),
        )
        .hint(
            "Rotate when they have ended (`agents tasks` shows them), or pass --force: what runs is waited for.",
        )
        .into());
    }
    let done = identity::rotate(&context.settings.layout)?;
    let shown = Rotated {
        peer_id: done.new,
        old_peer_id: done.old,
        old_key_file: done.kept,
        running,
        queued,
    };
    client.drain().await?;
    output.answer("identity.rotate", &shown, |out| {
        writeln!(out, "{}", shown.peer_id)
    })?;
    if !output.is_json() {
        let kept = shown.old_key_file.display();
        output.say(&format!(
            "the old key {} is kept in {kept}",
            shown.old_peer_id
        ));
        output.hint(&format!(
            "other nodes see a new node that nobody has let in: ask each owner to run\n  \
             agents peers allow {} <agent>\n  agents peers forget {}",
            shown.peer_id, shown.old_peer_id
        ));
        if running > 0 {
            output.say(&format!(
                "the engine takes no new work until its {running} running tasks have ended under the old key"
            ));
        }
        if queued > 0 {
            output.say(&format!(
                "{queued} tasks wait and start under the new key; those for other nodes are refused there until it is let in"
            ));
        }
    }
    Ok(Exit::Done)
}

/// `agents peers allow`.
pub(crate) fn allow(
    context: &Context,
    output: &mut Output,
    key: &str,
    agents: &[String],
    also: &Also,
) -> Result<Exit> {
    let patterns = patterns(agents)?;
    let also = edit::Also {
        label: also.label.as_deref(),
        approve: also.approve,
    };
    let file = context.settings.layout.acl();
    let mut done = edited(&file, key, |text, file, key| {
        edit::allow(text, file, key, &patterns, also)
    })?;
    done.notes = offered::notes(context, &patterns);
    output.answer("peers.allow", &done, |out| done.say(out))?;
    if !output.is_json() {
        for note in &done.notes {
            output.hint(note);
        }
    }
    Ok(Exit::Done)
}

/// `agents peers deny`.
pub(crate) fn deny(
    context: &Context,
    output: &mut Output,
    key: &str,
    agents: &[String],
) -> Result<Exit> {
    let patterns = patterns(agents)?;
    let file = context.settings.layout.acl();
    let done = edited(&file, key, |text, file, key| {
        edit::deny(text, file, key, &patterns, edit::Also::default())
    })?;
    output.answer("peers.deny", &done, |out| done.say(out))?;
    Ok(Exit::Done)
}

/// `agents peers forget`. What is known of the node is with the engine, which is started when none runs.
pub(crate) async fn forget(context: &Context, output: &mut Output, key: &str) -> Result<Exit> {
    #[derive(Serialize)]
    struct Document<'a> {
        #[serde(flatten)]
        list: Changed<'a>,
        /// Whether the node had been heard of.
        known: bool,
    }
    let file = context.settings.layout.acl();
    let list = edited(&file, key, edit::forget)?;
    let request = ForgetRequest {
        peer_id: list.peer_id,
    };
    let known = Client::connect(context)
        .await?
        .forget(&request)
        .await?
        .known;
    let done = Document { list, known };
    output.answer("peers.forget", &done, |out| {
        let did = match (done.list.changed, known) {
            (_, true) => "is forgotten",
            (true, false) => "may call nothing any more; it was never heard of",
            (false, false) => "was not known",
        };
        writeln!(out, "{}: {did}", done.list.peer_id)
    })?;
    Ok(Exit::Done)
}

fn patterns(agents: &[String]) -> Result<Vec<Pattern>> {
    let parsed = agents.iter().map(|text| text.parse());
    let parsed: Result<Vec<Pattern>, _> = parsed.collect();
    parsed.map_err(|error: mesh_agents_mesh::acl::PatternError| {
        Refusal::new(Code::InvalidArgument, error.to_string()).into()
    })
}

/// Changes the list. Each change is made to what the one before it left, also when many are made at once.
fn edited<'a>(
    file: &'a Path,
    key: &str,
    edit: impl FnOnce(&str, &Path, &NodeKey) -> Result<Edited, EditError>,
) -> Result<Changed<'a>> {
    let dir = file.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let _alone = exclusive::hold(file)?;
    let text = match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read.with_context(|| format!("cannot read {}", file.display()))?,
    };
    let key = meant(&text, file, key)?;
    let edited = edit(&text, file, &key)
        .map_err(|error| Refusal::new(Code::InvalidArgument, error.to_string()))?;
    let now = match &edited {
        Edited::Changed(new) => {
            replace(dir, file, new).with_context(|| format!("cannot write {}", file.display()))?;
            new
        }
        Edited::Unchanged => &text,
    };
    let now = Acl::parse(now, file).ok();
    let peer = now.as_ref().and_then(|acl| acl.peer(&key));
    let shown = |rules: Option<&Rules>, patterns: fn(&Rules) -> &Vec<Pattern>| {
        let patterns = rules.map(patterns).into_iter().flatten();
        patterns.map(ToString::to_string).collect()
    };
    let own = peer.map(|peer| &peer.rules);
    let everyone = now.as_ref().map(Acl::everyone);
    Ok(Changed {
        peer_id: key,
        file,
        changed: edited != Edited::Unchanged,
        label: peer.and_then(|peer| peer.label.clone()),
        allow: shown(own, |rules| &rules.allow),
        deny: shown(own, |rules| &rules.deny),
        everyone_allow: shown(everyone, |rules| &rules.allow),
        everyone_deny: shown(everyone, |rules| &rules.deny),
        notes: Vec::new(),
    })
}

impl Changed<'_> {
    /// What is the case now, by what is written of this node.
    fn say(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let label = self.label.as_ref().map(|label| format!(" ({label})"));
        let who = format!("{}{}", self.peer_id, label.unwrap_or_default());
        let allow = match self.allow.as_slice() {
            [] => "nothing".to_owned(),
            some => some.join(", "),
        };
        let besides = |what: &str, patterns: &[String]| match patterns {
            [] => String::new(),
            some => format!("; {what}: {}", some.join(", ")),
        };
        let deny = [
            besides("not", &self.deny),
            besides("as every node", &self.everyone_allow),
            besides("as every node not", &self.everyone_deny),
        ]
        .concat();
        let already = if self.changed { "" } else { " (as before)" };
        writeln!(out, "{who} may call: {allow}{deny}{already}")
    }
}

/// A key as it is, or the one with that label in the list.
fn meant(text: &str, file: &Path, key: &str) -> Result<NodeKey> {
    let unknown = match key.parse() {
        Ok(key) => return Ok(key),
        Err(error) => error,
    };
    let labelled = Acl::parse(text, file).ok();
    let labelled = labelled.and_then(|acl| acl.labelled(key).copied());
    labelled.ok_or_else(|| {
        let hint = format!(
            "Nor has a node in {} that label; `agents peers list` shows keys and labels.",
            file.display()
        );
        Refusal::new(Code::InvalidArgument, unknown.to_string())
            .hint(hint)
            .into()
    })
}

/// Whole or not at all; its owner's alone, since it says who his friends are.
fn replace(dir: &Path, file: &Path, text: &str) -> io::Result<()> {
    let mut new = tempfile::Builder::new()
        .prefix(".acl.toml-")
        .tempfile_in(dir)?;
    new.write_all(text.as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    Ok(())
}
