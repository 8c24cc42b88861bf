//! After the journal was read again: earlier decisions that may not be durable are answered, or made again.

use crate::kernel::{InputKind, Rejection};
use crate::model::Name;

use super::Stop;
use super::commit::{Pending, Reply};
use super::session::Session;
use crate::runtime::error::Error;

impl Session<'_> {
    /// Answers what turned out to be durable, and makes the other decisions again, in their order.
    pub(super) async fn decide_again(&mut self) -> Result<(), Stop> {
        while let Some(pending) = self.driver.uncertain.pop_front() {
            if pending.last() <= self.driver.known.durable {
                self.was_written(pending);
            } else {
                self.again(pending).await?;
            }
        }
        self.defer_unstarted().await?;
        if !self.is_paused() {
            let steps: Vec<_> = self.driver.waiters.keys().cloned().collect();
            steps.iter().for_each(|step| self.answer_if_durable(step));
        }
        self.begin_deferred().await
    }

    async fn again(&mut self, pending: Pending) -> Result<(), Stop> {
        let (asked, own, others) = pending.into_asked();
        // `None` for recovery, and for letters, which are read again.
        if let Some(kind) = asked {
            self.decide_again_on(kind, own).await?;
        }
        others.into_iter().for_each(|(reply, answer)| self.answer_after_pending(reply, answer));
        Ok(())
    }

    async fn decide_again_on(&mut self, kind: InputKind, own: Option<Reply>) -> Result<(), Stop> {
        let key = key_of(&kind);
        match self.decide(kind) {
            Ok(events) if events.is_empty() => {
                if let Some(reply) = own {
                    self.answer_after_pending(reply, Ok(()));
                }
                self.settle_after_pending(key);
            }
            Ok(events) => self.commit(events, own, Vec::new()).await?,
            Err(Rejection::Broken(illegal)) => return Err(Stop::Reload(Rejection::Broken(illegal).into())),
            Err(rejection) => {
                let error = Error::from(rejection);
                for waiter in key.and_then(|key| self.driver.waiters.remove(&key)).into_iter().flatten() {
                    self.answer_after_pending(Reply::Refused(waiter), Err(error.clone()));
                }
                if let Some(reply) = own {
                    self.answer_after_pending(reply, Err(error));
                }
            }
        }
        Ok(())
    }

    fn settle_after_pending(&mut self, key: Option<(Name, String)>) {
        if let (Some(key), Some(pending)) = (key, self.pending.back_mut()) {
            pending.settle_too(key);
        }
    }

    /// Answers a step, unless a pending decision settles it: then it is answered when that is durable.
    pub(super) fn answer_if_durable(&mut self, step: &(Name, String)) {
        let open = self.pending.iter().any(|pending| pending.settles(step));
        if !open {
            self.answer(step);
        }
    }
}

/// The step that the input is about, if requests waiting for it are registered under it.
fn key_of(kind: &InputKind) -> Option<(Name, String)> {
    match kind {
        InputKind::Task { node, request, .. } => request.step().map(|step| (node.clone(), step.to_owned())),
        _ => None,
    }
}
