//! Any authorization server: a closed set, dispatched without boxes, and made from what an AuthorizationServer says.
//!
//! A further kind is one folder beside this file, one variant here, and one field in the spec.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::budget::{Budget, BudgetRegistry};
use super::http::Transport;
use super::hydra::Hydra;
use super::keycloak::Keycloak;
use super::permissions::{About, Assignee, ManagedCatalogue, Permissions};
use super::registration::{Records, Registration};
use super::uipath::Uipath;
use super::{AuthorizationServer, Federating, Lane, ServerError};
use crate::api::AuthorizationServerSpec;
use crate::domain::capabilities::Capabilities;
use crate::domain::catalogue::{Enforced, Obstacles};
use crate::domain::federation::{Federated, Trust};
use crate::domain::registration::{
    Catalogue, ClientId, ClientSecret, Created, Credential, Desired, Endpoints, Listed, PrincipalId, Registered,
    SecretId,
};
use crate::domain::tenant::{FolderId, Member, Principal, RoleId, Tenant, User, UserId};

/// What a server is made from, beside its spec.
pub struct Parts<'a> {
    /// The operator's own credentials: the data of the Secret that the spec names.
    pub credentials: Credentials,
    pub transport: Transport,
    pub budgets: &'a BudgetRegistry,
    /// The operator's own limit, in place of the server's.
    pub requests_per_minute: Option<u32>,
    /// What is kept of registrations, for a server that tells nothing of them otherwise. Shared by all clients of one
    /// server.
    pub records: Arc<Records>,
}

/// The data of a Secret, by key.
#[derive(Default)]
pub struct Credentials(pub BTreeMap<String, SecretString>);

impl Credentials {
    /// The value of a key, without white space around it; `None` where there is nothing.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|value| value.expose_secret().trim()).filter(|value| !value.is_empty())
    }

    /// The value of a key that is needed.
    pub fn require(&self, key: &'static str) -> Result<&str, Unusable> {
        self.get(key).ok_or(Unusable::Credential { key })
    }

    /// The client id and the secret that the operator authenticates with.
    pub fn client(&self) -> Result<(ClientId, ClientSecret), Unusable> {
        Ok((ClientId::new(self.require("client-id")?), ClientSecret::new(self.require("client-secret")?)))
    }
}

/// Why there is no client, in words for the person who wrote the spec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The Secret lacks a key.
    #[error("no key {key}")]
    Credential { key: &'static str },
    /// An address, or what TLS is set up from.
    #[error("spec.{field}: {what}")]
    Address { field: &'static str, what: String },
    #[error(
        "say which server this is: set exactly one of spec.uipath, spec.hydra, spec.keycloak and spec.registration"
    )]
    Kind,
}

impl Unusable {
    /// For a mapper: what is wrong with a field.
    pub fn address<E: ToString>(field: &'static str) -> impl Fn(E) -> Self {
        move |error| Self::Address { field, what: error.to_string() }
    }
}

/// Any authorization server: a closed set, dispatched without boxes.
#[allow(clippy::large_enum_variant, reason = "there is one for each AuthorizationServer")]
pub enum AnyServer {
    Uipath(Uipath),
    Hydra(Hydra),
    Keycloak(Keycloak),
    Registration(Registration),
}

impl AnyServer {
    /// Makes a client of the server that the spec names, with the budget that its requests are counted against. Nothing
    /// is sent yet.
    pub fn build(spec: &AuthorizationServerSpec, parts: Parts<'_>) -> Result<(Self, Arc<Budget>), Unusable> {
        if let Some(spec) = &spec.uipath {
            return Uipath::from_spec(spec, parts).map(|(server, budget)| (Self::Uipath(server), budget));
        }
        if let Some(spec) = &spec.hydra {
            return Hydra::from_spec(spec, parts).map(|(server, budget)| (Self::Hydra(server), budget));
        }
        if let Some(spec) = &spec.keycloak {
            return Keycloak::from_spec(spec, parts).map(|(server, budget)| (Self::Keycloak(server), budget));
        }
        if let Some(spec) = &spec.registration {
            return Registration::from_spec(spec, parts).map(|(server, budget)| (Self::Registration(server), budget));
        }
        Err(Unusable::Kind)
    }
}

macro_rules! each {
    ($self:ident, $server:ident => $call:expr) => {
        match $self {
            AnyServer::Uipath($server) => $call,
            AnyServer::Hydra($server) => $call,
            AnyServer::Keycloak($server) => $call,
            AnyServer::Registration($server) => $call,
        }
    };
}

impl AuthorizationServer for AnyServer {
    async fn endpoints(&self, lane: Lane) -> Result<Endpoints, ServerError> {
        each!(self, server => server.endpoints(lane).await)
    }

    async fn organization_id(&self, lane: Lane) -> Result<Option<String>, ServerError> {
        each!(self, server => server.organization_id(lane).await)
    }

    fn capabilities(&self) -> Capabilities {
        each!(self, server => server.capabilities())
    }

    fn own_client_id(&self) -> Option<&ClientId> {
        each!(self, server => server.own_client_id())
    }

    fn seal(&self, text: &str) -> Option<String> {
        each!(self, server => server.seal(text))
    }

    async fn catalogue(&self, lane: Lane) -> Result<Catalogue, ServerError> {
        each!(self, server => server.catalogue(lane).await)
    }

