//! New secrets that the token endpoint does not accept yet, as where a server's copies of its data lag behind.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde_json::Value;

use crate::local_cloud::oauth::{Refusal, presented_secret};
use crate::local_cloud::secrets::{SecretHash, any_matches};

/// The secrets that are not accepted yet.
#[derive(Clone, Debug, Default)]
pub struct Lagging(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    /// Each with the time until which it is not.
    secrets: Vec<(SecretHash, Instant)>,
    era: Era,
}

/// How often all was forgotten before a request was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Era(u64);

impl Lagging {
    fn with<T>(&self, work: impl FnOnce(&mut Held) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets every secret be accepted, those of requests that are under way as well.
    pub fn forget(&self) {
        self.with(|held| *held = Held { secrets: Vec::new(), era: Era(held.era.0 + 1) });
    }

    pub fn era(&self) -> Era {
        self.with(|held| held.era)
    }

    /// Has the secret that an answer gives out accepted only after this time, unless all was forgotten since `era`.
    pub async fn hold_back(&self, answer: Response, time: Duration, era: Era) -> Response {
        let (parts, body) = answer.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
        let told: Value = serde_json::from_slice(&body).unwrap_or_default();
        if let Some(secret) = told["secret"].as_str() {
            let hash = SecretHash::of(&SecretString::from(secret));
            self.with(|held| {
                if held.era == era {
                    held.secrets.push((hash, Instant::now() + time));
                }
            });
        }
        Response::from_parts(parts, Body::from(body))
    }

    /// Refuses a token request with a secret that is not accepted yet; gives back every other one.
    pub async fn admit(&self, request: Request) -> Result<Request, Response> {
        let waits = self.with(|held| {
            held.secrets.retain(|(_, until)| Instant::now() < *until);
            !held.secrets.is_empty()
        });
        if !waits || request.method() != Method::POST || !request.uri().path().ends_with("/connect/token") {
            return Ok(request);
        }
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
        match presented_secret(&parts.headers, &body).filter(|secret| self.lags(secret)) {
            Some(_) => Err(Refusal::InvalidClient { by_header: false }.into_response()),
            None => Ok(Request::from_parts(parts, Body::from(Bytes::clone(&body)))),
        }
    }

    fn lags(&self, secret: &SecretString) -> bool {
        self.with(|held| held.secrets.iter().any(|(hash, _)| any_matches(secret, std::slice::from_ref(hash))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_request(secret: &str) -> Request {
        let form = format!("grant_type=client_credentials&client_id=id&client_secret={secret}");
        Request::post("/identity_/connect/token").body(Body::from(form)).unwrap()
    }

    #[tokio::test]
    async fn a_new_secret_is_refused_for_a_while_and_no_other_one() {
        let lagging = Lagging::default();
        let hour = Duration::from_hours(1);
        let answer =
            lagging.hold_back(Response::new(Body::from(r#"{"id": 2, "secret": "new"}"#)), hour, lagging.era()).await;
        let told = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        assert_eq!(told, r#"{"id": 2, "secret": "new"}"#, "the answer stays as it is");
        assert_eq!(lagging.admit(token_request("new")).await.unwrap_err().status(), 400);
        let admitted = lagging.admit(token_request("old")).await.unwrap();
        let body = axum::body::to_bytes(admitted.into_body(), usize::MAX).await.unwrap();
        assert!(body.ends_with(b"client_secret=old"), "nothing of the request is lost");
        lagging.forget();
        assert!(lagging.admit(token_request("new")).await.is_ok());
        let answer = Response::new(Body::from(r#"{"id": 3, "secret": "newer"}"#));
        lagging.hold_back(answer, Duration::ZERO, lagging.era()).await;
        assert!(lagging.admit(token_request("newer")).await.is_ok(), "its time is over");
        let before = lagging.era();
        lagging.forget();
        let answer = Response::new(Body::from(r#"{"id": 4, "secret": "newest"}"#));
        lagging.hold_back(answer, hour, before).await;
        assert!(lagging.admit(token_request("newest")).await.is_ok(), "the faults were lifted while it was made");
    }
}
