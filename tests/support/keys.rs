//! A key of an application's own, and what it signs with it.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::error::{Context, Result};

/// How client assertions are named in a token request (RFC 7523 section 2.2).
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An elliptic key for ES256.
pub struct SigningKey {
    kid: String,
    public: Value,
    private: EncodingKey,
}

impl SigningKey {
    pub fn new() -> Result<Self> {
        let scheme = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document =
            EcdsaKeyPair::generate_pkcs8(scheme, &SystemRandom::new()).ok().context("a key cannot be made")?;
        let pair = EcdsaKeyPair::from_pkcs8(scheme, document.as_ref()).ok().context("it cannot be read")?;
        let kid = extapp::clock::random_id();
        // An uncompressed point: a byte that says so, x, y.
        let coordinates = &pair.public_key().as_ref()[1..];
        let (x, y) = coordinates.split_at(coordinates.len() / 2);
        let encoded = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
        let public = json!({
            "kty": "EC", "kid": kid, "use": "sig", "alg": "ES256", "crv": "P-256", "x": encoded(x), "y": encoded(y),
        });
        Ok(Self { kid, public, private: EncodingKey::from_ec_der(document.as_ref()) })
    }

    /// What the application shows of its keys.
    pub fn set(keys: &[&Self]) -> String {
        json!({"keys": keys.iter().map(|key| &key.public).collect::<Vec<_>>()}).to_string()
    }

    /// An assertion by which a client authenticates at this token endpoint (RFC 7523 section 3).
    pub fn assertion(&self, client_id: &str, audience: &str) -> Result<String> {
        let now = extapp::clock::Clock::system().now().as_second();
        let claims = json!({
            "iss": client_id, "sub": client_id, "aud": audience, "iat": now, "exp": now + 60,
            "jti": extapp::clock::random_id(),
        });
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::ES256) };
        Ok(jsonwebtoken::encode(&header, &claims, &self.private)?)
    }

    /// Whether a client gets a token for itself with this key. Nothing but a refusal is a no.
    pub async fn authenticates(&self, client_id: &str, endpoint: &str, audience: &str, scope: &str) -> Result<bool> {
        let assertion = self.assertion(client_id, audience)?;
        let form = [
            ("grant_type", "client_credentials"),
            ("scope", scope),
            ("client_id", client_id),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", &assertion),
        ];
        let http = reqwest::Client::builder().no_proxy().build()?;
        let answer = http.post(endpoint).form(&form).send().await?;
        let status = answer.status();
        let body: Value = answer.json().await?;
        if status.is_success() {
            return Ok(true);
        }
        // Hydra calls it an invalid request where it does not know the key.
        let refused = ["invalid_client", "unauthorized_client", "invalid_request"];
        let known = body["error"].as_str().is_some_and(|error| refused.contains(&error));
        known.then_some(false).context(format!("{status} {body}"))
    }
}
