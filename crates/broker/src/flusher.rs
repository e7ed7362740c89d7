//! Group commit: appends that must be on disk before they are acknowledged wait here for one sync that serves all of them.
//! The shell runs [`Flusher::run`] on a thread; what arrives during a sync is served by the next one.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use protocol::ErrorCode;
use protocol::types::Offset;
use tracing::error;

use crate::partition::Partition;
use crate::promise::{Promise, Responder, promise};

type Answer = Result<(), ErrorCode>;

struct Waiting {
    partition: Arc<Partition>,
    up_to: Offset,
    responders: Vec<Responder<Answer>>,
}

/// The appends that wait for a sync.
#[derive(Default)]
pub struct Flusher {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

/// A partition is told from others by its address, which the `Arc` in its entry keeps.
#[derive(Default)]
struct Queue {
    waiting: HashMap<usize, Waiting>,
    stopped: bool,
}

impl Flusher {
    /// Resolves once all of `partition` below `up_to` is on disk.
    pub fn submit(&self, partition: &Arc<Partition>, up_to: Offset) -> Promise<Answer> {
        let (responder, promised) = promise();
        let mut queue = self.queue.lock();
        let waiting = queue.waiting.entry(Arc::as_ptr(partition) as usize).or_insert_with(|| Waiting {
            partition: Arc::clone(partition),
            up_to,
            responders: Vec::new(),
        });
        waiting.up_to = waiting.up_to.max(up_to);
        waiting.responders.push(responder);
        drop(queue);
        self.arrived.notify_one();
        promised
    }

    /// Ends [`Flusher::run`] after what is queued.
    pub fn stop(&self) {
        self.queue.lock().stopped = true;
        self.arrived.notify_all();
    }

    /// Serves the queue until [`Flusher::stop`].
    pub fn run(&self) {
        loop {
            let batch = {
                let mut queue = self.queue.lock();
                while queue.waiting.is_empty() {
                    if queue.stopped {
                        return;
                    }
                    self.arrived.wait(&mut queue);
                }
                std::mem::take(&mut queue.waiting)
            };
            for waiting in batch.into_values() {
                let answer = sync(&waiting);
                for responder in waiting.responders {
                    responder.send(answer);
                }
            }
        }
    }
}

fn sync(waiting: &Waiting) -> Answer {
    let (unsynced, up_to) = {
        let mut log = waiting.partition.log();
        let up_to = log.log_end_offset().max(waiting.up_to);
        (log.flush_files(), up_to)
    };
    let synced = unsynced.and_then(|files| Ok(files.iter().try_for_each(storage::Unsynced::sync_data)?));
    if let Err(cause) = synced {
        error!(partition = %waiting.partition.topic_partition, %cause, "could not sync a log");
        waiting.partition.log().fail();
        return Err(ErrorCode::KafkaStorageError);
    }
    waiting.partition.flushed(up_to);
    Ok(())
}
