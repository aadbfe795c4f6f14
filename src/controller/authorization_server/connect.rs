//! Seeing a server: its credentials and certificates in the cluster, then what it says of itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::Api;
use secrecy::ExposeSecret as _;
use sha2::{Digest, Sha256};

use super::interval;
use crate::api::{AuthorizationServer, RECREATE};
use crate::controller::Context;
use crate::controller::application::Error;
use crate::controller::kubernetes::text_of;
use crate::controller::retry::spread;
use crate::controller::servers::own::CredentialsSecret;
use crate::controller::servers::{Connection, Server, finding};
use crate::controller::vault::SecretVault;
use crate::domain::capabilities::Capabilities;
use crate::domain::observed::{Finding, Retry, ServerFacts, status_client_id};
use crate::domain::own_credential::PREVIOUS;
use crate::domain::reason::Reason;
use crate::domain::registration::{Catalogue, ClientId, Endpoints, Listed};
use crate::domain::sweep::all_vanished;
use crate::metrics::{Metrics, ServerLabel, ServerRequest};
use crate::server::any::{Credentials, Parts, Unusable};
use crate::server::http::{RequestObserver, Timeouts, Transport};
use crate::server::registration::Records;
use crate::server::{AnyServer, AuthorizationServer as _, Lane, ServerError};

/// What a server said of itself in this pass.
pub struct Asked {
    pub endpoints: Arc<Endpoints>,
    pub organization_id: Option<String>,
    pub catalogue: Arc<Catalogue>,
    pub own_client_id: Option<ClientId>,
    pub capabilities: Capabilities,
    pub list: Arc<Vec<Listed>>,
    pub at: Timestamp,
}

impl Asked {
    pub fn facts(&self) -> ServerFacts {
        ServerFacts {
            capabilities: self.capabilities,
            endpoints: self.endpoints.clone(),
            catalogue: self.catalogue.clone(),
            own_client_id: self.own_client_id.clone(),
            organization_id: self.organization_id.clone(),
        }
    }
}

/// What a pass saw.
pub enum Observed {
    Asked(Box<Asked>),
    /// All was well at the last comparison, and the next is not due.
    NotDue,
    Trouble(Finding),
}

/// What a pass may speak to the server with.
struct Access {
    connection: Arc<Connection>,
    /// Whether it is a new one. It is not for applications before its server has been asked who it is.
    fresh: bool,
    /// Changes when the credentials in the cluster do.
    fingerprint: String,
}

pub async fn observe(object: &AuthorizationServer, server: &Server, ctx: &Context) -> Observed {
    let now = ctx.now();
    let access = match access(object, server, ctx, now).await {
        Ok(Ok(access)) => access,
        Ok(Err(finding)) => return Observed::Trouble(finding),
        // What was known goes on being used; without it, nobody would say why nothing happens.
        Err(error) => {
            let message = format!("the Secret or the ConfigMap that the spec names cannot be read: {error}");
            return Observed::Trouble(Finding::passing(Reason::KubernetesRefused, message, Retry::Backoff));
        }
    };
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    let waited_for = access.fresh || server.in_trouble() || server.swept_generation() != object.metadata.generation;
    let due = server.swept_at().is_none_or(|at| {
        Duration::try_from(now.duration_since(at)).is_ok_and(|since| since >= spread(interval(object), uid, 0))
    });
    if !waited_for && !due {
        return Observed::NotDue;
    }
    let lane = if waited_for { Lane::User } else { Lane::Resync };
    match ask_with_any(object, server, access, lane, now).await {
        Ok((connection, asked)) => {
            if let Some(finding) = another_organization(object, &asked) {
                return Observed::Trouble(finding);
            }
            if let Some(finding) = another_database(object, server, &asked, ctx) {
                return Observed::Trouble(finding);
            }
            if server.connect(&connection) {
                // What they keep is sealed with the credentials before.
                ctx.look_at_those_that_keep(&server.key);
            }
            server.swept(now, object.metadata.generation);
            ctx.metrics.last_sweep.get_or_create(&ServerLabel { server: server.key.to_string() }).set(seconds(now));
            Observed::Asked(Box::new(asked))
        }
        // The budget keeps its last part for people, and a server that limits requests is well: a comparison can wait.
        Err(ServerError::Budget { .. } | ServerError::RateLimited { .. })
            if !waited_for && server.facts().is_some() =>
        {
            server.swept(now, object.metadata.generation);
            Observed::NotDue
        }
        Err(error) => Observed::Trouble(finding(&error)),
    }
}

