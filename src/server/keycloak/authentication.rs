//! How a client proves who it is: Keycloak's authenticators, and the attributes that belong to them. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::wire::ClientAnswer;
use crate::domain::jwks::KeySet;
use crate::domain::registration::{
    BY_SECRET as METHODS_WITH_SECRET, ClientType, Desired, PRIVATE_KEY_JWT, Setting, SettingValue, Settings,
};

/// With the secret that the client shows.
pub(super) const BY_SECRET: &str = "client-secret";
/// With assertions that it signs with a key of its own.
const BY_KEY: &str = "client-jwt";
/// With assertions that somebody else has signed, of whom the realm has an identity provider.
const BY_OTHERS: &str = "federated-jwt";

/// Which of the two ways to show a secret the client may use. Empty: both.
const METHOD: &str = "client.secret.authentication.allowed.method";
/// Empty: whatever the keys are for.
const ALGORITHM: &str = "token.endpoint.auth.signing.alg";
const USE_URI: &str = "use.jwks.url";
const JWKS_URI: &str = "jwks.url";
const USE_KEYS: &str = "use.jwks.string";
const JWKS: &str = "jwks.string";
/// The alias of the identity provider whose assertions count, and the subject that they must have.
const PROVIDER: &str = "jwt.credential.issuer";
pub(super) const SUBJECT: &str = "jwt.credential.sub";
/// What the spec calls that.
const NAME: &str = "extapp.dev/federated-credential";
/// Whether the client was to have no secret: the one that Keycloak keeps for it all the same is not known to be anybody's.
const SECRETLESS: &str = "extapp.dev/secretless";
const TRUE: &str = "true";

/// Attributes to set; the empty string removes one.
pub(super) type Attributes = BTreeMap<&'static str, String>;

/// Whose assertions a client is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Assertions<'a> {
    pub(super) name: &'a str,
    /// The alias of an identity provider.
    pub(super) provider: &'a str,
    pub(super) subject: &'a str,
}

/// Whether a client is to have a secret.
pub(super) fn takes_a_secret(desired: &Desired) -> bool {
    desired.client_type == ClientType::Confidential && !desired.secretless
}

/// The authenticator that a client is to have. `None`: the one that it has, until it is told whose assertions count.
pub(super) fn authenticator(desired: &Desired) -> Option<&'static str> {
    if desired.signs() {
        return Some(BY_KEY);
    }
    (!desired.secretless).then_some(BY_SECRET)
}

/// The same of a client that is made: nobody is it until it is told.
pub(super) fn first_authenticator(desired: &Desired) -> &'static str {
    authenticator(desired).unwrap_or(BY_OTHERS)
}

pub(super) fn attributes(desired: &Desired) -> Attributes {
    let mut attributes =
        Attributes::from([(SECRETLESS, if desired.secretless { TRUE.to_owned() } else { String::new() })]);
    if authenticator(desired).is_some() {
        attributes.extend([(PROVIDER, String::new()), (SUBJECT, String::new()), (NAME, String::new())]);
    }
    for (setting, value) in &desired.settings {
        match (setting, value) {
            (Setting::TokenEndpointAuthMethod, SettingValue::Text(method)) if method != PRIVATE_KEY_JWT => {
                attributes.insert(METHOD, method.clone());
            }
            (Setting::TokenEndpointAuthSigningAlg, SettingValue::Text(algorithm)) => {
                attributes.insert(ALGORITHM, algorithm.clone());
            }
            (Setting::JwksUri, SettingValue::Text(uri)) => {
                attributes.extend(one_of([USE_URI, JWKS_URI], uri.clone(), [USE_KEYS, JWKS]));
            }
            (Setting::Jwks, SettingValue::Keys(keys)) => {
                attributes.extend(one_of([USE_KEYS, JWKS], keys.as_json().to_string(), [USE_URI, JWKS_URI]));
            }
            _ => {}
        }
    }
    attributes
}

/// One place of keys in use, and not the other one.
fn one_of([used, place]: [&'static str; 2], value: String, others: [&'static str; 2]) -> Attributes {
    let set = [(used, TRUE.to_owned()), (place, value)];
    set.into_iter().chain(others.map(|other| (other, String::new()))).collect()
}

impl ClientAnswer {
    pub(super) fn shows_a_secret(&self) -> bool {
        self.authenticator() == BY_SECRET
    }

    /// Whether it was to have no secret when it was last changed.
    pub(super) fn is_secretless(&self) -> bool {
        self.attribute(SECRETLESS) == Some(TRUE)
    }

    /// Whose assertions it is known by, where it is known by any.
    pub(super) fn assertions(&self) -> Option<Assertions<'_>> {
        let provider = self.attribute(PROVIDER)?;
        let subject = self.attribute(SUBJECT)?;
        let name = self.attribute(NAME).unwrap_or(provider);
        (self.authenticator() == BY_OTHERS).then_some(Assertions { name, provider, subject })
    }

    /// What can be set of it.
    pub(super) fn authentication(&self) -> Settings {
        let text = |text: &str| SettingValue::Text(text.to_owned());
        let keys = |text: &str| KeySet::read(serde_json::from_str(text).ok()?).map(SettingValue::Keys);
        let used = |switch: &str, place: &str| self.attribute(place).filter(|_| self.attribute(switch) == Some(TRUE));
        let all = [
            (Setting::TokenEndpointAuthMethod, self.method().map(text)),
            (Setting::TokenEndpointAuthSigningAlg, self.attribute(ALGORITHM).map(text)),
            (Setting::JwksUri, used(USE_URI, JWKS_URI).map(text)),
            (Setting::Jwks, used(USE_KEYS, JWKS).and_then(keys)),
        ];
        all.into_iter().filter_map(|(setting, value)| Some((setting, value?))).collect()
    }

    /// The method by its name at the token endpoint, where the client is held to one; Keycloak's own name for what has none.
    fn method(&self) -> Option<&str> {
        match self.authenticator() {
            _ if self.is_public() => None,
            BY_SECRET => self.attribute(METHOD).filter(|method| METHODS_WITH_SECRET.contains(method)),
            BY_KEY => Some(PRIVATE_KEY_JWT),
            other => Some(other),
        }
    }
}

/// Whose assertions a client is known by from now on.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AssertionsBody {
    client_authenticator_type: &'static str,
    attributes: Attributes,
}

impl AssertionsBody {
    pub(super) fn of(Assertions { name, provider, subject }: Assertions<'_>) -> Self {
        let attributes = [(PROVIDER, provider), (SUBJECT, subject), (NAME, name), (SECRETLESS, TRUE)];
        let attributes = attributes.map(|(key, value)| (key, value.to_owned())).into();
        Self { client_authenticator_type: BY_OTHERS, attributes }
    }

    pub(super) fn nobody() -> Self {
        let attributes = [PROVIDER, SUBJECT, NAME].map(|key| (key, String::new())).into();
        Self { client_authenticator_type: BY_OTHERS, attributes }
    }
}

/// An identity provider of the realm.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderAnswer {
    pub(super) alias: String,
    provider_id: String,
    enabled: Option<bool>,
    #[serde(default)]
    config: BTreeMap<String, String>,
}

impl ProviderAnswer {
    /// Whose assertions it takes; `None` where it takes none.
    pub(super) fn issuer(&self) -> Option<&str> {
        let told = self.config.get("supportsClientAssertions").is_some_and(|value| value == TRUE);
        let takes = (told || self.provider_id == "kubernetes") && self.enabled != Some(false);
        self.config.get("issuer").map(String::as_str).filter(|_| takes)
    }
}

#[cfg(test)]
mod tests;
