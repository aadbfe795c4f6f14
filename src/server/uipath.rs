//! UiPath: external applications of an organization, through Identity Server's management API.
//!
//! `session` sends requests, `wire` and `answer` say what they mean, `paths` where they go, and `readings`
//! what UiPath's documentation leaves open. The API is described at
//! <https://docs.uipath.com/automation-cloud/Automation-cloud/latest/api-guide/external-client>.

use std::fmt;
use std::sync::{Arc, Mutex};

use url::Url;

use super::budget::Budget;
use super::http::{Answer, ClientError, Transport, UrlRefused};
use super::proof;
use super::single_flight::SingleFlight;
use super::{AuthorizationServer, Lane, ServerError, ServerText};
pub use crate::api::authorization_server::Deployment;
use crate::domain::capabilities::{Capabilities, CatalogueSource, Federation, PermissionScope, Secrets};
use crate::domain::registration::{
    Catalogue, ClientId, ClientSecret, Created, Credential, Desired, Endpoints, Listed, Registered, SecretId,
};

mod answer;
mod discovery;
mod federation;
mod from_spec;
mod operation;
mod orchestrator;
mod paths;
pub mod readings;
mod session;
mod token;
mod wire;

use answer::Reader;
use paths::Paths;
use session::{Access, Call, Organization, Session};
use wire::{ClientAnswer, CreateBody, MinimalAnswer, NewSecretAnswer, RowAnswer, SecretBody, UpdateBody};

/// What a UiPath organization can do.
pub const CAPABILITIES: Capabilities = Capabilities {
    provider: "uipath",
    marks: false,
    lists: true,
    guessable_ids: false,
    scopes_per_grant: true,
    changes_type: false,
    secrets: Secrets::Several,
    settings: &[],
    catalogue: CatalogueSource::Own,
    permissions: PermissionScope::TenantsAndFolders,
    federation: Some(Federation { most: 20, beside_secret: true, algorithms: &["RS256"] }),
};

/// Everything that a client needs.
pub struct Config {
    /// Scheme, host and port, for example `https://cloud.uipath.com`.
    pub url: Url,
    /// Name or GUID.
    pub organization: String,
    pub deployment: Deployment,
    pub client_id: ClientId,
    pub client_secret: ClientSecret,
    pub transport: Transport,
    /// Shared by everybody who uses the same organization: from a `BudgetRegistry`.
    pub budget: Arc<Budget>,
    /// The same for Orchestrator, which counts by itself.
    pub orchestrator_budget: Arc<Budget>,
}

/// Why there is no client, in words for the person who wrote the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error(transparent)]
    Url(#[from] UrlRefused),
    #[error("the url must name a host, and the organization must be its name or GUID without spaces")]
    Address,
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// A client of one organization. Cheap to share, holds one connection pool, one token and the server's metadata.
pub struct Uipath {
    session: Session,
    assign_action: orchestrator::AssignAction,
}

impl fmt::Debug for Uipath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uipath").field("client_id", &self.session.client_id).finish_non_exhaustive()
    }
}

impl Uipath {
    /// Makes a client. Nothing is sent yet.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.transport.permits(&config.url)?;
        let paths = Paths::new(&config.url, &config.organization, config.deployment).ok_or(ConfigError::Address)?;
        let session = Session {
            http: config.transport.http(&config.url)?,
            server: config.url,
            paths,
            organization: config.organization,
            client_id: config.client_id,
            client_secret: config.client_secret,
            clock: config.transport.clock,
            metadata: SingleFlight::default(),
            identity: Access::new(&readings::OWN_SCOPES, "PM.OAuthApp as application scope", config.budget),
            orchestrator: Access::new(
                &readings::ORCHESTRATOR_SCOPES,
                "OR.Default as application scope: role-based access, and with it every folder, needs it",
                config.orchestrator_budget,
            ),
            closed_until: Mutex::default(),
        };
        Ok(Self { session, assign_action: orchestrator::AssignAction::of(config.deployment) })
    }

    /// The address of a registration. An id that would address something else is refused.
    fn client_url(&self, organization: &str, id: &ClientId) -> Result<Url, ServerError> {
        let text = || ServerText::ours("this is not the client id of an external application");
        self.session.paths.client(organization, id).ok_or_else(|| ServerError::Rejected { text: text() })
    }
}

impl AuthorizationServer for Uipath {
    /// Asks anew, so that a change at the server is seen; other requests use what was found last. Not counted
    /// against the organization's budget.
    async fn endpoints(&self, _lane: Lane) -> Result<Endpoints, ServerError> {
        let metadata = self.session.fetch_metadata().await?;
        Ok(self.session.metadata.replace(metadata).await.endpoints.clone())
    }

