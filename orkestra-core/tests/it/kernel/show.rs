//! Events as one line of text each, so that tables can name them. Every kind has its own words.

use std::collections::BTreeMap;

use orkestra_core::kernel::{Event, Next, Outcome, PauseReason, SkipReason, StopReason};
use orkestra_core::model::{Amount, Growth, Name, Timestamp};

/// One line for an event, with everything that a table may need.
pub(super) fn show(event: &Event) -> String {
    show_attempt(event).or_else(|| show_step(event)).or_else(|| show_run(event)).expect("every event has its words")
}

fn show_attempt(event: &Event) -> Option<String> {
    Some(match event {
        Event::SlotAwaited { node } => format!("{node} queued"),
        Event::NodeSkipped { node, reason: SkipReason::Condition } => format!("{node} skipped by its condition"),
        Event::NodeSkipped { node, .. } => format!("{node} skipped"),
        Event::NodeFailed { node, failure } => format!("{node} failed ({})", failure.kind),
        Event::NodeReset { node } => format!("{node} reset"),
        Event::InputReplaced { node, input } => format!("{node} is given {input:?}"),
        Event::AttemptStarted { node, attempt, deadline: None } => format!("{node}#{attempt} started"),
        Event::AttemptStarted { node, attempt, deadline: Some(until) } => {
            format!("{node}#{attempt} started until {}", until.as_millis())
        }
        Event::AttemptFailed { node, attempt, failure, next: Next::RetryAt(at) } => {
            format!("{node}#{attempt} failed ({}), again at {}", failure.kind, at.as_millis())
        }
        Event::AttemptFailed { node, attempt, failure, .. } => {
            format!("{node}#{attempt} failed ({}), given up", failure.kind)
        }
        Event::NodeCompleted { node, output } => format!("{node} completed {output:?}"),
        Event::NodeCancelled { node } => format!("{node} cancelled"),
        Event::TaskParked { node } => format!("{node} parked"),
        Event::Emitted { node, kind, payload } => format!("{node} emitted {kind} {payload:?}"),
        _ => return None,
    })
}

fn show_step(event: &Event) -> Option<String> {
    Some(match event {
        Event::StepStarted { node, step } => format!("{node}/{step} started"),
        Event::StepCompleted { node, step, result, charges } => {
            format!("{node}/{step} = {result:?}{}", show_charges(charges))
        }
        Event::StepFailed { node, step, failure, charges } => {
            format!("{node}/{step} failed ({}){}", failure.kind, show_charges(charges))
        }
        Event::Charged { node, step, charges } => format!("{node}/{step} charged{}", show_charges(charges)),
        Event::Published { node, step, key, value } => format!("{node}/{step} published {key} {value:?}"),
        Event::TimerSet { node, step, due } => format!("{node}/{step} sleeps until {}", due.as_millis()),
        Event::TimerFired { node, step } => format!("{node}/{step} woke"),
        Event::StepNotBegun { node, step } => format!("{node}/{step} did not begin"),
        Event::WaitLetGo { node, step } => format!("{node}/{step} was let go"),
        Event::WaitTimedOut { node, step } => format!("{node}/{step} was not in time"),
        Event::SignalAwaited { node, step, signal, until } => {
            format!("{node}/{step} awaits {signal}{}", show_until(*until))
        }
        Event::SignalReceived { signal, payload } => format!("signal {signal} {payload:?}"),
        Event::SignalConsumed { node, step: Some(step), signal } => format!("{node}/{step} took {signal}"),
        Event::SignalConsumed { node, step: None, signal } => format!("{node} took {signal}"),
        Event::QuestionAsked { node, step, question, until } => {
            format!("{node}/{step} asks {question:?}{}", show_until(*until))
        }
        Event::QuestionAnswered { node, step, answer } => format!("{node}/{step} was answered {answer:?}"),
        Event::ChildRequested { node, step, child, workflow, input, until } => {
            format!("{node}/{step} wants {child} of {workflow} with {input:?}{}", show_until(*until))
        }
        Event::ChildEnded { node, step, outcome, charges } => {
            format!("{node}/{step} ended: {}{}", show_outcome(outcome), show_charges(charges))
        }
        Event::ChildCancelled { child } => format!("{child} let go"),
        Event::Grown { node, step, growth } => format!("{node}/{step} grew {}", show_growth(growth)),
        _ => return None,
    })
}

