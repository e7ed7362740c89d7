//! The values that are sent.

use std::path::Path;

use super::settings::{Settings, Source};
use crate::cli::java::Exception;

/// Makes one value after another.
#[derive(Debug)]
pub(super) enum Payload {
    /// Random capital letters.
    Random(Vec<u8>, Random),
    /// Lines of a file, by chance.
    Lines(Vec<Vec<u8>>, Random),
    /// The number of the record.
    Monotonic(String),
}

impl Payload {
    /// For the source that the settings name.
    /// # Errors
    /// If the file holds nothing.
    pub(super) fn new(settings: &Settings) -> Result<Self, Exception> {
        Ok(match &settings.source {
            Source::Size(size) => Self::Random(vec![0; *size], Random::default()),
            Source::Lines(lines) if lines.is_empty() => {
                let message = "No payload file, record size or payload-monotonic option provided.";
                return Err(Exception::illegal_argument(message));
            }
            Source::Lines(lines) => Self::Lines(lines.clone(), Random::default()),
            Source::Monotonic => Self::Monotonic(String::new()),
        })
    }

    /// The value of record `number`.
    pub(super) fn next(&mut self, number: u64) -> &[u8] {
        match self {
            Self::Random(value, random) => {
                for chunk in value.chunks_mut(8) {
                    let bits = random.next().to_le_bytes();
                    for (letter, bits) in chunk.iter_mut().zip(bits) {
                        *letter = b'A' + ((u16::from(bits) * 26) >> 8) as u8;
                    }
                }
                value
            }
            Self::Lines(lines, random) => {
                let at = random.next() % lines.len() as u64;
                &lines[usize::try_from(at).unwrap_or(0)]
            }
            Self::Monotonic(text) => {
                *text = number.to_string();
                text.as_bytes()
            }
        }
    }
}

/// The same numbers in every run (SplitMix64).
#[derive(Debug, Default)]
pub(super) struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }
}

/// Splits a file at `delimiter`.
/// # Errors
/// If there is no such file, or it is empty.
pub(super) fn read_lines(path: &Path, delimiter: &str) -> Result<Vec<Vec<u8>>, Exception> {
    let bytes = std::fs::read(path).unwrap_or_default();
    if bytes.is_empty() {
        return Err(Exception::illegal_argument("File does not exist or empty file provided."));
    }
    let text = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<Vec<u8>> = text.split(delimiter).map(|line| line.as_bytes().to_vec()).collect();
    if lines.last().is_some_and(Vec::is_empty) {
        lines.pop();
    }
    Ok(lines)
}
