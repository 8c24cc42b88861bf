//! The backends: the contract they share, and what is each one's own.

mod conformance;
