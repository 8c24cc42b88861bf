//! Captures a command's output: lines for the observer, head and tail for the result, everything for the artifact file. Each of
//! the three has its own limit, so endless output costs time but neither memory nor disk.
//!
//! Secrets are masked first, before lines are split: no part of one is in a line, the result or the file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use super::SandboxError;
use crate::limits::{
    OUTPUT_HEAD_BYTES, OUTPUT_LINE_BYTES_MAX, OUTPUT_TAIL_BYTES, OUTPUT_WHOLE_BYTES_MAX, STREAM_LINES_MAX,
};
use crate::scope::{Happening, Observer};
use crate::secrets::{SecretStream, Secrets};

pub(super) struct Capture<'observer> {
    observer: &'observer dyn Observer,
    /// Masks secrets in each of the two streams.
    masks: [SecretStream; 2],
    /// Masks what becomes a secret when lines of both streams follow each other.
    joined: SecretStream,
    /// The incomplete current line of each of the two streams.
    partial: [Vec<u8>; 2],
    lines: u64,
    /// Lines that the observer gets.
    lines_max: u64,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    /// Bytes dropped between head and tail.
    cut: u64,
    whole: Option<Whole>,
}

struct Whole {
    path: PathBuf,
    file: BufWriter<File>,
    remaining: u64,
    failed: bool,
}

/// The result of a capture.
pub(super) struct Captured {
    pub(super) output: String,
    pub(super) whole: Option<PathBuf>,
}

impl<'observer> Capture<'observer> {
    pub(super) fn new(
        observer: &'observer dyn Observer,
        whole: Option<PathBuf>,
        secrets: &Secrets,
    ) -> Result<Self, SandboxError> {
        let open = |path: PathBuf| match File::create(&path) {
            Ok(file) => {
                Ok(Whole { path, file: BufWriter::new(file), remaining: OUTPUT_WHOLE_BYTES_MAX, failed: false })
            }
            Err(error) => Err(SandboxError::Failed(format!("cannot create output file {}: {error}", path.display()))),
        };
        Ok(Self {
            observer,
            masks: [secrets.stream(), secrets.stream()],
            joined: secrets.stream(),
            partial: [Vec::new(), Vec::new()],
            lines: 0,
            lines_max: STREAM_LINES_MAX,
            head: Vec::new(),
            tail: VecDeque::new(),
            cut: 0,
            whole: whole.map(open).transpose()?,
        })
    }

    /// For an observer that limits what it keeps: it gets every line.
    pub(super) fn with_every_line(mut self) -> Self {
        self.lines_max = u64::MAX - 1;
        self
    }

    /// Adds bytes of one stream, and passes on each line that becomes complete.
    pub(super) fn push(&mut self, bytes: &[u8], stderr: bool) {
        let masked = self.masks[usize::from(stderr)].push(bytes);
        self.split(&masked, stderr);
    }

    fn split(&mut self, mut bytes: &[u8], stderr: bool) {
        while !bytes.is_empty() {
            let remaining = OUTPUT_LINE_BYTES_MAX - self.partial[usize::from(stderr)].len();
            let window = &bytes[..bytes.len().min(remaining)];
            let (taken, is_complete) = match window.iter().position(|byte| *byte == b'\n') {
                Some(newline) => (newline + 1, true),
                None => (window.len(), window.len() == remaining),
            };
            self.partial[usize::from(stderr)].extend_from_slice(&bytes[..taken]);
            if is_complete {
                self.line(stderr);
            }
            bytes = &bytes[taken..];
        }
    }

    /// Ends the output: a last line without a newline counts as a line.
    pub(super) fn finish(mut self) -> Captured {
        for stderr in [false, true] {
            let held = self.masks[usize::from(stderr)].finish();
            self.split(&held, stderr);
            if !self.partial[usize::from(stderr)].is_empty() {
                self.line(stderr);
            }
        }
        let held = self.joined.finish();
        self.store(&held);
        let whole = self.whole.take().map(|mut whole| {
            if whole.remaining == 0 {
                let _ = whole.file.write_all(b"\n[the rest of the output is not kept]\n");
            }
            if whole.failed || whole.file.flush().is_err() {
                tracing::warn!(path = %whole.path.display(), "cannot write the whole output of a command to its file");
            }
            whole.path
        });
        Captured { output: self.text(whole.is_some()), whole }
    }

    fn line(&mut self, stderr: bool) {
        let line = std::mem::take(&mut self.partial[usize::from(stderr)]);
        self.lines += 1;
        if self.lines <= self.lines_max {
            let text = String::from_utf8_lossy(&line);
            self.report(text.trim_end_matches(['\n', '\r']), stderr);
        } else if self.lines == self.lines_max + 1 {
            self.report("[further output of this command is not streamed]", stderr);
        }
        let masked = self.joined.push(&line);
        self.store(&masked);
    }

    /// Keeps bytes for the result and the file.
    fn store(&mut self, bytes: &[u8]) {
        self.keep(bytes);
        if let Some(whole) = &mut self.whole {
            whole.write(bytes);
        }
    }

    fn report(&self, line: &str, stderr: bool) {
        self.observer.observe(Happening::CommandOutput { line: line.to_owned(), stderr });
    }

    fn keep(&mut self, line: &[u8]) {
        let to_head = line.len().min(OUTPUT_HEAD_BYTES - self.head.len());
        self.head.extend_from_slice(&line[..to_head]);
        self.tail.extend(&line[to_head..]);
        let surplus = self.tail.len().saturating_sub(OUTPUT_TAIL_BYTES);
        self.tail.drain(..surplus);
        self.cut += surplus as u64;
    }

