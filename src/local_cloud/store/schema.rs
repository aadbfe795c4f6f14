//! The tables, and the way from an older file to them.

use rusqlite::{Connection, TransactionBehavior};

use super::{StoreError, federated, orchestrator};

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
    "
CREATE TABLE sessions (
    sha256    BLOB PRIMARY KEY,
    id        TEXT NOT NULL UNIQUE,
    person    TEXT NOT NULL REFERENCES people ON DELETE CASCADE,
    signed_in INTEGER NOT NULL,
    expires   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_expiry ON sessions (expires);
CREATE INDEX sessions_of_person ON sessions (person);

CREATE TABLE authorization_requests (
    sha256       BLOB PRIMARY KEY,
    browser      BLOB NOT NULL,
    client       TEXT NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    details      TEXT NOT NULL,
    must_sign_in INTEGER NOT NULL,
    expires      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX authorization_requests_by_expiry ON authorization_requests (expires);
CREATE INDEX authorization_requests_of_client ON authorization_requests (client);

CREATE TABLE grants (
    id        TEXT PRIMARY KEY,
    client    TEXT NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    person    TEXT NOT NULL REFERENCES people ON DELETE CASCADE,
    session   TEXT NOT NULL,
    scope     TEXT NOT NULL,
    nonce     TEXT,
    signed_in INTEGER NOT NULL,
    expires   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_by_expiry ON grants (expires);
CREATE INDEX grants_of_client ON grants (client);
CREATE INDEX grants_of_person ON grants (person);
CREATE INDEX grants_of_session ON grants (session);

CREATE TABLE codes (
    sha256       BLOB PRIMARY KEY,
    grant_id     TEXT NOT NULL REFERENCES grants ON DELETE CASCADE,
    redirect_uri TEXT NOT NULL,
    challenge    TEXT,
    used         INTEGER NOT NULL DEFAULT 0,
    expires      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX codes_of_grant ON codes (grant_id);

CREATE TABLE refresh_tokens (
    sha256   BLOB PRIMARY KEY,
    grant_id TEXT NOT NULL REFERENCES grants ON DELETE CASCADE,
    used     INTEGER NOT NULL DEFAULT 0,
    expires  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_of_grant ON refresh_tokens (grant_id);
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires);

CREATE TABLE revocations (
    id      TEXT PRIMARY KEY,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX revocations_by_expiry ON revocations (expires);
",
    federated::SCHEMA,
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
