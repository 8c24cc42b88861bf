//! From commits to a timeline.

use std::collections::{BTreeMap, HashMap};

use crate::journal::Commit;
use crate::kernel::{Event, Next, RunStatus};
use crate::model::{Amount, Failure, Name, NodeKind, Plan, RunId, Seq, Timestamp};

use super::{
    AttemptOutcome, AttemptTimeline, Mark, MarkKind, NodeEnd, NodeTimeline, Span, StepKind, StepTimeline, Timeline,
    WaitKind, WaitTimeline,
};

/// Builds a [`Timeline`] from the commits of a run, in their order.
#[derive(Clone, Debug)]
pub struct TimelineFold {
    timeline: Option<Timeline>,
    run: RunId,
    places: HashMap<Name, usize>,
    /// What is open, by the place of the node: found by key, for a node may have very many steps.
    open: Vec<Open>,
    gates: HashMap<Name, Name>,
}

/// What of a node has begun and is not over.
#[derive(Clone, Debug, Default)]
struct Open {
    /// Places in the steps of the last attempt.
    steps: HashMap<String, usize>,
    /// Places of attempts, and places in the waits of each. A wait for time goes on when its attempt fails.
    waits: HashMap<Option<String>, (usize, usize)>,
}

impl TimelineFold {
    /// Begins with nothing.
    #[must_use]
    pub fn new(run: RunId) -> Self {
        Self { timeline: None, run, places: HashMap::new(), open: Vec::new(), gates: HashMap::new() }
    }

    /// Takes in the next commit. What comes before the event that creates the run is of no run, and left out.
    pub fn add(&mut self, commit: &Commit) {
        for (index, event) in commit.events.iter().enumerate() {
            self.event(commit.first.plus(index as u64), commit.at, event);
        }
    }

    /// The timeline as far as it was seen; none before the first commit.
    #[must_use]
    pub fn finish(self) -> Option<Timeline> {
        self.timeline
    }

