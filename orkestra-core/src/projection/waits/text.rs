//! What is waited for, in words: the end of a sentence that begins with "`node` waits for".

use std::fmt;

use crate::model::{Payload, Timestamp};

use super::{RunWaitsFor, SlotWait, WaitsFor};

/// The longest question that is quoted, in bytes of JSON.
const QUESTION_BYTES_MAX: usize = 200;

impl WaitsFor {
    /// The variant's name in JSON: `signal`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Timer { .. } => "timer",
            Self::Signal { .. } => "signal",
            Self::Question { .. } => "question",
            Self::Child { .. } => "child",
            Self::Retry { .. } => "retry",
            Self::Slots { .. } => "slots",
            Self::Nodes { .. } => "nodes",
            Self::Pause { .. } => "pause",
            Self::Budget { .. } => "budget",
            Self::Decision => "decision",
            Self::Stop { .. } => "stop",
        }
    }
}

impl RunWaitsFor {
    /// The variant's name in JSON: `capacity`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Engine { .. } => "engine",
            Self::Capacity { .. } => "capacity",
            Self::Blocked { .. } => "blocked",
            Self::Stuck { .. } => "stuck",
        }
    }
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timer { until, .. } => write!(f, "a timer, until {until}"),
            Self::Signal { signal, until, .. } => write!(f, "the signal `{signal}`{}", Limit(*until)),
            Self::Question { id, question, until, .. } => {
                write!(f, "an answer to question {id}{}{}", Quoted(question), Limit(*until))
            }
            Self::Child { run, workflow, until, .. } => {
                write!(f, "the end of run `{run}` of workflow `{workflow}`{}", Limit(*until))
            }
            Self::Retry { attempt, until } => write!(f, "attempt {attempt}, at {until}"),
            Self::Slots { slots } => {
                f.write_str(if slots.len() == 1 { "a slot of " } else { "slots of " })?;
                listed(f, slots)
            }
            Self::Nodes { nodes, needed } => {
                let quoted: Vec<_> = nodes.iter().map(|node| format!("`{node}`")).collect();
                match (nodes.len(), *needed) {
                    (1, _) => f.write_str("node ")?,
                    (all, needed) if needed < all => write!(f, "{needed} of the nodes ")?,
                    _ => f.write_str("the nodes ")?,
                }
                listed(f, &quoted)
            }
            Self::Pause { reason, .. } => write!(f, "the end of a pause: {reason}"),
            Self::Budget { meter, spent, limit, .. } => {
                write!(f, "a higher budget of `{meter}`: {spent} of {limit} are spent")
            }
            Self::Decision => f.write_str("a decision on its failure"),
            Self::Stop { until } => write!(f, "its task, which was asked to stop, until {until} at the latest"),
        }
    }
}

impl fmt::Display for SlotWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.limit)?;
        if let Some(key) = &self.key {
            write!(f, " for `{key}`")?;
        }
        let Some(place) = self.place else { return Ok(()) };
        write!(f, " (place {place} in the queue")?;
        if let (Some(in_use), Some(at_once)) = (self.in_use, self.at_once) {
            write!(f, ", {in_use} of {at_once} in use")?;
        }
        if let Some(free_at) = self.free_at {
            write!(f, ", the next is free at {free_at}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for RunWaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine { since } => write!(f, "an engine to drive it, since {since}"),
            Self::Capacity { runs_max } => {
                write!(f, "capacity of the engine, which drives as many runs as it may: {runs_max}")
            }
            Self::Blocked { reason } => write!(f, "a repair, because this engine cannot drive it: {reason}"),
            Self::Stuck { reason } => write!(f, "help from outside, because nothing else can move it: {reason}"),
        }
    }
}

/// When a wait ends without what it waits for.
struct Limit(Option<Timestamp>);

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |until| write!(f, ", until {until}"))
    }
}

/// A question, when it is short and at hand.
struct Quoted<'a>(&'a Payload);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = self.0.as_json();
        if self.0.is_kept_beside() || json.len() > QUESTION_BYTES_MAX {
            return Ok(());
        }
        write!(f, ", {json}")
    }
}

/// `a`, `b` and `c`.
fn listed<T: fmt::Display>(f: &mut fmt::Formatter<'_>, parts: &[T]) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        let between = match index {
            0 => "",
            _ if index + 1 == parts.len() => " and ",
            _ => ", ",
        };
        write!(f, "{between}{part}")?;
    }
    Ok(())
}
