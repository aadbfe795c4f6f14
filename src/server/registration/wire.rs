//! Client metadata as RFC 7591 and RFC 7592 send it, and its meaning in the domain's words. Pure.
//!
//! An update replaces all that a server knows of a client, so that metadata is kept as it came: what nobody here
//! understands is sent back unchanged.

use std::collections::BTreeSet;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use crate::domain::grants::{AUTHORIZATION_CODE, grant_types};
use crate::domain::jwks::KeySet;
use crate::domain::registration::{
    BY_SECRET, ClientId, ClientSecret, ClientType, Desired, Scope, Setting, SettingValue, Settings, both_grants,
};
use crate::server::ServerError;

/// What is not metadata: credentials, and what only the server may say (RFC 7592 section 2.2).
const NOT_METADATA: [&str; 6] = [
    "client_id",
    "client_secret",
    "client_secret_expires_at",
    "client_id_issued_at",
    "registration_access_token",
    "registration_client_uri",
];

/// The scope that makes an authorization request one of OpenID Connect. Some servers list it among a client's scopes and
/// some do not, whatever was asked for: it is no permission.
const OPENID: &str = "openid";

/// The authentication method of a client without a secret (RFC 7591 section 2).
const NONE: &str = "none";

const METHOD: &str = "token_endpoint_auth_method";
const ALGORITHM: &str = "token_endpoint_auth_signing_alg";
/// Of these two, a client has one at most.
const JWKS_URI: &str = "jwks_uri";
const JWKS: &str = "jwks";

/// The settings that have a member of their own, and its name.
const MEMBERS: [(Setting, &str); 7] = [
    (Setting::TokenEndpointAuthMethod, METHOD),
    (Setting::TokenEndpointAuthSigningAlg, ALGORITHM),
    (Setting::JwksUri, JWKS_URI),
    (Setting::Jwks, JWKS),
    (Setting::PostLogoutRedirectUris, "post_logout_redirect_uris"),
    (Setting::FrontchannelLogoutUri, "frontchannel_logout_uri"),
    (Setting::BackchannelLogoutUri, "backchannel_logout_uri"),
];

/// What may be set at a server of this kind. A server that does not know one of them ignores it, and the difference shows.
pub(super) const SETTINGS: &[Setting] = &[
    Setting::TokenEndpointAuthMethod,
    Setting::TokenEndpointAuthSigningAlg,
    Setting::JwksUri,
    Setting::Jwks,
    Setting::PostLogoutRedirectUris,
    Setting::FrontchannelLogoutUri,
    Setting::BackchannelLogoutUri,
];

/// The metadata of a client, as its server said it last. It holds no credentials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metadata(Map<String, Value>);

/// The answer to a create, a read or an update.
pub(super) struct ClientAnswer {
    pub(super) client_id: ClientId,
    pub(super) secret: Option<ClientSecret>,
    /// `None`: nothing is said of it, or that it does not expire.
    pub(super) secret_expires_at: Option<Timestamp>,
    /// When the server made the client.
    pub(super) issued_at: Option<Timestamp>,
    /// What the client is managed with (RFC 7592).
    pub(super) token: Option<SecretString>,
    pub(super) uri: Option<String>,
    pub(super) metadata: Metadata,
}

impl ClientAnswer {
    /// The client id and the credentials are taken even where the rest is not what it should be: they are shown once.
    ///
    /// `ServerError::Unintelligible` without a client id.
    pub(super) fn read(body: Value) -> Result<Self, ServerError> {
        let Value::Object(mut members) = body else {
            return Err(ServerError::Unintelligible { what: "no JSON object" });
        };
        let mut text = |name: &str| match members.remove(name) {
            Some(Value::String(text)) if !text.is_empty() => Some(text),
            _ => None,
        };
        let client_id = text("client_id").ok_or(ServerError::Unintelligible { what: "a client without an id" })?;
        let secret = text("client_secret").map(ClientSecret::new);
        let token = text("registration_access_token").map(SecretString::from);
        let uri = text("registration_client_uri");
        let time = |name: &str| members.get(name).and_then(seconds);
        let (secret_expires_at, issued_at) = (time("client_secret_expires_at"), time("client_id_issued_at"));
        members.retain(|name, _| !NOT_METADATA.contains(&name.as_str()));
        let metadata = Metadata(members);
        Ok(Self { client_id: ClientId::new(client_id), secret, secret_expires_at, issued_at, token, uri, metadata })
    }
}

/// Seconds since 1970; 0 stands for never.
fn seconds(value: &Value) -> Option<Timestamp> {
    let seconds = value.as_i64().or_else(|| value.as_f64().map(truncated)).filter(|seconds| *seconds > 0)?;
    Timestamp::from_second(seconds).ok()
}

#[allow(clippy::cast_possible_truncation, reason = "beyond the range of seconds there is no time either")]
fn truncated(seconds: f64) -> i64 {
    seconds as i64
}

impl Metadata {
    /// What a create asks for.
    pub(super) fn wanted(desired: &Desired) -> Self {
        Self::default().with(desired)
    }

