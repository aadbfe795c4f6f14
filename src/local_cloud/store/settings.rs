//! The organization and the signing keys: made once, read at every start.

use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;

/// The name and the identifier of the organization in this file; `None` in a new file.
pub fn organization(connection: &Connection) -> Result<Option<(String, String)>, StoreError> {
    let setting = |key: &str| {
        connection
            .query_row("SELECT value FROM settings WHERE key = ?1", [key], |row| row.get::<_, String>(0))
            .optional()
    };
    Ok(setting("organization-name")?.zip(setting("organization-id")?))
}

/// Stores the organization of a new file.
pub fn set_organization(connection: &Connection, name: &str, id: &str) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached("INSERT INTO settings (key, value) VALUES (?1, ?2)")?;
    insert.execute(["organization-name", name])?;
    insert.execute(["organization-id", id])?;
    Ok(())
}

/// Every signing key: the algorithm's name and the private key in PEM.
pub fn signing_keys(connection: &Connection) -> Result<Vec<(String, String)>, StoreError> {
    let mut select = connection.prepare("SELECT algorithm, private_pem FROM signing_keys ORDER BY algorithm")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Stores the key for an algorithm that has none yet.
pub fn add_signing_key(connection: &Connection, algorithm: &str, pem: &str) -> Result<(), StoreError> {
    connection.execute("INSERT INTO signing_keys (algorithm, private_pem) VALUES (?1, ?2)", params![algorithm, pem])?;
    Ok(())
}
