//! An issuer of tokens of our own, on loopback, that signs whatever it is asked to.

use std::sync::{Arc, Mutex, OnceLock};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// An RSA key: its private half as PEM, and its public half as everybody can write it down.
struct Key {
    private: String,
    public: String,
}

/// One of two keys, made once for all tests: they take their time.
fn key(index: usize) -> &'static Key {
    static KEYS: [OnceLock<Key>; 2] = [OnceLock::new(), OnceLock::new()];
    KEYS[index].get_or_init(|| {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        Key { private: pem("PRIVATE KEY", private.as_ref()), public: pem("PUBLIC KEY", public.as_ref()) }
    })
}

fn pem(kind: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
}

/// The keys that an issuer publishes now: identifier and index. `None` while it is down.
type Published = Arc<Mutex<Option<Vec<(String, usize)>>>>;

/// The issuer; it ends with the runtime of its test.
pub struct Issuer {
    url: String,
    published: Published,
}

impl Issuer {
    /// One that publishes the first key as `one`.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let issuer = Self { url: url.clone(), published: Arc::default() };
        issuer.publish(&[("one", 0)]);
        let app = Router::new().fallback(answer).with_state((url, Arc::clone(&issuer.published)));
        tokio::spawn(async move { axum::serve(listener, app).await });
        issuer
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn publish(&self, keys: &[(&str, usize)]) {
        let keys = keys.iter().map(|(id, index)| ((*id).to_owned(), *index)).collect();
        *self.published.lock().unwrap() = Some(keys);
    }

    /// Answers nothing but 503 from now on.
    pub fn break_down(&self) {
        *self.published.lock().unwrap() = None;
    }

    /// What its tokens say if nothing is changed; valid for the hour after `now`, in seconds since the Unix epoch.
    pub fn claims(&self, now: i64) -> Value {
        json!({ "iss": self.url, "sub": "worker", "aud": "cloud", "iat": now, "nbf": now, "exp": now + 3600 })
    }
}

/// A token that the key of this index signs under the identifier, with RS256.
pub fn signed(id: &str, index: usize, claims: &Value) -> String {
    let header = Header { kid: Some(id.to_owned()), ..Header::new(Algorithm::RS256) };
    let key = EncodingKey::from_rsa_pem(key(index).private.as_bytes()).unwrap();
    jsonwebtoken::encode(&header, claims, &key).unwrap()
}

/// Tokens that pretend to be of the first key, each with a valid signature of its own algorithm.
pub fn with_other_algorithms(claims: &Value) -> Vec<(&'static str, String)> {
    let header = |algorithm| Header { kid: Some("one".to_owned()), ..Header::new(algorithm) };
    let key = key(0);
    let curve = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let curve = EncodingKey::from_ec_pem(pem("PRIVATE KEY", curve.to_pkcs8v1().unwrap().as_ref()).as_bytes()).unwrap();
    let rsa = EncodingKey::from_rsa_pem(key.private.as_bytes()).unwrap();
    let shared = EncodingKey::from_secret(key.public.as_bytes());
    let encode = |algorithm, key: &EncodingKey| jsonwebtoken::encode(&header(algorithm), claims, key).unwrap();
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let none = part(&json!({ "alg": "none", "kid": "one", "typ": "JWT" }));
    vec![
        ("HS256 with the public key", encode(Algorithm::HS256, &shared)),
        ("ES256", encode(Algorithm::ES256, &curve)),
        ("RS512", encode(Algorithm::RS512, &rsa)),
        ("PS256", encode(Algorithm::PS256, &rsa)),
        ("none", format!("{none}.{}.", part(claims))),
    ]
}

async fn answer(State((url, published)): State<(String, Published)>, uri: Uri) -> Response {
    let Some(keys) = published.lock().unwrap().clone() else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    match uri.path() {
        "/.well-known/openid-configuration" => {
            Json(json!({ "issuer": url, "jwks_uri": format!("{url}/keys") })).into_response()
        }
        "/keys" => Json(json!({ "keys": keys.iter().map(|(id, index)| public(id, *index)).collect::<Vec<_>>() }))
            .into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn public(id: &str, index: usize) -> Jwk {
    let key = EncodingKey::from_rsa_pem(key(index).private.as_bytes()).unwrap();
    let mut public = Jwk::from_encoding_key(&key, Algorithm::RS256).unwrap();
    public.common.key_id = Some(id.to_owned());
    public
}
