//! Queue definitions, the resource that folder roles protect.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::local_cloud::store::StoreError;

/// A queue definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueDefinition {
    pub id: i64,
    /// Its GUID.
    pub key: String,
    pub name: String,
    pub description: Option<String>,
    pub max_retries: i64,
    /// Milliseconds since the Unix epoch.
    pub created: i64,
}

const SELECT: &str = "SELECT id, key, name, description, max_retries, created FROM queue_definitions";

/// All queue definitions of a folder in order of creation.
pub fn all(connection: &Connection, folder: i64) -> Result<Vec<QueueDefinition>, StoreError> {
    let mut select = connection.prepare_cached(&format!("{SELECT} WHERE folder = ?1 ORDER BY id"))?;
    Ok(select.query_map([folder], read)?.collect::<Result<_, _>>()?)
}

/// The queue definition with this number, if it is in this folder.
pub fn find(connection: &Connection, folder: i64, id: i64) -> Result<Option<QueueDefinition>, StoreError> {
    let mut select = connection.prepare_cached(&format!("{SELECT} WHERE folder = ?1 AND id = ?2"))?;
    Ok(select.query_row([folder, id], read).optional()?)
}

/// Whether the name is in use in this folder, whatever the case of its letters.
pub fn is_taken(connection: &Connection, folder: i64, name: &str) -> Result<bool, StoreError> {
    let mut select =
        connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM queue_definitions WHERE folder = ?1 AND name = ?2)")?;
    Ok(select.query_row(params![folder, name], |row| row.get(0))?)
}

/// Adds a queue definition; its number is given by the store.
pub fn insert(connection: &Connection, folder: i64, new: &QueueDefinition) -> Result<i64, StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO queue_definitions (folder, key, name, description, max_retries, created)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![folder, new.key, new.name, new.description, new.max_retries, new.created])?;
    Ok(connection.last_insert_rowid())
}

/// Removes a queue definition.
pub fn delete(connection: &Connection, id: i64) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM queue_definitions WHERE id = ?1")?.execute([id])?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<QueueDefinition> {
    Ok(QueueDefinition {
        id: row.get(0)?,
        key: row.get(1)?,
        name: row.get(2)?,
        description: row.get(3)?,
        max_retries: row.get(4)?,
        created: row.get(5)?,
    })
}
