//! The tables, and the way from an older file to them.

use rusqlite::{Connection, TransactionBehavior};

use super::{StoreError, orchestrator};

/// The statements that lead from format `n` to `n + 1`, in order. Entries are only ever added.
const STEPS: &[&str] = &[
    "
CREATE TABLE settings (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE signing_keys (
    algorithm   TEXT PRIMARY KEY,
    private_pem TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE applications (
    sequence      INTEGER PRIMARY KEY,
    id            TEXT NOT NULL UNIQUE,
    name          TEXT NOT NULL,
    confidential  INTEGER NOT NULL,
    redirect_uri  TEXT,
    administrator INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE application_scopes (
    application INTEGER NOT NULL REFERENCES applications ON DELETE CASCADE,
    name        TEXT NOT NULL,
    type        INTEGER NOT NULL,
    PRIMARY KEY (application, name, type)
) STRICT, WITHOUT ROWID;

CREATE TABLE secrets (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    application INTEGER NOT NULL REFERENCES applications ON DELETE CASCADE,
    description TEXT,
    sha256      BLOB NOT NULL,
    created     INTEGER NOT NULL,
    expires     INTEGER
) STRICT;
CREATE INDEX secrets_of_application ON secrets (application);
",
    "
CREATE TABLE people (
    id            TEXT PRIMARY KEY,
    email         TEXT NOT NULL UNIQUE COLLATE NOCASE,
    name          TEXT NOT NULL,
    administrator INTEGER NOT NULL DEFAULT 0,
    password      TEXT NOT NULL
) STRICT, WITHOUT ROWID;
",
    orchestrator::SCHEMA,
];

/// Brings the tables up to date in one transaction.
pub fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let known = STEPS.len();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let done = usize::try_from(found).unwrap_or(usize::MAX);
    let Some(missing) = STEPS.get(done..) else {
        return Err(StoreError::Newer { found, known: i64::try_from(known).unwrap_or(i64::MAX) });
    };
    for step in missing {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", i64::try_from(known).unwrap_or(i64::MAX))?;
    transaction.commit()?;
    Ok(())
}
