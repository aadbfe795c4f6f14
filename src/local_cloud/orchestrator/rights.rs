//! Who may do what.
//!
//! An application may do what one of its scopes names, in every tenant and every folder; or, if its token has
//! `OR.Default`, what its roles permit, in the tenant or in a folder and all folders below. It is enough that one of
//! the two ways is open. For a person both have to be: the scope says what the application may do on somebody's
//! behalf, the roles say what that somebody may do.

use std::collections::HashSet;

use rusqlite::Connection;

use super::Call;
use super::errors::Refusal;
use crate::local_cloud::DEFAULT_SCOPE;
use crate::local_cloud::store::orchestrator::folders::{self, Folder};
use crate::local_cloud::store::orchestrator::{directory, users};
use crate::local_cloud::store::people;

/// What an operation asks for: any of the scopes, or any of the permissions.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    scopes: &'static [&'static str],
    /// Permissions that count in the tenant.
    tenant: &'static [&'static str],
    /// Permissions that count in the folder that the operation is about.
    folder: &'static [&'static str],
}

const fn need(
    scopes: &'static [&'static str],
    tenant: &'static [&'static str],
    folder: &'static [&'static str],
) -> Need {
    Need { scopes, tenant, folder }
}

const READ_FOLDERS: &[&str] = &["OR.Folders", "OR.Folders.Read"];
const WRITE_FOLDERS: &[&str] = &["OR.Folders", "OR.Folders.Write"];
const READ_USERS: &[&str] = &["OR.Users", "OR.Users.Read"];
const WRITE_USERS: &[&str] = &["OR.Users", "OR.Users.Write"];
const READ_QUEUES: &[&str] = &["OR.Queues", "OR.Queues.Read"];
const WRITE_QUEUES: &[&str] = &["OR.Queues", "OR.Queues.Write"];

pub const VIEW_FOLDERS: Need = need(READ_FOLDERS, &["Units.View"], &["SubFolders.View"]);
pub const CREATE_FOLDERS: Need = need(WRITE_FOLDERS, &["Units.Create"], &["SubFolders.Create"]);
pub const EDIT_FOLDERS: Need = need(WRITE_FOLDERS, &["Units.Edit"], &["SubFolders.Edit"]);
pub const DELETE_FOLDERS: Need = need(WRITE_FOLDERS, &["Units.Delete"], &["SubFolders.Delete"]);
pub const VIEW_FOLDER_USERS: Need =
    need(READ_FOLDERS, &["Units.View"], &["SubFolders.View", "Assets.Create", "Assets.Edit"]);
pub const LIST_ROLES: Need = need(READ_USERS, &["Roles.View", "Units.Edit"], &["SubFolders.Edit"]);
pub const VIEW_ROLES: Need = need(READ_USERS, &["Roles.View"], &[]);
pub const CREATE_ROLES: Need = need(WRITE_USERS, &["Roles.Create"], &[]);
pub const EDIT_ROLES: Need = need(WRITE_USERS, &["Roles.Edit"], &[]);
pub const DELETE_ROLES: Need = need(WRITE_USERS, &["Roles.Delete"], &[]);
pub const VIEW_USERS: Need = need(READ_USERS, &["Users.View"], &[]);
pub const CREATE_USERS: Need = need(WRITE_USERS, &["Users.Create"], &[]);
pub const EDIT_USERS: Need = need(WRITE_USERS, &["Users.Edit"], &[]);
pub const DELETE_USERS: Need = need(WRITE_USERS, &["Users.Delete"], &[]);
pub const GIVE_ROLES: Need = need(WRITE_USERS, &["Users.Edit", "Users.Create"], &[]);
pub const SEARCH_DIRECTORY: Need = need(READ_USERS, &["Users.View", "Units.Edit"], &["SubFolders.Edit"]);
pub const VIEW_QUEUES: Need = need(READ_QUEUES, &[], &["Queues.View"]);
pub const CREATE_QUEUES: Need = need(WRITE_QUEUES, &[], &["Queues.Create"]);
pub const DELETE_QUEUES: Need = need(WRITE_QUEUES, &[], &["Queues.Delete"]);

/// The caller, as this tenant knows it.
pub struct Access<'a> {
    call: &'a Call,
    store: &'a Connection,
    /// The caller's number in the tenant.
    user: Option<i64>,
    person: bool,
    /// A person who administers the organization counts as Tenant Administrator and reaches every folder.
    administrator: bool,
}

impl<'a> Access<'a> {
    /// Looks the caller up.
    pub fn of(call: &'a Call, store: &'a Connection) -> Result<Self, Refusal> {
        let caller = &call.caller;
        let person = if caller.is_person() { people::find(store, caller.subject())? } else { None };
        let principal = match &person {
            Some(person) => Some(person.id.clone()),
            None if caller.is_person() => None,
            None => directory::of_client(store, caller.client_id())?,
        };
        let user = principal.map(|id| users::of_principal(store, call.tenant.id, &id)).transpose()?.flatten();
        Ok(Self {
            call,
            store,
            user: user.map(|user| user.id),
            person: caller.is_person(),
            administrator: person.is_some_and(|person| person.administrator),
        })
    }

