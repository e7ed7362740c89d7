//! Wakes the driver of the coordinators when its deadline has come, or when an earlier one appears.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Poll, Waker};

use parking_lot::Mutex;
use protocol::types::TimestampMs;

use crate::timers::Deadline;

/// No deadline: whatever appears is earlier.
const NEVER: TimestampMs = i64::MAX;

/// What the driver sleeps on.
pub(crate) struct Alarm {
    /// Until when the driver sleeps. Read without the lock by every request.
    until: AtomicI64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rung: bool,
    waker: Option<Waker>,
}

impl Default for Alarm {
    fn default() -> Self {
        Self { until: AtomicI64::new(NEVER), state: Mutex::default() }
    }
}

impl Alarm {
    /// The driver looks at the deadlines: one that appears from now on is to wake it.
    pub(crate) fn reset(&self) {
        let mut state = self.state.lock();
        state.rung = false;
        self.until.store(NEVER, Ordering::SeqCst);
    }

    /// A deadline has appeared or moved.
    pub(crate) fn ring(&self, deadline: TimestampMs) {
        if deadline >= self.until.load(Ordering::SeqCst) {
            return;
        }
        let waker = {
            let mut state = self.state.lock();
            state.rung = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Resolves at `until`, for which `deadline` stands, or when the alarm was rung since it was reset.
    pub(crate) async fn wait(&self, until: Option<TimestampMs>, mut deadline: Option<Deadline>) {
        self.until.store(until.unwrap_or(NEVER), Ordering::SeqCst);
        poll_fn(|cx| {
            {
                let mut state = self.state.lock();
                if state.rung {
                    return Poll::Ready(());
                }
                state.waker = Some(cx.waker().clone());
            }
            match &mut deadline {
                Some(deadline) => Pin::new(deadline).poll(cx),
                None => Poll::Pending,
            }
        })
        .await;
    }
}
