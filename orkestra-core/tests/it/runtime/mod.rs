//! The engine as its users meet it, on the in-memory store and in virtual time.

mod bad;
mod basics;
mod ends;
mod family;
mod faults;
mod handles;
mod keys;
mod large;
mod limits;
mod many;
mod moody;
mod old;
mod outage;
mod pauses;
mod recovery;
mod results;
mod retention;
mod schedules;
mod slots;
mod telemetry;
mod undo;
mod upgrade;
mod values;
mod verbs;
mod waits;
mod world;
