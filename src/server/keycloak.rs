//! Keycloak: clients of a realm, through its admin REST API.
//!
//! `session` sends requests, `operation` and `wire` say what they mean, `readings` what was measured where the
//! documentation is silent. `scopes` keeps client scopes, `roles` those of service accounts. The API is described at
//! <https://www.keycloak.org/docs-api/latest/rest-api/index.html>.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard};
use url::Url;

use super::budget::Budget;
use super::http::{ClientError, Transport, UrlRefused};
use super::json_api::{JsonApi, Operation, json};
use super::metadata::{self, Metadata};
use super::single_flight::SingleFlight;
use super::{AuthorizationServer, Lane, ServerError, ServerText};
use crate::clock::random_id;
use crate::domain::capabilities::{Capabilities, CatalogueSource, Federation, PermissionScope, Secrets};
use crate::domain::registration::{
    Catalogue, ClientId, ClientSecret, Created, Credential, Desired, Endpoints, Listed, Registered, SecretId,
};

mod authentication;
mod enforce;
mod federation;
mod from_spec;
mod held;
mod hidden;
mod operation;
mod readings;
mod roles;
mod scopes;
mod session;
mod wire;

use operation::{ADD_SECRET, CREATE, DELETE, GET, LIST, REMOVE_SECRET, UPDATE};
use scopes::Scopes;
use session::{At, Session, under};
use wire::{ClientAnswer, ClientBody, SecretAnswer};

/// What a realm can do for applications.
const CAPABILITIES: Capabilities = Capabilities {
    provider: "keycloak",
    marks: true,
    lists: true,
    guessable_ids: true,
    scopes_per_grant: false,
    changes_type: true,
    secrets: Secrets::One,
    settings: wire::SETTINGS,
    catalogue: CatalogueSource::Managed,
    permissions: PermissionScope::Roles,
    federation: Some(Federation { most: 1, beside_secret: false, algorithms: &[] }),
};

/// How many clients one request asks for, and how many of them the next one asks for again: what goes meanwhile must not
/// move another one over the edge unseen.
const PAGE: usize = 200;
const OVERLAP: usize = 20;
/// How often a list is begun anew that changed too much while it was read.
const ATTEMPTS: usize = 3;
/// How many clients may be changed at once.
const LOCKS: usize = 64;

/// Everything that a client needs.
pub struct Config {
    /// The address without the realm, for example `https://keycloak.example.com`.
    pub url: Url,
    pub realm: String,
    pub client_id: ClientId,
    pub client_secret: ClientSecret,
    pub transport: Transport,
    /// Shared by everybody who uses the same realm: from a `BudgetRegistry`.
    pub budget: Arc<Budget>,
}

/// Why there is no client, in words for the person who wrote the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error(transparent)]
    Url(#[from] UrlRefused),
    #[error("the url must name a host, and the realm must be its name as in its URLs")]
    Address,
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// A client of one realm. Cheap to share, holds one connection pool and one token.
pub struct Keycloak {
    session: Session,
    realm: String,
    insecure_hosts: Vec<String>,
    scopes: Scopes,
    /// Changes of one client come one after the other: each of them is several requests.
    changing: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl fmt::Debug for Keycloak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keycloak").field("realm", &self.realm).finish_non_exhaustive()
    }
}

