//! Inputs made from bytes for a run in its current state: mostly plausible ones, sometimes impossible ones.

use std::collections::BTreeMap;

use orkestra_core::kernel::{InputKind, Outcome, RunState, StepState, TaskRequest, Wait, Work, agenda, waits};
use orkestra_core::model::{Amount, Failure, FailureKind, Growth, Name, NodeId, NodeKind, RunId, Seq, Timestamp};

use super::bytes::{Bytes, name};
use super::plan::{METERS, node, payload, signal};

/// An input; before it, `now` is moved forwards or backwards, in milliseconds.
pub(super) fn input(bytes: &mut Bytes<'_>, state: &RunState, now: &mut u64) -> InputKind {
    match bytes.below(24) {
        0 | 1 => ended(bytes, state),
        2..=9 => task(bytes, state, *now),
        10 => {
            let (node, attempt) = attempt(bytes, state);
            InputKind::TaskParked { node, attempt }
        }
        11 | 12 => {
            let node = some_node(bytes, state);
            let next = state.plan().id(&node).map_or(0, |id| state.node(id).attempt + 1);
            InputKind::SlotGranted { node, attempt: next - u32::from(bytes.one_in(8)).min(next) }
        }
        13 => InputKind::Signal { signal: signal(bytes), payload: payload(bytes) },
        14 => InputKind::Answer { question: question(bytes, state), answer: payload(bytes) },
        15 => child_ended(bytes, state),
        16 => InputKind::ChildCancelled { child: child(bytes, state) },
        17 => match bytes.below(4) {
            1 => InputKind::Cancel { reason: "enough".into() },
            2 if bytes.one_in(4) => InputKind::Terminate { reason: "now".into() },
            3 => InputKind::ParentTold,
            _ => InputKind::Recover,
        },
        18 => InputKind::Pause { reason: "lunch".into() },
        19 => InputKind::Resume,
        20 => InputKind::Retry { node: some_node(bytes, state) },
        21 => InputKind::SetBudget {
            meter: name(METERS[bytes.below(2)]),
            limit: bytes.maybe(2, |bytes| Amount::micros(u64::from(bytes.byte()) * 4)),
        },
        _ => {
            *now = match bytes.below(8) {
                6 => now.saturating_sub(u64::from(bytes.byte())),
                7 => *now + 20_000,
                _ => *now + u64::from(bytes.byte()),
            };
            InputKind::Tick
        }
    }
}

fn some_node(bytes: &mut Bytes<'_>, state: &RunState) -> Name {
    if bytes.one_in(32) {
        return name("missing");
    }
    let names: Vec<_> = state.plan().ids().map(|id| state.name(id)).collect();
    bytes.pick(&names).map_or_else(|| name("missing"), |name| (*name).clone())
}

/// Usually a running attempt, sometimes one that has ended or never started.
fn attempt(bytes: &mut Bytes<'_>, state: &RunState) -> (Name, u32) {
    let running: Vec<_> = state.running().collect();
    if let Some(id) = bytes.pick(&running).filter(|_| !running.is_empty())
        && !bytes.one_in(16)
    {
        return (state.name(*id).clone(), state.node(*id).attempt);
    }
    (some_node(bytes, state), u32::try_from(bytes.below(4)).unwrap_or(0))
}

fn ended(bytes: &mut Bytes<'_>, state: &RunState) -> InputKind {
    let (node, attempt) = attempt(bytes, state);
    let result = match bytes.below(5) {
        3 => Err(Failure::retryable("error", "no luck")),
        4 => Err(Failure::permanent("error", "no use")),
        _ => Ok(payload(bytes)),
    };
    InputKind::AttemptEnded { node, attempt, result }
}

fn task(bytes: &mut Bytes<'_>, state: &RunState, now: u64) -> InputKind {
    let (node, attempt) = attempt(bytes, state);
    let step = if bytes.one_in(64) { "x".repeat(600) } else { format!("k{}", bytes.below(5)) };
    let request = match bytes.below(14) {
        1 => TaskRequest::StartStep { step },
        2 => TaskRequest::EndStep { step, result: Ok(payload(bytes)), charges: charges(bytes) },
        3 => {
            let result = Err(Failure::permanent("refused", "never"));
            TaskRequest::EndStep { step, result, charges: charges(bytes) }
        }
        4 => TaskRequest::Charge { step, charges: charges(bytes) },
        13 => TaskRequest::Publish { step, key: signal(bytes), value: payload(bytes) },
        5 => TaskRequest::Sleep { step, due: Timestamp::from_millis(now + u64::from(bytes.byte())) },
        6 => TaskRequest::AwaitSignal { step, signal: signal(bytes), until: until(bytes, now) },
        7 => TaskRequest::Ask { step, question: payload(bytes), until: until(bytes, now) },
        8 => {
            let child = RunId::new(format!("child{}", bytes.below(4))).expect("an id");
            TaskRequest::Child { step, child, workflow: name("other"), input: payload(bytes), until: until(bytes, now) }
        }
        9 | 10 => TaskRequest::Grow { step, growth: growth(bytes, state) },
        12 => TaskRequest::LetGo { step, begun: bytes.one_in(2) },
        11 => TaskRequest::Emit { kind: "x".into(), payload: payload(bytes) },
        _ => TaskRequest::EndStep { step, result: Ok(payload(bytes)), charges: BTreeMap::new() },
    };
    InputKind::Task { node, attempt, request }
}

