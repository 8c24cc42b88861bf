//! What a new version of an application means for the runs that an old one began, and which runs nobody will ever move.
//!
//! A run keeps the graph that it began with: it is in its journal. What can come between is the code behind it.

use std::fmt;
use std::sync::Arc;

use crate::kernel::{NodeState, RunState, RunStatus, broken_invariant};
use crate::model::limits::READ_RECORDS_MAX;
use crate::model::{Name, NodeKind, NodeSpec, Plan, RunId};
use crate::store::{Pager, RunQuery, RunRecord};

use super::deadlock;
use super::handle::Engine;
use crate::runtime::error::Error;
use crate::runtime::shared::Shared;
use crate::runtime::storage::load::load;

/// How the live runs of a store get on with this engine. See [`Engine::upgrade_report`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct UpgradeReport {
    /// How many live runs go on as if nothing had changed.
    pub compatible: usize,
    /// Runs that go on, and may meet what they do not expect.
    pub needs_attention: Vec<(RunId, Vec<Finding>)>,
    /// Runs that this engine cannot drive. They wait, and go on with an engine that can.
    pub blocked: Vec<(RunId, Vec<Finding>)>,
}

/// What is different for a run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The journal cannot be read.
    Unreadable(String),
    /// No workflow of this name is registered. The run goes on with the graph and the tasks that it has.
    WorkflowGone(Name),
    /// A node that has not ended needs a task that is not registered.
    TaskMissing {
        /// The node.
        node: Name,
        /// The task.
        task: Name,
    },
    /// A node that has not ended is under a limit that is not defined.
    LimitMissing {
        /// The node.
        node: Name,
        /// The limit.
        limit: Name,
    },
    /// The workflow has another version now.
    WorkflowVersion {
        /// The version that the run began with.
        was: Option<String>,
        /// The version now.
        is: Option<String>,
    },
    /// The workflow has no such node any more. The run's own has not ended.
    NodeGone(Name),
    /// The workflow has a new node. The run goes on without it.
    NodeNew(Name),
    /// A node that has not ended is defined in another way now. The run goes on with its own definition.
    NodeChanged(Name),
    /// The code of a node that has not ended has another version now.
    NodeVersion {
        /// The node.
        node: Name,
        /// The version that the run began with.
        was: Option<String>,
        /// The version now.
        is: Option<String>,
    },
    /// The task of a node that has not ended takes or gives another type now.
    TypeChanged {
        /// The node.
        node: Name,
        /// The type that the run began with.
        was: String,
        /// The type now.
        is: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = |version: &Option<String>| version.clone().unwrap_or_else(|| "no version".into());
        match self {
            Self::Unreadable(why) => f.write_str(why),
            Self::WorkflowGone(workflow) => write!(f, "no workflow `{workflow}` is registered any more"),
            Self::TaskMissing { node, task } => {
                write!(f, "node `{node}` needs the task `{task}`, which is not registered")
            }
            Self::LimitMissing { node, limit } => {
                write!(f, "node `{node}` needs the limit `{limit}`, which is not defined")
            }
            Self::WorkflowVersion { was, is } => write!(f, "the workflow was {} and is {}", version(was), version(is)),
            Self::NodeGone(node) => write!(f, "the workflow has no node `{node}` any more"),
            Self::NodeNew(node) => write!(f, "the workflow has a new node `{node}`, the run goes on without it"),
            Self::NodeChanged(node) => write!(f, "node `{node}` is defined in another way now, the run keeps its own"),
            Self::NodeVersion { node, was, is } => {
                write!(f, "the code of node `{node}` was {} and is {}", version(was), version(is))
            }
            Self::TypeChanged { node, was, is } => write!(f, "node `{node}` has the type `{is}` where `{was}` was"),
        }
    }
}

impl Finding {
    const fn blocks(&self) -> bool {
        matches!(self, Self::Unreadable(_) | Self::TaskMissing { .. } | Self::LimitMissing { .. })
    }
}

impl Engine {
    /// How the live runs of the store get on with the workflows, tasks and limits of this engine. At its start an engine
    /// makes this report for the log. It looks at the records of all live runs, and reads the journals of those whose
    /// graph is not that of the registered workflow.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn upgrade_report(&self) -> Result<UpgradeReport, Error> {
        report(self.shared()).await
    }

    /// Live runs that nothing will ever move. Those that wait for each other through a limit of this engine: a node holds the
    /// last slot and waits for a child that needs one. And those that owe nothing and wait for nothing, or contradict
    /// themselves: there are none, by proof, and one found here is a bug of ours. It reads the journals of all live runs.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn stuck(&self) -> Result<Vec<(RunId, String)>, Error> {
        let shared = self.shared();
        let mut stuck = Vec::new();
        let mut live = live(shared);
        while let Some(record) = live.next().await? {
            let why = match load(&*shared.store, &record.id).await {
                Ok(Some(state)) => broken_invariant(&state),
                // Else it was deleted since it was listed.
                Ok(None) if shared.store.record(&record.id).await?.is_none() => None,
                Ok(None) => Some("it has a record and no journal".into()),
                Err(error) => Some(error.to_string()),
            };
            stuck.extend(why.map(|why| (record.id, why)));
        }
        stuck.extend(deadlock::find(shared).await?);
        Ok(stuck)
    }
}

