//! Who waits for a partition to change: fetches below their `min.bytes`.
//! A waiter registers with every partition it watches, then looks again, so that no change between is missed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::timers::Deadline;

#[derive(Default)]
struct Signal {
    raised: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// One waiting request; dropping it ends its registrations.
#[derive(Default)]
pub(crate) struct Waiter(Arc<Signal>);

/// The waiters of one partition.
#[derive(Default)]
pub(crate) struct Watchers {
    any: AtomicBool,
    list: Mutex<Vec<std::sync::Weak<Signal>>>,
}

impl Watchers {
    /// Wakes everyone who watches, once.
    pub(crate) fn wake(&self) {
        // A waiter registers before it looks at the log, and a writer comes here after it published the log: so either the
        // waiter sees the new end or the writer sees the waiter.
        if !self.any.swap(false, Ordering::SeqCst) {
            return;
        }
        let waiting = std::mem::take(&mut *self.list.lock());
        for signal in waiting.iter().filter_map(std::sync::Weak::upgrade) {
            signal.raised.store(true, Ordering::SeqCst);
            let waker = signal.waker.lock().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl Waiter {
    /// Asks `watchers` to wake this waiter at the next change.
    pub(crate) fn watch(&self, watchers: &Watchers) {
        let mut list = watchers.list.lock();
        // Requests that timed out leave dead entries on a quiet partition; they go when they are the majority.
        if list.len() > 16 && list.len() == list.capacity() {
            list.retain(|signal| signal.strong_count() > 0);
        }
        list.push(Arc::downgrade(&self.0));
        watchers.any.store(true, Ordering::SeqCst);
    }

    /// Waits for a change or for the deadline, whichever is first. True if the deadline came first.
    pub(crate) fn wait<'a>(&'a self, deadline: &'a mut Deadline) -> impl Future<Output = bool> + 'a {
        Wait { waiter: self, deadline }
    }
}

struct Wait<'a> {
    waiter: &'a Waiter,
    deadline: &'a mut Deadline,
}

impl Future for Wait<'_> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        *self.waiter.0.waker.lock() = Some(cx.waker().clone());
        if self.waiter.0.raised.swap(false, Ordering::SeqCst) {
            return Poll::Ready(false);
        }
        Pin::new(&mut *self.deadline).poll(cx).map(|()| true)
    }
}
