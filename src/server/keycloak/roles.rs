//! Roles of service accounts: realm roles by name, and roles of a client as `client-id/role`.
//!
//! What is given to an account is put into its client's scope, too: clients do not have the full scope, and whatever is
//! not in their own is in none of their tokens.
//!
//! A realm has no tenants and no folders: what the contract calls a tenant is the realm. Only what is asked about is read.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::held::{Account, Held, MappingsAnswer, held, names};
use super::operation::{
    CLIENT, CLIENT_ROLE, CLIENT_ROLES, COMPOSITES, GIVE_ROLES, NARROW_SCOPE, NARROW_SCOPE_BY_REALM, REALM_ROLE,
    REALM_ROLES, ROLE, ROLES, SCOPE_ROLES, SERVICE_ACCOUNT, TAKE_ROLES, WIDEN_SCOPE, WIDEN_SCOPE_BY_REALM,
};
use super::readings::{BUILT_IN_ROLES, MASTER, MASTER_ROLES};
use super::session::At;
use super::wire::ClientAnswer;
use super::{Keycloak, readings};
use crate::domain::registration::{ClientId, PrincipalId};
use crate::domain::tenant::{FolderId, Member, Principal, Role, RoleId, RoleKind, Tenant, User, UserId};
use crate::server::json_api::Operation;
use crate::server::{About, Assignee, Lane, Permissions, ServerError};

const NO_FOLDERS: ServerError =
    ServerError::Unsupported { what: "a realm has no folders: list the roles in spec.roles" };
const ADMINISTERS: &str = "it administers the realm, or is composed of roles that do, and is given to no application";
const DEFAULT: &str = "every account of the realm has it: do not list it";
/// How many roles a composite role may bring with it before it is refused unseen.
const COMPOSED: usize = 512;
/// How many names are looked through for the one that was meant.
const SUGGESTIONS: &str = "200";

/// A role, as much of it as the server needs to know it again.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RoleAnswer {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(default)]
    composite: bool,
    #[serde(default)]
    client_role: bool,
    /// Of a client's role: Keycloak's own id of the client.
    #[serde(default)]
    container_id: String,
}

impl RoleAnswer {
    fn role(&self, name: String, barred: Option<&'static str>) -> Role {
        Role { id: RoleId::new(&self.id), name, kind: RoleKind::Tenant, barred }
    }
}

/// The user that a client is for its own account.
#[derive(Deserialize)]
struct UserAnswer {
    id: String,
}

impl Keycloak {
    fn default_roles(&self) -> String {
        format!("default-roles-{}", self.realm.to_lowercase())
    }

    async fn read<T: serde::de::DeserializeOwned>(
        &self,
        operation: Operation,
        at: At<'_>,
        lane: Lane,
    ) -> Result<T, ServerError> {
        self.session.read(operation, self.session.url(at)?, lane).await
    }

    async fn mappings(
        &self,
        operation: Operation,
        at: At<'_>,
        lane: Lane,
    ) -> Result<Option<MappingsAnswer>, ServerError> {
        match self.read(operation, at, lane).await {
            Err(ServerError::NotFound) => Ok(None),
            mappings => mappings.map(Some),
        }
    }

    /// `None`: there is no such account, and nothing of it in the scope of its client.
    async fn held(&self, account: Account<'_>, lane: Lane) -> Result<Option<Vec<Held>>, ServerError> {
        let given = self.mappings(ROLES, At(&["users", account.user, "role-mappings"]), lane).await?;
        let scope = self.mappings(SCOPE_ROLES, At(&["clients", account.client, "scope-mappings"]), lane).await?;
        let exists = given.is_some();
        let held = held(given.unwrap_or_default(), scope.unwrap_or_default(), &self.default_roles());
        Ok((exists || !held.is_empty()).then_some(held))
    }

    /// The role of this name: the realm's, else a client's.
    async fn named(&self, name: &str, lane: Lane) -> Result<Option<Role>, ServerError> {
        let found = match self.read::<RoleAnswer>(REALM_ROLE, At(&["roles", name]), lane).await {
            Err(ServerError::NotFound) => self.named_of_client(name, lane).await?,
            role => Some(role?),
        };
        let Some(role) = found else { return Ok(None) };
        let barred = if name == self.default_roles() {
            Some(DEFAULT)
        } else {
            self.administers(&role, lane).await?.then_some(ADMINISTERS)
        };
        Ok(Some(role.role(name.to_owned(), barred)))
    }

    async fn named_of_client(&self, name: &str, lane: Lane) -> Result<Option<RoleAnswer>, ServerError> {
        // A client's id may itself be an address, with slashes in it.
        let Some((client, role)) = name.rsplit_once('/') else { return Ok(None) };
        let Some(client) = self.find(client, lane).await? else { return Ok(None) };
        match self.read(CLIENT_ROLE, At(&["clients", &client.id, "roles", role]), lane).await {
            Err(ServerError::NotFound) => Ok(None),
            role => role.map(Some),
        }
    }

