//! The conversation of one attempt: its messages, the files written, the failures. Rebuilt exactly from step results.

use orkestra_tools::egress::HostUse;

use crate::{
    agent::{
        condense::{Memory, condense, cut},
        detector::{Detector, Observation, Seen},
        pictures::{Picture, Pictures},
    },
    model::{Message, ToolCall, ToolMessage},
    workplace::add_hosts,
};

/// Remembered failures; a condensed conversation lists the last few.
const FAILURES_MAX: usize = 8;

/// One attempt's conversation.
pub(super) struct Talk {
    messages: Vec<Message>,
    written: Vec<String>,
    failures: Vec<String>,
    hosts: Vec<HostUse>,
    pictures: Pictures,
    detector: Detector,
}

impl Talk {
    pub(super) fn new(messages: Vec<Message>) -> Self {
        Self {
            messages,
            written: Vec::new(),
            failures: Vec::new(),
            hosts: Vec::new(),
            pictures: Pictures::default(),
            detector: Detector::default(),
        }
    }

    pub(super) fn push(&mut self, message: Message) {
        if matches!(message, Message::Assistant(_)) {
            self.pictures = Pictures::default();
        }
        self.messages.push(message);
    }

    /// The messages to send to a model whose window holds `window_tokens`; see [`condense`].
    pub(super) fn to_send(&self, window_tokens: u64, times: u32) -> Vec<Message> {
        let memory = Memory { written: &self.written, failures: &self.failures };
        condense(&self.messages, &memory, window_tokens, times)
    }

    /// The files written in this attempt, in the order in which they were first written.
    pub(super) fn written(&self) -> &[String] {
        &self.written
    }

    /// Adds pictures of the results of this turn.
    pub(super) fn show(&mut self, pictures: &[Picture]) {
        self.pictures.add(pictures);
    }

    /// The pictures since the model's last message.
    pub(super) fn pictures(&self) -> &Pictures {
        &self.pictures
    }

    /// Adds what commands used of the network; returns the sum of the attempt.
    pub(super) fn used(&mut self, hosts: &[HostUse]) -> &[HostUse] {
        add_hosts(&mut self.hosts, hosts);
        &self.hosts
    }

    /// Adds the result of a call, and says whether the agent repeats itself.
    pub(super) fn answer(&mut self, call: &ToolCall, text: &str, is_error: bool, files: &[String]) -> Observation {
        for file in files {
            if !self.written.contains(file) {
                self.written.push(file.clone());
            }
        }
        if is_error {
            self.failures.push(format!("{}: {}", call.name, cut(text, 1_000)));
            if self.failures.len() > FAILURES_MAX {
                self.failures.remove(0);
            }
        }
        let message = ToolMessage { call_id: call.id.clone(), name: call.name.clone(), text: text.to_owned() };
        self.messages.push(Message::Tool(message));
        let arguments = call.arguments.to_value().to_string();
        self.detector.observe(&Seen { tool: &call.name, arguments: &arguments, result: text, is_error })
    }
}
