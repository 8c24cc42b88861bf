//! Trouble that is not the agent's: a model that cannot be reached says nothing about the agent, so the trial does not count.

use std::time::Duration;

use orkestra_core::prelude::Outcome;

use super::AttemptError;
use super::record::Record;
use crate::result::{Ending, TrialLimits};

/// A trial whose time is used up while the model cannot be reached does not count when this share of its time was lost: less than
/// that would hardly have changed the result.
const LOST_SHARE: f64 = 0.1;

/// The trouble outside of which a run failed.
pub(super) fn of_outcome(outcome: &Outcome, record: &Record) -> Option<AttemptError> {
    let Outcome::Failed { node, failure } = outcome else { return None };
    let text = format!("{node}: {}", failure.message);
    let trouble = match failure.kind.as_str() {
        "model_unavailable" | "model_rate_limited" | "model_timed_out" => AttemptError::passing(text),
        "model_authentication" | "model_credit" => AttemptError::lasting(text),
        // A model that never answered: its name or a parameter is refused. Later it is the conversation, which is the agent's.
        "model_bad_request" if !record.was_answered => AttemptError::lasting(text),
        _ => return None,
    };
    // A run that has failed cannot be continued.
    Some(trouble.anew())
}

/// The trouble outside because of which the time of a trial was used up.
pub(super) fn of_waiting(record: &Record, limits: TrialLimits) -> Option<AttemptError> {
    let first = record.waiting.iter().min_by(|a, b| a.1.since.total_cmp(&b.1.since));
    let (agent, outage) = first?;
    let lost = record.ended_at - outage.since;
    let text =
        || format!("{agent}: the model could not be reached for the last {lost:.0} s of the trial: {}", outage.reason);
    (lost >= limits.seconds as f64 * LOST_SHARE).then(|| AttemptError::passing(text()).anew())
}

/// The trouble outside because of which another agent ended: the endpoint has served none of its calls for so long. Such an agent
/// may say that it has finished.
pub(super) fn of_endpoint(failing: Option<Duration>, ending: &Ending, limits: TrialLimits) -> Option<AttemptError> {
    let lost = failing?.as_secs_f64();
    let counts = match ending {
        Ending::OutOfTokens => true,
        Ending::OutOfTime => lost < limits.seconds as f64 * LOST_SHARE,
        _ => false,
    };
    let text = || format!("the model endpoint served none of the agent's calls in the last {lost:.0} s of the trial");
    (!counts).then(|| AttemptError::passing(text()).anew())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use orkestra_core::prelude::{Failure, Name};

    use super::super::record::Outage;
    use super::*;

    #[test]
    fn a_model_that_cannot_be_used_is_not_the_agents_failure() {
        let check = |kind: &str, was_answered| {
            let node = Name::new("planner").expect("a name");
            let outcome = Outcome::Failed { node, failure: Failure::permanent(kind, "why") };
            let record = Record { was_answered, ..Record::default() };
            of_outcome(&outcome, &record).map(|error| (error.is_retryable(), error.begins_anew(), error.to_string()))
        };
        let why = || "planner: why".to_owned();
        assert_eq!(check("model_unavailable", true), Some((true, true, why())));
        assert_eq!(check("model_authentication", true), Some((false, true, why())));
        assert_eq!(check("model_bad_request", false), Some((false, true, why())));
        assert_eq!(check("model_bad_request", true), None);
        assert_eq!(check("validation_failure", true), None);
        assert_eq!(check("model_malformed", false), None);
    }

    #[test]
    fn an_agent_whose_endpoint_fails_is_not_judged() {
        let check = |failing: Option<u64>, ending: Ending| {
            let limits = TrialLimits { seconds: 100, tokens: None };
            of_endpoint(failing.map(Duration::from_secs), &ending, limits).map(|error| error.begins_anew())
        };
        let failed = || Ending::Failed { reason: String::new() };
        assert_eq!(check(Some(1), failed()), Some(true));
        assert_eq!(check(Some(1), Ending::Finished), Some(true));
        assert_eq!(check(None, failed()), None);
        assert_eq!(check(Some(50), Ending::OutOfTime), Some(true));
        assert_eq!(check(Some(5), Ending::OutOfTime), None);
        assert_eq!(check(Some(50), Ending::OutOfTokens), None);
    }

    #[test]
    fn time_that_was_lost_without_a_model_does_not_count() {
        let check = |since: f64| {
            let outage = Outage { since, reason: "refused".to_owned() };
            let waiting = BTreeMap::from([("qa".to_owned(), outage)]);
            let record = Record { waiting, ended_at: 100.0, ..Record::default() };
            of_waiting(&record, TrialLimits { seconds: 100, tokens: None }).map(|error| error.to_string())
        };
        let text = "qa: the model could not be reached for the last 80 s of the trial: refused";
        assert_eq!(check(20.0).as_deref(), Some(text));
        assert_eq!(check(99.0), None);
    }
}
