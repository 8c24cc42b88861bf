//! The loop of one agent with a scripted model: bad arguments, circles, limits, and the prompt of the second attempt.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use orkestra_agents::model::{Arguments, Message, ModelError, ScriptedModel, call, say};
use serde_json::json;

use crate::support::writer::{brief, last_result, run, turn};

#[tokio::test]
async fn bad_arguments_return_an_error_to_the_model_and_change_nothing() {
    let model = ScriptedModel::answering("scripted", |request| {
        Ok(match turn(request) {
            0 => {
                let mut broken = call("write_file", json!({}));
                broken.tool_calls[0].arguments = Arguments::from_text("{\"path\": \"hello.py\", \"content\": \"pri");
                broken
            }
            1 => {
                assert!(last_result(request).starts_with("write_file was not called"), "{}", last_result(request));
                call("write_file", json!({"path": "hello.py", "text": "wrong name"}))
            }
            2 => {
                assert!(last_result(request).contains("content"), "{}", last_result(request));
                call("no_such_tool", json!({}))
            }
            3 => {
                assert!(last_result(request).contains("there is no tool"), "{}", last_result(request));
                call("write_file", json!({"path": "hello.py", "content": "print('Hello, World!')\n"}))
            }
            _ => say("done"),
        })
    });
    let output = run(model, &|agent| agent).await.expect("it recovers");
    assert_eq!(output.files_written, ["hello.py"]);
    assert_eq!(output.summary, "done");
}

#[tokio::test]
async fn an_agent_that_repeats_itself_is_nudged_once_and_then_fails() {
    let nudges = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&nudges);
    let model = ScriptedModel::answering("scripted", move |request| {
        if matches!(request.messages.last(), Some(Message::User { text }) if text.starts_with("You go round in circles"))
        {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        Ok(call("list_files", json!({})))
    });
    let error = run(model.clone(), &|agent| agent).await.expect_err("it never ends by itself");
    let failure = error.failure().expect("the run failed");
    assert_eq!(failure.kind, "tool_error");
    assert!(failure.message.contains("round in circles"), "{}", failure.message);
    assert_eq!(nudges.load(Ordering::Relaxed), 3, "once in each of three attempts");
    assert_eq!(model.asked().len(), 3 * 8);
}

#[tokio::test]
async fn the_number_of_turns_is_limited() {
    let model = ScriptedModel::answering("scripted", |request| {
        Ok(call("write_file", json!({"path": "a.py", "content": format!("# {}\n", turn(request))})))
    });
    let error = run(model, &|agent| agent.with_turns_max(5)).await.expect_err("it never ends by itself");
    assert!(error.failure().is_some_and(|failure| failure.message.contains("after 5 turns")), "{error}");
}

#[tokio::test]
async fn the_second_attempt_reads_why_the_first_was_refused() {
    let model = ScriptedModel::answering("scripted", |request| {
        let is_second = brief(request).contains("<debug_info>");
        Ok(match (is_second, turn(request)) {
            (false, 0) => call("write_file", json!({"path": "hello.py", "content": "print('Hello"})),
            (true, 0) => {
                assert!(brief(request).contains("\"error_type\": \"syntax_error\""), "{}", brief(request));
                assert!(brief(request).contains("python3 -m py_compile hello.py"), "{}", brief(request));
                assert!(brief(request).contains("This is attempt 2"), "{}", brief(request));
                call("write_file", json!({"path": "hello.py", "content": "print('Hello, World!')\n"}))
            }
            (_, _) => say("done"),
        })
    });
    let output = run(model, &|agent| agent).await.expect("the second attempt holds");
    assert_eq!(output.checks, ["python3 -m py_compile hello.py: fine"]);
}

#[tokio::test]
async fn files_of_earlier_attempts_belong_to_the_output() {
    let model = ScriptedModel::answering("scripted", |request| {
        Ok(match (brief(request).contains("<debug_info>"), turn(request)) {
            (false, 0) => call("write_file", json!({"path": "good.py", "content": "pass\n"})),
            (false, 1) => call("write_file", json!({"path": "bad.py", "content": "def"})),
            (true, 0) => call("write_file", json!({"path": "bad.py", "content": "pass\n"})),
            (_, _) => say("done"),
        })
    });
    let output = run(model, &|agent| agent).await.expect("the second attempt holds");
    assert_eq!(output.files_written, ["good.py", "bad.py"]);
}

#[tokio::test]
async fn an_answer_without_files_is_refused() {
    let model = ScriptedModel::answering("scripted", |_| Ok(say("Here is hello.py: print('Hello')")));
    let error = run(model.clone(), &|agent| agent).await.expect_err("nothing was written");
    let failure = error.failure().expect("the run failed");
    assert_eq!(failure.kind, "validation_failure");
    assert_eq!(model.asked().len(), 3);
    assert!(brief(&model.asked()[1]).contains("no file was written"));
}

