//! Orchestrator: who may do what in a tenant and its folders.
//!
//! Requests at <https://docs.uipath.com/orchestrator/automation-cloud/latest/api-guide>: OData, in pages.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::header::HeaderValue;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::answer::Reader;
use super::operation::{self, Operation};
use super::session::{Call, Organization};
use super::{AuthorizationServer as _, Uipath, done, gone, readings};
use crate::domain::registration::{ClientId, PrincipalId};
use crate::domain::tenant::{FolderId, Member, Principal, RoleId, Tenant, User, UserId};
use crate::server::http::Answer;
use crate::server::permissions::{About, Assignee, Permissions};
use crate::server::{Lane, ServerError, ServerText};

mod wire;

use wire::{
    AdmitBody, Assignment, AssignmentBody, Assignments, AssignmentsBody, FolderRoles, FolderRow, LeaveBody, MemberRow,
    NewUser, Page, ResolveAnswer, ResolveBody, RoleRow, RolesBody, SearchRow, UserRow,
};

/// Rows to ask for at once: the most that Orchestrator gives. It may give fewer.
const PAGE: usize = 1_000;
/// The most pages of one kind. A tenant that has more is not read to its end, and that is an error.
const PAGES: usize = 200;

/// How often a list is begun that others change.
const READINGS: usize = 4;

/// The two names of the action that assigns an identity of the directory: in the cloud, and in installations of one's own.
const IN_THE_CLOUD: &str = "UiPath.Server.Configuration.OData.AssignDirectoryUser";
const ON_PREMISES: &str = "UiPath.Server.Configuration.OData.AssignDomainUser";

/// Which of them this server took last.
#[derive(Debug)]
pub(super) struct AssignAction(AtomicBool);

impl AssignAction {
    pub(super) fn of(deployment: super::Deployment) -> Self {
        Self(AtomicBool::new(deployment == super::Deployment::AutomationCloud))
    }

    /// The one to try first, then the other.
    fn both(&self) -> [(&'static str, bool); 2] {
        let cloud = self.0.load(Ordering::Relaxed);
        let name = |cloud| if cloud { IN_THE_CLOUD } else { ON_PREMISES };
        [(name(cloud), cloud), (name(!cloud), !cloud)]
    }
}

impl Permissions for Uipath {
    async fn principal(
        &self,
        tenant: &str,
        client_id: &ClientId,
        name: &str,
        lane: Lane,
    ) -> Result<Principal, ServerError> {
        let prepare = |organization: Organization<'_>| {
            Call::with(self.session.paths.resolve(organization?), &ResolveBody::new(name))
        };
        let read = |reader: &Reader<'_>, answer: &Answer| reader.json::<ResolveAnswer>(answer);
        match self.session.call(operation::RESOLVE, lane, prepare, read).await {
            Ok(found) => match found.principal(client_id, name) {
                // Another one has the name, and only one of a name is answered: the other way to look may know both.
                Principal::Ambiguous => {
                    let rows = self.search(tenant, name, lane).await?;
                    Ok(wire::found(&rows, client_id, name, false))
                }
                clear => Ok(clear),
            },
            // An older server. Nothing in its answers tells one application from another of the same name.
            Err(ServerError::NotFound) => {
                let rows = self.search(tenant, name, lane).await?;
                let list = self.list(lane).await?;
                let mut named = list.iter().filter(|row| row.display_name == name);
                let alone = named.next().is_some_and(|row| row.client_id == *client_id) && named.next().is_none();
                Ok(wire::found(&rows, client_id, name, alone))
            }
            Err(error) => Err(error),
        }
    }

