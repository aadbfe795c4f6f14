//! The server's description of itself (RFC 8414, OpenID Connect Discovery 1.0), and why it is not simply believed.

use serde::Deserialize;
use url::Url;

use super::ServerError;
use super::http::{Answer, url_permitted};
use super::json_api::{Call, JsonApi, Operation, json};
use crate::domain::registration::{Catalogue, CatalogueScope, Endpoints, Grant, Resource};

/// The longest address that is taken, in bytes: it is shown in every status.
const LONGEST: usize = 2_048;
/// The most scopes that a server may name.
const SCOPES: usize = 512;

const DISCOVERY: Operation = Operation::read("discovery", "/.well-known", "nothing: metadata is public");

/// The resource under which the scopes that a server names itself are shown.
pub const OPENID: &str = "openid";

#[derive(Deserialize)]
struct Document {
    issuer: String,
    token_endpoint: String,
    authorization_endpoint: Option<String>,
    jwks_uri: Option<String>,
    registration_endpoint: Option<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

/// A description that was checked.
#[derive(Clone, Debug)]
pub struct Metadata {
    pub endpoints: Endpoints,
    pub token_endpoint: Url,
    /// Where clients are registered (RFC 7591).
    pub registration_endpoint: Option<Url>,
    pub scopes_supported: Vec<String>,
}

impl Metadata {
    /// What the server itself says may be asked for. Its scopes are about people who sign in, and mean nothing without
    /// one; so they harm nobody where a server keeps one set of scopes for all grants.
    pub fn catalogue(&self) -> Catalogue {
        if self.scopes_supported.is_empty() {
            return Catalogue::default();
        }
        let scope = |name: &String| CatalogueScope {
            name: name.clone(),
            display_name: None,
            description: None,
            grants: [Grant::User, Grant::Application].into(),
        };
        let resource = Resource {
            name: OPENID.into(),
            display_name: Some("OpenID Connect".into()),
            description: None,
            scopes: self.scopes_supported.iter().map(scope).collect(),
        };
        Catalogue { resources: vec![resource] }
    }
}

/// Where the description of an issuer is looked for: as OpenID Connect Discovery says, then as RFC 8414 does.
fn addresses(issuer: &Url) -> [Url; 2] {
    let path = issuer.path().trim_end_matches('/').to_owned();
    let at = |path: String| {
        let mut url = issuer.clone();
        url.set_path(&path);
        url
    };
    [
        at(format!("{path}/.well-known/openid-configuration")),
        at(format!("/.well-known/oauth-authorization-server{path}")),
    ]
}

/// Reads the description of an issuer. It must name this issuer, and addresses to which secrets may be sent.
///
/// `ServerError::Unintelligible` where it does not, or where there is none.
pub async fn fetch(api: &JsonApi, issuer: &Url, insecure_hosts: &[String]) -> Result<Metadata, ServerError> {
    let mut refused = None;
    for address in addresses(issuer) {
        let answer = api.exchange_exempt(DISCOVERY, Call::to(address)).await?;
        match DISCOVERY.check(&answer, &[]) {
            Ok(()) => return read(&answer, issuer, insecure_hosts),
            Err(error @ (ServerError::NotFound | ServerError::Unintelligible { .. })) => refused = Some(error),
            Err(error) => return Err(error),
        }
    }
    let missing = ServerError::Unintelligible { what: "no metadata of an issuer" };
    Err(refused.filter(|error| *error != ServerError::NotFound).unwrap_or(missing))
}

fn read(answer: &Answer, issuer: &Url, insecure_hosts: &[String]) -> Result<Metadata, ServerError> {
    let document: Document = json(answer)?;
    if document.issuer.trim_end_matches('/') != issuer.as_str().trim_end_matches('/') {
        return Err(ServerError::Unintelligible { what: "metadata of another issuer" });
    }
    let permitted = |address: &str| {
        Url::parse(address)
            .ok()
            .filter(|_| address.len() <= LONGEST)
            .filter(|url| url_permitted(url, insecure_hosts).is_ok())
            .ok_or(ServerError::Unintelligible { what: "metadata with an address that nothing may be sent to" })
    };
    let token_endpoint = permitted(&document.token_endpoint)?;
    for address in [&document.authorization_endpoint, &document.jwks_uri].into_iter().flatten() {
        permitted(address)?;
    }
    let registration_endpoint = document.registration_endpoint.as_deref().map(permitted).transpose()?;
    let mut scopes_supported = document.scopes_supported;
    scopes_supported.sort();
    scopes_supported.dedup();
    scopes_supported.truncate(SCOPES);
    let endpoints = Endpoints {
        issuer: document.issuer,
        token_endpoint: document.token_endpoint,
        authorization_endpoint: document.authorization_endpoint,
        jwks_uri: document.jwks_uri,
    };
    Ok(Metadata { endpoints, token_endpoint, registration_endpoint, scopes_supported })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;

    fn document() -> Value {
        json!({
            "issuer": "https://login.example.com/t", "token_endpoint": "https://login.example.com/t/token",
            "authorization_endpoint": "https://login.example.com/t/auth", "jwks_uri": "https://keys.example.com/t",
            "registration_endpoint": "https://login.example.com/t/reg", "scopes_supported": ["openid", "email", "openid"]
        })
    }

    fn read_as(document: &Value, issuer: &str) -> Result<Metadata, ServerError> {
        let answer = Answer {
            status: 200,
            content_type: None,
            body: Bytes::from(document.to_string()),
            retry_after: None,
            link: None,
        };
        read(&answer, &Url::parse(issuer).expect("a URL"), &[])
    }

    #[test]
    fn the_metadata_of_an_issuer_is_looked_for_in_both_places() {
        let of = |issuer: &str| addresses(&Url::parse(issuer).expect("a URL")).map(String::from);
        assert_eq!(
            of("https://a.example/t/"),
            [
                "https://a.example/t/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server/t"
            ]
        );
        assert_eq!(of("https://a.example")[0], "https://a.example/.well-known/openid-configuration");
    }

    #[test]
    fn metadata_of_another_issuer_is_not_taken() {
        assert!(
            read_as(&document(), "https://login.example.com/t/").is_ok(),
            "a slash at the end makes no other issuer"
        );
        for issuer in ["https://login.example.com", "https://login.example.com/other", "https://evil.example/t"] {
            let refused = read_as(&document(), issuer).expect_err("refused");
            assert_eq!(refused, ServerError::Unintelligible { what: "metadata of another issuer" });
        }
    }

    #[test]
    fn nothing_is_sent_to_an_address_without_tls_or_with_a_user_in_it() {
        for key in ["token_endpoint", "authorization_endpoint", "jwks_uri", "registration_endpoint"] {
            for address in ["http://login.example.com/t", "https://me@login.example.com/t", "/t", "ftp://a.example/"] {
                let mut document = document();
                document[key] = json!(address);
                assert!(read_as(&document, "https://login.example.com/t").is_err(), "{key} {address}");
            }
        }
    }

    #[test]
    fn the_scopes_that_a_server_names_are_a_resource_of_their_own() {
        let metadata = read_as(&document(), "https://login.example.com/t").expect("metadata");
        let catalogue = metadata.catalogue();
        let scopes: Vec<&str> = catalogue.resources[0].scopes.iter().map(|scope| scope.name.as_str()).collect();
        assert_eq!((catalogue.resources[0].name.as_str(), scopes), (OPENID, vec!["email", "openid"]));
        assert!(catalogue.resources[0].scopes.iter().all(|scope| scope.grants.len() == 2));
    }
}
