//! `/odata/Users`: principals of the directory that a tenant knows, and their tenant roles.
//!
//! Choices where Orchestrator's own rules are not known: a principal is imported once and a second time is refused;
//! `PUT` replaces the roles, an absent list being an empty one, and `PATCH` leaves alone what it does not name; an
//! answer does not say the directory identifier under that name, only as `Key`.

use std::collections::HashMap;

use axum::http::StatusCode;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Value, json};

use super::errors::Refusal;
use super::odata::Entity;
use super::path::shortened;
use super::rights::{self, Access};
use super::schema::{ASSIGN_ROLES, USER};
use super::{Answer, Call, directory, written};
use crate::local_cloud::store::orchestrator::directory::Principal;
use crate::local_cloud::store::orchestrator::folders::{self, Folder};
use crate::local_cloud::store::orchestrator::roles::{self, Role};
use crate::local_cloud::store::orchestrator::users::{self, User};

const ENTITY: Entity = Entity { name: "Users", schema: USER, expandable: &["UserRoles", "OrganizationUnits"] };

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Body {
    user_name: Option<String>,
    domain: Option<String>,
    directory_identifier: Option<String>,
    #[serde(rename = "Type")]
    kind: Option<String>,
    roles_list: Option<Vec<String>>,
    update_policy: Option<Value>,
    id: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AssignRoles {
    role_ids: Vec<i64>,
}

/// What rows of users need to know beside the users. The folders are left out unless they are to be shown.
struct Surroundings {
    roles: HashMap<i64, Role>,
    roles_of: HashMap<i64, Vec<i64>>,
    folders: HashMap<i64, Folder>,
    folders_of: HashMap<i64, Vec<i64>>,
}

impl Surroundings {
    fn of(call: &Call, store: &Connection) -> Result<Self, Refusal> {
        let tenant = call.tenant.id;
        let (folders, folders_of) = if call.query.expands("OrganizationUnits") {
            (folders::all(store, tenant)?, users::folders(store, tenant)?)
        } else {
            (Vec::new(), HashMap::new())
        };
        Ok(Self {
            roles: roles::all(store, tenant)?.into_iter().map(|role| (role.id, role)).collect(),
            roles_of: users::roles(store, tenant)?,
            folders: folders.into_iter().map(|folder| (folder.id, folder)).collect(),
            folders_of,
        })
    }

    fn row(&self, call: &Call, user: &User) -> Value {
        let of = |numbers: &HashMap<i64, Vec<i64>>| numbers.get(&user.id).cloned().unwrap_or_default();
        let roles: Vec<&Role> = of(&self.roles_of).iter().filter_map(|id| self.roles.get(id)).collect();
        let folders = of(&self.folders_of);
        let folders = folders.iter().filter_map(|id| self.folders.get(id));
        json!({
            "UserName": user.name,
            "FullName": user.name,
            "IsActive": true,
            "CreationTime": written(user.created),
            "IsExternalLicensed": false,
            "UserRoles": roles.iter().map(|role| user_role(user, role)).collect::<Vec<_>>(),
            "RolesList": roles.iter().map(|role| role.name.as_str()).collect::<Vec<_>>(),
            "OrganizationUnits":
                folders.map(|folder| json!({ "DisplayName": folder.name, "Id": folder.id })).collect::<Vec<_>>(),
            "TenantId": call.tenant.id,
            "TenancyName": call.tenant.name,
            "TenantDisplayName": call.tenant.name,
            "TenantKey": call.tenant.key,
            "Type": <&str>::from(user.kind),
            "ProvisionType": "Manual",
            "Key": user.directory_id,
            "MayHaveUserSession": false,
            "MayHaveRobotSession": false,
            "MayHaveUnattendedSession": false,
            "MayHavePersonalWorkspace": false,
            "RestrictToPersonalWorkspace": false,
            "UpdatePolicy": { "Type": "None" },
            "HasOnlyInheritedPrivileges": false,
            "Id": user.id,
        })
    }
}

fn user_role(user: &User, role: &Role) -> Value {
    json!({
        "UserId": user.id,
        "RoleId": role.id,
        "UserName": user.name,
        "RoleName": role.name,
        "RoleType": <&str>::from(role.kind),
        "Id": role.id,
    })
}

/// The user with this number.
pub fn found(call: &Call, store: &Connection, id: i64) -> Result<User, Refusal> {
    users::find(store, call.tenant.id, id)?.ok_or_else(|| Refusal::not_found(format!("There is no user {id}.")))
}

/// Makes a user for a principal that has none yet; returns its number.
pub fn import(call: &Call, store: &Connection, principal: &Principal) -> Result<i64, Refusal> {
    Ok(users::insert(store, call.tenant.id, (&principal.id, principal.kind, &principal.name), call.now)?)
}

/// `GET /odata/Users`.
pub fn list(call: &Call, access: &Access<'_>, store: &Connection) -> Result<Answer, Refusal> {
    access.require(&rights::VIEW_USERS)?;
    let surroundings = Surroundings::of(call, store)?;
    let users = users::all(store, call.tenant.id)?;
    call.page(ENTITY, &users, |user| surroundings.row(call, user))
}

/// `GET /odata/Users({id})`.
pub fn read(call: &Call, access: &Access<'_>, store: &Connection, id: i64) -> Result<Answer, Refusal> {
    access.require(&rights::VIEW_USERS)?;
    answer(call, store, StatusCode::OK, id)
}

/// `POST /odata/Users`.
pub fn create(call: &Call, access: &Access<'_>, store: &Connection) -> Result<Answer, Refusal> {
    access.require(&rights::CREATE_USERS)?;
    let body: Body = call.body(USER)?;
    if body.update_policy.is_none() {
        return Err(Refusal::invalid("UpdatePolicy is required."));
    }
    directory::require_domain(body.domain.as_deref())?;
    let roles = named(call, store, &body.roles_list.unwrap_or_default())?;
    let principal = directory::principal(store, body.directory_identifier, body.user_name, body.kind.as_deref())?;
    if users::of_principal(store, call.tenant.id, &principal.id)?.is_some() {
        return Err(Refusal::taken("The user exists already."));
    }
    let id = import(call, store, &principal)?;
    users::set_roles(store, id, &roles)?;
    answer(call, store, StatusCode::CREATED, id)
}

/// `PUT /odata/Users({id})`.
pub fn replace(call: &Call, access: &Access<'_>, store: &Connection, id: i64) -> Result<Answer, Refusal> {
    access.require(&rights::EDIT_USERS)?;
    let user = found(call, store, id)?;
    let body: Body = call.body(USER)?;
    require_same(&user, &body)?;
    if body.update_policy.is_none() {
        return Err(Refusal::invalid("UpdatePolicy is required."));
    }
    users::set_roles(store, id, &named(call, store, &body.roles_list.unwrap_or_default())?)?;
    Ok(Answer::Empty(StatusCode::OK))
}

/// `PATCH /odata/Users({id})`.
pub fn change(call: &Call, access: &Access<'_>, store: &Connection, id: i64) -> Result<Answer, Refusal> {
    access.require(&rights::EDIT_USERS)?;
    let user = found(call, store, id)?;
    let body: Body = call.body(USER)?;
    require_same(&user, &body)?;
    if let Some(names) = body.roles_list {
        users::set_roles(store, id, &named(call, store, &names)?)?;
    }
    Ok(Answer::Empty(StatusCode::OK))
}

/// `DELETE /odata/Users({id})`: with all its assignments.
pub fn delete(call: &Call, access: &Access<'_>, store: &Connection, id: i64) -> Result<Answer, Refusal> {
    access.require(&rights::DELETE_USERS)?;
    users::delete(store, found(call, store, id)?.id)?;
    Ok(Answer::no_content())
}

/// `POST /odata/Users({id})/…AssignRoles`: these tenant roles and no others.
pub fn assign_roles(call: &Call, access: &Access<'_>, store: &Connection, id: i64) -> Result<Answer, Refusal> {
    access.require(&rights::GIVE_ROLES)?;
    let user = found(call, store, id)?;
    let body: AssignRoles = call.body(ASSIGN_ROLES)?;
    let mut numbers = Vec::new();
    for id in body.role_ids {
        numbers.push(super::roles::for_tenant(&super::roles::found(call, store, id)?)?);
    }
    users::set_roles(store, user.id, &numbers)?;
    Ok(Answer::Empty(StatusCode::OK))
}

fn answer(call: &Call, store: &Connection, status: StatusCode, id: i64) -> Result<Answer, Refusal> {
    let user = found(call, store, id)?;
    call.entity(ENTITY, status, Surroundings::of(call, store)?.row(call, &user))
}

/// An update does not make another principal of a user.
fn require_same(user: &User, body: &Body) -> Result<(), Refusal> {
    let other_kind = body.kind.as_deref().is_some_and(|kind| kind != <&str>::from(user.kind));
    let other_principal = body.directory_identifier.as_ref().is_some_and(|id| *id != user.directory_id);
    if other_kind || other_principal || body.id.is_some_and(|id| id != user.id) {
        return Err(Refusal::invalid("A user keeps its Id, its Type and its DirectoryIdentifier."));
    }
    Ok(())
}

/// The numbers of tenant roles by their names.
fn named(call: &Call, store: &Connection, names: &[String]) -> Result<Vec<i64>, Refusal> {
    let mut numbers = Vec::new();
    for name in names {
        let role = roles::by_name(store, call.tenant.id, name)?;
        let role = role.ok_or_else(|| Refusal::not_found(format!("There is no role '{}'.", shortened(name))))?;
        numbers.push(super::roles::for_tenant(&role)?);
    }
    Ok(numbers)
}
