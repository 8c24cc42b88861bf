//! How long a trial was worked on. The time between the death of a process and the next start does not count, so it is written
//! down while an agent works.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::contestant::AttemptError;

/// How often the time is written down: what a crash adds to the time of a trial at most.
const PERIOD: Duration = Duration::from_secs(2);

/// The clock of one trial, kept in a file beside the workspaces.
pub(super) struct TrialClock {
    file: PathBuf,
    before: Seen,
    started: Instant,
    was_resumed: bool,
}

/// What is in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Seen {
    seconds: f64,
    starts: u32,
    /// How often the trial was given up because of trouble outside, to begin anew.
    #[serde(default)]
    given_up: u32,
    /// Whether a person has to mend something before the trial is worked on again.
    #[serde(default)]
    waits_for_person: bool,
}

impl TrialClock {
    /// Starts the clock of a trial, from what its file says.
    pub(super) fn start(data: &Path, trial: &str) -> std::io::Result<Self> {
        let file = data.join("clocks").join(format!("{trial}.json"));
        let before: Seen =
            std::fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        std::fs::create_dir_all(data.join("clocks"))?;
        let now = Seen { starts: before.starts + 1, waits_for_person: false, ..before };
        let clock = Self { file, before: now, started: Instant::now(), was_resumed: before.waits_for_person };
        clock.write()?;
        Ok(clock)
    }

    /// Forgets the time in processes that died: what was done in it is lost.
    pub(super) fn zeroed(self) -> Self {
        Self { before: Seen { seconds: 0.0, ..self.before }, ..self }
    }

    /// The time in processes that died.
    pub(super) fn used_before(&self) -> Duration {
        Duration::from_secs_f64(self.before.seconds.clamp(0.0, 1e9))
    }

    /// How often it was started anew.
    pub(super) fn restarts(&self) -> u32 {
        self.before.starts - 1
    }

    /// The name of the work on this trial: another one each time that it begins anew.
    pub(super) fn name(&self, trial: &str) -> String {
        match self.before.given_up {
            0 => trial.to_owned(),
            times => format!("{trial}_{}", times + 1),
        }
    }

    /// Whether a person has resumed the trial since it could not be worked on.
    pub(super) fn was_resumed(&self) -> bool {
        self.was_resumed
    }

    /// The trial could not be worked on. The time so far and the start do not count when it has to begin anew; the start alone does
    /// not count when the work goes on later.
    pub(super) fn interrupted(self, error: &AttemptError) -> std::io::Result<()> {
        let waits_for_person = !error.is_retryable();
        let seen = match error.begins_anew() {
            true => Seen { given_up: self.before.given_up + 1, waits_for_person, ..Seen::default() },
            false => Seen { seconds: self.seconds(), starts: self.before.starts - 1, waits_for_person, ..self.before },
        };
        write(&self.file, seen)
    }

    /// The time so far, seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.before.seconds + self.started.elapsed().as_secs_f64()
    }

    /// Writes the time down while this work is done.
    pub(super) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = ticks.tick() => {
                    if let Err(error) = self.write() {
                        tracing::warn!(file = %self.file.display(), %error, "cannot note the time of a trial");
                    }
                }
            }
        }
    }

    fn write(&self) -> std::io::Result<()> {
        write(&self.file, Seen { seconds: self.seconds(), ..self.before })
    }
}

fn write(file: &Path, seen: Seen) -> std::io::Result<()> {
    let text = serde_json::to_vec(&seen)?;
    let part = file.with_extension("part");
    std::fs::write(&part, text)?;
    std::fs::rename(&part, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_without_a_process_does_not_count() {
        let data = tempfile::tempdir().expect("a directory");
        let clock = TrialClock::start(data.path(), "t").expect("started");
        assert_eq!((clock.used_before(), clock.restarts()), (Duration::ZERO, 0));
        // The process dies after seven seconds: the last note is of the sixth.
        clock.during(tokio::time::sleep(Duration::from_secs(7))).await;
        drop(clock);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let clock = TrialClock::start(data.path(), "t").expect("started");
        assert_eq!((clock.used_before().as_secs(), clock.restarts()), (6, 1));
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(clock.seconds().round(), 10.0);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_is_lost_takes_no_time() {
        let data = tempfile::tempdir().expect("a directory");
        let clock = TrialClock::start(data.path(), "t").expect("started");
        clock.during(tokio::time::sleep(Duration::from_secs(7))).await;
        drop(clock);
        let clock = TrialClock::start(data.path(), "t").expect("started").zeroed();
        assert_eq!((clock.used_before(), clock.restarts()), (Duration::ZERO, 1));
        clock.during(tokio::time::sleep(Duration::from_secs(5))).await;
        assert_eq!(clock.seconds().round(), 5.0);
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_outside_is_not_a_restart() {
        let data = tempfile::tempdir().expect("a directory");
        let begin = || TrialClock::start(data.path(), "t").expect("started");
        let clock = begin();
        clock.during(tokio::time::sleep(Duration::from_secs(5))).await;
        assert!(!clock.was_resumed());
        clock.interrupted(&AttemptError::lasting("look at it")).expect("noted");
        let clock = begin();
        assert_eq!((clock.used_before().as_secs(), clock.restarts(), clock.name("t").as_str()), (5, 0, "t"));
        assert!(clock.was_resumed());
        clock.interrupted(&AttemptError::passing("the model is busy").anew()).expect("noted");
        let clock = begin();
        assert_eq!((clock.used_before(), clock.restarts(), clock.name("t").as_str()), (Duration::ZERO, 0, "t_2"));
        assert!(!clock.was_resumed());
        // The process dies: the name stays.
        drop(clock);
        let clock = begin();
        assert_eq!((clock.restarts(), clock.name("t").as_str()), (1, "t_2"));
    }
}
