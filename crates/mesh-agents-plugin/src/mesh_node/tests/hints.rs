//! When the others are told that there is something new.

use mesh_agents_mesh::read_hint;

use super::*;
use crate::mesh_link::Hint;

async fn heard(hints: &mut tokio::sync::mpsc::Receiver<Hint>) -> u64 {
    let hint = tokio::time::timeout(Duration::from_secs(60), hints.recv()).await;
    read_hint(hint.unwrap().unwrap().body.as_bytes()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_could_hear_is_said_again_when_the_link_is_back() {
    let mesh = MemoryMesh::default();
    let ear = mesh.join(&format!("{:064x}", 99).parse().unwrap());
    let mut hints = ear.hints();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let first = heard(&mut hints).await;
    mesh.set_linked(&a.id, false);
    mesh.set_linked(&a.id, true);
    assert_eq!(
        heard(&mut hints).await,
        first,
        "an engine the host is linked to anew"
    );

    mesh.set_linked(&a.id, false);
    let ready = [offered("echo"), offered("second")].map(|one| (one.id.clone(), Arc::new(one)));
    a.node.set_local(Agents {
        ready: Arc::new(ready.into()),
        broken: Arc::default(),
    });
    until(async || a.node.state().bulletin.agents().len() == 2).await;
    assert!(hints.try_recv().is_err(), "nothing leaves without a link");
    mesh.set_linked(&a.id, true);
    assert!(heard(&mut hints).await > first);
    a.leave(&mesh).await;
}
