//! Nodes to meet, and a directory that meets them.

use mesh_agents_core::agent::testing::definition;
use mesh_agents_core::agent::{AgentDefinition, Skill};
use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::confinement::PlatformConfinement;
use mesh_agents_core::json::JsonText;
use mesh_agents_mesh::{
    Advert, Bulletin, Change, Directory, Expect, Happening, Known, MeshPeerId, MeshVisibility,
    Moment, NodeKey, NodeSecret, Presence, Pull, PullFailure, Pulled, Standing,
};

/// When every test begins.
pub(crate) const START: Moment = Moment {
    wall: UnixMillis(1_790_000_000_000),
    mono: 1_000_000,
};

pub(crate) fn secret(n: u8) -> NodeSecret {
    NodeSecret::from_seed(&[n; 32])
}

pub(crate) fn key(n: u8) -> NodeKey {
    secret(n).key()
}

pub(crate) fn peer(n: u32) -> MeshPeerId {
    format!("{n:064x}").parse().unwrap()
}

/// An agent that may leave its node.
pub(crate) fn advertised(id: &str) -> AgentDefinition {
    let mut agent = definition(id);
    agent.policy.advertise_on_mesh = true;
    agent.policy.filesystem_explicit = true;
    agent.policy.network_explicit = true;
    agent.card.json = JsonText::parse(
        r#"{
          "name": "PR Review", "description": "Reviews a pull request.", "version": "0.1.0",
          "supportedInterfaces": [{"url": "http://127.0.0.1:3131/x", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
          "provider": {"url": "https://example.invalid", "organization": "Mesh"},
          "documentationUrl": "",
          "capabilities": {"streaming": false, "pushNotifications": true, "extensions": [
            {"uri": "urn:example:x", "required": false, "params": {"note": "", "deep": {"empty": [null]}, "gone": null, "limit": 42, "ratio": 1.50}}
          ]},
          "securitySchemes": {"bearer": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}},
          "securityRequirements": [{"schemes": {"bearer": {}}}],
          "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/markdown"],
          "skills": [{"id": "review", "name": "Review", "description": "Finds bugs.\nAll of them – überall.",
                      "tags": ["code-review"], "examples": [], "inputModes": null}],
          "signatures": [{"protected": "x", "signature": "y"}],
          "x-mine": {"private": true}
        }"#,
    )
    .unwrap();
    agent.card.name = "PR Review".to_owned();
    agent.card.description = "Reviews a pull request.".to_owned();
    agent.card.skills = vec![Skill {
        id: "review".to_owned(),
        name: "Review".to_owned(),
        description: "Finds bugs.".to_owned(),
        tags: vec!["code-review".to_owned()],
    }];
    agent
}

/// Another node.
pub(crate) struct Other {
    pub(crate) secret: NodeSecret,
    pub(crate) peer: MeshPeerId,
    pub(crate) name: String,
    pub(crate) agents: Vec<AgentDefinition>,
    pub(crate) bulletin: Bulletin,
}

impl Other {
    /// The node with key `n` at peer id `n`, with these agents.
    pub(crate) fn new(n: u8, agents: &[&str]) -> Self {
        let mut other = Self {
            secret: secret(n),
            peer: peer(n.into()),
            name: format!("node {n}"),
            agents: agents.iter().map(|id| advertised(id)).collect(),
            bulletin: Bulletin::new(0),
        };
        other.publish(START);
        other
    }

    pub(crate) fn key(&self) -> NodeKey {
        self.secret.key()
    }

    pub(crate) fn standing(&self) -> Standing {
        Standing {
            mesh_id: Some("mesh-1".to_owned()),
            mesh_peer_id: self.peer.clone(),
            name: self.name.clone(),
            mesh: MeshVisibility::Private,
            machine: PlatformConfinement::default(),
        }
    }

    pub(crate) fn publish(&mut self, now: Moment) -> u64 {
        let standing = self.standing();
        let published = self
            .bulletin
            .publish(&standing, &self.agents, &self.secret, now.wall);
        assert!(published.withheld.is_empty(), "{:?}", published.withheld);
        published.sequence
    }

