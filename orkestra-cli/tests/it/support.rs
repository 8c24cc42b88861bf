//! A directory with `aios` in it, and a running `aios` whose events are read one by one.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The variables of the machine that could change what a test sees.
const REMOVED_VARIABLES: [&str; 16] = [
    "AIOS_API_URL",
    "AIOS_API_KEY",
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

/// Arguments of a run that needs nothing but this machine.
pub(crate) const LOCAL_DEMO: [&str; 4] = ["--sandbox", "local", "--model", "demo"];

/// A directory to run `aios` in.
pub(crate) struct Place {
    directory: TempDir,
}

/// What a finished `aios` left.
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

    /// `aios` with these arguments, in this directory, with an environment that holds no surprises.
    pub(crate) fn aios(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aios"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        for variable in REMOVED_VARIABLES {
            command.env_remove(variable);
        }
        // Nobody answers at the discard port: no Ollama of this machine is found.
        command.env("OLLAMA_HOST", "127.0.0.1:9").env("ORKESTRA_DEMO_DELAY_MS", "0");
        command.env("ORKESTRA_CALL_LOG", self.call_log());
        command
    }

    /// Runs it to its end.
    pub(crate) fn done(&self, arguments: &[&str]) -> Done {
        done(&mut self.aios(arguments))
    }

    /// Runs it to its end, which must be a good one.
    pub(crate) fn good(&self, arguments: &[&str]) -> Done {
        let done = self.done(arguments);
        assert_eq!(done.code, 0, "{arguments:?}: {done:?}");
        done
    }

    /// Starts it and leaves it running, its events to be read.
    pub(crate) fn live(&self, command: &mut Command) -> Live {
        let err = self.path().join("stderr");
        let file = std::fs::File::create(&err).expect("a file can be made");
        let mut child = command.stdout(Stdio::piped()).stderr(file).spawn().expect("aios starts");
        let out = child.stdout.take().expect("it is piped");
        Live { child, lines: BufReader::new(out).lines(), events: Vec::new(), err }
    }

    /// A run of the demo model with its events as JSON.
    pub(crate) fn live_run(&self, more: &[&str]) -> Live {
        let arguments = [&["run", "Build a REST API for a blog", "--json"], &LOCAL_DEMO[..], more].concat();
        self.live(&mut self.aios(&arguments))
    }

    pub(crate) fn call_log(&self) -> PathBuf {
        self.path().join("calls")
    }

    /// The calls that were written down, in order.
    pub(crate) fn calls(&self) -> Vec<Value> {
        json_lines(&std::fs::read_to_string(self.call_log()).unwrap_or_default())
    }
}

/// An `aios` under way.
pub(crate) struct Live {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it printed so far.
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

    /// Reads on until an event is `wanted`.
    pub(crate) fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        while let Some(event) = self.next() {
            if wanted(&event) {
                return event;
            }
        }
        panic!("no {what} came; stderr: {}", self.said())
    }

    /// Reads on until this event of this agent.
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

    /// kill -9, and gone.
    pub(crate) fn kill(mut self) -> Vec<Value> {
        self.child.kill().expect("it can be killed");
        let status = self.child.wait().expect("it ends");
        assert_eq!(status.signal(), Some(9), "it was killed, not done: {}", self.said());
        // Not all that it printed was read before.
        while self.next().is_some() {}
        self.events
    }

    /// Reads to the end; answers the exit code, all events and stderr.
    pub(crate) fn finish(mut self) -> (i32, Vec<Value>, String) {
        while self.next().is_some() {}
        let code = self.child.wait().expect("it ends").code().unwrap_or(-1);
        (code, std::mem::take(&mut self.events), self.said())
    }

    /// Stops reading, as `head` does; answers the exit code and stderr.
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

/// The position of the first event like this.
pub(crate) fn seq(events: &[Value], event: &str, agent: &str) -> u64 {
    let found = events.iter().find(|found| found["event"] == event && found["agent"] == agent);
    found.and_then(|found| found["seq"].as_u64()).unwrap_or_else(|| panic!("there is no {event} of {agent}"))
}

/// Planner first, backend and frontend at the same time, qa last.
pub(crate) fn assert_in_order(events: &[Value]) {
    let (started, completed) = ("node_started", "node_completed");
    for agent in ["backend", "frontend"] {
        assert!(seq(events, completed, "planner") < seq(events, started, agent), "{agent} waits for the planner");
        assert!(seq(events, completed, agent) < seq(events, started, "qa"), "qa waits for {agent}");
    }
    assert!(seq(events, started, "backend") < seq(events, completed, "frontend"), "they overlap");
    assert!(seq(events, started, "frontend") < seq(events, completed, "backend"), "they overlap");
}

/// No call that finished was made again, and what changes things was begun once.
pub(crate) fn assert_no_call_twice(calls: &[Value]) {
    assert!(!calls.is_empty(), "the calls are written down");
    let mut begun: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for call in calls {
        let key = format!("{} {} {}", call["run"], call["node"], call["step"]);
        let (starts, ends) = begun.entry(key.clone()).or_default();
        match call["phase"].as_str() {
            Some("start") => {
                assert_eq!(*ends, 0, "{key} had finished and was made again");
                *starts += 1;
                let changes = call["call"] == "write_file" || call["call"] == "run_command";
                assert!(!changes || *starts == 1, "{key} was begun twice");
            }
            _ => *ends += 1,
        }
        assert!(*ends <= 1, "{key} finished twice");
    }
}
