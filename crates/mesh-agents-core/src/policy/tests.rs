//! Who × what the owner's list says × what the agent is × what is asked, all of it.

use std::fmt::Write as _;

use ulid::Ulid;

use super::*;

const ADA: &str = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
const BOB: &str = "did:key:z6MkfUL9RCyJfHPrJLF1XGjhKvaLyvb4UvGqL5uzrXCoP6f8";

const STATES: [AgentState; 4] = [
    AgentState::Absent,
    AgentState::Broken,
    AgentState::Disabled,
    AgentState::Ready,
];
const STANDINGS: [Standing; 4] = [
    Standing::Allowed,
    Standing::Unlisted,
    Standing::Denied,
    Standing::Closed,
];
const KINDS: [QuestionKind; 3] = [
    QuestionKind::Permission,
    QuestionKind::Elicitation,
    QuestionKind::Auth,
];

fn agent() -> AgentId {
    "a".parse().unwrap()
}

fn grant(standing: Standing, advertised: bool, approve: bool) -> Grant {
    Grant {
        agent: agent(),
        skill: None,
        advertised,
        standing,
        approve,
    }
}

fn run() -> TaskId {
    TaskId::from_ulid(Ulid::nil())
}

fn key(did: &str) -> Principal {
    Principal::Key(did.to_owned())
}

/// Everybody who may ask, each under a name.
fn callers() -> Vec<(String, Caller)> {
    let of_task = |root| Caller::task(run(), Some(0), root);
    let mut all = vec![
        ("local".to_owned(), Caller::local()),
        ("token".to_owned(), Caller::token("ci")),
        ("run of local".to_owned(), of_task(Principal::Local)),
        (
            "run of nobody known".to_owned(),
            of_task(Principal::Task(run())),
        ),
        (
            "run that is over".to_owned(),
            Caller::task(run(), None, Principal::Local),
        ),
        ("key, not looked up".to_owned(), Caller::of(key(ADA))),
        ("run of key, not looked up".to_owned(), of_task(key(ADA))),
    ];
    for standing in STANDINGS {
        for advertised in [true, false] {
            for approve in [true, false] {
                let grant = grant(standing, advertised, approve);
                let what = format!(
                    "{standing:?}{}{}",
                    if advertised { ", offered" } else { "" },
                    if approve { ", approves" } else { "" }
                );
                all.push((format!("key: {what}"), Caller::key(ADA, grant.clone())));
                all.push((
                    format!("run of key: {what}"),
                    of_task(key(ADA)).with_grant(grant),
                ));
            }
        }
    }
    all
}

/// Everything that may be asked, with who sent the task in question.
fn operations<'a>(own: &'a Principal, other: &'a Principal) -> Vec<(String, Operation<'a>)> {
    let mut all = vec![
        ("discover".to_owned(), Operation::Discover),
        ("enter".to_owned(), Operation::Enter),
        ("return".to_owned(), Operation::Return),
        ("send".to_owned(), Operation::Send),
    ];
    for (whose, owner) in [("own", Some(own)), ("other's", Some(other)), ("no", None)] {
        all.push((format!("read {whose}"), Operation::Read(owner)));
        all.push((format!("cancel {whose}"), Operation::Cancel(owner)));
        for kind in KINDS {
            let what = format!("answer {kind:?} of {whose}");
            all.push((what, Operation::Answer(owner, kind)));
        }
    }
    all
}

fn word(said: &Result<(), Refusal>) -> &'static str {
    match said {
        Ok(()) => "yes",
        Err(refusal) => refusal.code.as_str(),
    }
}