    pub(crate) fn answer(&self, known: Known, now: Moment) -> Vec<u8> {
        let answer = self.bulletin.answer(known, &self.secret, now.wall);
        answer.unwrap().unwrap()
    }

    /// Its advert as a reader that expects it reads it.
    pub(crate) fn advert(&self, now: Moment) -> Pulled {
        self.read(&self.answer(Known::default(), now), now).unwrap()
    }

    pub(crate) fn read(
        &self,
        bytes: &[u8],
        now: Moment,
    ) -> Result<Pulled, mesh_agents_mesh::AdvertError> {
        let expect = Expect {
            key: &self.key(),
            mesh_id: Some("mesh-1"),
            mesh_peer_id: &self.peer,
        };
        Pulled::read(bytes, expect, now.wall)
    }

    /// The advert itself, to be changed and signed anew by whoever.
    pub(crate) fn plain(&self, now: Moment) -> Advert {
        match self.advert(now) {
            Pulled::Advert(verified) => verified.into_advert(),
            Pulled::NotModified(_) => unreachable!("nothing was known"),
        }
    }
}

/// This node.
pub(crate) struct Here {
    pub(crate) directory: Directory,
    pub(crate) now: Moment,
    /// Pulls that were started and not ended.
    pub(crate) open: Vec<Pull>,
}

impl Here {
    pub(crate) fn new() -> Self {
        Self {
            directory: Directory::new(key(0), [], 7, START),
            now: START,
            open: Vec::new(),
        }
    }

    pub(crate) fn apply(&mut self, happening: Happening) -> Vec<Change> {
        self.directory.apply(happening, self.now)
    }

    pub(crate) fn up(&mut self, other: &Other) -> Vec<Change> {
        self.apply(Happening::PeerUp(other.peer.clone()))
    }

    pub(crate) fn down(&mut self, other: &Other) -> Vec<Change> {
        self.apply(Happening::PeerDown(other.peer.clone()))
    }

    /// Lets time pass; what is due is started and stays open.
    pub(crate) fn wait(&mut self, millis: u64) -> Vec<Change> {
        self.now = self.now.later(millis);
        let changes = self.apply(Happening::Tick);
        self.open.extend(self.directory.due(usize::MAX, self.now));
        changes
    }

    /// The open pull to a peer, which is over with this.
    pub(crate) fn take(&mut self, peer: &MeshPeerId) -> Option<Pull> {
        let at = self.open.iter().position(|pull| pull.peer == *peer)?;
        Some(self.open.remove(at))
    }

    /// The open pull to `other` is answered by it.
    pub(crate) fn hear(&mut self, other: &Other) -> Vec<Change> {
        let pull = self.take(&other.peer).unwrap();
        let bytes = other.answer(pull.known, self.now);
        match other.read(&bytes, self.now) {
            Ok(answer) => self.apply(Happening::Answered {
                ticket: pull.ticket,
                key: other.key(),
                answer,
            }),
            Err(error) => self.fail(&pull, PullFailure::Refused(error.to_string())),
        }
    }

    pub(crate) fn fail(&mut self, pull: &Pull, failure: PullFailure) -> Vec<Change> {
        self.apply(Happening::Failed {
            ticket: pull.ticket,
            failure,
        })
    }

    /// The open pull to `other` gets no answer.
    pub(crate) fn silence(&mut self, other: &Other) -> Vec<Change> {
        let pull = self.take(&other.peer).unwrap();
        self.fail(&pull, PullFailure::NoAnswer)
    }

    /// Meets `other` for the first time, or again.
    pub(crate) fn meet(&mut self, other: &Other) -> Vec<Change> {
        let mut changes = self.up(other);
        self.wait(500);
        changes.extend(self.hear(other));
        changes
    }

    pub(crate) fn presence(&self, other: &Other) -> Presence {
        let mut nodes = self.directory.nodes(self.now);
        nodes
            .find(|node| node.told.key == other.key())
            .unwrap()
            .presence
    }

    /// The agents of `other`, as they are known.
    pub(crate) fn agents(&self, other: &Other) -> Vec<String> {
        let agents = self.directory.agents(self.now);
        agents
            .filter(|agent| *agent.node == other.key())
            .map(|agent| agent.agent.id.to_string())
            .collect()
    }
}
