//! Users of a tenant: principals of the directory that were imported, and the tenant roles they have.
//!
//! A user stays when its application is deleted at Identity; somebody has to remove it here too.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::directory::PrincipalType;
use crate::local_cloud::store::StoreError;

/// A user of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: i64,
    /// The identifier in the directory.
    pub directory_id: String,
    pub kind: PrincipalType,
    /// The name that the principal had when it was imported.
    pub name: String,
    /// Milliseconds since the Unix epoch.
    pub created: i64,
}

const SELECT: &str = "SELECT id, directory_id, type, name, created FROM tenant_users";

/// All users of a tenant in order of creation.
pub fn all(connection: &Connection, tenant: i64) -> Result<Vec<User>, StoreError> {
    let mut select = connection.prepare_cached(&format!("{SELECT} WHERE tenant = ?1 ORDER BY id"))?;
    Ok(select.query_map([tenant], read)?.collect::<Result<_, _>>()?)
}

/// The user with this number.
pub fn find(connection: &Connection, tenant: i64, id: i64) -> Result<Option<User>, StoreError> {
    let mut select = connection.prepare_cached(&format!("{SELECT} WHERE tenant = ?1 AND id = ?2"))?;
    Ok(select.query_row([tenant, id], read).optional()?)
}

/// The user that stands for this principal.
pub fn of_principal(connection: &Connection, tenant: i64, directory_id: &str) -> Result<Option<User>, StoreError> {
    let mut select = connection.prepare_cached(&format!("{SELECT} WHERE tenant = ?1 AND directory_id = ?2"))?;
    Ok(select.query_row(params![tenant, directory_id], read).optional()?)
}

/// Adds a user, whose principal must not have one yet.
pub fn insert(
    connection: &Connection,
    tenant: i64,
    (directory_id, kind, name): (&str, PrincipalType, &str),
    created: i64,
) -> Result<i64, StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO tenant_users (tenant, directory_id, type, name, created) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![tenant, directory_id, kind, name, created])?;
    Ok(connection.last_insert_rowid())
}

/// Removes a user with all its assignments.
pub fn delete(connection: &Connection, id: i64) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM tenant_users WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// Replaces the tenant roles of a user.
pub fn set_roles(connection: &Connection, user: i64, roles: &[i64]) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM tenant_user_roles WHERE user = ?1")?.execute([user])?;
    let mut insert =
        connection.prepare_cached("INSERT OR IGNORE INTO tenant_user_roles (user, role) VALUES (?1, ?2)")?;
    for role in roles {
        insert.execute([user, *role])?;
    }
    Ok(())
}

/// The numbers of the tenant roles of every user of a tenant.
pub fn roles(connection: &Connection, tenant: i64) -> Result<HashMap<i64, Vec<i64>>, StoreError> {
    pairs(
        connection,
        "SELECT r.user, r.role FROM tenant_users u JOIN tenant_user_roles r ON r.user = u.id
         WHERE u.tenant = ?1 ORDER BY r.user, r.role",
        tenant,
    )
}

/// The numbers of the folders that every user of a tenant is assigned to.
pub fn folders(connection: &Connection, tenant: i64) -> Result<HashMap<i64, Vec<i64>>, StoreError> {
    pairs(
        connection,
        "SELECT f.user, f.folder FROM tenant_users u JOIN folder_users f ON f.user = u.id
         WHERE u.tenant = ?1 ORDER BY f.user, f.folder",
        tenant,
    )
}

/// Whether a tenant role of `user` has this permission.
pub fn permits(connection: &Connection, user: i64, permission: &str) -> Result<bool, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT EXISTS (
             SELECT 1 FROM tenant_user_roles r
             JOIN role_permissions p ON p.role = r.role AND p.permission = ?2
             WHERE r.user = ?1)",
    )?;
    Ok(select.query_row(params![user, permission], |row| row.get(0))?)
}

/// Whether a role that `user` has in any folder has this permission.
pub fn permits_in_some_folder(connection: &Connection, user: i64, permission: &str) -> Result<bool, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT EXISTS (
             SELECT 1 FROM folder_users u
             JOIN folder_user_roles r ON r.folder = u.folder AND r.user = u.user
             JOIN role_permissions p ON p.role = r.role AND p.permission = ?2
             WHERE u.user = ?1)",
    )?;
    Ok(select.query_row(params![user, permission], |row| row.get(0))?)
}

fn pairs(connection: &Connection, sql: &str, tenant: i64) -> Result<HashMap<i64, Vec<i64>>, StoreError> {
    let mut select = connection.prepare_cached(sql)?;
    let mut found: HashMap<i64, Vec<i64>> = HashMap::new();
    for row in select.query_map([tenant], |row| Ok((row.get(0)?, row.get(1)?)))? {
        let (user, other) = row?;
        found.entry(user).or_default().push(other);
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User { id: row.get(0)?, directory_id: row.get(1)?, kind: row.get(2)?, name: row.get(3)?, created: row.get(4)? })
}
