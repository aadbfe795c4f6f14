//! Authorization servers: one contract for all of them, and one module for each.
//!
//! A backend speaks the domain's words and hides its server's. It repeats a request only where a repetition cannot
//! do harm: never a create, whose outcome may be unknown (`ServerError::Ambiguous`).

use std::collections::BTreeSet;
use std::future::Future;

use aws_lc_rs::hmac;

use crate::domain::registration::{
    Catalogue, ClientId, ClientSecret, Created, Credential, Desired, Endpoints, Listed, PrincipalId, Registered,
    SecretId,
};
use crate::domain::tenant::{FolderId, Member, Principal, RoleId, Tenant, User, UserId};

pub mod budget;
pub mod error;
pub mod http;
pub mod hydra;
pub mod permissions;
pub mod text;
pub mod uipath;

pub use error::ServerError;
pub use permissions::{Assignee, Permissions};
pub use text::ServerText;

/// Who waits for a request. A person's edit goes before the operator's own checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Somebody changed something and waits for the effect: may use the whole budget.
    User,
    /// The operator looks for drift on its own account: refused at once when only the users' reserve is left.
    Resync,
}

/// What every authorization server can do for an operator.
pub trait AuthorizationServer {
    /// Where applications find the server. Reads the server's own metadata.
    fn endpoints(&self, lane: Lane) -> impl Future<Output = Result<Endpoints, ServerError>> + Send;
    /// The server's name for the organization, realm or tenant that the operator works in.
    fn organization_id(&self, lane: Lane) -> impl Future<Output = Result<Option<String>, ServerError>> + Send;
    /// The client id that the operator itself authenticates with: never to be adopted or deleted.
    fn own_client_id(&self) -> &ClientId;
    /// A proof that whoever wrote a text had the operator's own credentials: the same text gives the same proof, as long
    /// as the credentials are the same.
    fn seal(&self, text: &str) -> String;

    fn catalogue(&self, lane: Lane) -> impl Future<Output = Result<Catalogue, ServerError>> + Send;
    fn list(&self, lane: Lane) -> impl Future<Output = Result<Vec<Listed>, ServerError>> + Send;
    /// `None`: there is no such registration.
    fn get(&self, id: &ClientId, lane: Lane) -> impl Future<Output = Result<Option<Registered>, ServerError>> + Send;
    /// Not idempotent, never repeated inside. `ServerError::is_definite` tells whether a failure left nothing behind.
    fn create(&self, desired: &Desired) -> impl Future<Output = Result<Created, ServerError>> + Send;
    /// Replaces name, redirect URIs and scopes. `ServerError::NotFound` if it is gone.
    fn update(&self, id: &ClientId, desired: &Desired) -> impl Future<Output = Result<(), ServerError>> + Send;
    /// Gone already counts as done.
    fn delete(&self, id: &ClientId) -> impl Future<Output = Result<(), ServerError>> + Send;
    /// Not idempotent. The description marks the secret, so that one whose value was lost can be found and removed.
    fn add_secret(
        &self,
        id: &ClientId,
        description: &str,
    ) -> impl Future<Output = Result<Credential, ServerError>> + Send;
    /// Gone already counts as done.
    fn remove_secret(&self, id: &ClientId, secret: &SecretId) -> impl Future<Output = Result<(), ServerError>> + Send;
}

/// HMAC-SHA-256 over a text, in hexadecimal. The key is the operator's own secret, which no namespace but the server's
/// can read; the label keeps this use apart from any other.
fn seal_with(secret: &ClientSecret, text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    crate::domain::hex(hmac::sign(&key, format!("extapp.dev/pending\n{text}").as_bytes()).as_ref())
}

/// Any authorization server: a closed set, dispatched without boxes.
pub enum AnyServer {
    Uipath(uipath::Uipath),
}

macro_rules! each {
    ($self:ident, $server:ident => $call:expr) => {
        match $self {
            AnyServer::Uipath($server) => $call,
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

    fn own_client_id(&self) -> &ClientId {
        each!(self, server => server.own_client_id())
    }

    fn seal(&self, text: &str) -> String {
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

    async fn update(&self, id: &ClientId, desired: &Desired) -> Result<(), ServerError> {
        each!(self, server => server.update(id, desired).await)
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

impl Permissions for AnyServer {
    async fn principal(
        &self,
        tenant: &str,
        client_id: &ClientId,
        name: &str,
        lane: Lane,
    ) -> Result<Principal, ServerError> {
        each!(self, server => server.principal(tenant, client_id, name, lane).await)
    }

    async fn user(&self, tenant: &str, principal: &PrincipalId, lane: Lane) -> Result<Option<User>, ServerError> {
        each!(self, server => server.user(tenant, principal, lane).await)
    }

    async fn tenant(&self, tenant: &str, lane: Lane) -> Result<Tenant, ServerError> {
        each!(self, server => server.tenant(tenant, lane).await)
    }

    async fn members(&self, tenant: &str, folder: FolderId, lane: Lane) -> Result<Vec<Member>, ServerError> {
        each!(self, server => server.members(tenant, folder, lane).await)
    }

    async fn admit(
        &self,
        tenant: &str,
        principal: &PrincipalId,
        roles: &BTreeSet<String>,
    ) -> Result<UserId, ServerError> {
        each!(self, server => server.admit(tenant, principal, roles).await)
    }

    async fn set_tenant_roles(&self, tenant: &str, user: UserId, roles: &[RoleId]) -> Result<(), ServerError> {
        each!(self, server => server.set_tenant_roles(tenant, user, roles).await)
    }

    async fn set_folder_roles(
        &self,
        tenant: &str,
        assignee: &Assignee,
        folders: &[(FolderId, Vec<RoleId>)],
    ) -> Result<(), ServerError> {
        each!(self, server => server.set_folder_roles(tenant, assignee, folders).await)
    }

    async fn leave(&self, tenant: &str, folder: FolderId, user: UserId) -> Result<(), ServerError> {
        each!(self, server => server.leave(tenant, folder, user).await)
    }

    async fn expel(&self, tenant: &str, user: UserId) -> Result<(), ServerError> {
        each!(self, server => server.expel(tenant, user).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_takes_the_same_text_and_the_same_secret() {
        let (one, other) = (ClientSecret::new("secret"), ClientSecret::new("another"));
        assert_eq!(seal_with(&one, "text"), seal_with(&one, "text"));
        assert_ne!(seal_with(&one, "text"), seal_with(&one, "other text"));
        assert_ne!(seal_with(&one, "text"), seal_with(&other, "text"));
        assert!(!seal_with(&one, "text").contains("secret"));
    }
}