    /// Refuses what neither the organization nor the tenant permits.
    pub fn require(&self, need: &Need) -> Result<(), Refusal> {
        self.judge(need, |access| access.permits_in_tenant(need.tenant))
    }

    /// The same, but a permission in any folder will do.
    pub fn require_anywhere(&self, need: &Need) -> Result<(), Refusal> {
        self.judge(need, |access| {
            Ok(access.permits_in_tenant(need.tenant)? || access.permits_in_some_folder(need.folder)?)
        })
    }

    /// The folder with this number, if the caller may do this there.
    pub fn folder(&self, need: &Need, id: i64) -> Result<Folder, Refusal> {
        self.require_scope(need)?;
        let found = folders::find(self.store, self.call.tenant.id, id)?;
        self.permitted(need, found.ok_or_else(Refusal::no_folder)?)
    }

    /// `folder`, if the caller may do this there. To those who do not reach it, it does not exist.
    pub fn permitted(&self, need: &Need, folder: Folder) -> Result<Folder, Refusal> {
        let roles = |access: &Self| {
            Ok(access.permits_in_tenant(need.tenant)? || access.permits_in_folder(&folder, need.folder)?)
        };
        match self.judge(need, roles) {
            Ok(()) => Ok(folder),
            Err(Refusal::Forbidden) if self.counts_roles() && !self.reaches(folder.id)? => Err(Refusal::no_folder()),
            Err(refusal) => Err(refusal),
        }
    }

    /// The folder with this number, if the caller may look at it: an assignment alone is enough for that.
    pub fn visible_folder(&self, id: i64) -> Result<Folder, Refusal> {
        self.require_scope(&VIEW_FOLDERS)?;
        let found = folders::find(self.store, self.call.tenant.id, id)?.ok_or_else(Refusal::no_folder)?;
        if self.counts_roles() && self.reaches(id)? {
            return Ok(found);
        }
        self.permitted(&VIEW_FOLDERS, found)
    }

    /// The folders that a list shows to the caller; `None` means all.
    ///
    /// This is the one place where a scope for the whole organization is not enough for an application: without
    /// `OR.Default` its list is empty.
    pub fn listed_folders(&self) -> Result<Option<HashSet<i64>>, Refusal> {
        self.require_scope(&VIEW_FOLDERS)?;
        if !self.person && !self.counts_roles() {
            return Ok(Some(HashSet::new()));
        }
        if self.permits_in_tenant(VIEW_FOLDERS.tenant)? {
            return Ok(None);
        }
        Ok(Some(self.user.map(|user| folders::reached_by(self.store, user)).transpose()?.unwrap_or_default()))
    }

    /// Refuses a token that has neither one of the scopes nor `OR.Default`: what the roles are does not matter then.
    pub fn require_scope(&self, need: &Need) -> Result<(), Refusal> {
        let open = self.call.caller.has_any(need.scopes) || self.call.caller.has_any(&[DEFAULT_SCOPE]);
        if open { Ok(()) } else { Err(Refusal::Forbidden) }
    }

    fn judge(&self, need: &Need, roles: impl FnOnce(&Self) -> Result<bool, Refusal>) -> Result<(), Refusal> {
        self.require_scope(need)?;
        let by_scope = !self.person && self.call.caller.has_any(need.scopes);
        if by_scope || (self.counts_roles() && roles(self)?) { Ok(()) } else { Err(Refusal::Forbidden) }
    }

    /// Whether the token lets roles count.
    fn counts_roles(&self) -> bool {
        self.person || self.call.caller.has_any(&[DEFAULT_SCOPE])
    }

    fn reaches(&self, folder: i64) -> Result<bool, Refusal> {
        if self.administrator {
            return Ok(true);
        }
        let Some(user) = self.user else { return Ok(false) };
        Ok(folders::is_reached_by(self.store, folder, user)?)
    }

    fn permits_in_tenant(&self, any: &[&str]) -> Result<bool, Refusal> {
        if self.administrator && any.iter().any(|permission| super::seed::administrates(permission)) {
            return Ok(true);
        }
        let Some(user) = self.user else { return Ok(false) };
        holds_any(any, |permission| Ok(users::permits(self.store, user, permission)?))
    }

    fn permits_in_folder(&self, folder: &Folder, any: &[&str]) -> Result<bool, Refusal> {
        let Some(user) = self.user else { return Ok(false) };
        if folder.inherits && self.permits_in_tenant(any)? {
            return Ok(true);
        }
        holds_any(any, |permission| Ok(folders::permits(self.store, folder.id, user, permission)?))
    }

    fn permits_in_some_folder(&self, any: &[&str]) -> Result<bool, Refusal> {
        let Some(user) = self.user else { return Ok(false) };
        holds_any(any, |permission| Ok(users::permits_in_some_folder(self.store, user, permission)?))
    }
}

fn holds_any(any: &[&str], holds: impl Fn(&str) -> Result<bool, Refusal>) -> Result<bool, Refusal> {
    for permission in any {
        if holds(permission)? {
            return Ok(true);
        }
    }
    Ok(false)
}
