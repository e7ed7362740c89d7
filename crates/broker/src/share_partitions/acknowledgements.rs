//! The acknowledgements of a request, be it ShareAcknowledge or ShareFetch: checked, taken, and answered for each partition.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::types::Offset;

use super::sessions::{SessionKey, TopicIdPartition};
use super::{Refusal, Stored};
use crate::Broker;
use crate::share_partition::{AcknowledgeType, Acknowledgement};

/// What a request says of some records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said<'a> {
    pub(crate) first_offset: Offset,
    pub(crate) last_offset: Offset,
    pub(crate) types: &'a [i8],
}

/// What a request may say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SayRules {
    /// The version knows renewals (KIP-1222).
    pub(crate) knows_renewals: bool,
    /// The request announces renewals.
    pub(crate) announces_renewals: bool,
}

/// What became of the acknowledgements of one partition.
pub(crate) type PartitionOutcome = (TopicIdPartition, Result<(), Refusal>);

/// Takes the acknowledgements of a request. Partitions of which it says nothing are answered if there are others.
pub(crate) fn acknowledge<'a>(
    broker: &Arc<Broker>,
    session: &SessionKey,
    said: impl Iterator<Item = (TopicIdPartition, Vec<Said<'a>>)>,
    rules: SayRules,
) -> Vec<(TopicIdPartition, Stored)> {
    let image = broker.image();
    let mut outcomes = Vec::new();
    let mut silent = Vec::new();
    let mut taken = false;
    for ((topic_id, index), said) in said {
        let partition = (topic_id, index);
        let Some(topic) = image.topic_by_id(topic_id) else {
            outcomes.push((partition, Stored::Now(Err(ErrorCode::UnknownTopicId.into()))));
            continue;
        };
        let outcome = match check(&said, rules) {
            Err(code) => Stored::Now(Err(code.into())),
            Ok(_) if topic.partition(index).is_none() => Stored::Now(Err(ErrorCode::UnknownTopicOrPartition.into())),
            Ok(said) if said.is_empty() => {
                silent.push(partition);
                continue;
            }
            Ok(said) => {
                taken = true;
                broker.share_partitions().acknowledge(broker, session, partition, &said)
            }
        };
        outcomes.push((partition, outcome));
    }
    if taken {
        outcomes.extend(silent.into_iter().map(|partition| (partition, Stored::Now(Ok(())))));
    }
    outcomes
}

/// The outcomes, if they are all there.
pub(crate) fn settled(
    stored: Vec<(TopicIdPartition, Stored)>,
) -> Result<Vec<PartitionOutcome>, Vec<(TopicIdPartition, Stored)>> {
    if stored.iter().any(|(_, stored)| matches!(stored, Stored::Later(_))) {
        return Err(stored);
    }
    let settled = stored.into_iter().filter_map(|(partition, stored)| match stored {
        Stored::Now(outcome) => Some((partition, outcome)),
        Stored::Later(_) => None,
    });
    Ok(settled.collect())
}

/// The outcomes, when they are there.
pub(crate) async fn wait(stored: Vec<(TopicIdPartition, Stored)>) -> Vec<PartitionOutcome> {
    let mut outcomes = Vec::with_capacity(stored.len());
    for (partition, stored) in stored {
        let outcome = match stored {
            Stored::Now(outcome) => outcome,
            Stored::Later(promise) => promise.await.unwrap_or(Err(ErrorCode::NotLeaderOrFollower.into())),
        };
        outcomes.push((partition, outcome));
    }
    outcomes
}

fn check(said: &[Said<'_>], rules: SayRules) -> Result<Vec<Acknowledgement>, ErrorCode> {
    let newest = if rules.knows_renewals { 4 } else { 3 };
    let mut last_before = -1;
    let mut checked = Vec::with_capacity(said.len());
    for said in said {
        let span = said.last_offset.checked_sub(said.first_offset).filter(|span| *span >= 0);
        let span = span.and_then(|span| usize::try_from(span).ok()).ok_or(ErrorCode::InvalidRequest)?;
        let fits = said.types.len() == 1 || (said.types.len() > 1 && said.types.len() - 1 == span);
        let known = said.types.iter().all(|code| (0..=newest).contains(code));
        let types: Option<Vec<_>> = said.types.iter().map(|code| AcknowledgeType::from_code(*code)).collect();
        let types = types.filter(|_| said.first_offset >= last_before && fits && known);
        let types = types.ok_or(ErrorCode::InvalidRequest)?;
        if types.contains(&AcknowledgeType::Renew) && !rules.announces_renewals {
            return Err(ErrorCode::InvalidRequest);
        }
        last_before = said.last_offset;
        let (first_offset, last_offset) = (said.first_offset, said.last_offset);
        checked.push(Acknowledgement { first_offset, last_offset, types });
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_are_in_order_and_fit_their_records() {
        let rules = SayRules { knows_renewals: true, announces_renewals: false };
        let code = |first_offset, last_offset, types: &[i8]| {
            check(&[Said { first_offset, last_offset, types }], rules).map(|said| said.len())
        };
        assert_eq!(code(0, 4, &[1]), Ok(1));
        assert_eq!(code(0, 2, &[1, 0, 3]), Ok(1));
        for (first, last, types) in [
            (4, 0, [1].as_slice()),
            (0, 4, &[]),
            (0, 4, &[1, 1]),
            (0, 0, &[5]),
            (0, 0, &[-1]),
            (0, 0, &[4]),
            (i64::MIN, i64::MAX, &[1]),
        ] {
            assert_eq!(code(first, last, types), Err(ErrorCode::InvalidRequest));
        }
        let said = |first_offset, last_offset| Said { first_offset, last_offset, types: &[1] };
        assert_eq!(check(&[said(5, 9), said(0, 3)], rules), Err(ErrorCode::InvalidRequest));
    }
}
