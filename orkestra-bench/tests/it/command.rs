//! Other agents as contestants: scripted ones with a model endpoint of the test's own, and known ones with a real model.

use std::path::Path;
use std::process::Command as Program;
use std::sync::{Arc, Mutex};

use orkestra_bench::contestant::{Assignment, Attempt, CommandContestant, Contestant as _};
use orkestra_bench::result::{Ending, TrialLimits};
use orkestra_tools::egress::ModelGateway;
use orkestra_tools::{DockerOptions, DockerSandbox};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const KEY: &str = "sk-operators-own-0123456789";

/// A call of the model in Python; the status is printed.
const CALL: &str = r#"cat >/tmp/call.py <<'END'
import json, os, urllib.error, urllib.request
request = urllib.request.Request(os.environ["OPENAI_API_BASE"] + "/chat/completions", method="POST")
request.add_header("Authorization", "Bearer " + os.environ["OPENAI_API_KEY"])
request.data = json.dumps({"model": os.environ["MODEL"], "messages": []}).encode()
try:
    with urllib.request.urlopen(request) as answer:
        print("answered", answer.status, json.load(answer)["choices"][0]["message"]["content"])
except urllib.error.HTTPError as error:
    print("refused", error.code, json.load(error)["error"]["code"])
END
"#;

/// Options with the image. Outside of CI, `None` when no Docker daemon has it.
async fn docker(image: &str) -> Option<DockerOptions> {
    let options = DockerOptions::default().with_image(image);
    match DockerSandbox::available_with(&options).await {
        Ok(_) => Some(options),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "CI needs Docker with {image}: {error}");
            eprintln!("\n==== SKIPPED, no Docker sandbox: {error} ====\n");
            None
        }
    }
}

/// An endpoint that answers every call with 40 tokens; returns its address and what it was asked.
async fn endpoint() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = format!("http://{}/v1", listener.local_addr().expect("bound"));
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"}") && stream.read_buf(&mut request).await.is_ok_and(|count| count > 0) {}
            seen.lock().expect("no test panics inside").push(String::from_utf8_lossy(&request).into_owned());
            let body =
                r#"{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":30,"completion_tokens":10}}"#;
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length:";
            let _ = stream.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).await;
        }
    });
    (address, asked)
}

/// A command line as a contestant with the model `m`.
fn contestant(docker: DockerOptions, address: &str, line: &str, data: &Path) -> CommandContestant {
    let gateway = ModelGateway::new(address, Some(KEY)).expect("valid");
    CommandContestant::new(line, "m", gateway, data).with_docker(docker)
}

fn assignment(name: &str, seconds: u64, tokens: Option<u64>) -> Assignment {
    Assignment::new(
        format!("test-{name}-{}", std::process::id()),
        "Write `done`.\nNothing else: $HOME\n",
        TrialLimits::new(seconds, tokens),
    )
}

fn printed(attempt: &Attempt) -> String {
    attempt.timeline.iter().map(|moment| format!("{}\n", moment.text)).collect()
}

