//! Deadlines of waiting requests, ordered by time. The shell asks for the next one, sleeps, and calls [`Timers::fire`].
//! Time is the clock's monotonic milliseconds; a deadline that is cancelled leaves no trace.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

type Key = (i64, u64);

#[derive(Default)]
struct Queue {
    next_id: u64,
    waiting: BTreeMap<Key, Waker>,
    now: i64,
}

/// All deadlines of one broker.
#[derive(Clone, Default)]
pub struct Timers {
    queue: Arc<Mutex<Queue>>,
    earlier: Arc<Mutex<Option<Waker>>>,
}

/// Resolves once its deadline has passed.
pub struct Deadline {
    timers: Timers,
    at: i64,
    key: Option<Key>,
}

impl Timers {
    /// A future that resolves at `at` (monotonic milliseconds).
    #[must_use]
    pub fn deadline(&self, at: i64) -> Deadline {
        Deadline { timers: self.clone(), at, key: None }
    }

    /// The earliest deadline. `waker` is woken when an earlier one appears.
    pub fn next(&self, waker: &Waker) -> Option<i64> {
        *self.earlier.lock() = Some(waker.clone());
        self.queue.lock().waiting.first_key_value().map(|((at, _), _)| *at)
    }

    /// Wakes every deadline that is not after `now`.
    pub fn fire(&self, now: i64) {
        let due = {
            let mut queue = self.queue.lock();
            queue.now = queue.now.max(now);
            let later = queue.waiting.split_off(&(now + 1, 0));
            std::mem::replace(&mut queue.waiting, later)
        };
        for waker in due.into_values() {
            waker.wake();
        }
    }

    fn insert(&self, at: i64, waker: Waker) -> Key {
        let (key, first) = {
            let mut queue = self.queue.lock();
            queue.next_id += 1;
            let key = (at, queue.next_id);
            queue.waiting.insert(key, waker);
            (key, queue.waiting.first_key_value().is_some_and(|(first, _)| *first == key))
        };
        if first {
            let driver = self.earlier.lock().take();
            if let Some(driver) = driver {
                driver.wake();
            }
        }
        key
    }
}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(key) = self.key {
            let mut queue = self.timers.queue.lock();
            if let Some(waker) = queue.waiting.get_mut(&key) {
                waker.clone_from(cx.waker());
                return Poll::Pending;
            }
            drop(queue);
            self.key = None;
            return Poll::Ready(());
        }
        if self.timers.queue.lock().now >= self.at {
            return Poll::Ready(());
        }
        self.key = Some(self.timers.insert(self.at, cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.timers.queue.lock().waiting.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_resolves_when_its_time_has_come_and_not_before() {
        let mut cx = Context::from_waker(Waker::noop());
        let timers = Timers::default();
        let mut early = timers.deadline(10);
        let mut late = timers.deadline(20);
        assert!(Pin::new(&mut late).poll(&mut cx).is_pending());
        assert!(Pin::new(&mut early).poll(&mut cx).is_pending());
        assert_eq!(timers.next(Waker::noop()), Some(10));
        timers.fire(10);
        assert!(Pin::new(&mut early).poll(&mut cx).is_ready());
        assert!(Pin::new(&mut late).poll(&mut cx).is_pending());
        drop(late);
        assert_eq!(timers.next(Waker::noop()), None);
    }
}
