//! What a node tells of itself and the card of its agent: only what it signed is believed, whatever comes.

use std::sync::OnceLock;

use arbitrary::{Result, Unstructured};
use mesh_agents_core::agent::testing::definition;
use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::confinement::PlatformConfinement;
use mesh_agents_core::ids::AgentId;
use mesh_agents_mesh::{
    Bulletin, Digest, Expect, ExpectCard, Known, MeshCard, MeshPeerId, MeshVisibility, NodeSecret,
    Pulled, Standing,
};

use super::super::grammar;

const NOW: UnixMillis = UnixMillis(1_790_000_000_000);
const WORDS: &[&str] = &[
    "advert",
    "agents",
    "card_digest",
    "description",
    "expires_at",
    "issued_at",
    "key",
    "mesh_id",
    "mesh_peer_id",
    "name",
    "sequence",
    "version",
    "protected",
    "signature",
    "not_modified",
    "payload",
    "supportedInterfaces",
    "url",
    "protocolBinding",
    "JSONRPC",
    "capabilities",
    "streaming",
    "skills",
    "signatures",
    "header",
];

/// What an honest node answers.
struct Honest {
    peer: MeshPeerId,
    secret: NodeSecret,
    advert: String,
    card: String,
}

fn honest() -> &'static Honest {
    static HONEST: OnceLock<Honest> = OnceLock::new();
    HONEST.get_or_init(|| {
        let secret = NodeSecret::from_seed(&[1; 32]);
        let peer: MeshPeerId = "a".repeat(64).parse().expect("a peer id");
        let mut agent = definition("a");
        agent.policy.advertise_on_mesh = true;
        agent.policy.filesystem_explicit = true;
        agent.policy.network_explicit = true;
        let standing = Standing {
            mesh_id: Some("m".to_owned()),
            mesh_peer_id: peer.clone(),
            name: "node".to_owned(),
            mesh: MeshVisibility::Private,
            machine: PlatformConfinement::default(),
        };
        let mut bulletin = Bulletin::new(0);
        bulletin.publish(&standing, [&agent], &secret, NOW);
        let advert = bulletin.answer(Known::default(), &secret, NOW);
        let advert = advert.expect("an advert").expect("was published");
        let digest = bulletin.agents()[0].card_digest;
        let card = bulletin.card(digest).expect("its card");
        Honest {
            peer,
            secret,
            advert: String::from_utf8(advert).expect("JSON"),
            card: card.json().as_str().to_owned(),
        }
    })
}

pub(crate) fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let Ok((text, of_card)) = input(&mut u) else {
        return;
    };
    let Honest {
        peer,
        secret,
        advert,
        card,
    } = honest();
    let key = secret.key();
    if of_card {
        let id: AgentId = "a".parse().expect("an id");
        let expect = ExpectCard {
            key: &key,
            agent: &id,
            // Whoever sends another card also sends its digest.
            digest: Digest::of(text.as_bytes()),
        };
        if MeshCard::open(text.as_bytes(), expect).is_ok() {
            assert_eq!(text, *card, "a card nobody signed");
        }
        return;
    }
    let expect = |key| Expect {
        key,
        mesh_id: Some("m"),
        mesh_peer_id: peer,
    };
    let of = |text: &str| Pulled::read(text.as_bytes(), expect(&key), NOW);
    if let Ok(Pulled::Advert(read)) = of(&text) {
        let Ok(Pulled::Advert(good)) = of(advert) else {
            panic!("what is true is not believed");
        };
        assert_eq!(read.advert(), good.advert(), "an advert nobody signed");
    }
}

fn input(u: &mut Unstructured<'_>) -> Result<(String, bool)> {
    let of_card = u.ratio(1, 2)?;
    let good = if of_card {
        &honest().card
    } else {
        &honest().advert
    };
    let text = if u.ratio(3, 4)? {
        grammar::sample_gone_wrong(u, &[good])?
    } else {
        grammar::json(u, WORDS)?
    };
    Ok((text, of_card))
}
