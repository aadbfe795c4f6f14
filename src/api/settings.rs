//! What an application may set beyond name, redirect URIs and scopes, where its server has a setting for it.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::HumanDuration;

/// What is set beyond name, redirect URIs and scopes. Everything is optional, and what is not set is left as the server has
/// it. A server that has no such setting refuses it (NotSupported).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.jwks) || !has(self.jwksUri)")
    .message("set either jwks or jwksUri: a registration has its keys in one place"))]
#[x_kube(validation = Rule::new("!has(self.tokenEndpointAuthSigningAlg) || (has(self.tokenEndpointAuthMethod) && self.tokenEndpointAuthMethod == 'private_key_jwt')")
    .message("tokenEndpointAuthSigningAlg goes with tokenEndpointAuthMethod private_key_jwt: nothing else is signed"))]
pub struct ApplicationSettings {
    /// How a Confidential application authenticates at the token endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_method: Option<TokenEndpointAuthMethod>,
    /// What the application signs its client assertions with, with the method `private_key_jwt`. Default: what the server
    /// takes; of a Hydra it is RS256, or what all keys of `jwks` are for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_signing_alg: Option<SigningAlgorithm>,
    /// Where the keys are that the application signs its client assertions with (RFC 7523), with the method
    /// `private_key_jwt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(r"self.matches('^https://[^/?#@\\s]+([/?][^\\s#]*)?$')").message("jwksUri must be an https URL"))]
    pub jwks_uri: Option<String>,
    /// The same keys, as a JSON Web Key Set (RFC 7517) in one text. Public keys alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 16384))]
    #[x_kube(validation = Rule::new(r#"self.startsWith('{') && self.contains('keys') && !self.matches('"d"\\s*:')"#)
        .message("jwks must be a JSON Web Key Set with public keys alone: {\"keys\": [...]} without a private member `d`"))]
    pub jwks: Option<String>,
    /// For whom access tokens may be issued: the values that may stand in their `aud`. For applications of another
    /// namespace than the server's, its `allowedAudiences` must list them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 512)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub audiences: Option<Vec<String>>,
    /// How long access tokens are valid, for example `15m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token_lifespan: Option<HumanDuration>,
    /// How long refresh tokens are valid, for example `30d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token_lifespan: Option<HumanDuration>,
    /// How long ID tokens are valid, for example `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_token_lifespan: Option<HumanDuration>,
    /// What access tokens are: `jwt`, or `opaque` ones that only the server can read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token_strategy: Option<AccessTokenStrategy>,
    /// Where people may be sent after they sign out, compared exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 512)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[x_kube(validation = Rule::new(r"self.all(u, u.matches('^https://[^/?#@\\s*]+([/?][^\\s*#]*)?$') || u.matches('^http://(localhost|127[.]0[.]0[.]1|\\[::1\\])(:[0-9]{1,5})?([/?][^\\s*#]*)?$'))")
        .message("every URI must be https://host/path, or http on localhost, 127.0.0.1 or [::1], without `*` and `#`"))]
    pub post_logout_redirect_uris: Option<Vec<String>>,
    /// The origins that browsers may call the server from, such as `https://app.example.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 512)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[x_kube(validation = Rule::new(r"self.all(o, o.matches('^https?://[^/?#@\\s*]+$'))")
        .message("every origin must be scheme://host[:port] without a path, such as https://app.example.com"))]
    pub allowed_cors_origins: Option<Vec<String>>,
    /// Where the server's log-out page tells the application, through the person's browser, that they signed out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(r"self.matches('^https?://[^/?#@\\s]+([/?][^\\s#]*)?$')").message("must be an http(s) URL"))]
    pub frontchannel_logout_uri: Option<String>,
    /// Where the server itself tells the application that a person signed out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(r"self.matches('^https?://[^/?#@\\s]+([/?][^\\s#]*)?$')").message("must be an http(s) URL"))]
    pub backchannel_logout_uri: Option<String>,
    /// Whether people are not asked for their consent. Only applications of the server's own namespace may say true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_consent: Option<bool>,
    /// Whether people are not asked whether they want to sign out. Only applications of the server's own namespace may say
    /// true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_logout_consent: Option<bool>,
}

/// How an application with a secret authenticates (RFC 7591 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum TokenEndpointAuthMethod {
    /// In the Authorization header.
    ClientSecretBasic,
    /// In the body of the request.
    ClientSecretPost,
    /// By an assertion that it signs with a key of its own (`jwksUri` or `jwks`).
    PrivateKeyJwt,
}

/// An asymmetric signature (RFC 7518 section 3.1, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr)]
pub enum SigningAlgorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    ES512,
    EdDSA,
}

/// What access tokens are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum AccessTokenStrategy {
    /// Signed, and readable by whoever gets one.
    Jwt,
    /// Readable by the server alone.
    Opaque,
}
