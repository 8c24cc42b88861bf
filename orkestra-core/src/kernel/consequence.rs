//! What follows from events: the one table of it, a row for each event.
//!
//! ```text
//! Event ── consequence() ──► a row ──► Consequences::of a decision ──► driver: whom to answer, what to perform
//!                             ├──► timeline, graph, meters, fork: by its `Change`
//!                             └──► `apply`: what may follow the end of a run
//! ```
//!
//! It tells what an event means for those around the state; what it does to the state is in `apply`. No reader of events
//! may guess what is a column here: a new event must have its row before anything compiles.

use std::collections::BTreeMap;

use crate::model::{Amount, Growth, Name, NodeId, Plan, Timestamp};

use super::change::{Awaited, Came, Change, NodeChange, RunChange, StepChange, WaitChange};
use super::event::Event;
use super::reason::PauseReason;
use super::status::RunStatus;

/// What follows from one event: its row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Consequence<'a> {
    /// What it says.
    pub(crate) change: Change<'a>,
    /// The node that it is about: what that one owes is performed.
    pub(crate) node: Option<&'a Name>,
    /// The key of the step or wait of that node that it is about.
    pub(crate) step: Option<&'a str>,
    /// Whether the result of that step can be read from now on: who waits for it is answered.
    pub(crate) settles: bool,
    /// What is spent with it, by meter.
    pub(crate) charges: Option<&'a BTreeMap<Name, Amount>>,
    /// What the plan grows by.
    pub(crate) growth: Option<&'a Growth>,
    /// Whether it changes what any node owes.
    pub(crate) every_node: bool,
    /// Whether the run begins with it.
    pub(crate) begins_run: bool,
    /// Whether the run has ended with it.
    pub(crate) ends_run: bool,
    /// Whether a pause, if there was one, is over with it: the run goes on, or is to end.
    pub(crate) ends_pause: bool,
    /// Whether it asks for another run, which is to be started.
    pub(crate) wants_child: bool,
    /// Whether it may come after the end of the run.
    pub(crate) follows_end: bool,
    /// Whether it leaves failures that somebody has to decide on as they are.
    pub(crate) keeps_undecided: bool,
}

