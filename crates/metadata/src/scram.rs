//! SCRAM credentials (RFC 5802): from a password to what is kept of it.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};

/// A hash function that SCRAM works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScramMechanism {
    /// `SCRAM-SHA-256`.
    Sha256,
    /// `SCRAM-SHA-512`.
    Sha512,
}

/// What a server keeps of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// Hash of the key that clients prove to have.
    pub stored: Vec<u8>,
    /// The key with which the server proves to be itself.
    pub server: Vec<u8>,
}

impl ScramMechanism {
    /// The mechanism of a code.
    #[must_use]
    pub fn from_code(code: i8) -> Option<Self> {
        match code {
            1 => Some(Self::Sha256),
            2 => Some(Self::Sha512),
            _ => None,
        }
    }

    /// Its code in records and messages.
    #[must_use]
    pub fn code(self) -> i8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha512 => 2,
        }
    }

    /// The mechanism of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sha256, Self::Sha512].into_iter().find(|mechanism| mechanism.name() == name)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// Fewest iterations that are acceptable.
    pub const MIN_ITERATIONS: i32 = 4096;
    /// Most iterations that are acceptable.
    pub const MAX_ITERATIONS: i32 = 16_384;

    /// The password after `iterations` rounds (`Hi` of RFC 5802).
    #[must_use]
    pub fn salted_password(self, password: &[u8], salt: &[u8], iterations: i32) -> Vec<u8> {
        let first = [salt, &[0, 0, 0, 1]].concat();
        let mut round = self.hmac(password, &first);
        let mut salted = round.clone();
        for _ in 1..iterations {
            round = self.hmac(password, &round);
            salted.iter_mut().zip(&round).for_each(|(byte, other)| *byte ^= other);
        }
        salted
    }

    /// What is kept of a salted password.
    #[must_use]
    pub fn keys(self, salted_password: &[u8]) -> ScramKeys {
        let client = self.hmac(salted_password, b"Client Key");
        let stored = match self {
            Self::Sha256 => Sha256::digest(&client).to_vec(),
            Self::Sha512 => Sha512::digest(&client).to_vec(),
        };
        ScramKeys { stored, server: self.hmac(salted_password, b"Server Key") }
    }

    fn hmac(self, key: &[u8], text: &[u8]) -> Vec<u8> {
        const ANY_LENGTH: &str = "a key of HMAC may have any length";
        match self {
            Self::Sha256 => Hmac::<Sha256>::new_from_slice(key)
                .expect(ANY_LENGTH)
                .chain_update(text)
                .finalize()
                .into_bytes()
                .to_vec(),
            Self::Sha512 => Hmac::<Sha512>::new_from_slice(key)
                .expect(ANY_LENGTH)
                .chain_update(text)
                .finalize()
                .into_bytes()
                .to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677: user "user", password "pencil".
    #[test]
    fn keys_are_those_of_the_rfc() {
        let salt = [0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81];
        let salted = ScramMechanism::Sha256.salted_password(b"pencil", &salt, 4096);
        let keys = ScramMechanism::Sha256.keys(&salted);
        let auth = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = ScramMechanism::Sha256.hmac(&keys.server, auth.as_bytes());
        assert_eq!(signature[..8], [0xea, 0xba, 0xe2, 0x4d, 0x10, 0x62, 0xdb, 0x75]);
        assert_eq!((signature.len(), keys.stored.len()), (32, 32));
        assert_eq!(ScramMechanism::Sha512.keys(&salted).stored.len(), 64);
    }
}
