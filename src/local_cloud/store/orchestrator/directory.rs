//! The directory: confidential applications and people, by the identifiers that Orchestrator and Identity share.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use strum::{EnumString, IntoStaticStr};

use crate::local_cloud::catalogue::ScopeType;
use crate::local_cloud::store::StoreError;
use crate::local_cloud::store::people::{self, Person};

/// What a principal is, in the words of Orchestrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr)]
pub enum PrincipalType {
    DirectoryUser,
    DirectoryExternalApplication,
}

impl ToSql for PrincipalType {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(<&str>::from(self).into())
    }
}

impl FromSql for PrincipalType {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map_err(|_| FromSqlError::InvalidType)
    }
}

/// Somebody who can be given roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The identifier in the directory.
    pub id: String,
    pub kind: PrincipalType,
    /// The application's name or the person's address.
    pub name: String,
    /// The application's name or the person's.
    pub display_name: String,
    /// The client id of an application.
    pub application: Option<String>,
}

/// Non-confidential applications are left out: they act for a person and have no rights of their own.
const APPLICATIONS: &str = "SELECT directory_id, name, id FROM applications WHERE confidential = 1";

/// The principal with this identifier.
pub fn find(connection: &Connection, id: &str) -> Result<Option<Principal>, StoreError> {
    let mut select = connection.prepare_cached(&format!("{APPLICATIONS} AND directory_id = ?1"))?;
    let found = select.query_row([id], application).optional()?;
    Ok(if found.is_some() { found } else { people::find(connection, id)?.map(person) })
}

/// The directory's identifier of the application with this client id; `None` once the application is deleted.
pub fn of_client(connection: &Connection, client_id: &str) -> Result<Option<String>, StoreError> {
    let mut select =
        connection.prepare_cached("SELECT directory_id FROM applications WHERE id = ?1 AND confidential = 1")?;
    Ok(select.query_row([client_id], |row| row.get(0)).optional()?)
}

/// Whether a principal can be put into a folder: people always, applications only with an application scope.
pub fn may_enter_folders(connection: &Connection, id: &str) -> Result<bool, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM people WHERE id = ?1) OR EXISTS (
             SELECT 1 FROM applications a JOIN application_scopes s ON s.application = a.sequence
             WHERE a.directory_id = ?1 AND a.confidential = 1 AND s.type = ?2)",
    )?;
    Ok(select.query_row(params![id, ScopeType::Application.number()], |row| row.get(0))?)
}

/// Applications whose name is exactly this one, the oldest first.
pub fn applications_named(connection: &Connection, name: &str) -> Result<Vec<Principal>, StoreError> {
    let mut select = connection.prepare_cached(&format!("{APPLICATIONS} AND name = ?1 ORDER BY sequence"))?;
    Ok(select.query_map([name], application)?.collect::<Result<_, _>>()?)
}

/// Everybody of one kind, in order of names.
pub fn all(connection: &Connection, kind: PrincipalType) -> Result<Vec<Principal>, StoreError> {
    match kind {
        PrincipalType::DirectoryExternalApplication => {
            let mut select = connection.prepare_cached(&format!("{APPLICATIONS} ORDER BY name, sequence"))?;
            Ok(select.query_map([], application)?.collect::<Result<_, _>>()?)
        }
        PrincipalType::DirectoryUser => Ok(people::all(connection)?.into_iter().map(person).collect()),
    }
}

fn application(row: &Row<'_>) -> rusqlite::Result<Principal> {
    Ok(Principal {
        id: row.get(0)?,
        kind: PrincipalType::DirectoryExternalApplication,
        name: row.get(1)?,
        display_name: row.get(1)?,
        application: row.get(2)?,
    })
}

fn person(person: Person) -> Principal {
    let kind = PrincipalType::DirectoryUser;
    Principal { id: person.id, kind, name: person.email, display_name: person.name, application: None }
}
