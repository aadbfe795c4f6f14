//! Bodies of Orchestrator and of the directory, and their meaning in the domain's words. Pure.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::readings;
use crate::domain::registration::{ClientId, PrincipalId};
use crate::domain::tenant::{Folder, FolderId, Member, Principal, Role, RoleId, RoleKind, User, UserId};
use crate::server::ServerError;

/// One page of an OData list.
#[derive(Deserialize)]
pub(super) struct Page<T> {
    pub(super) value: Vec<T>,
    #[serde(rename = "@odata.count")]
    count: Option<usize>,
    /// Where the next page is. It is asked for by its number all the same: no address of an answer is followed.
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

impl<T> Page<T> {
    /// How many rows there are in all, if the server says so.
    pub(super) fn count(&self) -> Option<usize> {
        self.count
    }

    /// Whether rows come after this page. `before`: how many came before it.
    pub(super) fn has_more(&self, before: usize) -> bool {
        let counted = self.count.is_some_and(|count| before + self.value.len() < count);
        !self.value.is_empty() && (self.next.is_some() || counted)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RoleRow {
    id: i64,
    name: String,
    r#type: Option<String>,
}

impl RoleRow {
    pub(super) fn role(self) -> Role {
        let kind = match self.r#type.as_deref() {
            Some("Tenant") => RoleKind::Tenant,
            Some("Folder") => RoleKind::Folder,
            _ => RoleKind::Mixed,
        };
        Role { id: RoleId::new(self.id), name: self.name, kind, barred: None }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct FolderRow {
    id: i64,
    display_name: String,
    fully_qualified_name: Option<String>,
}

impl FolderRow {
    pub(super) fn folder(self) -> Folder {
        Folder { id: FolderId(self.id), path: self.fully_qualified_name.unwrap_or(self.display_name) }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UnitRow {
    id: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UserRow {
    id: i64,
    key: Option<String>,
    directory_identifier: Option<String>,
    roles_list: Option<Vec<String>>,
    organization_units: Option<Vec<UnitRow>>,
}

impl UserRow {
    /// `None` for a row that does not say whom it stands for.
    pub(super) fn user(self) -> Option<User> {
        let principal = readings::principal_of(self.directory_identifier, self.key)?;
        let folders =
            readings::assigned_folders(self.organization_units.map(|units| units.iter().map(|unit| unit.id).collect()));
        let roles = self.roles_list.unwrap_or_default().into_iter().collect();
        Some(User { id: UserId::new(self.id), principal, roles, folders })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MemberRow {
    id: Option<i64>,
    user_entity: Option<UserEntityRow>,
    roles: Option<Vec<AssignedRoleRow>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UserEntityRow {
    id: Option<i64>,
    r#type: Option<String>,
    is_inherited: Option<bool>,
    assigned_to_folder_ids: Option<Vec<i64>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssignedRoleRow {
    name: String,
    origin: Option<String>,
}

impl MemberRow {
    /// `None` for one who only inherits, and for people and robots.
    pub(super) fn member(self) -> Option<Member> {
        let entity = self.user_entity.as_ref();
        let other = |entity: &UserEntityRow| {
            entity.is_inherited == Some(true)
                || entity.r#type.as_deref().is_some_and(|kind| kind != EXTERNAL_APPLICATION)
        };
        if entity.is_some_and(other) {
            return None;
        }
        let user = entity.and_then(|entity| entity.id).or(self.id).map(UserId::new)?;
        let folders = self
            .user_entity
            .and_then(|entity| entity.assigned_to_folder_ids)
            .map(|ids| ids.into_iter().map(FolderId).collect());
        let own = |role: &AssignedRoleRow| role.origin.as_deref() != Some("Inherited");
        let roles = self.roles.unwrap_or_default().into_iter().filter(own).map(|role| role.name).collect();
        Some(Member { user, roles, folders })
    }
}

/// The body that makes a principal a user of the tenant: no person, so no session, no workspace, no licence.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(clippy::struct_excessive_bools, reason = "the API's form")]
pub(super) struct AdmitBody<'a> {
    directory_identifier: &'a PrincipalId,
    domain: &'static str,
    r#type: &'static str,
    roles_list: &'a BTreeSet<String>,
    may_have_user_session: bool,
    may_have_robot_session: bool,
    may_have_unattended_session: bool,
    may_have_personal_workspace: bool,
    restrict_to_personal_workspace: bool,
    is_external_licensed: bool,
    update_policy: UpdatePolicy,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct UpdatePolicy {
    r#type: &'static str,
}

impl<'a> AdmitBody<'a> {
    pub(super) fn new(principal: &'a PrincipalId, roles: &'a BTreeSet<String>) -> Self {
        Self {
            directory_identifier: principal,
            domain: readings::DIRECTORY_DOMAIN,
            r#type: EXTERNAL_APPLICATION,
            roles_list: roles,
            may_have_user_session: false,
            may_have_robot_session: false,
            may_have_unattended_session: false,
            may_have_personal_workspace: false,
            restrict_to_personal_workspace: false,
            is_external_licensed: false,
            update_policy: UpdatePolicy { r#type: "None" },
        }
    }
}

pub(super) const EXTERNAL_APPLICATION: &str = "DirectoryExternalApplication";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NewUser {
    id: i64,
}

impl NewUser {
    pub(super) fn id(&self) -> UserId {
        UserId::new(self.id)
    }
}

/// The numbers of roles here. What is none is nothing of this server.
pub(super) fn role_numbers(roles: &[RoleId]) -> Result<Vec<i64>, ServerError> {
    roles.iter().map(|role| number(role.as_str())).collect()
}

/// The number of a user here.
pub(super) fn user_number(user: &UserId) -> Result<i64, ServerError> {
    number(user.as_str())
}

fn number(id: &str) -> Result<i64, ServerError> {
    id.parse().map_err(|_| ServerError::NotFound)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RolesBody {
    pub(super) role_ids: Vec<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LeaveBody {
    pub(super) user_id: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct FolderRoles {
    folder_id: i64,
    role_ids: Vec<i64>,
}

impl FolderRoles {
    pub(super) fn of(folders: &[(FolderId, Vec<RoleId>)]) -> Result<Vec<Self>, ServerError> {
        let one = |(folder, roles): &(FolderId, Vec<RoleId>)| {
            Ok(Self { folder_id: folder.0, role_ids: role_numbers(roles)? })
        };
        folders.iter().map(one).collect()
    }
}

#[derive(Serialize)]
pub(super) struct AssignmentsBody {
    pub(super) assignments: Assignments,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Assignments {
    pub(super) user_ids: [i64; 1],
    pub(super) roles_per_folder: Vec<FolderRoles>,
}

#[derive(Serialize)]
pub(super) struct AssignmentBody<'a> {
    pub(super) assignment: Assignment<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Assignment<'a> {
    domain: &'static str,
    directory_identifier: &'a PrincipalId,
    user_type: &'static str,
    roles_per_folder: Vec<FolderRoles>,
}

impl<'a> Assignment<'a> {
    pub(super) fn new(principal: &'a PrincipalId, roles_per_folder: Vec<FolderRoles>) -> Self {
        let domain = readings::DIRECTORY_DOMAIN;
        Self { domain, directory_identifier: principal, user_type: EXTERNAL_APPLICATION, roles_per_folder }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResolveBody<'a> {
    entity_names: [&'a str; 1],
    entity_type: &'static str,
}

impl<'a> ResolveBody<'a> {
    pub(super) fn new(name: &'a str) -> Self {
        Self { entity_names: [name], entity_type: "application" }
    }
}

/// By name; `null`, or nothing, where there is none of the name.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct ResolveAnswer(HashMap<String, Option<ResolvedRow>>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResolvedRow {
    identifier: Option<String>,
    application_id: Option<String>,
}

impl ResolveAnswer {
    pub(super) fn principal(&self, client_id: &ClientId, name: &str) -> Principal {
        let Some(Some(row)) = self.0.get(name) else { return Principal::Unknown };
        let Some(identifier) = &row.identifier else { return Principal::Unknown };
        match row.application_id.as_deref().map(ClientId::new) {
            Some(id) if id == *client_id => Principal::Known(PrincipalId::new(identifier)),
            _ => Principal::Ambiguous,
        }
    }
}

/// A row of the directory search.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SearchRow {
    r#type: Value,
    identifier: Option<String>,
    identity_name: Option<String>,
    display_name: Option<String>,
}

/// The application among rows whose names begin alike. One whose identifier is the client id is it. Another one of exactly
/// this name is it only where no other application has the name (`alone`): roles must never go to a namesake.
pub(super) fn found(rows: &[SearchRow], client_id: &ClientId, name: &str, alone: bool) -> Principal {
    let named = |row: &&SearchRow| {
        let names = [&row.identity_name, &row.display_name];
        readings::is_external_application(&row.r#type) && names.into_iter().flatten().any(|candidate| candidate == name)
    };
    let ids: BTreeSet<PrincipalId> =
        rows.iter().filter(named).filter_map(|row| row.identifier.as_deref().map(PrincipalId::new)).collect();
    if let Some(id) = ids.iter().find(|id| id.as_str() == client_id.as_str()) {
        return Principal::Known(id.clone());
    }
    match ids.first() {
        None if alone => Principal::Unknown,
        Some(id) if alone && ids.len() == 1 => Principal::Known(id.clone()),
        _ => Principal::Ambiguous,
    }
}

#[cfg(test)]
mod tests;
