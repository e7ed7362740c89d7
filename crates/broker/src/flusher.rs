//! Group commit: appends that must be on disk before they are acknowledged wait here for one sync that serves all of them.
//! The shell runs [`Flusher::run`] on a few threads: syncs of different partitions overlap, so that the file system can
//! commit them together. One partition is synced by one thread at a time; what arrives meanwhile is served by its next sync.

use std::collections::hash_map::{Entry, HashMap};
use std::collections::{HashSet, VecDeque};
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
    /// The keys of `waiting` that no thread syncs, first come first served.
    ready: VecDeque<usize>,
    /// Partitions that a thread syncs now. What waits for one of them is taken up by that thread, and wakes no other.
    busy: HashSet<usize>,
    stopped: bool,
}

impl Queue {
    /// The partition that has waited longest, which is busy from now on.
    fn next(&mut self) -> Option<(usize, Waiting)> {
        let key = self.ready.pop_front()?;
        let waiting = self.waiting.remove(&key)?;
        self.busy.insert(key);
        Some((key, waiting))
    }

    /// A partition is synced. It goes behind the others if more has come meanwhile.
    fn done(&mut self, key: usize) {
        self.busy.remove(&key);
        if self.waiting.contains_key(&key) {
            self.ready.push_back(key);
        }
    }
}

impl Flusher {
    /// Resolves once all of `partition` below `up_to` is on disk.
    pub fn submit(&self, partition: &Arc<Partition>, up_to: Offset) -> Promise<Answer> {
        let (responder, promised) = promise();
        let key = Arc::as_ptr(partition) as usize;
        let mut guard = self.queue.lock();
        let queue = &mut *guard;
        match queue.waiting.entry(key) {
            Entry::Occupied(mut waiting) => {
                let waiting = waiting.get_mut();
                waiting.up_to = waiting.up_to.max(up_to);
                waiting.responders.push(responder);
            }
            Entry::Vacant(place) => {
                place.insert(Waiting { partition: Arc::clone(partition), up_to, responders: vec![responder] });
                if !queue.busy.contains(&key) {
                    queue.ready.push_back(key);
                    drop(guard);
                    self.arrived.notify_one();
                }
            }
        }
        promised
    }

    /// Ends every [`Flusher::run`] after what is queued.
    pub fn stop(&self) {
        self.queue.lock().stopped = true;
        self.arrived.notify_all();
    }

    /// Serves the queue until [`Flusher::stop`], beside other threads that do.
    pub fn run(&self) {
        let mut queue = self.queue.lock();
        loop {
            let Some((key, waiting)) = queue.next() else {
                if queue.stopped {
                    return;
                }
                self.arrived.wait(&mut queue);
                continue;
            };
            drop(queue);
            let answer = sync(&waiting);
            for responder in waiting.responders {
                responder.send(answer);
            }
            queue = self.queue.lock();
            queue.done(key);
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
