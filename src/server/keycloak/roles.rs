//! Roles of service accounts: realm roles by name, and roles of a client as `client-id/role`.
//!
//! A realm has no tenants and no folders: what the contract calls a tenant is the realm. Only what is asked about is read.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::operation::{
    CLIENT, CLIENT_ROLE, CLIENT_ROLES, COMPOSITES, GIVE_ROLES, REALM_ROLE, REALM_ROLES, ROLE, ROLES, SERVICE_ACCOUNT,
    TAKE_ROLES,
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
struct RoleAnswer {
    id: String,
    name: String,
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

/// The roles that a user has directly.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct MappingsAnswer {
    realm_mappings: Vec<RoleAnswer>,
    client_mappings: BTreeMap<String, ClientMappings>,
}

#[derive(Deserialize)]
struct ClientMappings {
    id: String,
    client: String,
    mappings: Vec<RoleAnswer>,
}

/// The user that a client is for its own account.
#[derive(Deserialize)]
struct UserAnswer {
    id: String,
}

/// A role that a user has: its name as a spec says it, and where it is given.
struct Given {
    name: String,
    role: RoleAnswer,
    /// Keycloak's own id of the client; `None`: a role of the realm.
    client: Option<String>,
}

impl MappingsAnswer {
    /// Without the default roles of the realm, which every account has.
    fn given(self, default: &str) -> Vec<Given> {
        let own = self.realm_mappings.into_iter().filter(|role| role.name != default);
        let mut all: Vec<Given> = own.map(|role| Given { name: role.name.clone(), role, client: None }).collect();
        for of in self.client_mappings.into_values() {
            let name = |role: &RoleAnswer| format!("{}/{}", of.client, role.name);
            all.extend(of.mappings.into_iter().map(|role| Given {
                name: name(&role),
                role,
                client: Some(of.id.clone()),
            }));
        }
        all
    }
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

    /// `None`: there is no such user.
    async fn given(&self, user: &str, lane: Lane) -> Result<Option<Vec<Given>>, ServerError> {
        match self.read::<MappingsAnswer>(ROLES, At(&["users", user, "role-mappings"]), lane).await {
            Ok(mappings) => Ok(Some(mappings.given(&self.default_roles()))),
            Err(ServerError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
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

    /// Gives or takes roles, those of each place in one request.
    async fn change_roles(
        &self,
        operation: Operation,
        user: &str,
        roles: Vec<(Option<String>, RoleAnswer)>,
    ) -> Result<(), ServerError> {
        let mut places: BTreeMap<Option<String>, Vec<RoleAnswer>> = BTreeMap::new();
        for (client, role) in roles {
            places.entry(client).or_default().push(role);
        }
        for (client, roles) in places {
            let at = match &client {
                Some(client) => vec!["users", user, "role-mappings", "clients", client],
                None => vec!["users", user, "role-mappings", "realm"],
            };
            self.session.write(operation, At(&at), &roles).await?;
        }
        Ok(())
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
            Ok(user) => Ok(Principal::Known(PrincipalId::new(user.id))),
            Err(ServerError::NotFound) => Ok(Principal::Unknown),
            Err(error) => Err(error),
        }
    }

    async fn user(&self, _tenant: &str, principal: &PrincipalId, lane: Lane) -> Result<Option<User>, ServerError> {
        let given = self.given(principal.as_str(), lane).await?;
        Ok(given.map(|given| User {
            id: UserId::new(principal),
            principal: principal.clone(),
            roles: given.into_iter().map(|role| role.name).collect(),
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
        // What is kept needs its id as much as what is given.
        if let Some(given) = self.given(about.principal.as_str(), lane).await? {
            let names: BTreeSet<String> = given.iter().map(|role| role.name.clone()).collect();
            for Given { name, role, .. } in given {
                if tenant.role(&name).is_none() {
                    tenant.roles.push(role.role(name, None));
                }
            }
            let (id, principal) = (UserId::new(about.principal), about.principal.clone());
            tenant.users.push(User { id, principal, roles: names, folders: Some(BTreeSet::new()) });
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
        let given = self.given(user.as_str(), Lane::User).await?.ok_or(ServerError::NotFound)?;
        let wanted: BTreeSet<&str> = roles.iter().map(RoleId::as_str).collect();
        let has: BTreeSet<String> = given.iter().map(|given| given.role.id.clone()).collect();
        let mut missing = Vec::new();
        for id in wanted.iter().filter(|id| !has.contains(**id)) {
            let role: RoleAnswer = self.read(ROLE, At(&["roles-by-id", id]), Lane::User).await?;
            // Read again, so that one that was changed since the plan does not slip through.
            if self.administers(&role, Lane::User).await? {
                return Err(ServerError::Unsupported { what: ADMINISTERS });
            }
            missing.push((role.client_role.then(|| role.container_id.clone()), role));
        }
        let surplus = given.into_iter().filter(|given| !wanted.contains(given.role.id.as_str()));
        let surplus: Vec<_> = surplus.map(|given| (given.client, given.role)).collect();
        self.change_roles(GIVE_ROLES, user.as_str(), missing).await?;
        self.change_roles(TAKE_ROLES, user.as_str(), surplus).await
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
