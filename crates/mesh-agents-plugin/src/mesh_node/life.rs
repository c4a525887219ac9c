//! What goes on by itself: the host's news go into the directory, others are asked when it is time,
//! agents of here and there reach the engine, the owner's list is read again when it changes.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::ids::AgentId;
use mesh_agents_core::policy::Standing as Access;
use mesh_agents_mesh::acl::{Read, Reading};
use mesh_agents_mesh::{
    Change, Happening, MeshVisibility, NodeKey, Pulled, Standing, Withheld, read_hint, write_hint,
};
use mesh_agents_tasks::Agents;
use tokio::sync::watch;
use tokio::time::sleep;

use super::cards::Fetched;
use super::{MeshNode, State, memory, pull, serve};
use crate::mesh_link::Peers;

/// Pulls at once.
const PULLS: usize = 16;
/// How often the owner's list is looked at; it is to count within a second.
const LIST_EVERY: Duration = Duration::from_millis(400);

/// What the disk did not take is tried again after this long: somebody has to make room first.
const SAVE_AGAIN: Duration = Duration::from_secs(10);

/// Starts all of it.
pub(super) async fn begin(node: &MeshNode, app: Router) {
    let tasks = &node.0.config.tasks;
    // Before the first caller. Looked at before it is read, so that no edit falls in between.
    let seen = stamp(node);
    node.read_list();
    // What was known before is known before anything is heard, and before anybody asks for it.
    node.restore().await;
    if let Some(engine) = node.0.engine.get() {
        engine.set_agents(node.all_agents()).await;
    }
    let node = node.clone();
    tasks.spawn(async move {
        tokio::join!(
            serve::accept(node.clone(), app),
            listen(node.clone()),
            pulls(node.clone()),
            agents(node.clone()),
            lists(node.clone(), seen),
        );
    });
}

impl MeshNode {
    /// Something happened to the directory.
    pub(super) fn happen(&self, happening: Happening) {
        self.learn(happening, Vec::new());
    }

    /// The same, with the cards that were fetched for an answer.
    pub(super) fn learn(&self, happening: Happening, fetched: Vec<Fetched>) {
        let now = self.now();
        let answered = matches!(happening, Happening::Answered { .. });
        let teller = match &happening {
            Happening::Answered {
                key,
                answer: Pulled::Advert(_),
                ..
            } => Some(*key),
            _ => None,
        };
        let changes = {
            let mut state = self.state();
            if let Some(key) = teller {
                let is_favoured = state.has_to_do_with(&key);
                state.directory.favour(key, is_favoured);
            }
            let before = teller.map(|key| (key, state.told(&key)));
            let changes = state.directory.apply(happening, now);
            if let Some((key, before)) = before {
                state.settle(&key, &before, fetched);
            }
            for change in &changes {
                state.remember(change);
            }
            changes
        };
        if answered || !changes.is_empty() {
            self.routes_changed();
        }
        let mut told = false;
        for change in changes {
            told |= matters(&change);
            say(&change);
        }
        if told {
            self.0.agents.notify_one();
        }
        self.0.pulls.notify_one();
    }

