//! How a request of a newer protocol changes the state: record by record, at once, and one write for all of them.

use protocol::types::TimestampMs;

use crate::effects::{Effects, GroupResponse, ReplyToken};
use crate::group::completion::Completion;
use crate::record::modern::{GroupRecord, Records};
use crate::shard::GroupShard;

impl GroupShard {
    /// Changes the state by a record, which is to be written.
    pub(crate) fn record(&mut self, record: GroupRecord, records: &mut Records) {
        records.push(record.encode());
        self.replay_group(record);
    }

    /// Writes the records of a request and answers it when they, and all before them, are in the log.
    pub(crate) fn write_records(
        &mut self,
        now_ms: TimestampMs,
        records: Records,
        reply: Option<(ReplyToken, GroupResponse)>,
        out: &mut Effects,
    ) {
        if !records.is_empty() {
            self.writes().start(records.into_records(), Completion::Replayed, out);
        }
        if let Some((token, response)) = reply {
            self.reply_in_order(token, response, out);
        }
        self.settle(now_ms, out);
    }

    /// Answers a request when everything that was decided before it is in the log.
    pub(crate) fn reply_in_order(&mut self, token: ReplyToken, response: GroupResponse, out: &mut Effects) {
        if let Err(response) = self.writes().reply_after_last(token, response) {
            out.reply(token, response);
        }
    }
}
