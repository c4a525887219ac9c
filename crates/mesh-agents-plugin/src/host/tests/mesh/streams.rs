//! Streams to and from peers, over the host.

use super::*;

#[tokio::test]
async fn a_ping_goes_out_and_comes_in_and_leaves_no_socket() {
    let mut world = World::start().await;
    let engine = world.engine();
    world.event(Kind::LocalStandby, None).await;
    engine.linked().await;
    let peer = id(1);
    let (answered, ()) = tokio::join!(ping(&engine.hub, &peer, "n-1"), world.loop_back());
    answered.unwrap();
    assert_eq!(world.sockets_left(), 0);
    assert_eq!(engine.hub.refused_streams(), 0);
    world.end().await;
    engine.die().await;
}

#[tokio::test]
async fn a_stream_that_is_no_ping_comes_whole_to_whoever_serves_it() {
    let mut world = World::start().await;
    let engine = world.engine();
    let mut incoming = engine.hub.incoming();
    let answer = world.inbound().await;
    assert!(answer.accepted, "{answer:?}");
    assert_eq!(answer.stream_id, "../../their/choice");
    let endpoint = answer.endpoint.unwrap();
    assert!(endpoint.starts_with(world.dir.path().join("in").to_str().unwrap()));
    let mut peer = UnixStream::connect(&endpoint).await.unwrap();
    peer.write_all(b"{\"mesh_agents\":1,\"kind\":\"hello\"}\nPOST / HTTP/1.1\r\n")
        .await
        .unwrap();
    let mut taken = incoming.recv().await.unwrap();
    assert_eq!(world.sockets_left(), 0, "one connection each");
    peer.shutdown().await.unwrap();
    let mut text = String::new();
    taken.stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(
        text,
        "{\"mesh_agents\":1,\"kind\":\"hello\"}\nPOST / HTTP/1.1\r\n"
    );
    taken.stream.write_all(b"welcome").await.unwrap();
    drop(taken);
    text.clear();
    peer.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "welcome");
    world.end().await;
    engine.die().await;
}

#[tokio::test]
async fn a_stream_the_host_cannot_open_says_why() {
    let mut world = World::start().await;
    let engine = world.engine();
    world.event(Kind::LocalStandby, None).await;
    engine.linked().await;
    let peer = id(1);
    let refuse = async {
        let (request, target) = world.outbound().await;
        assert_eq!(target, id(1).to_string());
        let error = ErrorResponse {
            message: "target peer is not routable".into(),
            ..ErrorResponse::default()
        };
        world
            .host
            .send(request, Payload::ErrorResponse(error))
            .await;
    };
    let (refused, ()) = tokio::join!(engine.hub.open(&peer), refuse);
    let text = refused.unwrap_err().to_string();
    assert!(text.ends_with("target peer is not routable"), "{text}");

    // A peer without our plugin is an end without a word (host-contract §7).
    let end_at_once = async {
        let (request, _) = world.outbound().await;
        let out = world.dir.path().join("out");
        let listener = UnixListener::bind(&out).unwrap();
        world.answer_open(request, &out).await;
        listener.accept().await.unwrap();
    };
    let (closed, ()) = tokio::join!(ping(&engine.hub, &peer, "n"), end_at_once);
    assert!(matches!(closed, Err(PingError::Closed)), "{closed:?}");
    world.end().await;
    engine.die().await;
}

#[tokio::test]
async fn a_host_that_does_not_answer_an_open_is_not_waited_for_for_ever() {
    let mut world = World::start().await;
    let engine = world.engine();
    world.event(Kind::LocalStandby, None).await;
    engine.linked().await;
    let peer = id(1);
    let ignore = async {
        world.outbound().await;
        tokio::time::pause();
    };
    let (opened, ()) = tokio::join!(engine.hub.open(&peer), ignore);
    assert!(
        matches!(opened, Err(OpenError::TimedOut { .. })),
        "{opened:?}"
    );
    tokio::time::resume();
    world.end().await;
    engine.die().await;
}

