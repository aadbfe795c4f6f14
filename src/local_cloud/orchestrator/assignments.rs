//! Who is in a folder, and with which roles.
//!
//! Assigning replaces: afterwards the user has the roles of the request in that folder and no others there. That the
//! assignment by directory identifier does so too is the stricter reading.

use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Value, json};

use super::errors::Refusal;
use super::odata::Entity;
use super::rights::{self, Access};
use super::schema::{ASSIGN_DIRECTORY_USER, ASSIGN_USERS, REMOVE_USER, USER_ROLES};
use super::{Answer, Call, directory, users as tenant_users};
use crate::local_cloud::config::Deployment;
use crate::local_cloud::store::orchestrator::directory as principals;
use crate::local_cloud::store::orchestrator::folders::{self, Folder};
use crate::local_cloud::store::orchestrator::members;
use crate::local_cloud::store::orchestrator::roles::{self, Role, RoleType};
use crate::local_cloud::store::orchestrator::users::{self, User};

const ENTITY: Entity = Entity { name: "UserRoles", schema: USER_ROLES, expandable: &["UserEntity", "Roles"] };

#[derive(Deserialize)]
struct AssignUsers {
    assignments: UserAssignments,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UserAssignments {
    user_ids: Vec<i64>,
    roles_per_folder: Vec<FolderRoles>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FolderRoles {
    folder_id: i64,
    #[serde(default)]
    role_ids: Vec<i64>,
}

#[derive(Deserialize)]
struct AssignDirectoryUser {
    assignment: DirectoryAssignment,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DirectoryAssignment {
    domain: Option<String>,
    user_name: Option<String>,
    directory_identifier: Option<String>,
    user_type: Option<String>,
    roles_per_folder: Vec<FolderRoles>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemoveUser {
    user_id: i64,
}

/// `POST …AssignUsers`: users whom the tenant has already.
pub fn assign_users(call: &Call, access: &Access<'_>, store: &Connection) -> Result<Answer, Refusal> {
    access.require_scope(&rights::EDIT_FOLDERS)?;
    let body: AssignUsers = call.body(ASSIGN_USERS)?;
    let places = places(call, access, store, body.assignments.roles_per_folder)?;
    for id in body.assignments.user_ids {
        let user = tenant_users::found(call, store, id)?;
        require_entry(store, &user.directory_id)?;
        assign(store, user.id, &places)?;
    }
    Ok(Answer::no_content())
}

/// `POST …AssignDirectoryUser` of the cloud and `POST …AssignDomainUser` of other deployments: somebody whom the
/// directory has, and afterwards the tenant too. The action of the other deployment fails without saying why.
pub fn assign_directory_user(
    call: &Call,
    access: &Access<'_>,
    store: &Connection,
    deployment: Deployment,
) -> Result<Answer, Refusal> {
    access.require_scope(&rights::EDIT_FOLDERS)?;
    if call.deployment != deployment {
        return Err(match call.deployment {
            Deployment::AutomationCloud => Refusal::query(""),
            Deployment::AutomationSuite => Refusal::unknown_failure(),
        });
    }
    let body = call.body::<AssignDirectoryUser>(ASSIGN_DIRECTORY_USER)?.assignment;
    let places = places(call, access, store, body.roles_per_folder)?;
    directory::require_domain(body.domain.as_deref())?;
    let kind = body.user_type.as_deref();
    let principal = directory::principal(store, body.directory_identifier, body.user_name, kind)?;
    require_entry(store, &principal.id)?;
    let user = match users::of_principal(store, call.tenant.id, &principal.id)? {
        Some(user) => user.id,
        None => tenant_users::import(call, store, &principal)?,
    };
    assign(store, user, &places)?;
    Ok(Answer::no_content())
}

fn require_entry(store: &Connection, directory_id: &str) -> Result<(), Refusal> {
    if principals::may_enter_folders(store, directory_id)? {
        return Ok(());
    }
    Err(Refusal::invalid("Only an existing application with application scopes can be assigned to a folder."))
}

/// Checks the folders and the roles that are to be given there.
fn places(
    call: &Call,
    access: &Access<'_>,
    store: &Connection,
    wanted: Vec<FolderRoles>,
) -> Result<Vec<(Folder, Vec<i64>)>, Refusal> {
    let mut places = Vec::new();
    for FolderRoles { folder_id, role_ids } in wanted {
        let folder = access.folder(&rights::EDIT_FOLDERS, folder_id)?;
        for id in &role_ids {
            let role = super::roles::found(call, store, *id)?;
            if role.kind == RoleType::Tenant {
                return Err(Refusal::invalid(format!("The role {} can be given in a tenant only.", role.id)));
            }
        }
        places.push((folder, role_ids));
    }
    Ok(places)
}

fn assign(store: &Connection, user: i64, places: &[(Folder, Vec<i64>)]) -> Result<(), Refusal> {
    for (folder, roles) in places {
        members::assign(store, folder.id, user, roles)?;
    }
    Ok(())
}

/// `POST /odata/Folders({id})/…RemoveUserFromFolder`.
pub fn remove(call: &Call, access: &Access<'_>, store: &Connection, folder: i64) -> Result<Answer, Refusal> {
    let folder = access.folder(&rights::EDIT_FOLDERS, folder)?;
    let body: RemoveUser = call.body(REMOVE_USER)?;
    if members::remove(store, folder.id, body.user_id)? {
        Ok(Answer::no_content())
    } else {
        Err(Refusal::not_found("The user is not assigned to this folder."))
    }
}

/// `GET …GetUsersForFolder(key={id},includeInherited={bool})`: the users assigned to the folder and, if asked for,
/// those who reach it from above. Roles from above are shown in either case, with the folder they come from.
pub fn list(
    call: &Call,
    access: &Access<'_>,
    store: &Connection,
    folder: i64,
    include_inherited: bool,
) -> Result<Answer, Refusal> {
    let folder = access.folder(&rights::VIEW_FOLDER_USERS, folder)?;
    let alerts = match call.query.get("includeAlertsEnabled") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Refusal::query("includeAlertsEnabled is true or false.")),
    };
    let names: HashMap<i64, Role> =
        roles::all(store, call.tenant.id)?.into_iter().map(|role| (role.id, role)).collect();
    let mut found: BTreeMap<i64, Membership> = BTreeMap::new();
    for id in folders::upwards(store, folder.id)? {
        let assigned = id == folder.id;
        let from = if assigned { None } else { folders::find(store, call.tenant.id, id)? };
        for (user, roles) in members::of_folder(store, id)? {
            if !assigned && !include_inherited && !found.contains_key(&user) {
                continue;
            }
            let membership = found.entry(user).or_insert_with(|| Membership { assigned, roles: Vec::new() });
            let roles = roles.iter().filter_map(|role| names.get(role));
            membership.roles.extend(roles.map(|role| simple_role(role, from.as_ref())));
        }
    }
    let folders_of = users::folders(store, call.tenant.id)?;
    let mut users = users::all(store, call.tenant.id)?;
    users.retain(|user| found.contains_key(&user.id));
    call.page(ENTITY, &users, |user| {
        let folders = folders_of.get(&user.id).map_or(&[][..], Vec::as_slice);
        row(user, &found[&user.id], folders, alerts)
    })
}

struct Membership {
    assigned: bool,
    roles: Vec<Value>,
}

fn row(user: &User, membership: &Membership, folders: &[i64], alerts: bool) -> Value {
    let mut row = json!({
        "Id": user.id,
        "UserEntity": {
            "FullName": user.name,
            "UserName": user.name,
            "IsInherited": !membership.assigned,
            "AssignedToFolderIds": folders,
            "MayHaveAttended": false,
            "MayHaveUnattended": false,
            "Type": <&str>::from(user.kind),
            "Id": user.id,
        },
        "Roles": membership.roles,
    });
    if alerts {
        row["HasAlertsEnabled"] = json!(false);
    }
    row
}

fn simple_role(role: &Role, from: Option<&Folder>) -> Value {
    let mut value = json!({
        "Id": role.id,
        "Name": role.name,
        "RoleType": <&str>::from(role.kind),
        "Origin": if from.is_some() { "Inherited" } else { "Assigned" },
    });
    if let Some(folder) = from {
        value["InheritedFromFolder"] =
            json!({ "Id": folder.id, "DisplayName": folder.name, "FullyQualifiedName": folder.path });
    }
    value
}
