//! GitHub for tests: a REST API of our own and git's own `http-backend`, on one loopback port.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// base64 of `x-access-token:TOKEN`.
pub(super) const TOKEN: &str = "ghp_0123456789abcdefghij";
pub(super) const BASIC: &str = "eC1hY2Nlc3MtdG9rZW46Z2hwXzAxMjM0NTY3ODlhYmNkZWZnaGlq";

/// A request as it was sent.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    /// The lines of the head.
    pub(super) head: Vec<String>,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find_map(|line| {
            let (one, value) = line.split_once(": ")?;
            one.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// An answer that a test puts in the place of the real one: method, end of the path, status, headers, body.
type Fault = (&'static str, &'static str, u16, &'static str, String);

#[derive(Default)]
struct State {
    seen: Vec<Request>,
    pulls: Vec<Value>,
    fault: Option<Fault>,
}

pub(super) struct Hub {
    pub(super) port: u16,
    root: TempDir,
    state: Arc<Mutex<State>>,
}

impl Hub {
    /// With the repository `acme/app`, which has a commit on `main`.
    pub(super) async fn start() -> Self {
        let root = TempDir::new().expect("a directory");
        let hub_root = root.path().to_owned();
        let bare = root.path().join("acme/app.git");
        git(root.path(), &["init", "-q", "--bare", "-b", "main", "acme/app.git"]);
        git(root.path(), &["init", "-q", "-b", "main", "seed"]);
        let seed = root.path().join("seed");
        git(&seed, &["commit", "-q", "--allow-empty", "-m", "seed"]);
        git(&seed, &["push", "-q", bare.to_str().expect("a path"), "main"]);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, hub_root.clone(), shared.clone()));
            }
        });
        Self { port, root, state }
    }

    pub(super) fn api(&self) -> String {
        format!("http://127.0.0.1:{}/api/v3", self.port)
    }

    /// Runs git on the server's repository.
    pub(super) fn git(&self, arguments: &[&str]) -> String {
        git(&self.root.path().join("acme/app.git"), arguments)
    }

    /// Makes the next request with this method and end of a path have this answer.
    pub(super) fn fail(&self, fault: Fault) {
        self.state.lock().expect("no test panics inside").fault = Some(fault);
    }

    pub(super) fn seen(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().expect("no test panics inside").seen)
    }

    pub(super) fn pulls(&self) -> Vec<Value> {
        self.state.lock().expect("no test panics inside").pulls.clone()
    }

    /// A bundle of the repository, so that a workspace can begin with it.
    pub(super) fn bundle(&self) -> Vec<u8> {
        let path = self.root.path().join("bundle");
        self.git(&["bundle", "create", "-q", path.to_str().expect("a path"), "--all"]);
        std::fs::read(path).expect("the bundle is there")
    }
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(directory).args(["-c", "user.name=Seed", "-c", "user.email=seed@example.com"]).args(arguments);
    let output = command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().expect("git is installed");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

async fn serve(mut stream: TcpStream, root: PathBuf, state: Arc<Mutex<State>>) {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        match stream.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (first.next().unwrap_or_default().to_owned(), first.next().unwrap_or_default().to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut request = Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        head: lines.map(str::to_owned).collect(),
        body: Vec::new(),
    };
    let length: usize = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while bytes.len() < end + length && stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {}
    request.body = bytes[end..].to_vec();
    state.lock().expect("no test panics inside").seen.push(request.clone());
    let answered = tokio::task::spawn_blocking(move || answer(&request, &root, &state)).await.expect("it answers");
    let _ = stream.write_all(&answered).await;
    let _ = stream.shutdown().await;
}

fn answer(request: &Request, root: &Path, state: &Mutex<State>) -> Vec<u8> {
    let Request { method, path, .. } = request;
    let is_fault = |fault: &mut Fault| method == fault.0 && path.ends_with(fault.1);
    let fault = state.lock().expect("no test panics inside").fault.take_if(|fault| is_fault(fault));
    if let Some((_, _, status, headers, body)) = fault {
        return response(status, headers, body.as_bytes());
    }
    let is_api = path.starts_with("/api/v3/");
    let expected = if is_api { format!("Bearer {TOKEN}") } else { format!("Basic {BASIC}") };
    if request.header("authorization") != Some(&expected) {
        return json_response(401, &json!({"message": "Bad credentials"}));
    }
    if is_api { api(request, state) } else { backend(request, root) }
}

fn api(request: &Request, state: &Mutex<State>) -> Vec<u8> {
    let mut state = state.lock().expect("no test panics inside");
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/api/v3/repos/acme/app") => json_response(200, &json!({"default_branch": "main", "id": 1})),
        ("GET", "/api/v3/repos/acme/app/pulls") => json_response(200, &Value::Array(state.pulls.clone())),
        ("POST", "/api/v3/repos/acme/app/pulls") => {
            let mut pull: Value = serde_json::from_slice(&request.body).expect("it is JSON");
            let (head, base) = (pull["head"].clone(), pull["base"].clone());
            if state.pulls.iter().any(|one| one["head"]["ref"] == head && one["base"]["ref"] == base) {
                let message = format!("A pull request already exists for acme:{}.", head.as_str().unwrap_or_default());
                return json_response(422, &json!({"message": "Validation Failed", "errors": [{"message": message}]}));
            }
            let number = state.pulls.len() + 1;
            pull["html_url"] = json!(format!("https://hub.example/acme/app/pull/{number}"));
            pull["number"] = json!(number);
            (pull["head"], pull["base"]) = (json!({"ref": head}), json!({"ref": base}));
            state.pulls.push(pull.clone());
            json_response(201, &pull)
        }
        _ => json_response(404, &json!({"message": "Not Found"})),
    }
}

/// Git's own server.
fn backend(request: &Request, root: &Path) -> Vec<u8> {
    let mut command = Command::new("git");
    command.arg("http-backend").env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let variables = [
        ("GIT_PROJECT_ROOT", root.to_str().expect("a path")),
        ("GIT_HTTP_EXPORT_ALL", "1"),
        ("REMOTE_USER", "tester"),
        ("PATH_INFO", &request.path),
        ("QUERY_STRING", &request.query),
        ("REQUEST_METHOD", &request.method),
        ("CONTENT_TYPE", request.header("content-type").unwrap_or_default()),
        ("CONTENT_LENGTH", &request.body.len().to_string()),
    ];
    command.envs(variables).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("git is installed");
    let _ = child.stdin.take().expect("it is piped").write_all(&request.body);
    let output = child.wait_with_output().expect("it ends").stdout;
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")?.get(..3)?.parse().ok()).unwrap_or(200);
    response(status, &head, &output[end + 4..])
}

fn json_response(status: u16, body: &Value) -> Vec<u8> {
    response(status, "content-type: application/json", body.to_string().as_bytes())
}

fn response(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let headers: String = headers.lines().map(|line| format!("{line}\r\n")).collect();
    let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}