/// The containers of a trial, running or not.
fn containers(id: &str) -> String {
    let filter = format!("label=orkestra.run={id}");
    let listed = Program::new("docker").args(["ps", "--all", "--quiet", "--filter", &filter]).output();
    String::from_utf8_lossy(&listed.expect("the docker program runs").stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_works_with_the_model_and_never_sees_the_key() {
    let Some(docker) = docker("orkestra-sandbox:latest").await else { return };
    let (address, asked) = endpoint().await;
    let data = TempDir::new().expect("a directory");
    let line = format!(
        "{CALL}cat >from-input; cmp from-input \"$OBJECTIVE_FILE\" && git log --oneline && cat start/file\n\
         python3 /tmp/call.py; python3 /tmp/call.py >&2; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n' >environment"
    );
    let contestant = contestant(docker, &address, &line, data.path());
    let mut assignment = assignment("works", 120, Some(1000));
    assignment.start = vec![("start/file".to_owned(), b"begun with\n".to_vec())];
    let attempt = contestant.attempt(&assignment).await.expect("attempted");
    let text = printed(&attempt);
    assert_eq!(attempt.ending, Ending::Finished, "{text}");
    assert!(text.contains(" start\nbegun with\nanswered 200 hi\nanswered 200 hi\n"), "{text}");
    assert_eq!((attempt.model_calls, attempt.input_tokens, attempt.output_tokens), (Some(2), Some(60), Some(20)));
    let read = |name: &str| std::fs::read_to_string(attempt.workspace.join(name)).expect("written");
    assert_eq!(read("from-input"), assignment.objective);
    let environment = read("environment");
    assert!(environment.contains("OPENAI_BASE_URL=http://127.0.0.1:3128/model/v1\n"), "{environment}");
    assert!(!environment.contains(KEY) && !environment.contains(&address), "{environment}");
    let asked = asked.lock().expect("no test panics inside").join("\n");
    assert!(asked.contains(&format!("Bearer {KEY}")) && asked.contains(r#""model":"m""#), "{asked}");
    assert_eq!(containers(&assignment.id), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_its_time_an_agent_is_killed_with_everything_that_it_started() {
    let Some(docker) = docker("orkestra-sandbox:latest").await else { return };
    let (address, _) = endpoint().await;
    let data = TempDir::new().expect("a directory");
    let line = "setsid env -i sh -c 'while :; do echo beat >>/workspace/beats; sleep 0.1; done' >/dev/null 2>&1 &\n\
                echo started; sleep 1000";
    let contestant = contestant(docker, &address, line, data.path()).without_repository();
    let assignment = assignment("time", 4, None);
    let attempt = contestant.attempt(&assignment).await.expect("attempted");
    assert_eq!((&attempt.ending, printed(&attempt).as_str()), (&Ending::OutOfTime, "started\n"));
    assert!(attempt.workspace.join("beats").exists() && !attempt.workspace.join(".git").exists());
    assert_eq!(containers(&assignment.id), "", "everything ran in it");
    assert_eq!((attempt.model_calls, attempt.input_tokens), (Some(0), Some(0)));
}

/// Where an agent works, the hidden tests are not, and what it leaves running does not change what is graded.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_finds_no_hidden_test_and_changes_nothing_after_its_end() {
    let Some(docker) = docker("orkestra-sandbox:latest").await else { return };
    let (address, _) = endpoint().await;
    let data = TempDir::new().expect("a directory");
    // Words of the hidden tests of `hello_world`, which the search itself must not hold.
    let line = "setsid env -i sh -c 'while :; do date +%N >>/workspace/changed; sleep 0.1; done' >/dev/null 2>&1 &\n\
                { find / -xdev \\( -name 'grader.p*' -o -name 'grading.p*' -o -name 'task.tom*' -o -name oracle \\)\n\
                  grep -rsl --exclude-dir=sys 'prints_the_name_as_it_was_'giv[e]n / --exclude-dir=proc\n\
                  grep -sal 'prints_the_name_as_it_was_'giv[e]n /proc/[0-9]*/environ /proc/[0-9]*/cmdline\n\
                  ls -d /var/run/docker.sock /run/docker.sock /workspace/../* | grep -e docker\n\
                  for host in 169.254.169.254 172.17.0.1 1.1.1.1; do timeout 2 bash -c \"exec 3<>/dev/tcp/$host/80\" && echo $host; done\n\
                } >/tmp/found 2>/dev/null; cp /tmp/found found; sleep 1; echo searched";
    let contestant = contestant(docker, &address, line, data.path());
    let attempt = contestant.attempt(&assignment("search", 120, None)).await.expect("attempted");
    assert!(printed(&attempt).contains("searched"), "{}", printed(&attempt));
    let read = |name: &str| std::fs::read_to_string(attempt.workspace.join(name)).expect("written");
    assert_eq!(read("found"), "", "it found something");
    assert!(!read("changed").is_empty(), "what it left behind ran");
    assert_eq!(containers(&assignment("search", 1, None).id), "", "everything ran in it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_fails_says_why_and_begins_anew() {
    let Some(docker) = docker("orkestra-sandbox:latest").await else { return };
    let (address, _) = endpoint().await;
    let data = TempDir::new().expect("a directory");
    let line = "ls; mkdir -p deep/er && echo x >deep/er/left && chmod 000 deep/er; echo 'no idea' >&2; exit 3";
    let contestant = contestant(docker, &address, line, data.path());
    let assignment = assignment("fails", 60, None);
    for _ in 0..2 {
        let attempt = contestant.attempt(&assignment).await.expect("attempted");
        let reason = "it ended with exit code 3: no idea".to_owned();
        assert_eq!((&attempt.ending, printed(&attempt).as_str()), (&Ending::Failed { reason }, "no idea\n"));
    }
    let mut escaping = assignment.clone();
    escaping.id = "../x".to_owned();
    let error = contestant.attempt(&escaping).await.expect_err("no name of a directory");
    assert!(!error.is_retryable(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_tokens_are_used_up_is_refused_and_ended() {
    let Some(docker) = docker("orkestra-sandbox:latest").await else { return };
    let (address, _) = endpoint().await;
    let data = TempDir::new().expect("a directory");
    // It does not understand the refusal.
    let line = format!("{CALL}while :; do python3 /tmp/call.py; sleep 0.2; done");
    let contestant = contestant(docker, &address, &line, data.path());
    let assignment = assignment("tokens", 300, Some(70));
    let attempt = contestant.attempt(&assignment).await.expect("attempted");
    let text = printed(&attempt);
    assert_eq!(attempt.ending, Ending::OutOfTokens, "{text}");
    assert!(text.starts_with("answered 200 hi\nanswered 200 hi\nrefused 401 insufficient_quota\n"), "{text}");
    assert_eq!((attempt.model_calls, attempt.input_tokens, attempt.output_tokens), (Some(2), Some(60), Some(20)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_endpoint_is_down_is_not_judged() {
    let Some(docker) = docker("orkestra-sandbox:latest").await else { return };
    let data = TempDir::new().expect("a directory");
    // Nobody listens there. An agent may give up, or say that it has finished.
    for (name, end) in [("down", "exit 1"), ("finishes", "exit 0")] {
        let line = format!("{CALL}python3 /tmp/call.py; {end}");
        let contestant = contestant(docker.clone(), "http://127.0.0.1:9/v1", &line, data.path());
        let error = contestant.attempt(&assignment(name, 60, None)).await.expect_err("no fault of the agent");
        assert!(error.is_retryable() && error.begins_anew(), "{error}");
        assert!(error.to_string().contains("the model endpoint served none of the agent's calls"), "{error}");
    }
}

/// With a real model, whose address is in `ORKESTRA_TEST_MODEL_URL`. What the agent achieves is printed and not judged.
async fn tried_with_a_real_model(name: &str) {
    let Ok(address) = std::env::var("ORKESTRA_TEST_MODEL_URL") else {
        eprintln!("\n==== SKIPPED, no real model: ORKESTRA_TEST_MODEL_URL is not set ====\n");
        return;
    };
    let Some(docker) = docker("orkestra-peers:latest").await else { return };
    assert!(CommandContestant::presets().any(|known| known == name), "{name}");
    let data = TempDir::new().expect("a directory");
    let gateway = ModelGateway::new(&address, Some(KEY)).expect("valid").with_output_tokens_max(1000);
    let agent = CommandContestant::new(name, "qwen2.5-coder-1.5b", gateway, data.path()).with_docker(docker);
    let mut assignment = assignment(name, 120, None);
    "Write a program hello.py that prints exactly `Hello, World!` and a newline.".clone_into(&mut assignment.objective);
    let attempt = agent.attempt(&assignment).await.expect("attempted");
    let hello = std::fs::read_to_string(attempt.workspace.join("hello.py"));
    println!("==== {name}: {attempt:#?}\nhello.py: {hello:?}");
    assert!(attempt.model_calls.is_some_and(|calls| calls > 0), "{name} did not ask the model");
    assert_eq!(containers(&assignment.id), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn aider_works_with_a_real_model() {
    tried_with_a_real_model("aider").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mini_swe_agent_works_with_a_real_model() {
    tried_with_a_real_model("mini-swe-agent").await;
}
