//! One request frame from an unknown client: the header by which the broker routes it, then the message, which has to
//! be written again as it was read. `cargo +nightly fuzz run decode_request`.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use protocol::messages::{ALL, MessageEntry};
use protocol::{frame, json};

fuzz_target!(|data: &[u8]| {
    let frame = Bytes::copy_from_slice(data);
    let Ok((api, header, reader)) = frame::decode_request_header(&frame) else {
        return;
    };
    let name = format!("{}Request", api.name());
    let Some(entry) = ALL.iter().find(|entry| entry.name == name) else {
        return;
    };
    recode(entry, header.request_api_version, &reader.into_rest());
});

fn recode(entry: &MessageEntry, version: i16, body: &Bytes) {
    let Ok(written) = (entry.recode)(body, version) else {
        return;
    };
    // The input may spell a value in more ways than one; what is written is spelled in one way.
    let again = (entry.recode)(&written, version).expect("what was written can be read");
    assert_eq!(written, again);
    json::decode(entry.name, version, &written).expect("both implementations read it");
}
