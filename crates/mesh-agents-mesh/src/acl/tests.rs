//! What the list says, and how it says what is wrong with it.

use std::path::PathBuf;
use std::slice::from_ref;

use mesh_agents_core::policy::{AgentState, Caller, Operation, may};
use proptest::prelude::*;

use super::*;
use crate::identity::NodeSecret;

pub(super) const ADA: &str = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";

/// The example of the page for people.
fn documented() -> &'static str {
    let page = include_str!("../../ACL.md");
    let (_, rest) = page.split_once("```toml\n").unwrap();
    rest.split_once("```").unwrap().0
}

pub(super) fn file() -> PathBuf {
    PathBuf::from("/data/a2a/acl.toml")
}

fn acl(text: &str) -> Acl {
    match Acl::parse(text, &file()) {
        Ok(acl) => acl,
        Err(error) => panic!("{error}"),
    }
}

fn wrong(text: &str) -> String {
    Acl::parse(text, &file()).unwrap_err().to_string()
}

pub(super) fn key(n: u8) -> NodeKey {
    NodeSecret::from_seed(&[n; 32]).key()
}

fn says(acl: &Acl, key: &NodeKey, call: &str) -> Standing {
    let (agent, skill) = match call.split_once('/') {
        Some((agent, skill)) => (agent, Some(skill)),
        None => (call, None),
    };
    acl.standing(key, &agent.parse().unwrap(), skill)
}

#[test]
fn the_documented_example_does_what_its_comments_say() {
    let acl = acl(documented());
    let (ada, lost) = (
        ADA.parse().unwrap(),
        "did:key:z6MkfUL9RCyJfHPrJLF1XGjhKvaLyvb4UvGqL5uzrXCoP6f8"
            .parse()
            .unwrap(),
    );
    use Standing::{Allowed, Denied, Unlisted};
    for (who, call, expected) in [
        (&ada, "test-runner", Allowed),
        (&ada, "pr-review", Allowed),
        (&ada, "pr-review/anything", Allowed),
        (&ada, "docs/summarize", Allowed),
        (&ada, "docs/publish", Unlisted),
        (&ada, "docs", Unlisted),
        (&ada, "deploy", Denied),
        (&lost, "test-runner", Denied),
        (&lost, "anything", Denied),
        (&key(9), "test-runner", Allowed),
        (&key(9), "pr-review", Unlisted),
        (&key(9), "deploy/now", Denied),
    ] {
        assert_eq!(says(&acl, who, call), expected, "{call}");
    }
    assert_eq!(
        acl.rate(&ada),
        Rate {
            per_minute: 60,
            burst: 20
        }
    );
    assert_eq!(acl.rate(&key(9)), Rate::default());
    assert_eq!(
        Rate::default(),
        Rate {
            per_minute: 600,
            burst: 100
        }
    );
    assert_eq!(acl.labelled("ada"), Some(&ada));
    assert!(acl.peer(&ada).unwrap().approve && !acl.peer(&lost).unwrap().approve);
}

#[test]
fn an_empty_list_lets_nobody_in_and_a_closed_one_says_so() {
    for empty in [
        acl(""),
        acl("# nothing\n"),
        acl("[everyone]\n[peers]\n"),
        Acl::default(),
    ] {
        assert_eq!(says(&empty, &key(1), "a"), Standing::Unlisted);
    }
    assert_eq!(says(&Acl::closed(), &key(1), "a"), Standing::Closed);
}

#[test]
fn a_deny_of_a_skill_keeps_out_calls_that_do_not_say_what_they_are_for() {
    let acl = acl("[everyone]\nallow = [\"docs\"]\ndeny = [\"docs/publish\"]\n");
    assert_eq!(says(&acl, &key(1), "docs/publish"), Standing::Denied);
    assert_eq!(says(&acl, &key(1), "docs"), Standing::Denied);
    assert_eq!(says(&acl, &key(1), "docs/summarize"), Standing::Allowed);
}

