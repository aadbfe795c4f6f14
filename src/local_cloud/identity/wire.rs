//! The JSON of requests and answers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::local_cloud::catalogue::{Catalogue, ScopeType};
use crate::local_cloud::store::applications::{Application, StoredSecret};

/// The body of a create request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateRequest {
    pub partition_global_id: Option<String>,
    pub is_confidential: Option<bool>,
    #[serde(default = "yes")]
    pub generate_first_secret: bool,
    #[serde(flatten)]
    pub registration: RegistrationRequest,
}

fn yes() -> bool {
    true
}

/// What create and update requests have in common; the whole body of an update. A missing member of an update means
/// the same as an empty one: updates replace.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationRequest {
    pub name: Option<String>,
    pub redirect_uri: Option<String>,
    pub scopes: Option<Vec<ScopeRequest>>,
    pub client_certificates: Option<Vec<serde_json::Value>>,
}

/// A scope in a request; display name and description are the catalogue's, whatever the client writes.
#[derive(Deserialize)]
pub struct ScopeRequest {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: Option<ScopeTypeRequest>,
}

/// The three ways in which clients write a scope's type.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum ScopeTypeRequest {
    Number(i64),
    Name(String),
}

impl ScopeTypeRequest {
    /// The type, or `None` if it is neither.
    pub fn read(&self) -> Option<ScopeType> {
        match self {
            Self::Number(number) => ScopeType::from_number(*number),
            Self::Name(name) if name.eq_ignore_ascii_case("user") => Some(ScopeType::User),
            Self::Name(name) if name.eq_ignore_ascii_case("application") => Some(ScopeType::Application),
            Self::Name(_) => None,
        }
    }
}

/// The body of a request for a new secret.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GenerateSecretRequest {
    pub partition_global_id: Option<String>,
    pub client_id: Option<String>,
    pub description: Option<String>,
    pub expiry_time: Option<String>,
}

/// An application in an answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationAnswer {
    name: String,
    id: String,
    /// Only in the answer that creates the application.
    secret: Option<String>,
    is_confidential: bool,
    redirect_uri: Option<String>,
    resources: Vec<ResourceAnswer>,
    secrets: Vec<SecretAnswer>,
}

impl ApplicationAnswer {
    /// The answer for `application`, with the secret that was just made for it, if any.
    pub fn new(application: Application, secret: Option<String>, catalogue: &Catalogue) -> Self {
        let registration = application.registration;
        Self {
            name: registration.name,
            id: application.id,
            secret,
            is_confidential: application.confidential,
            redirect_uri: registration.redirect_uri,
            resources: group(&registration.scopes, catalogue),
            secrets: application.secrets.into_iter().map(|stored| SecretAnswer::new(stored, None)).collect(),
        }
    }
}

/// Groups scopes by their resource. A scope that has left the catalogue since is left out.
fn group(scopes: &[(String, ScopeType)], catalogue: &Catalogue) -> Vec<ResourceAnswer> {
    let mut resources: BTreeMap<&str, ResourceAnswer> = BTreeMap::new();
    for (name, kind) in scopes {
        let Some((resource, _)) = catalogue.find(name) else { continue };
        resources
            .entry(resource.name)
            .or_insert_with(|| ResourceAnswer::new(resource.name, resource.display_name))
            .scopes
            .push(ScopeAnswer::new(name, kind.number()));
    }
    resources.into_values().collect()
}

/// A resource in an answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceAnswer {
    name: String,
    display_name: String,
    description: String,
    pub scopes: Vec<ScopeAnswer>,
}

impl ResourceAnswer {
    /// A resource without scopes yet.
    pub fn new(name: &str, display_name: &str) -> Self {
        Self {
            name: name.to_owned(),
            display_name: display_name.to_owned(),
            description: display_name.to_owned(),
            scopes: Vec::new(),
        }
    }
}

/// A scope in an answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScopeAnswer {
    name: String,
    display_name: String,
    description: String,
    #[serde(rename = "type")]
    kind: i64,
}

impl ScopeAnswer {
    /// A scope whose type is given as a number, which means one thing in an application and another in the catalogue.
    pub fn new(name: &str, kind: i64) -> Self {
        let words = name.to_owned();
        Self { name: words.clone(), display_name: words.clone(), description: words, kind }
    }
}

/// A secret in an answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretAnswer {
    id: i64,
    description: Option<String>,
    /// Only in the answer that creates the secret.
    secret: Option<String>,
    creation_time: String,
    expiry_time: Option<String>,
}

impl SecretAnswer {
    /// The answer for `stored`, with its value if it was made just now.
    pub fn new(stored: StoredSecret, value: Option<String>) -> Self {
        Self {
            id: stored.id,
            description: stored.description,
            secret: value,
            creation_time: written(stored.created),
            expiry_time: stored.expires.map(written),
        }
    }
}

/// Milliseconds since the Unix epoch, as `2025-07-18T12:57:01.155Z`.
fn written(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds).map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_always_have_three_decimals() {
        assert_eq!(written(1_752_843_421_155), "2025-07-18T12:57:01.155Z");
        assert_eq!(written(1_752_843_421_000), "2025-07-18T12:57:01.000Z");
    }

    #[test]
    fn a_scope_type_is_read_from_its_number_and_from_its_name() {
        let read = |json: &str| serde_json::from_str::<ScopeTypeRequest>(json).unwrap().read();
        for json in ["0", "\"user\"", "\"User\""] {
            assert_eq!(read(json), Some(ScopeType::User), "{json}");
        }
        for json in ["1", "\"application\"", "\"Application\""] {
            assert_eq!(read(json), Some(ScopeType::Application), "{json}");
        }
        for json in ["2", "\"1\"", "\"either\""] {
            assert_eq!(read(json), None, "{json}");
        }
    }
}
