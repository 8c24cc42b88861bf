//! The adapter to the crate genai: its types stay in this folder.

mod client;
mod convert;
mod failure;
mod target;

pub(in crate::model) use client::{GenaiModel, Limits};
pub(in crate::model) use target::{Environment, compatible_address, ollama_address};
