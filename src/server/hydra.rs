//! Ory Hydra (version 2): OAuth 2.0 clients, through its admin API.
//!
//! What was measured with version 2.3, beyond the documentation (<https://www.ory.sh/docs/hydra/reference/api>):
//! * A read and a list never show a secret. A create and a change of the secret repeat it. There is one secret; a new one
//!   ends the old one at once, and leaves the tokens that it was exchanged for alone. There are no endpoints to rotate
//!   secrets, so that two never work side by side.
//! * A PATCH takes `add` and `replace`, which it treats alike, and `remove`, which changes nothing but keys inside the
//!   metadata. Any other operation, `test` included, and any value of a wrong type is answered with 500 and no words.
//!   What it does not name stays, the secret too. Null does not reset a lifespan.
//! * It is read, changed and written as a whole without a lock. Of two at once, the second may undo the first.
//! * With SQLite, what meets another write is answered with 500 without having happened.
//! * Where there is no scope, the server's default scopes take its place, so that none is sent as a space; where there is
//!   no grant type, authorization_code holds.
//! * Names, metadata and secrets have no limit worth mentioning. A client id may be chosen, and one with a `/` in it
//!   cannot be asked for: 404, as a page in HTML. The API's own 404 is JSON.
//! * A list has pages of at most 1,000, in the order of the client ids. Their tokens are opaque: one that is not understood
//!   means the first page. The header `Link` names the next page, for ever where there are no clients at all.
//!   A client that is deleted while pages are read moves those behind it forward, past the reader if need be.
//! * With `private_key_jwt` it makes a secret all the same, and does not take it; the one there was comes back with the
//!   method. It takes one algorithm, RS256 unless it is told another, and the token endpoint alone as audience. Of
//!   `jwks` and `jwks_uri` one may be set, and one must; null removes `jwks`, and leaves an empty object. Of a key it keeps
//!   what it knows. Whoever signs with a key that it does not know is answered with 400 `invalid_request`.
//! * Errors are `{error, error_description}`, most of which is the same for every error of its kind.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::HeaderValue;
use url::Url;

use super::budget::{Budget, Class};
use super::http::{Answer, ClientError, Transport, UrlRefused};
use super::json_api::{Call, JsonApi, Operation, bearer, json};
use super::{AuthorizationServer, Lane, ServerError, ServerText, metadata, proof};
use crate::clock::{Clock, random_id};
use crate::domain::capabilities::{Capabilities, CatalogueSource, PermissionScope, Secrets};
use crate::domain::credentials::whole;
use crate::domain::registration::{
    Catalogue, ClientId, ClientSecret, ClientType, Created, Credential, Desired, Endpoints, Listed, Mark as Owner,
    Registered, SecretId,
};

mod from_spec;
mod lifespan;
mod mapping;
mod wire;

use wire::{ClientAnswer, CreateBody, Fields, Mark};

/// How many clients a page has: as many as the documentation allows.
const PAGE: &str = "500";
/// The most that a page may hold, in bytes. A client has about 1,300, and as much metadata as anybody gave it.
const PAGE_LIMIT: usize = 32 << 20;
/// How often a change is sent that the server answered with 500, and how long it waits in between: see above.
const CHANGES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(25);

/// What a 403 asks for. Hydra itself has none to give: it is a proxy that refuses.
const NEEDED: &str = "access to the admin API, at the proxy before it";
const CLIENTS: &str = "/admin/clients";
const CLIENT: &str = "/admin/clients/{id}";
const LIST: Operation = Operation { names_thing: false, limit: PAGE_LIMIT, ..Operation::read("list", CLIENTS, NEEDED) };
const GET: Operation = Operation::read("get", CLIENT, NEEDED);
const CREATE: Operation = Operation::create("create", CLIENTS, NEEDED);
const UPDATE: Operation = Operation::write("update", Class::Patch, CLIENT, NEEDED);
const SET_SECRET: Operation = Operation::write("add-secret", Class::Patch, CLIENT, NEEDED);
const REMOVE_SECRET: Operation = Operation::write("remove-secret", Class::Patch, CLIENT, NEEDED);
const DELETE: Operation = Operation::write("delete", Class::Delete, CLIENT, NEEDED);

