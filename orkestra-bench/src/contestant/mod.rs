//! Who works on the tasks: Orkestra's own pipeline, or any other agent that runs from a command line.

mod command;
mod output;
mod outside;
mod pipeline;
mod presets;
mod record;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use self::command::{CommandContestant, PEERS_IMAGE};
pub use self::pipeline::PipelineContestant;
use crate::result::{AgentInfo, Ending, Moment, TrialLimits};

/// Who works on the tasks.
#[async_trait]
pub trait Contestant: Send + Sync {
    /// Its name and model, for the report.
    fn info(&self) -> AgentInfo;

    /// Where its commands run, in words, with what is not confined there.
    fn place(&self) -> String;

    /// Whether it goes on with its work after the death of the process. One that begins anew has all of its time again.
    fn continues(&self) -> bool {
        true
    }

    /// Works on one trial until it ends or a limit is reached. Afterwards nothing of it runs any more, and nothing writes in the
    /// workspace.
    ///
    /// When the process dies meanwhile, this is called again with the same assignment and the time that was used up before. The same
    /// holds after an error, unless the error says that the next attempt has to begin anew ([`AttemptError::anew`]).
    ///
    /// # Errors
    /// [`AttemptError`] for trouble that is not the agent's: the trial is repeated later and not counted.
    async fn attempt(&self, assignment: &Assignment) -> Result<Attempt, AttemptError>;
}

/// One trial, as the contestant gets it. It never holds anything by which the work is judged.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Assignment {
    /// A name for this trial that no other trial has, and no attempt of it that was given up: letters, digits, `.`, `_` and `-`.
    pub id: String,
    /// What is asked for.
    pub objective: String,
    /// The files that the workspace begins with: paths and contents.
    pub start: Vec<(String, Vec<u8>)>,
    /// What it may take.
    pub limits: TrialLimits,
    /// What it has taken of its time already, in processes that died.
    pub used: Duration,
    /// Whether a person has resumed the benchmark since the last attempt failed with [`AttemptError::lasting`].
    pub was_resumed: bool,
}

impl Assignment {
    /// A trial with this name and objective, in an empty workspace.
    #[must_use]
    pub fn new(id: impl Into<String>, objective: impl Into<String>, limits: TrialLimits) -> Self {
        Self {
            id: id.into(),
            objective: objective.into(),
            start: Vec::new(),
            limits,
            used: Duration::ZERO,
            was_resumed: false,
        }
    }
}

/// What a contestant did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Attempt {
    /// How it ended.
    pub ending: Ending,
    /// The directory with the result.
    pub workspace: PathBuf,
    /// How often agents attempted their part, in sum; `None` when this is unknown.
    pub attempts: Option<u32>,
    /// Tokens of the model's input; `None` when they are unknown.
    pub input_tokens: Option<u64>,
    /// Tokens of the model's output; `None` when they are unknown.
    pub output_tokens: Option<u64>,
    /// Calls of the model; `None` when they are unknown.
    pub model_calls: Option<u64>,
    /// What it cost in dollars; `None` when the price is unknown.
    pub cost_usd: Option<f64>,
    /// What happened, in order.
    pub timeline: Vec<Moment>,
}

impl Attempt {
    /// An attempt that ended, of which nothing else is known.
    #[must_use]
    pub fn new(ending: Ending, workspace: impl Into<PathBuf>) -> Self {
        Self {
            ending,
            workspace: workspace.into(),
            attempts: None,
            input_tokens: None,
            output_tokens: None,
            model_calls: None,
            cost_usd: None,
            timeline: Vec::new(),
        }
    }
}

/// Why a trial could not be worked on: trouble outside, such as a daemon that does not answer. It says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct AttemptError {
    message: String,
    is_retryable: bool,
    begins_anew: bool,
}

impl AttemptError {
    /// Trouble that may pass: the same call may succeed later.
    #[must_use]
    pub fn passing(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_retryable: true, begins_anew: false }
    }

    /// Trouble that a person has to mend: the benchmark ends.
    #[must_use]
    pub fn lasting(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_retryable: false, begins_anew: false }
    }

    /// What was done so far cannot be continued: the next attempt has another [`Assignment::id`], an empty workspace and all of its
    /// time.
    #[must_use]
    pub fn anew(self) -> Self {
        Self { begins_anew: true, ..self }
    }

    /// Whether the next attempt has to begin anew.
    #[must_use]
    pub fn begins_anew(&self) -> bool {
        self.begins_anew
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.is_retryable
    }
}
