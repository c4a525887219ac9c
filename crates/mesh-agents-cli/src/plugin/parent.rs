//! Finding the host that started this plugin: it tells its plugins no address (host-contract T17).
//!
//! On Linux the parent's own listening sockets are read from `/proc`, and each loopback one is asked
//! for `/api/status`. Elsewhere nothing is found and the usual addresses count.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mesh_agents_plugin::socket::MeshReport;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::system;

/// A host answers from memory; one that takes longer is not asked again until the next engine.
const PATIENCE: Duration = Duration::from_secs(2);
/// A host opens its console some time after it starts its plugins.
const TRIES: u32 = 20;
/// Between tries.
const PAUSE: Duration = Duration::from_millis(500);
/// Most bytes of `/api/status` that are read.
const STATUS_BYTES: u64 = 4 * 1024 * 1024;

/// The host that started this plugin.
#[derive(Debug)]
pub(super) struct Parent {
    /// Where it serves its API and its models.
    pub(super) report: MeshReport,
    /// Its id on the mesh, as its API says.
    pub(super) mesh_peer_id: Option<String>,
}

/// The parent process, if it is a host with a node: a host that only runs one command serves nothing.
pub(super) async fn host() -> Option<Parent> {
    let parent = system::parent()?;
    for _ in 0..TRIES {
        for port in listening_ports(Path::new("/proc"), parent) {
            if let Ok(Some(parent)) = tokio::time::timeout(PATIENCE, ask(port)).await {
                return Some(parent);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    None
}

/// Ports on which a process listens at 127.0.0.1 or everywhere.
fn listening_ports(proc: &Path, pid: i32) -> BTreeSet<u16> {
    let sockets: BTreeSet<String> = std::fs::read_dir(proc.join(format!("{pid}/fd")))
        .into_iter()
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| {
            let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect();
    let table = std::fs::read_to_string(proc.join(format!("{pid}/net/tcp"))).unwrap_or_default();
    table
        .lines()
        .skip(1)
        .filter_map(|line| listener(line, &sockets))
        .collect()
}

/// The port of a line of `/proc/net/tcp` (proc_pid_net(5)), if it is a listener of one of `sockets`.
fn listener(line: &str, sockets: &BTreeSet<String>) -> Option<u16> {
    const LISTEN: &str = "0A";
    let columns: Vec<&str> = line.split_whitespace().collect();
    let (local, state, inode) = (columns.get(1)?, columns.get(3)?, columns.get(9)?);
    let (address, port) = local.split_once(':')?;
    let here = address == "0100007F" || address == "00000000";
    (here && *state == LISTEN && sockets.contains(*inode))
        .then(|| u16::from_str_radix(port, 16).ok())?
}

/// What a mesh-llm host answers to `/api/status`; anything else is not one.
#[derive(Deserialize)]
struct HostStatus {
    api_port: u16,
    token: String,
}

/// The id in an invite token: base64url of JSON, whole only there (host-contract §8).
fn peer_id(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Invite {
        id: String,
    }
    let json = URL_SAFE_NO_PAD.decode(token).ok()?;
    let invite: Invite = serde_json::from_slice(&json).ok()?;
    Some(invite.id)
}

async fn ask(port: u16) -> Option<Parent> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let request =
        format!("GET /api/status HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream
        .take(STATUS_BYTES)
        .read_to_end(&mut answer)
        .await
        .ok()?;
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    if !head.starts_with("HTTP/1.1 200") {
        return None;
    }
    // Between the braces whatever the transfer coding put around them.
    let json = body.get(body.find('{')?..=body.rfind('}')?)?;
    let status: HostStatus = serde_json::from_str(json).ok()?;
    let report = MeshReport {
        api_url: format!("http://127.0.0.1:{port}"),
        openai_url: Some(format!("http://127.0.0.1:{}/v1", status.api_port)),
    };
    Some(Parent {
        report,
        mesh_peer_id: peer_id(&status.token),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listeners_of_the_process_on_this_machine_count() {
        let sockets = BTreeSet::from(["55".to_owned()]);
        let line = |local: &str, state: &str, inode: &str| {
            format!(
                "   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1"
            )
        };
        assert_eq!(
            listener(&line("0100007F:0C3B", "0A", "55"), &sockets),
            Some(3131)
        );
        assert_eq!(
            listener(&line("00000000:0C3B", "0A", "55"), &sockets),
            Some(3131)
        );
        assert_eq!(
            listener(&line("0100007F:0C3B", "01", "55"), &sockets),
            None,
            "a connection"
        );
        assert_eq!(
            listener(&line("0100007F:0C3B", "0A", "56"), &sockets),
            None,
            "another process"
        );
        assert_eq!(
            listener(&line("0101A8C0:0C3B", "0A", "55"), &sockets),
            None,
            "another address"
        );
    }

    #[test]
    fn the_id_of_a_host_stands_in_its_token() {
        let token = URL_SAFE_NO_PAD.encode(r#"{"id":"ab12","addrs":[{"Ip":"127.0.0.1:4"}]}"#);
        assert_eq!(peer_id(&token).as_deref(), Some("ab12"));
        assert_eq!(peer_id("no token"), None);
    }

    #[test]
    fn our_own_listener_is_found() {
        let here = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = here.local_addr().unwrap().port();
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(listening_ports(Path::new("/proc"), pid).contains(&port));
    }
}
