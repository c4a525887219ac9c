//! Honest handshakes, and the attacks of the module's page, each tried.

use proptest::prelude::*;

use super::*;

/// A node: its key, its host's peer id, its mesh.
struct Node {
    secret: NodeSecret,
    here: Here,
}

fn node(n: u8) -> Node {
    Node {
        secret: NodeSecret::from_seed(&[n; 32]),
        here: Here {
            peer_id: format!("{n:02x}").repeat(32).parse().unwrap(),
            mesh_id: "team".to_owned(),
        },
    }
}

impl Node {
    fn opens_to(&self, other: &Self, nonce: u8) -> (Initiator<'_>, Vec<u8>) {
        self.opens(other.here.peer_id.clone(), None, nonce)
    }

    fn opens(
        &self,
        peer_id: MeshPeerId,
        key: Option<NodeKey>,
        nonce: u8,
    ) -> (Initiator<'_>, Vec<u8>) {
        Initiator::begin(&self.secret, [nonce; 32], &self.here, Whom { peer_id, key })
    }

    fn receives(&self, line: &[u8], nonce: u8) -> Result<(Responder, Vec<u8>), HandshakeError> {
        match Opening::read(line)? {
            Opening::Hello(hello) => {
                Responder::receive(&self.secret, [nonce; 32], &self.here, &hello)
            }
            Opening::Ping(_) => panic!("a ping"),
        }
    }
}

/// The hello with the value of one field replaced.
fn with(line: &[u8], field: &str, value: &str) -> Vec<u8> {
    let mut json: serde_json::Value = serde_json::from_slice(line).unwrap();
    json[field] = value.into();
    format!("{json}\n").into_bytes()
}

fn field(line: &[u8], field: &str) -> String {
    let json: serde_json::Value = serde_json::from_slice(line).unwrap();
    json[field].as_str().unwrap().to_owned()
}

#[test]
fn two_nodes_learn_each_other_and_http_follows() {
    let (a, b) = (node(1), node(2));
    let (opener, hello) = a.opens(b.here.peer_id.clone(), Some(b.secret.key()), 11);
    let (receiver, welcome) = b.receives(&hello, 22).unwrap();
    let (proof, reached) = opener.finish(&welcome).unwrap();
    assert_eq!(
        reached,
        Authenticated {
            key: b.secret.key(),
            peer_id: b.here.peer_id.clone()
        }
    );
    // The proof and the first request come in one read.
    let mut read = proof.clone();
    read.extend(b"GET / HTTP/1.1\r\n");
    let end = read.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    assert_eq!(&read[end..], b"GET / HTTP/1.1\r\n");
    let caller = receiver.finish(&read[..end]).unwrap();
    assert_eq!(
        caller,
        Opener {
            key: a.secret.key(),
            claimed_peer_id: a.here.peer_id.clone()
        }
    );
    assert!(hello.len() < 500 && welcome.len() < 500 && proof.len() < 500);
}

#[test]
fn the_wire_is_what_it_was_when_version_1_was_released() {
    let (a, b) = (node(1), node(2));
    let (opener, hello) = a.opens_to(&b, 3);
    let (_, welcome) = b.receives(&hello, 4).unwrap();
    let (proof, _) = opener.finish(&welcome).unwrap();
    let lines = [hello, welcome, proof].concat();
    insta::assert_snapshot!(String::from_utf8(lines).unwrap());
}

#[test]
fn a_relayed_opener_is_not_taken_for_itself() {
    let (a, b, m) = (node(1), node(2), node(3));
    // A wants M. M passes A's hello on to B.
    let (opener, hello) = a.opens_to(&m, 11);
    assert_eq!(
        b.receives(&hello, 22).unwrap_err(),
        HandshakeError::WrongPeer
    );
    // M writes B's peer id into it. B answers, and M lets A have that answer.
    let forged = with(&hello, "to", b.here.peer_id.as_str());
    let (at_b, welcome_b) = b.receives(&forged, 22).unwrap();
    assert_eq!(
        opener.finish(&welcome_b).unwrap_err(),
        HandshakeError::BadSignature
    );
    // M answers A itself, under its own key and B's nonce, and lets B have A's proof.
    let (opener, hello) = a.opens_to(&m, 11);
    let (_, welcome_m) = m.receives(&hello, 22).unwrap();
    assert_eq!(field(&welcome_m, "nonce"), field(&welcome_b, "nonce"));
    let (proof, reached) = opener.finish(&welcome_m).unwrap();
    assert_eq!(reached.key, m.secret.key());
    assert_eq!(
        at_b.finish(&proof).unwrap_err(),
        HandshakeError::BadSignature
    );
}