/// The rows.
impl Event {
    /// What follows from it.
    pub(crate) const fn consequence(&self) -> Consequence<'_> {
        match self {
            Self::RunCreated { plan, .. } => run(RunChange::Created(plan)).begins_run(),
            Self::Recovered => run(RunChange::Recovered).every_node(),
            Self::Released => run(RunChange::Released),
            Self::RunPaused { reason } => paused(reason),
            Self::RunResumed => run(RunChange::Resumed).every_node().ends_pause(),
            Self::StopRequested { .. } => run(RunChange::Stopping).every_node().ends_pause(),
            Self::CompensationStarted { growth } => run(RunChange::Compensating).every_node().grows(growth),
            Self::RunCompleted { .. } => ended(RunStatus::Completed),
            Self::RunFailed { node, .. } => ended(RunStatus::Failed).about(node),
            Self::RunCancelled { .. } => ended(RunStatus::Cancelled),
            Self::RunTerminated { .. } => ended(RunStatus::Terminated),
            Self::RunTimedOut { .. } => ended(RunStatus::TimedOut),
            Self::RunReopened => run(RunChange::Reopened).every_node().follows_end(),
            Self::UndoRetried { node } => run(RunChange::UndoRetried).about(node).every_node().follows_end(),
            Self::Forked { .. } => run(RunChange::Forked),
            Self::BudgetReached { .. } => run(RunChange::BudgetReached),
            Self::BudgetSet { .. } => run(RunChange::BudgetSet).follows_end(),
            Self::SignalReceived { signal, .. } => run(RunChange::SignalReceived(signal)),
            Self::ChildCancelled { .. } => run(RunChange::ChildCancelled).follows_end(),
            Self::ParentTold => run(RunChange::ParentTold).follows_end(),
            Self::ValueRead { .. } => run(RunChange::ValueRead),

            Self::SlotAwaited { node } => at(node, NodeChange::Queued),
            Self::AttemptStarted { node, attempt, .. } => at(node, NodeChange::AttemptStarted(*attempt)),
            Self::AttemptFailed { node, failure, next, .. } => at(node, NodeChange::AttemptFailed(failure, *next)),
            Self::NodeCompleted { node, .. } => at(node, NodeChange::Completed),
            Self::NodeFailed { node, failure } => at(node, NodeChange::Failed(failure)),
            Self::NodeSkipped { node, reason } => at(node, NodeChange::Skipped(reason)),
            Self::NodeCancelled { node } => at(node, NodeChange::Cancelled),
            Self::NodeReset { node } => at(node, NodeChange::Reset).keeps_undecided(),
            Self::InputReplaced { node, .. } => at(node, NodeChange::InputReplaced),
            Self::TaskParked { node } => at(node, NodeChange::Parked),
            Self::Emitted { node, kind, payload } => at(node, NodeChange::Reported { kind: kind.as_str(), payload }),

            Self::StepStarted { node, step } => step_of(node, step, StepChange::Started),
            Self::StepNotBegun { node, step } => step_of(node, step, StepChange::NotBegun),
            Self::StepCompleted { node, step, charges, .. } => {
                settled(node, step, StepChange::Completed).spends(charges)
            }
            Self::StepFailed { node, step, failure, charges } => {
                settled(node, step, StepChange::Failed(failure)).spends(charges)
            }
            Self::Charged { node, step, charges } => settled(node, step, StepChange::Charged).spends(charges),
            Self::Published { node, step, .. } => settled(node, step, StepChange::Published),
            Self::Grown { node, step, growth } => settled(node, step, StepChange::Grown).grows(growth),

            Self::TimerSet { node, step, due } => waits(node, step, Awaited::Time(*due), None),
            Self::SignalAwaited { node, step, signal, until } => waits(node, step, Awaited::Signal(signal), *until),
            Self::QuestionAsked { node, step, question, until } => waits(node, step, Awaited::Answer(question), *until),
            Self::ChildRequested { node, step, child, until, .. } => {
                waits(node, step, Awaited::Child(child), *until).wants_child()
            }
            Self::TimerFired { node, step } => came(node, Some(step), Came::Time),
            Self::SignalConsumed { node, step, .. } => came(node, step.as_ref(), Came::Signal),
            Self::QuestionAnswered { node, step, .. } => came(node, Some(step), Came::Answer),
            Self::ChildEnded { node, step, charges, .. } => came(node, Some(step), Came::Child).spends(charges),
            Self::WaitTimedOut { node, step } => wait_of(node, Some(step), WaitChange::TimedOut).settles(),
            Self::WaitLetGo { node, step } => wait_of(node, Some(step), WaitChange::LetGo),
        }
    }
}

const fn row(change: Change<'_>) -> Consequence<'_> {
    Consequence {
        change,
        node: None,
        step: None,
        settles: false,
        charges: None,
        growth: None,
        every_node: false,
        begins_run: false,
        ends_run: false,
        ends_pause: false,
        wants_child: false,
        follows_end: false,
        keeps_undecided: false,
    }
}

const fn run(change: RunChange<'_>) -> Consequence<'_> {
    row(Change::Run(change))
}

const fn paused(reason: &PauseReason) -> Consequence<'_> {
    let paused = run(RunChange::Paused(reason)).every_node();
    match reason {
        PauseReason::NodeFailed { .. } => paused.keeps_undecided(),
        PauseReason::Asked { .. } | PauseReason::Budget { .. } => paused,
    }
}

const fn ended<'a>(status: RunStatus) -> Consequence<'a> {
    Consequence { ends_run: true, ..run(RunChange::Ended(status)).every_node().ends_pause() }
}

const fn at<'a>(node: &'a Name, change: NodeChange<'a>) -> Consequence<'a> {
    row(Change::Node(change)).about(node)
}

#[expect(clippy::ptr_arg, reason = "rows are constant: there a `&String` becomes no `&str` by itself")]
const fn step_of<'a>(node: &'a Name, step: &'a String, change: StepChange<'a>) -> Consequence<'a> {
    Consequence { step: Some(step.as_str()), ..row(Change::Step(change)).about(node) }
}

