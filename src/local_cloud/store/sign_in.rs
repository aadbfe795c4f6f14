//! Who is signed in with which browser, and what applications wait for an answer to.

use rusqlite::{Connection, OptionalExtension, params};

use super::{StoreError, people::Person};
use crate::local_cloud::secrets::SecretHash;

/// The most requests that wait at a time; beyond it the oldest go. It bounds what a flood of requests can fill.
const MOST_REQUESTS: i64 = 1000;

/// A signed-in browser.
#[derive(Clone, Debug)]
pub struct Session {
    /// Names the session in tokens (claim `sid`); it opens nothing.
    pub id: String,
    pub person: Person,
    /// When the password was given, in milliseconds since the Unix epoch.
    pub signed_in: i64,
}

/// A session to be stored.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Of the cookie.
    pub hash: SecretHash,
    pub id: String,
    /// The person's identifier.
    pub person: String,
    pub signed_in: i64,
    pub expires: i64,
}

/// An authorization request that waits for a person.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The client id.
    pub client: String,
    /// What else was asked for, in a form that is the caller's own.
    pub details: String,
    /// Whether a session from before this request is not enough.
    pub must_sign_in: bool,
}

/// Starts a session in place of what the browser had before: its requests move over, an older session ends. `request`
/// is the one that the person signed in for.
pub fn start(
    connection: &Connection,
    browser: &SecretHash,
    request: &SecretHash,
    session: &NewSession,
) -> Result<(), StoreError> {
    end(connection, browser)?;
    connection
        .prepare_cached("INSERT INTO sessions (sha256, id, person, signed_in, expires) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![session.hash.as_bytes(), session.id, session.person, session.signed_in, session.expires])?;
    move_requests(connection, browser, &session.hash)?;
    connection
        .prepare_cached("UPDATE authorization_requests SET must_sign_in = 0 WHERE sha256 = ?1")?
        .execute([request.as_bytes()])?;
    Ok(())
}

/// Ends the session of a browser, if it has one, and with it the codes that nobody has redeemed yet.
pub fn end(connection: &Connection, browser: &SecretHash) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "DELETE FROM grants WHERE session = (SELECT id FROM sessions WHERE sha256 = ?1)
             AND id IN (SELECT grant_id FROM codes WHERE used = 0)",
        )?
        .execute([browser.as_bytes()])?;
    connection.prepare_cached("DELETE FROM sessions WHERE sha256 = ?1")?.execute([browser.as_bytes()])?;
    Ok(())
}

/// Gives the requests of one browser cookie to the one that takes its place.
pub fn move_requests(connection: &Connection, from: &SecretHash, to: &SecretHash) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE authorization_requests SET browser = ?2 WHERE browser = ?1")?
        .execute([from.as_bytes(), to.as_bytes()])?;
    Ok(())
}

/// The session of a browser that is still valid at `now`.
pub fn session(connection: &Connection, browser: &SecretHash, now: i64) -> Result<Option<Session>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT sessions.id, signed_in, people.id, email, name, administrator
         FROM sessions JOIN people ON people.id = person WHERE sha256 = ?1 AND expires > ?2",
    )?;
    let found = select.query_row(params![browser.as_bytes(), now], |row| {
        let person = Person { id: row.get(2)?, email: row.get(3)?, name: row.get(4)?, administrator: row.get(5)? };
        Ok(Session { id: row.get(0)?, signed_in: row.get(1)?, person })
    });
    Ok(found.optional()?)
}

/// Keeps a request for `browser` until `expires`, and lets go of what has expired or is too much.
pub fn ask(
    connection: &Connection,
    request: &SecretHash,
    browser: &SecretHash,
    pending: &Pending,
    now: i64,
    expires: i64,
) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM authorization_requests WHERE expires <= ?1")?.execute([now])?;
    connection.prepare_cached("DELETE FROM sessions WHERE expires <= ?1")?.execute([now])?;
    connection
        .prepare_cached(
            "INSERT INTO authorization_requests (sha256, browser, client, details, must_sign_in, expires)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            request.as_bytes(),
            browser.as_bytes(),
            pending.client,
            pending.details,
            pending.must_sign_in,
            expires
        ])?;
    connection
        .prepare_cached(
            "DELETE FROM authorization_requests WHERE sha256 IN (
                SELECT sha256 FROM authorization_requests ORDER BY expires DESC LIMIT -1 OFFSET ?1)",
        )?
        .execute([MOST_REQUESTS])?;
    Ok(())
}

/// A request that waits for this very browser and has not expired.
pub fn pending(
    connection: &Connection,
    request: &SecretHash,
    browser: &SecretHash,
    now: i64,
) -> Result<Option<Pending>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT client, details, must_sign_in FROM authorization_requests
         WHERE sha256 = ?1 AND browser = ?2 AND expires > ?3",
    )?;
    let found = select.query_row(params![request.as_bytes(), browser.as_bytes(), now], |row| {
        Ok(Pending { client: row.get(0)?, details: row.get(1)?, must_sign_in: row.get(2)? })
    });
    Ok(found.optional()?)
}

/// Lets go of a request that has its answer; `false` if it had one before.
pub fn answered(connection: &Connection, request: &SecretHash) -> Result<bool, StoreError> {
    let mut delete = connection.prepare_cached("DELETE FROM authorization_requests WHERE sha256 = ?1")?;
    Ok(delete.execute([request.as_bytes()])? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_cloud::store::fixtures::with_application;

    fn begin(connection: &Connection, name: &str, now: i64) {
        let pending = Pending { client: "app".to_owned(), details: "{}".to_owned(), must_sign_in: false };
        let (request, browser) = (SecretHash::of_text(name), SecretHash::of_text("browser"));
        ask(connection, &request, &browser, &pending, now, now + 10_000).unwrap();
    }

    fn waits(connection: &Connection, name: &str, now: i64) -> bool {
        let (request, browser) = (SecretHash::of_text(name), SecretHash::of_text("browser"));
        pending(connection, &request, &browser, now).unwrap().is_some()
    }

    #[test]
    fn a_flood_of_requests_drives_out_the_oldest_and_fills_nothing() {
        let store = with_application();
        for index in 0..=MOST_REQUESTS {
            begin(&store, &index.to_string(), index);
        }
        let count = |store: &Connection| -> i64 {
            store.query_row("SELECT count(*) FROM authorization_requests", [], |row| row.get(0)).unwrap()
        };
        assert_eq!(count(&store), MOST_REQUESTS);
        assert!(!waits(&store, "0", 0) && waits(&store, "1", 0) && waits(&store, &MOST_REQUESTS.to_string(), 0));
        begin(&store, "later", 20_000);
        assert_eq!(count(&store), 1, "what has expired is forgotten");
    }
}
