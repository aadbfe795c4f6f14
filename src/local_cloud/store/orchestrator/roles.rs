//! Roles of a tenant and their permissions.

use std::collections::HashMap;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use strum::{EnumString, IntoStaticStr};

use crate::local_cloud::store::StoreError;

/// Where a role can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr)]
pub enum RoleType {
    /// In a tenant and in a folder.
    Mixed,
    /// In a tenant only.
    Tenant,
    /// In a folder only.
    Folder,
}

impl ToSql for RoleType {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(<&str>::from(self).into())
    }
}

impl FromSql for RoleType {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map_err(|_| FromSqlError::InvalidType)
    }
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    pub id: i64,
    pub name: String,
    pub kind: RoleType,
    /// Whether every tenant has it; such a role cannot be changed.
    pub built_in: bool,
}

const SELECT: &str = "SELECT id, name, type, built_in FROM roles";

/// All roles of a tenant in order of creation.
pub fn all(connection: &Connection, tenant: i64) -> Result<Vec<Role>, StoreError> {
    let mut select = connection.prepare_cached(&format!("{SELECT} WHERE tenant = ?1 ORDER BY id"))?;
    Ok(select.query_map([tenant], read)?.collect::<Result<_, _>>()?)
}

/// The role with this number.
pub fn find(connection: &Connection, tenant: i64, id: i64) -> Result<Option<Role>, StoreError> {
    let mut select = connection.prepare_cached(&format!("{SELECT} WHERE tenant = ?1 AND id = ?2"))?;
    Ok(select.query_row([tenant, id], read).optional()?)
}

/// The role with this name, whatever the case of its letters.
pub fn by_name(connection: &Connection, tenant: i64, name: &str) -> Result<Option<Role>, StoreError> {
    let mut select = connection.prepare_cached(&format!("{SELECT} WHERE tenant = ?1 AND name = ?2"))?;
    Ok(select.query_row(params![tenant, name], read).optional()?)
}

/// The permissions of every role of a tenant, in order of their names.
pub fn permissions(connection: &Connection, tenant: i64) -> Result<HashMap<i64, Vec<String>>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT p.role, p.permission FROM roles r JOIN role_permissions p ON p.role = r.id
         WHERE r.tenant = ?1 ORDER BY p.role, p.permission",
    )?;
    let mut found: HashMap<i64, Vec<String>> = HashMap::new();
    for row in select.query_map([tenant], |row| Ok((row.get(0)?, row.get(1)?)))? {
        let (role, permission) = row?;
        found.entry(role).or_default().push(permission);
    }
    Ok(found)
}

/// Adds a role, whose name must be free.
pub fn insert(
    connection: &Connection,
    tenant: i64,
    (name, kind, built_in): (&str, RoleType, bool),
    permissions: &[String],
) -> Result<i64, StoreError> {
    connection
        .prepare_cached("INSERT INTO roles (tenant, name, type, built_in) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![tenant, name, kind, built_in])?;
    let id = connection.last_insert_rowid();
    grant(connection, id, permissions)?;
    Ok(id)
}

/// Replaces name and permissions.
pub fn replace(connection: &Connection, id: i64, name: &str, permissions: &[String]) -> Result<(), StoreError> {
    connection.prepare_cached("UPDATE roles SET name = ?2 WHERE id = ?1")?.execute(params![id, name])?;
    connection.prepare_cached("DELETE FROM role_permissions WHERE role = ?1")?.execute([id])?;
    grant(connection, id, permissions)
}

/// Removes a role that nobody has.
pub fn delete(connection: &Connection, id: i64) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM roles WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// Whether anybody has the role, in the tenant or in a folder.
pub fn is_used(connection: &Connection, id: i64) -> Result<bool, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM tenant_user_roles WHERE role = ?1)
             OR EXISTS (SELECT 1 FROM folder_user_roles WHERE role = ?1)",
    )?;
    Ok(select.query_row([id], |row| row.get(0))?)
}

fn grant(connection: &Connection, role: i64, permissions: &[String]) -> Result<(), StoreError> {
    let mut insert =
        connection.prepare_cached("INSERT OR IGNORE INTO role_permissions (role, permission) VALUES (?1, ?2)")?;
    for permission in permissions {
        insert.execute(params![role, permission])?;
    }
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Role> {
    Ok(Role { id: row.get(0)?, name: row.get(1)?, kind: row.get(2)?, built_in: row.get(3)? })
}
