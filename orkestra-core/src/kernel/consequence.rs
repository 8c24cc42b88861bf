//! The table of what follows from events: one row for each event.
//!
//! ```text
//! Event ── consequence() ──► a row ──► Consequences::of a decision ──► driver: whom to answer, what to perform
//!                             ├──► timeline, graph, meters, fork: by its `Change`
//!                             └──► `apply`: what may follow the end of a run
//! ```
//!
//! The table says what an event means for the code around the state; its effect on the state is in `apply`. Readers of
//! events must use these columns rather than guess, and a new event does not compile without a row.

use std::collections::BTreeMap;

use crate::model::{Amount, Growth, Name, NodeId, Plan, Timestamp};

use super::change::{Awaited, Change, EndedBy, NodeChange, RunChange, StepChange, WaitChange};
use super::event::Event;
use super::reason::PauseReason;
use super::status::RunStatus;

/// The consequences of one event: its row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Consequence<'a> {
    /// The event's meaning.
    pub(crate) change: Change<'a>,
    /// The node that the event is about. The driver performs the work that this node owes.
    pub(crate) node: Option<&'a Name>,
    /// The key of that node's step or wait that the event is about.
    pub(crate) step: Option<&'a str>,
    /// Whether the result of that step is now available: calls that wait for it are answered.
    pub(crate) settles: bool,
    /// What the event charges, by meter.
    pub(crate) charges: Option<&'a BTreeMap<Name, Amount>>,
    /// What the event adds to the plan.
    pub(crate) growth: Option<&'a Growth>,
    /// Whether it changes what every node owes.
    pub(crate) every_node: bool,
    /// Whether it starts the run.
    pub(crate) begins_run: bool,
    /// Whether it ends the run.
    pub(crate) ends_run: bool,
    /// Whether it ends a pause, if there was one: the run continues, or is about to end.
    pub(crate) ends_pause: bool,
    /// Whether it requests a child run, which must be started.
    pub(crate) wants_child: bool,
    /// Whether it may follow the end of the run.
    pub(crate) follows_end: bool,
    /// Whether it leaves failures that await a decision untouched.
    pub(crate) keeps_undecided: bool,
}

/// The rows.
impl Event {
    /// The consequences of this event.
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
            Self::TimerFired { node, step } => came(node, Some(step), EndedBy::Time),
            Self::SignalConsumed { node, step, .. } => came(node, step.as_ref(), EndedBy::Signal),
            Self::QuestionAnswered { node, step, .. } => came(node, Some(step), EndedBy::Answer),
            Self::ChildEnded { node, step, charges, .. } => came(node, Some(step), EndedBy::Child).spends(charges),
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
        PauseReason::Asked { .. } | PauseReason::Budget { .. } | PauseReason::ProcessesLost { .. } => paused,
    }
}

const fn ended<'a>(status: RunStatus) -> Consequence<'a> {
    Consequence { ends_run: true, ..run(RunChange::Ended(status)).every_node().ends_pause() }
}

const fn at<'a>(node: &'a Name, change: NodeChange<'a>) -> Consequence<'a> {
    row(Change::Node(change)).about(node)
}

#[expect(clippy::ptr_arg, reason = "a const fn does not coerce `&String` to `&str`")]
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

const fn came<'a>(node: &'a Name, step: Option<&'a String>, what: EndedBy) -> Consequence<'a> {
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

    /// The step or wait that the event is about.
    pub(crate) fn key(&self) -> Option<(&'a Name, &'a str)> {
        self.node.zip(self.step)
    }

    /// The step that the event settles.
    pub(crate) fn settled_step(&self) -> Option<(&'a Name, &'a str)> {
        self.key().filter(|_| self.settles)
    }
}

/// The consequences of the events of one decision, to be carried out once it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Consequences {
    /// The nodes whose work must be performed.
    pub(crate) perform: Perform,
    /// The steps whose results are now available: calls that wait for them are answered.
    pub(crate) answers: Vec<(Name, String)>,
    /// Whether the decision starts the run.
    pub(crate) begins_run: bool,
    /// Whether it ends a pause, if there was one.
    pub(crate) ends_pause: bool,
    /// Whether a child run was requested and must be started.
    pub(crate) wants_child: bool,
}

/// The nodes whose calls must be brought in line with what the state owes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Perform {
    /// These nodes, each once.
    Nodes(Vec<NodeId>),
    /// All nodes, and what the run owes other runs.
    EveryNode,
}

impl Consequences {
    /// Collects the consequences of `events`. `plan` is the plan after them.
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
