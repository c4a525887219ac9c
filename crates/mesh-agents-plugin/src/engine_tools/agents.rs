//! `get_agents` and `get_agent`.

use mesh_agents_a2a::card;
use mesh_agents_a2a::convert::timestamp;
use mesh_agents_core::agent::{AgentDefinition, Keep, QueueMode, Skill, WorkspaceMode};
use mesh_agents_core::ids::AgentId;
use mesh_agents_core::json::JsonText;
use mesh_agents_core::limits::RESULT_BYTES;
use mesh_agents_core::policy::Caller;
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_core::text::{DESCRIPTION_CHARS, NAME_CHARS, clean_text};
use mesh_agents_tasks::Load;

use super::{EngineTools, encode, for_peer, internal, location};
use crate::mesh_node::News;
use crate::tool::args::{self, parse};
use crate::tool::results::{
    Agent, AgentLine, AgentState, Agents, ProblemLine, Runtime, SkillLine, Workspace,
};

/// Skills of one agent in a list, and tags of one skill; the card has them all.
const SKILLS: usize = 12;
/// Bytes of one agent in a list; one with more shows no skills, so that any agent fits a page.
const LINE_BYTES: usize = 8 * 1024;
/// Bytes of problems on a page; the others are seen once these are mended.
const PROBLEMS_BYTES: usize = 8 * 1024;
/// What surrounds the lists of a page.
const FRAME_BYTES: usize = 256;

impl EngineTools {
    pub(super) fn get_agents(&self, caller: &Caller, args: &JsonText) -> Result<JsonText, Refusal> {
        let args: args::GetAgents = parse(args)?;
        let after = args.cursor.as_deref().map(cursor).transpose()?;
        let problems = if after.is_none() && !for_peer(caller) {
            self.some_problems()?
        } else {
            Vec::new()
        };
        let mut room = RESULT_BYTES - FRAME_BYTES;
        for problem in &problems {
            room = room.saturating_sub(encode(problem)?.as_str().len() + 1);
        }
        let limit = args.limit.unwrap_or(args::PAGE);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut words = Words::of(&args);
        let mut page = Agents {
            agents: Vec::new(),
            problems: (!problems.is_empty()).then_some(problems),
            next_cursor: None,
        };
        let all = self.engine.agents();
        let found = all
            .iter()
            .filter(|(id, _)| after.as_ref().is_none_or(|after| *id > after))
            .map(|(_, agent)| agent.as_ref())
            .filter(|agent| {
                let there = args
                    .location
                    .is_none_or(|there| there == location(&agent.id));
                there && self.engine.shows(caller, agent) && words.find(agent)
            });
        let mut last = None;
        for agent in found {
            let line = self.line(agent)?;
            let cost = encode(&line)?.as_str().len() + 1;
            if page.agents.len() == limit || cost > room {
                page.next_cursor = last.map(|last: &AgentId| last.to_string());
                break;
            }
            room -= cost;
            page.agents.push(line);
            last = Some(&agent.id);
        }
        encode(&page)
    }

    pub(super) fn get_agent(&self, caller: &Caller, args: &JsonText) -> Result<JsonText, Refusal> {
        let args: args::GetAgent = parse(args)?;
        let agents = self.engine.agents();
        let meant = self.meant(caller, &args.agent_id, args.peer_id.as_deref())?;
        let agent = agents
            .get(&meant.id)
            .filter(|agent| self.engine.shows(caller, agent))
            .ok_or_else(|| self.no_agent(caller, &args.agent_id))?;
        let local = agent.id.is_local();
        let stands = self.stands(agent);
        let result = Agent {
            agent_id: agent.id.on_its_node(),
            location: location(&agent.id),
            peer_id: agent.id.node(),
            peer_name: stands.peer_name,
            seen_seconds_ago: stands.seen_seconds_ago,
            offline_since: stands.offline_since,
            state: stands.state,
            reason: stands.reason,
            card_url: card::card_url(&self.place.base, &agent.id),
            agent_card: card::served(agent, &self.place).map_err(|error| internal(&error))?,
            // How another node runs it is not told.
            runtime: local.then(|| Runtime {
                r#type: agent.runtime.kind.to_string(),
                max_concurrent_tasks: agent.runtime.max_concurrent_tasks.get(),
                workspace: workspace(agent),
            }),
        };
        encode(&result)
    }