#[tokio::test]
async fn a_stream_nobody_waits_for_any_more_is_connected_to_all_the_same() {
    let mut world = World::start().await;
    let engine = world.engine();
    world.event(Kind::LocalStandby, None).await;
    engine.linked().await;
    let peer = id(1);
    let (request, _) = tokio::select! {
        opened = engine.hub.open(&peer) => panic!("{opened:?}"),
        asked = world.outbound() => asked,
    };
    let out = world.dir.path().join("out");
    let listener = UnixListener::bind(&out).unwrap();
    world.answer_open(request, &out).await;
    let (mut bridge, _) = listener.accept().await.unwrap();
    assert_eq!(bridge.read(&mut [0]).await.unwrap(), 0, "and let go of");

    // The same when the engine that asked is gone.
    let (request, _) = tokio::select! {
        opened = engine.hub.open(&peer) => panic!("{opened:?}"),
        asked = world.outbound() => asked,
    };
    engine.die().await;
    let out = world.dir.path().join("out-2");
    let listener = UnixListener::bind(&out).unwrap();
    world.answer_open(request, &out).await;
    let (mut bridge, _) = listener.accept().await.unwrap();
    assert_eq!(bridge.read(&mut [0]).await.unwrap(), 0);
    world.end().await;
}

#[tokio::test]
async fn a_peer_s_stream_is_refused_where_no_engine_is_and_waits_for_one_that_comes() {
    let mut world = World::start().await;
    let asked = tokio::time::Instant::now();
    tokio::time::pause();
    let refused = world.inbound().await;
    assert!(!refused.accepted);
    assert_eq!(refused.message.as_deref(), Some("no engine takes it"));
    assert!(
        asked.elapsed() < Duration::from_secs(30),
        "or the host kills us"
    );
    tokio::time::resume();

    let request = OpenStreamRequest {
        stream_id: "late".into(),
        ..OpenStreamRequest::default()
    };
    let id = world.host.say(Payload::OpenStreamRequest(request)).await;
    let engine = world.engine();
    match world.host.said_that(|said| said.request_id == id).await.1 {
        Payload::OpenStreamResponse(answer) => assert!(answer.accepted, "{answer:?}"),
        other => panic!("{other:?}"),
    }
    world.end().await;
    engine.die().await;
}

#[tokio::test]
async fn peers_that_flood_us_with_streams_are_refused_and_counted() {
    let mut world = World::start().await;
    let engine = world.engine();
    world.event(Kind::LocalStandby, None).await;
    engine.linked().await;
    let mut sockets = Vec::new();
    let mut refused = 0;
    for _ in 0..70 {
        let answer = world.inbound().await;
        match answer.endpoint {
            Some(socket) => sockets.push(socket),
            None => refused += 1,
        }
    }
    assert_eq!((sockets.len(), refused), (64, 6), "64 may wait");
    assert_eq!(engine.hub.refused_streams(), 6);
    // One that ends without a word, or never comes, makes place for the next.
    for socket in sockets {
        let _late = UnixStream::connect(socket).await;
    }
    while world.sockets_left() > 0 || engine.hub.refused_streams() < 70 {
        tokio::task::yield_now().await;
    }
    assert!(world.inbound().await.accepted);
    world.end().await;
    engine.die().await;
}

#[tokio::test]
async fn what_a_stranger_sends_first_is_bounded() {
    let mut world = World::start().await;
    let engine = world.engine();
    let mut incoming = engine.hub.incoming();
    let endpoint = world.inbound().await.endpoint.unwrap();
    let mut endless = UnixStream::connect(endpoint).await.unwrap();
    let junk = Bytes::from(vec![b'x'; 64 * 1024 * 1024]);
    assert!(endless.write_all(&junk).await.is_err(), "it is cut off");
    let mut rest = Vec::new();
    let _reset = endless.read_to_end(&mut rest).await;
    assert!(rest.is_empty());

    let endpoint = world.inbound().await.endpoint.unwrap();
    let mut slow = UnixStream::connect(endpoint).await.unwrap();
    slow.write_all(b"{\"mesh_agents\":1,").await.unwrap();
    tokio::time::pause();
    let started = tokio::time::Instant::now();
    assert_eq!(slow.read(&mut [0]).await.unwrap(), 0);
    assert!(started.elapsed() < Duration::from_secs(10));
    tokio::time::resume();
    assert!(incoming.try_recv().is_err());
    assert_eq!(engine.hub.refused_streams(), 2);
    world.end().await;
    engine.die().await;
}
