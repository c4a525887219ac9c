//! Leading connections out of a run's own network.
//!
//! The run connects to an address in its network; the guard, which is in the machine's, accepts it
//! there and connects to the same address outside. The guard connects from [`RUN_ADDRESS`], so that
//! our own node does not take the connection for one of the owner's.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use mesh_agents_core::confinement::RUN_ADDRESS;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Most connections of one run at a time; more wait to be accepted. A harness holds a few, a test
/// suite against a local database some dozens, and each costs the guard two descriptors.
const CONNECTIONS: usize = 256;
/// Between two tries when the guard itself is out of descriptors, which only the run could cause.
const PAUSE: Duration = Duration::from_millis(50);

/// Leads what connects to these sockets to the addresses they listen on, until the guard ends.
pub(super) fn start(listening: Vec<OwnedFd>) -> io::Result<()> {
    if listening.is_empty() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let work = move || runtime.block_on(lead_all(listening));
    // It ends with the process, whose only work is this run; nobody waits for it before.
    std::thread::Builder::new()
        .name("forward".to_owned())
        .spawn(work)
        .map(drop)
}

async fn lead_all(listening: Vec<OwnedFd>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut doors = JoinSet::new();
    for socket in listening {
        let listener = StdListener::from(socket);
        let listener = listener
            .set_nonblocking(true)
            .and_then(|()| TcpListener::from_std(listener));
        // One that cannot be watched refuses nobody and answers nobody; the run sees a time-out.
        if let Ok(listener) = listener {
            doors.spawn(lead(listener, Arc::clone(&room)));
        }
    }
    doors.join_all().await;
}

async fn lead(inside: TcpListener, room: Arc<Semaphore>) {
    let Ok(to) = inside.local_addr() else {
        return;
    };
    let mut open = JoinSet::new();
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        // Taken off as they end, so that the set does not grow with every connection there ever was.
        while open.try_join_next().is_some() {}
        match inside.accept().await {
            Ok((from, _)) => {
                open.spawn(async move {
                    // Either side may break off; the other is told by the closed connection.
                    let _ = pass(from, to).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn pass(mut inside: TcpStream, to: SocketAddr) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(RUN_ADDRESS.into(), 0))?;
    let mut outside = socket.connect(to).await?;
    inside.set_nodelay(true)?;
    outside.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut inside, &mut outside).await?;
    Ok(())
}