fn until(bytes: &mut Bytes<'_>, now: u64) -> Option<Timestamp> {
    bytes.maybe(3, |bytes| Timestamp::from_millis(now + u64::from(bytes.byte())))
}

/// Up to two new nodes and an edge, valid or not.
fn growth(bytes: &mut Bytes<'_>, state: &RunState) -> Growth {
    let count = state.plan().nodes().len();
    let mut growth = Growth::new();
    for new in 0..bytes.below(3) {
        let number = count + new - usize::from(bytes.one_in(16));
        growth = growth.with_node(node(bytes, &format!("n{number}"), number));
    }
    if bytes.one_in(2) {
        growth = growth.with_edge(some_node(bytes, state), some_node(bytes, state));
    }
    if count > 20 { Growth::new() } else { growth }
}

fn charges(bytes: &mut Bytes<'_>) -> BTreeMap<Name, Amount> {
    let count = bytes.below(3);
    METERS.iter().take(count).map(|meter| (name(meter), Amount::micros(u64::from(bytes.byte())))).collect()
}

fn question(bytes: &mut Bytes<'_>, state: &RunState) -> Seq {
    let open: Vec<_> = state.questions().keys().copied().collect();
    bytes.pick(&open).copied().unwrap_or(Seq(u64::from(bytes.byte())))
}

fn child(bytes: &mut Bytes<'_>, state: &RunState) -> RunId {
    let open: Vec<_> = state.children().keys().cloned().collect();
    let any = || RunId::new("child0").expect("an id");
    if bytes.one_in(8) { any() } else { bytes.pick(&open).cloned().unwrap_or_else(any) }
}

fn child_ended(bytes: &mut Bytes<'_>, state: &RunState) -> InputKind {
    let child = child(bytes, state);
    let outcome = match bytes.below(5) {
        1 => Outcome::Failed { node: name("n0"), failure: Failure::permanent("error", "no use") },
        2 => Outcome::Cancelled("enough".into()),
        3 => Outcome::Terminated("now".into()),
        4 => Outcome::TimedOut(Timestamp::from_millis(7)),
        _ => Outcome::Completed(payload(bytes)),
    };
    InputKind::ChildEnded { child, outcome, spent: charges(bytes) }
}

/// The next input that a live run needs: first the result of its work, then what it waits for. If it waits for a timer, the
/// clock is set to that time.
pub(super) fn next_input(state: &RunState, now: &mut u64) -> Option<InputKind> {
    let next = agenda(state).find_map(|work| perform(state, work));
    next.or_else(|| waits(state).into_iter().next_back().map(|wait| deliver(wait, state, now)))
}

/// The input that reports the work as done; `None` for work without an input, such as starting a child.
fn perform(state: &RunState, work: Work) -> Option<InputKind> {
    let ended = |node: NodeId, attempt: u32, result| {
        Some(InputKind::AttemptEnded { node: state.name(node).clone(), attempt, result })
    };
    match work {
        Work::Invoke { node, attempt } => {
            let open = state.node(node).steps.iter().find(|(_, step)| **step == StepState::Started);
            match open.filter(|_| matches!(state.plan().node(node).spec.kind, NodeKind::Task(_))) {
                Some((step, _)) => {
                    let request = TaskRequest::EndStep {
                        step: step.clone(),
                        result: Ok(orkestra_core::model::Payload::null()),
                        charges: BTreeMap::new(),
                    };
                    Some(InputKind::Task { node: state.name(node).clone(), attempt, request })
                }
                None => ended(node, attempt, Ok(orkestra_core::model::Payload::null())),
            }
        }
        Work::AskToStop { node, attempt } => {
            ended(node, attempt, Err(Failure::permanent(FailureKind::Cancelled, "asked")))
        }
        Work::AcquireSlots { node, attempt } => {
            Some(InputKind::SlotGranted { node: state.name(node).clone(), attempt })
        }
        Work::CancelChild { child } => Some(InputKind::ChildCancelled { child }),
        Work::TellParent => Some(InputKind::ParentTold),
        _ => None,
    }
}

fn deliver(wait: Wait, state: &RunState, now: &mut u64) -> InputKind {
    let payload = orkestra_core::model::Payload::null();
    match wait {
        Wait::Signal(signal) => InputKind::Signal { signal, payload },
        Wait::Answer(question) => InputKind::Answer { question, answer: payload },
        Wait::Child(child) => {
            InputKind::ChildEnded { child, outcome: Outcome::Completed(payload), spent: BTreeMap::new() }
        }
        Wait::Resume => {
            let reached = |(meter, limit): (&Name, &Amount)| {
                (state.spent().get(meter).copied().unwrap_or_default() >= *limit).then(|| meter.clone())
            };
            match state.options().budget.iter().find_map(reached) {
                Some(meter) => InputKind::SetBudget { meter, limit: None },
                None => InputKind::Resume,
            }
        }
        Wait::Timer(due) => {
            *now = (*now).max(due.as_millis());
            InputKind::Tick
        }
        _ => InputKind::Tick,
    }
}
