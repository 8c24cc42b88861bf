//! Ctrl-C and SIGTERM: the first one asks to detach, the second one exits at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::exit::{Exit, Failure};

/// Whether the user asked to stop.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Starts to listen for the signals.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let refused = |error: std::io::Error| Failure::failed(format!("cannot listen for signals: {error}"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(refused)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(refused)?;
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if sender.send_replace(true) {
                    // Everything acknowledged is durable, so exiting here is as safe as a crash.
                    std::process::exit(i32::from(Exit::Interrupted.code()));
                }
            }
        });
        Ok(Self(receiver))
    }

    /// Returns when the user asks to stop.
    pub(crate) async fn asked(&mut self) {
        if self.0.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
