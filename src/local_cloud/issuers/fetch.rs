//! An issuer's discovery document (OpenID Connect Discovery section 4) and its keys (RFC 7517), over the network.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyAlgorithm, PublicKeyUse};
use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{Certificate, Client, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::{Keys, on_loopback, permitted};

/// The longest document that is read, in bytes.
const LONGEST_DOCUMENT: usize = 256 * 1024;
/// How many keys of one issuer are remembered.
const MOST_KEYS: usize = 100;
/// For a connection, TLS included.
const CONNECT: Duration = Duration::from_secs(3);
/// For one document, from the connection to its last byte.
const DOCUMENT: Duration = Duration::from_secs(5);

/// Why an issuer is of no use, in words for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("the issuer must be an https URL without user, query and fragment")]
    NotHttps,
    #[error("the discovery document of the issuer cannot be reached")]
    Discovery,
    #[error("the discovery document of the issuer cannot be read")]
    DiscoveryUnreadable,
    #[error("the discovery document is of another issuer")]
    OtherIssuer,
    #[error("the keys of the issuer are not at an https URL")]
    KeysNotHttps,
    #[error("the keys (JWKS) of the issuer cannot be reached")]
    Keys,
    #[error("the keys (JWKS) of the issuer cannot be read")]
    KeysUnreadable,
    #[error("the issuer has no RSA key for signatures")]
    NoRsaKey,
    #[error("the issuer has no key of that identifier")]
    NoSuchKey,
}

/// Why certificates cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error("it holds no certificate in PEM")]
    NotPem,
    #[error("TLS cannot be set up")]
    Tls(#[source] reqwest::Error),
}

/// How documents are fetched: without following anybody elsewhere, and not for long.
#[derive(Clone)]
pub struct Fetch {
    /// For issuers on this machine, to which no proxy leads.
    near: Client,
    far: Client,
}

impl Fetch {
    pub fn new(authorities: &[Vec<u8>]) -> Result<Self, CaError> {
        let mut trusted = Vec::new();
        for pem in authorities {
            let certificates = Certificate::from_pem_bundle(pem).map_err(|_| CaError::NotPem)?;
            if certificates.is_empty() {
                return Err(CaError::NotPem);
            }
            trusted.extend(certificates);
        }
        let builder = || {
            Client::builder()
                .user_agent(concat!("extapp-local-cloud/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                .retry(reqwest::retry::never())
                .connect_timeout(CONNECT)
                .timeout(DOCUMENT)
                .tls_certs_merge(trusted.clone())
        };
        let near = builder().no_proxy().build().map_err(CaError::Tls)?;
        Ok(Self { near, far: builder().build().map_err(CaError::Tls)? })
    }

    /// The RSA keys of an issuer, as it publishes them now.
    pub fn keys(&self, issuer: String) -> impl Future<Output = Result<Arc<Keys>, Unusable>> + Send + use<> {
        let fetch = self.clone();
        async move { fetch.published(&issuer).await.map(Arc::new) }
    }

    async fn published(&self, issuer: &str) -> Result<Keys, Unusable> {
        permitted(issuer)?;
        // A slash at the end goes (OpenID Connect Discovery section 4).
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let address = Url::parse(&address).map_err(|_| Unusable::NotHttps)?;
        let text = self.document(address).await.ok_or(Unusable::Discovery)?;
        let discovery: Discovery = read(&text).ok_or(Unusable::DiscoveryUnreadable)?;
        if discovery.issuer != issuer {
            return Err(Unusable::OtherIssuer);
        }
        let address = permitted(&discovery.jwks_uri).map_err(|_| Unusable::KeysNotHttps)?;
        let text = self.document(address).await.ok_or(Unusable::Keys)?;
        let set: KeySet = read(&text).ok_or(Unusable::KeysUnreadable)?;
        let keys = usable(set.keys);
        if keys.is_empty() { Err(Unusable::NoRsaKey) } else { Ok(keys) }
    }

    /// A document of at most [`LONGEST_DOCUMENT`] bytes; `None` if there is none at this address.
    async fn document(&self, address: Url) -> Option<Vec<u8>> {
        let client = if on_loopback(&address) { &self.near } else { &self.far };
        let request = client.get(address).header(ACCEPT, HeaderValue::from_static("application/json, */*;q=0.5"));
        let mut response = request.send().await.inspect_err(report).ok()?;
        if !response.status().is_success() {
            tracing::info!(status = response.status().as_u16(), "an issuer did not answer with a document");
            return None;
        }
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.inspect_err(report).ok()? {
            if text.len() + chunk.len() > LONGEST_DOCUMENT {
                return None;
            }
            text.extend_from_slice(&chunk);
        }
        Some(text)
    }
}

fn report(error: &reqwest::Error) {
    tracing::info!(error = error as &dyn std::error::Error, "an issuer cannot be reached");
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

fn read<T: DeserializeOwned>(text: &[u8]) -> Option<T> {
    serde_json::from_slice(text).ok()
}

/// The keys that can have made an RS256 signature. A set may hold keys of kinds that nobody here knows.
fn usable(keys: Vec<Value>) -> Keys {
    let mut found: Keys = HashMap::new();
    for key in keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok()) {
        let rsa = matches!(key.algorithm, AlgorithmParameters::RSA(_));
        let signs = key.common.public_key_use.as_ref().is_none_or(|use_| *use_ == PublicKeyUse::Signature);
        let rs256 = key.common.key_algorithm.is_none_or(|algorithm| algorithm == KeyAlgorithm::RS256);
        let (true, Some(id)) = (rsa && signs && rs256, key.common.key_id.clone()) else { continue };
        if found.len() < MOST_KEYS
            && let Ok(key) = DecodingKey::from_jwk(&key)
        {
            found.entry(id).or_insert_with(|| Arc::new(key));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_set_of_keys_those_for_rs256_signatures_are_taken() {
        let rsa = |id: &str, more: Value| {
            let mut key = json!({ "kty": "RSA", "kid": id, "n": "AQAB", "e": "AQAB" });
            key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            key
        };
        let keys = usable(vec![
            rsa("plain", json!({})),
            rsa("whole", json!({ "use": "sig", "alg": "RS256" })),
            rsa("encrypts", json!({ "use": "enc" })),
            rsa("another", json!({ "alg": "RS512" })),
            json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" }),
            json!({ "kty": "oct", "kid": "secret", "k": "AQAB" }),
            json!({ "kty": "EC", "kid": "curve", "crv": "P-256", "x": "AQAB", "y": "AQAB" }),
            json!({ "kty": "quantum", "kid": "new" }),
            json!("no key"),
        ]);
        let mut ids: Vec<_> = keys.into_keys().collect();
        ids.sort();
        assert_eq!(ids, ["plain", "whole"]);
    }

    #[test]
    fn no_issuer_fills_the_memory_with_keys() {
        let keys =
            (0..MOST_KEYS * 2).map(|id| json!({ "kty": "RSA", "kid": id.to_string(), "n": "AQAB", "e": "AQAB" }));
        assert_eq!(usable(keys.collect()).len(), MOST_KEYS);
    }

    #[test]
    fn what_is_no_certificate_is_no_authority() {
        for pem in [&b""[..], b"no certificate", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(Fetch::new(&[pem.to_vec()]), Err(CaError::NotPem | CaError::Tls(_))), "{pem:?}");
        }
    }
}
