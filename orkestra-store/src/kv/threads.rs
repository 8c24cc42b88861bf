//! The threads that do what blocks. They are few and stay the same: an allocator keeps memory for each thread that it has
//! ever seen at work, and a thread for every reader that comes would cost more than what it reads.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Threads that take jobs from one queue. They end when the last handle is gone and the queue is empty.
pub(crate) struct Threads(Arc<Queue>);

#[derive(Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    changed: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    /// Threads that must be woken.
    asleep: usize,
    closed: bool,
}

/// How often a thread gives way before it goes to sleep. Who writes one thing after the other asks for the next soon after an
/// answer: waking a thread that sleeps takes longer than that. About 50 microseconds where nobody else has work.
const YIELDS: u32 = 150;

type Job = Box<dyn FnOnce() + Send>;

impl Threads {
    /// Begins `count` threads named `name`.
    pub(crate) fn start(name: &str, count: usize) -> io::Result<Self> {
        let threads = Self(Arc::default());
        for _ in 0..count {
            let queue = Arc::clone(&threads.0);
            std::thread::Builder::new().name(name.into()).spawn(move || queue.work())?;
        }
        Ok(threads)
    }

    /// Does `job` on one of the threads, whether the answer is waited for or not. It may take as long as it likes; jobs of
    /// one thread follow each other. The answer never comes if it panics.
    pub(crate) fn call<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
        let (answer, answered) = oneshot::channel();
        let job = move || {
            // Whoever asked may not listen any more.
            drop(answer.send(job()));
        };
        let mut jobs = self.0.lock();
        jobs.waiting.push_back(Box::new(job));
        let asleep = jobs.asleep > 0;
        drop(jobs);
        if asleep {
            self.0.changed.notify_one();
        }
        answered
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        // Nothing that holds it can panic.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            // What it was about is told by whoever called; the thread goes on.
            drop(catch_unwind(AssertUnwindSafe(job)));
        }
    }

    fn next(&self) -> Option<Job> {
        for _ in 0..YIELDS {
            if let Some(job) = self.lock().waiting.pop_front() {
                return Some(job);
            }
            std::thread::yield_now();
        }
        let mut jobs = self.lock();
        loop {
            if let Some(job) = jobs.waiting.pop_front() {
                return Some(job);
            }
            if jobs.closed {
                return None;
            }
            jobs.asleep += 1;
            jobs = self.changed.wait(jobs).unwrap_or_else(PoisonError::into_inner);
            jobs.asleep -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn jobs_are_done_in_order_and_a_panic_ends_no_thread() {
        let threads = Threads::start("test", 1).expect("a thread starts");
        let done = Arc::new(Mutex::new(Vec::new()));
        let note = |number: u32| {
            let done = Arc::clone(&done);
            move || done.lock().map(|mut done| done.push(number)).is_ok()
        };
        let unheard = threads.call(note(1));
        drop(unheard);
        let panics: oneshot::Receiver<()> = threads.call(|| panic!("on purpose"));
        assert!(panics.await.is_err());
        assert_eq!(threads.call(note(2)).await, Ok(true));
        let last = threads.call(note(3));
        drop(threads);
        assert_eq!(last.await, Ok(true));
        assert_eq!(*done.lock().expect("nobody has panicked with it"), [1, 2, 3]);
    }
}