const CAPABILITIES: Capabilities = Capabilities {
    provider: "hydra",
    marks: true,
    lists: true,
    guessable_ids: true,
    scopes_per_grant: false,
    changes_type: true,
    secrets: Secrets::One,
    settings: &mapping::SETTINGS,
    catalogue: CatalogueSource::Declared,
    permissions: PermissionScope::None,
    federation: None,
};

/// Everything that a client needs.
pub struct Config {
    /// The public address: the issuer.
    pub url: Url,
    /// The address of the admin API, with the path before `/admin` if there is one.
    pub admin_url: Url,
    /// For a proxy before the admin API, which itself asks for no credentials.
    pub token: Option<ClientSecret>,
    pub transport: Transport,
    pub budget: Arc<Budget>,
}

/// Why there is no client, in words for the person who wrote the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error(transparent)]
    Url(UrlRefused),
    #[error(transparent)]
    AdminUrl(UrlRefused),
    #[error("the key token holds what cannot stand in a header: put the token alone into it")]
    Token,
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// A client of one Hydra. Cheap to share.
pub struct Hydra {
    admin: JsonApi,
    public: JsonApi,
    url: Url,
    admin_url: Url,
    token: Option<ClientSecret>,
    bearer: Option<HeaderValue>,
    insecure_hosts: Vec<String>,
    clock: Clock,
}

impl fmt::Debug for Hydra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hydra").field("admin_url", &self.admin_url.as_str()).finish_non_exhaustive()
    }
}

impl Hydra {
    /// Makes a client. Nothing is sent yet.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.transport.permits(&config.url).map_err(ConfigError::Url)?;
        config.transport.permits(&config.admin_url).map_err(ConfigError::AdminUrl)?;
        let bearer = match &config.token {
            Some(token) => Some(bearer(token.expose()).ok_or(ConfigError::Token)?),
            None => None,
        };
        let api = |url: &Url| {
            let http = config.transport.http(url)?;
            Ok::<_, ClientError>(JsonApi { http, budget: Arc::clone(&config.budget) })
        };
        Ok(Self {
            admin: api(&config.admin_url)?,
            public: api(&config.url)?,
            url: config.url,
            admin_url: config.admin_url,
            token: config.token,
            bearer,
            insecure_hosts: config.transport.insecure_hosts,
            clock: config.transport.clock,
        })
    }

    fn clients_url(&self) -> Url {
        let mut url = self.admin_url.clone();
        url.set_path(&format!("{}{CLIENTS}", self.admin_url.path().trim_end_matches('/')));
        url
    }

    /// The address of a client. An id that would address something else is refused.
    fn client_url(&self, id: &ClientId) -> Result<Url, ServerError> {
        let addressed = !matches!(id.as_str(), "" | "." | "..") && !id.as_str().contains('/');
        let mut url = self.clients_url();
        match url.path_segments_mut() {
            Ok(mut segments) if addressed => segments.push(id.as_str()),
            _ => {
                return Err(ServerError::Rejected { text: ServerText::ours("this is not the id of an OAuth2 client") });
            }
        };
        Ok(url)
    }

    async fn call(
        &self,
        operation: Operation,
        lane: Lane,
        call: Call,
        secrets: &[&str],
    ) -> Result<Answer, ServerError> {
        let mut answer = self.admin.exchange(operation, lane, call.bearing(self.bearer.clone())).await?;
        if matches!(answer.status, 400..=499) {
            wire::to_the_point(&mut answer);
        }
        operation.check(&answer, secrets).map(|()| answer)
    }

    async fn read(&self, id: &ClientId, lane: Lane) -> Result<ClientAnswer, ServerError> {
        let answer = self.call(GET, lane, Call::to(self.client_url(id)?), &[]).await?;
        let client: ClientAnswer = json(&answer)?;
        if ClientId::new(client.client_id.as_str()) == *id {
            return Ok(client);
        }
        Err(ServerError::Unintelligible { what: "another client than the one asked for" })
    }

    /// Sends a change, which may be made twice: again where a database was busy.
    async fn change(
        &self,
        operation: Operation,
        id: &ClientId,
        changes: &[wire::Operation],
        secrets: &[&str],
    ) -> Result<(), ServerError> {
        let mut attempt = 1;
        loop {
            let call = Call::json(self.client_url(id)?, &changes)?;
            match self.call(operation, Lane::User, call, secrets).await {
                Err(ServerError::Failed { status: 500 }) if attempt < CHANGES => {
                    tokio::time::sleep(PAUSE * attempt).await;
                    attempt += 1;
                }
                result => return result.map(|_| ()),
            }
        }
    }

    /// A new name and a new value for a client's secret. The value is ours and not the server's, because the server makes
    /// one only with a new client: so every secret is made in the same way.
    fn new_secret(&self) -> Result<Credential, ServerError> {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| ServerError::Unreachable { what: "no random numbers here" })?;
        Ok(Credential {
            id: Some(SecretId::new(random_id())),
            secret: ClientSecret::new(URL_SAFE_NO_PAD.encode(bytes)),
            created_at: Some(whole(self.clock.now()).0),
            expires_at: None,
            replaces: true,
        })
    }

    async fn set_secret(
        &self,
        operation: Operation,
        id: &ClientId,
        before: &ClientAnswer,
        credential: &Credential,
        shown: bool,
    ) -> Result<(), ServerError> {
        let name = if shown { Mark::of(credential) } else { Mark::of_nobodys(credential) };
        let mut changes = vec![wire::Operation::set("client_secret", credential.secret.expose())];
        changes.extend(mark(before, &name)?);
        self.change(operation, id, &changes, &[credential.secret.expose()]).await
    }
}