#[test]
fn a_node_cannot_pass_for_another_at_its_own_peer_id() {
    let (a, b, m) = (node(1), node(2), node(3));
    // A opens to M's peer id without knowing a key; M lets B answer under any hello B would take.
    let (opener, hello) = a.opens_to(&m, 11);
    for forged in [
        with(&hello, "to", b.here.peer_id.as_str()),
        m.opens_to(&b, 11).1,
    ] {
        let (_, welcome_b) = b.receives(&forged, 22).unwrap();
        let again = a.opens_to(&m, 11).0;
        assert_eq!(
            again.finish(&welcome_b).unwrap_err(),
            HandshakeError::BadSignature
        );
    }
    // And B's key under M's signature is no better.
    let (_, welcome_m) = m.receives(&hello, 22).unwrap();
    let forged = with(&welcome_m, "key", &b.secret.key().to_string());
    assert_eq!(
        opener.finish(&forged).unwrap_err(),
        HandshakeError::BadSignature
    );
}

#[test]
fn a_recorded_handshake_opens_nothing_a_second_time() {
    let (a, b) = (node(1), node(2));
    let (opener, hello) = a.opens_to(&b, 11);
    let (receiver, welcome) = b.receives(&hello, 22).unwrap();
    let (proof, _) = opener.finish(&welcome).unwrap();
    receiver.finish(&proof).unwrap();
    let (again, _) = b.receives(&hello, 23).unwrap();
    assert_eq!(
        again.finish(&proof).unwrap_err(),
        HandshakeError::BadSignature
    );
    let (opener, _) = a.opens_to(&b, 12);
    assert_eq!(
        opener.finish(&welcome).unwrap_err(),
        HandshakeError::BadSignature
    );
}

#[test]
fn a_node_is_not_fooled_by_its_own_lines() {
    let (b, m) = (node(2), node(3));
    // B opened to M, which sends B's hello back on a stream of its own.
    let (opener, hello) = b.opens_to(&m, 11);
    let own = HandshakeError::OwnKey(b.secret.key());
    assert_eq!(b.receives(&hello, 22).unwrap_err(), own);
    assert_eq!(
        b.receives(&with(&hello, "key", &m.secret.key().to_string()), 22)
            .unwrap_err(),
        HandshakeError::WrongPeer
    );
    // M has B welcome it, and gives B that welcome as the answer to B's own hello.
    let (_, from_m) = m.opens_to(&b, 11);
    let (receiver, welcome) = b.receives(&from_m, 11).unwrap();
    assert_eq!(opener.finish(&welcome).unwrap_err(), own);
    // B's own signature is no proof of the opener, though it is over the same fields.
    let proof = with(
        b"{\"mesh_agents\":1,\"kind\":\"proof\"}",
        "signature",
        &field(&welcome, "signature"),
    );
    assert_eq!(
        receiver.finish(&proof).unwrap_err(),
        HandshakeError::BadSignature
    );
    // Somebody at B's own peer id that is not B.
    let mut twin = node(4);
    twin.here.peer_id = b.here.peer_id.clone();
    let (_, hello) = twin.opens_to(&b, 11);
    assert_eq!(
        b.receives(&hello, 22).unwrap_err(),
        HandshakeError::WrongPeer
    );
}

#[test]
fn the_role_alone_makes_a_signature_another_one() {
    let (a, b) = (node(1), node(2));
    let (_, hello) = a.opens_to(&b, 11);
    let Opening::Hello(hello) = Opening::read(&hello).unwrap() else {
        panic!("no hello");
    };
    let welcome = WelcomeLine {
        key: b.secret.key(),
        nonce: Bytes32([1; 32]),
        mesh: None,
        signature: [0; 64],
    };
    let of = |role| signed(role, &hello.said, &welcome, &hello.digest);
    assert_ne!(of(Role::Opener), of(Role::Receiver));
}