impl Keycloak {
    /// Makes a client. Nothing is sent yet.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.transport.permits(&config.url)?;
        let realm = config.realm.as_str();
        let names = !realm.is_empty() && !realm.chars().all(|c| c == '.');
        let at = |segments: &[&str]| under(&config.url, segments).filter(|_| names).ok_or(ConfigError::Address);
        let (issuer, admin) = (at(&["realms", realm])?, at(&["admin", "realms", realm])?);
        let session = Session {
            api: JsonApi { http: config.transport.http(&config.url)?, budget: config.budget },
            issuer,
            admin,
            client_id: config.client_id,
            client_secret: config.client_secret,
            clock: config.transport.clock,
            tokens: SingleFlight::default(),
        };
        let changing = (0..LOCKS).map(|_| Mutex::default()).collect();
        let (scopes, hasher) = (Scopes::default(), RandomState::new());
        Ok(Self {
            session,
            realm: config.realm,
            insecure_hosts: config.transport.insecure_hosts,
            scopes,
            changing,
            hasher,
        })
    }

    async fn metadata(&self) -> Result<Metadata, ServerError> {
        metadata::fetch(&self.session.api, &self.session.issuer, &self.insecure_hosts).await
    }

    #[allow(clippy::cast_possible_truncation, reason = "which lock it is does not matter")]
    async fn change(&self, id: &ClientId) -> MutexGuard<'_, ()> {
        self.changing[self.hasher.hash_one(id) as usize % LOCKS].lock().await
    }

    async fn clients(
        &self,
        operation: Operation,
        query: &[(&str, &str)],
        lane: Lane,
    ) -> Result<Vec<ClientAnswer>, ServerError> {
        let mut url = self.session.url(At(&["clients"]))?;
        url.query_pairs_mut().extend_pairs(query);
        self.session.read(operation, url, lane).await
    }

    /// A client by its `clientId`. That there is none is believed only where the operator can see its own: whoever may
    /// not read clients is answered with an empty list.
    async fn find(&self, id: &str, lane: Lane) -> Result<Option<ClientAnswer>, ServerError> {
        let found = self.clients(GET, &[("clientId", id)], lane).await?;
        let found = found.into_iter().find(|client| client.client_id == id);
        if found.is_none() {
            let own = self.session.client_id.as_str();
            let visible = self.clients(GET, &[("clientId", own)], lane).await?;
            if visible.is_empty() {
                return Err(ServerError::Forbidden { needed: GET.needed });
            }
        }
        Ok(found)
    }

    /// A client that may be changed.
    async fn changeable(&self, id: &ClientId) -> Result<ClientAnswer, ServerError> {
        let client = self.find(id.as_str(), Lane::User).await?.ok_or(ServerError::NotFound)?;
        suitable(client)
    }

    /// One page after the other. `None` where so much went meanwhile that something may have been missed.
    async fn pages(&self, lane: Lane) -> Result<Option<Vec<ClientAnswer>>, ServerError> {
        let mut all: Vec<ClientAnswer> = Vec::new();
        // By position in the server's list, which is not that of what was gathered once something moved.
        let mut first = 0_usize;
        loop {
            let (offset, page_size) = (first.to_string(), PAGE.to_string());
            let page = self.clients(LIST, &[("first", &offset), ("max", &page_size)], lane).await?;
            let full = page.len() >= PAGE;
            let recent = &all[all.len().saturating_sub(OVERLAP)..];
            let joined = all.is_empty() || page.iter().any(|new| recent.iter().any(|old| old.id == new.id));
            if !joined {
                return Ok(None);
            }
            first += page.len().saturating_sub(OVERLAP);
            let known: std::collections::BTreeSet<String> = recent.iter().map(|client| client.id.clone()).collect();
            all.extend(page.into_iter().filter(|client| !known.contains(&client.id)));
            if !full {
                return Ok(Some(all));
            }
        }
    }

    /// Puts a secret that nobody was given in the place of all there are.
    async fn renew_secret(&self, client: &ClientAnswer) -> Result<(), ServerError> {
        self.session.act(ADD_SECRET, At(&["clients", &client.id, "client-secret"])).await?;
        self.forget_rotated(client).await
    }

    /// Ends what the realm keeps valid of a secret that was replaced.
    async fn forget_rotated(&self, client: &ClientAnswer) -> Result<(), ServerError> {
        match self.session.act(REMOVE_SECRET, At(&["clients", &client.id, "client-secret", "rotated"])).await {
            Err(ServerError::NotFound) => Ok(()),
            done => done.map(drop),
        }
    }

    /// Reads a client again after a change, to see whether that replaced its secret.
    async fn replaced(&self, id: &ClientId, before: &ClientAnswer) -> Result<Option<Credential>, ServerError> {
        if !before.may_rotate() && !before.is_secretless() {
            return Ok(None);
        }
        let after = self.find(id.as_str(), Lane::User).await?.ok_or(ServerError::NotFound)?;
        let credential = credential(&after, Some(before));
        let same = |credential: &Credential| before.secrets().first().map(|info| &info.id) == credential.id.as_ref();
        Ok(credential.filter(|credential| !same(credential)))
    }
}

fn suitable(client: ClientAnswer) -> Result<ClientAnswer, ServerError> {
    match client.unsuitable() {
        Some(why) => Err(ServerError::Rejected { text: ServerText::ours(why) }),
        None => Ok(client),
    }
}

/// The secret that a client authenticates with now. `before`: as it was before this one was made.
fn credential(client: &ClientAnswer, before: Option<&ClientAnswer>) -> Option<Credential> {
    let mut secrets = client.secrets().into_iter();
    let current = secrets.next()?;
    let rest: Vec<SecretId> = secrets.map(|info| info.id).collect();
    let earlier = before.into_iter().flat_map(ClientAnswer::secrets).map(|info| info.id);
    let lost = earlier.into_iter().any(|id| id != current.id && !rest.contains(&id));
    Some(Credential {
        id: Some(current.id),
        secret: ClientSecret::new(current.value?.expose()),
        created_at: current.created_at,
        expires_at: current.expires_at,
        // Where the realm keeps the one before for a while, it is listed beside this one.
        replaces: lost && rest.is_empty(),
    })
}

impl AuthorizationServer for Keycloak {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    async fn endpoints(&self, _lane: Lane) -> Result<Endpoints, ServerError> {
        self.metadata().await.map(|metadata| metadata.endpoints)
    }

    /// The realm, and what no other realm of this name has: Keycloak's own id of a client that every realm has.
    async fn organization_id(&self, lane: Lane) -> Result<Option<String>, ServerError> {
        let management =
            if self.realm == readings::MASTER { readings::MASTER_MANAGEMENT } else { readings::MANAGEMENT };
        let client = self.find(management, lane).await?;
        Ok(client.map(|client| format!("{}/{}", self.realm, client.id)))
    }

