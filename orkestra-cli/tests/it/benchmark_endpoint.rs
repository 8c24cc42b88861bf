//! A scripted model behind an OpenAI-compatible endpoint. It recognises a task of the benchmark by its objective, and its backend
//! writes the oracle of that task. Requests come at the same time; each answer follows from its request alone.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use orkestra_bench::task::Suite;
use serde_json::{Value, json};

/// How long a test waits for a request before it fails: a loaded machine at its worst.
const PATIENCE: Duration = Duration::from_secs(150);

/// A request of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) task: String,
    pub(crate) role: String,
    /// How many answers of this conversation came before.
    pub(crate) turn: usize,
}

/// The endpoint. It ends with the test's process.
pub(crate) struct Endpoint {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// The files of each task, by its objective.
    tasks: BTreeMap<String, (String, Vec<(String, String)>)>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    asked: Vec<Asked>,
    /// The task whose backend gets no answer for now.
    held: Option<String>,
    refuses_key: bool,
}

impl Endpoint {
    pub(crate) fn start(suite: &Suite) -> Self {
        Self::start_at(0, suite)
    }

    /// Starts it at a port that an earlier one had.
    pub(crate) fn start_at(port: u16, suite: &Suite) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let oracle = |task: &orkestra_bench::task::CodingTask| {
            let files = task.oracle.iter().map(|file| (file.path.clone(), file.text().into_owned())).collect();
            (task.objective.clone(), (task.name.clone(), files))
        };
        let tasks = suite.tasks().iter().map(oracle).collect();
        let shared = Arc::new(Shared { tasks, state: Mutex::default(), changed: Condvar::new() });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&serving);
                // A client that was killed takes no answer, which is not a failure of the test.
                std::thread::spawn(move || shared.serve(stream).ok());
            }
        });
        Self { port, shared }
    }

    /// A port at which nothing listens, for an endpoint that is started later.
    pub(crate) fn free_port() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("an address").port()
    }

    pub(crate) fn url(&self) -> String {
        url(self.port)
    }

    /// The backend of this task waits for its second answer until [`release`](Self::release).
    pub(crate) fn hold(&self, task: &str) {
        self.state().held = Some(task.to_owned());
    }

    pub(crate) fn release(&self) {
        self.state().held = None;
        self.shared.changed.notify_all();
    }

    /// Whether requests are refused as if their key was wrong.
    pub(crate) fn refuse_key(&self, refuses: bool) {
        self.state().refuses_key = refuses;
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    /// Waits until this many requests of the backend of `task` came with this turn.
    pub(crate) fn wait_for(&self, task: &str, turn: usize, count: usize) {
        let wanted = Asked { task: task.to_owned(), role: "backend".to_owned(), turn };
        let is_missing = |state: &mut State| state.asked.iter().filter(|asked| **asked == wanted).count() < count;
        let waited = self.shared.changed.wait_timeout_while(self.state(), PATIENCE, is_missing);
        let (state, is_late) = waited.expect("no thread panics with it");
        assert!(!is_late.timed_out(), "{count} requests like {wanted:?} did not come; these came: {:?}", state.asked);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("no thread panics with it")
    }
}

pub(crate) fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/v1")
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let Some(body) = read_request(&mut stream)? else {
            // A list of models, which says nothing about its window.
            return answer(&mut stream, "200 OK", "application/json", r#"{"data":[{"id":"scripted"}]}"#);
        };
        let body: Value = serde_json::from_slice(&body).expect("requests are JSON");
        let messages = body["messages"].as_array().cloned().unwrap_or_default();
        let (task, files) = &self.tasks[&objective(&messages)];
        let asked = Asked { task: task.clone(), role: role(&messages), turn: turn(&messages) };
        {
            let mut state = self.state.lock().expect("no thread panics with it");
            state.asked.push(asked.clone());
            self.changed.notify_all();
            if state.refuses_key {
                let body = r#"{"error":{"message":"Incorrect API key provided","type":"invalid_request_error"}}"#;
                return answer(&mut stream, "401 Unauthorized", "application/json", body);
            }
            let is_held = |state: &mut State| {
                asked.role == "backend" && asked.turn == 1 && state.held.as_deref() == Some(task.as_str())
            };
            drop(self.changed.wait_while(state, is_held).expect("no thread panics with it"));
        }
        let (text, calls) = played(&asked, files);
        answer(&mut stream, "200 OK", "text/event-stream", &streamed(text, &calls))
    }
}