#[test]
fn a_swapped_key_is_told_from_a_forged_one() {
    let (a, b, m) = (node(1), node(2), node(3));
    // M's own key, rightly signed, at the peer id where B's was pinned.
    let (opener, hello) = a.opens(m.here.peer_id.clone(), Some(b.secret.key()), 11);
    let (_, welcome) = m.receives(&hello, 22).unwrap();
    let error = opener.finish(&welcome).unwrap_err();
    assert_eq!(
        error,
        HandshakeError::WrongKey {
            expected: b.secret.key(),
            found: m.secret.key()
        }
    );
    assert!(error.to_string().contains("agents peers forget"));
    // A key M does not hold raises no such warning.
    let (opener, hello) = a.opens(m.here.peer_id.clone(), Some(b.secret.key()), 11);
    let (_, welcome) = m.receives(&hello, 22).unwrap();
    let forged = with(&welcome, "key", &node(9).secret.key().to_string());
    assert_eq!(
        opener.finish(&forged).unwrap_err(),
        HandshakeError::BadSignature
    );
}

#[test]
fn another_mesh_is_refused_by_both_and_an_unknown_one_is_not() {
    let (a, mut b) = (node(1), node(2));
    b.here.mesh_id = "public".to_owned();
    let (opener, hello) = a.opens_to(&b, 11);
    assert_eq!(
        b.receives(&hello, 22).unwrap_err(),
        HandshakeError::WrongMesh
    );
    // A receiver that does not look: the opener does.
    let unaware = with(&hello, "mesh", &field(&b.opens_to(&a, 1).1, "mesh"));
    let (_, welcome) = b.receives(&unaware, 22).unwrap();
    assert_eq!(
        opener.finish(&welcome).unwrap_err(),
        HandshakeError::WrongMesh
    );
    b.here.mesh_id.clear();
    let (opener, hello) = a.opens_to(&b, 11);
    let (receiver, welcome) = b.receives(&hello, 22).unwrap();
    let (proof, _) = opener.finish(&welcome).unwrap();
    assert!(receiver.finish(&proof).is_ok());
}

