//! People's passwords: argon2id (RFC 9106), away from the threads that answer requests.

use std::sync::LazyLock;

use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use super::clock::{self, NoEntropy};

/// How many passwords are hashed at a time. Each takes 19 MiB, so this bounds memory as well as processor time.
const AT_A_TIME: usize = 2;

static TURNS: Semaphore = Semaphore::const_new(AT_A_TIME);

/// Of a password that nobody has: an unknown person costs as much time as a wrong password.
static NOBODY: LazyLock<String> =
    LazyLock::new(|| hash(&SecretString::from("nobody has this password"), [0; 16]).unwrap_or_else(|_| String::new()));

/// Why there is no hash of a password.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// There is no randomness for the salt.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// The library refused its own parameters.
    #[error("a password cannot be hashed")]
    Argon2,
}

/// The PHC string to store for `password`: argon2id with the library's parameters, which are OWASP's (19 MiB, 2 passes).
pub fn hashed(password: &SecretString) -> Result<String, HashError> {
    hash(password, clock::random_bytes()?)
}

fn hash(password: &SecretString, salt: [u8; 16]) -> Result<String, HashError> {
    let hash = Argon2::default().hash_password_with_salt(password.expose_secret().as_bytes(), &salt);
    Ok(hash.map_err(|_| HashError::Argon2)?.to_string())
}

/// Whether `password` is the one that `stored` is the hash of.
pub fn fits(password: &SecretString, stored: &str) -> bool {
    Argon2::default().verify_password(password.expose_secret().as_bytes(), stored).is_ok()
}

/// Whether `password` is the one of `stored`; `false` if there is nobody, after as much work.
pub async fn proves(password: SecretString, stored: Option<String>) -> bool {
    let Ok(_turn) = TURNS.acquire().await else { return false };
    let work = move || {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| NOBODY.clone());
        fits(&password, &stored) && known
    };
    tokio::task::spawn_blocking(work).await.unwrap_or(false)
}

/// Prepares what an unknown person is compared with, so that the first one does not take longer.
pub fn prepare() {
    LazyLock::force(&NOBODY);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_salted_argon2id_and_fits_its_password_only() {
        let password = SecretString::from("correct horse battery staple");
        let (one, other) = (hashed(&password).unwrap(), hashed(&password).unwrap());
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert_ne!(one, other);
        assert!(fits(&password, &one) && fits(&password, &other));
        assert!(!fits(&SecretString::from("correct horse battery stapl"), &one));
        assert!(!fits(&password, "no PHC string"));
    }

    #[tokio::test]
    async fn nobody_is_compared_with_the_same_parameters_and_is_never_let_in() {
        let parameters = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        let someone = hashed(&SecretString::from("someone's password")).unwrap();
        assert_eq!(parameters(&NOBODY), parameters(&someone));
        assert!(!proves(SecretString::from("nobody has this password"), None).await);
        assert!(proves(SecretString::from("someone's password"), Some(someone)).await);
    }
}
