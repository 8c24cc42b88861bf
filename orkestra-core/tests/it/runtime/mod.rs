//! The engine as its users meet it, on the in-memory store and in virtual time.

mod bad;
mod basics;
mod family;
mod handles;
mod limits;
mod many;
mod moody;
mod old;
mod outage;
mod recovery;
mod retention;
mod schedules;
mod slots;
mod telemetry;
mod upgrade;
mod verbs;
mod world;