    fn line(&self, agent: &AgentDefinition) -> Result<AgentLine, Refusal> {
        let load = self.engine.load(&agent.id);
        let stands = self.stands(agent);
        let line = AgentLine {
            agent_id: agent.id.on_its_node(),
            name: clean_text(&agent.card.name, NAME_CHARS),
            description: clean_text(&agent.card.description, DESCRIPTION_CHARS),
            version: clean_text(&agent.card.version, NAME_CHARS),
            location: location(&agent.id),
            peer_id: agent.id.node(),
            peer_name: stands.peer_name,
            seen_seconds_ago: stands.seen_seconds_ago,
            offline_since: stands.offline_since,
            skills: agent.card.skills.iter().take(SKILLS).map(skill).collect(),
            runtime: agent.id.is_local().then(|| agent.runtime.kind.to_string()),
            state: stands.state,
            reason: stands.reason,
            running: load.running,
            queued: load.queued,
            max_concurrent_tasks: agent.runtime.max_concurrent_tasks.get(),
            card_url: card::card_url(&self.place.base, &agent.id),
        };
        if encode(&line)?.as_str().len() <= LINE_BYTES {
            return Ok(line);
        }
        Ok(AgentLine {
            skills: Vec::new(),
            ..line
        })
    }

    /// How an agent stands now, and how old that is where another node told it.
    fn stands(&self, agent: &AgentDefinition) -> Stands {
        let news = self.mesh.as_ref().and_then(|mesh| mesh.news(&agent.id));
        let blocked = self.engine.unavailable(agent);
        let state = match &news {
            Some(News {
                offline_since: Some(_),
                ..
            }) => AgentState::Offline,
            _ => state(agent, self.engine.load(&agent.id), blocked.is_some()),
        };
        let careful = news.as_ref().and_then(|news| news.careful.clone());
        let reason = careful.or(blocked);
        Stands {
            state,
            reason: reason.map(|reason| clean_text(&reason, DESCRIPTION_CHARS)),
            seen_seconds_ago: news.as_ref().map(|news| news.age_ms / 1000),
            offline_since: news
                .as_ref()
                .and_then(|news| news.offline_since)
                .map(timestamp),
            peer_name: news.map(|news| news.peer_name),
        }
    }

    fn some_problems(&self) -> Result<Vec<ProblemLine>, Refusal> {
        let mut room = PROBLEMS_BYTES;
        let mut some = Vec::new();
        for problem in (self.problems)() {
            let problem = ProblemLine {
                reason: clean_text(&problem.reason, DESCRIPTION_CHARS),
                fix: problem.fix.map(|fix| clean_text(&fix, DESCRIPTION_CHARS)),
                key: problem.key.map(|key| clean_text(&key, NAME_CHARS)),
                ..problem
            };
            let cost = encode(&problem)?.as_str().len() + 1;
            if cost > room {
                break;
            }
            room -= cost;
            some.push(problem);
        }
        Ok(some)
    }
}

/// How an agent stands.
struct Stands {
    state: AgentState,
    reason: Option<String>,
    peer_name: Option<String>,
    seen_seconds_ago: Option<u64>,
    offline_since: Option<String>,
}

/// A page goes on after the last agent of the one before: right whatever came and went meanwhile.
fn cursor(text: &str) -> Result<AgentId, Refusal> {
    text.parse().map_err(|_| {
        Refusal::new(
            Code::InvalidArgument,
            "argument cursor is not a next_cursor of get_agents",
        )
    })
}

/// What an agent must have to be found.
struct Words {
    query: Vec<String>,
    tags: Vec<String>,
    /// The text searched last: five thousand agents are searched in a call, and share one buffer.
    text: String,
}

impl Words {
    fn of(args: &args::GetAgents) -> Self {
        let query = args.query.as_deref().unwrap_or_default().to_lowercase();
        let tags = args.tags.iter().flatten();
        Self {
            query: query.split_whitespace().map(str::to_owned).collect(),
            tags: tags.map(|tag| tag.to_lowercase()).collect(),
            text: String::new(),
        }
    }

    fn find(&mut self, agent: &AgentDefinition) -> bool {
        let skills = &agent.card.skills;
        let has = |wanted: &String| {
            let mut tags = skills.iter().flat_map(|skill| &skill.tags);
            tags.any(|tag| same_in_any_case(tag, wanted))
        };
        if !self.tags.iter().all(has) {
            return false;
        }
        if self.query.is_empty() {
            return true;
        }
        self.read(agent);
        self.query.iter().all(|word| self.text.contains(word))
    }

