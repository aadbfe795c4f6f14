//! Assignments to folders: which user is in which folder, with which roles.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use crate::local_cloud::store::StoreError;

/// Puts a user into a folder with exactly these roles there, none being as good as any.
pub fn assign(connection: &Connection, folder: i64, user: i64, roles: &[i64]) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO folder_users (folder, user) VALUES (?1, ?2)")?
        .execute([folder, user])?;
    connection
        .prepare_cached("DELETE FROM folder_user_roles WHERE folder = ?1 AND user = ?2")?
        .execute([folder, user])?;
    let mut insert = connection
        .prepare_cached("INSERT OR IGNORE INTO folder_user_roles (folder, user, role) VALUES (?1, ?2, ?3)")?;
    for role in roles {
        insert.execute(params![folder, user, role])?;
    }
    Ok(())
}

/// Takes a user out of a folder; `false` if it was not assigned to this very folder.
pub fn remove(connection: &Connection, folder: i64, user: i64) -> Result<bool, StoreError> {
    let mut delete = connection.prepare_cached("DELETE FROM folder_users WHERE folder = ?1 AND user = ?2")?;
    Ok(delete.execute([folder, user])? > 0)
}

/// The users assigned to this very folder, with the numbers of the roles they have there.
pub fn of_folder(connection: &Connection, folder: i64) -> Result<BTreeMap<i64, Vec<i64>>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT u.user, r.role FROM folder_users u
         LEFT JOIN folder_user_roles r ON r.folder = u.folder AND r.user = u.user
         WHERE u.folder = ?1 ORDER BY u.user, r.role",
    )?;
    let mut found: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for row in select.query_map([folder], |row| Ok((row.get(0)?, row.get(1)?)))? {
        let (user, role): (i64, Option<i64>) = row?;
        found.entry(user).or_default().extend(role);
    }
    Ok(found)
}
