//! Builds a timeline from commits.

use std::collections::{BTreeMap, HashMap};

use crate::journal::Commit;
use crate::kernel::{
    Awaited, Change, Consequence, Event, Next, NodeChange, RunChange, RunStatus, StepChange, WaitChange,
};
use crate::model::{Amount, Failure, Name, NodeKind, Plan, RunId, Seq, Timestamp};

use super::{
    AttemptOutcome, AttemptTimeline, Mark, MarkKind, NodeEnd, NodeTimeline, Span, StepKind, StepTimeline, Timeline,
    WaitKind, WaitTimeline,
};

/// Builds a [`Timeline`] from the commits of a run, in order.
#[derive(Clone, Debug)]
pub struct TimelineFold {
    timeline: Option<Timeline>,
    run: RunId,
    places: HashMap<Name, usize>,
    /// Open steps and waits by node index, with maps inside: a node may have very many steps.
    open: Vec<Open>,
    gates: HashMap<Name, Name>,
}

/// The steps and waits of a node that have started and not ended.
#[derive(Clone, Debug, Default)]
struct Open {
    /// Indices into the steps of the last attempt.
    steps: HashMap<String, usize>,
    /// The index of the attempt, and the index in its waits. A wait for a time outlives its attempt.
    waits: HashMap<Option<String>, (usize, usize)>,
}

impl TimelineFold {
    /// A fold without commits.
    #[must_use]
    pub fn new(run: RunId) -> Self {
        Self { timeline: None, run, places: HashMap::new(), open: Vec::new(), gates: HashMap::new() }
    }

    /// Adds the next commit. Events before the creation of the run are ignored.
    pub fn add(&mut self, commit: &Commit) {
        for (index, event) in commit.events.iter().enumerate() {
            self.event(commit.first.plus(index as u64), commit.at, event);
        }
    }

    /// The timeline so far; `None` before the first commit.
    #[must_use]
    pub fn finish(self) -> Option<Timeline> {
        self.timeline
    }

    fn event(&mut self, seq: Seq, at: Timestamp, event: &Event) {
        let row = event.consequence();
        let mark = match row.change {
            Change::Run(RunChange::Created(plan)) => {
                self.begin(plan, at);
                None
            }
            Change::Run(change) => mark(change),
            Change::Node(_) | Change::Step(_) | Change::Wait(_) => None,
        };
        let Some(timeline) = &mut self.timeline else { return };
        timeline.updated_at = at;
        if let Some(kind) = mark {
            timeline.status = status_after(&kind, timeline.status);
            timeline.ended_at = matches!(kind, MarkKind::Ended(_)).then_some(at);
            if kind == MarkKind::Recovered {
                interrupted(timeline);
            }
            timeline.marks.push(Mark { at, seq, kind });
        }
        let grown = row.growth.into_iter().flat_map(|growth| &growth.nodes);
        self.gates.extend(grown.filter_map(|node| gate(&node.name, &node.kind)));
        // NOTE: `RunFailed` names the node that caused it, whose own end has been recorded already.
        if let Some(node) = row.node.filter(|_| !row.ends_run) {
            self.node_event(node, at, &row);
        }
    }

    fn begin(&mut self, plan: &Plan, at: Timestamp) {
        self.gates = plan.nodes().iter().filter_map(|node| gate(&node.spec.name, &node.spec.kind)).collect();
        self.timeline = Some(Timeline {
            run: self.run.clone(),
            workflow: plan.workflow().clone(),
            status: RunStatus::Running,
            created_at: at,
            ended_at: None,
            updated_at: at,
            nodes: Vec::new(),
            marks: Vec::new(),
            spent: BTreeMap::new(),
        });
    }

    fn node_event(&mut self, name: &Name, at: Timestamp, row: &Consequence<'_>) {
        let Some(timeline) = &mut self.timeline else { return };
        let place = *self.places.entry(name.clone()).or_insert_with(|| {
            timeline.nodes.push(NodeTimeline {
                name: name.clone(),
                queued: Vec::new(),
                attempts: Vec::new(),
                ended: None,
            });
            timeline.nodes.len() - 1
        });
        if let Some(charges) = row.charges {
            add(&mut timeline.spent, charges);
        }
        self.open.resize_with(timeline.nodes.len(), Open::default);
        let (node, open) = (&mut timeline.nodes[place], &mut self.open[place]);
        if let (Some(attempt), Some(charges)) = (node.attempts.last_mut(), row.charges) {
            add(&mut attempt.charges, charges);
        }
        match row.change {
            // A retried compensation is a mark of the run.
            Change::Run(_) => {}
            Change::Node(NodeChange::AttemptStarted(attempt)) => {
                begin_attempt(node, attempt, at);
                open.steps.clear();
                if let Some(signal) = self.gates.get(name) {
                    open.wait(node, None, at, WaitKind::Signal(signal.clone()));
                }
            }
            Change::Node(change) => lifecycle(node, at, change),
            Change::Step(change) => open.step(node, row, at, change),
            Change::Wait(change) => open.waiting(node, row.step, at, change),
        }
    }
}