    async fn user(&self, tenant: &str, principal: &PrincipalId, lane: Lane) -> Result<Option<User>, ServerError> {
        let (mut url, header) = self.address(tenant, &["api", "DirectoryService", "GetDomainUserId"])?;
        url.query_pairs_mut().extend_pairs([
            ("domain", readings::DIRECTORY_DOMAIN),
            ("directoryIdentifier", principal.as_str()),
            ("userName", ""),
            ("userType", wire::EXTERNAL_APPLICATION),
        ]);
        let id: i64 = match self.get(operation::USER_ID, lane, url, header).await {
            Ok(id) => id,
            // Nothing says whether this is the server's own word. The list is.
            Err(ServerError::NotFound) => {
                let about = About { principal, roles: &BTreeSet::new() };
                let all = self.tenant(tenant, about, lane).await?;
                return Ok(all.users.into_iter().find(|user| user.principal == *principal));
            }
            Err(error) => return Err(error),
        };
        let (mut url, header) = self.address(tenant, &["odata", &format!("Users({id})")])?;
        url.query_pairs_mut().append_pair("$expand", "OrganizationUnits");
        let row: UserRow = match self.get(operation::USER, lane, url, header).await {
            Ok(row) => row,
            Err(ServerError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let asked_for = row.user().filter(|user| user.principal == *principal);
        asked_for.map(Some).ok_or(ServerError::Unintelligible { what: "another user than the one asked for" })
    }

    /// Everything, whoever asks: others share it.
    async fn tenant(&self, tenant: &str, _about: About<'_>, lane: Lane) -> Result<Tenant, ServerError> {
        let roles = self.rows::<RoleRow>(operation::ROLES, tenant, &["Roles"], &[("$orderby", "Id")], lane).await?;
        let folders =
            self.rows::<FolderRow>(operation::FOLDERS, tenant, &["Folders"], &[("$orderby", "Id")], lane).await?;
        let applications = [
            ("$filter", "Type eq 'DirectoryExternalApplication'"),
            ("$expand", "OrganizationUnits"),
            ("$orderby", "Id"),
        ];
        let users = self.rows::<UserRow>(operation::USERS, tenant, &["Users"], &applications, lane).await?;
        Ok(Tenant {
            roles: roles.into_iter().map(RoleRow::role).collect(),
            folders: folders.into_iter().map(FolderRow::folder).collect(),
            users: users.into_iter().filter_map(UserRow::user).collect(),
        })
    }

    async fn members(&self, tenant: &str, folder: FolderId, lane: Lane) -> Result<Vec<Member>, ServerError> {
        let function =
            format!("UiPath.Server.Configuration.OData.GetUsersForFolder(key={folder},includeInherited=false)");
        let options = [("$expand", "UserEntity,Roles"), ("includeAlertsEnabled", "true"), ("$orderby", "Id")];
        let rows = self.rows::<MemberRow>(operation::MEMBERS, tenant, &["Folders", &function], &options, lane).await?;
        Ok(rows.into_iter().filter_map(MemberRow::member).collect())
    }

    async fn admit(
        &self,
        tenant: &str,
        principal: &PrincipalId,
        roles: &BTreeSet<String>,
    ) -> Result<UserId, ServerError> {
        let body = AdmitBody::new(principal, roles);
        let prepare = |_: Organization<'_>| self.post(tenant, &["Users"], &body);
        let read = |reader: &Reader<'_>, answer: &Answer| reader.json::<NewUser>(answer).map(|user| user.id());
        self.session.call(operation::ADMIT, Lane::User, prepare, read).await
    }

    async fn set_tenant_roles(&self, tenant: &str, user: &UserId, roles: &[RoleId]) -> Result<(), ServerError> {
        let body = RolesBody { role_ids: wire::role_numbers(roles)? };
        let path = [format!("Users({user})"), "UiPath.Server.Configuration.OData.AssignRoles".to_owned()];
        let prepare = |_: Organization<'_>| self.post(tenant, &[&path[0], &path[1]], &body);
        self.session.call(operation::TENANT_ROLES, Lane::User, prepare, done).await
    }

    async fn set_folder_roles(
        &self,
        tenant: &str,
        assignee: &Assignee,
        folders: &[(FolderId, Vec<RoleId>)],
    ) -> Result<(), ServerError> {
        let roles = FolderRoles::of(folders)?;
        match assignee {
            Assignee::User(user) => {
                let assignments = Assignments { user_ids: [wire::user_number(user)?], roles_per_folder: roles };
                let body = AssignmentsBody { assignments };
                let path = ["Folders", "UiPath.Server.Configuration.OData.AssignUsers"];
                let prepare = |_: Organization<'_>| self.post(tenant, &path, &body);
                self.session.call(operation::FOLDER_ROLES, Lane::User, prepare, done).await
            }
            Assignee::Principal(principal) => {
                let body = AssignmentBody { assignment: Assignment::new(principal, roles) };
                self.assign_directory_user(tenant, &body).await
            }
        }
    }

    async fn leave(&self, tenant: &str, folder: FolderId, user: &UserId) -> Result<(), ServerError> {
        let body = LeaveBody { user_id: wire::user_number(user)? };
        let path = [format!("Folders({folder})"), "UiPath.Server.Configuration.OData.RemoveUserFromFolder".to_owned()];
        let prepare = |_: Organization<'_>| self.post(tenant, &[&path[0], &path[1]], &body);
        gone(self.session.call(operation::LEAVE, Lane::User, prepare, done).await)
    }

    async fn expel(&self, tenant: &str, user: &UserId) -> Result<(), ServerError> {
        let path = format!("Users({user})");
        let prepare = |_: Organization<'_>| self.at(tenant, &["odata", &path]);
        gone(self.session.call(operation::EXPEL, Lane::User, prepare, done).await)
    }
}

impl Uipath {
    /// A request of a tenant, without a body.
    fn at(&self, tenant: &str, path: &[&str]) -> Result<Call, ServerError> {
        let (url, header) = self.address(tenant, path)?;
        Ok(Call::to(url).within(header))
    }

    fn post(&self, tenant: &str, path: &[&str], body: &impl Serialize) -> Result<Call, ServerError> {
        let path: Vec<&str> = ["odata"].iter().chain(path).copied().collect();
        let (url, header) = self.address(tenant, &path)?;
        Ok(Call::with(url, body)?.within(header))
    }

    fn address(&self, tenant: &str, path: &[&str]) -> Result<(Url, Option<HeaderValue>), ServerError> {
        let unusable = || ServerError::Rejected { text: ServerText::ours("this cannot be the name of a tenant") };
        self.session.paths.orchestrator(&self.session.organization, tenant, path).ok_or_else(unusable)
    }

    async fn get<T: DeserializeOwned>(
        &self,
        operation: Operation,
        lane: Lane,
        url: Url,
        header: Option<HeaderValue>,
    ) -> Result<T, ServerError> {
        let prepare = |_: Organization<'_>| Ok(Call::to(url.clone()).within(header.clone()));
        self.session.call(operation, lane, prepare, |reader: &Reader<'_>, answer: &Answer| reader.json(answer)).await
    }

    /// All rows of a list. How many come at once is the server's decision. A list that others change between two pages
    /// may lose rows, so it is read anew.
    async fn rows<T: DeserializeOwned>(
        &self,
        operation: Operation,
        tenant: &str,
        path: &[&str],
        options: &[(&str, &str)],
        lane: Lane,
    ) -> Result<Vec<T>, ServerError> {
        for _ in 0..READINGS {
            if let Some(rows) = self.undisturbed(operation, tenant, path, options, lane).await? {
                return Ok(rows);
            }
        }
        Err(ServerError::Unintelligible { what: "a list that changes while it is read" })
    }

    /// The same, once; `None` if its length changed meanwhile.
    async fn undisturbed<T: DeserializeOwned>(
        &self,
        operation: Operation,
        tenant: &str,
        path: &[&str],
        options: &[(&str, &str)],
        lane: Lane,
    ) -> Result<Option<Vec<T>>, ServerError> {
        let path: Vec<&str> = ["odata"].iter().chain(path).copied().collect();
        let (mut rows, mut length): (Vec<T>, Option<usize>) = (Vec::new(), None);
        for _ in 0..PAGES {
            let (mut url, header) = self.address(tenant, &path)?;
            let skip = rows.len().to_string();
            url.query_pairs_mut().extend_pairs(options).extend_pairs([
                ("$count", "true"),
                ("$top", &PAGE.to_string()),
                ("$skip", &skip),
            ]);
            let page: Page<T> = self.get(operation, lane, url, header).await?;
            if !rows.is_empty() && page.count() != length {
                return Ok(None);
            }
            length = page.count();
            let more = page.has_more(rows.len());
            rows.extend(page.value);
            if !more {
                return Ok(Some(rows));
            }
        }
        Err(ServerError::Unintelligible { what: "a list without an end" })
    }

    /// All external applications whose names begin like this.
    async fn search(&self, tenant: &str, name: &str, lane: Lane) -> Result<Vec<SearchRow>, ServerError> {
        let (mut url, header) = self.address(tenant, &["api", "DirectoryService", "SearchForUsersAndGroups"])?;
        url.query_pairs_mut().extend_pairs([
            ("searchContext", "ExternalApplications"),
            ("domain", readings::DIRECTORY_DOMAIN),
            ("prefix", name),
        ]);
        self.get(operation::SEARCH, lane, url, header).await
    }

    /// One of two actions, by the kind of installation. The wrong one is refused in words that say nothing of it, so the
    /// other is tried before a refusal is believed.
    async fn assign_directory_user(&self, tenant: &str, body: &AssignmentBody<'_>) -> Result<(), ServerError> {
        let mut refusal = None;
        for (action, cloud) in self.assign_action.both() {
            let prepare = |_: Organization<'_>| self.post(tenant, &["Folders", action], body);
            match self.session.call(operation::DIRECTORY_ROLES, Lane::User, prepare, done).await {
                Ok(()) => {
                    self.assign_action.0.store(cloud, Ordering::Relaxed);
                    return Ok(());
                }
                Err(error) if readings::may_be_the_wrong_action(&error) => {
                    refusal.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(refusal.unwrap_or(ServerError::NotFound))
    }
}