#[test]
fn a_peer_without_a_rate_has_everyone_s() {
    let text = format!("[everyone]\nburst = 7\n[peers.\"{ADA}\"]\nrequests_per_minute = 5\n");
    let ada = ADA.parse().unwrap();
    assert_eq!(
        acl(&text).rate(&ada),
        Rate {
            per_minute: 5,
            burst: 7
        }
    );
}

#[test]
fn what_it_says_goes_into_the_policy_as_it_is() {
    let text = format!("[peers.\"{ADA}\"]\nallow = [\"a\"]\napprove = true\n");
    let (acl, ada) = (acl(&text), ADA.parse().unwrap());
    let agent: AgentId = "a".parse().unwrap();
    let sends = |key: &NodeKey, advertised| {
        let grant = acl.grant(key, &agent, None, advertised);
        let caller = Caller::key(key.to_string(), grant);
        may(&caller, &agent, AgentState::Ready, Operation::Send)
            .map_err(|refusal| refusal.to_string())
    };
    assert_eq!(sends(&ada, true), Ok(()));
    assert!(
        sends(&ada, false)
            .unwrap_err()
            .starts_with("agent_not_found")
    );
    let stranger = key(9);
    let denied = sends(&stranger, true).unwrap_err();
    assert!(
        denied.contains(&format!("agents peers allow {stranger} a")),
        "{denied}"
    );
    assert!(acl.grant(&ada, &agent, None, true).approve);
}

#[test]
fn every_mistake_is_told_with_its_place_and_what_to_do() {
    let text = format!(
        "[everyone]\nallow = \"test-runner\"\nlabel = \"all\"\nrequests_per_minute = 0\n\n\
         [peers.\"{ADA}\"]\nalow = [\"pr-review\"]\nallow = [\"pr review\", 5, \"docs/\"]\napprove = \"yes\"\nlabel = \"a\\u0007\"\n\n\
         [peers.ada]\nallow = [\"*\"]\nfrom = 1\n\n\
         [peers.\"{}\"]\nlabel = \"x\"\n[peers.\"{}\"]\nlabel = \"x\"\n\n[pears]\n",
        key(1),
        key(2),
    );
    insta::assert_snapshot!(wrong(&text));
}

#[test]
fn what_is_no_toml_is_told_where() {
    insta::assert_snapshot!(wrong("[everyone]\nallow = [\"a\"\n\n[peers]\n"));
    assert!(wrong("[everyone]\n[everyone]\n").starts_with("/data/a2a/acl.toml:2:"));
    let twice = format!("[peers.\"{ADA}\"]\n[peers.\"{ADA}\"]\n");
    assert!(wrong(&twice).starts_with("/data/a2a/acl.toml:2:"));
    assert!(wrong("peers = 5\n").contains("must be a table"));
}

