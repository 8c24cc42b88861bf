//! What the journal of a pipeline's run tells about a trial.

use std::collections::BTreeMap;

use orkestra_agents::event::ProductEvent;
use orkestra_agents::feed::product_event;
use orkestra_core::prelude::{Cursor, Error, Run, Timestamp};

use crate::result::Moment;

/// Characters of a moment.
const MOMENT_CHARACTERS_MAX: usize = 300;
/// The errors of a model whose provider cannot be reached or refuses to serve now.
const OUTAGES: [&str; 2] = ["model_unavailable", "model_rate_limited"];

/// What the journal of a run tells about it.
#[derive(Default)]
pub(super) struct Record {
    pub(super) attempts: u32,
    pub(super) calls: u64,
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
    pub(super) cost: Option<f64>,
    pub(super) timeline: Vec<Moment>,
    /// Whether the model has answered at least once.
    pub(super) was_answered: bool,
    /// The agents that waited for the model at the end because it could not be reached.
    pub(super) waiting: BTreeMap<String, Outage>,
    /// When the run ended, seconds since its start.
    pub(super) ended_at: f64,
}

/// A time in which the model could not be reached.
pub(super) struct Outage {
    /// Seconds since the start of the run.
    pub(super) since: f64,
    pub(super) reason: String,
}

impl Record {
    /// Notes when an agent begins and ends to wait for the model.
    fn observe(&mut self, event: &ProductEvent, at: f64) {
        self.ended_at = at;
        self.was_answered |= matches!(
            event,
            ProductEvent::TokenChunk { .. } | ProductEvent::ToolCall { .. } | ProductEvent::Usage { .. }
        );
        match event {
            ProductEvent::RateLimited { agent, kind, reason, .. } if OUTAGES.contains(&kind.as_str()) => {
                let outage = || Outage { since: at, reason: reason.clone() };
                self.waiting.entry(agent.clone()).or_insert_with(outage);
            }
            // Tried again, which says nothing, or stopped while it waited.
            ProductEvent::ModelRestarted { .. }
            | ProductEvent::RetryScheduled { .. }
            | ProductEvent::NodeStarted { .. }
            | ProductEvent::NodeCancelled { .. }
            | ProductEvent::EngineEvent { .. } => {}
            other => {
                other.agent().and_then(|agent| self.waiting.remove(agent));
            }
        }
    }
}

/// Reads the journal of a run that has ended.
pub(super) async fn read(run: &Run) -> Result<Record, Error> {
    let mut events = run.events(Cursor::START);
    let mut record = Record { input: Some(0), output: Some(0), cost: Some(0.0), ..Record::default() };
    let mut began: Option<Timestamp> = None;
    while let Some(event) = events.next().await? {
        let began = *began.get_or_insert(event.at);
        let at = event.at.as_millis().saturating_sub(began.as_millis()) as f64 / 1000.0;
        let event = product_event(&event).event;
        record.observe(&event, at);
        match &event {
            ProductEvent::NodeStarted { .. } => record.attempts += 1,
            ProductEvent::Usage { tokens, cost_usd, .. } => {
                record.calls += 1;
                // One unknown number makes the sum unknown.
                record.input = record.input.zip(tokens.input).map(|(sum, more)| sum + more);
                record.output = record.output.zip(tokens.output).map(|(sum, more)| sum + more);
                record.cost = record.cost.zip(*cost_usd).map(|(sum, more)| sum + more);
            }
            _ => {}
        }
        if let Some(text) = moment(&event) {
            let agent = event.agent().unwrap_or_default().to_owned();
            record.timeline.push(Moment { at, agent, text: cut(&text) });
        }
    }
    Ok(record)
}

/// An event in a line, if it belongs to the story of a trial.
fn moment(event: &ProductEvent) -> Option<String> {
    Some(match event {
        ProductEvent::NodeStarted { attempt, .. } => format!("starts, attempt {attempt}"),
        ProductEvent::ToolCall { tool, arguments, .. } => format!("{tool} {arguments}"),
        ProductEvent::ToolResult { tool, ok: false, text, .. } => format!("{tool} failed: {text}"),
        ProductEvent::ValidationFailed { debug_info, .. } => {
            format!("validation failed ({:?}): {}", debug_info.error_type, debug_info.failed_tests.join(", "))
        }
        ProductEvent::RateLimited { reason, .. } => format!("the model is not available: {reason}"),
        ProductEvent::NodeCompleted { summary, .. } => format!("is done: {}", summary.as_deref().unwrap_or_default()),
        ProductEvent::NodeFailed { error, .. } => format!("failed: {error}"),
        ProductEvent::Notice { message, .. } => message.clone(),
        ProductEvent::RunFailed { error, .. } => format!("the run failed: {error}"),
        ProductEvent::RunCancelled { reason } => format!("the run was cancelled: {reason}"),
        ProductEvent::RunCompleted { .. } => "the run is completed".to_owned(),
        _ => return None,
    })
}

/// A text in one line, shortened.
pub(super) fn cut(text: &str) -> String {
    let line = text.replace('\n', " ⏎ ");
    match line.char_indices().nth(MOMENT_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
