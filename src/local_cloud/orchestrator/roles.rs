//! `/odata/Roles`.
//!
//! Choices where Orchestrator's own rules are not known: built-in roles cannot be changed or deleted; a role that
//! somebody has cannot be deleted; a role has only permissions that count where it can be given.

use std::collections::HashMap;

use axum::http::StatusCode;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Value, json};

use super::errors::Refusal;
use super::odata::Entity;
use super::path::shortened;
use super::rights::{self, Access};
use super::schema::ROLE;
use super::{Answer, Call, seed};
use crate::local_cloud::store::orchestrator::roles::{self, Role, RoleType};

const ENTITY: Entity = Entity { name: "Roles", schema: ROLE, expandable: &["Permissions"] };

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Body {
    name: Option<String>,
    #[serde(rename = "Type")]
    kind: Option<String>,
    permissions: Option<Vec<Permission>>,
    id: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Permission {
    name: Option<String>,
    #[serde(default = "yes")]
    is_granted: bool,
}

fn yes() -> bool {
    true
}

fn row(role: &Role, permissions: &HashMap<i64, Vec<String>>) -> Value {
    let granted = permissions.get(&role.id).map_or(&[][..], Vec::as_slice).iter().map(|name| {
        let scope = if seed::place_of(name) == Some(RoleType::Tenant) { "Global" } else { "Folder" };
        json!({ "Name": name, "IsGranted": true, "RoleId": role.id, "Scope": scope, "Id": 0 })
    });
    json!({
        "Name": role.name,
        "DisplayName": role.name,
        "Type": <&str>::from(role.kind),
        "IsStatic": role.built_in,
        "IsEditable": !role.built_in,
        "Permissions": granted.collect::<Vec<_>>(),
        "Id": role.id,
    })
}

/// The role with this number.
pub fn found(call: &Call, store: &Connection, id: i64) -> Result<Role, Refusal> {
    roles::find(store, call.tenant.id, id)?.ok_or_else(|| Refusal::not_found(format!("There is no role {id}.")))
}

/// The numbers of tenant roles, which must exist and not be for folders only.
pub fn for_tenant(role: &Role) -> Result<i64, Refusal> {
    if role.kind == RoleType::Folder {
        return Err(Refusal::invalid(format!("The role {} can be given in a folder only.", role.id)));
    }
    Ok(role.id)
}

/// `GET /odata/Roles`.
pub fn list(call: &Call, access: &Access<'_>, store: &Connection) -> Result<Answer, Refusal> {
    access.require_anywhere(&rights::LIST_ROLES)?;
    let permissions = roles::permissions(store, call.tenant.id)?;
    let roles = roles::all(store, call.tenant.id)?;
    call.page(ENTITY, &roles, |role| row(role, &permissions))
}

/// `GET /odata/Roles({id})`.
pub fn read(call: &Call, access: &Access<'_>, store: &Connection, id: i64) -> Result<Answer, Refusal> {
    access.require(&rights::VIEW_ROLES)?;
    answer(call, store, StatusCode::OK, id)
}

/// `POST /odata/Roles`.
pub fn create(call: &Call, access: &Access<'_>, store: &Connection) -> Result<Answer, Refusal> {
    access.require(&rights::CREATE_ROLES)?;
    let body: Body = call.body(ROLE)?;
    let kind = match body.kind.as_deref() {
        Some("Tenant") => RoleType::Tenant,
        Some("Folder") => RoleType::Folder,
        _ => RoleType::Mixed,
    };
    let name = free_name(call, store, body.name, None)?;
    let permissions = granted(body.permissions, kind)?;
    let id = roles::insert(store, call.tenant.id, (&name, kind, false), &permissions)?;
    answer(call, store, StatusCode::CREATED, id)
}

/// `PUT /odata/Roles({id})`.
pub fn replace(call: &Call, access: &Access<'_>, store: &Connection, id: i64) -> Result<Answer, Refusal> {
    access.require(&rights::EDIT_ROLES)?;
    let role = found(call, store, id)?;
    let body: Body = call.body(ROLE)?;
    require_own(&role)?;
    let same_kind = body.kind.as_deref().is_none_or(|kind| kind == <&str>::from(role.kind));
    if body.id.is_some_and(|other| other != id) || !same_kind {
        return Err(Refusal::invalid("A role keeps its Id and its Type."));
    }
    let name = free_name(call, store, body.name, Some(id))?;
    roles::replace(store, id, &name, &granted(body.permissions, role.kind)?)?;
    Ok(Answer::Empty(StatusCode::OK))
}

/// `DELETE /odata/Roles({id})`.
pub fn delete(call: &Call, access: &Access<'_>, store: &Connection, id: i64) -> Result<Answer, Refusal> {
    access.require(&rights::DELETE_ROLES)?;
    let role = found(call, store, id)?;
    require_own(&role)?;
    if roles::is_used(store, id)? {
        return Err(Refusal::conflict("The role is assigned."));
    }
    roles::delete(store, id)?;
    Ok(Answer::no_content())
}

fn answer(call: &Call, store: &Connection, status: StatusCode, id: i64) -> Result<Answer, Refusal> {
    let role = found(call, store, id)?;
    call.entity(ENTITY, status, row(&role, &roles::permissions(store, call.tenant.id)?))
}

fn require_own(role: &Role) -> Result<(), Refusal> {
    if role.built_in { Err(Refusal::invalid("A built-in role cannot be changed.")) } else { Ok(()) }
}

fn free_name(call: &Call, store: &Connection, name: Option<String>, own: Option<i64>) -> Result<String, Refusal> {
    let name = name.filter(|name| !name.trim().is_empty()).ok_or_else(|| Refusal::invalid("Name is required."))?;
    if roles::by_name(store, call.tenant.id, &name)?.is_some_and(|role| Some(role.id) != own) {
        return Err(Refusal::taken("A role with this name exists already."));
    }
    Ok(name)
}

fn granted(permissions: Option<Vec<Permission>>, kind: RoleType) -> Result<Vec<String>, Refusal> {
    let mut names = Vec::new();
    for permission in permissions.unwrap_or_default() {
        let name = permission.name.ok_or_else(|| Refusal::invalid("A permission has no name."))?;
        let place = seed::place_of(&name)
            .ok_or_else(|| Refusal::invalid(format!("There is no permission '{}'.", shortened(&name))))?;
        if !permission.is_granted {
            continue;
        }
        if kind != RoleType::Mixed && kind != place {
            return Err(Refusal::invalid(format!("'{name}' does not count where the role can be given.")));
        }
        names.push(name);
    }
    Ok(names)
}
