//! Tools for agents: files and commands, confined to a workspace and a sandbox.
//!
//! ```text
//! model's tool call -> ToolSet::call: schema check -> Tool -> Workspace (files, through a directory handle)
//!                                                         \-> Sandbox  (commands: Docker, or a confined local process)
//! ```
//!
//! - [`ToolSet`] holds [`Tool`]s and validates arguments before a call; errors are worded for a language model.
//! - [`Workspace`] is a directory that paths cannot leave.
//! - [`Sandbox`] runs commands: [`DockerSandbox`] (the default) and [`LocalSandbox`] (chosen explicitly). `docs/sandbox.md`
//!   says what each confines and what not; a started sandbox reports it in [`Sandbox::confinement`].
//! - [`Github`] lets `github_create_pr` push and open pull requests; `docs/git.md` says how git is used.
//! - [`Secrets`] are masked in everything that comes out of a tool.
//! - [`policy`] decides which calls are made, asked about or refused. It is data, and pure.
//! - `mcp` has the tools of MCP servers, with the feature `mcp`.
//! - [`limits`] has every limit with its reason.
//!
//! This crate knows nothing of runs, models and stores, and never reads configuration from the environment.

pub mod egress;
pub mod limits;
#[cfg(feature = "mcp")]
pub mod mcp;
pub mod policy;
pub mod web;

mod arguments;
mod artifacts;
mod error;
mod git;
mod lines;
mod nearest;
mod reference;
mod sandbox;
mod scope;
mod secrets;
mod tool;
mod tools;
mod toolset;
mod workspace;

pub use error::ToolError;
pub use git::{Github, GithubError};
pub use reference::{ParameterReference, ToolReference};
pub use sandbox::docker::{DockerInfo, DockerOptions, DockerSandbox, Network};
pub use sandbox::local::{LocalOptions, LocalSandbox};
pub use sandbox::{
    Command, CommandResult, Confinement, Connection, PipedCommand, ProcessStart, ProcessState, Sandbox, SandboxError,
    WayOut,
};
pub use scope::{Happening, Observer, ToolScope, Unobserved};
pub use secrets::{SecretStream, Secrets, SecretsError};
pub use tool::{Effect, Tool, ToolImage, ToolOutput, ToolSource, TypedTool, typed};
pub use toolset::ToolSet;
pub use workspace::{FileEntry, Listing, Workspace, WorkspaceError, parse_path};
