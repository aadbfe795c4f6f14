//! Folders: a tree in each tenant.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::local_cloud::store::StoreError;

/// A folder with its place in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    pub id: i64,
    /// Its GUID.
    pub key: String,
    /// `None` for a folder of the first level.
    pub parent: Option<Parent>,
    pub name: String,
    /// The names from the first level on, separated by slashes.
    pub path: String,
    pub description: Option<String>,
    /// Whether tenant roles count in it too (`InheritFromTenant`, as opposed to `FineGrained`).
    pub inherits: bool,
}

/// The folder above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    pub id: i64,
    /// Its GUID.
    pub key: String,
}

/// A folder to be made.
#[derive(Clone, Debug)]
pub struct NewFolder {
    pub key: String,
    pub parent: Option<i64>,
    pub name: String,
    pub path: String,
    pub description: Option<String>,
    pub inherits: bool,
}

const SELECT: &str = "SELECT f.id, f.key, p.id, p.key, f.name, f.path, f.description, f.inherits
    FROM folders f LEFT JOIN folders p ON p.id = f.parent";

/// The folder itself and all above it.
const UPWARDS: &str = "WITH RECURSIVE up (id, parent, distance) AS (
    SELECT id, parent, 0 FROM folders WHERE id = ?1
    UNION ALL SELECT f.id, f.parent, up.distance + 1 FROM folders f JOIN up ON f.id = up.parent)";

/// All folders of a tenant in order of creation.
pub fn all(connection: &Connection, tenant: i64) -> Result<Vec<Folder>, StoreError> {
    let mut select = connection.prepare_cached(&format!("{SELECT} WHERE f.tenant = ?1 ORDER BY f.id"))?;
    Ok(select.query_map([tenant], read)?.collect::<Result<_, _>>()?)
}

/// The folder with this number.
pub fn find(connection: &Connection, tenant: i64, id: i64) -> Result<Option<Folder>, StoreError> {
    let mut select = connection.prepare_cached(&format!("{SELECT} WHERE f.tenant = ?1 AND f.id = ?2"))?;
    Ok(select.query_row([tenant, id], read).optional()?)
}

/// The folder with this GUID.
pub fn by_key(connection: &Connection, tenant: i64, key: &str) -> Result<Option<Folder>, StoreError> {
    let mut select = connection.prepare_cached(&format!("{SELECT} WHERE f.tenant = ?1 AND f.key = ?2"))?;
    Ok(select.query_row(params![tenant, key], read).optional()?)
}

/// The folder at this path, whatever the case of its letters: no two paths differ in that alone.
pub fn by_path(connection: &Connection, tenant: i64, path: &str) -> Result<Option<Folder>, StoreError> {
    let mut select = connection.prepare_cached(&format!("{SELECT} WHERE f.tenant = ?1 AND f.folded_path = ?2"))?;
    Ok(select.query_row(params![tenant, path.to_lowercase()], read).optional()?)
}

/// Adds a folder, whose path must be free.
pub fn insert(connection: &Connection, tenant: i64, new: &NewFolder) -> Result<i64, StoreError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO folders (tenant, key, parent, name, path, folded_path, description, inherits)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let folded = new.path.to_lowercase();
    insert.execute(params![tenant, new.key, new.parent, new.name, new.path, folded, new.description, new.inherits])?;
    Ok(connection.last_insert_rowid())
}

/// Replaces what can be changed of `folder`; a new name changes the paths of everything below.
pub fn replace(connection: &Connection, folder: &Folder, new: &NewFolder) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE folders SET name = ?2, description = ?3, inherits = ?4 WHERE id = ?1")?
        .execute(params![folder.id, new.name, new.description, new.inherits])?;
    let mut select = connection.prepare_cached(
        "WITH RECURSIVE below (id, path) AS (
             SELECT id, path FROM folders WHERE id = ?1
             UNION ALL SELECT f.id, f.path FROM folders f JOIN below ON f.parent = below.id)
         SELECT id, path FROM below",
    )?;
    let below: Vec<(i64, String)> =
        select.query_map([folder.id], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let mut update = connection.prepare_cached("UPDATE folders SET path = ?2, folded_path = ?3 WHERE id = ?1")?;
    for (id, old) in below {
        let rest = old.strip_prefix(&folder.path).ok_or(StoreError::Damaged { what: "folder" })?;
        let path = format!("{}{rest}", new.path);
        update.execute(params![id, path, path.to_lowercase()])?;
    }
    Ok(())
}

/// Removes a folder that has no subfolders, with its assignments and its queues.
pub fn delete(connection: &Connection, id: i64) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM folders WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// Whether there is a folder below this one.
pub fn has_subfolders(connection: &Connection, id: i64) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM folders WHERE parent = ?1)")?.query_row([id], get)?)
}

/// The folder and those above it, from the folder upwards.
pub fn upwards(connection: &Connection, id: i64) -> Result<Vec<i64>, StoreError> {
    let mut select = connection.prepare_cached(&format!("{UPWARDS} SELECT id FROM up ORDER BY distance"))?;
    Ok(select.query_map([id], get)?.collect::<Result<_, _>>()?)
}

/// The folders that `user` is assigned to, and all below them.
pub fn reached_by(connection: &Connection, user: i64) -> Result<HashSet<i64>, StoreError> {
    let mut select = connection.prepare_cached(
        "WITH RECURSIVE below (id) AS (
             SELECT folder FROM folder_users WHERE user = ?1
             UNION SELECT f.id FROM folders f JOIN below ON f.parent = below.id)
         SELECT id FROM below",
    )?;
    Ok(select.query_map([user], get)?.collect::<Result<_, _>>()?)
}

/// Whether `user` is assigned to the folder or to one above it.
pub fn is_reached_by(connection: &Connection, folder: i64, user: i64) -> Result<bool, StoreError> {
    let mut select = connection.prepare_cached(&format!(
        "{UPWARDS} SELECT EXISTS (SELECT 1 FROM up JOIN folder_users u ON u.folder = up.id AND u.user = ?2)"
    ))?;
    Ok(select.query_row([folder, user], get)?)
}

/// Whether a role that `user` has in the folder, or in one above it, has this permission.
pub fn permits(connection: &Connection, folder: i64, user: i64, permission: &str) -> Result<bool, StoreError> {
    let mut select = connection.prepare_cached(&format!(
        "{UPWARDS} SELECT EXISTS (
             SELECT 1 FROM up
             JOIN folder_user_roles r ON r.folder = up.id AND r.user = ?2
             JOIN role_permissions p ON p.role = r.role AND p.permission = ?3)"
    ))?;
    Ok(select.query_row(params![folder, user, permission], get)?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Folder> {
    let parent = row.get::<_, Option<i64>>(2)?.zip(row.get(3)?);
    Ok(Folder {
        id: row.get(0)?,
        key: row.get(1)?,
        parent: parent.map(|(id, key)| Parent { id, key }),
        name: row.get(4)?,
        path: row.get(5)?,
        description: row.get(6)?,
        inherits: row.get(7)?,
    })
}

fn get<T: rusqlite::types::FromSql>(row: &Row<'_>) -> rusqlite::Result<T> {
    row.get(0)
}
