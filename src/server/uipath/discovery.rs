//! The server's own description of itself (OpenID Connect Discovery 1.0), and why it is not simply believed. Pure.

use serde::Deserialize;
use url::Url;

use crate::domain::registration::Endpoints;
use crate::server::ServerError;

/// The longest address that is taken, in bytes: it is shown in every status.
const LONGEST: usize = 2_048;

/// The document, as far as it is of use here.
#[derive(Deserialize)]
pub(super) struct Document {
    issuer: String,
    token_endpoint: String,
    authorization_endpoint: Option<String>,
    jwks_uri: Option<String>,
}

/// A description that was checked.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) endpoints: Endpoints,
    pub(super) token_endpoint: Url,
}

impl Document {
    /// Accepts only addresses on the configured scheme, host and port: the operator's secret goes to the token
    /// endpoint, and applications are told to send theirs there.
    pub(super) fn checked(self, server: &Url) -> Result<Metadata, ServerError> {
        let here = |address: &str| {
            Url::parse(address)
                .ok()
                .filter(|_| address.len() <= LONGEST)
                .filter(|url| url.origin() == server.origin() && url.username().is_empty() && url.password().is_none())
                .ok_or(ServerError::Unintelligible { what: "metadata that points to another host" })
        };
        let token_endpoint = here(&self.token_endpoint)?;
        let others = [Some(&self.issuer), self.authorization_endpoint.as_ref(), self.jwks_uri.as_ref()];
        for address in others.into_iter().flatten() {
            here(address)?;
        }
        let endpoints = Endpoints {
            issuer: self.issuer,
            token_endpoint: self.token_endpoint,
            authorization_endpoint: self.authorization_endpoint,
            jwks_uri: self.jwks_uri,
        };
        Ok(Metadata { endpoints, token_endpoint })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use url::Url;

    use super::{Document, Metadata};
    use crate::server::ServerError;

    fn document() -> Value {
        json!({"issuer": "https://cloud.uipath.com/identity_", "token_endpoint": "https://cloud.uipath.com/identity_/connect/token",
            "authorization_endpoint": "https://cloud.uipath.com/identity_/connect/authorize",
            "jwks_uri": "https://cloud.uipath.com/identity_/.well-known/openid-configuration/jwks", "scopes_supported": []})
    }

    fn check(document: Value) -> Result<Metadata, ServerError> {
        let server = Url::parse("https://cloud.uipath.com:443").unwrap();
        serde_json::from_value::<Document>(document).unwrap().checked(&server)
    }

    #[test]
    fn metadata_of_the_configured_host_is_taken() {
        let metadata = check(document()).unwrap();
        assert_eq!(metadata.token_endpoint.path(), "/identity_/connect/token");
        assert_eq!(metadata.endpoints.issuer, "https://cloud.uipath.com/identity_");
    }

    #[test]
    fn no_address_may_be_elsewhere() {
        for key in ["issuer", "token_endpoint", "authorization_endpoint", "jwks_uri"] {
            for elsewhere in [
                "https://evil.example/connect/token",
                "http://cloud.uipath.com/identity_/connect/token",
                "https://cloud.uipath.com:8443/connect/token",
                "https://cloud.uipath.com@evil.example/",
                "https://me@cloud.uipath.com/",
                "/connect/token",
            ] {
                let mut document = document();
                document[key] = json!(elsewhere);
                let result = check(document);
                assert!(matches!(result, Err(ServerError::Unintelligible { .. })), "{key} {elsewhere}");
            }
        }
    }
}
