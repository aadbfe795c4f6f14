//! What the admin API takes and gives, and what it means. Pure.
//!
//! <https://www.keycloak.org/docs-api/latest/rest-api/index.html>

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_lc_rs::hmac;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::authentication::{self, BY_SECRET};
use super::hidden::Hidden;
use super::readings::{ALWAYS, BUILT_IN, LONGEST, OPENID, SERVICE_ACCOUNT};
use crate::domain::grants::{AUTHORIZATION_CODE, CLIENT_CREDENTIALS, REFRESH_TOKEN, grant_types};
use crate::domain::registration::{
    ClientId, ClientSecret, ClientType, Desired, Mark, Registered, SecretId, SecretInfo, Setting, SettingValue,
    Settings, both_grants,
};

/// Whose a client is: the UID of the application.
const UID: &str = "extapp.dev/uid";
/// Whether `openid` was asked for, which is no client scope that could be assigned.
const ASKS_OPENID: &str = "extapp.dev/openid";
const PKCE: &str = "pkce.code.challenge.method";
const S256: &str = "S256";
/// Off only where it says so.
const REFRESH: &str = "use.refresh.tokens";
const CREATED: &str = "client.secret.creation.time";
const EXPIRES: &str = "client.secret.expiration.time";
const ROTATED: &str = "client.secret.rotated";
const ROTATED_EXPIRES: &str = "client.secret.rotated.expiration.time";
const REALM_CLIENT: &str = "realm_client";
const ACCESS_TOKEN_LIFESPAN: &str = "access.token.lifespan";
const POST_LOGOUT: &str = "post.logout.redirect.uris";
const FRONTCHANNEL: &str = "frontchannel.logout.url";
const BACKCHANNEL: &str = "backchannel.logout.url";
/// Between the entries of a list in an attribute.
const LIST: &str = "##";
/// The origins of the redirect URIs, whatever they are.
const THEIR_ORIGINS: &str = "+";
const PROTOCOL: &str = "openid-connect";

/// What can be set beyond name, redirect URIs and scopes.
pub(super) const SETTINGS: &[Setting] = &[
    Setting::TokenEndpointAuthMethod,
    Setting::TokenEndpointAuthSigningAlg,
    Setting::JwksUri,
    Setting::Jwks,
    Setting::AccessTokenLifespan,
    Setting::PostLogoutRedirectUris,
    Setting::AllowedCorsOrigins,
    Setting::FrontchannelLogoutUri,
    Setting::BackchannelLogoutUri,
    Setting::SkipConsent,
];

/// A client as a read or a list gives it. It holds secrets, and is never shown.
#[allow(clippy::struct_excessive_bools, reason = "Keycloak's own")]
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ClientAnswer {
    /// Keycloak's own name for it, in addresses.
    pub(super) id: String,
    pub(super) client_id: String,
    name: Option<String>,
    enabled: bool,
    client_authenticator_type: Option<String>,
    secret: Option<Hidden>,
    redirect_uris: BTreeSet<String>,
    web_origins: BTreeSet<String>,
    bearer_only: bool,
    consent_required: bool,
    standard_flow_enabled: bool,
    implicit_flow_enabled: bool,
    direct_access_grants_enabled: bool,
    service_accounts_enabled: bool,
    full_scope_allowed: bool,
    public_client: bool,
    protocol: Option<String>,
    attributes: BTreeMap<String, Option<Hidden>>,
    default_client_scopes: BTreeSet<String>,
    optional_client_scopes: BTreeSet<String>,
}

