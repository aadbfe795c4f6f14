//! Fine-grained permissions: what an application may do in a tenant and its folders.

use std::collections::BTreeSet;
use std::future::Future;

use super::{Lane, ServerError};
use crate::domain::catalogue::{Enforced, Obstacles};
use crate::domain::registration::{ClientId, PrincipalId};
use crate::domain::tenant::{FolderId, Member, Principal, RoleId, Tenant, User, UserId};

/// Whom a folder's roles are given to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assignee {
    /// A user that the tenant knows already.
    User(UserId),
    /// An identity of the directory, which becomes a user with this.
    Principal(PrincipalId),
}

/// A server that can be made to offer what people declare.
pub trait ManagedCatalogue {
    /// Makes and corrects the scopes of these, and removes those that `owner` has made and that are neither declared nor
    /// `used`. Scopes that others have made are left alone: that, and whatever else a person has to settle, is told by
    /// object. Writes nothing where all is well.
    fn enforce(
        &self,
        declared: &[Enforced],
        used: &BTreeSet<String>,
        owner: &str,
        lane: Lane,
    ) -> impl Future<Output = Result<Obstacles, ServerError>> + Send;
}

/// What somebody wants to know of a tenant.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    pub principal: &'a PrincipalId,
    /// By name.
    pub roles: &'a BTreeSet<String>,
}

/// What a server with fine-grained permissions can do. Everything that writes sets a state: doing it twice is the same as
/// doing it once. `ServerError::NotFound` is about the tenant, or about the folder or user that is named.
pub trait Permissions {
    /// The application's identity in the directory. `name` is how it is found, `client_id` how it is told from others of
    /// the same name.
    fn principal(
        &self,
        tenant: &str,
        client_id: &ClientId,
        name: &str,
        lane: Lane,
    ) -> impl Future<Output = Result<Principal, ServerError>> + Send;
    /// One principal as the tenant knows it now, if it does: never from a list, which may have been read while others
    /// changed it.
    fn user(
        &self,
        tenant: &str,
        principal: &PrincipalId,
        lane: Lane,
    ) -> impl Future<Output = Result<Option<User>, ServerError>> + Send;
    /// The tenant: at the least those roles and that principal which are asked about, and all of it where that costs no
    /// more. A server without tenants is given an empty name.
    fn tenant(
        &self,
        tenant: &str,
        about: About<'_>,
        lane: Lane,
    ) -> impl Future<Output = Result<Tenant, ServerError>> + Send;
    /// Who is assigned to this folder, without those who only inherit.
    fn members(
        &self,
        tenant: &str,
        folder: FolderId,
        lane: Lane,
    ) -> impl Future<Output = Result<Vec<Member>, ServerError>> + Send;
    /// Makes the principal known to the tenant, with exactly these roles (by name).
    fn admit(
        &self,
        tenant: &str,
        principal: &PrincipalId,
        roles: &BTreeSet<String>,
    ) -> impl Future<Output = Result<UserId, ServerError>> + Send;
    /// Replaces the user's roles in the tenant itself.
    fn set_tenant_roles(
        &self,
        tenant: &str,
        user: &UserId,
        roles: &[RoleId],
    ) -> impl Future<Output = Result<(), ServerError>> + Send;
    /// Replaces the roles in each of these folders.
    fn set_folder_roles(
        &self,
        tenant: &str,
        assignee: &Assignee,
        folders: &[(FolderId, Vec<RoleId>)],
    ) -> impl Future<Output = Result<(), ServerError>> + Send;
    /// Takes the user out of a folder. Not in it already counts as done.
    fn leave(
        &self,
        tenant: &str,
        folder: FolderId,
        user: &UserId,
    ) -> impl Future<Output = Result<(), ServerError>> + Send;
    /// Takes the user out of the tenant, with all that is assigned to it. Gone already counts as done.
    fn expel(&self, tenant: &str, user: &UserId) -> impl Future<Output = Result<(), ServerError>> + Send;
}
