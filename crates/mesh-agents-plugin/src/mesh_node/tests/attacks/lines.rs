//! Lines of a handshake that have no end.

use mesh_agents_mesh::handshake::LINE_BYTES;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_first_line_without_end_is_refused_at_its_bound() {
    let mesh = MemoryMesh::default();
    let owner = Bare::owner(&mesh, 1).await;
    let caller = Bare::idle(&mesh, 2);
    let mut stream = caller.node.link().open(&owner.id).await.unwrap();
    stream.write_all(&vec![b' '; LINE_BYTES + 1]).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(
        answer.contains("\"refused\"") && answer.contains("\"too_long\""),
        "{answer}"
    );
    owner.leave(&mesh).await;
}
