//! A diagnostic that proves from outside how often calls are made: lines about each model and tool call, in a file outside
//! the store.
//!
//! Each line is a JSON object `{run, node, step, call, phase}`. The line with phase `start` is written when a call begins, the
//! one with `end` when its result is durable. Whatever crashes: no step has two `end` lines, no step starts after its `end`,
//! and the call of a mutating tool starts once.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
    sync::Arc,
};

use serde_json::json;

use crate::{Error, ErrorKind};

/// The environment variable with the path of the call log, read by the command line.
pub const CALL_LOG_VARIABLE: &str = "ORKESTRA_CALL_LOG";

/// The log file, if there is one.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallLog {
    file: Option<Arc<File>>,
}

/// Which call a line is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallKey<'a> {
    pub(crate) run: &'a str,
    pub(crate) node: &'a str,
    pub(crate) step: &'a str,
    /// `model`, or the tool's name.
    pub(crate) call: &'a str,
}

impl CallLog {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
            let message = format!("cannot open the call log {}: {error}; use another path", path.display());
            Error::new(ErrorKind::Workspace, message).with_source(error)
        })?;
        Ok(Self { file: Some(Arc::new(file)) })
    }

    pub(crate) fn start(&self, key: CallKey<'_>) {
        self.write(key, "start");
    }

    pub(crate) fn end(&self, key: CallKey<'_>) {
        self.write(key, "end");
    }

    fn write(&self, key: CallKey<'_>, phase: &str) {
        let Some(file) = &self.file else { return };
        let CallKey { run, node, step, call } = key;
        let line = format!("{}\n", json!({"run": run, "node": node, "step": step, "call": call, "phase": phase}));
        // IMPORTANT: one write to a file opened for appending, so that lines of different agents never mix.
        if let Err(error) = (&**file).write_all(line.as_bytes()) {
            tracing::warn!(%error, "cannot write to the call log");
        }
    }
}
