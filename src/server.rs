//! Authorization servers: one contract for all of them, and one module for each.
//!
//! A backend speaks the domain's words and hides its server's. It repeats a request only where a repetition cannot
//! do harm: never a create, whose outcome may be unknown (`ServerError::Ambiguous`).

use std::future::Future;

use aws_lc_rs::hmac;

use crate::domain::capabilities::Capabilities;
use crate::domain::registration::{
    Catalogue, ClientId, ClientSecret, Created, Credential, Desired, Endpoints, Listed, Registered, SecretId,
};

pub mod any;
pub mod budget;
pub mod error;
pub mod federation;
pub mod grant;
pub mod http;
pub mod hydra;
pub mod json_api;
pub mod keycloak;
pub mod metadata;
pub mod permissions;
mod proof;
pub mod registration;
mod single_flight;
pub mod text;
mod token;
pub mod uipath;
mod words;

pub use any::AnyServer;
pub use error::ServerError;
pub use federation::Federating;
pub use permissions::{About, Assignee, ManagedCatalogue, Permissions};
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
    /// What this kind of server can do. What it cannot is refused before it is asked for.
    fn capabilities(&self) -> Capabilities;
    /// Where applications find the server. Reads the server's own metadata.
    fn endpoints(&self, lane: Lane) -> impl Future<Output = Result<Endpoints, ServerError>> + Send;
    /// The server's name for the organization, realm or tenant that the operator works in.
    fn organization_id(&self, lane: Lane) -> impl Future<Output = Result<Option<String>, ServerError>> + Send;
    /// The client id that the operator itself authenticates with, where it has one: never to be adopted or deleted.
    fn own_client_id(&self) -> Option<&ClientId>;
    /// A proof that whoever wrote a text had the operator's own credentials: the same text gives the same proof, as long
    /// as the credentials are the same. `None` where there are none to make one with; then registrations are marked.
    fn seal(&self, text: &str) -> Option<String>;

    /// What the server itself says may be asked for.
    fn catalogue(&self, lane: Lane) -> impl Future<Output = Result<Catalogue, ServerError>> + Send;
    /// Every registration of the server, over all pages; those that we know where it does not list them.
    fn list(&self, lane: Lane) -> impl Future<Output = Result<Vec<Listed>, ServerError>> + Send;
    /// `None`: there is no such registration.
    fn get(&self, id: &ClientId, lane: Lane) -> impl Future<Output = Result<Option<Registered>, ServerError>> + Send;
    /// Not idempotent, never repeated inside. `ServerError::is_definite` tells whether a failure left nothing behind.
    fn create(&self, desired: &Desired) -> impl Future<Output = Result<Created, ServerError>> + Send;
    /// Replaces name, redirect URIs, scopes, the settings that are asked for, and the mark; everything else stays as it
    /// is. Gives back a new secret where the server made one of its own accord. `ServerError::NotFound` if it is gone.
    fn update(
        &self,
        id: &ClientId,
        desired: &Desired,
    ) -> impl Future<Output = Result<Option<Credential>, ServerError>> + Send;
    /// Whether this secret authenticates the registration now. Nothing but a clear refusal is a no.
    fn authenticates(
        &self,
        id: &ClientId,
        secret: &ClientSecret,
    ) -> impl Future<Output = Result<bool, ServerError>> + Send;
    /// Gone already counts as done.
    fn delete(&self, id: &ClientId) -> impl Future<Output = Result<(), ServerError>> + Send;
    /// Not idempotent. Where there is one secret, the new one takes its place. The description marks the secret, so that one whose value was lost can be found and removed.
    fn add_secret(
        &self,
        id: &ClientId,
        description: &str,
    ) -> impl Future<Output = Result<Credential, ServerError>> + Send;
    /// Nobody gets a token with it any more. Gone already counts as done. Where a registration always has one secret,
    /// another takes its place that nobody knows.
    fn remove_secret(&self, id: &ClientId, secret: &SecretId) -> impl Future<Output = Result<(), ServerError>> + Send;
}

/// HMAC-SHA-256 over a text, in hexadecimal. The key is the operator's own secret, which no namespace but the server's
/// can read; the label keeps this use apart from any other.
pub fn sealed_with(secret: &ClientSecret, text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    crate::domain::hex(hmac::sign(&key, format!("extapp.dev/pending\n{text}").as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_takes_the_same_text_and_the_same_secret() {
        let (one, other) = (ClientSecret::new("secret"), ClientSecret::new("another"));
        assert_eq!(sealed_with(&one, "text"), sealed_with(&one, "text"));
        assert_ne!(sealed_with(&one, "text"), sealed_with(&one, "other text"));
        assert_ne!(sealed_with(&one, "text"), sealed_with(&other, "text"));
        assert!(!sealed_with(&one, "text").contains("secret"));
    }
}