    /// Never `None`: a server that does not tell is an error, with what to configure instead.
    async fn organization_id(&self, _lane: Lane) -> Result<Option<String>, ServerError> {
        let token = self.session.token().await?;
        self.session.organization(&token).map(|id| Some(id.to_owned()))
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn own_client_id(&self) -> Option<&ClientId> {
        Some(&self.session.client_id)
    }

    fn seal(&self, text: &str) -> Option<String> {
        Some(super::sealed_with(&self.session.client_secret, text))
    }

    async fn catalogue(&self, lane: Lane) -> Result<Catalogue, ServerError> {
        let prepare = |_: Organization<'_>| Ok(Call::to(self.session.paths.catalogue()));
        let read = |reader: &Reader<'_>, answer: &Answer| reader.json(answer).map(wire::catalogue);
        self.session.call(operation::CATALOGUE, lane, prepare, read).await
    }

    async fn list(&self, lane: Lane) -> Result<Vec<Listed>, ServerError> {
        let prepare = |organization: Organization<'_>| Ok(Call::to(self.session.paths.list(organization?)));
        self.session.call(operation::LIST, lane, prepare, read_list).await
    }

    async fn get(&self, id: &ClientId, lane: Lane) -> Result<Option<Registered>, ServerError> {
        let prepare = |organization: Organization<'_>| self.client_url(organization?, id).map(Call::to);
        let read = |reader: &Reader<'_>, answer: &Answer| {
            let registered = reader.json::<ClientAnswer>(answer)?.registered(id);
            registered.ok_or(ServerError::Unintelligible { what: "another registration than the one asked for" })
        };
        match self.session.call(operation::GET, lane, prepare, read).await {
            Ok(registered) => Ok(Some(registered)),
            Err(ServerError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, desired: &Desired) -> Result<Created, ServerError> {
        let prepare = |organization: Organization<'_>| {
            Call::with(self.session.paths.clients(), &CreateBody::new(organization?, desired)?)
        };
        let read = |reader: &Reader<'_>, answer: &Answer| read_created(reader, answer, desired);
        self.session.call(operation::CREATE, Lane::User, prepare, read).await
    }

    async fn update(&self, id: &ClientId, desired: &Desired) -> Result<Option<Credential>, ServerError> {
        let prepare = |organization: Organization<'_>| {
            Call::with(self.client_url(organization?, id)?, &UpdateBody::new(desired)?)
        };
        self.session.call(operation::UPDATE, Lane::User, prepare, done).await.map(|()| None)
    }

    async fn authenticates(&self, id: &ClientId, secret: &ClientSecret) -> Result<bool, ServerError> {
        let metadata = self.session.metadata.get(|_| true, || self.session.fetch_metadata()).await?;
        proof::authenticates(&self.session.http, &metadata.token_endpoint, id, secret).await
    }

    async fn delete(&self, id: &ClientId) -> Result<(), ServerError> {
        let prepare = |organization: Organization<'_>| self.client_url(organization?, id).map(Call::to);
        gone(self.session.call(operation::DELETE, Lane::User, prepare, done).await)
    }

    async fn add_secret(&self, id: &ClientId, description: &str) -> Result<Credential, ServerError> {
        let prepare = |organization: Organization<'_>| {
            let body = SecretBody { client_id: id.as_str(), description, partition_global_id: organization? };
            Call::with(self.session.paths.generate_secret(), &body)
        };
        let read = |reader: &Reader<'_>, answer: &Answer| {
            let credential = reader.json::<NewSecretAnswer>(answer)?.credential();
            credential.ok_or(ServerError::Unintelligible { what: "no secret in it" })
        };
        self.session.call(operation::ADD_SECRET, Lane::User, prepare, read).await
    }

    async fn remove_secret(&self, _id: &ClientId, secret: &SecretId) -> Result<(), ServerError> {
        let prepare = |organization: Organization<'_>| {
            let text = || ServerText::ours("this is not the id of a secret");
            let url = self.session.paths.secret(organization?, secret);
            url.map(Call::to).ok_or_else(|| ServerError::Rejected { text: text() })
        };
        gone(self.session.call(operation::REMOVE_SECRET, Lane::User, prepare, done).await)
    }
}

fn done(reader: &Reader<'_>, answer: &Answer) -> Result<(), ServerError> {
    reader.done(answer)
}

/// All rows or none: a row that is missing would look like a registration that was deleted.
fn read_list(reader: &Reader<'_>, answer: &Answer) -> Result<Vec<Listed>, ServerError> {
    let rows: Vec<RowAnswer> = reader.json(answer)?;
    if !rows.iter().all(RowAnswer::has_id) {
        return Err(ServerError::Unintelligible { what: "a registration without an id" });
    }
    Ok(rows.into_iter().map(RowAnswer::listed).collect())
}

/// A secret is shown once: the id and the secret are taken even where the rest is not understood.
fn read_created(reader: &Reader<'_>, answer: &Answer, desired: &Desired) -> Result<Created, ServerError> {
    let minimal: MinimalAnswer = reader.json(answer)?;
    if !minimal.has_id() {
        return Err(ServerError::Unintelligible { what: "a registration without an id" });
    }
    match reader.json::<ClientAnswer>(answer) {
        Ok(whole) => Ok(whole.created(desired)),
        Err(_) => Ok(minimal.created(desired)),
    }
}

fn gone(result: Result<(), ServerError>) -> Result<(), ServerError> {
    match result {
        Err(ServerError::NotFound) => Ok(()),
        other => other,
    }
}
