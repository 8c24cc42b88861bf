//! Threads for blocking work. Their number is small and fixed: the memory allocator keeps memory per thread that ever
//! allocated, and starting a thread per read would cost more than the read.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Threads that take jobs from one queue. They end when the last handle is dropped and the queue is empty.
pub(crate) struct Threads(Arc<Queue>);

#[derive(Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    changed: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    /// Number of threads waiting to be woken.
    asleep: usize,
    closed: bool,
}

/// How often a thread yields before it sleeps. A caller that writes sequentially sends the next job soon after an
/// answer, faster than a sleeping thread wakes. About 50 microseconds on an idle machine.
const YIELDS: u32 = 150;

type Job = Box<dyn FnOnce() + Send>;

impl Threads {
    /// Starts `count` threads named `name`.
    pub(crate) fn start(name: &str, count: usize) -> io::Result<Self> {
        let threads = Self(Arc::default());
        for _ in 0..count {
            let queue = Arc::clone(&threads.0);
            std::thread::Builder::new().name(name.into()).spawn(move || queue.work())?;
        }
        Ok(threads)
    }

    /// Runs `job` on one of the threads, whether or not the answer is awaited. It may block for any time; each thread
    /// runs one job after another. If it panics, the receiver gets an error.
    pub(crate) fn call<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
        let (answer, answered) = oneshot::channel();
        let job = move || {
            // The caller may have stopped waiting.
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
        // No panic can happen while it is locked.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            // The caller sees the panic as a dropped channel. The thread continues.
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
    async fn jobs_run_in_order_and_a_panic_does_not_end_the_thread() {
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
        assert_eq!(*done.lock().expect("the lock is not poisoned"), [1, 2, 3]);
    }
}
