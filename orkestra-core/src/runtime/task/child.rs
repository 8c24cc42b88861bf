//! The ids of child runs: injective, so that two requests never share one.
//!
//! ```text
//! order-7/ship/item.3f2a…   run/node/key, for people, then a digest of run, incarnation, node, attempt and key
//! child-91c0…               the digest alone, when the rest is too long or has other characters
//! ```
//!
//! Two requests never share an id, however their names concatenate. The same request has the same id across crashes and
//! attempts: the remembered state of the step is used first.

use crate::kernel::StepState;
use crate::model::{Incarnation, RunId};

use super::code::TaskResult;
use super::context::Context;
use super::keys::digest;

/// Length of the digest after a readable prefix, in bytes: two requests do not share eighty bits by accident.
const DIGEST_BYTES: usize = 10;
/// Length of a digest that stands alone, in bytes.
const LONE_DIGEST_BYTES: usize = 16;

/// The id of the child run that this step requests. An id from an earlier call is kept.
pub(super) fn child_id(cx: &Context, step: &str) -> TaskResult<RunId> {
    if let Some(StepState::Child(child)) = cx.known(step) {
        return Ok(child.run.clone());
    }
    let key = step.trim_start_matches("child:");
    match cx.incarnation() {
        Some(incarnation) => distinct(cx, incarnation, step, key),
        None => glued(cx, step, key),
    }
}

fn distinct(cx: &Context, incarnation: &Incarnation, step: &str, key: &str) -> TaskResult<RunId> {
    let attempt = cx.attempt().to_string();
    let parts = [&**cx.run_id(), &**incarnation, cx.node(), &*attempt, step];
    let readable = readable(&format!("{}/{}/{key}", cx.run_id(), cx.node()));
    match RunId::new(format!("{readable}.{}", digest(&parts, DIGEST_BYTES))) {
        Ok(id) => Ok(id),
        Err(_) => Ok(RunId::new(format!("child-{}", digest(&parts, LONE_DIGEST_BYTES)))?),
    }
}

/// The id that older versions assigned: a run begun by one of them finds its children by it.
fn glued(cx: &Context, step: &str, key: &str) -> TaskResult<RunId> {
    let again = if cx.attempt() == 1 { String::new() } else { format!(".{}", cx.attempt()) };
    match RunId::new(readable(&format!("{}/{}/{key}{again}", cx.run_id(), cx.node()))) {
        Ok(id) => Ok(id),
        Err(_) => {
            let parts = [&**cx.run_id(), cx.node(), step, &*again];
            Ok(RunId::new(format!("child-{}", digest(&parts, LONE_DIGEST_BYTES)))?)
        }
    }
}

/// Removes the brackets of map keys, which an id cannot contain.
fn readable(text: &str) -> String {
    text.replace(']', "").replace(['#', '['], ".")
}
