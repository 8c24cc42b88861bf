//! Tests of the kernel from outside: tables (given, when, then), the tables of legal events, properties of random runs,
//! and the journal's format.

mod again;
mod asks;
mod attempt;
mod child;
mod codec;
mod control;
mod create;
mod decided;
mod doors;
mod fixture;
mod fork;
mod fork_undo;
mod growth;
mod illegal;
mod illegal_verbs;
mod join;
mod moves;
mod property;
mod recover;
mod scene;
mod show;
mod signal;
mod slot;
mod step;
mod stop;
mod timer;
mod undo;
mod undo_again;
mod values;
mod waits_for;
mod world;
