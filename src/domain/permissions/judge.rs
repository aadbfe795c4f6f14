//! What is asked for, against what the tenant has.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::reason::Reason;
use super::super::scopes::nearest;
use super::super::tenant::{FolderId, Role, RoleKind, Tenant};
use super::{leaves_tenant_to, names, writing};
use crate::api::RoleAssignment;
use crate::api::role_assignment::FolderRoles;

/// Something that a person has to change, in their words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    pub message: String,
}

/// What is asked for in one place, as far as it can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub roles: Vec<Role>,
    pub refusals: Vec<Refusal>,
    /// Whether another assignment says something else: then nothing is done here.
    pub disputed: bool,
}

/// What is asked for in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderAsked {
    pub path: String,
    /// `None`: there is no such folder.
    pub id: Option<FolderId>,
    pub asked: Asked,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Tenant,
    Folder,
}

/// The roles of the tenant itself. `None`: this assignment leaves them to another one.
pub fn tenant_roles(object: &RoleAssignment, tenant: &Tenant, rivals: &[Arc<RoleAssignment>]) -> Option<Asked> {
    if leaves_tenant_to(object, rivals) {
        return None;
    }
    let own = names(&object.spec.roles);
    let differs = |rival: &&Arc<RoleAssignment>| !rival.spec.roles.is_empty() && names(&rival.spec.roles) != own;
    let opponent = writing(rivals).find(differs);
    Some(asked(&object.spec.roles, Place::Tenant, "", tenant, opponent))
}

/// Every folder listed, with its roles.
pub fn folders(object: &RoleAssignment, tenant: &Tenant, rivals: &[Arc<RoleAssignment>]) -> Vec<FolderAsked> {
    object.spec.folders.iter().map(|listed| folder(listed, tenant, rivals)).collect()
}

fn folder(listed: &FolderRoles, tenant: &Tenant, rivals: &[Arc<RoleAssignment>]) -> FolderAsked {
    let path = &listed.path;
    let own = names(&listed.roles);
    let differs = |rival: &&Arc<RoleAssignment>| {
        rival.spec.folders.iter().any(|theirs| theirs.path == *path && names(&theirs.roles) != own)
    };
    let place = format!("folder {path}: ");
    let mut asked = asked(&listed.roles, Place::Folder, &place, tenant, writing(rivals).find(differs));
    let known = tenant.folder(path);
    if known.is_none() {
        asked = Asked { roles: Vec::new(), refusals: vec![unknown_folder(path, tenant)], disputed: asked.disputed };
    }
    FolderAsked { path: path.clone(), id: known.map(|folder| folder.id), asked }
}

fn asked(
    wanted: &[String],
    place: Place,
    prefix: &str,
    tenant: &Tenant,
    opponent: Option<&Arc<RoleAssignment>>,
) -> Asked {
    let mut asked = Asked { roles: Vec::new(), refusals: Vec::new(), disputed: opponent.is_some() };
    if let Some(opponent) = opponent {
        let what = if place == Place::Tenant { "roles in the tenant" } else { "roles" };
        let name = opponent.metadata.name.as_deref().unwrap_or_default();
        let message =
            format!("{prefix}RoleAssignment {name} lists other {what}: say it in one of them; nothing is changed here");
        asked.refusals.push(Refusal { reason: Reason::AssignmentConflict, message });
    }
    for name in wanted.iter().collect::<BTreeSet<_>>() {
        match role(name, place, tenant) {
            Ok(role) => asked.roles.push(role.clone()),
            Err((reason, message)) => {
                asked.refusals.push(Refusal { reason, message: format!("{prefix}{message}") });
            }
        }
    }
    asked
}

fn role<'a>(name: &str, place: Place, tenant: &'a Tenant) -> Result<&'a Role, (Reason, String)> {
    let Some(role) = tenant.role(name) else {
        let fits = |role: &&Role| fits(role, place) && role.barred.is_none();
        let near = nearest(name, tenant.roles.iter().filter(fits).map(|role| role.name.as_str()));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
        return Err((Reason::UnknownRole, format!("role {name}: unknown{hint}")));
    };
    if let Some(why) = role.barred {
        return Err((Reason::RoleNotAllowed, format!("role {name}: {why}")));
    }
    if fits(role, place) {
        return Ok(role);
    }
    let message = match place {
        Place::Tenant => format!("role {name} is a folder's role: list it under a folder"),
        Place::Folder => format!("role {name} is a tenant's role: list it under spec.roles"),
    };
    Err((Reason::WrongRoleType, message))
}

fn fits(role: &Role, place: Place) -> bool {
    match role.kind {
        RoleKind::Mixed => true,
        RoleKind::Tenant => place == Place::Tenant,
        RoleKind::Folder => place == Place::Folder,
    }
}

fn unknown_folder(path: &str, tenant: &Tenant) -> Refusal {
    let near = nearest(path, tenant.folders.iter().map(|folder| folder.path.as_str()));
    let message = match near {
        Some(near) => format!("folder {path}: unknown; did you mean {near}?"),
        None if tenant.folders.is_empty() => format!(
            "folder {path}: unknown; the operator sees no folder at all: give its external application the scope OR.Default and a role in the tenant that allows Units.View"
        ),
        None => format!("folder {path}: unknown; write the names from the top folder down, such as Shared/Finance"),
    };
    Refusal { reason: Reason::UnknownFolder, message }
}