/// The whole table: callers with the same answers together, states with the same answer on one line.
#[test]
fn the_whole_table() {
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    for (who, caller) in callers() {
        let mut answers = String::new();
        let other = key(BOB);
        for (what, operation) in operations(&caller.principal, &other) {
            let said = STATES.map(|state| word(&may(&caller, &agent(), state, operation)));
            let line = if said.iter().all(|word| *word == said[0]) {
                said[0].to_owned()
            } else {
                let all = STATES.iter().zip(said);
                let all: Vec<_> = all
                    .map(|(state, word)| format!("{state:?} {word}"))
                    .collect();
                all.join(", ")
            };
            writeln!(answers, "  {what}: {line}").unwrap();
        }
        match rows.iter_mut().find(|(known, _)| *known == answers) {
            Some((_, names)) => names.push(who),
            None => rows.push((answers, vec![who])),
        }
    }
    let row = |(answers, names): &(String, Vec<String>)| format!("{}\n{answers}", names.join("\n"));
    let table: Vec<String> = rows.iter().map(row).collect();
    insta::assert_snapshot!(table.join("\n"));
}

/// What must hold of every cell, said once more and apart from the table.
#[test]
fn a_peer_gets_nothing_it_was_not_given() {
    for (who, caller) in callers() {
        let Principal::Key(_) = caller.root else {
            continue;
        };
        let allowed = caller
            .grant
            .as_ref()
            .is_some_and(|grant| grant.standing == Standing::Allowed);
        let offered = caller.grant.as_ref().is_some_and(|grant| grant.advertised);
        let approves = caller.grant.as_ref().is_some_and(|grant| grant.approve);
        let is_key = matches!(caller.principal, Principal::Key(_));
        let other = key(BOB);
        for (what, operation) in operations(&caller.principal, &other) {
            for state in STATES {
                let said = may(&caller, &agent(), state, operation);
                let place = format!("{who}, {what}, {state:?}: {said:?}");
                let usable = offered && state == AgentState::Ready;
                match operation {
                    Operation::Discover => assert_eq!(said.is_ok(), usable, "{place}"),
                    Operation::Return if is_key => assert_eq!(said.is_ok(), allowed, "{place}"),
                    Operation::Enter | Operation::Return | Operation::Send => {
                        assert_eq!(said.is_ok(), usable && allowed, "{place}");
                    }
                    Operation::Read(owner) | Operation::Cancel(owner) => {
                        let own = owner == Some(&caller.principal);
                        assert_eq!(said.is_ok(), own && (allowed || !is_key), "{place}");
                    }
                    Operation::Answer(owner, kind) => {
                        let own = owner == Some(&caller.principal);
                        let may = kind != QuestionKind::Permission || approves;
                        assert_eq!(said.is_ok(), is_key && own && allowed && may, "{place}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_stranger_cannot_tell_a_hidden_agent_from_one_that_never_was() {
    let other = key(BOB);
    for standing in STANDINGS {
        let hidden = Caller::key(ADA, grant(standing, false, false));
        let offered = Caller::key(ADA, grant(standing, true, false));
        for (what, operation) in operations(&other, &other) {
            if operation == Operation::Return {
                // Asked only for one who has tasks of it, and so knows of it.
                continue;
            }
            let never = may(&hidden, &agent(), AgentState::Absent, operation);
            for (caller, state) in [
                (&hidden, AgentState::Ready),
                (&hidden, AgentState::Disabled),
                (&hidden, AgentState::Broken),
                (&offered, AgentState::Disabled),
                (&offered, AgentState::Broken),
            ] {
                let said = may(caller, &agent(), state, operation);
                assert_eq!(said, never, "{standing:?}, {what}, {state:?}");
                assert_eq!(word(&said), "agent_not_found");
            }
        }
    }
}

#[test]
fn a_grant_for_one_agent_says_nothing_of_another() {
    let mut elsewhere = grant(Standing::Allowed, true, true);
    elsewhere.agent = "b".parse().unwrap();
    let caller = Caller::key(ADA, elsewhere);
    for (what, operation) in operations(&key(ADA), &key(BOB)) {
        let said = may(&caller, &agent(), AgentState::Ready, operation);
        assert_eq!(word(&said), "agent_not_found", "{what}");
    }
}

#[test]
fn a_denied_caller_learns_why_and_what_its_own_key_is() {
    let said = |standing, skill: Option<&str>| {
        let grant = Grant {
            skill: skill.map(str::to_owned),
            ..grant(standing, true, false)
        };
        let caller = Caller::key(ADA, grant);
        may(&caller, &agent(), AgentState::Ready, Operation::Send)
            .unwrap_err()
            .to_string()
    };
    let mut all = vec![
        said(Standing::Unlisted, None),
        said(Standing::Unlisted, Some("review")),
        said(Standing::Denied, None),
        said(Standing::Closed, None),
    ];
    for one in &all {
        assert!(one.contains(ADA), "{one}");
    }
    let of_run =
        Caller::task(run(), Some(0), key(ADA)).with_grant(grant(Standing::Unlisted, true, false));
    all.push(
        may(&of_run, &agent(), AgentState::Ready, Operation::Send)
            .unwrap_err()
            .to_string(),
    );
    insta::assert_snapshot!(all.join("\n\n"));
    // What the caller wrote is not put into a command line for the owner.
    let odd = said(Standing::Unlisted, Some("x; rm -rf ~"));
    assert!(
        odd.ends_with(&format!("agents peers allow {ADA} a")),
        "{odd}"
    );
}

#[test]
fn a_chain_of_tasks_ends_at_the_depth_limit() {
    let send = |depth| {
        may(
            &Caller::task(run(), depth, Principal::Local),
            &agent(),
            AgentState::Ready,
            Operation::Send,
        )
    };
    assert!(send(Some(TASK_DEPTH - 1)).is_ok());
    assert_eq!(word(&send(Some(TASK_DEPTH))), "not_allowed");
    assert_eq!(word(&send(None)), "not_allowed");
}

#[test]
fn an_answer_is_asked_for_as_any_other_operation() {
    let caller = Caller::key(ADA, grant(Standing::Allowed, true, false));
    for kind in KINDS {
        let own = may_answer(&caller, &agent(), &key(ADA), kind);
        let expected = may(
            &caller,
            &agent(),
            AgentState::Ready,
            Operation::Answer(Some(&key(ADA)), kind),
        );
        assert_eq!(own, expected);
        assert_eq!(own.is_ok(), kind != QuestionKind::Permission);
    }
}

/// Who may know of and call an agent of another node, for whom this node would call it.
#[test]
fn an_agent_of_another_node_is_for_the_person_here_and_for_tokens_its_owner_named() {
    let far = AgentId::on_node(&agent(), BOB).unwrap();
    let of_task = |root| Caller::task(run(), Some(0), root);
    let token = || Principal::Token("ci".to_owned());
    // A list that allows a key everything, and says so of the very agent.
    let all = Grant {
        agent: far.clone(),
        ..grant(Standing::Allowed, true, true)
    };
    let (yes, no, hidden) = (None, Some(Code::NotAllowed), Some(Code::AgentNotFound));
    for (who, caller, said) in [
        ("local", Caller::local(), yes),
        ("run of local", of_task(Principal::Local), yes),
        ("token", Caller::token("ci"), no),
        ("run of token", of_task(token()), no),
        ("named token", Caller::token("ci").with_abroad(true), yes),
        (
            "run of named token",
            of_task(token()).with_abroad(true),
            yes,
        ),
        ("key", Caller::key(ADA, all.clone()), hidden),
        (
            "key, by mistake",
            Caller::key(ADA, all.clone()).with_abroad(true),
            hidden,
        ),
        ("run of key", of_task(key(ADA)).with_grant(all), hidden),
    ] {
        for operation in [
            Operation::Discover,
            Operation::Enter,
            Operation::Return,
            Operation::Send,
        ] {
            let found = may(&caller, &far, AgentState::Ready, operation);
            let found = found.err().map(|refusal| refusal.code);
            assert_eq!(found, said, "{who}, {operation:?}");
        }
    }
    let refused = may(
        &Caller::token("ci"),
        &far,
        AgentState::Ready,
        Operation::Send,
    )
    .unwrap_err();
    let words = refused.to_string();
    for word in ["access token \"ci\"", "mesh_tokens", "agents.toml"] {
        assert!(words.contains(word), "{word} in {words}");
    }
    // Of this node's own agents it says nothing.
    let own = may(
        &Caller::token("ci"),
        &agent(),
        AgentState::Ready,
        Operation::Send,
    );
    assert_eq!(own, Ok(()));
}