fn show_run(event: &Event) -> Option<String> {
    Some(match event {
        Event::RunCreated { options, .. } => match &options.forked_from {
            Some(fork) => format!("created from {} up to {}, before {}", fork.run, fork.seq, fork.node),
            None => "created".into(),
        },
        Event::Recovered => "recovered".into(),
        Event::Released => "released".into(),
        Event::BudgetReached { meter, spent, limit } => format!("{spent} of {limit} {meter} spent"),
        Event::BudgetSet { meter, limit: Some(limit) } => format!("may spend {limit} {meter}"),
        Event::BudgetSet { meter, limit: None } => format!("may spend any {meter}"),
        Event::RunPaused { reason } => match reason {
            PauseReason::Asked { reason } => format!("paused: {reason}"),
            PauseReason::Budget { meter } => format!("paused over {meter}"),
            PauseReason::NodeFailed { node } => format!("paused because {node} failed"),
            PauseReason::ProcessesLost { node, times } => format!("paused after {times} losses at {node}"),
            _ => return None,
        },
        Event::RunResumed => "resumed".into(),
        Event::RunReopened => "reopened".into(),
        Event::Forked { shared } if shared.is_empty() => "forked".into(),
        Event::Forked { shared } => {
            format!("forked, shares {}", shared.iter().map(Name::as_str).collect::<Vec<_>>().join(" "))
        }
        Event::UndoRetried { node } => format!("{node} is tried again"),
        Event::CompensationStarted { growth } => format!("undoing {}", show_growth(growth)),
        Event::StopRequested { reason, grace_until } => {
            let why = match reason {
                StopReason::NodeFailed { node, .. } => format!("because {node} failed"),
                StopReason::Cancelled { reason } => format!("because {reason}"),
                StopReason::DeadlinePassed { deadline } => format!("at the deadline {}", deadline.as_millis()),
                _ => return None,
            };
            format!("stop {why}, grace until {}", grace_until.as_millis())
        }
        Event::RunCompleted { output } => format!("run completed {output:?}"),
        Event::RunFailed { node, failure } => format!("run failed at {node} ({})", failure.kind),
        Event::RunCancelled { reason } => format!("run cancelled: {reason}"),
        Event::RunTerminated { reason } => format!("run terminated: {reason}"),
        Event::RunTimedOut { deadline } => format!("run timed out at {}", deadline.as_millis()),
        Event::ParentTold => "parent told".into(),
        Event::ValueRead { value, .. } => format!("{value:?} read"),
        _ => return None,
    })
}

fn show_until(until: Option<Timestamp>) -> String {
    until.map(|until| format!(" until {}", until.as_millis())).unwrap_or_default()
}

fn show_charges(charges: &BTreeMap<Name, Amount>) -> String {
    charges.iter().map(|(meter, amount)| format!(" for {amount} {meter}")).collect()
}

fn show_growth(growth: &Growth) -> String {
    let nodes: Vec<_> = growth.nodes.iter().map(|node| node.name.as_str()).collect();
    let edges: Vec<_> = growth.edges.iter().map(|(before, after)| format!("{before}->{after}")).collect();
    format!("[{}] [{}]", nodes.join(" "), edges.join(" "))
}

fn show_outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Completed(output) => format!("completed {output:?}"),
        Outcome::Failed { node, failure } => format!("failed at {node} ({})", failure.kind),
        Outcome::Cancelled(reason) => format!("cancelled: {reason}"),
        Outcome::Terminated(reason) => format!("terminated: {reason}"),
        Outcome::TimedOut(deadline) => format!("timed out at {}", deadline.as_millis()),
        other => panic!("no words for {other:?}"),
    }
}