/// Asks with the credentials that are in the cluster. Where the server refuses them, and those that were known before still
/// work at the same place, these go on being used: a mistake in a Secret stops nobody, and is told of.
async fn ask_with_any(
    object: &AuthorizationServer,
    server: &Server,
    access: Access,
    lane: Lane,
    now: Timestamp,
) -> Result<(Arc<Connection>, Asked), ServerError> {
    let asked = ask(server, &access.connection, lane, now).await;
    let known = server.connection().filter(|known| access.fresh && known.place == access.connection.place);
    match (asked, known) {
        (Err(ServerError::Unauthorized), Some(known)) => {
            let asked = ask(server, &known, lane, now).await?;
            let name = object.spec.credentials_ref.as_ref().map_or("", |reference| reference.name.as_str());
            let message = format!(
                "the server refuses the credentials that Secret {name} holds now; those that it held before still work and go on being used: correct the Secret"
            );
            let finding = Finding::stalled(Reason::CredentialsRefused, message).looked_at_again();
            server.own.refuse(&access.fingerprint, now, finding);
            Ok((known, asked))
        }
        (asked, _) => {
            let asked = asked?;
            // A connection that is used because others were refused says nothing of those.
            if access.connection.fingerprint == access.fingerprint {
                server.own.accept();
            }
            Ok((access.connection, asked))
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "seconds fit a float for longer than anyone waits")]
pub fn seconds(time: Timestamp) -> f64 {
    time.as_second() as f64
}

async fn ask(server: &Server, connection: &Connection, lane: Lane, now: Timestamp) -> Result<Asked, ServerError> {
    let client = &connection.client;
    let endpoints = client.endpoints(lane).await?;
    let organization_id = client.organization_id(lane).await?;
    let catalogue = client.catalogue(lane).await?;
    let list = server.list(connection, now, lane).await?;
    let own_client_id = client.own_client_id().cloned();
    Ok(Asked {
        endpoints: endpoints.into(),
        organization_id,
        catalogue: catalogue.into(),
        own_client_id,
        capabilities: client.capabilities(),
        list,
        at: now,
    })
}

/// The same name, another organization: its applications would all look deleted, and be made again in the wrong place.
fn another_organization(object: &AuthorizationServer, asked: &Asked) -> Option<Finding> {
    let known = object.status.as_ref()?.organization_id.as_ref()?;
    let actual = asked.organization_id.as_ref().filter(|actual| *actual != known)?;
    let message = format!(
        "the server now answers for organization {actual}, but the applications here are registered in {known}: correct the spec, or make another AuthorizationServer"
    );
    Some(Finding::stalled(Reason::OrganizationChanged, message).looked_at_again())
}

/// A server that answers for another database: all of its applications would be made again there, and once more when the
/// right one is back.
fn another_database(object: &AuthorizationServer, server: &Server, asked: &Asked, ctx: &Context) -> Option<Finding> {
    let consented = object.metadata.annotations.as_ref().and_then(|all| all.get(RECREATE)).is_some_and(|v| v == "true");
    if consented || !asked.capabilities.lists {
        return None;
    }
    let known: Vec<ClientId> = ctx
        .applications_of(&server.key)
        .iter()
        .filter(|app| app.metadata.deletion_timestamp.is_none())
        .filter_map(|app| status_client_id(app))
        .collect();
    all_vanished(known.iter(), &asked.list).then(|| {
        let message = format!(
            "none of the {} registrations is at the server any more: correct the addresses in spec, or bring its database back. If they are gone for good, annotate this object with {RECREATE}=true to have them made again",
            known.len()
        );
        Finding::stalled(Reason::RegistrationsVanished, message).looked_at_again()
    })
}

/// The connection that spec, credentials and certificates ask for. Credentials that were refused a moment ago are not tried
/// again at once, while those before them work.
async fn access(
    object: &AuthorizationServer,
    server: &Server,
    ctx: &Context,
    now: Timestamp,
) -> Result<Result<Access, Finding>, Error> {
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let known = server.connection();
    let going_on = |connection: Arc<Connection>, fingerprint| Access { connection, fresh: false, fingerprint };
    let credentials = match credentials(object, namespace, server, ctx).await? {
        Ok(credentials) => credentials,
        // While everything in the namespace is being deleted, what still has to be deleted at the server goes on with
        // the credentials that are known.
        Err(finding) => {
            let leaving = known.filter(|_| object.metadata.deletion_timestamp.is_some());
            return Ok(leaving.map(|known| going_on(known, String::new())).ok_or(finding));
        }
    };
    let ca = match certificates(object, namespace, server, ctx).await? {
        Ok(ca) => ca,
        Err(finding) => return Ok(Err(finding)),
    };
    let (place, fingerprint) = fingerprints(object, &credentials, ca.as_deref());
    let refused = server.own.was_refused(&fingerprint, now);
    if let Some(known) = known.filter(|known| known.fingerprint == fingerprint || (refused && known.place == place)) {
        return Ok(Ok(going_on(known, fingerprint)));
    }
    let client = build(object, server, ctx, credentials, ca);
    Ok(client.map(|client| {
        let connection = Arc::new(Connection { client, place, fingerprint: fingerprint.clone() });
        Access { connection, fresh: true, fingerprint }
    }))
}

fn build(
    object: &AuthorizationServer,
    server: &Server,
    ctx: &Context,
    credentials: Credentials,
    ca_pem: Option<Vec<u8>>,
) -> Result<AnyServer, Finding> {
    let total = ctx.settings.request_timeout;
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    let vault = || SecretVault::new(ctx.client.clone(), ctx.metrics.clone(), server.key.clone(), uid.to_owned());
    let parts = Parts {
        credentials,
        transport: Transport {
            ca_pem,
            insecure_hosts: ctx.settings.insecure_hosts.clone(),
            timeouts: Timeouts { connect: total.min(Duration::from_secs(3)), total },
            clock: ctx.settings.clock.clone(),
            observer: Arc::new(Counting { server: server.key.to_string(), metrics: ctx.metrics.clone() }),
        },
        budgets: &ctx.budgets,
        requests_per_minute: ctx.settings.requests_per_minute,
        records: server.records(uid, || Records::new(Arc::new(vault()))),
    };
    let (client, budget) =
        AnyServer::build(&object.spec, parts).map_err(|unusable| unusable_spec(object, &unusable))?;
    server.spend_from(budget);
    Ok(client)
}

fn unusable_spec(object: &AuthorizationServer, unusable: &Unusable) -> Finding {
    match unusable {
        Unusable::Kind => Finding::stalled(Reason::InvalidSpec, unusable.to_string()),
        Unusable::Address { .. } => Finding::stalled(Reason::UrlNotPermitted, unusable.to_string()),
        Unusable::Credential { key } => {
            let message = match &object.spec.credentials_ref {
                Some(reference) => format!("spec.credentialsRef: Secret {} has {unusable}", reference.name),
                None => format!("spec.credentialsRef: must name a Secret with the key {key}"),
            };
            Finding::stalled(Reason::CredentialsMissing, message).looked_at_again()
        }
    }
}

/// What the Secret holds that the spec names; nothing where it names none.
async fn credentials(
    object: &AuthorizationServer,
    namespace: &str,
    server: &Server,
    ctx: &Context,
) -> Result<Result<Credentials, Finding>, Error> {
    let Some(reference) = &object.spec.credentials_ref else {
        server.own.read(None);
        return Ok(Ok(Credentials::default()));
    };
    let name = &reference.name;
    let secret = Api::<Secret>::namespaced(ctx.client.clone(), namespace).get_opt(name).await?;
    server.own.read(secret.as_ref().map(CredentialsSecret::of));
    let Some(secret) = secret else {
        let message = format!(
            "spec.credentialsRef: there is no Secret {name} in namespace {namespace}: create it with the operator's own credentials"
        );
        return Ok(Err(Finding::stalled(Reason::CredentialsMissing, message).looked_at_again()));
    };
    Ok(Ok(Credentials(text_of(secret.data.unwrap_or_default()))))
}

async fn certificates(
    object: &AuthorizationServer,
    namespace: &str,
    server: &Server,
    ctx: &Context,
) -> Result<Result<Option<Vec<u8>>, Finding>, Error> {
    let Some(reference) = &object.spec.ca_ref else { return Ok(Ok(None)) };
    let map = Api::<ConfigMap>::namespaced(ctx.client.clone(), namespace).get_opt(&reference.name).await?;
    server.own.read_certificates(map.as_ref().and_then(|map| map.metadata.resource_version.clone()));
    let text = map.and_then(|map| map.data).and_then(|mut data: BTreeMap<String, String>| data.remove(&reference.key));
    Ok(match text {
        Some(pem) if pem.contains("-----BEGIN CERTIFICATE-----") => Ok(Some(pem.into_bytes())),
        Some(_) => Err(invalid_ca(&format!(
            "key {} of ConfigMap {} holds no certificate (PEM)",
            reference.key, reference.name
        ))),
        None => Err(invalid_ca(&format!(
            "there is no ConfigMap {} with a key {} in namespace {namespace}",
            reference.name, reference.key
        ))),
    })
}

fn invalid_ca(what: &str) -> Finding {
    Finding::stalled(Reason::CaInvalid, format!("spec.caRef: {what}")).looked_at_again()
}

/// Tells one set of connection parameters from another without keeping the secret: of the place alone, and with the
/// credentials that are used there.
fn fingerprints(object: &AuthorizationServer, credentials: &Credentials, ca: Option<&[u8]>) -> (String, String) {
    let mut hash = Sha256::new();
    let part = |hash: &mut Sha256, part: &[u8]| {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    };
    let spec = &object.spec;
    let kind = serde_json::to_vec(&(&spec.uipath, &spec.hydra, &spec.keycloak, &spec.registration));
    part(&mut hash, &kind.unwrap_or_default());
    part(&mut hash, ca.unwrap_or_default());
    let place = crate::domain::hex(&hash.clone().finalize());
    for (key, value) in credentials.0.iter().filter(|(key, _)| *key != PREVIOUS) {
        part(&mut hash, key.as_bytes());
        part(&mut hash, value.expose_secret().trim().as_bytes());
    }
    (place, crate::domain::hex(&hash.finalize()))
}

/// Counts the requests to one server.
struct Counting {
    server: String,
    metrics: Arc<Metrics>,
}

impl RequestObserver for Counting {
    fn request(&self, operation: &'static str, outcome: &'static str, duration: Duration) {
        let server = self.server.clone();
        self.metrics.server_requests.get_or_create(&ServerRequest { server, operation, outcome }).inc();
        let label = ServerLabel { server: self.server.clone() };
        self.metrics.server_seconds.get_or_create(&label).observe(duration.as_secs_f64());
    }
}
