//! What has to be done so that the roles are as listed, in the order in which a crash between any two steps is harmless.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::registration::PrincipalId;
use super::super::tenant::{FolderId, Member, RoleId, Tenant, User, UserId};
use super::judge::{self, Asked, FolderAsked, Refusal};
use super::{Admitted, Record, leaves_tenant_to, writing};
use crate::api::RoleAssignment;

/// The tenant as one pass sees it.
pub struct View<'a> {
    pub tenant: &'a Tenant,
    /// Who is assigned to each folder that is listed, or was.
    pub members: &'a BTreeMap<FolderId, Arc<Vec<Member>>>,
}

impl View<'_> {
    /// The roles of a user in a folder; `None` where it is not assigned to it.
    fn roles(&self, folder: FolderId, user: Option<&UserId>) -> Option<&BTreeSet<String>> {
        self.membership(folder, user?).map(|member| &member.roles)
    }

    fn membership(&self, folder: FolderId, user: &UserId) -> Option<&Member> {
        self.members.get(&folder)?.iter().find(|member| member.user == *user)
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
    /// Whether this assignment has assigned something here, or was about to.
    pub recorded: bool,
}

/// All that one pass has found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    pub admitted: Admitted,
    pub principal: PrincipalId,
    pub seal: String,
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

    /// The same after some folders were refused one by one, and the others were not.
    #[must_use]
    pub fn partly(mut self, refused: &[(FolderId, Refusal)]) -> Self {
        for folder in &mut self.folders {
            let own = refused.iter().filter(|(id, _)| folder.id == Some(*id)).map(|(_, refusal)| refusal.clone());
            let before = folder.refusals.len();
            folder.refusals.extend(own);
            if folder.refusals.len() == before && folder.desired.is_some() {
                folder.actual.clone_from(&folder.desired);
            }
        }
        self
    }
}

/// Whom an assignment is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub principal: PrincipalId,
    /// What the operator has written down, and that it has. Empty for another identity than this one.
    pub record: Record,
    pub seal: String,
}

/// Compares what is listed with what is assigned.
pub fn assess(
    object: &RoleAssignment,
    admitted: Admitted,
    known: Known,
    view: &View<'_>,
    rivals: &[Arc<RoleAssignment>],
) -> Assessment {
    let Known { principal, record, seal } = known;
    let user = view.tenant.user(&principal);
    let actual = user.map(|user| user.roles.clone()).unwrap_or_default();
    let (desired, tenant_refusals) = match judge::tenant_roles(object, view.tenant, rivals) {
        None => (None, Vec::new()),
        Some(asked) => (desired(&asked, &actual), asked.refusals),
    };
    let folders: Vec<FolderPlan> = judge::folders(object, view.tenant, rivals)
        .into_iter()
        .map(|folder| planned(folder, user.map(|user| &user.id), &record, view))
        .collect();
    let leaving = leaving(&record, &folders, user, view, rivals);
    let unrecorded = record.principal.as_ref() != Some(&principal) || record.seal != seal;
    let steps = steps(unrecorded, user, (&actual, desired.as_ref()), &folders, &leaving, view.tenant);
    Assessment { admitted, principal, seal, tenant_roles: (actual, desired), tenant_refusals, folders, leaving, steps }
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

fn planned(folder: FolderAsked, user: Option<&UserId>, record: &Record, view: &View<'_>) -> FolderPlan {
    // A folder that was renamed is still the one in which something is assigned.
    let before = || record.folders.iter().find(|(path, _)| *path == folder.path).map(|(_, id)| *id);
    let id = folder.id.or_else(before);
    let actual = id.and_then(|id| view.roles(id, user)).cloned();
    let desired = folder.id.and_then(|_| desired(&folder.asked, &actual.clone().unwrap_or_default()));
    let recorded = id.is_some_and(|id| record.has(id));
    FolderPlan { id, actual, desired, refusals: folder.asked.refusals, recorded, path: folder.path }
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
    let left = |folder: &&(String, FolderId)| {
        !listed.contains(&folder.1) && !kept(folder, rivals) && view.membership(folder.1, &user.id).is_some()
    };
    record.folders.iter().filter(left).cloned().collect()
}

/// Whether another assignment lists this folder, by the path that this one knew it by, or by its number.
fn kept((path, id): &(String, FolderId), rivals: &[Arc<RoleAssignment>]) -> bool {
    writing(rivals).any(|rival| {
        let record = Record::of(rival);
        let numbered = |listed: &str| record.folders.iter().any(|(known, number)| known == listed && number == id);
        rival.spec.folders.iter().any(|theirs| theirs.path == *path || numbered(&theirs.path))
    })
}

fn steps(
    unrecorded: bool,
    user: Option<&User>,
    (actual, desired): (&BTreeSet<String>, Option<&BTreeSet<String>>),
    folders: &[FolderPlan],
    leaving: &[(String, FolderId)],
    tenant: &Tenant,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let differing = folders.iter().filter(|folder| folder.desired.is_some() && folder.desired != folder.actual);
    let set: Vec<(FolderId, Vec<RoleId>)> =
        differing.filter_map(|folder| Some((folder.id?, ids(folder.desired.as_ref()?, tenant)))).collect();
    if unrecorded || folders.iter().any(|folder| folder.desired.is_some() && !folder.recorded) {
        steps.push(Step::Record);
    }
    match (user, desired) {
        (None, Some(roles)) if !roles.is_empty() => steps.push(Step::Admit { roles: roles.clone() }),
        (Some(user), Some(roles)) if roles != actual => {
            steps.push(Step::SetTenantRoles { user: user.id.clone(), roles: ids(roles, tenant) });
        }
        _ => {}
    }
    if !set.is_empty() {
        steps.push(Step::SetFolderRoles { user: user.map(|user| user.id.clone()), folders: set });
    }
    if let Some(user) = user {
        steps.extend(leaving.iter().map(|(_, folder)| Step::Leave { user: user.id.clone(), folder: *folder }));
    }
    steps
}

fn ids(names: &BTreeSet<String>, tenant: &Tenant) -> Vec<RoleId> {
    names.iter().filter_map(|name| tenant.role(name)).map(|role| role.id.clone()).collect()
}

/// What takes away all that this assignment has given to a user, and nothing else: the user itself goes only where the
/// server says that nothing is left to it.
pub fn departure(object: &RoleAssignment, record: &Record, user: &User, rivals: &[Arc<RoleAssignment>]) -> Vec<Step> {
    let tenant_kept = leaves_tenant_to(object, rivals) || writing(rivals).any(|rival| !rival.spec.roles.is_empty());
    let alone = !tenant_kept && writing(rivals).all(|rival| rival.spec.folders.is_empty());
    // A server that says of a user with recorded folders that it has none at all is not believed: it may not say it here.
    let said = user.folders.as_ref().filter(|folders| !folders.is_empty() || record.folders.is_empty());
    if alone && said.is_some_and(|folders| folders.iter().all(|id| record.has(*id))) {
        return vec![Step::Expel { user: user.id.clone() }];
    }
    let assigned =
        |folder: &&(String, FolderId)| !kept(folder, rivals) && said.is_none_or(|folders| folders.contains(&folder.1));
    let left = record.folders.iter().filter(assigned);
    let mut steps: Vec<Step> = left.map(|(_, id)| Step::Leave { user: user.id.clone(), folder: *id }).collect();
    if !tenant_kept && !user.roles.is_empty() {
        steps.push(Step::SetTenantRoles { user: user.id.clone(), roles: Vec::new() });
    }
    steps
}
