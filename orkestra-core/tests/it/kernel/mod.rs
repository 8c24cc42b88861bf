//! The rules of a run, seen from outside: tables (given, when, then), the list of what cannot happen, properties over
//! random runs, and the journal's format.

mod asks;
mod attempt;
mod codec;
mod create;
mod fixture;
mod growth;
mod illegal;
mod moves;
mod property;
mod recover;
mod scene;
mod show;
mod signal;
mod step;
mod stop;
mod timer;
mod world;
