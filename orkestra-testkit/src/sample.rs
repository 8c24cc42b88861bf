//! Runs with real journals, decided by the kernel and encoded by the codec, without an engine.
//!
//! A [`SampleRun`] makes the commits that a driver would make, one by one, without writing them to a store.

use std::collections::BTreeMap;
use std::sync::Arc;

use orkestra_core::journal::{Commit, ReplayError, Replayer, Written, encode};
use orkestra_core::kernel::{Input, InputKind, RunState, TaskRequest, decide};
use orkestra_core::model::{Epoch, Name, NodeSpec, Payload, Plan, RunId, Seq, Timestamp, WorkflowSpec};
use orkestra_core::store::{Append, RunRecord};

/// A run of one node, `work`, that emits any number of reports and then completes.
#[derive(Clone, Debug)]
pub struct SampleRun {
    run: RunId,
    workflow: Name,
    labels: BTreeMap<String, String>,
    epoch: Epoch,
    now: Timestamp,
    state: Option<RunState>,
}

const WHY: &str = "a sample uses valid values";

impl SampleRun {
    /// A run that is not created yet.
    ///
    /// # Panics
    /// When `id` is not a valid run id.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self {
            run: RunId::new(id).expect("an id of a run"),
            workflow: Name::new("sample").expect(WHY),
            labels: BTreeMap::new(),
            epoch: Epoch(0),
            now: Timestamp::from_millis(1_000),
            state: None,
        }
    }

    /// A run that continues after `commits`, which must be its whole journal.
    ///
    /// # Errors
    /// When they are not the journal of a run.
    ///
    /// # Panics
    /// When `id` is not a valid run id.
    pub fn resume(id: &str, commits: &[Written]) -> Result<Self, ReplayError> {
        let mut sample = Self::new(id);
        let mut replayer = Replayer::new(sample.run.clone());
        for commit in commits {
            replayer.add(commit)?;
        }
        sample.state = replayer.finish();
        Ok(sample)
    }

    /// Adds a label.
    #[must_use]
    pub fn with_label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Sets the name of its workflow.
    ///
    /// # Panics
    /// When `workflow` is not a valid name.
    #[must_use]
    pub fn with_workflow(self, workflow: &str) -> Self {
        Self { workflow: Name::new(workflow).expect("a name of a workflow"), ..self }
    }

    /// Sets the time of its next commits, in milliseconds.
    #[must_use]
    pub fn at(self, millis: u64) -> Self {
        Self { now: Timestamp::from_millis(millis), ..self }
    }

    /// Sets the epoch of its next commits.
    pub fn set_epoch(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    /// The run's id.
    #[must_use]
    pub const fn id(&self) -> &RunId {
        &self.run
    }

    /// The position of the last event made so far.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.state.as_ref().map_or(Seq::ZERO, RunState::last)
    }

    /// Whether the run has ended.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.status().is_final())
    }

    /// The record after the commits made so far.
    ///
    /// # Panics
    /// Before the first commit.
    #[must_use]
    pub fn record(&self) -> RunRecord {
        RunRecord::of(self.state.as_ref().expect("a run that was created"))
    }

    /// The first commit.
    pub fn create(&mut self) -> Append {
        let name = Name::new("work").expect(WHY);
        let spec = WorkflowSpec {
            name: self.workflow.clone(),
            version: None,
            nodes: vec![NodeSpec::task(name.clone(), name)],
        };
        let plan = Arc::new(Plan::new(&spec).expect(WHY));
        self.decide(InputKind::Create {
            plan,
            input: Payload::null(),
            labels: self.labels.clone(),
            options: Box::default(),
        })
    }

    /// A commit of one event, with a body of about `bytes` bytes. It does not change the record.
    pub fn report(&mut self, bytes: usize) -> Append {
        let payload = Payload::of(&"x".repeat(bytes)).expect(WHY);
        self.request(TaskRequest::Emit { kind: "report".into(), payload })
    }

    /// A commit after which the run's node waits until `due`, in milliseconds. It does not change the record: set its wake-up
    /// time with [`with_wake_at`].
    pub fn sleep(&mut self, step: &str, due: u64) -> Append {
        self.request(TaskRequest::Sleep { step: step.into(), due: Timestamp::from_millis(due) })
    }

    /// The last commit: the run completes.
    pub fn complete(&mut self) -> Append {
        self.complete_with(0)
    }

    /// The last commit, with an output of about `bytes` bytes, which the record contains too.
    pub fn complete_with(&mut self, bytes: usize) -> Append {
        let node = Name::new("work").expect(WHY);
        let output = Payload::of(&"x".repeat(bytes)).expect(WHY);
        self.decide(InputKind::AttemptEnded { node, attempt: 1, result: Ok(output) })
    }

    fn request(&mut self, request: TaskRequest) -> Append {
        self.decide(InputKind::Task { node: Name::new("work").expect(WHY), attempt: 1, request })
    }

    fn decide(&mut self, kind: InputKind) -> Append {
        let first = self.last().plus(1);
        let before = self.state.as_ref().map(RunRecord::of);
        let input = Input { at: self.now, chance: 0.0, kind };
        let events = decide(&self.run, &mut self.state, input).expect("a sample makes valid requests");
        let commit = Commit { run: self.run.clone(), first, epoch: self.epoch, at: self.now, events };
        let record = self.record();
        let told = before.is_some_and(|before| before.status == record.status && before.wake_at == record.wake_at);
        Append { commit: encode(&commit).expect(WHY), record: (!told).then_some(record), taken: Vec::new() }
    }
}

/// Sets the wake-up time of the commit's record, in milliseconds; `None` for none.
///
/// # Panics
/// When the commit has no record.
#[must_use]
pub fn with_wake_at(append: Append, at: Option<u64>) -> Append {
    let record = append.record.expect("a commit that brings a record");
    Append { record: Some(RunRecord { wake_at: at.map(Timestamp::from_millis), ..record }), ..append }
}
