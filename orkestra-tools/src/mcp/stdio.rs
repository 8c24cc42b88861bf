//! The far end of a connection as lines of a command in a sandbox: one message a line.

use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;

use super::wire::{FarEnd, Screen, Wire, pair, too_large};
use crate::limits::MCP_MESSAGE_BYTES_MAX;
use crate::secrets::Secrets;

/// How long a command whose output has ended may take to end itself, before it is killed.
const EXIT_TIME: Duration = Duration::from_secs(1);

/// A command's input and output.
#[async_trait]
pub(super) trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {
    /// Ends it, if it has not ended within `time`. Returns its exit code if it ended by itself, and the end of its stderr.
    async fn end(self: Box<Self>, time: Duration) -> (Option<i32>, String);
}

/// Connects with a command.
pub(super) fn connect(pipe: Box<dyn Pipe>, secrets: &Secrets) -> Wire {
    let (wire, far) = pair();
    tokio::spawn(serve(pipe, far, secrets.clone()));
    wire
}

async fn serve(pipe: Box<dyn Pipe>, far: FarEnd, secrets: Secrets) {
    let FarEnd { mut outgoing, screen, fate } = far;
    let (mut read, mut write) = tokio::io::split(pipe);
    let (why, time) = tokio::select! {
        why = read_lines(&mut read, &screen) => (why, EXIT_TIME),
        why = write_lines(&mut write, &mut outgoing) => (why, EXIT_TIME),
        () = fate.stopped() => (Some("it was stopped".to_owned()), Duration::ZERO),
    };
    // NOTE: what broke the connection says more than the exit code of a command that is killed for it.
    let time = if why.is_some() { Duration::ZERO } else { time };
    let (code, stderr) = read.unsplit(write).end(time).await;
    let mut how = match (why, code) {
        (Some(why), _) => why,
        (None, Some(code)) if code > 128 => format!("the server was killed by signal {}", code - 128),
        (None, Some(code)) => format!("the server ended with exit code {code}"),
        (None, None) => "the server closed its output".to_owned(),
    };
    let said = [("stderr", stderr), ("stdout", fate.garbage())];
    for (name, text) in said.iter().filter(|(_, text)| !text.trim().is_empty()) {
        how.push_str(&format!("; the end of its {name}: {}", shown(&secrets.mask(text))));
    }
    fate.finish(how);
    // IMPORTANT: after the reason is known, because this closes the queue that rmcp reads.
    drop(screen);
}

/// The last lines, as one.
fn shown(text: &str) -> String {
    const BYTES: usize = 1_000;
    let text = crate::web::untrusted::one_line(text, usize::MAX);
    let start = (text.len().saturating_sub(BYTES)..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    if start > 0 { format!("...{}", &text[start..]) } else { text }
}

/// Reads until the output ends (`None`) or must not be read any further.
async fn read_lines(read: impl AsyncRead + Unpin, screen: &Screen) -> Option<String> {
    let mut read = BufReader::with_capacity(64 * 1024, read);
    let mut line = Vec::new();
    loop {
        let available = match read.fill_buf().await {
            Ok([]) => return None,
            Ok(available) => available,
            Err(error) => return Some(format!("its output cannot be read: {error}")),
        };
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(available.len(), |end| end + 1);
        line.extend_from_slice(&available[..taken]);
        read.consume(taken);
        if line.len() > MCP_MESSAGE_BYTES_MAX {
            return Some(too_large());
        }
        if end.is_some() {
            if let Err(why) = screen.take(line.trim_ascii()).await {
                return Some(why);
            }
            // A large message is rare: its memory is not kept.
            if line.capacity() > 256 * 1024 { line = Vec::new() } else { line.clear() }
        }
    }
}

/// Writes until the input is closed, or rmcp has gone.
async fn write_lines(mut write: impl AsyncWrite + Unpin, outgoing: &mut mpsc::Receiver<Vec<u8>>) -> Option<String> {
    while let Some(mut line) = outgoing.recv().await {
        line.push(b'\n');
        if write.write_all(&line).await.is_err() || write.flush().await.is_err() {
            // Its output says more, and ends soon.
            std::future::pending::<()>().await;
        }
    }
    Some("it was stopped".to_owned())
}
