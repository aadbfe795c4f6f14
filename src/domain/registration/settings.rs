//! What a registration can be set to beyond name, redirect URIs and scopes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::domain::jwks::KeySet;

/// How an application authenticates that has a key of its own (OpenID Connect Core 1.0 section 9).
pub const PRIVATE_KEY_JWT: &str = "private_key_jwt";

/// The same of one that has a secret (RFC 7591 section 2).
pub const BY_SECRET: [&str; 2] = ["client_secret_basic", "client_secret_post"];

/// What is set beyond name, redirect URIs and scopes.
pub type Settings = BTreeMap<Setting, SettingValue>;

/// One thing that some servers let a registration set, in the words of RFC 7591 and OpenID Connect where they have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Setting {
    TokenEndpointAuthMethod,
    TokenEndpointAuthSigningAlg,
    JwksUri,
    Jwks,
    Audiences,
    AccessTokenLifespan,
    RefreshTokenLifespan,
    IdTokenLifespan,
    AccessTokenStrategy,
    PostLogoutRedirectUris,
    AllowedCorsOrigins,
    FrontchannelLogoutUri,
    BackchannelLogoutUri,
    SkipConsent,
    SkipLogoutConsent,
}

impl Setting {
    pub const ALL: [Self; 15] = [
        Self::TokenEndpointAuthMethod,
        Self::TokenEndpointAuthSigningAlg,
        Self::JwksUri,
        Self::Jwks,
        Self::Audiences,
        Self::AccessTokenLifespan,
        Self::RefreshTokenLifespan,
        Self::IdTokenLifespan,
        Self::AccessTokenStrategy,
        Self::PostLogoutRedirectUris,
        Self::AllowedCorsOrigins,
        Self::FrontchannelLogoutUri,
        Self::BackchannelLogoutUri,
        Self::SkipConsent,
        Self::SkipLogoutConsent,
    ];

    /// The field of the spec.
    pub fn field(self) -> &'static str {
        match self {
            Self::TokenEndpointAuthMethod => "settings.tokenEndpointAuthMethod",
            Self::TokenEndpointAuthSigningAlg => "settings.tokenEndpointAuthSigningAlg",
            Self::JwksUri => "settings.jwksUri",
            Self::Jwks => "settings.jwks",
            Self::Audiences => "settings.audiences",
            Self::AccessTokenLifespan => "settings.accessTokenLifespan",
            Self::RefreshTokenLifespan => "settings.refreshTokenLifespan",
            Self::IdTokenLifespan => "settings.idTokenLifespan",
            Self::AccessTokenStrategy => "settings.accessTokenStrategy",
            Self::PostLogoutRedirectUris => "settings.postLogoutRedirectUris",
            Self::AllowedCorsOrigins => "settings.allowedCorsOrigins",
            Self::FrontchannelLogoutUri => "settings.frontchannelLogoutUri",
            Self::BackchannelLogoutUri => "settings.backchannelLogoutUri",
            Self::SkipConsent => "settings.skipConsent",
            Self::SkipLogoutConsent => "settings.skipLogoutConsent",
        }
    }
}

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingValue {
    Text(String),
    List(BTreeSet<String>),
    Seconds(u64),
    Flag(bool),
    /// Keys that an application signs with.
    Keys(KeySet),
}

impl fmt::Display for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::List(items) => f.write_str(&items.iter().map(String::as_str).collect::<Vec<_>>().join(" ")),
            Self::Seconds(seconds) => write!(f, "{seconds}s"),
            Self::Flag(flag) => flag.fmt(f),
            Self::Keys(keys) => keys.fmt(f),
        }
    }
}
