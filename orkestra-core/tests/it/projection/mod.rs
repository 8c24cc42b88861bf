//! Read models: graphs and timelines, of small runs word by word, of large ones within bounds, of hostile ones unharmed.

mod graph;
mod hostile;
mod large;
mod runs;
mod story;
mod timeline;
