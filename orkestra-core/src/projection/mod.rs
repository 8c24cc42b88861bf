//! Read models folded from a run's state, for people and programs that look at runs.

mod view;

pub use view::{NodeView, QuestionView, RunView};
