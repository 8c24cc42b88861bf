//! Answers that the user types while runs are shown. One question is prompted for at a time, and the next line answers it. What was
//! typed before the prompt is not used: it was meant for something else.
//!
//! ```text
//! stdin ──► thread ──► channel ──► Answers::line ──► Run::answer
//! events of runs ──────────────► Answers::observe: which questions are open
//! ```

use std::collections::VecDeque;
use std::io::{self, BufRead, IsTerminal};

use orkestra_agents::event::ProductEvent;
use orkestra_core::prelude::{Run, RunId, Seq};
use orkestra_core::projection::WaitsFor;
use tokio::sync::mpsc;

use crate::screen;

/// How many typed lines wait for a question.
const LINES_QUEUED_MAX: usize = 16;

/// The open questions of the runs that are shown, and what the user types.
pub(crate) struct Answers {
    lines: Option<mpsc::Receiver<String>>,
    open: VecDeque<Question>,
    /// The question that was prompted for last.
    prompted: Option<(RunId, Seq)>,
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
        Self { lines: Some(lines), open: VecDeque::new(), prompted: None }
    }

    /// Nobody types anything.
    pub(crate) fn none() -> Self {
        Self { lines: None, open: VecDeque::new(), prompted: None }
    }

    /// The next typed line. Waits forever after the end of the input.
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
                self.add(Question { run: run.clone(), id: Seq(id), key: key.clone() });
            }
            ProductEvent::HumanInputReceived { key: Some(key), .. }
            | ProductEvent::WaitTimedOut { key, .. }
            | ProductEvent::WaitWithdrawn { key, .. } => {
                self.open.retain(|question| question.key != *key || question.run.id() != run.id());
            }
            _ => return,
        }
        self.prompt();
    }

    /// Adds a question of a run that is continued, which was asked before; prints it.
    pub(crate) fn ask_again(&mut self, run: &Run, wait: &WaitsFor) {
        let WaitsFor::Question { key, id, question, .. } = wait else { return };
        if self.lines.is_some() {
            let question = question.to::<serde_json::Value>().unwrap_or_default();
            eprintln!("run {} asks (question {}): {}", run.id(), id.0, screen::asked(&question));
        }
        self.add(Question { run: run.clone(), id: *id, key: key.clone() });
        self.prompt();
    }

    fn add(&mut self, question: Question) {
        let is_same = |open: &Question| open.id == question.id && open.run.id() == question.run.id();
        if !self.open.iter().any(is_same) {
            self.open.push_back(question);
        }
    }

    /// Prompts for the oldest open question, once.
    fn prompt(&mut self) {
        let oldest = self.open.front().map(|question| (question.run.id().clone(), question.id));
        if self.prompted == oldest {
            return;
        }
        if let (Some((_, id)), Some(lines)) = (&oldest, &mut self.lines) {
            while lines.try_recv().is_ok() {}
            eprintln!("type the answer to question {} and press Enter", id.0);
        }
        self.prompted = oldest;
    }

    /// Answers the question that was prompted for with `line`.
    pub(crate) async fn answer(&mut self, line: &str) {
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        let Some(Question { run, id, .. }) = self.open.front() else {
            eprintln!("no question is open now; this line was not used");
            return;
        };
        match run.answer(*id, line).await {
            Ok(()) => {
                eprintln!("question {} is answered", id.0);
                self.open.pop_front();
            }
            Err(error) => {
                eprintln!("cannot answer question {} of run {}: {error}; type the answer again", id.0, run.id());
            }
        }
        self.prompt();
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
