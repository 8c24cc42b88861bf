//! An answer of the model on its way to the client: its usage is counted before the client sees it, and the key is masked.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use futures_util::stream::{self, Stream};
use hyper::body::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::ModelGateway;
use super::meter::{Meter, Tokens};
use crate::egress::proxy::Shared;
use crate::secrets::SecretStream;

/// An answer on its way.
pub(super) struct Passing {
    shared: Arc<Shared>,
    gateway: ModelGateway,
    answer: reqwest::Response,
    masking: SecretStream,
    /// `None` when the answer has no usage to be counted, such as an error.
    call: Option<Call>,
    ready: VecDeque<Bytes>,
    is_over: bool,
    _permit: OwnedSemaphorePermit,
}

/// A call that was admitted. When it is dropped before its end, it was cut off.
pub(super) struct Call {
    gateway: ModelGateway,
    meter: Meter,
    counted: Tokens,
    /// Of the request and of the answer so far.
    bytes: u64,
    is_ended: bool,
}

impl Passing {
    pub(super) fn new(
        shared: Arc<Shared>,
        gateway: ModelGateway,
        answer: reqwest::Response,
        mut call: Option<Call>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let kind = answer.headers().get(reqwest::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is_events = kind.is_some_and(|kind| kind.starts_with("text/event-stream"));
        if let Some(call) = &mut call {
            call.meter = Meter::new(is_events);
        }
        let masking = gateway.secrets.stream();
        Self { shared, gateway, answer, masking, call, ready: VecDeque::new(), is_over: false, _permit: permit }
    }

    pub(super) fn stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        stream::try_unfold(self, |mut this| async move { Ok(this.next().await?.map(|piece| (piece, this))) })
    }

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(Some(piece));
            }
            if self.is_over {
                return Ok(None);
            }
            // The error of the client may name the address, which programs in the sandbox do not see.
            let piece = self.answer.chunk().await.map_err(|_| {
                self.gateway.note(None);
                io::Error::other("the model's answer broke off")
            })?;
            let masked = match &piece {
                Some(piece) => self.masking.push(piece).into_owned(),
                None => self.masking.finish(),
            };
            if !masked.is_empty() {
                self.ready.push_back(Bytes::from(masked));
            }
            match piece {
                Some(piece) => self.read(&piece),
                None => self.finish(),
            }
        }
    }

    fn read(&mut self, piece: &[u8]) {
        self.shared.record.change(self.gateway.host(), |used| used.bytes_received += piece.len() as u64);
        if let Some(call) = &mut self.call {
            call.bytes += piece.len() as u64;
            call.meter.push(piece);
            call.count();
        }
    }

    fn finish(&mut self) {
        self.is_over = true;
        if let Some(mut call) = self.call.take() {
            call.meter.finish();
            call.end(true);
        }
    }
}

impl Call {
    /// Of a request of so many bytes.
    pub(super) fn begin(gateway: ModelGateway, bytes: u64) -> Self {
        Self { gateway, meter: Meter::new(false), counted: Tokens::default(), bytes, is_ended: false }
    }

    /// The endpoint failed: nothing was used.
    pub(super) fn fail(mut self) {
        self.is_ended = true;
    }

    fn count(&mut self) {
        if let Some(tokens) = self.meter.tokens().filter(|tokens| *tokens != self.counted) {
            self.gateway.count(self.counted, tokens);
            self.counted = tokens;
        }
    }

    fn end(&mut self, is_complete: bool) {
        if std::mem::replace(&mut self.is_ended, true) {
            return;
        }
        self.count();
        if self.meter.tokens().is_none() {
            self.gateway.count_unknown(is_complete, self.bytes);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(false);
    }
}