fn gate(name: &Name, kind: &NodeKind) -> Option<(Name, Name)> {
    match kind {
        NodeKind::Gate(signal) => Some((name.clone(), signal.clone())),
        NodeKind::Task(_) => None,
    }
}

fn mark(change: RunChange<'_>) -> Option<MarkKind> {
    Some(match change {
        RunChange::Recovered => MarkKind::Recovered,
        RunChange::Paused(reason) => MarkKind::Paused(reason.clone()),
        RunChange::Resumed => MarkKind::Resumed,
        RunChange::Stopping => MarkKind::Stopping,
        RunChange::Compensating | RunChange::UndoRetried => MarkKind::Compensating,
        RunChange::Reopened => MarkKind::Reopened,
        RunChange::Ended(status) => MarkKind::Ended(status),
        RunChange::Created(_)
        | RunChange::Released
        | RunChange::Forked
        | RunChange::BudgetReached
        | RunChange::BudgetSet
        | RunChange::SignalReceived(_)
        | RunChange::ChildCancelled
        | RunChange::ParentTold
        | RunChange::ValueRead => return None,
    })
}

const fn status_after(kind: &MarkKind, before: RunStatus) -> RunStatus {
    match kind {
        MarkKind::Recovered => before,
        MarkKind::Paused(_) => RunStatus::Paused,
        MarkKind::Resumed | MarkKind::Reopened => RunStatus::Running,
        MarkKind::Stopping => RunStatus::Stopping,
        MarkKind::Compensating => RunStatus::Compensating,
        MarkKind::Ended(status) => *status,
    }
}

fn interrupted(timeline: &mut Timeline) {
    let last = timeline.nodes.iter_mut().filter_map(|node| node.attempts.last_mut());
    for attempt in last.filter(|attempt| attempt.outcome.is_none()) {
        attempt.interruptions += 1;
    }
}

fn begin_attempt(node: &mut NodeTimeline, attempt: u32, at: Timestamp) {
    node.ended = None;
    close(node.queued.last_mut(), at);
    node.attempts.push(AttemptTimeline {
        attempt,
        span: Span { from: at, until: None },
        outcome: None,
        steps: Vec::new(),
        waits: Vec::new(),
        charges: BTreeMap::new(),
        reports: 0,
        interruptions: 0,
    });
}

/// Records a change of the node's status.
fn lifecycle(node: &mut NodeTimeline, at: Timestamp, change: NodeChange<'_>) {
    match change {
        NodeChange::Queued => node.queued.push(Span { from: at, until: None }),
        NodeChange::Reset => node.ended = None,
        NodeChange::Skipped(reason) => node.ended = Some(NodeEnd::Skipped { at, reason: reason.clone() }),
        NodeChange::Failed(failure) => {
            node.ended = Some(NodeEnd::Failed { at, failure: failure.clone() });
            close(node.queued.last_mut(), at);
        }
        NodeChange::Completed => end_attempt(node, at, AttemptOutcome::Completed),
        NodeChange::AttemptFailed(failure, next) => {
            let next_at = match next {
                Next::RetryAt(at) => Some(at),
                Next::GiveUp => None,
            };
            end_attempt(node, at, AttemptOutcome::Failed { failure: failure.clone(), next_at });
        }
        NodeChange::Cancelled => {
            close(node.queued.last_mut(), at);
            if node.attempts.last().is_some_and(|attempt| attempt.outcome.is_none()) {
                end_attempt(node, at, AttemptOutcome::Cancelled);
            } else {
                node.ended = Some(NodeEnd::Cancelled { at });
            }
        }
        NodeChange::Reported { .. } => {
            if let Some(attempt) = node.attempts.last_mut() {
                attempt.reports += 1;
            }
        }
        NodeChange::AttemptStarted(_) | NodeChange::InputReplaced | NodeChange::Parked => {}
    }
}

fn end_attempt(node: &mut NodeTimeline, at: Timestamp, outcome: AttemptOutcome) {
    let Some(attempt) = node.attempts.last_mut() else { return };
    attempt.span.until = Some(at);
    attempt.outcome = Some(outcome);
    // A wait for a time goes on, but no attempt waits for it until the next one starts.
    attempt.waits.iter_mut().for_each(|wait| close(Some(&mut wait.span), at));
}

fn close(span: Option<&mut Span>, at: Timestamp) {
    if let Some(span) = span {
        span.until.get_or_insert(at);
    }
}