    fn event(&mut self, seq: Seq, at: Timestamp, event: &Event) {
        if let Event::RunCreated { plan, .. } = event {
            self.begin(plan, at);
        }
        let Some(timeline) = &mut self.timeline else { return };
        timeline.updated_at = at;
        if let Some(kind) = mark(event) {
            timeline.status = status_after(&kind, timeline.status);
            timeline.ended_at = matches!(kind, MarkKind::Ended(_)).then_some(at);
            if kind == MarkKind::Recovered {
                interrupted(timeline);
            }
            timeline.marks.push(Mark { at, seq, kind });
        }
        match event {
            Event::Grown { growth, .. } | Event::CompensationStarted { growth } => {
                self.gates.extend(growth.nodes.iter().filter_map(|node| gate(&node.name, &node.kind)));
            }
            _ => {}
        }
        // NOTE: the failure of the run names the node that caused it, whose own end was told before.
        if let Some(node) = event.node().filter(|_| !event.ends_run()) {
            self.node_event(node, at, event);
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

    fn node_event(&mut self, name: &Name, at: Timestamp, event: &Event) {
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
        if let Some(charges) = charges(event) {
            add(&mut timeline.spent, charges);
        }
        self.open.resize_with(timeline.nodes.len(), Open::default);
        let (node, open) = (&mut timeline.nodes[place], &mut self.open[place]);
        if let Event::AttemptStarted { attempt, .. } = event {
            begin_attempt(node, *attempt, at);
            open.steps.clear();
            if let Some(signal) = self.gates.get(name) {
                open.wait(node, None, at, WaitKind::Signal(signal.clone()));
            }
        }
        lifecycle(node, at, event);
        open.within(node, at, event);
    }
}

fn gate(name: &Name, kind: &NodeKind) -> Option<(Name, Name)> {
    match kind {
        NodeKind::Gate(signal) => Some((name.clone(), signal.clone())),
        NodeKind::Task(_) => None,
    }
}

fn mark(event: &Event) -> Option<MarkKind> {
    Some(match event {
        Event::Recovered => MarkKind::Recovered,
        Event::RunPaused { reason } => MarkKind::Paused(reason.clone()),
        Event::RunResumed => MarkKind::Resumed,
        Event::StopRequested { .. } => MarkKind::Stopping,
        Event::CompensationStarted { .. } => MarkKind::Compensating,
        Event::RunReopened => MarkKind::Reopened,
        Event::UndoRetried { .. } => MarkKind::Compensating,
        Event::RunCompleted { .. } => MarkKind::Ended(RunStatus::Completed),
        Event::RunFailed { .. } => MarkKind::Ended(RunStatus::Failed),
        Event::RunCancelled { .. } => MarkKind::Ended(RunStatus::Cancelled),
        Event::RunTerminated { .. } => MarkKind::Ended(RunStatus::Terminated),
        Event::RunTimedOut { .. } => MarkKind::Ended(RunStatus::TimedOut),
        _ => return None,
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

/// What the event means for where the node stands.
fn lifecycle(node: &mut NodeTimeline, at: Timestamp, event: &Event) {
    match event {
        Event::SlotAwaited { .. } => node.queued.push(Span { from: at, until: None }),
        Event::NodeReset { .. } => node.ended = None,
        Event::NodeSkipped { reason, .. } => node.ended = Some(NodeEnd::Skipped { at, reason: reason.clone() }),
        Event::NodeFailed { failure, .. } => {
            node.ended = Some(NodeEnd::Failed { at, failure: failure.clone() });
            close(node.queued.last_mut(), at);
        }
        Event::NodeCompleted { .. } => end_attempt(node, at, AttemptOutcome::Completed),
        Event::AttemptFailed { failure, next, .. } => {
            let next_at = match next {
                Next::RetryAt(at) => Some(*at),
                Next::GiveUp => None,
            };
            end_attempt(node, at, AttemptOutcome::Failed { failure: failure.clone(), next_at });
        }
        Event::NodeCancelled { .. } => {
            close(node.queued.last_mut(), at);
            if node.attempts.last().is_some_and(|attempt| attempt.outcome.is_none()) {
                end_attempt(node, at, AttemptOutcome::Cancelled);
            } else {
                node.ended = Some(NodeEnd::Cancelled { at });
            }
        }
        _ => {}
    }
}

fn end_attempt(node: &mut NodeTimeline, at: Timestamp, outcome: AttemptOutcome) {
    let Some(attempt) = node.attempts.last_mut() else { return };
    attempt.span.until = Some(at);
    attempt.outcome = Some(outcome);
    // A wait for time goes on, but nobody waits for it until the next attempt.
    attempt.waits.iter_mut().for_each(|wait| close(Some(&mut wait.span), at));
}

fn close(span: Option<&mut Span>, at: Timestamp) {
    if let Some(span) = span {
        span.until.get_or_insert(at);
    }
}

impl Open {
    /// What the event means inside of the attempt under way.
    fn within(&mut self, node: &mut NodeTimeline, at: Timestamp, event: &Event) {
        let Some(attempt) = node.attempts.last_mut() else { return };
        if let Some(charges) = charges(event) {
            add(&mut attempt.charges, charges);
        }
        match event {
            Event::StepStarted { step, .. } => {
                self.steps.insert(step.clone(), attempt.steps.len());
                let begun =
                    StepTimeline { started_at: Some(at), settled_at: None, ..settled(step, StepKind::Work, at) };
                attempt.steps.push(begun);
            }
            Event::StepNotBegun { step, .. } => self.not_begun(attempt, step),
            Event::StepCompleted { step, charges, .. } => self.settle(attempt, step, at, None, charges),
            Event::StepFailed { step, failure, charges, .. } => self.settle(attempt, step, at, Some(failure), charges),
            Event::Grown { step, .. } => attempt.steps.push(settled(step, StepKind::Growth, at)),
            Event::Charged { step, charges, .. } => {
                attempt.steps.push(StepTimeline { charges: charges.clone(), ..settled(step, StepKind::Charge, at) });
            }
            Event::Emitted { .. } => attempt.reports += 1,
            _ => self.waiting(node, at, event),
        }
    }

    fn waiting(&mut self, node: &mut NodeTimeline, at: Timestamp, event: &Event) {
        let (step, kind) = match event {
            Event::TimerSet { step, due, .. } => (step, WaitKind::Timer(*due)),
            Event::SignalAwaited { step, signal, .. } => (step, WaitKind::Signal(signal.clone())),
            Event::QuestionAsked { step, question, .. } => (step, WaitKind::Answer(question.clone())),
            Event::ChildRequested { step, child, .. } => (step, WaitKind::Child(child.clone())),
            Event::TimerFired { step, .. }
            | Event::QuestionAnswered { step, .. }
            | Event::ChildEnded { step, .. }
            | Event::WaitLetGo { step, .. }
            | Event::WaitTimedOut { step, .. } => {
                return self.over(node, Some(step), at);
            }
            Event::SignalConsumed { step, .. } => return self.over(node, step.as_ref(), at),
            _ => return,
        };
        self.wait(node, Some(step), at, kind);
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
        charges: &BTreeMap<Name, Amount>,
    ) {
        let place = self.steps.remove(key).unwrap_or(attempt.steps.len());
        if place >= attempt.steps.len() {
            attempt.steps.push(settled(key, StepKind::Work, at));
        }
        let step = &mut attempt.steps[place];
        step.settled_at = Some(at);
        step.failure = failure.cloned();
        step.charges.clone_from(charges);
    }

    fn wait(&mut self, node: &mut NodeTimeline, key: Option<&String>, at: Timestamp, kind: WaitKind) {
        let last = node.attempts.len().saturating_sub(1);
        let Some(attempt) = node.attempts.last_mut() else { return };
        self.waits.insert(key.cloned(), (last, attempt.waits.len()));
        attempt.waits.push(WaitTimeline { key: key.cloned(), kind, span: Span { from: at, until: None } });
    }

    fn over(&mut self, node: &mut NodeTimeline, key: Option<&String>, at: Timestamp) {
        let Some((attempt, wait)) = self.waits.remove(&key.cloned()) else { return };
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
            later.waits.push(WaitTimeline { key: key.cloned(), kind, span });
        }
    }
}

fn settled(key: &str, kind: StepKind, at: Timestamp) -> StepTimeline {
    let key = key.to_owned();
    StepTimeline { key, kind, started_at: None, settled_at: Some(at), failure: None, charges: BTreeMap::new() }
}

const fn charges(event: &Event) -> Option<&BTreeMap<Name, Amount>> {
    match event {
        Event::StepCompleted { charges, .. }
        | Event::StepFailed { charges, .. }
        | Event::Charged { charges, .. }
        | Event::ChildEnded { charges, .. } => Some(charges),
        _ => None,
    }
}

fn add(total: &mut BTreeMap<Name, Amount>, charges: &BTreeMap<Name, Amount>) {
    for (meter, amount) in charges {
        let sum = total.entry(meter.clone()).or_default();
        *sum = *sum + *amount;
    }
}