#[test]
fn a_file_with_a_mistake_changes_nothing_and_the_mistake_is_shown() {
    let good = format!("[peers.\"{ADA}\"]\nallow = [\"a\"]\n");
    let ada = ADA.parse().unwrap();
    let mut list = LastGood::new(file());
    // Broken from the start: nobody, and that is said.
    assert_eq!(says(list.acl(), &ada, "a"), Standing::Closed);
    assert_eq!(list.read(Reading::Text("allow =")), Read::Kept);
    assert_eq!(says(list.acl(), &ada, "a"), Standing::Closed);
    let shown = list.explain().unwrap();
    assert!(
        shown.contains("acl.toml:1:") && shown.contains("no node may call"),
        "{shown}"
    );
    // Put right.
    assert_eq!(list.read(Reading::Text(&good)), Read::Changed);
    assert_eq!((list.problem(), list.explain()), (None, None));
    assert_eq!(says(list.acl(), &ada, "a"), Standing::Allowed);
    // The same once more, with another comment.
    assert_eq!(
        list.read(Reading::Text(&format!("# mine\n{good}"))),
        Read::Same
    );
    // Broken: the last good one stays, and the line is shown.
    let broken = format!("{good}\ndeny = [\"a\"\n");
    assert_eq!(list.read(Reading::Text(&broken)), Read::Kept);
    assert_eq!(says(list.acl(), &ada, "a"), Standing::Allowed);
    let shown = list.explain().unwrap();
    assert!(
        shown.contains("acl.toml:4:") && shown.contains("stays in force"),
        "{shown}"
    );
    assert_eq!(
        list.read(Reading::Unreadable("permission denied")),
        Read::Kept
    );
    assert!(list.explain().unwrap().contains("permission denied"));
    assert_eq!(says(list.acl(), &ada, "a"), Standing::Allowed);
    // Put right with less in it: a revocation.
    assert_eq!(list.read(Reading::Text("")), Read::Changed);
    assert_eq!(says(list.acl(), &ada, "a"), Standing::Unlisted);
    // Removed.
    list.read(Reading::Text(&good));
    assert_eq!(list.read(Reading::Absent), Read::Changed);
    assert_eq!(says(list.acl(), &ada, "a"), Standing::Unlisted);
}

proptest! {
    /// Whatever is written, what is not understood lets nobody in.
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}", lines in prop::collection::vec(line(), 0..12)) {
        for text in [text, lines.join("\n")] {
            if let Err(error) = Acl::parse(&text, &file()) {
                prop_assert!(error.to_string().starts_with("/data/a2a/acl.toml:"));
            }
        }
    }

    /// A deny is never without effect, wherever it stands and whatever else is allowed.
    #[test]
    fn a_deny_wins(
        denied in pattern(), allowed in prop::collection::vec(pattern(), 0..4),
        agent in "[ab]", skill in prop::option::of("[xy]"), for_all: bool,
    ) {
        let list = |patterns: &[Pattern]| {
            let quoted: Vec<_> = patterns.iter().map(|pattern| format!("\"{pattern}\"")).collect();
            format!("[{}]", quoted.join(", "))
        };
        let (deny, none) = (list(from_ref(&denied)), "[]".to_owned());
        let (all, one) = if for_all { (deny, none) } else { (none, deny) };
        let text = format!(
            "[everyone]\nallow = {0}\ndeny = {all}\n[peers.\"{ADA}\"]\nallow = {0}\ndeny = {one}\n", list(&allowed),
        );
        let agent: AgentId = agent.parse().unwrap();
        let said = acl(&text).standing(&ADA.parse().unwrap(), &agent, skill.as_deref());
        let any = allowed.iter().any(|pattern| pattern.allows(&agent, skill.as_deref()));
        let expected = match (denied.denies(&agent, skill.as_deref()), any) {
            (true, _) => Standing::Denied,
            (false, true) => Standing::Allowed,
            (false, false) => Standing::Unlisted,
        };
        prop_assert_eq!(said, expected);
        prop_assert!(denied.denies(&agent, skill.as_deref()) || !denied.allows(&agent, skill.as_deref()));
    }
}

fn pattern() -> impl Strategy<Value = Pattern> {
    prop::sample::select(vec!["*", "a", "b", "a/x", "a/y", "b/x"])
        .prop_map(|text| text.parse().unwrap())
}

fn line() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "[everyone]".to_owned(),
        "[peers]".to_owned(),
        format!("[peers.\"{ADA}\"]"),
        "[peers.x]".to_owned(),
        "allow = [\"a\", 1, [\"b\"]]".to_owned(),
        "deny = \"a\"".to_owned(),
        "label = \"\"".to_owned(),
        "burst = -1".to_owned(),
        "burst = 99999999999999999999".to_owned(),
        "peers = {}".to_owned(),
        "everyone.allow = [\"*\"]".to_owned(),
        "\"\" = 1".to_owned(),
        "approve = 1979-05-27".to_owned(),
        "[[peers]]".to_owned(),
    ])
}
