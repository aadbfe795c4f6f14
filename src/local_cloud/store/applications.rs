//! External applications, their scopes and what is kept of their secrets.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;
use crate::local_cloud::catalogue::ScopeType;
use crate::local_cloud::secrets::SecretHash;

/// What a registration says and what an update replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Not unique.
    pub name: String,
    /// One string; several URIs are separated by commas.
    pub redirect_uri: Option<String>,
    /// Without repetition; one name may occur once for each type.
    pub scopes: Vec<(String, ScopeType)>,
}

/// A stored application.
#[derive(Clone, Debug)]
pub struct Application {
    /// The client id, a GUID.
    pub id: String,
    /// Whether it has secrets.
    pub confidential: bool,
    /// Name, redirect URIs and scopes; a listing leaves the scopes empty.
    pub registration: Registration,
    /// In order of creation; a listing leaves them empty.
    pub secrets: Vec<StoredSecret>,
}

/// What can be told about a secret after its creation.
#[derive(Clone, Debug)]
pub struct StoredSecret {
    /// Unique in the file, never used again.
    pub id: i64,
    /// What its creator wrote.
    pub description: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub created: i64,
    /// Milliseconds since the Unix epoch; `None` never expires.
    pub expires: Option<i64>,
}

/// A secret to be stored.
#[derive(Clone, Debug)]
pub struct NewSecret {
    /// What its creator wrote.
    pub description: Option<String>,
    /// All that is kept of the value.
    pub hash: SecretHash,
    /// Milliseconds since the Unix epoch.
    pub created: i64,
    /// Milliseconds since the Unix epoch; `None` never expires.
    pub expires: Option<i64>,
}

/// An application to be stored.
#[derive(Clone, Debug)]
pub struct NewApplication {
    /// The client id, a GUID.
    pub id: String,
    /// The identifier by which the directory knows it, another GUID.
    pub directory_id: String,
    /// Whether it may have secrets.
    pub confidential: bool,
    /// The client that `--credentials-out` gives out.
    pub administrator: bool,
    /// Name, redirect URIs and scopes.
    pub registration: Registration,
    /// Its first secret.
    pub secret: Option<NewSecret>,
}

/// What the token endpoint needs to know of a client.
#[derive(Clone, Debug)]
pub struct Client {
    /// The client id.
    pub id: String,
    /// Whether it authenticates with a secret.
    pub confidential: bool,
    /// The scopes it registered.
    pub scopes: Vec<(String, ScopeType)>,
    /// Hashes of the secrets that have not expired.
    pub secrets: Vec<SecretHash>,
}

/// Adds an application; a name that exists already is no hindrance.
pub fn insert(connection: &Connection, new: &NewApplication) -> Result<Application, StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO applications (id, name, confidential, redirect_uri, administrator, directory_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            new.id,
            new.registration.name,
            new.confidential,
            new.registration.redirect_uri,
            new.administrator,
            new.directory_id
        ])?;
    let sequence = connection.last_insert_rowid();
    insert_scopes(connection, sequence, &new.registration.scopes)?;
    if let Some(secret) = &new.secret {
        insert_secret(connection, sequence, secret)?;
    }
    find(connection, &new.id)?.ok_or(StoreError::Damaged { what: "application" })
}

/// Replaces name, redirect URIs and scopes; `None` if there is no such application.
pub fn replace(
    connection: &Connection,
    id: &str,
    registration: &Registration,
) -> Result<Option<Application>, StoreError> {
    let Some(sequence) = sequence(connection, id)? else { return Ok(None) };
    connection
        .prepare_cached("UPDATE applications SET name = ?2, redirect_uri = ?3 WHERE sequence = ?1")?
        .execute(params![sequence, registration.name, registration.redirect_uri])?;
    connection.prepare_cached("DELETE FROM application_scopes WHERE application = ?1")?.execute([sequence])?;
    insert_scopes(connection, sequence, &registration.scopes)?;
    find(connection, id)
}

/// Removes an application with all that belongs to it; `false` if there was none.
pub fn delete(connection: &Connection, id: &str) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("DELETE FROM applications WHERE id = ?1")?.execute([id])? > 0)
}

/// Adds a secret to an application; `None` if there is no such application.
pub fn add_secret(connection: &Connection, id: &str, secret: &NewSecret) -> Result<Option<StoredSecret>, StoreError> {
    let Some(sequence) = sequence(connection, id)? else { return Ok(None) };
    insert_secret(connection, sequence, secret).map(Some)
}

/// Removes a secret, whichever application it belongs to; `false` if there was none.
pub fn delete_secret(connection: &Connection, id: i64) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("DELETE FROM secrets WHERE id = ?1")?.execute([id])? > 0)
}

