//! Requests and records from anybody: refused with a code, never a panic, never a request without an answer.

use bytes::{BufMut, Bytes, BytesMut};
use coordinator::{GroupConfig, GroupEffects, GroupResponse, GroupShard, ReplyToken, RequestContext};
use proptest::prelude::*;
use protocol::messages::join_group_request::JoinGroupRequestProtocol;
use protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use protocol::messages::{JoinGroupRequest, ListGroupsRequest, OffsetCommitRequest};
use protocol::{ErrorCode, Uuid};

fn context(api_version: i16) -> RequestContext {
    RequestContext {
        now_ms: 0,
        client_id: "c".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        api_version,
        fresh_id: Uuid::ZERO,
    }
}

fn join(group_id: &str, protocols: &[&str]) -> JoinGroupRequest {
    let protocols = protocols.iter().map(|name| JoinGroupRequestProtocol {
        name: (*name).to_owned(),
        metadata: Bytes::from_static(&[0xff; 3]),
        ..Default::default()
    });
    JoinGroupRequest {
        group_id: group_id.to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: -5,
        protocol_type: "consumer".to_owned(),
        protocols: protocols.collect(),
        ..Default::default()
    }
}

/// The one answer that was given.
fn only_answer(out: &mut GroupEffects) -> GroupResponse {
    assert_eq!(out.replies.len(), 1, "{:?}", out.replies);
    out.replies.remove(0).1
}

/// Strings in records are shorter than those in requests.
#[test]
fn a_group_whose_id_fits_no_record_is_refused() {
    let long = "g".repeat(40_000);
    let mut shard = GroupShard::new(GroupConfig::default());
    let mut out = GroupEffects::default();
    shard.join_group(&context(3), join(&long, &["range"]), ReplyToken(1), &mut out);
    let GroupResponse::JoinGroup(joined) = only_answer(&mut out) else { panic!("not an answer to JoinGroup") };
    assert_eq!(joined.error_code, ErrorCode::UnknownServerError.code());
    let topic = OffsetCommitRequestTopic {
        name: "t".to_owned(),
        partitions: vec![OffsetCommitRequestPartition::default()],
        ..Default::default()
    };
    let request = OffsetCommitRequest { group_id: long, topics: vec![topic], ..Default::default() };
    shard.commit_offsets(&context(9), &request, ReplyToken(2), &mut out);
    let GroupResponse::OffsetCommit(committed) = only_answer(&mut out) else { panic!("not an answer to OffsetCommit") };
    assert_eq!(committed.topics[0].partitions[0].error_code, ErrorCode::UnknownServerError.code());
    assert!(out.writes.is_empty() && shard.list_groups(&ListGroupsRequest::default()).is_empty());
}

/// Each name counts once, or a member would outvote itself.
#[test]
fn a_member_that_names_a_protocol_twice_is_in_the_group() {
    let mut shard = GroupShard::new(GroupConfig::default());
    let mut out = GroupEffects::default();
    shard.join_group(&context(3), join("g", &["range", "range"]), ReplyToken(1), &mut out);
    shard.tick(3_000, &mut out);
    let GroupResponse::JoinGroup(joined) = only_answer(&mut out) else { panic!("not an answer to JoinGroup") };
    assert_eq!((joined.error_code, joined.protocol_name.as_deref()), (0, Some("range")));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn no_record_breaks_the_loading(
        records in proptest::collection::vec(
            (-1_i16..20, proptest::collection::vec(any::<u8>(), 0..40), -1_i16..6, proptest::collection::vec(any::<u8>(), 0..80)),
            1..20,
        )
    ) {
        let mut shard = GroupShard::new(GroupConfig::default());
        for (offset, (record_type, key, version, value)) in (0..).zip(&records) {
            let prefixed = |prefix: i16, rest: &[u8]| {
                let mut bytes = BytesMut::new();
                bytes.put_i16(prefix);
                bytes.put_slice(rest);
                bytes.freeze()
            };
            let (key, value) = (prefixed(*record_type, key), prefixed(*version, value));
            let producer_id = (offset % 3 == 0).then_some(7);
            // What cannot be read is left out.
            drop(shard.replay(0, offset, producer_id, (Some(&key), Some(&value))));
        }
        let mut out = GroupEffects::default();
        shard.loaded(0, &Default::default(), &mut out);
        shard.tick(i64::from(i32::MAX), &mut out);
        shard.unload(&mut out);
        prop_assert!(out.replies.is_empty());
    }
}
