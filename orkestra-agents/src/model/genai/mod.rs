//! The adapter to the genai crate, whose types stay in this folder.

mod client;
mod convert;
mod failure;
mod target;

pub(in crate::model) use client::{GenaiModel, Limits};
pub(in crate::model) use target::{Environment, compatible_address, ollama_address};
