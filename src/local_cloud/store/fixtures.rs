//! Data for tests of the tables.

use rusqlite::Connection;

use super::applications::{self, NewApplication, Registration};
use super::schema;
use crate::local_cloud::catalogue::ScopeType;

/// Tables in memory with a confidential application `app`, which may ask for one user scope.
pub fn with_application() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    connection.pragma_update(None, "foreign_keys", true).unwrap();
    schema::migrate(&mut connection).unwrap();
    let scopes = vec![("OR.Jobs".to_owned(), ScopeType::User)];
    let new = NewApplication {
        directory_id: "app-in-the-directory".to_owned(),
        id: "app".to_owned(),
        confidential: true,
        administrator: false,
        registration: Registration { name: "app".to_owned(), redirect_uri: None, scopes },
        secret: None,
    };
    applications::insert(&connection, &new).unwrap();
    connection
}
