//! A running `aios benchmark`, whose lines are read one by one.

use std::io::{BufRead, BufReader, Lines};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::support::{Done, Place};

pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    out: String,
    err: PathBuf,
}

impl Running {
    pub(crate) fn start(place: &Place, arguments: &[&str]) -> Self {
        let err = place.path().join("stderr");
        let file = std::fs::File::create(&err).expect("a file can be made");
        let command: &mut Command = &mut place.aios(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(file).spawn().expect("aios starts");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Self { child, lines, out: String::new(), err }
    }

    /// Reads until a line contains each of these texts; one line may contain several.
    pub(crate) fn until(&mut self, texts: &[&str]) {
        let mut missing = texts.to_vec();
        while !missing.is_empty() {
            let Some(line) = self.lines.next() else {
                panic!("these did not come: {missing:?}; stdout: {}; stderr: {}", self.out, self.said());
            };
            let line = line.expect("the output is text");
            missing.retain(|text| !line.contains(text));
            self.out.push_str(&line);
            self.out.push('\n');
        }
    }

    pub(crate) fn interrupt(&self) {
        let sent = Command::new("kill").args(["-s", "INT", &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        let status = self.child.wait().expect("it ends");
        assert_eq!(status.signal(), Some(9), "it was killed, not done: {}", self.said());
    }

    /// Reads to the end.
    pub(crate) fn finish(mut self) -> Done {
        for line in self.lines.by_ref() {
            self.out.push_str(&line.expect("the output is text"));
            self.out.push('\n');
        }
        let code = self.child.wait().expect("it ends").code().unwrap_or(-1);
        Done { code, err: self.said(), out: self.out }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap_or_default()
    }
}
