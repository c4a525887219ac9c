//! Which node an agent id means.

use mesh_agents_core::ids::AgentId;
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_mesh::{NodeKey, Place, Resolved, Stored, Wanted, Why, resolve};

use super::support::*;

/// Asks for agent `a` of a mesh.
struct Asks<'a> {
    here: &'a Here,
    is_local: bool,
    stored: Option<Stored>,
}

impl Asks<'_> {
    fn at(&self, node: Option<NodeKey>) -> Result<Resolved, Refusal> {
        let agent: AgentId = "a".parse().unwrap();
        let wanted = Wanted {
            agent: &agent,
            node: node.as_ref(),
            own: &key(0),
            is_local: self.is_local,
            stored: self.stored.as_ref(),
        };
        resolve(&wanted, &self.here.directory, self.here.now)
    }
}

fn asks(here: &Here) -> Asks<'_> {
    Asks {
        here,
        is_local: false,
        stored: None,
    }
}

fn is(answer: &Result<Resolved, Refusal>, place: Place, why: Why, store: bool) {
    let expected = Resolved { place, why, store };
    assert_eq!(*answer, Ok(expected));
}

fn first(node: NodeKey) -> Option<Stored> {
    Some(Stored {
        node,
        is_chosen: false,
    })
}

#[test]
fn the_local_agent_comes_first_and_the_only_owner_is_stored() {
    let mut here = Here::new();
    let error = asks(&here).at(None).unwrap_err();
    assert_eq!(error.code, Code::AgentNotFound);
    here.meet(&Other::new(1, &["a"]));
    is(&asks(&here).at(None), Place::Node(key(1)), Why::Only, true);
    let local = Asks {
        is_local: true,
        stored: first(key(1)),
        ..asks(&here)
    };
    is(&local.at(None), Place::Local, Why::Local, false);
    is(&local.at(Some(key(0))), Place::Local, Why::Asked, false);
    is(
        &local.at(Some(key(1))),
        Place::Node(key(1)),
        Why::Asked,
        false,
    );
}

#[test]
fn several_owners_are_listed_with_how_to_address_each() {
    let mut here = Here::new();
    let gone = Other::new(2, &["a"]);
    here.meet(&Other::new(1, &["a"]));
    here.meet(&gone);
    here.down(&gone);
    let error = asks(&here).at(None).unwrap_err();
    assert_eq!(error.code, Code::InvalidArgument);
    insta::assert_snapshot!(error);
    is(
        &asks(&here).at(Some(key(2))),
        Place::Node(key(2)),
        Why::Asked,
        false,
    );
}

#[test]
fn the_first_owner_stays_the_one_whoever_comes_and_though_it_is_away() {
    let mut here = Here::new();
    let owner = Other::new(1, &["a"]);
    here.meet(&owner);
    here.meet(&Other::new(2, &["a"]));
    let stored = |is_chosen| Asks {
        stored: Some(Stored {
            node: key(1),
            is_chosen,
        }),
        ..asks(&here)
    };
    is(
        &stored(false).at(None),
        Place::Node(key(1)),
        Why::First,
        false,
    );
    is(
        &stored(true).at(None),
        Place::Node(key(1)),
        Why::Preferred,
        false,
    );
    here.down(&owner);
    let away = Asks {
        stored: first(key(1)),
        ..asks(&here)
    };
    is(&away.at(None), Place::Node(key(1)), Why::First, false);
}

#[test]
fn an_owner_that_took_its_agent_back_is_not_replaced_in_silence() {
    let mut here = Here::new();
    let mut owner = Other::new(1, &["a"]);
    here.meet(&owner);
    here.meet(&Other::new(2, &["a"]));
    owner.agents.clear();
    let sequence = owner.publish(here.now.later(5));
    here.apply(mesh_agents_mesh::Happening::Hint(
        owner.peer.clone(),
        sequence,
    ));
    here.wait(1_000);
    here.hear(&owner);
    let stored = Asks {
        stored: first(key(1)),
        ..asks(&here)
    };
    insta::assert_snapshot!(stored.at(None).unwrap_err());
    let forgotten = Asks {
        stored: first(key(9)),
        ..asks(&here)
    };
    let error = forgotten.at(None).unwrap_err();
    assert!(error.message.contains("not known any more"), "{error}");
}

#[test]
fn a_peer_id_means_exactly_that_node() {
    let mut here = Here::new();
    here.meet(&Other::new(1, &["a"]));
    here.meet(&Other::new(2, &["b"]));
    for (node, words) in [
        (key(2), "has no agent \"a\""),
        (key(9), "no node of this mesh is known"),
        (key(0), "has no agent \"a\""),
    ] {
        let error = asks(&here).at(Some(node)).unwrap_err();
        assert_eq!(error.code, Code::AgentNotFound);
        assert!(error.message.contains(words), "{error}");
        assert!(error.hint.unwrap().contains(&key(1).to_string()));
    }
}
