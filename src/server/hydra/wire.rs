//! Bodies of the admin API's clients. Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::lifespan::Lifespan;
use crate::domain::grants::AUTHORIZATION_CODE;
use crate::domain::jwks::KeySet;
use crate::server::http::Answer;

/// The fields of a client that this backend manages. Others are never sent, and survive every change.
///
/// The same type reads and writes: what is to change is what differs between the client as it is and as it shall be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Fields {
    #[serde(deserialize_with = "or_default")]
    pub(super) client_name: String,
    /// `extapp/<namespace>/<name>` of the application: for people who read a list of clients.
    #[serde(deserialize_with = "or_default")]
    pub(super) owner: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) redirect_uris: BTreeSet<String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) grant_types: GrantTypes,
    #[serde(deserialize_with = "or_default")]
    pub(super) response_types: BTreeSet<String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) scope: Scopes,
    #[serde(deserialize_with = "or_default")]
    pub(super) audience: BTreeSet<String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) post_logout_redirect_uris: BTreeSet<String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) allowed_cors_origins: BTreeSet<String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) frontchannel_logout_uri: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) backchannel_logout_uri: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) skip_consent: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) skip_logout_consent: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token_endpoint_auth_method: Option<String>,
    /// Empty: RS256.
    #[serde(deserialize_with = "or_default")]
    pub(super) token_endpoint_auth_signing_alg: String,
    /// Of this and `jwks`, one at most.
    #[serde(deserialize_with = "or_default")]
    pub(super) jwks_uri: String,
    #[serde(deserialize_with = "keys")]
    pub(super) jwks: Option<KeySet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) access_token_strategy: Option<String>,
    #[serde(flatten)]
    pub(super) lifespans: Lifespans,
}

/// How long tokens live, by the grant that gives them. `None`: as long as the server's configuration says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Lifespans {
    #[serde(rename = "client_credentials_grant_access_token_lifespan", skip_serializing_if = "Option::is_none")]
    pub(super) client_credentials_access: Option<Lifespan>,
    #[serde(rename = "authorization_code_grant_access_token_lifespan", skip_serializing_if = "Option::is_none")]
    pub(super) authorization_code_access: Option<Lifespan>,
    #[serde(rename = "authorization_code_grant_id_token_lifespan", skip_serializing_if = "Option::is_none")]
    pub(super) authorization_code_id: Option<Lifespan>,
    #[serde(rename = "authorization_code_grant_refresh_token_lifespan", skip_serializing_if = "Option::is_none")]
    pub(super) authorization_code_refresh: Option<Lifespan>,
    #[serde(rename = "refresh_token_grant_access_token_lifespan", skip_serializing_if = "Option::is_none")]
    pub(super) refresh_token_access: Option<Lifespan>,
    #[serde(rename = "refresh_token_grant_id_token_lifespan", skip_serializing_if = "Option::is_none")]
    pub(super) refresh_token_id: Option<Lifespan>,
    #[serde(rename = "refresh_token_grant_refresh_token_lifespan", skip_serializing_if = "Option::is_none")]
    pub(super) refresh_token_refresh: Option<Lifespan>,
}

/// Names of scopes: one text with spaces between them (RFC 6749 section 3.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scopes(pub(super) BTreeSet<String>);

impl Serialize for Scopes {
    /// No scope at all is one space: the server would put its default scopes in the place of an empty text.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_empty() {
            return serializer.serialize_str(" ");
        }
        let names: Vec<&str> = self.0.iter().map(String::as_str).collect();
        serializer.serialize_str(&names.join(" "))
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(text.split_whitespace().map(str::to_owned).collect()))
    }
}

/// Names of grant types (RFC 7591 section 2). Without any, the server takes authorization_code for granted, so that it is
/// told a name that no request has where none shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GrantTypes(pub(super) BTreeSet<String>);

/// What stands for no grant type at all.
const NO_GRANT: &str = "none";

impl Default for GrantTypes {
    fn default() -> Self {
        Self([AUTHORIZATION_CODE.to_owned()].into())
    }
}

impl Serialize for GrantTypes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_empty() { serializer.collect_seq([NO_GRANT]) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for GrantTypes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut names: BTreeSet<String> = BTreeSet::deserialize(deserializer)?;
        if names.is_empty() {
            return Ok(Self::default());
        }
        names.remove(NO_GRANT);
        Ok(Self(names))
    }
}

/// What our metadata says of a client: our keys in an object that others may have keys in, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Mark {
    /// The UID of the application that the client belongs to.
    #[serde(rename = "extapp.dev/uid", skip_serializing_if = "Option::is_none")]
    pub(super) uid: Option<String>,
    /// Names the secret that was set last: the server has no names for secrets. Empty: one that nobody knows.
    #[serde(rename = "extapp.dev/credential", skip_serializing_if = "Option::is_none")]
    pub(super) credential: Option<String>,
    /// When it was set (RFC 3339).
    #[serde(rename = "extapp.dev/credential-created-at", skip_serializing_if = "Option::is_none")]
    pub(super) credential_created_at: Option<String>,
}

