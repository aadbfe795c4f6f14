//! Federated credentials: tokens of other issuers that an application authenticates with in place of a secret (RFC 7523).

use std::future::Future;

use super::{Lane, ServerError};
use crate::domain::federation::{Federated, Trust};
use crate::domain::registration::ClientId;

/// What a server can do that takes tokens of other issuers: one whose capabilities have a `federation`.
/// `ServerError::NotFound` is about the registration, or about the credential that is named. `ServerError::NotYet` is about
/// a registration that was just made.
pub trait Federating {
    /// All that the registration has, each with the name that it was given.
    fn federated(&self, id: &ClientId, lane: Lane) -> impl Future<Output = Result<Vec<Federated>, ServerError>> + Send;
    /// Not idempotent, never repeated inside. Whether one whose answer was lost is there is told by its name.
    fn add_federated(
        &self,
        id: &ClientId,
        trust: &Trust,
    ) -> impl Future<Output = Result<Federated, ServerError>> + Send;
    /// Sets name, issuer, audience and subject of one that is there.
    fn replace_federated(
        &self,
        id: &ClientId,
        credential: &str,
        trust: &Trust,
    ) -> impl Future<Output = Result<(), ServerError>> + Send;
    /// Nobody gets a token with it any more. Gone already counts as done.
    fn remove_federated(&self, id: &ClientId, credential: &str)
    -> impl Future<Output = Result<(), ServerError>> + Send;
}
