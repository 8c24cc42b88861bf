//! Events as one line of text each, so that a table can name them.

use orkestra_core::kernel::{Event, Next, StopReason};

/// One line for one event, with all that a table may want to know of it.
pub(super) fn show(event: &Event) -> String {
    match event {
        Event::RunCreated { .. } => "created".into(),
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
        Event::StepStarted { node, step } => format!("{node}/{step} started"),
        Event::StepCompleted { node, step, result, .. } => format!("{node}/{step} = {result:?}"),
        Event::StepFailed { node, step, failure } => format!("{node}/{step} failed ({})", failure.kind),
        Event::TimerSet { node, step, due } => format!("{node}/{step} sleeps until {}", due.as_millis()),
        Event::TimerFired { node, step } => format!("{node}/{step} woke"),
        Event::SignalAwaited { node, step, signal } => format!("{node}/{step} awaits {signal}"),
        Event::SignalReceived { signal, payload } => format!("signal {signal} {payload:?}"),
        Event::SignalConsumed { node, step: Some(step), signal } => format!("{node}/{step} took {signal}"),
        Event::SignalConsumed { node, step: None, signal } => format!("{node} took {signal}"),
        Event::Grown { node, step, growth } => {
            let nodes: Vec<_> = growth.nodes.iter().map(|node| node.name.as_str()).collect();
            let edges: Vec<_> = growth.edges.iter().map(|(before, after)| format!("{before}->{after}")).collect();
            format!("{node}/{step} grew [{}] [{}]", nodes.join(" "), edges.join(" "))
        }
        Event::Emitted { node, kind, payload } => format!("{node} emitted {kind} {payload:?}"),
        Event::Recovered => "recovered".into(),
        Event::StopRequested { reason: StopReason::NodeFailed { node, .. }, grace_until } => {
            format!("stop because {node} failed, grace until {}", grace_until.as_millis())
        }
        Event::StopRequested { reason: StopReason::Cancelled { reason }, grace_until } => {
            format!("stop because {reason}, grace until {}", grace_until.as_millis())
        }
        Event::RunCompleted { output } => format!("run completed {output:?}"),
        Event::RunFailed { node, failure } => format!("run failed at {node} ({})", failure.kind),
        Event::RunCancelled { reason } => format!("run cancelled: {reason}"),
        other => format!("{other:?}"),
    }
}