impl ClientAnswer {
    pub(super) fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.get(key)?.as_ref().map(Hidden::expose).filter(|value| !value.is_empty())
    }

    fn time(&self, key: &str) -> Option<Timestamp> {
        let seconds = self.attribute(key)?.parse::<i64>().ok().filter(|seconds| *seconds > 0)?;
        Timestamp::from_second(seconds).ok()
    }

    /// Why the operator has no business with this client.
    pub(super) fn unsuitable(&self) -> Option<&'static str> {
        if BUILT_IN.contains(&self.client_id.as_str()) || self.attribute(REALM_CLIENT) == Some("true") {
            return Some("this client is a part of Keycloak itself");
        }
        if self.protocol.as_deref().is_some_and(|protocol| protocol != PROTOCOL) || self.bearer_only {
            return Some("this client does not ask for tokens: it is of another protocol, or bearer-only");
        }
        None
    }

    /// Whether it was made for Keycloak itself: only those have roles that administer.
    pub(super) fn is_realm_client(&self) -> bool {
        self.attribute(REALM_CLIENT) == Some("true")
    }

    pub(super) fn has_service_account(&self) -> bool {
        self.service_accounts_enabled && !self.public_client
    }

    /// Every client scope that is assigned, without those that every client has.
    pub(super) fn assigned(&self) -> BTreeSet<&str> {
        let own = self.default_client_scopes.iter().filter(|name| !is_always(name));
        own.chain(&self.optional_client_scopes).map(String::as_str).collect()
    }

    /// Whether this client scope is assigned, in whichever way.
    pub(super) fn has(&self, scope: &str) -> bool {
        self.default_client_scopes.contains(scope) || self.optional_client_scopes.contains(scope)
    }

    /// Whether the next update may replace the secret: there is a policy for its rotation.
    pub(super) fn may_rotate(&self) -> bool {
        self.attribute(EXPIRES).is_some()
    }

    /// Every secret, the one that is shown first.
    pub(super) fn secrets(&self) -> Vec<SecretInfo> {
        if self.public_client || !self.shows_a_secret() {
            return Vec::new();
        }
        let current = self.secret.as_ref().map(Hidden::expose).map(|value| SecretInfo {
            created_at: self.time(CREATED),
            expires_at: self.time(EXPIRES),
            ..self.secret_info(value)
        });
        let rotated = self
            .attribute(ROTATED)
            .map(|value| SecretInfo { expires_at: self.time(ROTATED_EXPIRES), ..self.secret_info(value) });
        current.into_iter().chain(rotated).filter(|info| !is_empty(info)).collect()
    }

    /// Whether it authenticates with this secret now.
    pub(super) fn accepts(&self, secret: &ClientSecret, now: Timestamp) -> bool {
        let is = |value: &ClientSecret| value.expose().as_bytes().ct_eq(secret.expose().as_bytes()).into();
        let valid = |info: &SecretInfo| info.expires_at.is_none_or(|end| end > now);
        self.enabled
            && self.secrets().iter().filter(|info| valid(info)).filter_map(|info| info.value.as_deref()).any(is)
    }

    fn secret_info(&self, value: &str) -> SecretInfo {
        SecretInfo {
            id: secret_id(&self.id, value),
            description: None,
            created_at: None,
            expires_at: None,
            value: Some(Arc::new(ClientSecret::new(value))),
        }
    }

    pub(super) fn is_public(&self) -> bool {
        self.public_client
    }

    pub(super) fn authenticator(&self) -> &str {
        self.client_authenticator_type.as_deref().unwrap_or(BY_SECRET)
    }

    /// What it may do, in words for people where it is not what a grant type says.
    fn grant_types(&self) -> BTreeSet<String> {
        let mut types = BTreeSet::new();
        if !self.enabled {
            return types;
        }
        let mut may = |yes: bool, name: &str| {
            if yes {
                types.insert(name.to_owned());
            }
        };
        let open = self.public_client && self.attribute(PKCE) != Some(S256);
        may(self.standard_flow_enabled && !open, AUTHORIZATION_CODE);
        may(self.standard_flow_enabled && open, "authorization_code(without PKCE)");
        may(self.standard_flow_enabled && self.attribute(REFRESH) != Some("false"), REFRESH_TOKEN);
        may(self.has_service_account(), CLIENT_CREDENTIALS);
        may(self.implicit_flow_enabled, "implicit");
        may(self.direct_access_grants_enabled, "password");
        // Its tokens have every role of whoever signs in, those that administer the realm included.
        may(self.full_scope_allowed, "any(with full scope)");
        types
    }

    fn settings(&self) -> Settings {
        let text = |key| self.attribute(key).map(|value| SettingValue::Text(value.to_owned()));
        let list = |value: &str| SettingValue::List(value.split(LIST).map(str::to_owned).collect());
        let lifespan = self.attribute(ACCESS_TOKEN_LIFESPAN).and_then(|seconds| seconds.parse().ok());
        let origins: BTreeSet<String> = self.web_origins.clone();
        let all = [
            (Setting::AccessTokenLifespan, lifespan.map(SettingValue::Seconds)),
            (Setting::PostLogoutRedirectUris, self.attribute(POST_LOGOUT).map(list)),
            (Setting::AllowedCorsOrigins, Some(SettingValue::List(origins))),
            (Setting::FrontchannelLogoutUri, text(FRONTCHANNEL)),
            (Setting::BackchannelLogoutUri, text(BACKCHANNEL)),
            (Setting::SkipConsent, Some(SettingValue::Flag(!self.consent_required))),
        ];
        let others = all.into_iter().filter_map(|(setting, value)| Some((setting, value?)));
        others.chain(self.authentication()).collect()
    }

    pub(super) fn registered(&self) -> Registered {
        let openid = self.attribute(ASKS_OPENID).map(|_| OPENID);
        Registered {
            client_id: ClientId::new(&self.client_id),
            display_name: self.name.clone().unwrap_or_default(),
            client_type: if self.public_client { ClientType::NonConfidential } else { ClientType::Confidential },
            redirect_uris: self.redirect_uris.clone(),
            scopes: both_grants(self.assigned().into_iter().chain(openid)),
            secrets: self.secrets(),
            grant_types: Some(self.grant_types()),
            settings: self.settings(),
            owner: self.attribute(UID).map_or(Mark::Absent, |uid| Mark::Uid(uid.to_owned())),
        }
    }
}