const fn settled<'a>(node: &'a Name, step: &'a String, change: StepChange<'a>) -> Consequence<'a> {
    step_of(node, step, change).settles()
}

const fn wait_of<'a>(node: &'a Name, step: Option<&'a String>, change: WaitChange<'a>) -> Consequence<'a> {
    let wait = row(Change::Wait(change)).about(node);
    match step {
        Some(step) => Consequence { step: Some(step.as_str()), ..wait },
        None => wait,
    }
}

const fn waits<'a>(
    node: &'a Name,
    step: &'a String,
    awaited: Awaited<'a>,
    until: Option<Timestamp>,
) -> Consequence<'a> {
    wait_of(node, Some(step), WaitChange::Began(awaited, until))
}

const fn came<'a>(node: &'a Name, step: Option<&'a String>, what: Came) -> Consequence<'a> {
    wait_of(node, step, WaitChange::Ended(what)).settles()
}

/// The columns.
impl<'a> Consequence<'a> {
    const fn about(self, node: &'a Name) -> Self {
        Self { node: Some(node), ..self }
    }

    const fn settles(self) -> Self {
        Self { settles: true, ..self }
    }

    const fn spends(self, charges: &'a BTreeMap<Name, Amount>) -> Self {
        Self { charges: Some(charges), ..self }
    }

    const fn grows(self, growth: &'a Growth) -> Self {
        Self { growth: Some(growth), ..self }
    }

    const fn every_node(self) -> Self {
        Self { every_node: true, ..self }
    }

    const fn begins_run(self) -> Self {
        Self { begins_run: true, ..self }
    }

    const fn ends_pause(self) -> Self {
        Self { ends_pause: true, ..self }
    }

    const fn wants_child(self) -> Self {
        Self { wants_child: true, ..self }
    }

    const fn follows_end(self) -> Self {
        Self { follows_end: true, ..self }
    }

    const fn keeps_undecided(self) -> Self {
        Self { keeps_undecided: true, ..self }
    }

    /// The step or wait that it is about.
    pub(crate) fn key(&self) -> Option<(&'a Name, &'a str)> {
        self.node.zip(self.step)
    }

    /// The step that it settles.
    pub(crate) fn settled_step(&self) -> Option<(&'a Name, &'a str)> {
        self.key().filter(|_| self.settles)
    }
}

/// What follows from the events of one decision, once it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Consequences {
    /// Whose work is to be performed.
    pub(crate) perform: Perform,
    /// The steps whose results can be read from now on: who waits for them is answered.
    pub(crate) answers: Vec<(Name, String)>,
    /// Whether the run begins with it.
    pub(crate) begins_run: bool,
    /// Whether a pause is over with it, if there was one: the run goes on, or is to end.
    pub(crate) ends_pause: bool,
    /// Whether a run was asked for that is to be started now.
    pub(crate) wants_child: bool,
}

/// The nodes whose calls are to be brought in line with what the state owes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Perform {
    /// These, each once.
    Nodes(Vec<NodeId>),
    /// All, and what the run owes other runs.
    EveryNode,
}

impl Consequences {
    /// What follows from `events`; the plan is as it is after them.
    pub(crate) fn of(plan: &Plan, events: &[Event]) -> Self {
        let (mut nodes, mut answers, mut every_node) = (Vec::new(), Vec::new(), false);
        let (mut begins_run, mut ends_pause, mut wants_child) = (false, false, false);
        for row in events.iter().map(Event::consequence) {
            nodes.extend(row.node.and_then(|node| plan.id(node)));
            answers.extend(row.settled_step().map(|(node, step)| (node.clone(), step.to_owned())));
            every_node |= row.every_node;
            begins_run |= row.begins_run;
            ends_pause |= row.ends_pause;
            wants_child |= row.wants_child;
        }
        nodes.sort_unstable();
        nodes.dedup();
        let perform = if every_node { Perform::EveryNode } else { Perform::Nodes(nodes) };
        Self { perform, answers, begins_run, ends_pause, wants_child }
    }
}

#[cfg(test)]
mod tests;