/// Makes the report for the log, beside the engine's start.
pub(super) async fn log(shared: Arc<Shared>) {
    let report = tokio::select! {
        biased;
        () = shared.down() => return,
        report = report(&shared) => report,
    };
    match report {
        Err(error) => tracing::warn!(%error, "the live runs could not be compared with the registered workflows"),
        Ok(report) => {
            for (run, findings) in &report.needs_attention {
                tracing::warn!(%run, findings = show(findings), "a live run needs attention");
            }
            for (run, findings) in &report.blocked {
                tracing::error!(%run, findings = show(findings), "a live run cannot go on here");
            }
        }
    }
}

fn show(findings: &[Finding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

async fn report(shared: &Shared) -> Result<UpgradeReport, Error> {
    let mut report = UpgradeReport::default();
    let mut live = live(shared);
    while let Some(record) = live.next().await? {
        let findings = findings(shared, &record).await?;
        match () {
            () if findings.is_empty() => report.compatible += 1,
            () if findings.iter().any(Finding::blocks) => report.blocked.push((record.id, findings)),
            () => report.needs_attention.push((record.id, findings)),
        }
        // Beside the work of the runs, not before it.
        tokio::task::yield_now().await;
    }
    Ok(report)
}

/// All live runs.
fn live(shared: &Shared) -> Pager {
    let query = RunQuery { statuses: RunStatus::LIVE.into(), limit: READ_RECORDS_MAX, ..RunQuery::default() };
    Pager::new(Arc::clone(&shared.store), query)
}

async fn findings(shared: &Shared, record: &RunRecord) -> Result<Vec<Finding>, Error> {
    let registered = shared.code.plan(&record.workflow);
    if let (Some(plan), Some(began)) = (&registered, &record.plan)
        && plan.fingerprint().short() == *began
    {
        return Ok(Vec::new());
    }
    match load(&*shared.store, &record.id).await {
        Ok(Some(state)) if state.status().is_final() => Ok(Vec::new()),
        Ok(Some(state)) => Ok(compare(shared, &state, registered.as_deref())),
        // Deleted since it was listed.
        Ok(None) => Ok(Vec::new()),
        Err(error) if error.store_kind().is_some() => Ok(vec![Finding::Unreadable(error.to_string())]),
        Err(error) => Err(error),
    }
}

fn compare(shared: &Shared, state: &RunState, now: Option<&Plan>) -> Vec<Finding> {
    let began = state.plan();
    let mut findings = Vec::new();
    let open = began.ids().filter(|id| !state.node(*id).status.is_final());
    for id in open {
        let (spec, node) = (&began.node(id).spec, state.node(id));
        findings.extend(missing(shared, began.workflow(), spec));
        if let Some(now) = now.and_then(|now| Some(&now.node(now.id(&spec.name)?).spec)) {
            findings.extend(changes(spec, now, node));
        }
        // A node that the run grew was never the workflow's.
        if now.is_some_and(|now| now.id(&spec.name).is_none()) && !began.is_grown(id) {
            findings.push(Finding::NodeGone(spec.name.clone()));
        }
    }
    match now {
        None => findings.push(Finding::WorkflowGone(began.workflow().clone())),
        Some(now) => {
            if now.version() != began.version() {
                let version = |plan: &Plan| plan.version().map(str::to_owned);
                findings.push(Finding::WorkflowVersion { was: version(began), is: version(now) });
            }
            let new = now.nodes().iter().filter(|node| began.id(&node.spec.name).is_none());
            findings.extend(new.map(|node| Finding::NodeNew(node.spec.name.clone())));
        }
    }
    findings
}

fn missing(shared: &Shared, workflow: &Name, spec: &NodeSpec) -> Vec<Finding> {
    let task = match &spec.kind {
        NodeKind::Task(task) => Some(task),
        NodeKind::Gate(_) => None,
    };
    let tasks = task.into_iter().chain(&spec.compensate).filter(|task| shared.code.task(workflow, task).is_none());
    let tasks = tasks.map(|task| Finding::TaskMissing { node: spec.name.clone(), task: task.clone() });
    let limits = spec.limits.iter().filter(|slot| !shared.slots.knows(&slot.limit));
    let limits = limits.map(|slot| Finding::LimitMissing { node: spec.name.clone(), limit: slot.limit.clone() });
    tasks.chain(limits).collect()
}

fn changes(was: &NodeSpec, is: &NodeSpec, state: &NodeState) -> Vec<Finding> {
    let node = || was.name.clone();
    let mut findings = Vec::new();
    for (was, is) in [(&was.takes, &is.takes), (&was.gives, &is.gives)] {
        if let (Some(was), Some(is)) = (was, is)
            && was != is
        {
            findings.push(Finding::TypeChanged { node: node(), was: was.clone(), is: is.clone() });
        }
    }
    if was.version != is.version {
        findings.push(Finding::NodeVersion { node: node(), was: was.version.clone(), is: is.version.clone() });
    }
    let plain = |spec: &NodeSpec| NodeSpec { takes: None, gives: None, version: None, ..spec.clone() };
    if plain(was) != plain(is) && state.input.is_none() {
        findings.push(Finding::NodeChanged(node()));
    }
    findings
}