fn is_empty(info: &SecretInfo) -> bool {
    info.value.as_ref().is_none_or(|value| value.expose().is_empty())
}

/// Whether every client has it, or gets it from the server, so that nobody asks for it.
pub(super) fn is_always(scope: &str) -> bool {
    scope == SERVICE_ACCOUNT || ALWAYS.contains(&scope)
}

/// A name for a secret that has none at the server. It changes with every change of the secret, by hand too. The key is
/// known only to those who may read clients, and so the secret itself: a weak one cannot be guessed from its name.
fn secret_id(internal_id: &str, value: &str) -> SecretId {
    let key = hmac::Key::new(hmac::HMAC_SHA256, internal_id.as_bytes());
    let tag = hmac::sign(&key, format!("extapp.dev/secret\n{value}").as_bytes());
    SecretId::new(crate::domain::hex(&tag.as_ref()[..8]))
}

/// A client that is to be made, or what is to be changed of one. What is not in it stays as it is.
#[allow(clippy::struct_excessive_bools, reason = "Keycloak's own")]
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    name: &'a str,
    enabled: bool,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_authenticator_type: Option<&'static str>,
    public_client: bool,
    bearer_only: bool,
    standard_flow_enabled: bool,
    implicit_flow_enabled: bool,
    direct_access_grants_enabled: bool,
    service_accounts_enabled: bool,
    full_scope_allowed: bool,
    redirect_uris: &'a BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    web_origins: Option<BTreeSet<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consent_required: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frontchannel_logout: Option<bool>,
    /// Always there: without it, some updates fail. The empty string removes one.
    attributes: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_client_scopes: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    optional_client_scopes: Option<Vec<&'a str>>,
}

