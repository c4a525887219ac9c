//! The list of who may call: whatever is in the file, it is read or its mistake is shown and the last good
//! one stays; and what a command says of a key is so afterwards.

use std::path::{Path, PathBuf};

use arbitrary::{Arbitrary as _, Result, Unstructured};
use mesh_agents_core::policy::Standing;
use mesh_agents_mesh::NodeSecret;
use mesh_agents_mesh::acl::edit::{Also, Edited, allow, deny};
use mesh_agents_mesh::acl::{Acl, LastGood, Pattern, Read, Reading};

use super::super::grammar;

const SAMPLES: &[&str] = &[include_str!("../../../../mesh-agents-mesh/ACL.md"), GOOD];
const GOOD: &str = "[everyone]\nallow = [\"docs\"]\nrequests_per_minute = 60\n\n\
    [peers.\"did:key:z6Mkon3Necd6NkkyfoGoHxid2znGc59LU3K7mubaRcFbLfLX\"]\nlabel = \"ada\"\n\
    allow = [\"pr-review\", \"docs/summarize\"]\ndeny = [\"*\"]\napprove = true\nburst = 3\n";
const WORDS: &[&str] = &[
    "[everyone]",
    "[peers]",
    "[peers.\"did:key:z6Mkon3Necd6NkkyfoGoHxid2znGc59LU3K7mubaRcFbLfLX\"]",
    "allow = [\"*\"]",
    "allow = [\"a\"]",
    "deny = [\"a/b\"]",
    "deny = []",
    "label = \"x\"",
    "approve = true",
    "approve = 1",
    "requests_per_minute = 0",
    "burst = 99999999",
    "# a comment",
    "peers = 1",
    "[[peers]]",
    "everyone.allow = [\"a\"]",
];

pub(crate) fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let Ok(text) = input(&mut u) else { return };
    let file = Path::new("acl.toml");
    let mut list = LastGood::new(PathBuf::from(file));
    assert_eq!(list.read(Reading::Text(GOOD)), Read::Changed);
    let before = list.acl().clone();
    let read = list.read(Reading::Text(&text));
    let parsed = Acl::parse(&text, file);
    assert_eq!(read == Read::Kept, parsed.is_err());
    if read == Read::Kept {
        assert_eq!(*list.acl(), before, "the last good one stays");
        let shown = list.explain().expect("the mistake is shown");
        assert!(shown.contains("acl.toml"), "{shown}");
        return;
    }
    assert!(list.explain().is_none());
    let key = NodeSecret::from_seed(&[1; 32]).key();
    let agent = "zz-new".parse().expect("an id");
    let pattern = [Pattern::Agent("zz-new".parse().expect("an id"))];
    for (edited, wanted) in [
        (
            allow(&text, file, &key, &pattern, Also::default()),
            Standing::Allowed,
        ),
        (
            deny(&text, file, &key, &pattern, Also::default()),
            Standing::Denied,
        ),
    ] {
        // A command may refuse, where something wider stands.
        let Ok(edited) = edited else { continue };
        let now = match edited {
            Edited::Changed(text) => {
                Acl::parse(&text, file).expect("what a command writes is read")
            }
            Edited::Unchanged => parsed.clone().expect("read before"),
        };
        assert_eq!(now.standing(&key, &agent, None), wanted, "{text}");
    }
}

fn input(u: &mut Unstructured<'_>) -> Result<String> {
    if u.ratio(1, 2)? {
        return grammar::sample_gone_wrong(u, SAMPLES);
    }
    let mut text = String::new();
    for _ in 0..u.int_in_range(0..=12)? {
        text.push_str(&grammar::text(u, WORDS)?);
        text.push(if bool::arbitrary(u)? { '\n' } else { ' ' });
    }
    Ok(text)
}