    /// Reads the owner's list; a new one ends the streams of callers.
    fn read_list(&self) {
        let read = std::fs::read(&self.0.config.acl);
        let mut state = self.state();
        let outcome = match &read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                state.acl.read(Reading::Absent)
            }
            Err(error) => state.acl.read(Reading::Unreadable(&error.to_string())),
            Ok(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => state.acl.read(Reading::Text(text)),
                Err(error) => state.acl.read(Reading::Unreadable(&error.to_string())),
            },
        };
        if outcome == Read::Changed {
            let state = &mut *state;
            let acl = state.acl.acl();
            state
                .knocks
                .retain(|key, agent| acl.standing(key, agent, None) == Access::Unlisted);
        }
        if let Some(problem) = state.acl.explain() {
            tracing::warn!("{problem}");
        }
        drop(state);
        if outcome == Read::Changed {
            self.0.lists.send_modify(|count| *count += 1);
        }
    }

    /// The agents of here and of all nodes that are known, by id.
    fn all_agents(&self) -> Agents {
        let now = self.now();
        let state = self.state();
        let mut ready: BTreeMap<AgentId, Arc<AgentDefinition>> = (*state.local.ready).clone();
        for told in state.directory.agents(now) {
            let Ok(id) = AgentId::on_node(&told.agent.id, &told.node.to_string()) else {
                continue;
            };
            if let Some((digest, definition)) = state.cards.get(&id)
                && *digest == told.agent.card_digest
            {
                ready.insert(id, Arc::clone(definition));
            }
        }
        Agents {
            ready: Arc::new(ready),
            broken: Arc::clone(&state.local.broken),
        }
    }

    /// Says why an agent stays here that its owner wants told of; once, until it is another reason.
    fn note_withheld(&self, withheld: &[(AgentId, Withheld)]) {
        let mut state = self.state();
        let wanted = |agent: &AgentId| {
            let agent = state.local.ready.get(agent);
            agent.is_some_and(|agent| agent.enabled && agent.policy.advertise_on_mesh)
        };
        let told: Vec<(AgentId, String)> = withheld
            .iter()
            .filter(|(agent, _)| wanted(agent))
            .map(|(agent, why)| (agent.clone(), why.to_string()))
            .collect();
        for line in told.iter().filter(|line| !state.withheld.contains(line)) {
            let (agent, why) = line;
            tracing::warn!(%agent, %why, "not told of on the mesh");
        }
        state.withheld = told;
    }

    /// Tells the others what there is, if it is not what was told before.
    ///
    /// Returns the line to say so with, once it is kept, if they may not have heard it.
    fn publish(&self) -> Option<String> {
        let local = self.link().local().borrow().clone()?;
        let own = self.state().own_ids.is(&local.mesh_peer_id);
        let standing = Standing {
            mesh_id: local.mesh_id,
            mesh_peer_id: local.mesh_peer_id,
            name: self.0.config.name.clone(),
            mesh: if local.public {
                MeshVisibility::Public
            } else {
                MeshVisibility::Private
            },
            machine: self.0.config.machine.clone(),
        };
        let now = self.now().wall;
        let published = {
            let mut state = self.state();
            let state = &mut *state;
            let agents = Arc::clone(&state.local.ready);
            // Each card is signed when it is published, and this is often about what others said.
            let said = (agents, standing);
            if state
                .said
                .as_ref()
                .is_some_and(|before| is_same(before, &said))
            {
                None
            } else {
                let (agents, standing) = &said;
                let agents = agents.values().map(AsRef::as_ref);
                let secret = &self.0.config.secret;
                let published = state.bulletin.publish(standing, agents, secret, now);
                state.said = Some(said);
                Some(published)
            }
        };
        if let Some(published) = &published {
            self.note_withheld(&published.withheld);
        }
        let mut state = self.state();
        if let Some(own) = own {
            state.unsaved.push(own);
        }
        if let Some(published) = published.filter(|published| published.changed) {
            state.unsaved.push(memory::sequence(published.sequence));
            state.hint_due = true;
        }
        let sequence = state.bulletin.sequence();
        std::mem::take(&mut state.hint_due).then(|| write_hint(sequence))
    }
}

/// What is published: the agents of this node, and how it stands.
pub(super) type Said = (Arc<BTreeMap<AgentId, Arc<AgentDefinition>>>, Standing);

fn is_same((agents, standing): &Said, (others, other): &Said) -> bool {
    Arc::ptr_eq(agents, others) && standing == other
}

impl State {
    /// Whether the owner's list allows this node something, or a plain id means an agent of it: it was called by that.
    fn has_to_do_with(&self, key: &NodeKey) -> bool {
        let listed = self.acl.acl().peer(key);
        listed.is_some_and(|peer| !peer.rules.allow.is_empty())
            || self.owners.values().any(|owner| owner.node == *key)
    }
}

/// Whether the agents there are may be others after this.
fn matters(change: &Change) -> bool {
    matches!(
        change,
        Change::Found(_) | Change::Updated(_) | Change::Back(_) | Change::Away(_) | Change::Gone(_)
    )
}

fn say(change: &Change) {
    match change {
        Change::Refused { peer, reason } => {
            tracing::warn!(%peer, %reason, "what a peer sent was not taken");
        }
        Change::OtherKey { peer, old, new } => {
            tracing::warn!(%peer, %old, %new, "another key answers at a known peer");
        }
        Change::KeyTwice(key) => {
            tracing::warn!(%key, "one key answers at several peers; calls to it are refused");
        }
        Change::OwnKey(peer) => {
            tracing::error!(%peer, "this node's own key answers elsewhere: its identity was copied");
        }
        other => tracing::debug!(change = ?other, "the directory changed"),
    }
}

