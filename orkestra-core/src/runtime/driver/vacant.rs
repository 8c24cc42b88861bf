//! A run that is not in the store: it begins with what it is told, or everybody is told that it does not exist.

use crate::journal::{Commit, Written, check_written, encode};
use crate::kernel::{Input, InputKind, Rejection, RunState, begin};
use crate::model::{Epoch, Incarnation, Seq, Timestamp};
use crate::store::LetterId;

use super::commit::{Reply, commit_of, internal, unreadable};
use super::inbox::read_letter;
use super::{Driver, Turn};
use crate::runtime::error::Error;
use crate::runtime::storage::blobs;
use crate::runtime::support::patience::insist;
use crate::runtime::task::message::Message;

/// What a run begins with.
pub(super) struct Begun {
    pub(super) commit: Commit,
    pub(super) written: Written,
    pub(super) asked: InputKind,
    pub(super) reply: Option<Reply>,
    /// The letter that asked for it.
    pub(super) letter: Option<LetterId>,
}

impl Driver {
    /// Refuses what is asked of the run until something begins it. [`Turn::Rest`] when nothing does.
    pub(super) async fn first_decision(&mut self, epoch: Epoch) -> Result<(RunState, Begun), Turn> {
        if self.durable > Seq::ZERO {
            // It was deleted meanwhile.
            self.abandon(&Error::elsewhere()).await;
            self.durable = Seq::ZERO;
        }
        self.recovered = Some(Seq::ZERO);
        self.shared.slots.arrived(&self.run);
        while let Some(pending) = self.unsure.pop_front() {
            let (asked, own, others) = pending.into_asked();
            others.into_iter().for_each(|(reply, answer)| reply.send(answer));
            if let Some(kind) = asked
                && let Some(begun) = self.try_to_begin(epoch, kind, own)?
            {
                return Ok(begun);
            }
        }
        while !self.shared.shutdown.get() {
            let Some(message) = self.next_message() else { return Err(Turn::Rest) };
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
                // A task of a run that is gone has been dropped.
                Message::Request { .. } | Message::Ended { .. } => None,
            };
            if let Some(begun) = begun {
                return Ok(begun);
            }
        }
        Err(Turn::ShutDown)
    }

    fn next_message(&mut self) -> Option<Message> {
        if self.kept.is_empty() { self.messages.try_recv().ok() } else { Some(self.kept.remove(0)) }
    }

    async fn begin_by_letter(&mut self, epoch: Epoch) -> Result<Option<(RunState, Begun)>, Turn> {
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

    /// Begins the run with this input, or refuses it.
    fn try_to_begin(
        &self,
        epoch: Epoch,
        kind: InputKind,
        reply: Option<Reply>,
    ) -> Result<Option<(RunState, Begun)>, Turn> {
        let at = self.shared.clock.now();
        let kind = incarnated(kind, at, epoch);
        let refused = match begin(&self.run, Input { at, chance: 0.0, kind: kind.clone() }) {
            Ok((state, events)) => {
                let commit = commit_of(&state, epoch, events);
                let written = encode(&commit).map_err(|error| Turn::Reload(internal(error)))?;
                match check_written(&commit, &written) {
                    Ok(()) => {
                        return Ok(Some((state, Begun { commit, written, asked: kind, reply, letter: None })));
                    }
                    Err(error) => unreadable(error),
                }
            }
            Err(rejection @ Rejection::Broken(_)) => return Err(Turn::Reload(rejection.into())),
            Err(rejection) => rejection.into(),
        };
        match reply {
            Some(reply) => reply.send(Err(refused)),
            None => tracing::debug!(run = %self.run, error = %refused, "an input changed nothing"),
        }
        Ok(None)
    }
}

/// A run that is begun gets its incarnation, which needs the lease.
fn incarnated(mut kind: InputKind, at: Timestamp, epoch: Epoch) -> InputKind {
    let given = Some(Incarnation::begun(at, epoch));
    match &mut kind {
        InputKind::Create { options, .. } => options.incarnation = given,
        InputKind::Fork { incarnation, .. } | InputKind::CancelChild { incarnation, .. } => *incarnation = given,
        _ => {}
    }
    kind
}
