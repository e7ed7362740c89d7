//! A value that comes later, without an executor: the owner of a [`Responder`] gives it, whoever polls the [`Promise`] gets it.
//! Both sides are plain `std` futures, so that the server and a simulation can run the same broker.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

enum State<T> {
    Empty(Option<Waker>),
    Value(T),
    Gone,
}

/// The side that waits. Resolves to `None` if the responder was dropped without a value.
pub struct Promise<T>(Arc<Mutex<State<T>>>);

/// The side that answers, once.
pub struct Responder<T>(Option<Arc<Mutex<State<T>>>>);

/// A promise and its responder.
#[must_use]
pub fn promise<T>() -> (Responder<T>, Promise<T>) {
    let state = Arc::new(Mutex::new(State::Empty(None)));
    (Responder(Some(Arc::clone(&state))), Promise(state))
}

fn settle<T>(state: &Mutex<State<T>>, settled: State<T>) {
    let before = std::mem::replace(&mut *state.lock(), settled);
    if let State::Empty(Some(waker)) = before {
        waker.wake();
    }
}

impl<T> Responder<T> {
    /// Gives the value and wakes whoever waits.
    pub fn send(mut self, value: T) {
        if let Some(state) = self.0.take() {
            settle(&state, State::Value(value));
        }
    }
}

impl<T> Drop for Responder<T> {
    fn drop(&mut self) {
        if let Some(state) = self.0.take() {
            settle(&state, State::Gone);
        }
    }
}

impl<T: Send + 'static> Promise<T> {
    /// Calls `act` with the value once it is there, on the thread of whoever gives it; at once if it is there already.
    pub fn then(self, act: impl FnOnce(Option<T>) + Send + 'static) {
        Arc::new(Then(Mutex::new(Some((self, Box::new(act)))))).wake();
    }
}

type Act<T> = Box<dyn FnOnce(Option<T>) + Send>;

/// A promise that is polled by whoever settles it.
struct Then<T>(Mutex<Option<(Promise<T>, Act<T>)>>);

impl<T: Send + 'static> Wake for Then<T> {
    fn wake(self: Arc<Self>) {
        let waker = Waker::from(Arc::clone(&self));
        let settled = {
            let mut waiting = self.0.lock();
            let Some((promise, _)) = waiting.as_mut() else { return };
            match Pin::new(promise).poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(value) => waiting.take().map(|(_, act)| (act, value)),
                Poll::Pending => None,
            }
        };
        if let Some((act, value)) = settled {
            act(value);
        }
    }
}

impl<T> Future for Promise<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        match std::mem::replace(&mut *state, State::Gone) {
            State::Value(value) => Poll::Ready(Some(value)),
            State::Gone => Poll::Ready(None),
            State::Empty(_) => {
                *state = State::Empty(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_responder_resolves_to_none() {
        let mut cx = Context::from_waker(Waker::noop());
        let (responder, mut waiting) = promise::<u8>();
        assert!(Pin::new(&mut waiting).poll(&mut cx).is_pending());
        drop(responder);
        assert_eq!(Pin::new(&mut waiting).poll(&mut cx), Poll::Ready(None));
        let (responder, mut waiting) = promise::<u8>();
        responder.send(7);
        assert_eq!(Pin::new(&mut waiting).poll(&mut cx), Poll::Ready(Some(7)));
    }

    #[test]
    fn what_follows_a_promise_happens_once_it_is_settled() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (first, later) = promise::<u8>();
        let (second, sooner) = promise::<u8>();
        second.send(1);
        for waiting in [later, sooner] {
            let seen = Arc::clone(&seen);
            waiting.then(move |value| seen.lock().push(value));
        }
        drop(first);
        assert_eq!(*seen.lock(), [Some(1), None]);
    }
}
