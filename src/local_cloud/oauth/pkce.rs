//! Proof Key for Code Exchange (RFC 7636), with S256 only.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Whether this is the base64url form of a SHA-256 hash.
pub fn is_challenge(text: &str) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
}

/// Whether `verifier` is right for the challenge of the authorization request. Where there was no challenge there must
/// be no verifier either: somebody may have taken the challenge out on its way (RFC 9700 section 4.8.2).
pub fn proves(verifier: Option<&str>, challenge: Option<&str>) -> bool {
    match (verifier, challenge) {
        (None, None) => true,
        (Some(verifier), Some(challenge)) => is_verifier(verifier) && fits(verifier, challenge),
        _ => false,
    }
}

fn fits(verifier: &str, challenge: &str) -> bool {
    let computed = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    computed.as_bytes().ct_eq(challenge.as_bytes()).into()
}

fn is_verifier(text: &str) -> bool {
    let unreserved = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_' | b'~');
    (43..=128).contains(&text.len()) && text.bytes().all(unreserved)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636, appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn only_the_verifier_of_the_challenge_proves_anything() {
        assert!(is_challenge(CHALLENGE));
        assert!(proves(Some(VERIFIER), Some(CHALLENGE)));
        assert!(!proves(Some(CHALLENGE), Some(CHALLENGE)));
        assert!(!proves(Some(&VERIFIER.to_uppercase()), Some(CHALLENGE)));
    }

    #[test]
    fn a_verifier_and_a_challenge_come_together_or_not_at_all() {
        assert!(proves(None, None));
        assert!(!proves(Some(VERIFIER), None));
        assert!(!proves(None, Some(CHALLENGE)));
    }

    #[test]
    fn a_short_verifier_and_a_challenge_that_is_no_hash_are_refused() {
        let short = "abc";
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(short));
        assert!(!proves(Some(short), Some(&challenge)));
        for wrong in [VERIFIER.trim_end_matches('k'), "plain", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM", ""] {
            assert!(!is_challenge(wrong), "{wrong}");
        }
    }
}