    fn text(&mut self, has_whole: bool) -> String {
        if self.cut == 0 {
            let mut bytes = std::mem::take(&mut self.head);
            bytes.extend(&self.tail);
            return String::from_utf8_lossy(&bytes).into_owned();
        }
        let kept = if has_whole { "; the whole output is kept as an artifact" } else { "" };
        format!(
            "{}\n[... {} bytes of output left out here{kept} ...]\n{}",
            String::from_utf8_lossy(&self.head),
            self.cut,
            String::from_utf8_lossy(self.tail.make_contiguous()),
        )
    }
}

impl Whole {
    fn write(&mut self, line: &[u8]) {
        let taken = line.len().min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        // A full disk must not fail the command: its result matters more than this file.
        self.failed |= self.file.write_all(&line[..taken]).is_err();
        self.remaining -= taken as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Lines(Mutex<Vec<(String, bool)>>);

    impl Observer for Lines {
        fn observe(&self, happening: Happening) {
            let Happening::CommandOutput { line, stderr } = happening else { panic!("a line: {happening:?}") };
            self.0.lock().expect("no test panics inside").push((line, stderr));
        }
    }

    fn capture(pieces: &[(&[u8], bool)]) -> (Vec<(String, bool)>, String) {
        let lines = Lines::default();
        let mut capture = Capture::new(&lines, None, &Secrets::default()).expect("no file is opened");
        for (bytes, stderr) in pieces {
            capture.push(bytes, *stderr);
        }
        let output = capture.finish().output;
        (lines.0.into_inner().expect("no test panics inside"), output)
    }

    #[test]
    fn lines_are_put_together_from_pieces_of_two_streams() {
        let (lines, output) = capture(&[(b"he", false), (b"bad\n", true), (b"llo\nla", false), (b"st", false)]);
        let expected = [("bad", true), ("hello", false), ("last", false)];
        assert_eq!(lines, expected.map(|(line, stderr)| (line.to_owned(), stderr)));
        assert_eq!(output, "bad\nhello\nlast");
    }

    #[test]
    fn an_endless_line_is_split() {
        let long = vec![b'x'; OUTPUT_LINE_BYTES_MAX * 2 + 5];
        let (lines, output) = capture(&[(&long, false)]);
        let sizes: Vec<usize> = lines.iter().map(|(line, _)| line.len()).collect();
        assert_eq!(sizes, [OUTPUT_LINE_BYTES_MAX, OUTPUT_LINE_BYTES_MAX, 5]);
        assert_eq!(output.len(), long.len());
    }

    #[test]
    fn head_and_tail_are_kept_and_the_middle_is_counted() {
        let mut bytes = b"first\n".to_vec();
        bytes.extend(vec![b'.'; 1_000_000]);
        bytes.extend_from_slice(b"\nlast\n");
        let (_, output) = capture(&[(&bytes, false)]);
        assert!(output.starts_with("first\n") && output.ends_with("\nlast\n"));
        let cut = bytes.len() - OUTPUT_HEAD_BYTES - OUTPUT_TAIL_BYTES;
        assert!(output.contains(&format!("[... {cut} bytes of output left out here ...]")));
    }

    #[test]
    fn streaming_stops_with_a_note_and_capture_continues() {
        let bytes = b"line\n".repeat(3000);
        let (lines, output) = capture(&[(&bytes, false)]);
        assert_eq!(lines.len() as u64, STREAM_LINES_MAX + 1);
        assert!(lines.last().is_some_and(|(line, _)| line.contains("not streamed")));
        assert_eq!(output.len(), bytes.len());
    }

    #[test]
    fn a_secret_is_masked_in_every_split_of_pieces_and_over_both_streams() {
        let secret = "ghp_0123456789";
        let secrets = Secrets::new([("TOKEN", secret)]).expect("one secret");
        for at in 0..=secret.len() {
            for second in [false, true] {
                let lines = Lines::default();
                let directory = tempfile::tempdir().expect("a temporary directory");
                let path = directory.path().join("whole.log");
                let mut capture = Capture::new(&lines, Some(path.clone()), &secrets).expect("the file opens");
                capture.push(&secret.as_bytes()[..at], false);
                capture.push(&secret.as_bytes()[at..], second);
                let output = capture.finish().output;
                let whole = std::fs::read_to_string(path).expect("the file is there");
                let lines = lines.0.into_inner().expect("no test panics inside");
                assert_eq!((output.as_str(), whole.as_str()), ("[secret TOKEN]", "[secret TOKEN]"), "{at} {second}");
                assert!(second || lines == [("[secret TOKEN]".to_owned(), false)], "{at}: {lines:?}");
            }
        }
        // A secret where a long line is split.
        let lines = Lines::default();
        let mut capture = Capture::new(&lines, None, &secrets).expect("no file is opened");
        capture.push(&[vec![b'x'; OUTPUT_LINE_BYTES_MAX - 5], secret.as_bytes().to_vec()].concat(), false);
        assert!(!capture.finish().output.contains("ghp_"));
        assert!(lines.0.into_inner().expect("no test panics inside").iter().all(|(line, _)| !line.contains("ghp")));
    }

    #[test]
    fn the_whole_output_has_its_own_cap() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("whole.log");
        let mut capture =
            Capture::new(&crate::scope::Unobserved, Some(path.clone()), &Secrets::default()).expect("the file opens");
        let megabyte = vec![b'a'; 1024 * 1024];
        for _ in 0..20 {
            capture.push(&megabyte, false);
        }
        assert_eq!(capture.finish().whole, Some(path.clone()));
        let written = std::fs::read(path).expect("the file is there");
        assert!((written.len() as u64) < OUTPUT_WHOLE_BYTES_MAX + 100);
        assert!(written.ends_with(b"[the rest of the output is not kept]\n"));
    }
}
