//! A directory to run `aios` in, and a running `aios` whose events are read one by one.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The environment variables that could change the result of a test.
const REMOVED_VARIABLES: [&str; 21] = [
    "PLAYWRIGHT_ENABLED",
    "SEARXNG_URL",
    "BRAVE_API_KEY",
    "TAVILY_API_KEY",
    "AIOS_API_URL",
    "AIOS_API_KEY",
    "AIOS_MCP",
    "DASHSCOPE_API_KEY",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "ANTHROPIC_API_KEY",
    "GEMINI_API_KEY",
    "DEEPSEEK_API_KEY",
    "MISTRAL_API_KEY",
    "GROQ_API_KEY",
    "XAI_API_KEY",
    "OPENROUTER_API_KEY",
    "ORKESTRA_CALL_LOG",
    "RUST_LOG",
    "NO_COLOR",
    "TERM",
];

/// Arguments of a run that needs no network and no Docker.
pub(crate) const LOCAL_DEMO: [&str; 4] = ["--sandbox", "local", "--model", "demo"];

/// A directory to run `aios` in.
pub(crate) struct Place {
    directory: TempDir,
}

/// The exit code and output of a finished `aios`.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory can be made") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// `aios` with these arguments, in this directory, with a controlled environment.
    pub(crate) fn aios(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aios"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        for variable in REMOVED_VARIABLES {
            command.env_remove(variable);
        }
        // Nothing listens on the discard port, so no Ollama on this machine is found.
        command.env("OLLAMA_HOST", "127.0.0.1:9").env("ORKESTRA_DEMO_DELAY_MS", "0");
        command.env("ORKESTRA_CALL_LOG", self.call_log());
        command
    }

    /// Runs it until it exits.
    pub(crate) fn done(&self, arguments: &[&str]) -> Done {
        done(&mut self.aios(arguments))
    }

    /// Runs it until it exits, and asserts success.
    pub(crate) fn good(&self, arguments: &[&str]) -> Done {
        let done = self.done(arguments);
        assert_eq!(done.code, 0, "{arguments:?}: {done:?}");
        done
    }

    /// Starts it and leaves it running, for its events to be read.
    pub(crate) fn live(&self, command: &mut Command) -> Live {
        let err = self.path().join("stderr");
        let file = std::fs::File::create(&err).expect("a file can be made");
        let mut child = command.stdout(Stdio::piped()).stderr(file).spawn().expect("aios starts");
        let out = child.stdout.take().expect("it is piped");
        Live { child, lines: BufReader::new(out).lines(), events: Vec::new(), err }
    }

    /// Starts a run of the demo model that prints its events as JSON.
    pub(crate) fn live_run(&self, more: &[&str]) -> Live {
        let arguments = [&["run", "Build a REST API for a blog", "--json"], &LOCAL_DEMO[..], more].concat();
        self.live(&mut self.aios(&arguments))
    }

    pub(crate) fn call_log(&self) -> PathBuf {
        self.path().join("calls")
    }

    /// The logged calls, in order.
    pub(crate) fn calls(&self) -> Vec<Value> {
        json_lines(&std::fs::read_to_string(self.call_log()).unwrap_or_default())
    }
}

/// A running `aios`.
pub(crate) struct Live {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// The events read so far.
    pub(crate) events: Vec<Value>,
    err: PathBuf,
}

impl Live {
    fn next(&mut self) -> Option<Value> {
        let line = self.lines.next()?.expect("the output is text");
        let event: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.events.push(event.clone());
        Some(event)
    }

    /// Reads until an event is `wanted`.
    pub(crate) fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        while let Some(event) = self.next() {
            if wanted(&event) {
                return event;
            }
        }
        panic!("no {what} came; stderr: {}", self.said())
    }

    /// Reads until this event of this agent.
    pub(crate) fn until_event(&mut self, event: &str, agent: &str) -> Value {
        self.until(&format!("{event} of {agent}"), |found| found["event"] == event && found["agent"] == agent)
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap_or_default()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Kills it with SIGKILL; returns all events that it printed.
    pub(crate) fn kill(mut self) -> Vec<Value> {
        self.child.kill().expect("it can be killed");
        let status = self.child.wait().expect("it ends");
        assert_eq!(status.signal(), Some(9), "it was killed, not done: {}", self.said());
        // Read what is still in the pipe.
        while self.next().is_some() {}
        self.events
    }

    /// Reads to the end; returns the exit code, all events and stderr.
    pub(crate) fn finish(mut self) -> (i32, Vec<Value>, String) {
        while self.next().is_some() {}
        let code = self.child.wait().expect("it ends").code().unwrap_or(-1);
        (code, std::mem::take(&mut self.events), self.said())
    }

    /// Closes the pipe, as `head` does; returns the exit code and stderr.
    pub(crate) fn close_stdout(self) -> (i32, String) {
        let Self { mut child, lines, err, .. } = self;
        drop(lines);
        let code = child.wait().expect("it ends").code().unwrap_or(-1);
        (code, std::fs::read_to_string(err).unwrap_or_default())
    }
}

pub(crate) fn done(command: &mut Command) -> Done {
    let output = command.output().expect("it starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Done { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

pub(crate) fn run_id(events: &[Value]) -> String {
    events[0]["run_id"].as_str().expect("events name their run").to_owned()
}

/// The position of the first such event.
pub(crate) fn seq(events: &[Value], event: &str, agent: &str) -> u64 {
    let found = events.iter().find(|found| found["event"] == event && found["agent"] == agent);
    found.and_then(|found| found["seq"].as_u64()).unwrap_or_else(|| panic!("there is no {event} of {agent}"))
}

/// Asserts the order: planner first, backend and frontend in parallel, qa last.
pub(crate) fn assert_in_order(events: &[Value]) {
    let (started, completed) = ("node_started", "node_completed");
    for agent in ["backend", "frontend"] {
        assert!(seq(events, completed, "planner") < seq(events, started, agent), "{agent} waits for the planner");
        assert!(seq(events, completed, agent) < seq(events, started, "qa"), "qa waits for {agent}");
    }
    assert!(seq(events, started, "backend") < seq(events, completed, "frontend"), "they overlap");
    assert!(seq(events, started, "frontend") < seq(events, completed, "backend"), "they overlap");
}

/// Asserts that no finished call was repeated, and that calls with side effects were started at most once.
pub(crate) fn assert_no_call_twice(calls: &[Value]) {
    assert!(!calls.is_empty(), "the calls are logged");
    let mut begun: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for call in calls {
        let key = format!("{} {} {}", call["run"], call["node"], call["step"]);
        let (starts, ends) = begun.entry(key.clone()).or_default();
        match call["phase"].as_str() {
            Some("start") => {
                assert_eq!(*ends, 0, "{key} had finished and was made again");
                *starts += 1;
                let changes = call["call"] == "write_file" || call["call"] == "run_command";
                assert!(!changes || *starts == 1, "{key} was started twice");
            }
            _ => *ends += 1,
        }
        assert!(*ends <= 1, "{key} finished twice");
    }
}
