//! A diagnostic for people who do not believe us: one line per model and tool call, in a file outside the store.
//!
//! Each line is a JSON object `{run, node, step, call, phase}`. `start` is written when a call begins, `end` when its
//! result is durable. So, whatever was killed and whenever: no step has two `end` lines, nothing starts after its
//! `end`, and a tool that changes things has one `start`.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
    sync::Arc,
};

use serde_json::json;

use crate::{Error, ErrorKind};

/// The environment variable in which the command line finds the path of the call log.
pub const CALL_LOG_VARIABLE: &str = "ORKESTRA_CALL_LOG";

/// Where calls are written down, if anywhere.
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
            let message = format!("the call log {} cannot be opened: {error}", path.display());
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
        // IMPORTANT: one write of an appending file, so that lines of many agents never mix.
        if let Err(error) = (&**file).write_all(line.as_bytes()) {
            tracing::warn!(%error, "the call log cannot be written");
        }
    }
}
