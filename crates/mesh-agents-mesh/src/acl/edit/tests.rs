//! What a person wrote stays, and what a command says is then so.

use std::slice::from_ref;

use mesh_agents_core::policy::Standing;
use proptest::prelude::*;

use super::super::tests::{ADA, file, key};
use super::*;

fn ada() -> NodeKey {
    ADA.parse().unwrap()
}

fn patterns(text: &str) -> Vec<Pattern> {
    text.split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect()
}

fn allows(text: &str, what: &str) -> Result<Edited, EditError> {
    allow(text, &file(), &ada(), &patterns(what), Also::default())
}

fn denies(text: &str, what: &str) -> Result<Edited, EditError> {
    deny(text, &file(), &ada(), &patterns(what), Also::default())
}

fn changed(edited: Result<Edited, EditError>) -> String {
    match edited {
        Ok(Edited::Changed(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_allow_makes_the_file() {
    let also = Also {
        label: Some("ada"),
        approve: Some(true),
    };
    let text = changed(allow(
        "",
        &file(),
        &ada(),
        &patterns("pr-review docs/summarize"),
        also,
    ));
    assert_eq!(
        text,
        format!(
            "{HEADER}\n[peers.\"{ADA}\"]\nallow = [\"pr-review\", \"docs/summarize\"]\nlabel = \"ada\"\napprove = true\n"
        )
    );
    assert_eq!(
        allow(&text, &file(), &ada(), &patterns("pr-review"), also),
        Ok(Edited::Unchanged)
    );
}

/// A file as people write them.
fn theirs() -> String {
    format!(
        "# My list.\n\n# Everybody.\n[everyone]\nallow = [ \"test-runner\" ]   # harmless\n\n\
         # About this whole part.\n\n# Ada, from the team.\n[peers.\"{ADA}\"] # since May\nlabel = 'ada'  # hers\nallow = [\n  \"a\", # first\n  # the second is special\n  \"b\",   # second\n]\n\n\
         # Bob.\n[peers.\"{}\"]\ndeny = [\"*\"]\n# the end\n",
        key(2)
    )
}

#[test]
fn an_allow_adds_its_words_and_touches_nothing_else() {
    let text = changed(allows(&theirs(), "a c"));
    assert_eq!(
        text,
        theirs().replace("# second\n]", "# second\n  \"c\",\n]")
    );
    let text = changed(allows(
        &theirs().replace("  \"b\",   # second\n", "  \"b\"   # second\n"),
        "c",
    ));
    assert_eq!(
        text,
        theirs().replace("# second\n]", "# second\n  \"c\",\n]")
    );
}

#[test]
fn a_new_key_comes_after_all_there_is() {
    let also = Also {
        label: Some("carla"),
        approve: None,
    };
    let text = changed(allow(&theirs(), &file(), &key(3), &patterns("*"), also));
    let added = format!(
        "\n[peers.\"{}\"]\nallow = [\"*\"]\nlabel = \"carla\"\n",
        key(3)
    );
    assert_eq!(text, theirs() + &added);
    let short = "[everyone]\nallow = [\"a\"]";
    let text = changed(allows(short, "b"));
    assert_eq!(
        text,
        format!("{short}\n\n[peers.\"{ADA}\"]\nallow = [\"b\"]\n")
    );
}

#[test]
fn a_deny_takes_back_the_same_allow_and_an_allow_the_same_deny() {
    let one = |text: &str| format!("[peers.\"{ADA}\"]\n{text}");
    let text = changed(denies(&one("allow = [\"a\", \"b\"] # mine\n"), "a"));
    assert_eq!(text, one("allow = [\"b\"] # mine\ndeny = [\"a\"]\n"));
    let text = changed(allows(&text, "a"));
    assert_eq!(text, one("allow = [\"b\", \"a\"] # mine\n"));
    // Without a word it is everything; what was allowed stays written for the day it is taken back.
    let text = changed(denies(&one("allow = [\"a\"]\n"), ""));
    assert_eq!(text, one("allow = [\"a\"]\ndeny = [\"*\"]\n"));
    // Out of the middle of a list with remarks.
    let text = changed(denies(&theirs(), "b"));
    let expected = theirs().replace("  \"b\",   # second\n]", "]\ndeny = [\"b\"]");
    assert_eq!(text, expected);
    let text = changed(denies(&theirs(), "a"));
    let expected = theirs()
        .replace("  \"a\", # first\n", "")
        .replace("# second\n]", "# second\n]\ndeny = [\"a\"]");
    assert_eq!(text, expected);
}

#[test]
fn an_allow_that_a_wider_deny_would_make_void_is_refused() {
    let refused = |text: &str, what: &str| allows(text, what).unwrap_err().to_string();
    let own = format!("[peers.\"{ADA}\"]\ndeny = [\"*\"]\n");
    let said = refused(&own, "a");
    assert!(
        said.contains("deny = [\"*\"]") && said.contains("agents peers forget"),
        "{said}"
    );
    let said = refused("[everyone]\ndeny = [\"a\"]\n", "a/x");
    assert!(
        said.contains("[everyone]") && !said.contains("forget"),
        "{said}"
    );
    assert!(refused("[everyone]\ndeny = [\"*\"]\n", "*").contains("[everyone]"));
    // A narrower deny is an exception, and stays.
    let text = changed(allows(
        &format!("[peers.\"{ADA}\"]\ndeny = [\"a/x\"]\n"),
        "a",
    ));
    assert_eq!(
        text,
        format!("[peers.\"{ADA}\"]\ndeny = [\"a/x\"]\nallow = [\"a\"]\n")
    );
}

#[test]
fn forgetting_takes_the_table_and_the_comment_above_it_only() {
    let text = match forget(&theirs(), &file(), &ada()) {
        Ok(Edited::Changed(text)) => text,
        other => panic!("{other:?}"),
    };
    let start = theirs().find("# Ada").unwrap();
    let end = theirs().find("\n# Bob").unwrap();
    let expected = format!("{}{}", &theirs()[..start], &theirs()[end + 1..]);
    assert_eq!(
        text.replace("\n\n\n", "\n\n"),
        expected.replace("\n\n\n", "\n\n")
    );
    assert!(text.contains("# About this whole part.") && text.contains("# the end"));
    // The last table, with the head of the file above it.
    let only = format!("# My list.\n\n# Ada.\n[peers.\"{ADA}\"]\nallow = [\"a\"]\n");
    assert_eq!(changed(forget(&only, &file(), &ada())), "# My list.\n");
    assert_eq!(forget(&only, &file(), &key(3)), Ok(Edited::Unchanged));
    assert_eq!(forget("", &file(), &key(3)), Ok(Edited::Unchanged));
}

#[test]
fn other_ways_to_write_a_table_are_edited_as_they_are() {
    let inline = format!("peers = {{ \"{ADA}\" = {{ allow = [\"a\"] }} }} # short\n");
    let text = changed(allows(&inline, "b"));
    assert_eq!(text, inline.replace("[\"a\"]", "[\"a\", \"b\"]"));
    let dotted = format!("peers.\"{ADA}\".allow = [\"a\"]\n");
    let text = changed(allows(&dotted, "b"));
    assert_eq!(text, dotted.replace("[\"a\"]", "[\"a\", \"b\"]"));
    assert!(!changed(forget(&dotted, &file(), &ada())).contains(ADA));
    assert!(!changed(forget(&inline, &file(), &ada())).contains(ADA));
    let text = changed(allow(
        &inline,
        &file(),
        &key(3),
        &patterns("c"),
        Also::default(),
    ));
    assert!(
        Acl::parse(&text, &file()).unwrap().peer(&key(3)).is_some(),
        "{text}"
    );
    let crlf = theirs().replace('\n', "\r\n");
    let text = changed(allows(&crlf, "c"));
    assert_eq!(
        text,
        crlf.replace("# second\r\n]", "# second\r\n  \"c\",\r\n]")
    );
}

#[test]
fn a_label_is_one_peer_s_and_can_be_read() {
    let label = |text: &str, key: &NodeKey, label| {
        let also = Also {
            label: Some(label),
            approve: None,
        };
        allow(text, &file(), key, &patterns("a"), also)
    };
    let refused = |error: Result<Edited, EditError>| error.unwrap_err().to_string();
    assert!(refused(label(&theirs(), &key(3), "ada")).contains(ADA));
    assert!(refused(label(&theirs(), &key(3), "a\u{202e}da")).contains("invisible"));
    assert!(refused(label(&theirs(), &key(3), "did:key:x")).contains("look like a key"));
    let text = changed(label(&theirs(), &ada(), "Ada L."));
    assert_eq!(
        text,
        theirs().replace("label = 'ada'  # hers", "label = \"Ada L.\"  # hers")
    );
}

#[test]
fn a_broken_file_is_left_alone() {
    for text in ["[peers\n", "pears = 1\n"] {
        let error = allows(text, "a").unwrap_err();
        assert!(matches!(error, EditError::Broken(_)));
        assert!(error.to_string().contains("acl.toml:1:"), "{error}");
        assert!(denies(text, "").is_err() && forget(text, &file(), &ada()).is_err());
    }
}

/// One command.
#[derive(Debug, Clone)]
enum Command {
    Allow(Pattern),
    Deny(Pattern),
    Forget,
}

fn command() -> impl Strategy<Value = Command> {
    let pattern = || {
        prop::sample::select(vec!["*", "a", "b", "a/x", "test-runner"])
            .prop_map(|text| text.parse::<Pattern>().unwrap())
    };
    prop_oneof![
        pattern().prop_map(Command::Allow),
        pattern().prop_map(Command::Deny),
        Just(Command::Forget),
    ]
}

proptest! {
    /// After any commands the file is one the engine reads, the last command is true, and the rest is untouched.
    #[test]
    fn any_commands_leave_a_list_that_says_so(
        commands in prop::collection::vec(command(), 1..8),
        start in prop::sample::select(vec![String::new(), theirs(), theirs().replace('\n', "\r\n")]),
    ) {
        let mut text = start;
        let bob = Acl::parse(&text, &file()).unwrap().peer(&key(2)).cloned();
        for command in commands {
            let edited = match &command {
                Command::Allow(pattern) => {
                    allow(&text, &file(), &ada(), from_ref(pattern), Also::default())
                }
                Command::Deny(pattern) => {
                    deny(&text, &file(), &ada(), from_ref(pattern), Also::default())
                }
                Command::Forget => forget(&text, &file(), &ada()),
            };
            match edited {
                Ok(Edited::Changed(new)) => text = new,
                Ok(Edited::Unchanged) => {}
                Err(error) => {
                    prop_assert!(matches!(error, EditError::StillDenied { .. }), "{error}");
                    continue;
                }
            }
            let acl = Acl::parse(&text, &file()).unwrap();
            prop_assert_eq!(acl.peer(&key(2)).cloned(), bob.clone());
            let call = |pattern: &Pattern| match pattern {
                Pattern::Every => ("zzz".parse().unwrap(), None),
                Pattern::Agent(agent) => (agent.clone(), Some("zzz".to_owned())),
                Pattern::Skill(agent, skill) => (agent.clone(), Some(skill.clone())),
            };
            let standing = |pattern: &Pattern| {
                let (agent, skill) = call(pattern);
                acl.standing(&ada(), &agent, skill.as_deref())
            };
            match &command {
                Command::Allow(pattern) => prop_assert_eq!(standing(pattern), Standing::Allowed),
                Command::Deny(pattern) => prop_assert_eq!(standing(pattern), Standing::Denied),
                Command::Forget => prop_assert!(acl.peer(&ada()).is_none()),
            }
        }
    }
}
