//! Read models of a run's state, for people and programs that inspect runs.

mod graph;
mod timeline;
mod view;
mod waits;
mod word;

pub use graph::{Graph, GraphEdge, GraphFold, GraphKind, GraphNode, GraphRun};
pub use timeline::{
    AttemptOutcome, AttemptTimeline, Mark, MarkKind, NodeEnd, NodeTimeline, Span, StepKind, StepTimeline, Timeline,
    TimelineFold, WaitKind, WaitTimeline,
};
pub use view::{NodeView, QuestionView, RunView};
pub use waits::{LeaseView, RunWaitsFor, SlotWait, WaitsFor};