/// What an agent says and calls.
fn played(asked: &Asked, files: &[(String, String)]) -> (&'static str, Vec<(&'static str, Value)>) {
    let write = |path: &str, content: &str| ("write_file", json!({"path": path, "content": content}));
    let all = || files.iter().map(|(path, content)| write(path, content)).collect();
    match (asked.role.as_str(), asked.turn) {
        ("planner", 0) => {
            let contract = json!({"title": asked.task, "schemas": {}, "endpoints": []}).to_string();
            ("I plan.", vec![write("plan.md", "# Plan\n\nAs it was asked for.\n"), write("contract.json", &contract)])
        }
        ("backend", 0) => ("I look.", vec![("run_command", json!({"command": "ls"}))]),
        // The frontend is judged by the named files too, and must not depend on which of the two is faster.
        ("backend", 1) | ("frontend", 0) => ("I write.", all()),
        _ => ("Nothing is left to do.", Vec::new()),
    }
}

fn text_of(message: &Value) -> String {
    match &message["content"] {
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}

fn role(messages: &[Value]) -> String {
    let system = text_of(&messages[0]);
    let rest = system.strip_prefix("You are the ").expect("a prompt of the pipeline");
    rest.split(' ').next().unwrap_or_default().to_owned()
}

fn objective(messages: &[Value]) -> String {
    let user = messages.iter().find(|message| message["role"] == "user").map(text_of).unwrap_or_default();
    let (_, rest) = user.split_once("<objective>\n").expect("a prompt of the pipeline");
    rest.split("\n</objective>").next().unwrap_or_default().to_owned()
}

/// The answers so far that had an effect: one whose calls were interrupted by a crash is given again.
fn turn(messages: &[Value]) -> usize {
    let mut answers: Vec<bool> = Vec::new();
    for message in messages {
        if message["role"] == "assistant" {
            answers.push(true);
        } else if message["role"] == "tool" && text_of(message).starts_with("INTERRUPTED:") {
            answers.last_mut().into_iter().for_each(|last| *last = false);
        }
    }
    answers.into_iter().filter(|had_effect| *had_effect).count()
}

/// An answer as the events of a stream.
fn streamed(text: &str, calls: &[(&str, Value)]) -> String {
    let call = |(index, (name, arguments)): (usize, &(&str, Value))| {
        let function = json!({"name": name, "arguments": arguments.to_string()});
        json!({"index": index, "id": format!("call_{index}"), "type": "function", "function": function})
    };
    let calls: Vec<Value> = calls.iter().enumerate().map(call).collect();
    let reason = if calls.is_empty() { "stop" } else { "tool_calls" };
    let mut deltas = vec![json!({"role": "assistant", "content": text})];
    if !calls.is_empty() {
        deltas.push(json!({"tool_calls": calls}));
    }
    let chunk = |delta: Value, reason: Value| {
        json!({"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "scripted",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
    };
    let mut chunks: Vec<Value> = deltas.into_iter().map(|delta| chunk(delta, Value::Null)).collect();
    chunks.push(chunk(json!({}), reason.into()));
    let usage = json!({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120});
    chunks.push(json!({"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "scripted", "choices": [],
        "usage": usage}));
    let events: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    format!("{events}data: [DONE]\n\n")
}

/// The body of a request; `None` for one without a body.
fn read_request(stream: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 65536];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        match stream.read(&mut chunk)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&chunk[..read]),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    let Some(length) = length else { return Ok(None) };
    let mut body = bytes.split_off(end);
    let read = body.len();
    body.resize(length, 0);
    stream.read_exact(&mut body[read..])?;
    Ok(Some(body))
}

fn answer(stream: &mut TcpStream, status: &str, kind: &str, body: &str) -> std::io::Result<()> {
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nconnection: close\r\ncontent-length: {}", body.len());
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes())
}