    fn own_client_id(&self) -> Option<&ClientId> {
        Some(&self.session.client_id)
    }

    fn seal(&self, text: &str) -> Option<String> {
        Some(super::sealed_with(&self.session.client_secret, text))
    }

    async fn catalogue(&self, lane: Lane) -> Result<Catalogue, ServerError> {
        self.catalogue_of_scopes(lane).await
    }

    async fn list(&self, lane: Lane) -> Result<Vec<Listed>, ServerError> {
        for _ in 0..ATTEMPTS {
            let Some(all) = self.pages(lane).await? else { continue };
            if !all.iter().any(|client| client.client_id == self.session.client_id.as_str()) {
                return Err(ServerError::Forbidden { needed: LIST.needed });
            }
            let ours = all.iter().filter(|client| client.unsuitable().is_none());
            return Ok(ours.map(|client| client.registered().into_listed()).collect());
        }
        Err(ServerError::Conflict { text: ServerText::ours("its clients changed too much while they were listed") })
    }

    async fn get(&self, id: &ClientId, lane: Lane) -> Result<Option<Registered>, ServerError> {
        let Some(client) = self.find(id.as_str(), lane).await? else { return Ok(None) };
        suitable(client).map(|client| Some(client.registered()))
    }

    async fn create(&self, desired: &Desired) -> Result<Created, ServerError> {
        let known = self.known_scopes(desired, None).await.map_err(ServerError::before_a_create)?;
        let id = wire::client_id(&desired.owner.namespace, &desired.owner.name, &random_id());
        let made =
            self.session.write(CREATE, At(&["clients"]), &ClientBody::create(&id, desired, known.always())).await;
        // Nobody else has this id, which was just made up: our own request was executed, and sent once more on the way.
        made.map_err(
            |error| if matches!(error, ServerError::Conflict { .. }) { ServerError::Ambiguous } else { error },
        )?;
        // From here on there is a registration, and whoever does not see it must look for it.
        let client = self.find(&id, Lane::User).await.map_err(|_| ServerError::Ambiguous)?;
        let client = client.ok_or(ServerError::Ambiguous)?;
        Ok(Created { registered: client.registered(), credential: credential(&client, None) })
    }

    async fn update(&self, id: &ClientId, desired: &Desired) -> Result<Option<Credential>, ServerError> {
        let _alone = self.change(id).await;
        let client = self.changeable(id).await?;
        let known = self.known_scopes(desired, Some(&client)).await?;
        // The secret that the realm has kept meanwhile may be known to whoever had it before.
        if client.is_secretless() && authentication::takes_a_secret(desired) {
            self.renew_secret(&client).await?;
        }
        self.session.write(UPDATE, At(&["clients", &client.id]), &ClientBody::update(desired)).await?;
        self.assign_scopes(&client, desired, &known).await?;
        self.replaced(id, &client).await
    }

    /// The server shows what it accepts. Its token endpoint answers a client without a service account just as it answers
    /// one with a wrong secret.
    async fn authenticates(&self, id: &ClientId, secret: &ClientSecret) -> Result<bool, ServerError> {
        let Some(client) = self.find(id.as_str(), Lane::User).await? else { return Ok(false) };
        Ok(suitable(client)?.accepts(secret, self.session.clock.now()))
    }

    async fn delete(&self, id: &ClientId) -> Result<(), ServerError> {
        let _alone = self.change(id).await;
        let client = match self.changeable(id).await {
            Err(ServerError::NotFound) => return Ok(()),
            client => client?,
        };
        match self.session.act(DELETE, At(&["clients", &client.id])).await {
            Err(ServerError::NotFound) => Ok(()),
            done => done.map(|_| ()),
        }
    }

    /// Regenerates the secret. Where the realm has a policy for rotation, the one before stays valid for a while.
    async fn add_secret(&self, id: &ClientId, _description: &str) -> Result<Credential, ServerError> {
        let _alone = self.change(id).await;
        let before = self.changeable(id).await.map_err(ServerError::before_a_create)?;
        let answer = self.session.act(ADD_SECRET, At(&["clients", &before.id, "client-secret"])).await?;
        let shown: SecretAnswer = json(&answer).map_err(ServerError::of_a_create)?;
        let after = self.find(id.as_str(), Lane::User).await.map_err(|_| ServerError::Ambiguous)?;
        let credential = after.and_then(|client| credential(&client, Some(&before)));
        // Somebody else may have made a further one since.
        credential.filter(|credential| shown.is(&credential.secret)).ok_or(ServerError::Ambiguous)
    }

    /// One that was replaced is invalidated; the one there is can only be replaced by one that nobody was given.
    async fn remove_secret(&self, id: &ClientId, secret: &SecretId) -> Result<(), ServerError> {
        let _alone = self.change(id).await;
        let client = match self.changeable(id).await {
            Err(ServerError::NotFound) => return Ok(()),
            client => client?,
        };
        let secrets = client.secrets();
        let at = secrets.iter().position(|info| info.id == *secret);
        match at {
            None => Ok(()),
            Some(0) => self.renew_secret(&client).await,
            Some(_) => self.forget_rotated(&client).await,
        }
    }
}
