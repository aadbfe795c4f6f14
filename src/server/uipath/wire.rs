//! Bodies of the management API, and their meaning in the domain's words. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

mod federated;

pub(super) use federated::{FederatedAnswer, FederatedBody};

use super::readings;
use crate::domain::registration::{
    Catalogue, CatalogueScope, ClientId, ClientSecret, ClientType, Created, Credential, Desired, Grant, Listed, Mark,
    Registered, Resource, Scope, SecretId, SecretInfo, Settings,
};
use crate::server::{ServerError, ServerText};

/// The body of a create. What it does not name, the server does not need.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateBody<'a> {
    partition_global_id: &'a str,
    is_confidential: bool,
    #[serde(flatten)]
    values: UpdateBody<'a>,
    /// Only sent where there is to be none: a confidential application gets one unasked.
    #[serde(skip_serializing_if = "Option::is_none")]
    generate_first_secret: Option<bool>,
}

/// The body of an update: a replacement of all that can change. The type of a registration cannot.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UpdateBody<'a> {
    name: &'a str,
    redirect_uri: Option<String>,
    scopes: Vec<ScopeBody<'a>>,
}

#[derive(Serialize)]
struct ScopeBody<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: u8,
}

impl<'a> CreateBody<'a> {
    /// `ServerError::Rejected` for values that the server would take for others.
    pub(super) fn new(organization: &'a str, desired: &'a Desired) -> Result<Self, ServerError> {
        Ok(Self {
            partition_global_id: organization,
            is_confidential: desired.client_type == ClientType::Confidential,
            values: UpdateBody::new(desired)?,
            generate_first_secret: desired.secretless.then_some(false),
        })
    }
}

impl<'a> UpdateBody<'a> {
    /// `ServerError::Rejected` for values that the server would take for others.
    pub(super) fn new(desired: &'a Desired) -> Result<Self, ServerError> {
        if desired.redirect_uris.iter().any(|uri| uri.contains(',')) {
            let text =
                ServerText::ours("a redirect URI must not contain a comma: this server puts commas between them");
            return Err(ServerError::Rejected { text });
        }
        let scope = |scope: &'a Scope| ScopeBody { name: &scope.name, kind: readings::scope_type_sent(scope.grant) };
        Ok(Self {
            name: &desired.display_name,
            redirect_uri: readings::redirect_uris_sent(&desired.redirect_uris),
            scopes: desired.scopes.iter().map(scope).collect(),
        })
    }
}

/// The body that asks for one more secret. No expiry: when a secret ends is the operator's decision.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecretBody<'a> {
    pub(super) client_id: &'a str,
    pub(super) description: &'a str,
    pub(super) partition_global_id: &'a str,
}

/// A registration as a read or a create answers it. Fields that it does not name are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientAnswer {
    id: String,
    name: String,
    is_confidential: bool,
    redirect_uri: Option<String>,
    resources: Option<Vec<ResourceAnswer>>,
    #[serde(default)]
    secrets: Option<Vec<SecretAnswer>>,
    secret: Option<String>,
}

#[derive(Deserialize)]
struct ResourceAnswer {
    scopes: Option<Vec<ScopeAnswer>>,
}

#[derive(Deserialize)]
struct ScopeAnswer {
    name: String,
    #[serde(rename = "type", deserialize_with = "registered_grants")]
    grants: &'static [Grant],
}

/// A secret, or the answer to the request for one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecretAnswer {
    #[serde(default, deserialize_with = "secret_id")]
    id: Option<SecretId>,
    description: Option<String>,
    secret: Option<String>,
    #[serde(default, deserialize_with = "time")]
    creation_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    expiry_time: Option<Timestamp>,
}

/// What must not be lost of the answer to a create, even if the rest is not understood.
#[derive(Deserialize)]
pub(super) struct MinimalAnswer {
    id: String,
    secret: Option<String>,
}

/// The answer to the request for a secret: an object, or the bare secret. A secret is shown once: it is taken even
/// where the rest of the object is not understood.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum NewSecretAnswer {
    Bare(String),
    Object(SecretAnswer),
    Minimal { secret: String },
}

/// One row of the list. Only the id must be readable: a row that is left out would look like a registration that
/// was deleted, and lead to a second one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RowAnswer {
    id: String,
    #[serde(default)]
    name: Lenient<String>,
    #[serde(default)]
    is_confidential: Lenient<bool>,
    #[serde(default)]
    redirect_uri: Lenient<String>,
}

/// A value that may be of another type than expected.
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Lenient<T> {
    Understood(T),
    Other(IgnoredAny),
    #[default]
    Missing,
}

impl<T> Lenient<T> {
    fn ok(self) -> Option<T> {
        match self {
            Self::Understood(value) => Some(value),
            Self::Other(_) | Self::Missing => None,
        }
    }
}

/// One resource of the catalogue.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CatalogueAnswer {
    name: String,
    display_name: Option<String>,
    description: Option<String>,
    scopes: Option<Vec<CatalogueScopeAnswer>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CatalogueScopeAnswer {
    name: String,
    display_name: Option<String>,
    description: Option<String>,
    #[serde(default, rename = "type")]
    kind: Value,
}

impl ClientAnswer {
    /// `None` if the answer is about another registration than the one that was asked for, or hides which secrets
    /// there are.
    pub(super) fn registered(self, asked: &ClientId) -> Option<Registered> {
        let nameless = self.secrets.iter().flatten().any(|secret| secret.id.is_none());
        if nameless || !self.id.eq_ignore_ascii_case(asked.as_str()) {
            return None;
        }
        let scopes = self.scopes().unwrap_or_default();
        Some(self.with_scopes(asked.clone(), scopes))
    }

