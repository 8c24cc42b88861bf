//! Grants slots: asks the limiter which attempts may begin, and starts them.

use std::sync::Arc;
use std::time::Duration;

use crate::kernel::InputKind;

use crate::runtime::error::{Error, ErrorKind};
use crate::runtime::limiter::SlotRequest;
use crate::runtime::shared::Shared;
use crate::runtime::support::panics;

/// How long to wait when no grant is due by time alone.
const NOTHING_DUE: Duration = Duration::from_secs(3600);

/// Grants slots until the engine shuts down. A grant wakes a run that was parked in the meantime.
pub(in crate::runtime) async fn hand_out(shared: Arc<Shared>) {
    loop {
        let now = shared.clock.now();
        let (granted, next) = shared.slots.grants(now);
        for request in granted {
            shared.telemetry.slot_wait.record(shared.slots.waited(now, &request));
            shared.jobs.spawn(grant(Arc::clone(&shared), request));
        }
        let wait = next.map_or(NOTHING_DUE, |next| next.since(now).clamp(Duration::from_millis(1), NOTHING_DUE));
        tokio::select! {
            biased;
            () = shared.down() => return,
            () = shared.slots.changed() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Starts the attempt. If the run no longer needs the slots, they are released.
async fn grant(shared: Arc<Shared>, request: SlotRequest) {
    let SlotRequest { run, node, attempt, .. } = request;
    let granted = InputKind::SlotGranted { node: node.clone(), attempt };
    let told = panics::guard(shared.tell(&run, granted)).await;
    if let Err(error) = told.unwrap_or_else(|panic| Err(Error::new(ErrorKind::Internal, panic))) {
        tracing::debug!(%run, %node, %error, "granted slots are released: their run no longer needs them");
        shared.slots.release(&run, &node);
    }
}