#[tokio::test]
async fn an_answer_is_written_into_the_answer_file() {
    let model = ScriptedModel::answering("scripted", |_| Ok(say("First this, then that.")));
    let output =
        run(model, &|agent| agent.with_answer_file("plan.md").with_validator(orkestra_agents::pipeline::PlanValidator));
    assert_eq!(output.await.expect("the answer is the plan").files_written, ["plan.md"]);
}

#[tokio::test]
async fn a_long_conversation_is_condensed_and_keeps_its_goal() {
    const TURNS: usize = 30;
    let model = ScriptedModel::with_window("scripted", 8_000, |request| {
        Ok(match request.messages.iter().filter(|message| is_done(message)).count() {
            1.. => say("done"),
            0 if last_number(request) >= TURNS => call("write_file", json!({"path": "done.py", "content": "pass\n"})),
            0 => {
                let number = last_number(request) + 1;
                let content = format!("# {number}\n{}", "# padding\n".repeat(150));
                call("write_file", json!({"path": format!("file_{number}.py"), "content": content}))
            }
        })
    });
    let output = run(model.clone(), &|agent| agent).await.expect("it ends");
    assert_eq!(output.files_written.len(), TURNS + 1);
    let asked = model.asked();
    let size = |request: &orkestra_agents::model::Request| request.messages.iter().map(Message::size).sum::<usize>();
    assert!(asked.iter().all(|request| size(request) < 8_000 * 3), "{:?}", asked.iter().map(size).collect::<Vec<_>>());
    let last = asked.last().expect("it was asked");
    assert!(brief(last).contains("Write a small program"));
    assert!(
        last.messages.iter().any(|message| matches!(message, Message::User { text } if text.contains("file_1.py")))
    );
}

/// The number in the last path that the model wrote, if it is still in the conversation.
fn last_number(request: &orkestra_agents::model::Request) -> usize {
    let numbers = request.messages.iter().filter_map(|message| match message {
        Message::Assistant(said) => {
            let path = said.tool_calls.first()?.arguments.to_value()["path"].as_str()?.to_owned();
            path.strip_prefix("file_")?.strip_suffix(".py")?.parse().ok()
        }
        _ => None,
    });
    numbers.max().unwrap_or(0)
}

fn is_done(message: &Message) -> bool {
    matches!(message, Message::Tool(result) if result.text.contains("done.py"))
}

#[tokio::test]
async fn a_conversation_refused_as_too_long_is_condensed() {
    let model = ScriptedModel::answering("scripted", |request| {
        if request.messages.len() > 6 {
            return Err(ModelError::ContextTooLong("too long".to_owned()));
        }
        let is_last = request
            .messages
            .iter()
            .any(|message| matches!(message, Message::Tool(result) if result.text.contains("c.py")));
        let next = if last_result_or_empty(request).contains("b.py") { "c.py" } else { "b.py" };
        let next = if turn(request) == 0 { "a.py" } else { next };
        Ok(if is_last { say("done") } else { call("write_file", json!({"path": next, "content": "pass\n"})) })
    });
    let output = run(model, &|agent| agent).await.expect("it is condensed until it fits");
    assert_eq!(output.files_written, ["a.py", "b.py", "c.py"]);
}

fn last_result_or_empty(request: &orkestra_agents::model::Request) -> &str {
    if turn(request) == 0 { "" } else { last_result(request) }
}

#[tokio::test]
async fn a_missing_key_fails_without_a_second_attempt() {
    let model = ScriptedModel::answering("scripted", |_| Err(ModelError::Authentication("no key".to_owned())));
    let error = run(model.clone(), &|agent| agent).await.expect_err("there is no key");
    assert_eq!(error.failure().expect("the run failed").kind, "model_authentication");
    assert_eq!(model.asked().len(), 1);
}

#[tokio::test]
async fn a_nudged_agent_may_ask_for_its_tools_back() {
    let model = ScriptedModel::answering("scripted", |request| {
        if request.words_only {
            let asked = request.messages.iter().filter(|message| is_nudge(message)).count();
            assert_eq!(asked, 1);
            return Ok(say("CONTINUE"));
        }
        let has_tools_back =
            matches!(request.messages.last(), Some(Message::User { text }) if text.starts_with("Go on."));
        Ok(if has_tools_back || last_result_or_empty(request).contains("other.py") {
            if has_tools_back {
                call("write_file", json!({"path": "other.py", "content": "pass\n"}))
            } else {
                say("done")
            }
        } else {
            call("write_file", json!({"path": "same.py", "content": "pass\n"}))
        })
    });
    let output = run(model.clone(), &|agent| agent).await.expect("it goes on in another way");
    assert_eq!(output.files_written, ["same.py", "other.py"]);
    assert_eq!(model.asked().iter().filter(|request| request.words_only).count(), 1);
}

fn is_nudge(message: &Message) -> bool {
    matches!(message, Message::User { text } if text.starts_with("You go round in circles"))
}
