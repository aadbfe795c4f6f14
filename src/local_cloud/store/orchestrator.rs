//! Tenants of Orchestrator and what is kept in them.

use rusqlite::{Connection, Row};

use super::StoreError;

pub mod directory;
pub mod folders;
pub mod members;
pub mod queues;
pub mod roles;
pub mod users;

/// The tables; applications get the identifier by which the directory knows them, which is not their client id.
///
/// Identifiers are never given out twice, so that a client which keeps one cannot mean another thing later.
pub const SCHEMA: &str = "
ALTER TABLE applications ADD COLUMN directory_id TEXT;
UPDATE applications SET directory_id = lower(
    hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-'
    || substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)));
CREATE UNIQUE INDEX applications_by_directory_id ON applications (directory_id);
CREATE INDEX applications_by_name ON applications (name);

CREATE TABLE tenants (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    key  TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE
) STRICT;

CREATE TABLE folders (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    key         TEXT NOT NULL UNIQUE,
    tenant      INTEGER NOT NULL REFERENCES tenants,
    parent      INTEGER REFERENCES folders,
    name        TEXT NOT NULL,
    path        TEXT NOT NULL,
    folded_path TEXT NOT NULL,
    description TEXT,
    inherits    INTEGER NOT NULL,
    UNIQUE (tenant, folded_path)
) STRICT;
CREATE INDEX folders_by_parent ON folders (parent);

CREATE TABLE roles (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant   INTEGER NOT NULL REFERENCES tenants,
    name     TEXT NOT NULL COLLATE NOCASE,
    type     TEXT NOT NULL,
    built_in INTEGER NOT NULL,
    UNIQUE (tenant, name)
) STRICT;

CREATE TABLE role_permissions (
    role       INTEGER NOT NULL REFERENCES roles ON DELETE CASCADE,
    permission TEXT NOT NULL,
    PRIMARY KEY (role, permission)
) STRICT, WITHOUT ROWID;

CREATE TABLE tenant_users (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant       INTEGER NOT NULL REFERENCES tenants,
    directory_id TEXT NOT NULL,
    type         TEXT NOT NULL,
    name         TEXT NOT NULL,
    created      INTEGER NOT NULL,
    UNIQUE (tenant, directory_id)
) STRICT;

CREATE TABLE tenant_user_roles (
    user INTEGER NOT NULL REFERENCES tenant_users ON DELETE CASCADE,
    role INTEGER NOT NULL REFERENCES roles,
    PRIMARY KEY (user, role)
) STRICT, WITHOUT ROWID;
CREATE INDEX tenant_user_roles_by_role ON tenant_user_roles (role);

CREATE TABLE folder_users (
    folder INTEGER NOT NULL REFERENCES folders ON DELETE CASCADE,
    user   INTEGER NOT NULL REFERENCES tenant_users ON DELETE CASCADE,
    PRIMARY KEY (folder, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX folder_users_by_user ON folder_users (user);

CREATE TABLE folder_user_roles (
    folder INTEGER NOT NULL,
    user   INTEGER NOT NULL,
    role   INTEGER NOT NULL REFERENCES roles,
    PRIMARY KEY (folder, user, role),
    FOREIGN KEY (folder, user) REFERENCES folder_users ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX folder_user_roles_by_role ON folder_user_roles (role);

CREATE TABLE queue_definitions (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    key         TEXT NOT NULL UNIQUE,
    folder      INTEGER NOT NULL REFERENCES folders ON DELETE CASCADE,
    name        TEXT NOT NULL COLLATE NOCASE,
    description TEXT,
    max_retries INTEGER NOT NULL,
    created     INTEGER NOT NULL,
    UNIQUE (folder, name)
) STRICT;
";

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    pub id: i64,
    /// Its GUID.
    pub key: String,
    /// Its name as it stands in URLs.
    pub name: String,
}

/// All tenants in order of creation.
pub fn tenants(connection: &Connection) -> Result<Vec<Tenant>, StoreError> {
    let mut select = connection.prepare_cached("SELECT id, key, name FROM tenants ORDER BY id")?;
    Ok(select.query_map([], tenant)?.collect::<Result<_, _>>()?)
}

/// Adds an empty tenant.
pub fn insert_tenant(connection: &Connection, name: &str, key: &str) -> Result<Tenant, StoreError> {
    let mut insert =
        connection.prepare_cached("INSERT INTO tenants (name, key) VALUES (?1, ?2) RETURNING id, key, name")?;
    Ok(insert.query_row([name, key], tenant)?)
}

fn tenant(row: &Row<'_>) -> rusqlite::Result<Tenant> {
    Ok(Tenant { id: row.get(0)?, key: row.get(1)?, name: row.get(2)? })
}
