//! What has to be done so that the roles are as listed, in the order in which a crash between any two steps is harmless.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::registration::PrincipalId;
use super::super::tenant::{FolderId, Member, RoleId, Tenant, User, UserId};
use super::judge::{self, Asked, FolderAsked, Refusal};
use super::{Admitted, Record};
use crate::api::RoleAssignment;

/// The tenant as one pass sees it.
pub struct View<'a> {
    pub tenant: &'a Tenant,
    /// Who is assigned to each folder that is listed, or was.
    pub members: &'a BTreeMap<FolderId, Arc<Vec<Member>>>,
}

impl<'a> View<'a> {
    /// The roles of a user in a folder; `None` where it is not assigned to it.
    fn roles(&self, folder: FolderId, user: Option<UserId>) -> Option<&BTreeSet<String>> {
        self.membership(folder, user?).map(|member| &member.roles)
    }

    fn membership(&self, folder: FolderId, user: UserId) -> Option<&Member> {
        self.members.get(&folder)?.iter().find(|member| member.user == user)
    }

    /// Every folder that a user is assigned to, if the server has said so.
    fn folders_of(&self, user: &'a User) -> Option<&'a BTreeSet<FolderId>> {
        let said = || self.members.values().flat_map(|members| members.iter()).find(|member| member.user == user.id);
        user.folders.as_ref().or_else(|| said().and_then(|member| member.folders.as_ref()))
    }
}

/// One thing to do. Each sets a state, so that it may be done again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write down whom and which folders the next steps are about, so that they can be taken back whatever happens.
    Record,
    /// Make the principal known to the tenant, with these roles.
    Admit {
        roles: BTreeSet<String>,
    },
    SetTenantRoles {
        user: UserId,
        roles: Vec<RoleId>,
    },
    /// `user`: `None` where the tenant does not know the principal yet.
    SetFolderRoles {
        user: Option<UserId>,
        folders: Vec<(FolderId, Vec<RoleId>)>,
    },
    Leave {
        user: UserId,
        folder: FolderId,
    },
    /// Take the user out of the tenant, with everything.
    Expel {
        user: UserId,
    },
}

/// One folder: how it is, and how it shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderPlan {
    pub path: String,
    pub id: Option<FolderId>,
    /// `None`: not assigned to it.
    pub actual: Option<BTreeSet<String>>,
    /// `None`: it is left as it is.
    pub desired: Option<BTreeSet<String>>,
    pub refusals: Vec<Refusal>,
}

/// All that one pass has found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    pub admitted: Admitted,
    pub principal: PrincipalId,
    /// The roles in the tenant, as they are and as they shall be; `None`: they are left as they are.
    pub tenant_roles: (BTreeSet<String>, Option<BTreeSet<String>>),
    pub tenant_refusals: Vec<Refusal>,
    pub folders: Vec<FolderPlan>,
    /// Folders that are no longer listed, and in which something is still assigned.
    pub leaving: Vec<(String, FolderId)>,
    pub steps: Vec<Step>,
}

impl Assessment {
    /// All refusals, the tenant's first.
    pub fn refusals(&self) -> impl Iterator<Item = &Refusal> {
        self.tenant_refusals.iter().chain(self.folders.iter().flat_map(|folder| &folder.refusals))
    }

    /// Whether something at the server is not as it shall be.
    pub fn differs(&self) -> bool {
        self.steps.iter().any(|step| *step != Step::Record)
    }
}

/// Compares what is listed with what is assigned.
pub fn assess(
    object: &RoleAssignment,
    admitted: Admitted,
    principal: PrincipalId,
    view: &View<'_>,
    rivals: &[Arc<RoleAssignment>],
) -> Assessment {
    let record = Record::of(object);
    let user = view.tenant.user(&principal);
    let actual = user.map(|user| user.roles.clone()).unwrap_or_default();
    let (desired, tenant_refusals) = match judge::tenant_roles(object, view.tenant, rivals) {
        None => (None, Vec::new()),
        Some(asked) => (desired(&asked, &actual), asked.refusals),
    };
    let folders: Vec<FolderPlan> = judge::folders(object, view.tenant, rivals)
        .into_iter()
        .map(|folder| planned(folder, user.map(|user| user.id), &record, view))
        .collect();
    let known = record.principal.as_ref() == Some(&principal);
    let leaving = if known { leaving(&record, &folders, user, view, rivals) } else { Vec::new() };
    let steps = steps(&principal, &record, user, (&actual, desired.as_ref()), &folders, &leaving, view, rivals);
    Assessment { admitted, principal, tenant_roles: (actual, desired), tenant_refusals, folders, leaving, steps }
}

/// What a place shall have. While something of it is refused, nothing is taken away there: a role that was renamed at the
/// server would be lost.
fn desired(asked: &Asked, actual: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    if asked.disputed {
        return None;
    }
    let mut names: BTreeSet<String> = asked.roles.iter().map(|role| role.name.clone()).collect();
    if !asked.refusals.is_empty() {
        if names.is_empty() {
            return None;
        }
        names.extend(actual.iter().cloned());
    }
    Some(names)
}