/// A client as a read, a list or a create answers it. A secret in it is not read: it is the one that was sent.
#[derive(Debug, Deserialize)]
pub(super) struct ClientAnswer {
    pub(super) client_id: String,
    /// Any JSON: other people's, too.
    #[serde(default)]
    metadata: Value,
    #[serde(flatten)]
    pub(super) fields: Fields,
}

impl ClientAnswer {
    /// What our keys of the metadata say; a value of another type is as good as none.
    pub(super) fn mark(&self) -> Mark {
        let text = |key: &str| self.metadata.get(key).and_then(Value::as_str).map(str::to_owned);
        Mark {
            uid: text("extapp.dev/uid"),
            credential: text("extapp.dev/credential"),
            credential_created_at: text("extapp.dev/credential-created-at"),
        }
    }

    /// Whether keys can be added to the metadata: an empty one counts as an object without keys.
    pub(super) fn takes_marks(&self) -> bool {
        self.metadata.is_object() || self.metadata.is_null()
    }
}

/// The body of a create.
#[derive(Serialize)]
pub(super) struct CreateBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_secret: Option<&'a str>,
    pub(super) metadata: &'a Mark,
    #[serde(flatten)]
    pub(super) fields: &'a Fields,
}

/// One operation of a JSON Patch (RFC 6902). `add` replaces what is there, and Hydra makes the objects on the way to it;
/// of the other operations it takes `replace`, which it treats as `add`, and `remove`, which leaves a field as it is.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Operation {
    op: &'static str,
    path: String,
    value: Value,
}

impl Operation {
    pub(super) fn set(field: &str, value: impl Into<Value>) -> Self {
        Self { op: "add", path: format!("/{}", escaped(field)), value: value.into() }
    }

    pub(super) fn set_metadata(key: &str, value: Value) -> Self {
        Self { op: "add", path: format!("/metadata/{}", escaped(key)), value }
    }
}

/// A part of a JSON pointer (RFC 6901).
fn escaped(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}

/// The fields that say what a client is for. They are always sent together: of two changes at once, which the server
/// would mix field by field, one then wins as a whole.
const TOGETHER: [&str; 6] = ["client_name", "grant_types", "owner", "redirect_uris", "response_types", "scope"];

/// What it takes to make the fields of a client what they shall be; nothing where they are.
pub(super) fn changes(from: &Fields, to: &Fields) -> Vec<Operation> {
    if from == to {
        return Vec::new();
    }
    let from = object(from);
    let sent = |(field, value): &(String, Value)| TOGETHER.contains(&field.as_str()) || from.get(field) != Some(value);
    object(to).into_iter().filter(sent).map(|(field, value)| Operation::set(&field, value)).collect()
}

/// The same for our keys of its metadata.
pub(super) fn mark_changes(from: &Mark, to: &Mark) -> Vec<Operation> {
    let from = object(from);
    let differs = |(key, value): &(String, Value)| from.get(key) != Some(value);
    object(to).into_iter().filter(differs).map(|(key, value)| Operation::set_metadata(&key, value)).collect()
}

fn object(value: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(object)) => object,
        // Structs without maps, whose serialisation cannot fail.
        _ => Map::new(),
    }
}

/// The token of the page that a header `Link` names as the next one. Its address is not taken: behind a proxy it may be
/// another than ours.
pub(super) fn next_page(link: &str) -> Option<String> {
    let links = link.split(',').filter_map(|link| link.trim().strip_prefix('<')?.split_once('>'));
    let (address, _) = links.into_iter().find(|(_, parameters)| parameters.contains("rel=\"next\""))?;
    let query = address.split_once('?')?.1;
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(name, _)| name == "page_token").map(|(_, token)| token.into_owned())
}

/// Takes what the server says of every such error out of a description, so that what it says of this one is left; and calls a
/// field by the name that people know it by here, which is also shorter than anything that could be a secret.
pub(super) fn to_the_point(answer: &mut Answer) {
    let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) else { return };
    let Some(text) = body["error_description"].as_str() else { return };
    let short = GENERALITIES.iter().fold(text.to_owned(), |text, general| text.replace(general, ""));
    let short = short.replace("post_logout_redirect_uri", "postLogoutRedirectUris");
    body["error_description"] = short.trim().into();
    answer.body = body.to_string().into();
}

const GENERALITIES: [&str; 2] = [
    "The value of one of the Client Metadata fields is invalid and the server has rejected this request. Note that an Authorization Server MAY choose to substitute a valid value for any requested parameter of a Client's Metadata.",
    "The value of one or more redirect_uris is invalid.",
];

/// `null` is what the server has where nothing was ever set.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// What was removed is answered as an empty object.
fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<KeySet>, D::Error> {
    Value::deserialize(deserializer).map(KeySet::read)
}

#[cfg(test)]
mod tests;