    /// Puts all that is said of an agent into `text`, in lower case.
    fn read(&mut self, agent: &AgentDefinition) {
        let (card, text) = (&agent.card, &mut self.text);
        text.clear();
        let mut add = |word: &str| {
            text.push('\n');
            text.push_str(word);
        };
        for word in [agent.id.as_str(), &card.name, &card.description] {
            add(word);
        }
        for skill in &card.skills {
            for word in [&skill.id, &skill.name, &skill.description] {
                add(word);
            }
            skill.tags.iter().for_each(|tag| add(tag));
        }
        if text.is_ascii() {
            text.make_ascii_lowercase();
        } else {
            *text = text.to_lowercase();
        }
    }
}

/// Whether `text` in lower case is `lower`.
fn same_in_any_case(text: &str, lower: &str) -> bool {
    if text.is_ascii() {
        text.eq_ignore_ascii_case(lower)
    } else {
        text.to_lowercase() == lower
    }
}

fn state(agent: &AgentDefinition, load: Load, unavailable: bool) -> AgentState {
    let slots_taken = load.running >= agent.runtime.max_concurrent_tasks.get();
    let queue_taken = match agent.runtime.queue {
        QueueMode::Queue => load.queued >= agent.runtime.max_pending_tasks,
        QueueMode::Reject => true,
    };
    match (unavailable, slots_taken, queue_taken) {
        (true, ..) => AgentState::Unavailable,
        (false, false, _) => AgentState::Ready,
        (false, true, false) => AgentState::Busy,
        (false, true, true) => AgentState::Full,
    }
}

fn workspace(agent: &AgentDefinition) -> Workspace {
    Workspace {
        mode: match agent.workspace.mode {
            WorkspaceMode::TempPerTask => "temp_per_task",
            WorkspaceMode::Path(_) => "path",
            WorkspaceMode::AgentDir => "agent_dir",
            WorkspaceMode::None => "none",
        },
        keep: match agent.workspace.keep {
            Keep::Never => "never",
            Keep::OnFailure => "on_failure",
            Keep::Always => "always",
        },
    }
}

fn skill(skill: &Skill) -> SkillLine {
    let tags = skill.tags.iter().take(SKILLS);
    SkillLine {
        id: clean_text(&skill.id, NAME_CHARS),
        name: clean_text(&skill.name, NAME_CHARS),
        tags: tags.map(|tag| clean_text(tag, NAME_CHARS)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_agents_core::agent::testing::definition;

    #[test]
    fn what_an_agent_has_to_do_decides_what_it_would_do_next() {
        let mut agent = definition("a");
        agent.runtime.max_pending_tasks = 2;
        let load = |running, queued| Load { running, queued };
        for (load, state_then) in [
            (load(0, 0), AgentState::Ready),
            (load(1, 0), AgentState::Busy),
            (load(1, 2), AgentState::Full),
        ] {
            assert_eq!(state(&agent, load, false), state_then);
            assert_eq!(state(&agent, load, true), AgentState::Unavailable);
        }
        agent.runtime.queue = QueueMode::Reject;
        assert_eq!(state(&agent, load(1, 0), false), AgentState::Full);
    }

    #[test]
    fn agents_are_found_by_all_words_and_all_tags_in_any_case() {
        let mut agent = definition("pr-review");
        agent.card.skills = vec![Skill {
            id: "review".into(),
            name: "Review".into(),
            description: "Finds bugs in every Änderung".into(),
            tags: vec!["Git".into(), "quality".into(), "Größe".into()],
        }];
        let find = |query: &str, tags: &[&str]| {
            Words::of(&args::GetAgents {
                query: Some(query.into()),
                tags: Some(tags.iter().map(|tag| (*tag).to_owned()).collect()),
                ..args::GetAgents::default()
            })
            .find(&agent)
        };
        assert!(find("", &[]) && find("BUGS pr-rev", &["git", "QUALITY"]));
        assert!(find("ÄNDERUNG", &["größe"]) && !find("anderung", &[]));
        assert!(!find("bugs cooking", &[]) && !find("", &["git", "cooking"]) && !find("", &["gi"]));
    }

    #[test]
    fn words_of_others_are_cut_and_cannot_play_tricks() {
        assert_eq!(clean_text("a\u{202e}b\x1b[31mc\nd", 80), "ab[31mc d");
        assert_eq!(clean_text("äöüß", 4), "äöüß");
        assert_eq!(clean_text("äöüßx", 4), "äöü…");
    }
}