fn planned(folder: FolderAsked, user: Option<UserId>, record: &Record, view: &View<'_>) -> FolderPlan {
    // A folder that was renamed is still the one in which something is assigned.
    let recorded = || record.folders.iter().find(|(path, _)| *path == folder.path).map(|(_, id)| *id);
    let actual = folder.id.and_then(|id| view.roles(id, user)).cloned();
    let desired = folder.id.and_then(|_| desired(&folder.asked, &actual.clone().unwrap_or_default()));
    FolderPlan { id: folder.id.or_else(recorded), actual, desired, refusals: folder.asked.refusals, path: folder.path }
}

/// What was listed before and is not now, where something is assigned and no other assignment lists it.
fn leaving(
    record: &Record,
    folders: &[FolderPlan],
    user: Option<&User>,
    view: &View<'_>,
    rivals: &[Arc<RoleAssignment>],
) -> Vec<(String, FolderId)> {
    let Some(user) = user else { return Vec::new() };
    let listed: BTreeSet<FolderId> = folders.iter().filter_map(|folder| folder.id).collect();
    let left = |(_, id): &&(String, FolderId)| {
        !listed.contains(id) && !kept(*id, view.tenant, rivals) && view.membership(*id, user.id).is_some()
    };
    record.folders.iter().filter(left).cloned().collect()
}

/// Whether another assignment lists this folder.
fn kept(id: FolderId, tenant: &Tenant, rivals: &[Arc<RoleAssignment>]) -> bool {
    let path = tenant.folders.iter().find(|folder| folder.id == id).map(|folder| folder.path.as_str());
    let listed =
        |rival: &Arc<RoleAssignment>| rival.spec.folders.iter().any(|theirs| Some(theirs.path.as_str()) == path);
    rivals.iter().any(listed)
}

#[allow(clippy::too_many_arguments, reason = "one story, told once")]
fn steps(
    principal: &PrincipalId,
    record: &Record,
    user: Option<&User>,
    (actual, desired): (&BTreeSet<String>, Option<&BTreeSet<String>>),
    folders: &[FolderPlan],
    leaving: &[(String, FolderId)],
    view: &View<'_>,
    rivals: &[Arc<RoleAssignment>],
) -> Vec<Step> {
    let mut steps = Vec::new();
    // The application was registered anew: what its former identity has goes first, while the record still names it.
    let former = record.principal.as_ref().filter(|former| *former != principal);
    if let Some(former) = former.and_then(|former| view.tenant.user(former)) {
        steps.extend(departure(former, record, view, rivals));
    }
    let differing = folders.iter().filter(|folder| folder.desired.is_some() && folder.desired != folder.actual);
    let set: Vec<(FolderId, Vec<RoleId>)> =
        differing.filter_map(|folder| Some((folder.id?, ids(folder.desired.as_ref()?, view.tenant)))).collect();
    let owned = folders.iter().filter(|folder| folder.desired.is_some()).filter_map(|folder| folder.id);
    let unrecorded = record.principal.as_ref() != Some(principal) || owned.into_iter().any(|id| !record.has(id));
    if unrecorded {
        steps.push(Step::Record);
    }
    match (user, desired) {
        (None, Some(roles)) if !roles.is_empty() => steps.push(Step::Admit { roles: roles.clone() }),
        (Some(user), Some(roles)) if roles != actual => {
            steps.push(Step::SetTenantRoles { user: user.id, roles: ids(roles, view.tenant) });
        }
        _ => {}
    }
    if !set.is_empty() {
        steps.push(Step::SetFolderRoles { user: user.map(|user| user.id), folders: set });
    }
    if let Some(user) = user {
        steps.extend(leaving.iter().map(|(_, folder)| Step::Leave { user: user.id, folder: *folder }));
    }
    steps
}

fn ids(names: &BTreeSet<String>, tenant: &Tenant) -> Vec<RoleId> {
    names.iter().filter_map(|name| tenant.role(name)).map(|role| role.id).collect()
}

/// What takes away all that this assignment has given to a user, and nothing else: the user itself goes only where the
/// server says that nothing is left to it.
pub fn departure<'a>(user: &'a User, record: &Record, view: &View<'a>, rivals: &[Arc<RoleAssignment>]) -> Vec<Step> {
    let tenant_kept = rivals.iter().any(|rival| !rival.spec.roles.is_empty());
    let stays = |id: &FolderId| !record.has(*id) || kept(*id, view.tenant, rivals);
    let nothing_left = view.folders_of(user).is_some_and(|folders| !folders.iter().any(stays));
    if nothing_left && !tenant_kept && rivals.iter().all(|rival| rival.spec.folders.is_empty()) {
        return vec![Step::Expel { user: user.id }];
    }
    let assigned =
        |(_, id): &&(String, FolderId)| !kept(*id, view.tenant, rivals) && view.membership(*id, user.id).is_some();
    let left = record.folders.iter().filter(assigned);
    let mut steps: Vec<Step> = left.map(|(_, id)| Step::Leave { user: user.id, folder: *id }).collect();
    if !tenant_kept && !user.roles.is_empty() {
        steps.push(Step::SetTenantRoles { user: user.id, roles: Vec::new() });
    }
    steps
}
