//! Sleeps until the broker's next deadline and fires it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use broker::Broker;
use tokio::time::Instant;

/// Drives the deadlines of `broker` for as long as it is polled.
pub(crate) async fn drive(broker: Arc<Broker>) {
    let mut sleep = Box::pin(tokio::time::sleep(Duration::ZERO));
    poll_fn(|cx| {
        loop {
            let now = broker.monotonic_ms();
            broker.timers().fire(now);
            // An earlier deadline that is registered later wakes this task.
            let Some(next) = broker.timers().next(cx.waker()) else { return Poll::<()>::Pending };
            let wait = u64::try_from(next - now).unwrap_or(0);
            sleep.as_mut().reset(Instant::now() + Duration::from_millis(wait));
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}
