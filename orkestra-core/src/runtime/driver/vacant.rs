//! A run that is not in the store: an input begins it, or is answered with "not found".

use crate::journal::{Commit, Written, check_written, encode};
use crate::kernel::{Input, InputKind, Rejection, RunState, begin};
use crate::model::limits::READ_COMMITS_MAX;
use crate::model::{Epoch, Incarnation, Seq, Timestamp};
use crate::store::LetterId;

use super::commit::{Answer, Reply, commit_of, internal, unreadable};
use super::inbox::read_letter;
use super::{Driver, Stop};
use crate::runtime::storage::blobs;
use crate::runtime::support::patience::insist;
use crate::runtime::task::message::Message;

/// The beginning of a run.
pub(super) struct Begun {
    pub(super) commit: Commit,
    pub(super) written: Written,
    pub(super) asked: InputKind,
    pub(super) reply: Option<Reply>,
    /// Answers that have to wait until the beginning is durable.
    pub(super) others: Vec<(Reply, Answer)>,
}

impl Driver {
    /// Refuses inputs until one begins the run. [`Stop::Idle`] if none does.
    pub(super) async fn first_decision(&mut self, epoch: Epoch) -> Result<(RunState, Begun), Stop> {
        if self.known.durable > Seq::ZERO {
            self.forget_incarnation().await;
        }
        self.known.recovered = Some(Seq::ZERO);
        self.shared.slots.registered(&self.run);
        while let Some(pending) = self.uncertain.pop_front() {
            let (asked, own, others) = pending.into_asked();
            let begun = match asked {
                Some(kind) => self.try_to_begin(epoch, kind, own)?,
                None => None,
            };
            match begun {
                Some((state, begun)) => return Ok((state, Begun { others, ..begun })),
                None => others.into_iter().for_each(|(reply, answer)| reply.send(answer)),
            }
        }
        while !self.shared.shutdown.get() {
            let Some(message) = self.next_message() else {
                self.shared.slots.release_all(&self.run);
                return Err(Stop::Idle);
            };
            match message {
                Message::Input { kind, reply } => {
                    match insist(|| blobs::keep_again(&*self.shared.store, &self.run, &kind)).await {
                        Ok(()) => {
                            if let Some(begun) = self.try_to_begin(epoch, kind, Some(Reply::Input(reply)))? {
                                return Ok(begun);
                            }
                        }
                        Err(error) => drop(reply.send(Err(error))),
                    }
                }
                Message::Inbox => self.discard_letters().await?,
                // The tasks of a deleted run have been dropped.
                Message::Request { .. } | Message::Ended { .. } => {}
            }
        }
        Err(Stop::ShutDown)
    }

    fn next_message(&mut self) -> Option<Message> {
        self.held_back.pop_front().or_else(|| self.messages.try_recv().ok())
    }

    /// Discards the inbox: no letter can begin a run. Letters of a newer version are left to an engine of that version.
    async fn discard_letters(&mut self) -> Result<(), Stop> {
        let mut last = LetterId::ZERO;
        loop {
            let letters = self.letters(last).await?;
            for letter in &letters {
                read_letter(&self.run, letter)?;
            }
            self.discard(letters.iter().map(|letter| letter.id).collect());
            match letters.last() {
                Some(letter) if letters.len() >= READ_COMMITS_MAX => last = letter.id,
                _ => return Ok(()),
            }
        }
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
                        return Ok(Some((state, Begun { commit, written, asked: kind, reply, others: Vec::new() })));
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
