//! Who was turned away, so that the owner can see it and let it in.

use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::ids::AgentId;

use crate::identity::NodeKey;

/// How many are remembered. Keys cost nothing to make, so a hostile peer can fill this; it is for showing
/// only, and a person reads no more.
const KNOCKS: usize = 256;

/// One key that was turned away from one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knock {
    /// Whose key; proven.
    pub key: NodeKey,
    /// Which agent it wanted.
    pub agent: AgentId,
    /// How often.
    pub count: u64,
    /// When first.
    pub first: UnixMillis,
    /// When last.
    pub last: UnixMillis,
}

/// The latest of them, in memory; bounded.
#[derive(Debug, Default)]
pub struct Knocks {
    knocks: Vec<Knock>,
}

impl Knocks {
    /// Notes one. When there are too many, the one that was quiet for longest is forgotten, those that came
    /// only once before those that came again: so a flood of new keys drives out itself.
    pub fn note(&mut self, key: NodeKey, agent: &AgentId, now: UnixMillis) {
        let same = |knock: &&mut Knock| knock.key == key && knock.agent == *agent;
        if let Some(knock) = self.knocks.iter_mut().find(same) {
            knock.count = knock.count.saturating_add(1);
            knock.last = knock.last.max(now);
            return;
        }
        if self.knocks.len() >= KNOCKS {
            let quietest = self.knocks.iter().enumerate();
            let quietest = quietest.min_by_key(|(_, knock)| (knock.count > 1, knock.last));
            if let Some((at, _)) = quietest {
                self.knocks.swap_remove(at);
            }
        }
        self.knocks.push(Knock {
            key,
            agent: agent.clone(),
            count: 1,
            first: now,
            last: now,
        });
    }

    /// Keeps those that this says are still to be decided: who was let in, or denied for good, asks in vain
    /// no more.
    pub fn retain(&mut self, undecided: impl Fn(&NodeKey, &AgentId) -> bool) {
        self.knocks
            .retain(|knock| undecided(&knock.key, &knock.agent));
    }

    /// Drops what is noted of a key: it was forgotten.
    pub fn clear(&mut self, key: &NodeKey) {
        self.knocks.retain(|knock| knock.key != *key);
    }

    /// All of them, the latest first.
    #[must_use]
    pub fn list(&self) -> Vec<Knock> {
        let mut all = self.knocks.clone();
        all.sort_by_key(|knock| {
            (
                std::cmp::Reverse(knock.last),
                knock.key,
                knock.agent.clone(),
            )
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::NodeSecret;

    fn key(n: u32) -> NodeKey {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&n.to_be_bytes());
        NodeSecret::from_seed(&seed).key()
    }

    #[test]
    fn a_knock_is_counted_and_the_latest_is_first() {
        let (a, b): (AgentId, AgentId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let mut knocks = Knocks::default();
        knocks.note(key(1), &a, UnixMillis(10));
        knocks.note(key(1), &a, UnixMillis(30));
        knocks.note(key(1), &b, UnixMillis(20));
        knocks.note(key(2), &a, UnixMillis(40));
        let seen: Vec<_> = knocks
            .list()
            .into_iter()
            .map(|k| (k.key, k.agent.to_string(), k.count, k.first.0, k.last.0))
            .collect();
        assert_eq!(
            seen,
            [
                (key(2), "a".to_owned(), 1, 40, 40),
                (key(1), "a".to_owned(), 2, 10, 30),
                (key(1), "b".to_owned(), 1, 20, 20),
            ]
        );
        knocks.clear(&key(1));
        assert_eq!(knocks.list().len(), 1);
    }

    #[test]
    fn a_flood_of_new_keys_stays_bounded_and_drives_out_itself() {
        let agent: AgentId = "a".parse().unwrap();
        let mut knocks = Knocks::default();
        knocks.note(key(0), &agent, UnixMillis(0));
        knocks.note(key(0), &agent, UnixMillis(1));
        for n in 1..=1000 {
            knocks.note(key(n), &agent, UnixMillis(i64::from(n) + 1));
        }
        let list = knocks.list();
        assert_eq!(list.len(), KNOCKS);
        assert_eq!(list[0].key, key(1000));
        assert!(
            list.iter().any(|knock| knock.key == key(0)),
            "the real one is still there"
        );
    }
}
