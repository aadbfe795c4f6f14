//! Any server with dynamic client registration (RFC 7591), and with its management (RFC 7592) where it has that.
//!
//! Such a server lists nothing, and tells of a registration only who has its registration access token, which some servers
//! replace with every answer. So a [`record::Record`] of each registration is kept, before anything else is done with an
//! answer; `list` tells what the records name. `wire` says what bodies mean, `exchange` sends requests, `records` shares
//! out what is kept.

use std::future::Future;
use std::sync::Arc;

use secrecy::SecretString;
use url::Url;

use super::budget::Budget;
use super::http::{ClientError, Transport, UrlRefused};
use super::json_api::JsonApi;
use super::metadata::{self, Metadata};
use super::single_flight::SingleFlight;
use super::{AuthorizationServer, Lane, ServerError, proof};
use crate::clock::Clock;
use crate::domain::capabilities::{Capabilities, CatalogueSource, PermissionScope, Secrets};
use crate::domain::registration::{
    Catalogue, ClientId, ClientSecret, Created, Credential, Desired, Endpoints, Listed, Registered, SecretId,
};

mod change;
mod create;
mod exchange;
mod from_spec;
mod record;
mod records;
mod vault;
mod wire;

pub use record::Record;
pub use records::Records;
pub use vault::{Kept, Over, Vault, VaultError};

/// Everything that a client needs.
pub struct Config {
    /// The issuer identifier, which the server's metadata must name.
    pub issuer: Url,
    /// What registrations are asked for with, where the server demands that.
    pub initial_access_token: Option<SecretString>,
    /// Shared by all who talk to this server.
    pub records: Arc<Records>,
    pub transport: Transport,
    pub budget: Arc<Budget>,
}

/// Why there is no client, in words for the person who wrote the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error(transparent)]
    Url(#[from] UrlRefused),
    #[error("the initial access token must be one line")]
    Token,
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// A client of one server.
pub struct Registration(Arc<Inner>);

struct Inner {
    api: JsonApi,
    issuer: Url,
    insecure_hosts: Vec<String>,
    initial_access_token: Option<SecretString>,
    metadata: SingleFlight<Metadata>,
    records: Arc<Records>,
    clock: Clock,
}

impl Registration {
    /// Makes a client. Nothing is sent yet.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.transport.permits(&config.issuer)?;
        if config.initial_access_token.as_ref().is_some_and(|token| exchange::header(token).is_none()) {
            return Err(ConfigError::Token);
        }
        let http = config.transport.http(&config.issuer)?;
        Ok(Self(Arc::new(Inner {
            api: JsonApi { http, budget: config.budget },
            issuer: config.issuer,
            insecure_hosts: config.transport.insecure_hosts,
            initial_access_token: config.initial_access_token,
            metadata: SingleFlight::default(),
            records: config.records,
            clock: config.transport.clock,
        })))
    }

    /// Does something whose answer must be kept even if nobody waits for it any more.
    async fn undisturbed<T, F>(&self, act: impl FnOnce(Arc<Inner>) -> F) -> Result<T, ServerError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ServerError>> + Send + 'static,
    {
        tokio::spawn(act(Arc::clone(&self.0))).await.unwrap_or(Err(ServerError::Timeout))
    }
}

impl Inner {
    async fn authenticates(&self, id: &ClientId, secret: &ClientSecret) -> Result<bool, ServerError> {
        let metadata = self.metadata.get(|_| true, || self.fetch_metadata()).await?;
        proof::authenticates(&self.api.http, &metadata.token_endpoint, id, secret).await
    }

    async fn fetch_metadata(&self) -> Result<Metadata, ServerError> {
        metadata::fetch(&self.api, &self.issuer, &self.insecure_hosts).await
    }
}

impl AuthorizationServer for Registration {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            provider: "registration",
            marks: true,
            lists: false,
            guessable_ids: false,
            scopes_per_grant: false,
            changes_type: false,
            secrets: Secrets::Fixed,
            settings: wire::SETTINGS,
            catalogue: CatalogueSource::Declared,
            permissions: PermissionScope::None,
            federation: None,
        }
    }

    /// Asks anew, so that a change at the server is seen. Not counted against the budget.
    async fn endpoints(&self, _lane: Lane) -> Result<Endpoints, ServerError> {
        let fetched = self.0.fetch_metadata().await?;
        create::endpoint(&fetched, &self.0.issuer)?;
        Ok(self.0.metadata.replace(fetched).await.endpoints.clone())
    }

    async fn organization_id(&self, _lane: Lane) -> Result<Option<String>, ServerError> {
        Ok(None)
    }

    fn own_client_id(&self) -> Option<&ClientId> {
        None
    }

    /// Records say whose a registration is. An initial access token comes and goes, and proves nothing.
    fn seal(&self, _text: &str) -> Option<String> {
        None
    }

    async fn catalogue(&self, _lane: Lane) -> Result<Catalogue, ServerError> {
        let metadata = self.0.metadata.get(|_| true, || self.0.fetch_metadata()).await?;
        Ok(metadata.catalogue())
    }

    /// What the records name, since the server lists nothing. Of what no sweep may read it tells all that is known.
    async fn list(&self, _lane: Lane) -> Result<Vec<Listed>, ServerError> {
        let row = |record: &Record| {
            let registered = record.registered();
            if record.is_readable_at_will() { registered.as_listed() } else { registered.into_listed() }
        };
        Ok(self.0.records.all().await?.iter().map(row).collect())
    }

    /// `ServerError::OutOfReach` for a registration that no record names.
    async fn get(&self, id: &ClientId, lane: Lane) -> Result<Option<Registered>, ServerError> {
        let id = id.clone();
        self.undisturbed(move |inner| async move { inner.read(&id, lane).await }).await
    }

    /// The answer is kept even if the pass that asked is over.
    async fn create(&self, desired: &Desired) -> Result<Created, ServerError> {
        let desired = desired.clone();
        self.undisturbed(move |inner| async move { inner.create(&desired).await })
            .await
            .map_err(ServerError::of_a_create)
    }

    /// Sends nothing where nothing differs and nothing is to be renewed.
    async fn update(&self, id: &ClientId, desired: &Desired) -> Result<Option<Credential>, ServerError> {
        let (id, desired) = (id.clone(), desired.clone());
        self.undisturbed(move |inner| async move { inner.update(&id, &desired).await }).await
    }

    async fn authenticates(&self, id: &ClientId, secret: &ClientSecret) -> Result<bool, ServerError> {
        self.0.authenticates(id, secret).await
    }

    async fn delete(&self, id: &ClientId) -> Result<(), ServerError> {
        let id = id.clone();
        self.undisturbed(move |inner| async move { inner.delete(&id).await }).await
    }

    async fn add_secret(&self, _id: &ClientId, _description: &str) -> Result<Credential, ServerError> {
        let what = "this server gives each registration its secret once, and no other: make a new ExternalApplication to have another one";
        Err(ServerError::Unsupported { what })
    }

    async fn remove_secret(&self, _id: &ClientId, _secret: &SecretId) -> Result<(), ServerError> {
        let what =
            "this server cannot take the secret away from a registration: only deleting the registration ends it";
        Err(ServerError::Unsupported { what })
    }
}