impl Open {
    /// Records a change of a step of the running attempt.
    fn step(&mut self, node: &mut NodeTimeline, row: &Consequence<'_>, at: Timestamp, change: StepChange<'_>) {
        let (Some(attempt), Some(step)) = (node.attempts.last_mut(), row.step) else { return };
        match change {
            StepChange::Started => {
                self.steps.insert(step.to_owned(), attempt.steps.len());
                let begun =
                    StepTimeline { started_at: Some(at), settled_at: None, ..settled(step, StepKind::Work, at) };
                attempt.steps.push(begun);
            }
            StepChange::NotBegun => self.not_begun(attempt, step),
            StepChange::Completed => self.settle(attempt, step, at, None, row.charges),
            StepChange::Failed(failure) => self.settle(attempt, step, at, Some(failure), row.charges),
            StepChange::Grown => attempt.steps.push(settled(step, StepKind::Growth, at)),
            StepChange::Published => attempt.steps.push(settled(step, StepKind::Publish, at)),
            StepChange::Charged => {
                let charges = row.charges.cloned().unwrap_or_default();
                attempt.steps.push(StepTimeline { charges, ..settled(step, StepKind::Charge, at) });
            }
        }
    }

    /// Records a change of a wait of the node.
    fn waiting(&mut self, node: &mut NodeTimeline, key: Option<&str>, at: Timestamp, change: WaitChange<'_>) {
        let kind = match change {
            WaitChange::Began(Awaited::Time(due), _) => WaitKind::Timer(due),
            WaitChange::Began(Awaited::Signal(signal), _) => WaitKind::Signal(signal.clone()),
            WaitChange::Began(Awaited::Answer(question), _) => WaitKind::Answer(question.clone()),
            WaitChange::Began(Awaited::Child(child), _) => WaitKind::Child(child.clone()),
            WaitChange::Ended(_) | WaitChange::TimedOut | WaitChange::LetGo => return self.end_wait(node, key, at),
        };
        self.wait(node, key, at, kind);
    }

    fn not_begun(&mut self, attempt: &mut AttemptTimeline, key: &str) {
        let Some(place) = self.steps.remove(key).filter(|place| *place < attempt.steps.len()) else { return };
        attempt.steps.remove(place);
        self.steps.values_mut().filter(|later| **later > place).for_each(|later| *later -= 1);
    }

    fn settle(
        &mut self,
        attempt: &mut AttemptTimeline,
        key: &str,
        at: Timestamp,
        failure: Option<&Failure>,
        charges: Option<&BTreeMap<Name, Amount>>,
    ) {
        let place = self.steps.remove(key).unwrap_or(attempt.steps.len());
        if place >= attempt.steps.len() {
            attempt.steps.push(settled(key, StepKind::Work, at));
        }
        let step = &mut attempt.steps[place];
        step.settled_at = Some(at);
        step.failure = failure.cloned();
        step.charges = charges.cloned().unwrap_or_default();
    }

    fn wait(&mut self, node: &mut NodeTimeline, key: Option<&str>, at: Timestamp, kind: WaitKind) {
        let last = node.attempts.len().saturating_sub(1);
        let Some(attempt) = node.attempts.last_mut() else { return };
        self.waits.insert(key.map(str::to_owned), (last, attempt.waits.len()));
        attempt.waits.push(WaitTimeline { key: key.map(str::to_owned), kind, span: Span { from: at, until: None } });
    }

    fn end_wait(&mut self, node: &mut NodeTimeline, key: Option<&str>, at: Timestamp) {
        let Some((attempt, wait)) = self.waits.remove(&key.map(str::to_owned)) else { return };
        let last = node.attempts.len().saturating_sub(1);
        let Some(begun) = node.attempts.get_mut(attempt).and_then(|attempt| attempt.waits.get_mut(wait)) else {
            return;
        };
        if attempt == last {
            return close(Some(&mut begun.span), at);
        }
        let kind = begun.kind.clone();
        let later = &mut node.attempts[last];
        if later.outcome.is_none() {
            let span = Span { from: later.span.from, until: Some(at) };
            later.waits.push(WaitTimeline { key: key.map(str::to_owned), kind, span });
        }
    }
}

fn settled(key: &str, kind: StepKind, at: Timestamp) -> StepTimeline {
    let key = key.to_owned();
    StepTimeline { key, kind, started_at: None, settled_at: Some(at), failure: None, charges: BTreeMap::new() }
}

fn add(total: &mut BTreeMap<Name, Amount>, charges: &BTreeMap<Name, Amount>) {
    for (meter, amount) in charges {
        let sum = total.entry(meter.clone()).or_default();
        *sum = *sum + *amount;
    }
}
