//! Which transactions the cleaner is inside of as it goes through a log (`CleanedTransactionMetadata`). Records of aborted
//! ones go at once; a marker stays until the records of its transaction are gone, and a while longer.

use std::collections::{BTreeSet, HashMap, HashSet};

use protocol::record::{BatchHeader, ControlRecordType};
use protocol::types::{Offset, ProducerId};

use crate::txn_index::AbortedTxn;

/// The transactions that are open at the place where the cleaner is.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    committed: HashSet<ProducerId>,
    aborted: HashMap<ProducerId, OpenAborted>,
    /// Not reached yet, by first offset.
    ahead: BTreeSet<(Offset, ProducerId, Offset, Offset)>,
}

#[derive(Debug)]
struct OpenAborted {
    txn: AbortedTxn,
    /// Whether records of it were seen.
    seen: bool,
}

/// What becomes of a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MarkerFate {
    /// Its transaction has no records any more.
    Needless,
    /// Records of its transaction are there.
    Needed,
    /// As that, and readers have to know of the transaction to leave its records out.
    Aborts(AbortedTxn),
}

impl Transactions {
    /// Adds aborted transactions that are to come.
    pub(crate) fn expect(&mut self, aborted: &[AbortedTxn]) {
        let entry = |txn: &AbortedTxn| (txn.first_offset, txn.producer_id, txn.last_offset, txn.last_stable_offset);
        self.ahead.extend(aborted.iter().map(entry));
    }

    /// Takes note of a batch of records. Whether they were aborted.
    pub(crate) fn on_batch(&mut self, header: &BatchHeader) -> bool {
        self.reach(header.last_offset());
        if !header.is_transactional() {
            return false;
        }
        if let Some(open) = self.aborted.get_mut(&header.producer_id) {
            open.seen = true;
            return true;
        }
        self.committed.insert(header.producer_id);
        false
    }

    /// Takes note of a control batch. `kind` is that of its record, if compaction left it one.
    pub(crate) fn on_marker(&mut self, header: &BatchHeader, kind: Option<ControlRecordType>) -> MarkerFate {
        self.reach(header.last_offset());
        match kind {
            None => MarkerFate::Needless,
            Some(ControlRecordType::Abort) => match self.aborted.remove(&header.producer_id) {
                Some(open) if open.seen => MarkerFate::Aborts(open.txn),
                _ => MarkerFate::Needless,
            },
            Some(ControlRecordType::Commit) => {
                if self.committed.remove(&header.producer_id) {
                    MarkerFate::Needed
                } else {
                    MarkerFate::Needless
                }
            }
            Some(_) => MarkerFate::Needed,
        }
    }

    fn reach(&mut self, offset: Offset) {
        while let Some(&(first_offset, producer_id, last_offset, last_stable_offset)) = self.ahead.first()
            && first_offset <= offset
        {
            self.ahead.pop_first();
            let txn = AbortedTxn { producer_id, first_offset, last_offset, last_stable_offset };
            self.aborted.entry(producer_id).or_insert(OpenAborted { txn, seen: false });
        }
    }
}