/// A list tells as much as a read. Of clients that are no application's, which may be many, only the row is kept.
fn listed(client: ClientAnswer) -> Listed {
    let registered = client.registered();
    if registered.owner == Owner::Absent { registered.as_listed() } else { registered.into_listed() }
}

/// What it takes to give a client these keys in its metadata, which belongs to others, too.
fn mark(client: &ClientAnswer, keys: &Mark) -> Result<Vec<wire::Operation>, ServerError> {
    if client.takes_marks() {
        return Ok(wire::mark_changes(&client.mark(), keys));
    }
    let text = ServerText::ours("its metadata is no JSON object, so that it cannot be marked as ours: make it one");
    Err(ServerError::Rejected { text })
}

impl AuthorizationServer for Hydra {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    /// Asks anew, so that a change at the server is seen. Not counted against the budget.
    async fn endpoints(&self, _lane: Lane) -> Result<Endpoints, ServerError> {
        metadata::fetch(&self.public, &self.url, &self.insecure_hosts).await.map(|metadata| metadata.endpoints)
    }

    async fn organization_id(&self, _lane: Lane) -> Result<Option<String>, ServerError> {
        Ok(None)
    }

    fn own_client_id(&self) -> Option<&ClientId> {
        None
    }

    fn seal(&self, text: &str) -> Option<String> {
        self.token.as_ref().map(|token| super::sealed_with(token, text))
    }

    async fn catalogue(&self, _lane: Lane) -> Result<Catalogue, ServerError> {
        metadata::fetch(&self.public, &self.url, &self.insecure_hosts).await.map(|metadata| metadata.catalogue())
    }

    async fn list(&self, lane: Lane) -> Result<Vec<Listed>, ServerError> {
        let mut clients: BTreeMap<ClientId, Listed> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut page: Option<String> = None;
        loop {
            let mut url = self.clients_url();
            url.query_pairs_mut().append_pair("page_size", PAGE).extend_pairs(page.iter().map(|p| ("page_token", p)));
            let answer = self.call(LIST, lane, Call::to(url), &[]).await?;
            let rows: Vec<ClientAnswer> = json(&answer)?;
            // Without any client, the server names a next page all the same.
            page = answer.link.as_deref().and_then(wire::next_page).filter(|_| !rows.is_empty());
            clients.extend(rows.into_iter().map(listed).map(|row| (row.client_id.clone(), row)));
            match &page {
                None => return Ok(clients.into_values().collect()),
                Some(token) if !seen.insert(token.clone()) => {
                    return Err(ServerError::Unintelligible { what: "a list whose pages lead in a circle" });
                }
                Some(_) => {}
            }
        }
    }

