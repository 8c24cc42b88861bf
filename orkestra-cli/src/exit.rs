//! The documented exit codes, and the error that carries one.

use orkestra_core::kernel::Outcome;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Success.
    Done,
    /// A run was cancelled.
    Cancelled,
    /// A run is paused because its budget is used up.
    Budget,
    /// A run failed, or this machine cannot run it.
    Failed,
    /// The command line is invalid.
    Usage,
    /// Ctrl-C, SIGTERM, or the reader of the output closed the pipe.
    Interrupted,
}

impl Exit {
    /// The number for the shell.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Budget => 3,
            Self::Cancelled => 4,
            Self::Interrupted => 130,
        }
    }

    /// What a run's outcome means for the shell.
    pub(crate) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Completed(_) => Self::Done,
            Outcome::Cancelled(_) => Self::Cancelled,
            _ => Self::Failed,
        }
    }
}

/// Why a command failed: a message that says what to do, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }
}

impl From<orkestra_agents::Error> for Failure {
    fn from(error: orkestra_agents::Error) -> Self {
        let exit = match error.kind() {
            orkestra_agents::ErrorKind::Usage => Exit::Usage,
            _ => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<orkestra_core::Error> for Failure {
    fn from(error: orkestra_core::Error) -> Self {
        Self::failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use orkestra_core::prelude::{Failure, Name, Payload};

    use super::*;

    #[test]
    fn outcomes_have_the_documented_codes() {
        let node = Name::new("qa").expect("a name");
        let failure = Failure::permanent("validation_failure", "what happened");
        for (outcome, code) in [
            (Outcome::Completed(Payload::null()), 0),
            (Outcome::Failed { node, failure }, 1),
            (Outcome::Cancelled("enough".into()), 4),
        ] {
            assert_eq!(Exit::of(&outcome).code(), code, "{outcome:?}");
        }
    }

    #[test]
    fn the_worst_of_several_runs_counts() {
        assert_eq!([Exit::Done, Exit::Failed, Exit::Cancelled].into_iter().max(), Some(Exit::Failed));
    }
}
