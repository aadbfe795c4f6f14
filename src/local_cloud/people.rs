//! The people of the organization, as they come from a file.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

use super::clock::{self, Clock};
use super::passwords::{self, HashError};
use super::store::people::{self, Person};
use super::store::{Store, StoreError, grants};

/// The shortest password in bytes, the least that NIST SP 800-63B allows.
const SHORTEST_PASSWORD: usize = 8;
/// The longest value of any kind in bytes. It is far more than anybody needs.
const LONGEST: usize = 256;
/// The longest file that is read.
const LONGEST_FILE: u64 = 1024 * 1024;

/// A person who shall be able to sign in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPerson {
    /// The address that signs in. Two that differ in case only are the same.
    pub email: String,
    /// The name for other people.
    pub name: String,
    /// The password, which is stored as an argon2id hash only.
    #[serde(deserialize_with = "secret")]
    pub password: SecretString,
    /// Whether this person administers the organization.
    #[serde(default)]
    pub administrator: bool,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::from)
}

/// Why people cannot be taken in. No message shows anything of a file but the place in it.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    /// The file cannot be read.
    #[error("the people in {path} cannot be read", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Everybody on this machine may read the passwords.
    #[error("{path} holds passwords, and everybody may read it: chmod o= {path}", path = .path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The file is no list of people.
    #[error(
        "{path} is no YAML list of people with email, name, password and administrator: see line {line}",
        path = .path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where the trouble is, counted from 1.
        line: u64,
    },
    /// Something about a person is not usable.
    #[error("{email:?} cannot sign in: {why}")]
    Person {
        /// Who.
        email: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A password could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
}

impl NewPerson {
    /// Reads a YAML list of people. A file that everybody may read is refused.
    pub fn read(path: &Path) -> Result<Vec<Self>, PeopleError> {
        let unreadable = |source| PeopleError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.permissions().mode();
        if mode & 0o007 != 0 {
            return Err(PeopleError::Exposed { path: path.to_owned() });
        }
        let mut text = String::new();
        file.take(LONGEST_FILE).read_to_string(&mut text).map_err(unreadable)?;
        let text = SecretString::from(text);
        serde_saphyr::from_str(text.expose_secret()).map_err(|error| {
            // The library's own message may quote the file.
            let line = error.location().map_or(1, |place| place.line());
            PeopleError::Malformed { path: path.to_owned(), line }
        })
    }

    fn judge(&self) -> Result<(), PeopleError> {
        let refused = |why| Err(PeopleError::Person { email: self.email.clone(), why });
        let plain = |text: &str| !text.chars().any(char::is_control) && text.len() <= LONGEST;
        let has_parts = self.email.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
        if !has_parts || !plain(&self.email) || self.email.contains(char::is_whitespace) {
            return refused("this is no e-mail address");
        }
        if self.name.trim().is_empty() || !plain(&self.name) {
            return refused("the name is empty, too long or holds control characters");
        }
        let password = self.password.expose_secret();
        if password.len() < SHORTEST_PASSWORD || !plain(password) {
            return refused("the password must have 8 to 256 bytes, none of them a control character");
        }
        Ok(())
    }
}

/// Adds or updates people. Whoever is stored and not among `wanted` stays. A new password ends what was begun with the
/// old one.
pub async fn settle(store: &Store, clock: &Clock, wanted: Vec<NewPerson>) -> Result<(), super::Error> {
    let mut seen = std::collections::BTreeSet::new();
    for person in wanted {
        person.judge()?;
        if !seen.insert(person.email.to_ascii_lowercase()) {
            return Err(PeopleError::Person { email: person.email, why: "the address occurs twice" }.into());
        }
        settle_one(store, clock.now_milliseconds(), person).await?;
    }
    tokio::task::spawn_blocking(passwords::prepare).await.map_err(super::Error::task)
}

async fn settle_one(store: &Store, now: i64, wanted: NewPerson) -> Result<(), super::Error> {
    let email = wanted.email.clone();
    let known = store.read(move |store| people::by_email(store, &email)).await?;
    let (id, stored) = known.map_or((None, None), |(person, stored)| (Some(person.id), Some(stored)));
    let password = wanted.password;
    let hash = move || match stored {
        Some(stored) if passwords::fits(&password, &stored) => Ok(None),
        _ => passwords::hashed(&password).map(Some),
    };
    let hash = tokio::task::spawn_blocking(hash).await.map_err(super::Error::task)?.map_err(PeopleError::from)?;
    let fresh = clock::random_uuid()?.to_string();
    let written = move |store: &rusqlite::Transaction<'_>| -> Result<(), StoreError> {
        let known = id.is_some();
        let (email, name, administrator) = (wanted.email, wanted.name, wanted.administrator);
        let person = Person { id: id.unwrap_or(fresh), email, name, administrator };
        match hash {
            Some(hash) if !known => people::insert(store, &person, &hash),
            hash => {
                if hash.is_some() {
                    grants::revoke_all_of(store, &person.id, now)?;
                }
                people::update(store, &person, hash.as_deref())
            }
        }
    };
    Ok(store.write(written).await?)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::io::Write;

    use super::*;

    fn file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.as_file().set_permissions(Permissions::from_mode(mode)).unwrap();
        file
    }

    const ADA: &str = "- email: ada@acme.example\n  name: Ada\n  password: difference engine\n";

    #[test]
    fn people_are_read_from_yaml_and_administer_nothing_unless_it_is_said() {
        let people = NewPerson::read(file(ADA, 0o600).path()).unwrap();
        assert_eq!((people.len(), people[0].email.as_str(), people[0].administrator), (1, "ada@acme.example", false));
        assert_eq!(people[0].password.expose_secret(), "difference engine");
        assert!(!format!("{people:?}").contains("engine"));
    }

    #[test]
    fn a_file_that_everybody_may_read_is_refused() {
        for mode in [0o644, 0o604, 0o602] {
            assert!(matches!(NewPerson::read(file(ADA, mode).path()), Err(PeopleError::Exposed { .. })), "{mode:o}");
        }
        assert!(NewPerson::read(file(ADA, 0o640).path()).is_ok());
    }

    #[test]
    fn a_malformed_file_is_named_by_its_line_without_a_word_of_it() {
        for text in ["- email: a@b\n  name: x\n  password: [hunter22]\n", "- email: a@b\n  secret: hunter22\n"] {
            let error = NewPerson::read(file(text, 0o600).path()).unwrap_err();
            assert!(matches!(error, PeopleError::Malformed { .. }), "{error:?}");
            assert!(!format!("{error} {error:?}").contains("hunter22"), "{error:?}");
        }
    }

    #[test]
    fn an_address_a_name_and_a_password_of_some_length_are_needed() {
        let judge = |email: &str, name: &str, password: &str| {
            let (email, name, password) = (email.to_owned(), name.to_owned(), SecretString::from(password));
            NewPerson { email, name, password, administrator: false }.judge().is_ok()
        };
        assert!(judge("ada@acme.example", "Ada", "12345678"));
        assert!(!judge("ada", "Ada", "12345678"));
        assert!(!judge("ada@", "Ada", "12345678"));
        assert!(!judge("a da@acme.example", "Ada", "12345678"));
        assert!(!judge("ada@acme.example", " ", "12345678"));
        assert!(!judge("ada@acme.example", "Ada", "1234567"));
        assert!(!judge("ada@acme.example", "Ada", "1234567\n"));
        assert!(!judge("ada@acme.example", "Ada", &"x".repeat(257)));
    }
}
