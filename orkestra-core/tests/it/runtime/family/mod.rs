//! Parents and children: which child belongs to which request, what happens to it when it is dropped, and how each is
//! informed of the other.

mod deadlock;
mod informed;
mod requests;

use std::time::Duration;

use orkestra_core::prelude::*;

pub(super) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) async fn double(_cx: Context, number: u64) -> TaskResult<u64> {
    Ok(2 * number)
}

pub(super) fn doubling() -> Workflow {
    Workflow::new("double").node("d", double).build().expect("a workflow")
}

pub(super) fn waiting() -> Workflow {
    Workflow::new("wait").gate::<bool>("go").build().expect("a workflow")
}

pub(super) fn parent_of(child: &'static str) -> Workflow {
    let task = move |cx: Context, (): ()| async move { cx.child::<bool>("c", child, ()).await };
    Workflow::new("parent").node("p", task).build().expect("a workflow")
}

pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, work).await.expect("it does not take so long")
}