    async fn get(&self, id: &ClientId, lane: Lane) -> Result<Option<Registered>, ServerError> {
        match self.read(id, lane).await {
            Ok(client) => Ok(Some(client.registered())),
            Err(ServerError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, desired: &Desired) -> Result<Created, ServerError> {
        let uid = Some(desired.owner.uid.clone());
        let (credential, keys) = match desired.client_type {
            // The server makes one all the same, which it will not take.
            ClientType::Confidential if desired.secretless => (None, Mark { uid, ..Mark::nobodys() }),
            ClientType::Confidential => {
                let credential = self.new_secret()?;
                let keys = Mark { uid, ..Mark::of(&credential) };
                (Some(credential), keys)
            }
            ClientType::NonConfidential => (None, Mark { uid, ..Mark::default() }),
        };
        let secret = credential.as_ref().map(|credential| credential.secret.expose());
        let fields = Fields::default().wanted(desired);
        let body = CreateBody { client_secret: secret, metadata: &keys, fields: &fields };
        let secrets: Vec<&str> = secret.into_iter().collect();
        let answer = self.call(CREATE, Lane::User, Call::json(self.clients_url(), &body)?, &secrets).await?;
        let client: ClientAnswer = json(&answer).map_err(ServerError::of_a_create)?;
        // There was none before.
        let credential = credential.map(|credential| Credential { replaces: false, ..credential });
        Ok(Created { registered: client.registered(), credential })
    }

    async fn update(&self, id: &ClientId, desired: &Desired) -> Result<Option<Credential>, ServerError> {
        let client = self.read(id, Lane::User).await?;
        let wanted = client.fields.wanted(desired);
        let mut changes = wire::changes(&client.fields, &wanted);
        let (credential, shown) = match (client.mark().is_nobodys(), wanted.takes_a_secret()) {
            // It has had none: the one that would be valid from now on is nobody's.
            (true, true) => (Some(self.new_secret()?), true),
            // The one that was published must not come back with the next change of the method.
            (false, false) if desired.secretless => (Some(self.new_secret()?), false),
            _ => (None, false),
        };
        let keys = match &credential {
            None => client.mark(),
            Some(credential) if shown => Mark::of(credential),
            Some(_) => Mark::nobodys(),
        };
        let secret = credential.as_ref().map(|credential| credential.secret.expose());
        changes.extend(secret.map(|secret| wire::Operation::set("client_secret", secret)));
        changes.extend(mark(&client, &Mark { uid: Some(desired.owner.uid.clone()), ..keys })?);
        if !changes.is_empty() {
            let secrets: Vec<&str> = secret.into_iter().collect();
            self.change(UPDATE, id, &changes, &secrets).await?;
        }
        Ok(credential.filter(|_| shown))
    }

    async fn authenticates(&self, id: &ClientId, secret: &ClientSecret) -> Result<bool, ServerError> {
        let metadata = metadata::fetch(&self.public, &self.url, &self.insecure_hosts).await?;
        proof::authenticates(&self.public.http, &metadata.token_endpoint, id, secret).await
    }

    async fn delete(&self, id: &ClientId) -> Result<(), ServerError> {
        match self.call(DELETE, Lane::User, Call::to(self.client_url(id)?), &[]).await {
            Err(ServerError::NotFound) => Ok(()),
            result => result.map(|_| ()),
        }
    }

    /// The description is not kept: there is one secret, and its name tells whose it is.
    async fn add_secret(&self, id: &ClientId, _description: &str) -> Result<Credential, ServerError> {
        let client = self.read(id, Lane::User).await?;
        let credential = self.new_secret()?;
        self.set_secret(SET_SECRET, id, &client, &credential, true).await?;
        Ok(credential)
    }

    async fn remove_secret(&self, id: &ClientId, secret: &SecretId) -> Result<(), ServerError> {
        let client = match self.read(id, Lane::User).await {
            Err(ServerError::NotFound) => return Ok(()),
            client => client?,
        };
        if client.secret().is_none_or(|current| current.id != *secret) {
            return Ok(());
        }
        // A client always has a secret: one that nobody has ever seen takes its place.
        let unknown = self.new_secret()?;
        self.set_secret(REMOVE_SECRET, id, &client, &unknown, false).await
    }
}
