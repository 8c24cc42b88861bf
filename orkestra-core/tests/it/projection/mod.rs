//! Read models: graphs and timelines of small runs (compared in full), of large ones (within bounds), and of hostile
//! ones (safe).

mod graph;
mod hostile;
mod large;
mod runs;
mod story;
mod timeline;
