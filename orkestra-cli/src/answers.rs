//! Answers that the user types while runs are shown: the next line answers the oldest open question.
//!
//! ```text
//! stdin ──► thread ──► channel ──► Answers::line ──► Run::answer
//! events of runs ──────────────► Answers::observe: which questions are open
//! ```

use std::collections::VecDeque;
use std::io::{self, BufRead, IsTerminal};

use orkestra_agents::event::ProductEvent;
use orkestra_core::prelude::{Run, Seq};
use tokio::sync::mpsc;

/// How many typed lines wait for a question.
const LINES_QUEUED_MAX: usize = 16;

/// The open questions of the runs that are shown, and what the user types.
pub(crate) struct Answers {
    lines: Option<mpsc::Receiver<String>>,
    open: VecDeque<Question>,
}

struct Question {
    run: Run,
    id: Seq,
    key: String,
}

impl Answers {
    /// Whether a user can type answers here: input and messages are on a terminal.
    pub(crate) fn possible() -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Reads what the user types, if that is possible here.
    pub(crate) fn listen() -> Self {
        if !Self::possible() {
            return Self::none();
        }
        let (sender, lines) = mpsc::channel(LINES_QUEUED_MAX);
        // NOTE: not joined: reading a terminal cannot be interrupted, and ends with the process.
        std::thread::spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self { lines: Some(lines), open: VecDeque::new() }
    }

    /// Nobody types anything.
    pub(crate) fn none() -> Self {
        Self { lines: None, open: VecDeque::new() }
    }

    /// The next typed line. Never returns when there is none any more.
    pub(crate) async fn line(&mut self) -> String {
        if let Some(lines) = &mut self.lines
            && let Some(line) = lines.recv().await
        {
            return line;
        }
        self.lines = None;
        std::future::pending().await
    }

    /// Remembers which questions are open.
    pub(crate) fn observe(&mut self, run: &Run, event: &ProductEvent) {
        match event {
            ProductEvent::HumanInputRequired { request_id, question: Some(_), key: Some(key), .. } => {
                let Ok(id) = request_id.parse() else { return };
                self.open.push_back(Question { run: run.clone(), id: Seq(id), key: key.clone() });
                if self.lines.is_some() {
                    eprintln!("type the answer to question {id} and press Enter");
                }
            }
            ProductEvent::HumanInputReceived { key: Some(key), .. }
            | ProductEvent::WaitTimedOut { key, .. }
            | ProductEvent::WaitWithdrawn { key, .. } => {
                self.open.retain(|question| question.key != *key || question.run.id() != run.id());
            }
            _ => {}
        }
    }

    /// Answers the oldest open question with `line`.
    pub(crate) async fn answer(&mut self, line: &str) {
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        let Some(Question { run, id, .. }) = self.open.pop_front() else {
            eprintln!("nobody asks anything now; this line was not used");
            return;
        };
        if let Err(error) = run.answer(id, line).await {
            eprintln!("cannot answer question {} of run {}: {error}", id.0, run.id());
        }
    }
}

#[cfg(test)]
mod tests {
    use orkestra_core::prelude::{Context, Cursor, Engine, MemoryStore, TaskResult, Workflow};
    use serde_json::{Value, json};

    use super::*;

    async fn ask(cx: Context, (): ()) -> TaskResult<Value> {
        let first: Value = cx.ask("first?").await?;
        let second: Value = cx.ask("second?").await?;
        Ok(json!([first, second]))
    }

    #[tokio::test]
    async fn lines_answer_the_questions_in_their_order() {
        let workflow = Workflow::new("w").node("ask", ask).build().expect("a workflow");
        let engine = Engine::builder().store(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
        let run = engine.run("w").start().await.expect("a run");
        let mut answers = Answers::none();
        answers.answer("too early").await;
        let mut lines = ["  blue ", "two words"].into_iter();
        let mut events = run.events(Cursor::START);
        while let Some(event) = events.next().await.expect("they can be read") {
            let event = orkestra_agents::feed::product_event(&event).event;
            answers.observe(&run, &event);
            if matches!(event, ProductEvent::HumanInputRequired { .. }) {
                answers.answer("").await;
                answers.answer(lines.next().expect("two questions")).await;
            }
        }
        let output: Value = run.output().await.expect("it completes");
        assert_eq!(output, json!(["blue", "two words"]));
        assert!(answers.open.is_empty());
        engine.shutdown().await;
    }
}
