//! Federated credentials: whose tokens an application may authenticate with.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;

/// How many an application may have.
pub const MOST_OF_APPLICATION: usize = 20;

pub const SCHEMA: &str = "
CREATE TABLE federated_credentials (
    sequence    INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    application INTEGER NOT NULL REFERENCES applications ON DELETE CASCADE,
    name        TEXT NOT NULL,
    description TEXT,
    issuer      TEXT NOT NULL,
    audience    TEXT NOT NULL,
    subject     TEXT NOT NULL,
    UNIQUE (application, name)
) STRICT;
";

/// What a credential says and what an update replaces. Issuer, audience and subject are compared byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Unique in its application.
    pub name: String,
    pub description: Option<String>,
    /// The `iss` of the tokens.
    pub issuer: String,
    /// The one `aud` of the tokens.
    pub audience: String,
    /// The `sub` of the tokens.
    pub subject: String,
}

/// A stored credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// A GUID.
    pub id: String,
    pub trust: Trust,
}

/// Why a credential is not stored.
#[derive(Debug)]
pub enum Refused {
    /// There is no such application.
    NoApplication,
    /// There is no such credential of this application.
    NoCredential,
    /// The application has another credential of this name.
    NameTaken,
    /// The application has as many as it may have.
    TooMany,
    Failed(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// All credentials of an application in order of creation.
pub fn list(connection: &Connection, application: &str) -> Result<Vec<Credential>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT credential.id, credential.name, description, issuer, audience, subject
         FROM federated_credentials AS credential
         JOIN applications ON applications.sequence = credential.application
         WHERE applications.id = ?1 ORDER BY credential.sequence",
    )?;
    Ok(select.query_map([application], credential)?.collect::<Result<_, _>>()?)
}

/// Adds a credential to an application.
pub fn insert(connection: &Connection, application: &str, new: &Credential) -> Result<(), Refused> {
    let sequence = sequence(connection, application)?;
    let others = list(connection, application)?;
    if others.len() >= MOST_OF_APPLICATION {
        return Err(Refused::TooMany);
    }
    require_free(&others, new)?;
    let Trust { name, description, issuer, audience, subject } = &new.trust;
    connection
        .prepare_cached(
            "INSERT INTO federated_credentials (application, id, name, description, issuer, audience, subject)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![sequence, new.id, name, description, issuer, audience, subject])?;
    Ok(())
}

/// Replaces everything but the identifier.
pub fn replace(connection: &Connection, application: &str, new: &Credential) -> Result<(), Refused> {
    sequence(connection, application)?;
    let all = list(connection, application)?;
    if all.iter().all(|held| held.id != new.id) {
        return Err(Refused::NoCredential);
    }
    require_free(&all, new)?;
    let Trust { name, description, issuer, audience, subject } = &new.trust;
    connection
        .prepare_cached(
            "UPDATE federated_credentials
             SET name = ?2, description = ?3, issuer = ?4, audience = ?5, subject = ?6 WHERE id = ?1",
        )?
        .execute(params![new.id, name, description, issuer, audience, subject])?;
    Ok(())
}

/// Removes a credential of an application.
pub fn delete(connection: &Connection, application: &str, id: &str) -> Result<(), Refused> {
    let sequence = sequence(connection, application)?;
    let deleted = connection
        .prepare_cached("DELETE FROM federated_credentials WHERE application = ?1 AND id = ?2")?
        .execute(params![sequence, id])?;
    if deleted > 0 { Ok(()) } else { Err(Refused::NoCredential) }
}

fn require_free(held: &[Credential], new: &Credential) -> Result<(), Refused> {
    let taken = held.iter().any(|other| other.id != new.id && other.trust.name == new.trust.name);
    if taken { Err(Refused::NameTaken) } else { Ok(()) }
}

fn sequence(connection: &Connection, application: &str) -> Result<i64, Refused> {
    let mut select = connection.prepare_cached("SELECT sequence FROM applications WHERE id = ?1")?;
    select.query_row([application], |row| row.get(0)).optional()?.ok_or(Refused::NoApplication)
}

fn credential(row: &Row<'_>) -> rusqlite::Result<Credential> {
    let trust = Trust {
        name: row.get(1)?,
        description: row.get(2)?,
        issuer: row.get(3)?,
        audience: row.get(4)?,
        subject: row.get(5)?,
    };
    Ok(Credential { id: row.get(0)?, trust })
}

#[cfg(test)]
mod tests {
    use super::super::applications;
    use super::super::fixtures::with_application;
    use super::*;

    fn named(id: &str, name: &str) -> Credential {
        let trust = Trust {
            name: name.to_owned(),
            description: None,
            issuer: "https://issuer.example".to_owned(),
            audience: "audience".to_owned(),
            subject: "subject".to_owned(),
        };
        Credential { id: id.to_owned(), trust }
    }

    #[test]
    fn an_application_has_at_most_twenty() {
        let store = with_application();
        for index in 0..MOST_OF_APPLICATION {
            insert(&store, "app", &named(&format!("id-{index}"), &format!("name-{index}"))).unwrap();
        }
        assert!(matches!(insert(&store, "app", &named("one-more", "one-more")), Err(Refused::TooMany)));
        delete(&store, "app", "id-7").unwrap();
        insert(&store, "app", &named("one-more", "one-more")).unwrap();
    }

    #[test]
    fn a_name_is_one_credentials_alone_and_may_be_kept_by_an_update() {
        let store = with_application();
        insert(&store, "app", &named("a", "one")).unwrap();
        insert(&store, "app", &named("b", "two")).unwrap();
        assert!(matches!(insert(&store, "app", &named("c", "one")), Err(Refused::NameTaken)));
        assert!(matches!(replace(&store, "app", &named("b", "one")), Err(Refused::NameTaken)));
        let mut changed = named("b", "two");
        changed.trust.subject = "another".to_owned();
        replace(&store, "app", &changed).unwrap();
        assert_eq!(list(&store, "app").unwrap(), [named("a", "one"), changed]);
    }

    #[test]
    fn credentials_go_with_their_application_and_are_nobody_elses() {
        let store = with_application();
        insert(&store, "app", &named("a", "one")).unwrap();
        assert!(matches!(delete(&store, "app", "b"), Err(Refused::NoCredential)));
        assert!(matches!(delete(&store, "other", "a"), Err(Refused::NoApplication)));
        assert!(matches!(replace(&store, "other", &named("a", "one")), Err(Refused::NoApplication)));
        assert!(applications::delete(&store, "app").unwrap());
        let left: i64 = store.query_row("SELECT count(*) FROM federated_credentials", [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0);
    }
}