impl<'a> ClientBody<'a> {
    /// Changes what the spec says.
    pub(super) fn update(desired: &'a Desired) -> Self {
        let grants = grant_types(desired);
        let public = desired.client_type == ClientType::NonConfidential;
        let list = |setting| match desired.settings.get(&setting) {
            Some(SettingValue::List(items)) => Some(items.clone()),
            _ => None,
        };
        let consent = match desired.settings.get(&Setting::SkipConsent) {
            Some(SettingValue::Flag(skip)) => Some(!skip),
            _ => None,
        };
        Self {
            client_id: None,
            name: &desired.display_name,
            enabled: true,
            protocol: PROTOCOL,
            client_authenticator_type: authentication::authenticator(desired),
            public_client: public,
            bearer_only: false,
            standard_flow_enabled: grants.contains(AUTHORIZATION_CODE),
            implicit_flow_enabled: false,
            direct_access_grants_enabled: false,
            service_accounts_enabled: grants.contains(CLIENT_CREDENTIALS),
            // Always said: what a create without it has depends on whether consent is required.
            full_scope_allowed: false,
            redirect_uris: &desired.redirect_uris,
            web_origins: list(Setting::AllowedCorsOrigins),
            consent_required: consent,
            frontchannel_logout: desired.settings.contains_key(&Setting::FrontchannelLogoutUri).then_some(true),
            attributes: attributes(desired, public),
            default_client_scopes: None,
            optional_client_scopes: None,
        }
    }

    /// Makes a client. `always`: those client scopes of every client that the realm has.
    pub(super) fn create(client_id: &'a str, desired: &'a Desired, always: Vec<&'a str>) -> Self {
        let update = Self::update(desired);
        let origins = update.web_origins.clone().unwrap_or_else(|| [THEIR_ORIGINS.to_owned()].into());
        Self {
            client_id: Some(client_id),
            web_origins: Some(origins),
            client_authenticator_type: Some(authentication::first_authenticator(desired)),
            default_client_scopes: Some(always),
            optional_client_scopes: Some(assignable(desired).into_iter().collect()),
            ..update
        }
    }
}

/// The names of the client scopes that an application asks for.
pub(super) fn assignable(desired: &Desired) -> BTreeSet<&str> {
    desired.scopes.iter().map(|scope| scope.name.as_str()).filter(|name| *name != OPENID).collect()
}

fn attributes(desired: &Desired, public: bool) -> BTreeMap<&'static str, String> {
    let openid = desired.scopes.iter().any(|scope| scope.name == OPENID);
    let mut attributes = BTreeMap::from([
        (UID, desired.owner.uid.clone()),
        (ASKS_OPENID, if openid { "true".to_owned() } else { String::new() }),
        (REFRESH, "true".to_owned()),
    ]);
    if public {
        attributes.insert(PKCE, S256.to_owned());
    } else {
        attributes.extend(authentication::attributes(desired));
    }
    for (setting, value) in &desired.settings {
        let (key, value) = match (setting, value) {
            (Setting::AccessTokenLifespan, SettingValue::Seconds(seconds)) => {
                (ACCESS_TOKEN_LIFESPAN, seconds.to_string())
            }
            (Setting::PostLogoutRedirectUris, SettingValue::List(uris)) => {
                (POST_LOGOUT, uris.iter().map(String::as_str).collect::<Vec<_>>().join(LIST))
            }
            (Setting::FrontchannelLogoutUri, SettingValue::Text(uri)) => (FRONTCHANNEL, uri.clone()),
            (Setting::BackchannelLogoutUri, SettingValue::Text(uri)) => (BACKCHANNEL, uri.clone()),
            _ => continue,
        };
        attributes.insert(key, value);
    }
    attributes
}

/// A new client's `clientId`: tells people where it comes from, and is nobody else's whatever was there before.
pub(super) fn client_id(namespace: &str, name: &str, random: &str) -> String {
    let digits: String = random.chars().filter(char::is_ascii_alphanumeric).take(5).collect();
    let room = LONGEST - namespace.len() - digits.len() - 2;
    let name: String = name.chars().take(room).collect();
    format!("{namespace}.{name}-{}", digits.to_ascii_lowercase())
}

/// The answer that shows a secret.
#[derive(Deserialize)]
pub(super) struct SecretAnswer {
    value: Hidden,
}

impl SecretAnswer {
    pub(super) fn is(&self, secret: &ClientSecret) -> bool {
        self.value.expose() == secret.expose()
    }
}

#[cfg(test)]
mod tests;
