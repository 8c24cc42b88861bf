//! Checks that need the whole history of a run.

use std::collections::BTreeMap;

use orkestra_core::kernel::{Event, NodeStatus};
use orkestra_core::model::{Condition, Name, Test};
use serde_json::{Value, json};

use crate::sim::value::number_of;

use super::incarnation::{Incarnation, stands_for_another};

impl Incarnation {
    /// The first violation found.
    pub(super) fn wrong_history(&self) -> Option<String> {
        self.wrong_attempts()
            .or_else(|| self.lost_signals())
            .or_else(|| self.undone_twice())
            .or_else(|| self.wrong_skips())
    }

    /// Attempts of a node are counted from 1 without gaps or repeats.
    fn wrong_attempts(&self) -> Option<String> {
        let mut attempts: BTreeMap<&Name, u32> = BTreeMap::new();
        if self.is_fork() {
            return None;
        }
        self.events.iter().find_map(|event| {
            let Event::AttemptStarted { node, attempt, .. } = event else { return None };
            let before = attempts.insert(node, *attempt).unwrap_or(0);
            (*attempt != before + 1).then(|| format!("attempt {attempt} of `{node}` follows attempt {before}"))
        })
    }

    /// The signals that a completed task consumed are those that it received, in the order in which they were sent.
    fn lost_signals(&self) -> Option<String> {
        let state = self.state()?;
        let mut queues: BTreeMap<&Name, BTreeMap<usize, Option<u64>>> = BTreeMap::new();
        let mut received: BTreeMap<(&Name, &str), (&Name, usize, Option<u64>)> = BTreeMap::new();
        for (index, event) in self.events.iter().enumerate() {
            match event {
                Event::SignalReceived { signal, payload } => {
                    let number = payload.to::<Value>().ok().as_ref().and_then(number_of);
                    queues.entry(signal).or_default().insert(index, number);
                }
                Event::SignalConsumed { node, step, signal } => {
                    let oldest = queues.entry(signal).or_default().pop_first();
                    let taken = step.as_ref().zip(oldest);
                    received
                        .extend(taken.map(|(step, (came, number))| ((node, step.as_str()), (signal, came, number))));
                }
                // The next wait receives it, before all later signals.
                Event::WaitLetGo { node, step } => {
                    if let Some((signal, came, number)) = received.remove(&(node, step.as_str())) {
                        queues.entry(signal).or_default().insert(came, number);
                    }
                }
                _ => {}
            }
        }
        let received = received.into_iter();
        let consumed: Vec<_> = received.filter_map(|((node, _), (_, _, number))| Some((node, number?))).collect();
        for id in state.plan().ids().filter(|id| state.node(*id).status == NodeStatus::Completed) {
            let node = state.name(id);
            let output = state.node(id).output.as_ref().filter(|output| !stands_for_another(output.as_json()));
            let output: Value = output.and_then(|output| output.to().ok()).unwrap_or_default();
            let Some(took) = output.get("took").and_then(Value::as_array) else { continue };
            let lost = consumed.iter().find(|(by, number)| *by == node && !took.contains(&json!(number)));
            if let Some((_, number)) = lost {
                return Some(format!("`{node}` consumed signal {number}, and its task never received it"));
            }
            let twice = took.iter().enumerate().find(|(index, number)| took[..*index].contains(number));
            if let Some((_, number)) = twice {
                return Some(format!("`{node}` received signal {number} twice"));
            }
        }
        None
    }

    /// A fork compensates only what it did itself.
    fn undone_twice(&self) -> Option<String> {
        let done = |event: &Event| match event {
            Event::NodeCompleted { node, .. } => Some(node.clone()),
            _ => None,
        };
        let (copied, own) = self.events.split_at(self.copied);
        let own_done: Vec<_> = own.iter().filter_map(done).collect();
        let undone: Vec<_> = own
            .iter()
            .filter_map(|event| match event {
                Event::CompensationStarted { growth } => Some(growth.nodes.iter().map(|node| node.name.to_string())),
                _ => None,
            })
            .flatten()
            .collect();
        let theirs = copied
            .iter()
            .filter_map(done)
            .find(|node| !own_done.contains(node) && undone.contains(&format!("undo:{node}")));
        theirs.map(|node| format!("the fork undoes `{node}`, which the run that it was made of did"))
    }

    /// A condition on the run's input is evaluated exactly, to the last digit.
    fn wrong_skips(&self) -> Option<String> {
        let state = self.state()?;
        let input: Value = state.input().to().ok()?;
        state.plan().ids().find_map(|id| {
            let Some(Condition::Test { node: None, pointer, is: Test::Equals(wanted) }) =
                &state.plan().node(id).spec.when
            else {
                return None;
            };
            let found = input.pointer(pointer).map(Value::to_string);
            let equal = found.as_deref() == Some(wanted.as_json());
            let wrong = state.node(id).attempt > 0 && !equal && !stands_for_another(state.input().as_json());
            wrong.then(|| format!("`{}` ran, and its condition does not hold", state.name(id)))
        })
    }
}
