//! The id of a child run: injective over everything that tells two requests apart.
//!
//! ```text
//! order-7/ship/item.3f2a…   run/node/key, for people, then a digest of run, incarnation, node, attempt and key
//! child-91c0…               the digest alone, when the rest is too long or has other characters
//! ```
//!
//! Two requests never share one, whatever their names look like glued together. The same request has the same id over
//! crashes, and after its attempt has ended: what is known of the step comes first.

use crate::kernel::StepState;
use crate::model::{Incarnation, RunId};

use super::code::TaskResult;
use super::context::Context;
use super::keys::digest;

/// The bytes of the digest beside a readable prefix: nobody finds two requests that share eighty bits by accident.
const DIGEST_BYTES: usize = 10;
/// The bytes of a digest that stands alone.
const LONE_DIGEST_BYTES: usize = 16;

/// The id of the child run that this step asks for. One that was given before is kept.
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

/// The id that versions before gave: a run that one of them began finds its children by it.
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

/// Without the brackets of the keys of maps, which an id cannot have.
fn readable(text: &str) -> String {
    text.replace(']', "").replace(['#', '['], ".")
}
