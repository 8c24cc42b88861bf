//! A run that is not in the store: an input begins it, or is answered with "not found".

use crate::journal::{Commit, Written, check_written, encode};
use crate::kernel::{Input, InputKind, Rejection, RunState, begin};
use crate::model::{Epoch, Incarnation, Seq, Timestamp};
use crate::store::LetterId;

use super::commit::{Reply, commit_of, internal, unreadable};
use super::inbox::read_letter;
use super::{Driver, Stop};
use crate::runtime::error::Error;
use crate::runtime::storage::blobs;
use crate::runtime::support::patience::insist;
use crate::runtime::task::message::Message;

/// The beginning of a run.
pub(super) struct Begun {
    pub(super) commit: Commit,
    pub(super) written: Written,
    pub(super) asked: InputKind,
    pub(super) reply: Option<Reply>,
    /// The letter that began it.
    pub(super) letter: Option<LetterId>,
}

impl Driver {
    /// Refuses inputs until one begins the run. [`Stop::Idle`] if none does.
    pub(super) async fn first_decision(&mut self, epoch: Epoch) -> Result<(RunState, Begun), Stop> {
        if self.durable > Seq::ZERO {
            // The run was deleted in the meantime.
            self.abandon(&Error::elsewhere()).await;
            self.durable = Seq::ZERO;
        }
        self.recovered = Some(Seq::ZERO);
        self.shared.slots.registered(&self.run);
        while let Some(pending) = self.uncertain.pop_front() {
            let (asked, own, others) = pending.into_asked();
            others.into_iter().for_each(|(reply, answer)| reply.send(answer));
            if let Some(kind) = asked
                && let Some(begun) = self.try_to_begin(epoch, kind, own)?
            {
                return Ok(begun);
            }
        }
        while !self.shared.shutdown.get() {
            let Some(message) = self.next_message() else { return Err(Stop::Idle) };
            let begun = match message {
                Message::Input { kind, reply } => {
                    match insist(|| blobs::keep_again(&*self.shared.store, &self.run, &kind)).await {
                        Ok(()) => self.try_to_begin(epoch, kind, Some(Reply::Input(reply)))?,
                        Err(error) => {
                            drop(reply.send(Err(error)));
                            None
                        }
                    }
                }
                Message::Inbox => self.begin_by_letter(epoch).await?,
                // The tasks of a deleted run have been dropped.
                Message::Request { .. } | Message::Ended { .. } => None,
            };
            if let Some(begun) = begun {
                return Ok(begun);
            }
        }
        Err(Stop::ShutDown)
    }

    fn next_message(&mut self) -> Option<Message> {
        if self.held_back.is_empty() { self.messages.try_recv().ok() } else { Some(self.held_back.remove(0)) }
    }

    async fn begin_by_letter(&mut self, epoch: Epoch) -> Result<Option<(RunState, Begun)>, Stop> {
        let mut idle = Vec::new();
        let mut begun = None;
        for letter in self.letters(LetterId::ZERO).await? {
            if let Some(kind) = read_letter(&self.run, &letter)? {
                begun = self.try_to_begin(epoch, kind, None)?;
            }
            if let Some((_, begun)) = &mut begun {
                begun.letter = Some(letter.id);
                break;
            }
            idle.push(letter.id);
        }
        self.discard(idle);
        Ok(begun)
    }

    /// Begins the run with this input, or refuses the input.
    fn try_to_begin(
        &self,
        epoch: Epoch,
        kind: InputKind,
        reply: Option<Reply>,
    ) -> Result<Option<(RunState, Begun)>, Stop> {
        let at = self.shared.clock.now();
        let kind = incarnated(kind, at, epoch);
        let refused = match begin(&self.run, Input { at, chance: 0.0, kind: kind.clone() }) {
            Ok((state, events)) => {
                let commit = commit_of(&state, epoch, events);
                let written = encode(&commit).map_err(|error| Stop::Reload(internal(error)))?;
                match check_written(&commit, &written) {
                    Ok(()) => {
                        return Ok(Some((state, Begun { commit, written, asked: kind, reply, letter: None })));
                    }
                    Err(error) => unreadable(error),
                }
            }
            Err(rejection @ Rejection::Broken(_)) => return Err(Stop::Reload(rejection.into())),
            Err(rejection) => rejection.into(),
        };
        match reply {
            Some(reply) => reply.send(Err(refused)),
            None => tracing::debug!(run = %self.run, error = %refused, "an input was rejected and changed nothing"),
        }
        Ok(None)
    }
}

/// Sets the incarnation of a new run, which depends on the lease.
fn incarnated(mut kind: InputKind, at: Timestamp, epoch: Epoch) -> InputKind {
    let given = Some(Incarnation::begun(at, epoch));
    match &mut kind {
        InputKind::Create { options, .. } => options.incarnation = given,
        InputKind::Fork { incarnation, .. } | InputKind::CancelChild { incarnation, .. } => *incarnation = given,
        _ => {}
    }
    kind
}
