//! A run that is to be begun: checked against what this engine knows, then told to a driver.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::kernel::{ChildState, InputKind};
use crate::model::{Parent, Payload, Plan, RunId, RunOptions, label_mistake};

use super::Shared;
use crate::runtime::error::{Error, ErrorKind};
use crate::runtime::storage::blobs;

/// A run that is to be begun.
pub(in crate::runtime) struct NewRun {
    pub(in crate::runtime) plan: Arc<Plan>,
    pub(in crate::runtime) id: RunId,
    pub(in crate::runtime) input: Payload,
    pub(in crate::runtime) labels: BTreeMap<String, String>,
    pub(in crate::runtime) options: RunOptions,
}

impl Shared {
    /// The run that another one asked for.
    pub(in crate::runtime) fn child_run(&self, child: &ChildState, parent: Parent) -> Result<NewRun, Error> {
        let unknown = || Error::new(ErrorKind::NotFound, format!("no workflow `{}` is registered", child.workflow));
        Ok(NewRun {
            plan: self.code.plan(child.workflow.as_str()).ok_or_else(unknown)?,
            id: child.run.clone(),
            input: child.input.clone(),
            labels: BTreeMap::new(),
            options: RunOptions { parent: Some(parent), ..RunOptions::default() },
        })
    }

    /// Begins the run; false when it is there already.
    pub(in crate::runtime) async fn begin_new(self: &Arc<Self>, new: NewRun) -> Result<bool, Error> {
        let NewRun { plan, id, input: given, labels, options } = new;
        if let Some(task) = self.code.missing_task(&plan) {
            let message = format!("workflow `{}` needs the task `{task}`, which is not registered", plan.workflow());
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        if let Some(limit) = self.missing_limit(&plan) {
            let message = format!("workflow `{}` needs the limit `{limit}`, which is not defined", plan.workflow());
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        if let Some(mistake) = labels.keys().find_map(|key| label_mistake(key)) {
            return Err(Error::new(ErrorKind::Invalid, mistake));
        }
        let workflow = plan.workflow().clone();
        let (parent, store) = (options.parent.as_ref().map(|parent| &parent.run), &*self.store);
        let keep = || async {
            match parent {
                Some(parent) => blobs::adopt(store, (parent, &id), given.clone()).await,
                None => blobs::keep(store, &id, given.clone().verbatim()).await,
            }
        };
        let input = self.patiently(keep).await?;
        let kind = InputKind::Create { plan, input, labels, options: Box::new(options) };
        let Some(record) = self.begin(&id, kind).await? else { return Ok(true) };
        if record.workflow == workflow {
            return Ok(false);
        }
        let message = format!("run `{}` exists already, of workflow `{}`", record.id, record.workflow);
        Err(Error::new(ErrorKind::Conflict, message))
    }
}