/// Carries the host's news into the directory.
async fn listen(node: MeshNode) {
    let (mut linked, mut local) = (node.link().linked(), node.link().local());
    let (mut peers, mut hints) = (node.link().peers(), node.link().hints());
    let mut known = Peers::default();
    let mut is_linked = false;
    let mut flipped = false;
    // Whether this node may have something else to tell. What others do is none of it: anybody can send hints
    // without number, and what they come to is told by the directory.
    let mut tell = true;
    loop {
        flipped |= linked.has_changed().unwrap_or(false);
        let link = *linked.borrow_and_update();
        if std::mem::take(&mut flipped) && link && is_linked {
            // Gone and back before anybody looked.
            is_linked = false;
            node.happen(Happening::LinkDown);
        }
        if link != is_linked {
            is_linked = link;
            tell = true;
            // What was said meanwhile was heard by nobody. A peer that comes asks by itself, and each hint
            // goes to every peer there is (host-contract T13): none is sent for one that came.
            node.state().hint_due |= link;
            node.happen(if link {
                Happening::LinkUp
            } else {
                Happening::LinkDown
            });
        }
        let told = peers.borrow_and_update().clone();
        let age = node.0.started.elapsed();
        let (now, again) = node.state().own_ids.others(told, age);
        differ(&node, &known, &now);
        known = now;
        tell |= local.has_changed().unwrap_or(false);
        local.mark_unchanged();
        if std::mem::take(&mut tell) {
            node.0.agents.notify_one();
        }
        tokio::select! {
            () = node.0.config.end.cancelled() => return,
            () = changed(&mut linked) => flipped = true,
            () = changed(&mut local) => tell = true,
            () = changed(&mut peers) => {}
            () = sleep(again.unwrap_or(Duration::MAX)), if again.is_some() => {}
            Some(hint) = hints.recv() => {
                if let Ok(sequence) = read_hint(hint.body.as_bytes()) {
                    node.happen(Happening::Hint(hint.from, sequence));
                }
            }
        }
    }
}

/// Waits for news; for ever, where nobody can have any.
async fn changed<T>(watched: &mut watch::Receiver<T>) {
    if watched.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn differ(node: &MeshNode, before: &Peers, now: &Peers) {
    for gone in before.keys().filter(|id| !now.contains_key(*id)) {
        node.happen(Happening::PeerDown(gone.clone()));
    }
    for (id, peer) in now.iter() {
        if before.get(id).is_none_or(|known| known.since != peer.since) {
            node.happen(Happening::PeerUp(id.clone()));
        }
    }
}

/// Asks others when it is time.
async fn pulls(node: MeshNode) {
    let places = Arc::new(tokio::sync::Semaphore::new(PULLS));
    loop {
        let now = node.now();
        node.tick(now);
        let (due, wake) = {
            let mut state = node.state();
            let due = state.directory.due(places.available_permits(), now);
            (due, state.directory.next_wake())
        };
        for one in due {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let node = node.clone();
            node.0.config.tasks.clone().spawn(async move {
                pull::pull(node, one).await;
                drop(place);
            });
        }
        // With all places taken the next pull to end wakes us.
        let wait = wake.filter(|_| places.available_permits() > 0);
        let wait = wait.map(|at| Duration::from_millis(at.saturating_sub(now.mono).max(1)));
        tokio::select! {
            () = node.0.config.end.cancelled() => return,
            () = node.0.pulls.notified() => {}
            () = sleep(wait.unwrap_or(Duration::MAX)), if wait.is_some() => {}
        }
    }
}

impl MeshNode {
    /// Time passes in the directory.
    fn tick(&self, now: mesh_agents_mesh::Moment) {
        let changes = {
            let mut state = self.state();
            let changes = state.directory.apply(Happening::Tick, now);
            changes.iter().for_each(|change| state.remember(change));
            changes
        };
        if !changes.is_empty() {
            self.routes_changed();
        }
        let mut told = false;
        for change in changes {
            told |= matters(&change);
            say(&change);
        }
        if told {
            self.0.agents.notify_one();
        }
    }
}

/// Hands the agents of here and there to the engine, and tells the others of ours.
async fn agents(node: MeshNode) {
    let mut unsaved = false;
    loop {
        tokio::select! {
            () = node.0.config.end.cancelled() => return,
            () = node.0.agents.notified() => {}
            () = sleep(SAVE_AGAIN), if unsaved => {}
        }
        let hint = node.publish();
        let saved = node.save().await;
        unsaved = saved.is_err();
        if let Err(error) = saved {
            tracing::warn!(%error, "what is known of the mesh is not on disk yet");
        }
        if let Some(hint) = hint
            && !node.link().hint(&hint)
        {
            // It leaves when the link is back.
            node.state().hint_due = true;
        }
        let agents = node.all_agents();
        if let Some(engine) = node.0.engine.get() {
            engine.set_agents(agents).await;
        }
    }
}

/// Looks whether the owner's list is another.
async fn lists(node: MeshNode, mut seen: Option<(SystemTime, u64)>) {
    loop {
        tokio::select! {
            () = node.0.config.end.cancelled() => return,
            () = sleep(LIST_EVERY) => {}
        }
        let now = stamp(&node);
        if now != seen {
            seen = now;
            node.read_list();
        }
    }
}

/// What tells one list from another without reading it.
fn stamp(node: &MeshNode) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(&node.0.config.acl).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
