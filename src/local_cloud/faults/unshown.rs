//! New secrets that reads of a registration do not show yet, as where a server's copies of its data lag behind.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Method, Uri, header};
use axum::response::Response;
use serde_json::Value;

/// The secrets that are not shown yet: each by its identifier, with the time until which it is not.
#[derive(Clone, Debug, Default)]
pub struct Unshown(Arc<Mutex<Vec<(Value, Instant)>>>);

impl Unshown {
    fn with<T>(&self, work: impl FnOnce(&mut Vec<(Value, Instant)>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets every secret be shown.
    pub fn forget(&self) {
        self.with(Vec::clear);
    }

    /// Has the secret that an answer gives out shown only after this time.
    pub async fn hide(&self, answer: Response, time: Duration) -> Response {
        let (answer, told) = read(answer).await;
        if told["id"].is_number() {
            self.with(|hidden| hidden.push((told["id"].clone(), Instant::now() + time)));
        }
        answer
    }

    /// What a read shows of registrations.
    pub async fn show(&self, method: &Method, uri: &Uri, answer: Response) -> Response {
        let hidden = self.with(|hidden| {
            hidden.retain(|(_, until)| Instant::now() < *until);
            hidden.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>()
        });
        if hidden.is_empty() || method != Method::GET || !uri.path().contains("/api/ExternalClient") {
            return answer;
        }
        let (answer, mut told) = read(answer).await;
        leave_out(&mut told, &hidden);
        let (mut parts, _) = answer.into_parts();
        parts.headers.remove(header::CONTENT_LENGTH);
        Response::from_parts(parts, Body::from(told.to_string()))
    }
}

fn leave_out(told: &mut Value, hidden: &[Value]) {
    if let Some(secrets) = told.get_mut("secrets").and_then(Value::as_array_mut) {
        secrets.retain(|secret| !hidden.contains(&secret["id"]));
    }
    if let Value::Array(all) = told {
        for one in all {
            leave_out(one, hidden);
        }
    }
}

/// The answer, and what it says.
async fn read(answer: Response) -> (Response, Value) {
    let (parts, body) = answer.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let told = serde_json::from_slice(&body).unwrap_or_default();
    (Response::from_parts(parts, Body::from(body)), told)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shown(unshown: &Unshown, told: &'static str) -> Value {
        let uri = Uri::from_static("/acme/identity_/api/ExternalClient/partition/id");
        read(unshown.show(&Method::GET, &uri, Response::new(Body::from(told))).await).await.1
    }

    #[tokio::test]
    async fn a_new_secret_is_not_shown_for_a_while_and_every_other_one_is() {
        let unshown = Unshown::default();
        let made = || Response::new(Body::from(r#"{"id": 2, "secret": "new"}"#));
        let (_, told) = read(unshown.hide(made(), Duration::from_hours(1)).await).await;
        assert_eq!(told["secret"], "new", "the answer stays as it is");
        let one = r#"{"id": "a", "secrets": [{"id": 1}, {"id": 2}]}"#;
        let list = r#"[{"id": "a", "secrets": [{"id": 2}]}]"#;
        assert_eq!(shown(&unshown, one).await["secrets"], serde_json::json!([{"id": 1}]));
        assert_eq!(shown(&unshown, list).await[0]["secrets"], serde_json::json!([]));
        unshown.forget();
        assert_eq!(shown(&unshown, one).await["secrets"].as_array().map(Vec::len), Some(2));
        unshown.hide(made(), Duration::ZERO).await;
        assert_eq!(shown(&unshown, one).await["secrets"].as_array().map(Vec::len), Some(2), "its time is over");
    }
}
