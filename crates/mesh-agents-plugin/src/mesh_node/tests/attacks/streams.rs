//! Streams that say too little, or too much.

use mesh_agents_mesh::handshake::Initiator;

use super::*;
use crate::mesh_node::serve::ADVERT;

#[tokio::test(start_paused = true)]
async fn a_handshake_that_drips_or_stops_is_over_in_ten_seconds() {
    let mesh = MemoryMesh::default();
    let (owner, caller) = (Bare::owner(&mesh, 1).await, Bare::idle(&mesh, 2));
    let begun = Instant::now();
    let dripping = async {
        let mut stream = caller.raw(&owner.id).await;
        drips(&mut stream, b"{", Duration::from_millis(500)).await;
    };
    let stopping = async {
        let mut stream = caller.raw(&owner.id).await;
        let whom = Whom {
            peer_id: owner.id.clone(),
            key: None,
        };
        let here = caller.node.here().unwrap();
        let (_, hello) = Initiator::begin(&caller.node.0.config.secret, [7; 32], &here, whom);
        stream.write_all(&hello).await.unwrap();
        assert!(rest(&mut stream).await.contains("welcome"));
    };
    let others = async {
        let (status, _) = caller.gets(&owner.id, ADVERT).await;
        assert_eq!(status, 200);
        assert_eq!(seconds(begun), 0, "nobody waits for them");
    };
    tokio::join!(dripping, stopping, others);
    assert!((9..=11).contains(&seconds(begun)), "{}", seconds(begun));
    owner.leave(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn a_line_of_a_handshake_without_end_is_read_to_its_limit() {
    let mesh = MemoryMesh::default();
    let (owner, caller) = (Bare::owner(&mesh, 1).await, Bare::idle(&mesh, 2));
    for greets in [false, true] {
        let begun = Instant::now();
        let mut stream = caller.raw(&owner.id).await;
        if greets {
            let whom = Whom {
                peer_id: owner.id.clone(),
                key: None,
            };
            let here = caller.node.here().unwrap();
            let secret = &caller.node.0.config.secret;
            let (_, hello) = Initiator::begin(secret, [7; 32], &here, whom);
            stream.write_all(&hello).await.unwrap();
        }
        let (mut reading, mut writing) = tokio::io::split(stream);
        // Without a newline, and for longer than any line may be.
        let sending = async {
            let mut sent = 0;
            while sent < 10 * 1024 * 1024 && writing.write_all(&[b'x'; 1024]).await.is_ok() {
                sent += 1024;
                tokio::task::yield_now().await;
            }
            sent
        };
        let sending = patient("a line that is refused", sending);
        let (answer, sent) = tokio::join!(rest(&mut reading), sending);
        assert!(answer.contains("\"too_long\""), "{answer}");
        assert_eq!(answer.contains("welcome"), greets, "{answer}");
        // What the sockets hold on the way comes on top of the owner's 4 KiB.
        assert!(sent < 1024 * 1024, "{sent}");
        assert_eq!(seconds(begun), 0, "at once, and not after ten seconds");
    }
    owner.leave(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn streams_that_never_greet_leave_places_to_those_who_have() {
    let mesh = MemoryMesh::default();
    let (owner, caller) = (Bare::owner(&mesh, 1).await, Bare::idle(&mesh, 2));
    let mut kept = caller.http(&owner.id).await;
    let mut silent = Vec::new();
    for _ in 0..600 {
        silent.push(caller.raw(&owner.id).await);
    }
    let answer = sends(&mut kept, request(Method::GET, ADVERT, "")).await;
    assert_eq!(answer.0, 200, "a kept stream goes on");
    assert!(caller.opens(&owner.id).await.is_err(), "no place to greet");
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(caller.gets(&owner.id, ADVERT).await.0, 200, "again");
    owner.leave(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn a_stranger_has_few_streams_and_takes_none_from_others() {
    let mesh = MemoryMesh::default();
    let (owner, greedy, other) = (
        Bare::owner(&mesh, 1).await,
        Bare::idle(&mesh, 2),
        Bare::idle(&mesh, 3),
    );
    let mut held = Vec::new();
    let mut full = 0;
    for _ in 0..20 {
        let mut http = greedy.http(&owner.id).await;
        match sends(&mut http, request(Method::GET, ADVERT, "")).await {
            (200, _) => held.push(http),
            (503, words) if words.contains("too many streams") => full += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((held.len(), full), (4, 16));
    assert_eq!(other.gets(&owner.id, ADVERT).await.0, 200);
    drop(held);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(greedy.gets(&owner.id, ADVERT).await.0, 200);
    owner.leave(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_ends_its_stream() {
    let mesh = MemoryMesh::default();
    let (owner, caller) = (Bare::owner(&mesh, 1).await, Bare::idle(&mesh, 2));
    let mut stream = caller.opens(&owner.id).await.unwrap();
    let begun = Instant::now();
    stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    drips(&mut stream, b"x: y\r\n", Duration::from_secs(5)).await;
    assert!(seconds(begun) <= 100, "{}", seconds(begun));
    owner.leave(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn a_head_without_end_is_refused_before_it_is_large() {
    let mesh = MemoryMesh::default();
    let (owner, caller) = (Bare::owner(&mesh, 1).await, Bare::idle(&mesh, 2));
    let mut stream = caller.opens(&owner.id).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    let sending = async {
        let mut sent = 0;
        while sent < 10 * 1024 * 1024 && stream.write_all(&[b'y'; 1024]).await.is_ok() {
            sent += 1024;
            tokio::task::yield_now().await;
        }
        sent
    };
    let sent = patient("a head that is refused", sending).await;
    // What the sockets hold on the way comes on top of the owner's 16 KiB.
    assert!(sent < 1024 * 1024, "{sent}");
    owner.leave(&mesh).await;
}

/// An owner whose agent reads the whole of what it is sent, for a caller it lets in.
async fn reader(mesh: &MemoryMesh, caller: &Bare) -> Bare {
    let a2a = Router::new().fallback(|body: axum::body::Body| async move {
        match axum::body::to_bytes(body, 1024 * 1024).await {
            Ok(_) => StatusCode::OK,
            Err(_) => StatusCode::PAYLOAD_TOO_LARGE,
        }
    });
    let list = allow(caller.node.key(), "*");
    Bare::idle(mesh, 1).begin(&list, a2a).await
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_or_has_no_end_is_given_up() {
    let mesh = MemoryMesh::default();
    let caller = Bare::idle(&mesh, 2);
    let owner = reader(&mesh, &caller).await;
    let head = format!("POST {ECHO} HTTP/1.1\r\nhost: mesh\r\ntransfer-encoding: chunked\r\n\r\n");
    let begun = Instant::now();
    let mut stream = caller.opens(&owner.id).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = tokio::io::split(stream);
    let dripping = drips(&mut writing, b"1\r\nx\r\n", Duration::from_secs(1));
    let (answer, ()) = tokio::join!(rest(&mut reading), dripping);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!((119..=125).contains(&seconds(begun)), "{}", seconds(begun));

    let mut stream = caller.opens(&owner.id).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = format!("{PIECE:x}\r\n{}\r\n", "x".repeat(PIECE));
    let (mut reading, mut writing) = tokio::io::split(stream);
    let sending = async {
        let mut sent = 0;
        while sent < 1000 && writing.write_all(piece.as_bytes()).await.is_ok() {
            sent += 1;
        }
        sent
    };
    let sending = patient("a body that is refused", sending);
    let (answer, sent) = tokio::join!(rest(&mut reading), sending);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(sent < 64, "{sent} pieces of 64 KiB");
    owner.leave(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_nobody_reads_is_given_up() {
    let mesh = MemoryMesh::default();
    let caller = Bare::idle(&mesh, 2);
    let answers = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&answers);
    let a2a = Router::new().fallback(move || {
        let under = Under::way(&counted);
        async move {
            let pieces = endless().0.into_data_stream().map(move |piece| {
                let _held = &under;
                piece
            });
            axum::body::Body::from_stream(pieces)
        }
    });
    let list = allow(caller.node.key(), "*");
    let owner = Bare::idle(&mesh, 1).begin(&list, a2a).await;
    let mut stream = caller.opens(&owner.id).await.unwrap();
    let get = format!("GET {ECHO} HTTP/1.1\r\nhost: mesh\r\n\r\n");
    stream.write_all(get.as_bytes()).await.unwrap();
    soon(async || answers.load(Ordering::Relaxed) == 1).await;
    let begun = Instant::now();
    soon(async || answers.load(Ordering::Relaxed) == 0).await;
    assert!((55..=65).contains(&seconds(begun)), "{}", seconds(begun));
    owner.leave(&mesh).await;
}
