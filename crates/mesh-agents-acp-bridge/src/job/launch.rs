//! From a prepared run to a harness that was ordered to start.

use std::sync::Arc;
use std::time::Duration;

use mesh_agents_core::agent::{Filesystem, Network};
use mesh_agents_core::task::Failure;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Job;
use crate::confinement::{self, ConfinementSupport, Grants, Own};
use crate::guard::client::Guard;
use crate::guard::wire::{Grace, Harness, Launch, StageError, Step};
use crate::logs::{Stderr, WireLog};
use crate::plan::{HomeKind, LaunchPlan, PlanContext};
use crate::session::{Feed, Incoming, read_lines};
use crate::workspace::{Places, make_plan_dirs, write_plan_files};
use crate::{environment, model, network, platform, preset};

/// A harness under its guard, and what is read from it.
pub(super) struct Launched {
    pub(super) plan: LaunchPlan,
    pub(super) guard: Guard,
    pub(super) confined: bool,
    pub(super) feed: Arc<Feed>,
    pub(super) stderr: Arc<Stderr>,
    /// Its stdin, and what comes from its stdout; taken by the session.
    pub(super) line: Option<(pipe::Sender, Incoming)>,
    readers: Vec<JoinHandle<()>>,
}

impl Job {
    /// Plans, confines and starts the harness.
    pub(super) async fn launch(&self, places: &Places) -> Result<Launched, Failure> {
        let plan = self.plan(places).await?;
        write_plan_files(&self.spec.home, &plan.files)?;
        let grants = self.confine(places, &plan).await?;
        let confined = grants.is_some();
        if confined {
            make_plan_dirs(&plan.write)?;
        }
        let dirs = &self.spec.dirs;
        let secret = self.spec.tools.as_ref().map(|tools| tools.token.clone());
        let log = WireLog::create(&dirs.acp_log(), secret);
        let log = Arc::new(log.map_err(|error| no_log(&error))?);
        let stderr = Stderr::create(&dirs.stderr_log());
        let stderr = Arc::new(stderr.map_err(|error| no_log(&error))?);
        let launch = Launch {
            harness: self.harness(places, &plan, grants),
            grace: self.grace(),
        };
        let exe = &self.config.agents_exe;
        let started = Guard::start(exe, &launch, &self.tracker).await;
        let (guard, stdio) = started.map_err(|error| {
            Failure::new(
                "guard_not_started",
                format!(
                    "{} could not be started: {error}; reinstall the binary agents",
                    exe.display()
                ),
            )
        })?;
        let feed = Arc::new(Feed::new(self.events.clone(), log));
        let (lines, incoming) = Incoming::channel();
        let reading = read_lines(stdio.stdout, Arc::clone(&feed), lines);
        let draining = Arc::clone(&stderr);
        let draining = async move { draining.drain(stdio.stderr).await };
        let readers = vec![self.tracker.spawn(reading), self.tracker.spawn(draining)];
        Ok(Launched {
            plan,
            guard,
            confined,
            feed,
            stderr,
            line: Some((stdio.stdin, incoming)),
            readers,
        })
    }

    async fn plan(&self, places: &Places) -> Result<LaunchPlan, Failure> {
        let spec = &self.spec;
        let model = if preset::needs_model(&spec.agent) {
            let url = spec.mesh.openai_url.as_deref();
            Some(model::resolve_model(url, &spec.agent.runtime.model).await?)
        } else {
            None
        };
        preset::plan(&PlanContext {
            spec,
            workspace: &places.workspace,
            environment: &self.config.environment,
            agents_exe: &self.config.agents_exe,
            model: model.as_deref(),
        })
    }

    /// The run's grants; `None` where it is not confined, which is then said.
    async fn confine(&self, places: &Places, plan: &LaunchPlan) -> Result<Option<Grants>, Failure> {
        let policy = &self.spec.agent.policy;
        let dirs = &self.spec.dirs;
        let mut write = vec![dirs.artifacts(), dirs.logs(), places.tmp.clone()];
        if plan.home == HomeKind::Private {
            write.push(self.spec.home.clone());
        }
        let own = Own {
            run: &dirs.root,
            agent: &self.spec.agent.dir,
            write,
            workspace: &places.workspace,
        };
        let granted =
            network::granted(&self.spec, plan, preset::speaks_to_models(&self.spec.agent))?;
        if !granted.withheld.is_empty() {
            let text = format!("not granted: {}", granted.withheld.join("; "));
            self.note("network_withheld", text).await;
        }
        let root = &self.config.a2a_root;
        let grants = confinement::grants(policy, &own, plan, root, granted.reach)?;
        let (Some(grants), ConfinementSupport::Missing(why)) =
            (&grants, platform::confinement_support())
        else {
            return Ok(grants);
        };
        if policy.filesystem_explicit {
            return Err(unavailable(policy.filesystem, &why));
        }
        if policy.network != Network::Allow {
            return Err(confinement::network_unavailable(policy.network, &why));
        }
        debug_assert!(!grants.write.is_empty());
        self.note(
            "confinement_skipped",
            format!("the run is not confined: {why}"),
        )
        .await;
        Ok(None)
    }

    fn harness(&self, places: &Places, plan: &LaunchPlan, grants: Option<Grants>) -> Harness {
        let own = &self.config.environment;
        Harness {
            run_id: self.spec.run_id.as_str().to_owned(),
            program: plan.program.clone(),
            args: plan.args.clone(),
            env: environment::of_harness(own, &self.spec, plan, &places.workspace, &places.tmp),
            cwd: places.workspace.clone(),
            grants,
        }
    }

    fn grace(&self) -> Grace {
        let timeouts = &self.config.timeouts;
        Grace {
            finish_eof: millis(timeouts.finish_eof),
            finish_term: millis(timeouts.finish_term),
            stop_term: millis(timeouts.cancel_term),
            sweep: millis(timeouts.sweep),
        }
    }
}

impl Launched {
    /// Why the program never ran.
    pub(super) fn not_spawned(&self, error: &StageError, network: Network) -> Failure {
        let program = self.plan.program.display();
        match error.step {
            Step::Network => confinement::network_unavailable(network, &error.cause),
            Step::Confine => Failure::new(
                "confinement_unavailable",
                format!(
                    "the run could not be confined: {error}; set policy.filesystem = \"unconfined\" to run it without"
                ),
            ),
            Step::Exec => Failure::new(
                "harness_not_found",
                format!(
                    "{program} could not be executed: {error}; check runtime.command, and policy.read when its interpreter lies outside the system directories"
                ),
            ),
            Step::Start => Failure::new(
                "guard_not_started",
                format!("{program} could not be started: {error}; see `agents doctor`"),
            ),
        }
    }

    /// Waits until everything the harness wrote has been read.
    pub(super) async fn await_pipes(&mut self, limit: Duration) {
        for mut reader in self.readers.drain(..) {
            if timeout(limit, &mut reader).await.is_err() {
                reader.abort();
            }
        }
    }
}

fn unavailable(filesystem: Filesystem, why: &str) -> Failure {
    Failure::new(
        "confinement_unavailable",
        format!(
            "policy.filesystem = \"{}\" cannot be enforced: {why}; set it to \"unconfined\" to run without, or leave it out to run so with a note",
            filesystem.as_str()
        ),
    )
}

fn no_log(error: &std::io::Error) -> Failure {
    Failure::new(
        "run_directory",
        format!("the run's logs cannot be written: {error}; check the data directory"),
    )
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