    /// Whether a role, or one that it brings with it, is of those that administer.
    async fn administers(&self, role: &RoleAnswer, lane: Lane) -> Result<bool, ServerError> {
        let (mut waiting, mut seen) = (vec![role.clone()], BTreeSet::new());
        let mut clients: BTreeMap<String, bool> = BTreeMap::new();
        while let Some(role) = waiting.pop() {
            if !seen.insert(role.id.clone()) {
                continue;
            }
            if seen.len() > COMPOSED || self.is_administrative(&role, &mut clients, lane).await? {
                return Ok(true);
            }
            if role.composite {
                let parts: Vec<RoleAnswer> =
                    self.read(COMPOSITES, At(&["roles-by-id", &role.id, "composites"]), lane).await?;
                waiting.extend(parts);
            }
        }
        Ok(false)
    }

    async fn is_administrative(
        &self,
        role: &RoleAnswer,
        clients: &mut BTreeMap<String, bool>,
        lane: Lane,
    ) -> Result<bool, ServerError> {
        if !role.client_role {
            return Ok(self.realm == MASTER && MASTER_ROLES.contains(&role.name.as_str()));
        }
        if let Some(known) = clients.get(&role.container_id) {
            return Ok(*known);
        }
        let client: ClientAnswer = self.read(CLIENT, At(&["clients", &role.container_id]), lane).await?;
        let administers = client.is_realm_client() || client.client_id == readings::MANAGEMENT;
        clients.insert(role.container_id.clone(), administers);
        Ok(administers)
    }

    /// What may have been meant by a name that is not known.
    async fn suggestions(&self, name: &str, lane: Lane) -> Result<Vec<Role>, ServerError> {
        let (client, prefix) = match name.rsplit_once('/') {
            Some((client, _)) => (self.find(client, lane).await?, format!("{client}/")),
            None => (None, String::new()),
        };
        let (mut url, operation) = match &client {
            Some(client) => (self.session.url(At(&["clients", &client.id, "roles"]))?, CLIENT_ROLES),
            None => (self.session.url(At(&["roles"]))?, REALM_ROLES),
        };
        let brief = [("first", "0"), ("max", SUGGESTIONS), ("briefRepresentation", "true")];
        url.query_pairs_mut().extend_pairs(brief);
        let prefix = client.map(|_| prefix).unwrap_or_default();
        let roles: Vec<RoleAnswer> = self.session.read(operation, url, lane).await?;
        let offered = roles.iter().filter(|role| !BUILT_IN_ROLES.contains(&role.name.as_str()));
        Ok(offered.map(|role| role.role(format!("{prefix}{}", role.name), None)).collect())
    }

    /// Gives or takes roles, those of each place in one request. `of_realm`: for the realm's own.
    async fn change_roles(
        &self,
        (operation, of_realm): (Operation, Operation),
        whose: [&str; 3],
        roles: Vec<RoleAnswer>,
    ) -> Result<(), ServerError> {
        let mut places: BTreeMap<Option<String>, Vec<RoleAnswer>> = BTreeMap::new();
        for role in roles {
            places.entry(role.client_role.then(|| role.container_id.clone())).or_default().push(role);
        }
        for (client, roles) in places {
            let (operation, place) = match &client {
                Some(client) => (operation, vec!["clients", client]),
                None => (of_realm, vec!["realm"]),
            };
            self.session.write(operation, At(&[&whose[..], &place[..]].concat()), &roles).await?;
        }
        Ok(())
    }

    /// What of these is not given, and what is not in the scope.
    async fn missing(
        &self,
        wanted: &BTreeSet<&str>,
        held: &[Held],
    ) -> Result<(Vec<RoleAnswer>, Vec<RoleAnswer>), ServerError> {
        let (mut to_give, mut to_scope) = (Vec::new(), Vec::new());
        for id in wanted {
            let there = held.iter().find(|held| held.role.id == **id);
            let (given, in_scope) = there.map_or((false, false), |held| (held.given, held.in_scope));
            if given && in_scope {
                continue;
            }
            let role: RoleAnswer = self.read(ROLE, At(&["roles-by-id", id]), Lane::User).await?;
            // Read again, so that one that was changed since the plan does not slip through.
            match self.administers(&role, Lane::User).await? {
                true if given => continue,
                true => return Err(ServerError::Unsupported { what: ADMINISTERS }),
                false => {}
            }
            to_scope.extend((!in_scope).then(|| role.clone()));
            to_give.extend((!given).then_some(role));
        }
        Ok((to_give, to_scope))
    }
}

