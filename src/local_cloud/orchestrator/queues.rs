//! `/odata/QueueDefinitions`: what lies in folders, so that their roles have something to protect.

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Value, json};

use super::errors::Refusal;
use super::odata::Entity;
use super::rights::{self, Access, Need};
use super::schema::QUEUE_DEFINITION;
use super::{Answer, Call, written};
use crate::local_cloud::clock;
use crate::local_cloud::store::orchestrator::folders::{self, Folder};
use crate::local_cloud::store::orchestrator::queues::{self, QueueDefinition};

const ENTITY: Entity = Entity { name: "QueueDefinitions", schema: QUEUE_DEFINITION, expandable: &[] };

/// The headers that name a folder, by its number, its GUID, its path, and its path in UTF-16 and base64.
const BY_ID: &str = "x-uipath-organizationunitid";
const BY_KEY: &str = "x-uipath-folderkey";
const BY_PATH: &str = "x-uipath-folderpath";
const BY_ENCODED_PATH: &str = "x-uipath-folderpath-encoded";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Body {
    name: Option<String>,
    description: Option<String>,
    #[serde(default)]
    max_number_of_retries: i64,
}

/// The folder that the headers name, if the caller may do this there.
fn folder(call: &Call, access: &Access<'_>, store: &Connection, need: &Need) -> Result<Folder, Refusal> {
    access.require_scope(need)?;
    let tenant = call.tenant.id;
    let header = |name: &str| call.headers.get(name).map(axum::http::HeaderValue::as_bytes);
    let found = if let Some(id) = header(BY_ID) {
        let id = std::str::from_utf8(id).ok().and_then(|id| id.trim().parse().ok());
        folders::find(store, tenant, id.ok_or_else(|| Refusal::invalid("The folder's number is no number."))?)?
    } else if let Some(key) = header(BY_KEY) {
        folders::by_key(store, tenant, &String::from_utf8_lossy(key).trim().to_lowercase())?
    } else if let Some(path) = header(BY_ENCODED_PATH) {
        let path =
            decoded(path).ok_or_else(|| Refusal::invalid("The folder's path is not encoded as it should be."))?;
        folders::by_path(store, tenant, &path)?
    } else if let Some(path) = header(BY_PATH) {
        folders::by_path(store, tenant, &String::from_utf8_lossy(path))?
    } else {
        return Err(Refusal::folder_required());
    };
    access.permitted(need, found.ok_or_else(Refusal::no_folder)?)
}

/// Base64 of UTF-16 with the low byte first.
fn decoded(path: &[u8]) -> Option<String> {
    let bytes = STANDARD.decode(path).ok()?;
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    rest.is_empty().then(|| String::from_utf16(&units).ok()).flatten()
}

fn row(queue: &QueueDefinition, folder: &Folder) -> Value {
    let mut row = json!({
        "Key": queue.key,
        "Name": queue.name,
        "MaxNumberOfRetries": queue.max_retries,
        "AcceptAutomaticallyRetry": queue.max_retries > 0,
        "RetryAbandonedItems": false,
        "EnforceUniqueReference": false,
        "Encrypted": false,
        "CreationTime": written(queue.created),
        "IsProcessInCurrentFolder": false,
        "FoldersCount": 1,
        "OrganizationUnitId": folder.id,
        "OrganizationUnitFullyQualifiedName": folder.path,
        "Tags": [],
        "Id": queue.id,
    });
    if let Some(description) = &queue.description {
        row["Description"] = json!(description);
    }
    row
}

/// `GET /odata/QueueDefinitions`: those of one folder.
pub fn list(call: &Call, access: &Access<'_>, store: &Connection) -> Result<Answer, Refusal> {
    let folder = folder(call, access, store, &rights::VIEW_QUEUES)?;
    let queues = queues::all(store, folder.id)?;
    call.page(ENTITY, &queues, |queue| row(queue, &folder))
}

/// `GET /odata/QueueDefinitions({id})`.
pub fn read(call: &Call, access: &Access<'_>, store: &Connection, id: i64) -> Result<Answer, Refusal> {
    let folder = folder(call, access, store, &rights::VIEW_QUEUES)?;
    let queue = found(store, &folder, id)?;
    call.entity(ENTITY, StatusCode::OK, row(&queue, &folder))
}

/// `POST /odata/QueueDefinitions`.
pub fn create(call: &Call, access: &Access<'_>, store: &Connection) -> Result<Answer, Refusal> {
    let folder = folder(call, access, store, &rights::CREATE_QUEUES)?;
    let body: Body = call.body(QUEUE_DEFINITION)?;
    let name = body.name.filter(|name| !name.trim().is_empty()).ok_or_else(|| Refusal::invalid("Name is required."))?;
    if !(0..=50).contains(&body.max_number_of_retries) {
        return Err(Refusal::invalid("MaxNumberOfRetries is between 0 and 50."));
    }
    if queues::is_taken(store, folder.id, &name)? {
        return Err(Refusal::taken("A queue with this name exists already."));
    }
    let key = clock::random_uuid()?.to_string();
    let (description, max_retries) = (body.description, body.max_number_of_retries);
    let mut queue = QueueDefinition { id: 0, key, name, description, max_retries, created: call.now };
    queue.id = queues::insert(store, folder.id, &queue)?;
    call.entity(ENTITY, StatusCode::CREATED, row(&queue, &folder))
}

/// `DELETE /odata/QueueDefinitions({id})`.
pub fn delete(call: &Call, access: &Access<'_>, store: &Connection, id: i64) -> Result<Answer, Refusal> {
    let folder = folder(call, access, store, &rights::DELETE_QUEUES)?;
    queues::delete(store, found(store, &folder, id)?.id)?;
    Ok(Answer::no_content())
}

fn found(store: &Connection, folder: &Folder, id: i64) -> Result<QueueDefinition, Refusal> {
    queues::find(store, folder.id, id)?
        .ok_or_else(|| Refusal::not_found(format!("There is no queue definition {id} in this folder.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_path_is_utf_16_in_base64() {
        let bytes: Vec<u8> = "Prüfung/Ö".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(decoded(STANDARD.encode(&bytes).as_bytes()).as_deref(), Some("Prüfung/Ö"));
        assert_eq!(decoded(STANDARD.encode(&bytes[1..]).as_bytes()), None);
        assert_eq!(decoded(b"?"), None);
    }
}