    /// The answer to a create.
    pub(super) fn created(mut self, desired: &Desired) -> Created {
        let scopes = readings::created_scopes(self.scopes(), &desired.scopes);
        let value = self.secret.take();
        let id = ClientId::new(self.id.clone());
        let registered = self.with_scopes(id, scopes);
        let only = match registered.secrets.as_slice() {
            [only] => Some(only.clone()),
            _ => None,
        };
        let credential = non_empty(value).map(|secret| Credential {
            id: only.as_ref().map(|info| info.id.clone()),
            secret: ClientSecret::new(secret),
            created_at: only.as_ref().and_then(|info| info.created_at),
            expires_at: only.as_ref().and_then(|info| info.expires_at),
            replaces: false,
        });
        Created { registered, credential }
    }

    fn scopes(&self) -> Option<BTreeSet<Scope>> {
        let resources = self.resources.as_ref()?;
        let answers = resources.iter().filter_map(|resource| resource.scopes.as_ref()).flatten();
        let scope = |answer: &ScopeAnswer, grant| Scope { name: answer.name.clone(), grant };
        Some(answers.flat_map(|answer| answer.grants.iter().map(move |grant| scope(answer, *grant))).collect())
    }

    fn with_scopes(self, client_id: ClientId, scopes: BTreeSet<Scope>) -> Registered {
        Registered {
            client_id,
            display_name: self.name,
            client_type: readings::listed_type(Some(self.is_confidential)),
            redirect_uris: redirect_uris(self.redirect_uri.as_deref()),
            scopes,
            secrets: self.secrets.into_iter().flatten().filter_map(SecretAnswer::info).collect(),
            grant_types: None,
            settings: Settings::new(),
            owner: Mark::Unsupported,
        }
    }
}

impl MinimalAnswer {
    /// The registration as it was asked for: the next read corrects what the server made of it.
    pub(super) fn created(self, desired: &Desired) -> Created {
        let credential = non_empty(self.secret).map(|secret| Credential {
            id: None,
            secret: ClientSecret::new(secret),
            created_at: None,
            expires_at: None,
            replaces: false,
        });
        let registered = Registered {
            client_id: ClientId::new(self.id),
            display_name: desired.display_name.clone(),
            client_type: desired.client_type,
            redirect_uris: desired.redirect_uris.clone(),
            scopes: desired.scopes.clone(),
            secrets: Vec::new(),
            grant_types: None,
            settings: Settings::new(),
            owner: Mark::Unsupported,
        };
        Created { registered, credential }
    }

    pub(super) fn has_id(&self) -> bool {
        !self.id.is_empty()
    }
}

impl SecretAnswer {
    fn info(self) -> Option<SecretInfo> {
        Some(SecretInfo {
            id: self.id?,
            description: self.description,
            created_at: self.creation_time,
            expires_at: self.expiry_time,
            value: None,
        })
    }
}

impl NewSecretAnswer {
    /// `None` if there is no secret in it.
    pub(super) fn credential(self) -> Option<Credential> {
        let (id, secret, created_at, expires_at) = match self {
            Self::Bare(secret) | Self::Minimal { secret } => (None, Some(secret), None, None),
            Self::Object(answer) => (answer.id, answer.secret, answer.creation_time, answer.expiry_time),
        };
        Some(Credential { id, secret: ClientSecret::new(non_empty(secret)?), created_at, expires_at, replaces: false })
    }
}

impl RowAnswer {
    pub(super) fn listed(self) -> Listed {
        Listed {
            client_id: ClientId::new(self.id),
            display_name: self.name.ok().unwrap_or_default(),
            client_type: readings::listed_type(self.is_confidential.ok()),
            redirect_uris: redirect_uris(self.redirect_uri.ok().as_deref()),
            owner: Mark::Unsupported,
            whole: None,
        }
    }

    pub(super) fn has_id(&self) -> bool {
        !self.id.is_empty()
    }
}

pub(super) fn catalogue(answers: Vec<CatalogueAnswer>) -> Catalogue {
    let scope = |scope: CatalogueScopeAnswer| CatalogueScope {
        name: scope.name,
        display_name: non_empty(scope.display_name),
        description: non_empty(scope.description),
        grants: readings::catalogue_grants(&scope.kind),
    };
    let resource = |resource: CatalogueAnswer| Resource {
        name: resource.name,
        display_name: non_empty(resource.display_name),
        description: non_empty(resource.description),
        scopes: resource.scopes.into_iter().flatten().map(scope).collect(),
    };
    Catalogue { resources: answers.into_iter().map(resource).collect() }
}

fn redirect_uris(joined: Option<&str>) -> BTreeSet<String> {
    let uris = joined.unwrap_or_default().split(',').map(str::trim);
    uris.filter(|uri| !uri.is_empty()).map(str::to_owned).collect()
}

fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn registered_grants<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static [Grant], D::Error> {
    let kind = Value::deserialize(deserializer)?;
    readings::registered_grants(&kind).ok_or_else(|| D::Error::custom("scope type"))
}

fn secret_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretId>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::Number(id) => Ok(Some(SecretId::new(id.to_string()))),
        Value::String(id) if !id.is_empty() => Ok(Some(SecretId::new(id))),
        _ => Err(D::Error::custom("secret id")),
    }
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    match Option::<String>::deserialize(deserializer)? {
        None => Ok(None),
        Some(text) => readings::time(&text).map_err(|_| D::Error::custom("time")),
    }
}

#[cfg(test)]
mod tests;
