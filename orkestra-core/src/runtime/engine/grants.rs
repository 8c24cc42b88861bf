//! Hands out slots: the limiter says who gets some, and their runs are told.

use std::sync::Arc;
use std::time::Duration;

use crate::kernel::InputKind;

use crate::runtime::error::{Error, ErrorKind};
use crate::runtime::limiter::Claim;
use crate::runtime::shared::Shared;
use crate::runtime::support::panics;

/// How long nothing is granted by the clock alone.
const NOTHING_DUE: Duration = Duration::from_secs(3600);

/// Hands slots out until the engine shuts down. A run that was parked meanwhile is woken by its grant.
pub(in crate::runtime) async fn hand_out(shared: Arc<Shared>) {
    loop {
        let now = shared.clock.now();
        let (granted, next) = shared.slots.grants(now);
        for claim in granted {
            shared.telemetry.slot_wait.record(shared.slots.waited(now, &claim));
            shared.jobs.spawn(grant(Arc::clone(&shared), claim));
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

/// Lets the attempt begin. When the run has no use for the slots any more they are given back.
async fn grant(shared: Arc<Shared>, claim: Claim) {
    let Claim { run, node, attempt, .. } = claim;
    let granted = InputKind::SlotGranted { node: node.clone(), attempt };
    let told = panics::guard(shared.tell(&run, granted)).await;
    if let Err(error) = told.unwrap_or_else(|panic| Err(Error::new(ErrorKind::Internal, panic))) {
        tracing::debug!(%run, %node, %error, "slots were granted that nobody takes");
        shared.slots.release(&run, &node);
    }
}
