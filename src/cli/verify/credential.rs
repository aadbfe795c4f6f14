//! What an application authenticates with, found where its workloads find it.

use k8s_openapi::ByteString;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, ResourceExt as _};
use secrecy::SecretString;

use crate::api::ExternalApplication;
use crate::api::api_resource::GrantKind;
use crate::api::external_application::{ApplicationType, OutputKind, ScopeState, TokenEndpointAuthMethod};
use crate::api::rotation::{ClientSecretPolicy, FederatedCredential};
use crate::cli::cluster::{Error, Place};
use crate::domain::outputs::{self, resolve};
use crate::domain::registration::ClientSecret;
use crate::server::grant::Authentication;

/// How long the token of a service account is valid that is made to be shown once, in seconds: the least that the API takes.
const SECONDS: i64 = 600;

/// What is needed to ask for a token.
pub struct Found {
    pub client_id: String,
    pub token_endpoint: String,
    /// What to ask for; nothing where the application only acts for people.
    pub scope: Option<String>,
    pub way: Way,
}

/// How the application authenticates.
pub enum Way {
    /// With the secret of this object.
    Secret {
        secret: ClientSecret,
        /// The Secret.
        object: String,
        /// The server's name for the secret.
        id: Option<String>,
        /// Where in a request the server wants it. Absent: nobody said.
        method: Option<TokenEndpointAuthMethod>,
    },
    /// With a token of this service account for this audience.
    ServiceAccount { credential: String, account: String, audience: String },
    /// Not at all.
    Public,
}

impl Way {
    /// Who authenticates with what, without any value.
    pub fn describe(&self) -> String {
        match self {
            Self::Secret { object, id: Some(id), .. } => format!("secret {id} of Secret {object}"),
            Self::Secret { object, id: None, .. } => format!("the secret of Secret {object}"),
            Self::ServiceAccount { credential, account, audience } => {
                format!("federated credential {credential}: a token of service account {account} for {audience}")
            }
            Self::Public => "none: a NonConfidential application has no secret".into(),
        }
    }
}

