//! What people have allowed applications: codes, refresh tokens, and what was revoked.
//!
//! One grant is one answer of a person. The code and all refresh tokens of its family hang on it, so that revoking is
//! one deletion. Used codes and tokens stay as long as their grant: that is how a second use is found out.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;
use crate::local_cloud::secrets::SecretHash;

/// How long a code can be redeemed, in milliseconds.
pub const CODE_LIFETIME: i64 = 60_000;
/// How long an access token is valid, in milliseconds.
pub const ACCESS_LIFETIME: i64 = 3_600_000;
/// How long a refresh token can be used, in milliseconds: 60 days.
pub const REFRESH_LIFETIME: i64 = 60 * 24 * 3_600_000;

/// What a person has allowed.
#[derive(Clone, Debug)]
pub struct Grant {
    pub id: String,
    /// The client id.
    pub client: String,
    /// The person's identifier.
    pub person: String,
    /// The session in which it was allowed.
    pub session: String,
    pub scope: Vec<String>,
    pub nonce: Option<String>,
    /// When the person gave the password, in milliseconds since the Unix epoch.
    pub signed_in: i64,
}

/// What a code is bound to, apart from its client.
#[derive(Clone, Debug)]
pub struct Binding {
    pub redirect_uri: String,
    /// The S256 challenge, if there was one.
    pub challenge: Option<String>,
}

/// What came of using a refresh token.
#[derive(Clone, Debug)]
pub enum Rotated {
    /// With the scopes for the access token.
    Granted(Grant, Vec<String>),
    /// Unknown, expired, used before, or another client's.
    Refused,
    /// More was asked for than may be had; the token stays as it was.
    Widened,
}

/// Stores a grant with its code.
pub fn allow(
    connection: &Connection,
    grant: &Grant,
    code: &SecretHash,
    binding: &Binding,
    now: i64,
) -> Result<(), StoreError> {
    clean(connection, now)?;
    let expires = now + CODE_LIFETIME;
    connection
        .prepare_cached(
            "INSERT INTO grants (id, client, person, session, scope, nonce, signed_in, expires)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            grant.id,
            grant.client,
            grant.person,
            grant.session,
            grant.scope.join(" "),
            grant.nonce,
            grant.signed_in,
            expires
        ])?;
    connection
        .prepare_cached(
            "INSERT INTO codes (sha256, grant_id, redirect_uri, challenge, expires) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![code.as_bytes(), grant.id, binding.redirect_uri, binding.challenge, expires])?;
    Ok(())
}

/// Redeems a code of `client`, once. `proven` judges what came with it; a code that failed once is of no use any
/// more, and a code that comes again takes everything with it that was issued for it.
pub fn redeem(
    connection: &Connection,
    code: &SecretHash,
    client: &str,
    now: i64,
    proven: impl FnOnce(&Binding) -> bool,
) -> Result<Option<Grant>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT id, client, person, session, scope, nonce, signed_in, redirect_uri, challenge, used, codes.expires
         FROM codes JOIN grants ON id = grant_id WHERE sha256 = ?1 AND client = ?2",
    )?;
    let found = select.query_row(params![code.as_bytes(), client], |row| {
        let binding = Binding { redirect_uri: row.get(7)?, challenge: row.get(8)? };
        Ok((grant(row)?, binding, row.get::<_, bool>(9)?, row.get::<_, i64>(10)?))
    });
    let Some((grant, binding, used, expires)) = found.optional()? else { return Ok(None) };
    if used || expires <= now || !proven(&binding) {
        revoke(connection, &grant.id, now)?;
        return Ok(None);
    }
    connection.prepare_cached("UPDATE codes SET used = 1 WHERE sha256 = ?1")?.execute([code.as_bytes()])?;
    prolong(connection, &grant.id, now + ACCESS_LIFETIME)?;
    Ok(Some(grant))
}

/// Stores a refresh token of a grant.
pub fn add_refresh(connection: &Connection, grant: &str, token: &SecretHash, now: i64) -> Result<(), StoreError> {
    let expires = now + REFRESH_LIFETIME;
    connection
        .prepare_cached("INSERT INTO refresh_tokens (sha256, grant_id, expires) VALUES (?1, ?2, ?3)")?
        .execute(params![token.as_bytes(), grant, expires])?;
    prolong(connection, grant, expires + ACCESS_LIFETIME)
}

/// Uses a refresh token of `client`, once, and stores `next` in its place; `permitted` chooses the scopes. A token that
/// comes again takes its whole family with it: one of the two who had it is a thief.
pub fn rotate(
    connection: &Connection,
    token: &SecretHash,
    client: &str,
    next: &SecretHash,
    now: i64,
    permitted: impl FnOnce(&Grant) -> Option<Vec<String>>,
) -> Result<Rotated, StoreError> {
    clean(connection, now)?;
    let Some((grant, used)) = by_refresh(connection, token, now)?.filter(|(grant, _)| grant.client == client) else {
        return Ok(Rotated::Refused);
    };
    if used {
        revoke(connection, &grant.id, now)?;
        return Ok(Rotated::Refused);
    }
    let Some(scopes) = permitted(&grant) else { return Ok(Rotated::Widened) };
    connection.prepare_cached("UPDATE refresh_tokens SET used = 1 WHERE sha256 = ?1")?.execute([token.as_bytes()])?;
    add_refresh(connection, &grant.id, next, now)?;
    Ok(Rotated::Granted(grant, scopes))
}