    /// The same client with what is wanted in place. Settings that are not asked for stay.
    fn with(&self, desired: &Desired) -> Self {
        let mut members = self.0.clone();
        let mut set = |name: &str, value: Value| members.insert(name.to_owned(), value);
        let grants = grant_types(desired);
        // Without it, a server takes the client for one that signs people in.
        let responses: &[&str] = if grants.contains(AUTHORIZATION_CODE) { &["code"] } else { &[] };
        set("client_name", json!(desired.display_name));
        set("redirect_uris", json!(desired.redirect_uris));
        set("grant_types", json!(grants));
        set("response_types", json!(responses));
        set("scope", json!(names(&desired.scopes).join(" ")));
        match desired.client_type {
            ClientType::NonConfidential => drop(set(METHOD, json!(NONE))),
            // In any other way, its secret would be of no use.
            ClientType::Confidential if self.text(METHOD).is_some_and(|method| !BY_SECRET.contains(&method)) => {
                set(METHOD, json!("client_secret_basic"));
            }
            ClientType::Confidential => {}
        }
        for (setting, name) in MEMBERS {
            let Some(value) = desired.settings.get(&setting) else { continue };
            let confidential = desired.client_type == ClientType::Confidential;
            if confidential || setting != Setting::TokenEndpointAuthMethod {
                set(name, value_of(value));
            }
        }
        let other = |one, other| desired.settings.contains_key(&one).then_some(other);
        for name in [other(Setting::Jwks, JWKS_URI), other(Setting::JwksUri, JWKS)].into_iter().flatten() {
            members.remove(name);
        }
        // Some servers refuse whoever names one and signs nothing.
        if !desired.signs() {
            members.remove(ALGORITHM);
        }
        Self(members)
    }

    /// The body of a create. A scope without names is no value for all servers; an update says it to those that gave
    /// scopes of their own choice meanwhile.
    pub(super) fn create_body(&self) -> Value {
        let mut members = self.0.clone();
        members.retain(|name, value| name != "scope" || *value != "");
        Value::Object(members)
    }

    /// The body of an update. The secret is left out, which leaves it as it is: there are servers that refuse whoever
    /// sends one, and RFC 7592 makes it optional.
    pub(super) fn update_body(&self, id: &ClientId, desired: &Desired) -> Value {
        let mut members = self.with(desired).0;
        members.insert("client_id".into(), json!(id.as_str()));
        Value::Object(members)
    }

    pub(super) fn display_name(&self) -> String {
        self.text("client_name").unwrap_or_default().to_owned()
    }

    pub(super) fn client_type(&self) -> ClientType {
        if self.text("token_endpoint_auth_method") == Some(NONE) {
            ClientType::NonConfidential
        } else {
            ClientType::Confidential
        }
    }

    pub(super) fn redirect_uris(&self) -> BTreeSet<String> {
        self.list("redirect_uris").unwrap_or_default()
    }

    /// RFC 7591 section 2: a client about which nothing is said may use the authorization code.
    pub(super) fn grant_types(&self) -> BTreeSet<String> {
        self.list("grant_types").unwrap_or_else(|| [AUTHORIZATION_CODE.to_owned()].into())
    }

    /// `openid` as it was asked for: whether a server lists it says nothing.
    pub(super) fn scopes(&self, openid: bool) -> BTreeSet<Scope> {
        let said = self.text("scope").unwrap_or_default().split_ascii_whitespace().filter(|name| *name != OPENID);
        both_grants(said.chain(openid.then_some(OPENID)))
    }

    pub(super) fn settings(&self) -> Settings {
        let of = |(setting, name): (Setting, &str)| {
            let value = match setting {
                Setting::PostLogoutRedirectUris => SettingValue::List(self.list(name).unwrap_or_default()),
                Setting::Jwks => SettingValue::Keys(KeySet::read(self.0.get(name)?.clone())?),
                _ => SettingValue::Text(self.text(name)?.to_owned()),
            };
            (value != SettingValue::Text(NONE.into())).then_some((setting, value))
        };
        MEMBERS.into_iter().filter_map(of).collect()
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    fn list(&self, name: &str) -> Option<BTreeSet<String>> {
        let items = self.0.get(name)?.as_array()?;
        Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }
}

/// Whether `openid` is asked for.
pub(super) fn asks_for_openid(desired: &Desired) -> bool {
    desired.scopes.iter().any(|scope| scope.name == OPENID)
}

fn names(scopes: &BTreeSet<Scope>) -> Vec<&str> {
    let mut names: Vec<&str> = scopes.iter().map(|scope| scope.name.as_str()).collect();
    names.dedup();
    names
}

fn value_of(value: &SettingValue) -> Value {
    match value {
        SettingValue::Text(text) => json!(text),
        SettingValue::List(items) => json!(items),
        SettingValue::Seconds(seconds) => json!(seconds),
        SettingValue::Flag(flag) => json!(flag),
        SettingValue::Keys(keys) => keys.as_json().clone(),
    }
}

/// Where a client is managed: an address of the issuer's own, so that no server has its tokens sent elsewhere.
pub(super) fn client_uri(uri: &str, issuer: &Url) -> Option<Url> {
    let url = Url::parse(uri).ok()?;
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (plain && url.origin() == issuer.origin()).then_some(url)
}

#[cfg(test)]
mod tests;
