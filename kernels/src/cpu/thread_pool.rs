//! The thread pool. One job at a time: the caller publishes it, works on it itself, and workers join in.
//!
//! A training step of a small model is hundreds of kernels of 20 to 500 µs. Handing a job to a general thread pool
//! from outside costs about 15 µs here (the caller sleeps, somebody wakes); a worker that still spins when the next
//! kernel comes costs one. So workers spin for a moment before they sleep, and the caller never waits for one that has
//! not begun.

use super::wishes::wish;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::thread::Thread;

/// How often a worker looks for a job before it sleeps: some 20 µs.
const SPINS: usize = 1000;

struct ThreadPool {
    /// Held by the caller whose job it is.
    job: Mutex<()>,
    /// The `Work` of the caller, which stays there until the job is no longer open and every worker has left it.
    work: AtomicPtr<Work<'static>>,
    /// How many workers are in the job, and `OPEN` while one may join. Who finds it closed leaves again. No lock: a
    /// dozen threads that come at the same time would put each other to sleep.
    active: Line<AtomicUsize>,
    /// Counts jobs, so that workers see a new one.
    epoch: Line<AtomicUsize>,
    workers: OnceLock<Vec<Worker>>,
}

/// On cache lines of its own.
#[repr(align(128))]
struct Line<T>(T);

const OPEN: usize = 1 << (usize::BITS - 1);

struct Worker {
    thread: Thread,
    asleep: &'static AtomicBool,
}

struct Work<'a> {
    task: &'a (dyn Fn(usize) + Sync),
    /// All tasks, a part of them for each thread.
    shares: Vec<Line<Share>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// Neighbouring tasks: the next one that nobody has taken, and where they end.
struct Share {
    next: AtomicUsize,
    end: usize,
}

impl Work<'_> {
    /// A thread's own share first: what it wrote in the last job is in its cache, and the same part of the next job is
    /// likely to read it. Then what others have left.
    fn run(&self, thread: usize) {
        let (before, from) = self.shares.split_at(thread % self.shares.len());
        for Line(share) in from.iter().chain(before) {
            loop {
                let task = share.next.fetch_add(1, Ordering::Relaxed);
                if task >= share.end {
                    break;
                }
                (self.task)(task);
            }
        }
    }

    /// Nothing more to take.
    fn close(&self) {
        self.shares.iter().for_each(|Line(share)| {
            share.next.fetch_max(share.end, Ordering::Relaxed);
        });
    }
}

static POOL: ThreadPool = ThreadPool {
    job: Mutex::new(()),
    work: AtomicPtr::new(std::ptr::null_mut()),
    active: Line(AtomicUsize::new(0)),
    epoch: Line(AtomicUsize::new(0)),
    workers: OnceLock::new(),
};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

static THREADS: OnceLock<usize> = OnceLock::new();

/// Kernels use so many threads from now on. Too late, and of no effect, once one has run. Results do not depend on it.
pub fn limit(threads: usize) {
    let _ = THREADS.set(threads.max(1));
}

/// Threads that kernels use: what [`limit`] said, or `RLHF_THREADS`, or as many as the machine has.
pub fn threads() -> usize {
    *THREADS.get_or_init(|| match wish("RLHF_THREADS") {
        Some(wish) => match wish.to_string_lossy().parse() {
            Ok(threads) if threads > 0 => threads,
            _ => panic!("RLHF_THREADS={}: expected a number of threads, at least 1", wish.display()),
        },
        None => std::thread::available_parallelism().map_or(1, |n| n.get()),
    })
}

/// `task(0)` … `task(count - 1)` in any order, on all threads. Returns when all are done.
pub fn run(count: usize, task: &(dyn Fn(usize) + Sync)) {
    let alone = || (0..count).for_each(task);
    if count <= 1 || threads() == 1 {
        return alone();
    }
    // Another thread's job is being done, or this is a task of one: there is nobody to help.
    let Ok(_job) = POOL.job.try_lock() else { return alone() };
    let parts = threads().min(count);
    let share = |i: usize| Line(Share { next: AtomicUsize::new(i * count / parts), end: (i + 1) * count / parts });
    let shares = (0..parts).map(share).collect();
    let work = Work { task, shares, panic: Mutex::new(None) };
    {
        let _open = Open::new(&work);
        work.run(0);
    }
    if let Some(panic) = lock(&work.panic).take() {
        resume_unwind(panic);
    }
}

/// While it lives, workers may join; when it dies, also by a panic of the caller, all of them have left.
struct Open<'a>(&'a Work<'a>);

impl<'a> Open<'a> {
    fn new(work: &'a Work<'a>) -> Open<'a> {
        let workers = POOL.workers.get_or_init(|| (1..threads()).map(spawn).collect());
        POOL.work.store((work as *const Work<'a>).cast_mut().cast(), Ordering::Relaxed);
        POOL.active.0.fetch_or(OPEN, Ordering::Release);
        POOL.epoch.0.fetch_add(1, Ordering::SeqCst);
        for worker in workers.iter().take(work.shares.len() - 1) {
            if worker.asleep.swap(false, Ordering::SeqCst) {
                worker.thread.unpark();
            }
        }
        Open(work)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.close(); // after a panic
        POOL.active.0.fetch_and(!OPEN, Ordering::Relaxed);
        let mut spins = 0;
        while POOL.active.0.load(Ordering::Acquire) > 0 {
            spins += 1;
            if spins < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
    }
}

fn spawn(thread: usize) -> Worker {
    let asleep: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
    let worker = std::thread::Builder::new().name("kernels".into()).spawn(move || serve(thread, asleep));
    Worker { thread: worker.expect("the system has threads to give").thread().clone(), asleep }
}

fn serve(thread: usize, asleep: &AtomicBool) {
    let mut seen = 0;
    loop {
        seen = wait(seen, asleep);
        if POOL.active.0.fetch_add(1, Ordering::Acquire) & OPEN != 0 {
            // SAFETY: the job was open, so the caller has not left `Open::drop`, and will not while this is inside.
            let work = unsafe { &*POOL.work.load(Ordering::Relaxed) };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work.run(thread))) {
                work.close();
                lock(&work.panic).get_or_insert(panic);
            }
        }
        POOL.active.0.fetch_sub(1, Ordering::Release);
    }
}

/// Until the epoch is not `seen`. Returns the new one.
fn wait(seen: usize, asleep: &AtomicBool) -> usize {
    loop {
        for _ in 0..SPINS {
            let epoch = POOL.epoch.0.load(Ordering::Acquire);
            if epoch != seen {
                return epoch;
            }
            std::hint::spin_loop();
        }
        asleep.store(true, Ordering::SeqCst);
        if POOL.epoch.0.load(Ordering::SeqCst) == seen {
            std::thread::park();
        }
        asleep.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_once() {
        for count in [0, 1, 2, 7, 1000] {
            for _ in 0..50 {
                let done: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                run(count, &|i| {
                    done[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(done.iter().all(|d| d.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn a_task_may_start_a_job() {
        let total = AtomicUsize::new(0);
        run(8, &|_| {
            run(8, &|i| {
                total.fetch_add(i, Ordering::Relaxed);
            })
        });
        assert_eq!(total.into_inner(), 8 * 28);
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        for _ in 0..20 {
            let outcome = catch_unwind(|| run(100, &|i| assert!(i != 50, "task fifty")));
            let message = *outcome.unwrap_err().downcast::<&str>().unwrap();
            assert_eq!(message, "task fifty");
        }
        run(10, &|_| ()); // and the pool still works
    }
}