impl Permissions for Keycloak {
    async fn principal(
        &self,
        _tenant: &str,
        client_id: &ClientId,
        _name: &str,
        lane: Lane,
    ) -> Result<Principal, ServerError> {
        let Some(client) = self.find(client_id.as_str(), lane).await? else { return Ok(Principal::Unknown) };
        if !client.has_service_account() {
            return Ok(Principal::Unknown);
        }
        let place = At(&["clients", &client.id, "service-account-user"]);
        match self.read::<UserAnswer>(SERVICE_ACCOUNT, place, lane).await {
            Ok(user) => {
                let account = Account { client: &client.id, user: &user.id };
                Ok(Principal::Known(account.principal()))
            }
            Err(ServerError::NotFound) => Ok(Principal::Unknown),
            Err(error) => Err(error),
        }
    }

    async fn user(&self, _tenant: &str, principal: &PrincipalId, lane: Lane) -> Result<Option<User>, ServerError> {
        let Some(account) = Account::of(principal.as_str()) else { return Ok(None) };
        let held = self.held(account, lane).await?;
        Ok(held.map(|held| User {
            id: UserId::new(principal),
            principal: principal.clone(),
            roles: names(&held),
            folders: Some(BTreeSet::new()),
        }))
    }

    async fn tenant(&self, _tenant: &str, about: About<'_>, lane: Lane) -> Result<Tenant, ServerError> {
        let mut tenant = Tenant::default();
        for name in about.roles {
            match self.named(name, lane).await? {
                Some(role) => tenant.roles.push(role),
                None => tenant.roles.extend(self.suggestions(name, lane).await?),
            }
        }
        let Some(account) = Account::of(about.principal.as_str()) else { return Ok(tenant) };
        if let Some(held) = self.held(account, lane).await? {
            // What is kept needs its id as much as what is given. What is only in the scope is not kept.
            for held in held.iter().filter(|held| held.given) {
                if tenant.role(&held.name()).is_none() {
                    tenant.roles.push(held.role.role(held.name(), None));
                }
            }
            let (id, principal) = (UserId::new(about.principal), about.principal.clone());
            tenant.users.push(User { id, principal, roles: names(&held), folders: Some(BTreeSet::new()) });
        }
        Ok(tenant)
    }

    async fn members(&self, _tenant: &str, _folder: FolderId, _lane: Lane) -> Result<Vec<Member>, ServerError> {
        Err(NO_FOLDERS)
    }

    /// A service account cannot be made known: it comes with its client.
    async fn admit(
        &self,
        _tenant: &str,
        _principal: &PrincipalId,
        _roles: &BTreeSet<String>,
    ) -> Result<UserId, ServerError> {
        Err(ServerError::NotFound)
    }

    async fn set_tenant_roles(&self, _tenant: &str, user: &UserId, roles: &[RoleId]) -> Result<(), ServerError> {
        let account = Account::of(user.as_str()).ok_or(ServerError::NotFound)?;
        let held = self.held(account, Lane::User).await?.ok_or(ServerError::NotFound)?;
        let wanted: BTreeSet<&str> = roles.iter().map(RoleId::as_str).collect();
        let (to_give, to_scope) = self.missing(&wanted, &held).await?;
        let surplus = |is: fn(&Held) -> bool| {
            let surplus = held.iter().filter(|held| is(held) && !wanted.contains(held.role.id.as_str()));
            surplus.map(|held| held.role.clone()).collect::<Vec<_>>()
        };
        let user = ["users", account.user, "role-mappings"];
        let scope = ["clients", account.client, "scope-mappings"];
        // What needs more of the operator's own roles goes first where something is given, and last where it is taken:
        // where the operator lacks one, nothing is given in vain, and nothing stays given.
        self.change_roles((WIDEN_SCOPE, WIDEN_SCOPE_BY_REALM), scope, to_scope).await?;
        self.change_roles((GIVE_ROLES, GIVE_ROLES), user, to_give).await?;
        self.change_roles((TAKE_ROLES, TAKE_ROLES), user, surplus(|held| held.given)).await?;
        self.change_roles((NARROW_SCOPE, NARROW_SCOPE_BY_REALM), scope, surplus(|held| held.in_scope)).await
    }

    async fn set_folder_roles(
        &self,
        _tenant: &str,
        _assignee: &Assignee,
        _folders: &[(FolderId, Vec<RoleId>)],
    ) -> Result<(), ServerError> {
        Err(NO_FOLDERS)
    }

    async fn leave(&self, _tenant: &str, _folder: FolderId, _user: &UserId) -> Result<(), ServerError> {
        Ok(())
    }

    /// The account itself stays as long as its client.
    async fn expel(&self, tenant: &str, user: &UserId) -> Result<(), ServerError> {
        match self.set_tenant_roles(tenant, user, &[]).await {
            Err(ServerError::NotFound) => Ok(()),
            done => done,
        }
    }
}
