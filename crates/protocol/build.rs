//! Generates the message codecs, the API table and the error codes from `schema/`.

#[allow(dead_code, unreachable_pub, reason = "shared with the library, which uses the rest")]
#[path = "src/schema.rs"]
mod schema;

#[path = "build/api_keys.rs"]
mod api_keys;
#[path = "build/codec.rs"]
mod codec;
#[path = "build/error_codes.rs"]
mod error_codes;

use std::path::Path;
use std::{env, fs};

/// Schema files, in the order of their messages in the generated code.
const FILES: [&str; 9] = [
    "requests",
    "client-data",
    "raft",
    "metadata-records",
    "group-records",
    "transaction-records",
    "share-records",
    "storage",
    "streams",
];

fn main() {
    println!("cargo:rerun-if-changed=schema");
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed=src/schema.rs");
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let messages: Vec<schema::MessageSpec> = FILES
        .iter()
        .flat_map(|file| schema::parse(&fs::read_to_string(format!("schema/{file}.schema")).expect("schema file")))
        .collect();
    let errors = fs::read_to_string("schema/errors.tsv").expect("schema/errors.tsv");
    let write = |name: &str, text: String| fs::write(Path::new(&out).join(name), text).expect("OUT_DIR is writable");
    write("messages.rs", codec::generate(&messages));
    write("api_keys.rs", api_keys::generate(&messages));
    write("error_codes.rs", error_codes::generate(&errors));
}