#[test]
fn a_ping_is_answered_without_a_name() {
    let b = node(2);
    let Opening::Ping(pong) = Opening::read(&ping("n-7")).unwrap() else {
        panic!("no ping");
    };
    assert_eq!(read_pong(&pong, "n-7"), Ok(()));
    assert!(read_pong(&pong, "n-8").is_err());
    let text = String::from_utf8(pong.clone()).unwrap();
    assert!(!text.contains("did:key") && !text.contains(b.here.peer_id.as_str()));
    // Any short nonce is sent back, and no long or odd one.
    let asked = |nonce: &str| Opening::read(&with(&ping("n-7"), "nonce", nonce));
    assert!(matches!(
        asked("01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        Ok(Opening::Ping(_))
    ));
    assert!(asked(&"x".repeat(65)).is_err() && asked("a b").is_err());
    // And it is no line of a handshake.
    let a = node(1);
    let (opener, _) = a.opens_to(&b, 11);
    assert_eq!(
        opener.finish(&pong).unwrap_err(),
        HandshakeError::UnexpectedKind { wanted: "welcome" }
    );
}

#[test]
fn what_cannot_be_read_is_refused_by_its_name() {
    let (a, b) = (node(1), node(2));
    let (_, hello) = a.opens_to(&b, 11);
    let later = b"{\"mesh_agents\":2,\"kind\":\"hello\"}\n";
    let refused = |line: &[u8]| b.receives(line, 22).map(|_| ()).unwrap_err().code();
    assert_eq!(refused(later), RefusalCode::Version);
    assert_eq!(
        refused(b"{\"mesh_agents\":1,\"kind\":\"proof\"}\n"),
        RefusalCode::UnexpectedKind
    );
    assert_eq!(refused(b"GET / HTTP/1.1\r\n"), RefusalCode::Malformed);
    assert_eq!(refused(b"{\"kind\":\"hello\"}\n"), RefusalCode::Malformed);
    assert_eq!(refused(&hello[..hello.len() - 1]), RefusalCode::Malformed);
    assert_eq!(
        refused(&[hello.clone(), hello.clone()].concat()),
        RefusalCode::Malformed
    );
    assert_eq!(
        refused(&with(&hello, "nonce", "c2hvcnQ")),
        RefusalCode::Malformed
    );
    assert_eq!(refused(&with(&hello, "from", "AB")), RefusalCode::Malformed);
    assert_eq!(
        refused(&with(&hello, "pad", &"x".repeat(LINE_BYTES))),
        RefusalCode::TooLong
    );
    // A field of a later version is passed over, and bound with the rest.
    let (receiver, _) = b.receives(&with(&hello, "later", "x"), 22).unwrap();
    let (opener, hello) = a.opens_to(&b, 11);
    let (_, welcome) = b.receives(&hello, 22).unwrap();
    let (proof, _) = opener.finish(&welcome).unwrap();
    assert_eq!(
        receiver.finish(&proof).unwrap_err(),
        HandshakeError::BadSignature
    );
}

#[test]
fn a_refusal_says_its_code_and_nothing_of_the_node() {
    let (a, b) = (node(1), node(2));
    let all = [
        HandshakeError::TooLong,
        HandshakeError::Malformed("secret".to_owned()),
        HandshakeError::Version { theirs: 7 },
        HandshakeError::UnexpectedKind { wanted: "hello" },
        HandshakeError::WrongPeer,
        HandshakeError::WrongMesh,
        HandshakeError::OwnKey(b.secret.key()),
        HandshakeError::WrongKey {
            expected: b.secret.key(),
            found: a.secret.key(),
        },
        HandshakeError::BadSignature,
        HandshakeError::NotReady,
    ];
    for error in all {
        let line = error.line().unwrap();
        let text = String::from_utf8(line.clone()).unwrap();
        for own in ["did:key", "secret", "team", b.here.peer_id.as_str()] {
            assert!(!text.contains(own), "{text}");
        }
        let (opener, _) = a.opens_to(&b, 11);
        let heard = opener.finish(&line).unwrap_err();
        assert_eq!(heard, HandshakeError::Refused(error.code()));
        assert!(heard.to_string().contains(error.code().as_str()), "{heard}");
        assert_eq!(heard.line(), None, "a refusal is not answered by a refusal");
    }
    // The other side's own words are not repeated.
    let odd = b"{\"mesh_agents\":1,\"kind\":\"refused\",\"code\":\"\\u001b[31m\",\"message\":\"run rm\"}\n";
    let heard = a.opens_to(&b, 11).0.finish(odd).unwrap_err();
    assert_eq!(heard, HandshakeError::Refused(RefusalCode::Other));
}

proptest! {
    /// Whatever byte is changed on its way, the two do not both believe they know each other.
    #[test]
    fn no_changed_byte_gets_through(which in 0..3usize, at: prop::sample::Index, byte: u8) {
        let (a, b) = (node(1), node(2));
        let change = |n: usize, line: &mut Vec<u8>| {
            if n == which {
                let at = at.index(line.len());
                line[at] = if line[at] == byte { byte.wrapping_add(1) } else { byte };
            }
        };
        let (opener, mut hello) = a.opens_to(&b, 11);
        change(0, &mut hello);
        let Ok((receiver, mut welcome)) = b.receives(&hello, 22) else { return Ok(()) };
        change(1, &mut welcome);
        let Ok((mut proof, _)) = opener.finish(&welcome) else { return Ok(()) };
        prop_assert_ne!(which, 0, "the opener accepted an answer to a hello it never sent");
        change(2, &mut proof);
        prop_assert!(receiver.finish(&proof).is_err());
    }

    #[test]
    fn no_line_makes_it_panic(bytes: Vec<u8>, text in "[{}\\[\\]\":,a-z_0-9 ]{0,200}\n") {
        let (a, b) = (node(1), node(2));
        for line in [bytes.as_slice(), text.as_bytes()] {
            let _opening = Opening::read(line);
            prop_assert!(a.opens_to(&b, 11).0.finish(line).is_err());
            let (_, hello) = a.opens_to(&b, 11);
            let (receiver, _) = b.receives(&hello, 22).unwrap();
            prop_assert!(receiver.finish(line).is_err());
        }
    }

    /// Lines that are right in form and odd in content.
    #[test]
    fn no_value_makes_it_panic(
        kind in prop::sample::select(vec!["hello", "welcome", "proof", "ping", "pong", "refused"]),
        name in prop::sample::select(vec!["key", "nonce", "from", "to", "mesh", "signature", "code", "mesh_agents"]),
        value in "\\PC{0,80}",
    ) {
        let (a, b) = (node(1), node(2));
        let (_, hello) = a.opens_to(&b, 11);
        let line = with(&with(&hello, "kind", kind), name, &value);
        let _opening = b.receives_any(&line);
        prop_assert!(a.opens_to(&b, 11).0.finish(&line).is_err());
    }
}

impl Node {
    fn receives_any(&self, line: &[u8]) -> Result<(), HandshakeError> {
        match Opening::read(line)? {
            Opening::Hello(hello) => {
                Responder::receive(&self.secret, [1; 32], &self.here, &hello).map(|_| ())
            }
            Opening::Ping(_) => Ok(()),
        }
    }
}
