//! The API table: which requests exist, in which versions, with which headers, on which listeners.

use std::ops::RangeInclusive;

struct ApiRow {
    key: ApiKey,
    name: &'static str,
    first: i16,
    last: i16,
    stable: i16,
    flexible: i16,
    broker: bool,
    controller: bool,
}

include!(concat!(env!("OUT_DIR"), "/api_keys.rs"));

impl ApiKey {
    fn row(self) -> &'static ApiRow {
        ROWS.iter().find(|row| row.key == self).expect("every key has a row: both are generated from one list")
    }

    /// The API of a code on the wire.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        let at = ROWS.binary_search_by_key(&code, |row| row.key as i16).ok()?;
        Some(ROWS[at].key)
    }

    /// Its code on the wire.
    #[must_use]
    pub fn code(self) -> i16 {
        self as i16
    }

    /// Kafka's name, such as `ApiVersions`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Versions that a broker advertises: without an unstable newest one.
    #[must_use]
    pub fn versions(self) -> RangeInclusive<i16> {
        let row = self.row();
        row.first..=row.stable
    }

    /// Versions that exist, unstable ones included.
    #[must_use]
    pub fn all_versions(self) -> RangeInclusive<i16> {
        let row = self.row();
        row.first..=row.last
    }

    /// Version of the request header that goes with a version of the request.
    #[must_use]
    pub fn request_header_version(self, version: i16) -> i16 {
        if version >= self.row().flexible { 2 } else { 1 }
    }

    /// Version of the response header that goes with a version of the response.
    #[must_use]
    pub fn response_header_version(self, version: i16) -> i16 {
        // A client that asks for ApiVersions does not know yet what the broker speaks, so its header never changes (KIP-511).
        i16::from(self != Self::ApiVersions && version >= self.row().flexible)
    }

    /// Whether brokers serve it.
    #[must_use]
    pub fn on_broker(self) -> bool {
        self.row().broker
    }

    /// Whether controllers serve it.
    #[must_use]
    pub fn on_controller(self) -> bool {
        self.row().controller
    }

    /// All APIs in order of their codes.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.key)
    }
}
