//! Client secrets, and the codes, tokens and cookies that stand for something stored: how they are made, what is kept
//! of them, and how they are compared.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::clock::{self, NoEntropy};

/// 64 characters, so that six random bits choose one without bias. `%`, `&`, `+` and `=` have a meaning in a form
/// body: a client that forgets to encode its secret is found out here and not at the real server.
const ALPHABET: &[u8; 64] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz23456789!#%&()+=?";

/// How many characters a secret has: 32 times 6 bits are 192 bits.
const LENGTH: usize = 32;

/// Makes a new client secret that has at least one character which must be encoded in a form body.
pub fn generate() -> Result<SecretString, NoEntropy> {
    loop {
        let bytes: [u8; LENGTH] = clock::random_bytes()?;
        let text: String = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect();
        if text.contains(['%', '&', '+', '=']) {
            return Ok(SecretString::from(text));
        }
    }
}

/// Makes an opaque value of 256 random bits that can stand in a URL, a cookie and a form as it is.
pub fn opaque() -> Result<SecretString, NoEntropy> {
    let bytes: [u8; 32] = clock::random_bytes()?;
    Ok(SecretString::from(URL_SAFE_NO_PAD.encode(bytes)))
}

/// What is stored of a secret. A secret of 192 random bits or more needs no slow hash: there is nothing to guess.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash of `secret`.
    #[must_use]
    pub fn of(secret: &SecretString) -> Self {
        Self::of_text(secret.expose_secret())
    }

    /// The hash of something that came in as text.
    #[must_use]
    pub fn of_text(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// Reads a stored hash; `None` if it hasn't 32 bytes.
    #[must_use]
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Whether `presented` is one of `stored`. Every stored hash is looked at in full, whichever fits.
#[must_use]
pub fn any_matches(presented: &SecretString, stored: &[SecretHash]) -> bool {
    let presented = SecretHash::of(presented);
    stored.iter().fold(Choice::from(0), |found, hash| found | hash.0.ct_eq(&presented.0)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_secret_is_long_and_needs_encoding_in_a_form_body() {
        let secret = generate().unwrap();
        let encoded: String = url::form_urlencoded::byte_serialize(secret.expose_secret().as_bytes()).collect();
        assert_eq!(secret.expose_secret().len(), LENGTH);
        assert_ne!(encoded, secret.expose_secret());
    }

    #[test]
    fn every_character_of_the_alphabet_is_there_once() {
        let mut sorted = ALPHABET.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), ALPHABET.len());
    }

    #[test]
    fn only_the_very_secret_matches_its_hash() {
        let (one, other) = (generate().unwrap(), generate().unwrap());
        let stored = [SecretHash::of(&other), SecretHash::of(&one)];
        assert!(any_matches(&one, &stored));
        assert!(!any_matches(&one, &stored[..1]));
        assert!(!any_matches(&one, &[]));
        assert!(!any_matches(&SecretString::from(String::new()), &stored));
    }
}
