//! Fails each node once and checks that the run ends as the node's policy says.

use std::collections::BTreeMap;

use orkestra_core::journal::Replayer;
use orkestra_core::kernel::Outcome;
use orkestra_core::model::{Failure, NodeKind, NodeSpec, OnFailure, RunId, Seq};
use orkestra_core::store::{MemoryStore, Store};

use crate::virtual_time::VirtualClock;

use super::inject::Injection;
use super::report::Report;
use super::{Harness, Rest, rest};

/// The kind of the injected failures.
const KIND: &str = "injected";

impl Harness {
    /// Fails the first attempt of each node, in one trial with a retryable failure and in another with a permanent one. The
    /// run must end as the node's retries and failure policy say: with its usual outcome if the node is retried, otherwise
    /// failed because of this node, or paused. A node with the policy `Skip` or `Continue` must not fail the run.
    ///
    /// # Panics
    /// When the run does not end without injected failures.
    pub async fn fail_each_node(&self) -> Report {
        let (id, outcome, ..) = self.run_undisturbed().await;
        let mut report = Report::new(outcome);
        for node in self.nodes(&id).await {
            let failures =
                [Failure::retryable(KIND, "injected by a test"), Failure::permanent(KIND, "injected by a test")];
            for failure in failures {
                self.counter.clear();
                let retried = failure.retryable && node.retry.attempts_max > 1;
                let sort = if failure.retryable { "a retryable" } else { "a permanent" };
                let when = format!("{sort} failure of `{}`", node.name);
                let injection = Injection::Fail { node: node.name.to_string(), failure };
                report.trials += 1;
                match self.rest_with(injection, &id).await {
                    Ok(Rest::Ended(outcome)) if retried => report.compare(&when, Ok(outcome)),
                    rested => report.problems.extend(wrong(rested, &node, retried).map(|why| format!("{when}: {why}"))),
                }
            }
        }
        report
    }

    async fn rest_with(&self, injection: Injection, id: &RunId) -> Result<Rest, String> {
        let engine = self.engine(MemoryStore::new(), VirtualClock::new(), Some(injection)).await;
        let run = self.begin(&engine, Some(id)).await?;
        let rested = rest(&run).await;
        engine.shutdown().await;
        rested
    }

    /// The nodes whose tasks run when nothing is injected.
    async fn nodes(&self, id: &RunId) -> Vec<NodeSpec> {
        let store = MemoryStore::new();
        let engine = self.engine(store.clone(), VirtualClock::new(), None).await;
        let run = self.begin(&engine, Some(id)).await.expect("it started before");
        rest(&run).await.ok();
        engine.shutdown().await;
        let mut replayer = Replayer::new(id.clone());
        for commit in store.read(id, Seq(1), usize::MAX).await.unwrap_or_default() {
            replayer.add(&commit).expect("the journal is ours");
        }
        let Some(state) = replayer.finish() else { return Vec::new() };
        let ran = state.plan().ids().filter(|id| state.node(*id).attempt > 0);
        let specs: BTreeMap<_, _> = ran.map(|id| (id, state.plan().node(id).spec.clone())).collect();
        specs.into_values().filter(|spec| matches!(spec.kind, NodeKind::Task(_))).collect()
    }
}

/// What is wrong with the state in which a run came to rest after `node` failed permanently.
fn wrong(rested: Result<Rest, String>, node: &NodeSpec, retried: bool) -> Option<String> {
    let because_of = |outcome: &Outcome| matches!(outcome, Outcome::Failed { node: failed, failure } if *failed == node.name && failure.kind == KIND);
    match (rested, node.on_failure) {
        (Err(why), _) => Some(why),
        (Ok(_), _) if retried => Some("it pauses although the node is retried".to_owned()),
        (Ok(Rest::Paused), OnFailure::Pause) => None,
        (Ok(Rest::Paused), _) => Some("it pauses".to_owned()),
        (Ok(Rest::Ended(outcome)), OnFailure::Fail) => {
            (!because_of(&outcome)).then(|| format!("it ends in {outcome:?}, and should fail"))
        }
        (Ok(Rest::Ended(outcome)), OnFailure::Pause) => Some(format!("it ends in {outcome:?}, and should pause")),
        (Ok(Rest::Ended(outcome)), _) => {
            because_of(&outcome).then(|| "it fails, and should continue without the node".to_owned())
        }
    }
}