    async fn list(&self, lane: Lane) -> Result<Vec<Listed>, ServerError> {
        each!(self, server => server.list(lane).await)
    }

    async fn get(&self, id: &ClientId, lane: Lane) -> Result<Option<Registered>, ServerError> {
        each!(self, server => server.get(id, lane).await)
    }

    async fn create(&self, desired: &Desired) -> Result<Created, ServerError> {
        each!(self, server => server.create(desired).await)
    }

    async fn update(&self, id: &ClientId, desired: &Desired) -> Result<Option<Credential>, ServerError> {
        each!(self, server => server.update(id, desired).await)
    }

    async fn authenticates(&self, id: &ClientId, secret: &ClientSecret) -> Result<bool, ServerError> {
        each!(self, server => server.authenticates(id, secret).await)
    }

    async fn delete(&self, id: &ClientId) -> Result<(), ServerError> {
        each!(self, server => server.delete(id).await)
    }

    async fn add_secret(&self, id: &ClientId, description: &str) -> Result<Credential, ServerError> {
        each!(self, server => server.add_secret(id, description).await)
    }

    async fn remove_secret(&self, id: &ClientId, secret: &SecretId) -> Result<(), ServerError> {
        each!(self, server => server.remove_secret(id, secret).await)
    }
}

/// The servers on which applications can be given roles.
macro_rules! permitting {
    ($self:ident, $server:ident => $call:expr) => {
        match $self {
            AnyServer::Uipath($server) => $call,
            AnyServer::Keycloak($server) => $call,
            _ => Err(ServerError::Unsupported { what: "this kind of server has no roles for applications" }),
        }
    };
}

/// The servers that take tokens of other issuers.
macro_rules! federating {
    ($self:ident, $server:ident => $call:expr) => {
        match $self {
            AnyServer::Uipath($server) => $call,
            AnyServer::Keycloak($server) => $call,
            _ => Err(ServerError::Unsupported { what: "this kind of server knows no federated credentials" }),
        }
    };
}

impl Federating for AnyServer {
    async fn federated(&self, id: &ClientId, lane: Lane) -> Result<Vec<Federated>, ServerError> {
        federating!(self, server => server.federated(id, lane).await)
    }

    async fn add_federated(&self, id: &ClientId, trust: &Trust) -> Result<Federated, ServerError> {
        federating!(self, server => server.add_federated(id, trust).await)
    }

    async fn replace_federated(&self, id: &ClientId, credential: &str, trust: &Trust) -> Result<(), ServerError> {
        federating!(self, server => server.replace_federated(id, credential, trust).await)
    }

    async fn remove_federated(&self, id: &ClientId, credential: &str) -> Result<(), ServerError> {
        federating!(self, server => server.remove_federated(id, credential).await)
    }
}

impl ManagedCatalogue for AnyServer {
    async fn enforce(
        &self,
        declared: &[Enforced],
        used: &BTreeSet<String>,
        owner: &str,
        lane: Lane,
    ) -> Result<Obstacles, ServerError> {
        match self {
            Self::Keycloak(server) => server.enforce(declared, used, owner, lane).await,
            _ => Err(ServerError::Unsupported { what: "this kind of server cannot be told which scopes it offers" }),
        }
    }
}

impl Permissions for AnyServer {
    async fn principal(
        &self,
        tenant: &str,
        client_id: &ClientId,
        name: &str,
        lane: Lane,
    ) -> Result<Principal, ServerError> {
        permitting!(self, server => server.principal(tenant, client_id, name, lane).await)
    }

    async fn user(&self, tenant: &str, principal: &PrincipalId, lane: Lane) -> Result<Option<User>, ServerError> {
        permitting!(self, server => server.user(tenant, principal, lane).await)
    }

    async fn tenant(&self, tenant: &str, about: About<'_>, lane: Lane) -> Result<Tenant, ServerError> {
        permitting!(self, server => server.tenant(tenant, about, lane).await)
    }

    async fn members(&self, tenant: &str, folder: FolderId, lane: Lane) -> Result<Vec<Member>, ServerError> {
        permitting!(self, server => server.members(tenant, folder, lane).await)
    }

    async fn admit(
        &self,
        tenant: &str,
        principal: &PrincipalId,
        roles: &BTreeSet<String>,
    ) -> Result<UserId, ServerError> {
        permitting!(self, server => server.admit(tenant, principal, roles).await)
    }

    async fn set_tenant_roles(&self, tenant: &str, user: &UserId, roles: &[RoleId]) -> Result<(), ServerError> {
        permitting!(self, server => server.set_tenant_roles(tenant, user, roles).await)
    }

    async fn set_folder_roles(
        &self,
        tenant: &str,
        assignee: &Assignee,
        folders: &[(FolderId, Vec<RoleId>)],
    ) -> Result<(), ServerError> {
        permitting!(self, server => server.set_folder_roles(tenant, assignee, folders).await)
    }

    async fn leave(&self, tenant: &str, folder: FolderId, user: &UserId) -> Result<(), ServerError> {
        permitting!(self, server => server.leave(tenant, folder, user).await)
    }

    async fn expel(&self, tenant: &str, user: &UserId) -> Result<(), ServerError> {
        permitting!(self, server => server.expel(tenant, user).await)
    }
}
