//! People of the organization: who can sign in, and whom the directory knows.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;

/// A person, without the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The directory identifier, `sub` in tokens.
    pub id: String,
    /// The address that signs in; compared without regard to case.
    pub email: String,
    pub name: String,
    /// Whether this person administers the organization, and with it every tenant.
    pub administrator: bool,
}

/// Stores a new person with the PHC string of the password (argon2id).
pub fn insert(connection: &Connection, person: &Person, password: &str) -> Result<(), StoreError> {
    let mut insert = connection
        .prepare_cached("INSERT INTO people (id, email, name, administrator, password) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    insert.execute(params![person.id, person.email, person.name, person.administrator, password])?;
    Ok(())
}

/// Changes name, rights and, if there is one, the PHC string of the password of a person.
pub fn update(connection: &Connection, person: &Person, password: Option<&str>) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE people SET email = ?2, name = ?3, administrator = ?4, password = coalesce(?5, password)
             WHERE id = ?1",
        )?
        .execute(params![person.id, person.email, person.name, person.administrator, password])?;
    Ok(())
}

/// Whether there is anybody who could sign in.
pub fn any(connection: &Connection) -> Result<bool, StoreError> {
    Ok(connection.query_row("SELECT EXISTS (SELECT 1 FROM people)", [], |row| row.get(0))?)
}

/// The person with this identifier.
pub fn find(connection: &Connection, id: &str) -> Result<Option<Person>, StoreError> {
    let mut select = connection.prepare_cached("SELECT id, email, name, administrator FROM people WHERE id = ?1")?;
    Ok(select.query_row([id], read).optional()?)
}

/// The person who signs in with this address, and the PHC string of the password.
pub fn by_email(connection: &Connection, email: &str) -> Result<Option<(Person, String)>, StoreError> {
    let mut select =
        connection.prepare_cached("SELECT id, email, name, administrator, password FROM people WHERE email = ?1")?;
    Ok(select.query_row([email], |row| Ok((read(row)?, row.get(4)?))).optional()?)
}

/// Everybody, in the order of their addresses.
pub fn all(connection: &Connection) -> Result<Vec<Person>, StoreError> {
    let mut select = connection.prepare_cached("SELECT id, email, name, administrator FROM people ORDER BY email")?;
    Ok(select.query_map([], read)?.collect::<Result<_, _>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Person> {
    Ok(Person { id: row.get(0)?, email: row.get(1)?, name: row.get(2)?, administrator: row.get(3)? })
}