/// All applications in order of creation, without scopes and secrets.
pub fn list(connection: &Connection) -> Result<Vec<Application>, StoreError> {
    let mut select = connection
        .prepare_cached("SELECT sequence, id, name, confidential, redirect_uri FROM applications ORDER BY sequence")?;
    let rows = select.query_map([], |row| Ok(application(row)?.1))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One application with its scopes and secrets.
pub fn find(connection: &Connection, id: &str) -> Result<Option<Application>, StoreError> {
    let found = connection
        .prepare_cached("SELECT sequence, id, name, confidential, redirect_uri FROM applications WHERE id = ?1")?
        .query_row([id], application)
        .optional()?;
    let Some((sequence, mut application)) = found else { return Ok(None) };
    application.registration.scopes = scopes(connection, sequence)?;
    application.secrets = connection
        .prepare_cached("SELECT id, description, created, expires FROM secrets WHERE application = ?1 ORDER BY id")?
        .query_map([sequence], |row| {
            Ok(StoredSecret { id: row.get(0)?, description: row.get(1)?, created: row.get(2)?, expires: row.get(3)? })
        })?
        .collect::<Result<_, _>>()?;
    Ok(Some(application))
}

/// A client with the secrets that are valid at `now` (milliseconds since the Unix epoch).
pub fn client(connection: &Connection, id: &str, now: i64) -> Result<Option<Client>, StoreError> {
    let found = connection
        .prepare_cached("SELECT sequence, id, name, confidential, redirect_uri FROM applications WHERE id = ?1")?
        .query_row([id], application)
        .optional()?;
    let Some((sequence, application)) = found else { return Ok(None) };
    let mut select = connection
        .prepare_cached("SELECT sha256 FROM secrets WHERE application = ?1 AND (expires IS NULL OR expires > ?2)")?;
    let mut secrets = Vec::new();
    for bytes in select.query_map([sequence, now], |row| row.get::<_, Vec<u8>>(0))? {
        secrets.push(SecretHash::from_stored(&bytes?).ok_or(StoreError::Damaged { what: "secret" })?);
    }
    let scopes = scopes(connection, sequence)?;
    Ok(Some(Client { id: application.id, confidential: application.confidential, scopes, secrets }))
}

/// The client id of the administrator; `None` in a new file or when the administrator has been deleted.
pub fn administrator(connection: &Connection) -> Result<Option<String>, StoreError> {
    let select = "SELECT id FROM applications WHERE administrator = 1 ORDER BY sequence LIMIT 1";
    Ok(connection.query_row(select, [], |row| row.get(0)).optional()?)
}

fn application(row: &Row<'_>) -> rusqlite::Result<(i64, Application)> {
    let registration = Registration { name: row.get(2)?, redirect_uri: row.get(4)?, scopes: Vec::new() };
    Ok((row.get(0)?, Application { id: row.get(1)?, confidential: row.get(3)?, registration, secrets: Vec::new() }))
}

fn sequence(connection: &Connection, id: &str) -> Result<Option<i64>, StoreError> {
    let mut select = connection.prepare_cached("SELECT sequence FROM applications WHERE id = ?1")?;
    Ok(select.query_row([id], |row| row.get(0)).optional()?)
}

fn scopes(connection: &Connection, sequence: i64) -> Result<Vec<(String, ScopeType)>, StoreError> {
    let mut select = connection
        .prepare_cached("SELECT name, type FROM application_scopes WHERE application = ?1 ORDER BY name, type")?;
    let mut scopes = Vec::new();
    for row in select.query_map([sequence], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))? {
        let (name, number) = row?;
        scopes.push((name, ScopeType::from_number(number).ok_or(StoreError::Damaged { what: "scope" })?));
    }
    Ok(scopes)
}

fn insert_scopes(connection: &Connection, sequence: i64, scopes: &[(String, ScopeType)]) -> Result<(), StoreError> {
    let mut insert =
        connection.prepare_cached("INSERT INTO application_scopes (application, name, type) VALUES (?1, ?2, ?3)")?;
    for (name, kind) in scopes {
        insert.execute(params![sequence, name, kind.number()])?;
    }
    Ok(())
}

fn insert_secret(connection: &Connection, sequence: i64, secret: &NewSecret) -> Result<StoredSecret, StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO secrets (application, description, sha256, created, expires) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![sequence, secret.description, secret.hash.as_bytes(), secret.created, secret.expires])?;
    Ok(StoredSecret {
        id: connection.last_insert_rowid(),
        description: secret.description.clone(),
        created: secret.created,
        expires: secret.expires,
    })
}