/// The credential that is published now; or why there is none to try.
pub async fn find(
    place: &Place,
    app: &ExternalApplication,
    federated: Option<&str>,
) -> Result<Result<Found, String>, Error> {
    let status = app.status.clone().unwrap_or_default();
    let (Some(client_id), Some(token_endpoint)) = (status.client_id, status.token_endpoint) else {
        let ready = status.conditions.into_iter().find(|condition| condition.type_ == "Ready");
        let why = ready.map_or_else(|| "the operator has not looked at it yet".into(), |said| said.message);
        return Ok(Err(format!("it is not registered yet: {why}")));
    };
    let public = app.spec.r#type == ApplicationType::NonConfidential;
    let secretless = app.spec.client_secret == Some(ClientSecretPolicy::None);
    let granted = |kind| {
        let scopes = status.scopes.iter().filter(|scope| scope.r#type == kind && scope.state == ScopeState::Granted);
        let names: Vec<&str> = scopes.map(|scope| scope.name.as_str()).collect();
        (!names.is_empty()).then(|| names.join(" "))
    };
    let mut found = Found { client_id, token_endpoint, scope: granted(GrantKind::Application), way: Way::Public };
    if public && federated.is_none() {
        return Ok(Ok(found));
    }
    if secretless || federated.is_some() {
        found.way = match of_service_account(app, federated) {
            Ok(way) => way,
            Err(why) => return Ok(Err(why)),
        };
        return Ok(Ok(found));
    }
    of_secret(place, app, found).await
}

fn of_service_account(app: &ExternalApplication, name: Option<&str>) -> Result<Way, String> {
    let all = &app.spec.federated_credentials;
    let account = |one: &FederatedCredential| one.service_account_ref.as_ref().map(|account| account.name.clone());
    let chosen = match name {
        Some(name) => {
            let named = all.iter().find(|one| one.name == name);
            named.ok_or_else(|| format!("spec.federatedCredentials has none called {name}"))?
        }
        None => all.iter().find(|one| account(one).is_some()).ok_or(
            "it has no secret, and signs with a key or a token that only its own workload has: request a token there",
        )?,
    };
    let account = account(chosen).ok_or_else(|| {
        format!("federated credential {} is for tokens of another issuer, which are not to be had here", chosen.name)
    })?;
    Ok(Way::ServiceAccount { credential: chosen.name.clone(), account, audience: chosen.audience.clone() })
}

/// Reads the first Secret, as a workload does: its own client id, token endpoint and scope go before what the status says.
async fn of_secret(place: &Place, app: &ExternalApplication, mut found: Found) -> Result<Result<Found, String>, Error> {
    let settings = app.spec.settings.as_ref();
    let method = settings.and_then(|settings| settings.token_endpoint_auth_method);
    if method == Some(TokenEndpointAuthMethod::PrivateKeyJwt) {
        return Ok(Err("it signs with a key that only its own workload has: request a token there".into()));
    }
    let binding = app.status.as_ref().and_then(|status| status.binding.as_ref()).map(|binding| binding.name.clone());
    let resolved = resolve(app);
    let Some(index) = resolved.iter().position(|output| output.kind == OutputKind::Secret) else {
        return Ok(Err("none of its outputs is a Secret".into()));
    };
    let output = &resolved[index];
    // The status names the first output alone.
    let name = match binding {
        Some(binding) if index == 0 => binding,
        _ if output.immutable => {
            return Ok(Err(format!("which version of Secret {} is current is not known", output.name)));
        }
        _ => output.name.clone(),
    };
    let api: Api<Secret> = Api::namespaced(place.client.clone(), &place.namespace);
    let secret = match api.get_opt(&name).await {
        Ok(Some(secret)) => secret,
        Ok(None) => return Ok(Err(format!("there is no Secret {name}: the operator writes it again if it runs"))),
        Err(error) => return Err(place.explain(&error, "get", format!("secrets/{name}"))),
    };
    let id = secret.annotations().get(outputs::CREDENTIAL).cloned();
    let data = secret.data.unwrap_or_default();
    let value = |key: &str| {
        let upper = key.to_uppercase().replace('-', "_");
        let ByteString(bytes) = data.get(key).or_else(|| data.get(&upper))?;
        std::str::from_utf8(bytes).ok().map(str::to_owned)
    };
    let Some(secret) = value("client-secret") else {
        return Ok(Err(format!("Secret {name} has no client-secret: the operator writes it again if it runs")));
    };
    found.client_id = value("client-id").unwrap_or(found.client_id);
    found.token_endpoint = value("token-uri").unwrap_or(found.token_endpoint);
    found.scope = value("scope").or(found.scope);
    found.way = Way::Secret { secret: ClientSecret::new(secret), object: name, id, method };
    Ok(Ok(found))
}

/// The ways to try, one after the other.
pub async fn present(place: &Place, way: &Way) -> Result<Vec<Authentication>, Error> {
    Ok(match way {
        Way::Public => vec![Authentication::Public],
        Way::Secret { secret, method, .. } => {
            let copy = || ClientSecret::new(secret.expose());
            match method {
                Some(TokenEndpointAuthMethod::ClientSecretBasic) => vec![Authentication::InHeader(copy())],
                Some(TokenEndpointAuthMethod::ClientSecretPost) => vec![Authentication::InBody(copy())],
                _ => vec![Authentication::InBody(copy()), Authentication::InHeader(copy())],
            }
        }
        Way::ServiceAccount { account, audience, .. } => {
            vec![Authentication::Assertion(token(place, account, audience).await?)]
        }
    })
}

/// A token of the service account, as the kubelet mounts them.
async fn token(place: &Place, account: &str, audience: &str) -> Result<SecretString, Error> {
    let api: Api<ServiceAccount> = Api::namespaced(place.client.clone(), &place.namespace);
    let spec = TokenRequestSpec {
        audiences: vec![audience.to_owned()],
        expiration_seconds: Some(SECONDS),
        ..TokenRequestSpec::default()
    };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let made = api.create_token_request(account, &PostParams::default(), &request).await;
    let made = made.map_err(|error| match error {
        kube::Error::Api(status) if status.code == 404 => Error::Because(format!(
            "there is no service account {account} in namespace {}: the application's pods need it too",
            place.namespace
        )),
        error => place.explain(&error, "create", format!("serviceaccounts/{account} --subresource=token")),
    })?;
    let token = made.status.map(|status| SecretString::from(status.token));
    token.ok_or_else(|| Error::Because("the Kubernetes API made no token".into()))
}