/// The grant of a refresh token that has not expired at `now`, and whether the token has been used.
pub fn by_refresh(connection: &Connection, token: &SecretHash, now: i64) -> Result<Option<(Grant, bool)>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT id, client, person, session, scope, nonce, signed_in, used
         FROM refresh_tokens JOIN grants ON id = grant_id WHERE sha256 = ?1 AND refresh_tokens.expires > ?2",
    )?;
    Ok(select.query_row(params![token.as_bytes(), now], |row| Ok((grant(row)?, row.get(7)?))).optional()?)
}

/// When a refresh token expires.
pub fn refresh_expires(connection: &Connection, token: &SecretHash) -> Result<Option<i64>, StoreError> {
    let mut select = connection.prepare_cached("SELECT expires FROM refresh_tokens WHERE sha256 = ?1")?;
    Ok(select.query_row([token.as_bytes()], |row| row.get(0)).optional()?)
}

/// Revokes a grant: its code, its refresh tokens, and the access tokens that name it.
pub fn revoke(connection: &Connection, grant: &str, now: i64) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM grants WHERE id = ?1")?.execute([grant])?;
    revoke_access(connection, grant, now)
}

/// Revokes every grant of a person and ends the person's sessions.
pub fn revoke_all_of(connection: &Connection, person: &str, now: i64) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM sessions WHERE person = ?1")?.execute([person])?;
    let mut select = connection.prepare_cached("SELECT id FROM grants WHERE person = ?1")?;
    let grants: Vec<String> = select.query_map([person], |row| row.get(0))?.collect::<Result<_, _>>()?;
    grants.iter().try_for_each(|grant| revoke(connection, grant, now))
}

/// Revokes the access tokens that bear this identifier, as their own or as their grant's.
pub fn revoke_access(connection: &Connection, id: &str, now: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO revocations (id, expires) VALUES (?1, ?2)")?
        .execute(params![id, now + ACCESS_LIFETIME])?;
    Ok(())
}

/// Whether an access token or its grant has been revoked.
pub fn is_revoked(connection: &Connection, token: &str, grant: Option<&str>) -> Result<bool, StoreError> {
    let mut select = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM revocations WHERE id IN (?1, ?2))")?;
    Ok(select.query_row(params![token, grant], |row| row.get(0))?)
}

fn prolong(connection: &Connection, grant: &str, expires: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE grants SET expires = max(expires, ?2) WHERE id = ?1")?
        .execute(params![grant, expires])?;
    Ok(())
}

/// Forgets what cannot be used any more.
fn clean(connection: &Connection, now: i64) -> Result<(), StoreError> {
    for delete in [
        "DELETE FROM grants WHERE expires <= ?1",
        "DELETE FROM refresh_tokens WHERE expires <= ?1",
        "DELETE FROM revocations WHERE expires <= ?1",
    ] {
        connection.prepare_cached(delete)?.execute([now])?;
    }
    Ok(())
}

fn grant(row: &Row<'_>) -> rusqlite::Result<Grant> {
    let scope: String = row.get(4)?;
    Ok(Grant {
        id: row.get(0)?,
        client: row.get(1)?,
        person: row.get(2)?,
        session: row.get(3)?,
        scope: scope.split(' ').map(str::to_owned).collect(),
        nonce: row.get(5)?,
        signed_in: row.get(6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_cloud::store::applications;
    use crate::local_cloud::store::fixtures::with_application;
    use crate::local_cloud::store::people::{self, Person};

    /// With an application `app` and a person `ada`.
    fn opened() -> Connection {
        let connection = with_application();
        let (id, email, name) = ("ada".to_owned(), "ada@acme.example".to_owned(), "Ada".to_owned());
        people::insert(&connection, &Person { id, email, name, administrator: false }, "hash").unwrap();
        connection
    }

    fn allowed(connection: &Connection, id: &str, now: i64) -> SecretHash {
        let grant = Grant {
            id: id.to_owned(),
            client: "app".to_owned(),
            person: "ada".to_owned(),
            session: "session".to_owned(),
            scope: vec!["OR.Jobs".to_owned()],
            nonce: None,
            signed_in: 0,
        };
        let code = SecretHash::of_text(id);
        let binding = Binding { redirect_uri: "http://localhost/".to_owned(), challenge: None };
        allow(connection, &grant, &code, &binding, now).unwrap();
        code
    }

    fn count(connection: &Connection, table: &str) -> i64 {
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn what_cannot_be_used_any_more_is_forgotten() {
        let store = opened();
        allowed(&store, "never redeemed", 0);
        let code = allowed(&store, "redeemed", 0);
        redeem(&store, &code, "app", 0, |_| true).unwrap().unwrap();
        add_refresh(&store, "redeemed", &SecretHash::of_text("token"), 0).unwrap();
        revoke_access(&store, "some token", 0).unwrap();
        allowed(&store, "a minute later", CODE_LIFETIME);
        assert_eq!((count(&store, "grants"), count(&store, "codes")), (2, 2));
        allowed(&store, "an hour later", ACCESS_LIFETIME);
        assert_eq!(count(&store, "revocations"), 0);
        assert_eq!((count(&store, "grants"), count(&store, "refresh_tokens")), (2, 1));
        allowed(&store, "long after", REFRESH_LIFETIME + ACCESS_LIFETIME);
        assert_eq!((count(&store, "grants"), count(&store, "codes"), count(&store, "refresh_tokens")), (1, 1, 0));
    }

    #[test]
    fn nothing_is_left_of_what_an_application_was_allowed_when_it_is_gone() {
        let store = opened();
        let code = allowed(&store, "grant", 0);
        redeem(&store, &code, "app", 0, |_| true).unwrap().unwrap();
        add_refresh(&store, "grant", &SecretHash::of_text("token"), 0).unwrap();
        applications::delete(&store, "app").unwrap();
        assert_eq!((count(&store, "grants"), count(&store, "codes"), count(&store, "refresh_tokens")), (0, 0, 0));
    }
}
