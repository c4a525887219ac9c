//! What others say costs this node no work on what it says itself.

use futures::future::BoxFuture;

use tokio::sync::mpsc;

use super::*;
use crate::mesh_link::{Hint, Incoming as Taken, LocalNode, MeshStream, OpenError, Peers};

/// A link that counts how often the node looked what its host calls it, as it does whenever it publishes, and
/// how many streams it wanted. Whoever has the other end of `lies` can hint in any name.
#[derive(Debug)]
struct Counting {
    link: Arc<dyn MeshLink>,
    looked: Arc<AtomicUsize>,
    opened: Arc<AtomicUsize>,
    lies: Mutex<Option<mpsc::Receiver<Hint>>>,
}

impl MeshLink for Counting {
    fn linked(&self) -> watch::Receiver<bool> {
        self.link.linked()
    }

    fn local(&self) -> watch::Receiver<Option<LocalNode>> {
        self.looked.fetch_add(1, Ordering::Relaxed);
        self.link.local()
    }

    fn peers(&self) -> watch::Receiver<Peers> {
        self.link.peers()
    }

    fn open<'a>(&'a self, peer: &'a MeshPeerId) -> BoxFuture<'a, Result<MeshStream, OpenError>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.link.open(peer)
    }

    fn incoming(&self) -> mpsc::Receiver<Taken> {
        self.link.incoming()
    }

    fn hint(&self, body: &str) -> bool {
        self.link.hint(body)
    }

    fn hints(&self) -> mpsc::Receiver<Hint> {
        let lies = self.lies.lock().unwrap().take();
        lies.unwrap_or_else(|| self.link.hints())
    }
}

#[tokio::test(start_paused = true)]
async fn hints_that_are_none_or_tell_nothing_new_cost_no_signature_and_no_table() {
    let mesh = MemoryMesh::default();
    let looked = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&looked);
    let victim = Bare::made(&mesh, 1, |config| MeshNodeConfig {
        link: Arc::new(Counting {
            link: config.link,
            looked: counted,
            opened: Arc::default(),
            lies: Mutex::default(),
        }),
        ..config
    });
    let a2a = Router::new().fallback(|| async { "called" });
    let victim = victim.begin("", a2a).await;
    let liar = Bare::owner(&mesh, 2).await;
    soon(async || victim.knows(liar.node.key()) == ["echo"]).await;
    let before = looked.load(Ordering::Relaxed);
    for n in 0..6_000_u32 {
        liar.node.link().hint(if n % 2 == 0 {
            "no hint at all"
        } else {
            "changed 1"
        });
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // A minute of 100 a second; the pulls of that minute look, too.
    let looked = looked.load(Ordering::Relaxed) - before;
    assert!(looked < 30, "{looked}");
    victim.leave(&mesh).await;
    liar.leave(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn hints_in_ever_new_names_open_few_streams() {
    let mesh = MemoryMesh::default();
    let opened = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&opened);
    let (lies, heard) = mpsc::channel(1_024);
    let victim = Bare::made(&mesh, 1, |config| MeshNodeConfig {
        link: Arc::new(Counting {
            link: config.link,
            looked: Arc::default(),
            opened: counted,
            lies: Mutex::new(Some(heard)),
        }),
        ..config
    });
    let a2a = Router::new().fallback(|| async { "called" });
    let victim = victim.begin("", a2a).await;
    let honest = Bare::owner(&mesh, 2).await;
    soon(async || victim.knows(honest.node.key()) == ["echo"]).await;
    let before = opened.load(Ordering::Relaxed);
    for n in 0..6_000_u32 {
        let invented = Hint {
            from: format!("{:064x}", 1_000 + n).parse().unwrap(),
            body: mesh_agents_mesh::write_hint(mesh_agents_mesh::SEQUENCE_MAX),
        };
        patient("a place for a hint", lies.send(invented))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // A minute of 100 a second: 20 at once, one each two seconds, and what the honest one is asked.
    let opened = opened.load(Ordering::Relaxed) - before;
    assert!((20..=60).contains(&opened), "{opened}");
    victim.leave(&mesh).await;
    honest.leave(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn what_others_say_anew_has_none_of_our_cards_signed_again() {
    let mesh = MemoryMesh::default();
    let victim = Bare::owner(&mesh, 1).await;
    let other = Bare::owner(&mesh, 2).await;
    soon(async || victim.knows(other.node.key()) == ["echo"]).await;
    // The very bytes, not equal ones.
    let card = || {
        let state = victim.node.state();
        let digest = state.bulletin.agents()[0].card_digest;
        let card = state.bulletin.card(digest).unwrap();
        card.json().as_str().as_ptr().addr()
    };
    let before = card();
    let agents = ["echo", "new"].map(offered);
    other.node.set_local(agents_of(agents.into()));
    soon(async || victim.knows(other.node.key()) == ["echo", "new"]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(card(), before);
    // Its own are.
    let agents = ["echo", "more"].map(offered);
    victim.node.set_local(agents_of(agents.into()));
    soon(async || victim.node.state().bulletin.agents().len() == 2).await;
    victim.leave(&mesh).await;
    other.leave(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_says_something_new_each_second_opens_few_streams_unless_it_is_listed() {
    let mesh = MemoryMesh::default();
    let opened = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&opened);
    let victim = Bare::made(&mesh, 1, |config| MeshNodeConfig {
        link: Arc::new(Counting {
            link: config.link,
            looked: Arc::default(),
            opened: counted,
            lies: Mutex::default(),
        }),
        ..config
    });
    let a2a = Router::new().fallback(|| async { "called" });
    let victim = victim.begin("", a2a).await;
    let restless = Bare::owner(&mesh, 2).await;
    let key = restless.node.key();
    soon(async || victim.knows(key) == ["echo"]).await;
    let minute = async |name: &str| {
        let before = opened.load(Ordering::Relaxed);
        for n in 0..60 {
            let agents = vec![offered(&format!("{name}{n}"))];
            restless.node.set_local(agents_of(agents));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        opened.load(Ordering::Relaxed) - before
    };
    // Twelve at once and four a minute; before it was one each second.
    let asked = minute("a").await;
    assert!((10..=18).contains(&asked), "{asked}");
    // What it says last is known all the same.
    soon(async || victim.knows(key) == ["a59"]).await;

    write_list(victim.dir.path(), &allow(key, "echo"));
    until(async || victim.node.state().acl.acl().peer(&key).is_some()).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let asked = minute("b").await;
    assert!(asked >= 40, "{asked}");
    restless.leave(&mesh).await;
    victim.leave(&mesh).await;
}
