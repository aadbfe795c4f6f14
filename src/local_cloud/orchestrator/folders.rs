//! `/odata/Folders`.
//!
//! Choices where Orchestrator's own rules are not known: a name has no slash, because paths are made of names; two
//! folders side by side do not differ in the case of letters alone; a folder with subfolders cannot be deleted; an
//! update does not move a folder.

use axum::http::StatusCode;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Value, json};

use super::errors::Refusal;
use super::odata::Entity;
use super::rights::{self, Access};
use super::schema::FOLDER;
use super::{Answer, Call};
use crate::local_cloud::clock;
use crate::local_cloud::store::orchestrator::folders::{self, Folder, NewFolder};

const ENTITY: Entity = Entity { name: "Folders", schema: FOLDER, expandable: &[] };

/// What a client may say about a folder; the rest of its members are Orchestrator's own.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Body {
    display_name: Option<String>,
    description: Option<String>,
    permission_model: Option<String>,
    folder_type: Option<String>,
    parent_id: Option<i64>,
    parent_key: Option<String>,
    id: Option<i64>,
}

fn row(folder: &Folder) -> Value {
    let mut row = json!({
        "Key": folder.key,
        "DisplayName": folder.name,
        "FullyQualifiedName": folder.path,
        "FolderType": "Standard",
        "IsPersonal": false,
        "ProvisionType": "Automatic",
        "PermissionModel": if folder.inherits { "InheritFromTenant" } else { "FineGrained" },
        "FeedType": "Processes",
        "Id": folder.id,
    });
    if let Some(description) = &folder.description {
        row["Description"] = json!(description);
    }
    if let Some(parent) = &folder.parent {
        row["ParentId"] = json!(parent.id);
        row["ParentKey"] = json!(parent.key);
    }
    row
}

/// `GET /odata/Folders`.
pub fn list(call: &Call, access: &Access<'_>, store: &Connection) -> Result<Answer, Refusal> {
    let listed = access.listed_folders()?;
    let mut folders = folders::all(store, call.tenant.id)?;
    folders.retain(|folder| listed.as_ref().is_none_or(|listed| listed.contains(&folder.id)));
    call.page(ENTITY, &folders, row)
}

/// `GET /odata/Folders({id})`.
pub fn read(call: &Call, access: &Access<'_>, id: i64) -> Result<Answer, Refusal> {
    call.entity(ENTITY, StatusCode::OK, row(&access.visible_folder(id)?))
}

/// `POST /odata/Folders`.
pub fn create(call: &Call, access: &Access<'_>, store: &Connection) -> Result<Answer, Refusal> {
    access.require_scope(&rights::CREATE_FOLDERS)?;
    let body: Body = call.body(FOLDER)?;
    let parent = match body.parent_id {
        Some(id) => Some(access.folder(&rights::CREATE_FOLDERS, id)?),
        None if body.parent_key.is_some() => return Err(Refusal::invalid("Name the parent by ParentId.")),
        None => {
            access.require(&rights::CREATE_FOLDERS)?;
            None
        }
    };
    if body.folder_type.as_deref().is_some_and(|kind| kind != "Standard") {
        return Err(Refusal::invalid("Only standard folders can be made."));
    }
    let new = described(call, store, body, parent.as_ref().map(|parent| (parent.id, parent.path.as_str())), None)?;
    let id = folders::insert(store, call.tenant.id, &new)?;
    let made = folders::find(store, call.tenant.id, id)?.ok_or_else(Refusal::no_folder)?;
    call.entity(ENTITY, StatusCode::CREATED, row(&made))
}

/// `PUT /odata/Folders({id})`.
pub fn replace(call: &Call, access: &Access<'_>, store: &Connection, id: i64) -> Result<Answer, Refusal> {
    let folder = access.folder(&rights::EDIT_FOLDERS, id)?;
    let body: Body = call.body(FOLDER)?;
    let parent = folder.parent.as_ref().map(|parent| parent.id);
    if body.id.is_some_and(|other| other != id) || (body.parent_id.is_some() && body.parent_id != parent) {
        return Err(Refusal::invalid("A folder keeps its Id and its ParentId."));
    }
    let above = folder.path.strip_suffix(folder.name.as_str()).and_then(|path| path.strip_suffix('/'));
    let new = described(call, store, body, parent.zip(above), Some(id))?;
    folders::replace(store, &folder, &new)?;
    let replaced = folders::find(store, call.tenant.id, id)?.ok_or_else(Refusal::no_folder)?;
    call.entity(ENTITY, StatusCode::OK, row(&replaced))
}

/// `DELETE /odata/Folders({id})`: with its assignments and its queues.
pub fn delete(access: &Access<'_>, store: &Connection, id: i64) -> Result<Answer, Refusal> {
    let folder = access.folder(&rights::DELETE_FOLDERS, id)?;
    if folders::has_subfolders(store, folder.id)? {
        return Err(Refusal::conflict("The folder has subfolders."));
    }
    folders::delete(store, folder.id)?;
    Ok(Answer::no_content())
}

/// Checks what a client says about a folder below `parent`, which is given by its number and its path.
fn described(
    call: &Call,
    store: &Connection,
    body: Body,
    parent: Option<(i64, &str)>,
    own: Option<i64>,
) -> Result<NewFolder, Refusal> {
    let name = body.display_name.ok_or_else(|| Refusal::invalid("DisplayName is required."))?;
    if name.is_empty() || name.trim() != name || name.contains('/') || name.contains(char::is_control) {
        return Err(Refusal::invalid("DisplayName is empty or has a slash, a control character or blanks at an end."));
    }
    let path = parent.map_or_else(|| name.clone(), |(_, above)| format!("{above}/{name}"));
    if folders::by_path(store, call.tenant.id, &path)?.is_some_and(|found| Some(found.id) != own) {
        return Err(Refusal::taken("A folder with this name exists already."));
    }
    Ok(NewFolder {
        key: clock::random_uuid()?.to_string(),
        parent: parent.map(|(id, _)| id),
        name,
        path,
        description: body.description,
        inherits: body.permission_model.as_deref() == Some("InheritFromTenant"),
    })
}
