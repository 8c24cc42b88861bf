//! The engine as its users meet it, on the in-memory store and in virtual time.

mod bad;
mod basics;
mod doors;
mod handles;
mod limits;
mod many;
mod outage;
mod recovery;
mod retention;
mod schedules;
mod slots;
mod telemetry;
mod upgrade;
mod verbs;
mod world;
