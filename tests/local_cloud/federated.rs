//! Federated credentials: applications that authenticate with tokens of somebody else's, and need no secret.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use self::issuer::{Issuer, signed};
use super::{Cloud, taken, text};

mod assertions;
mod cluster;
mod issuer;
mod management;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const SCOPE: &str = "PM.OAuthApp.Read";

impl Cloud {
    /// Creates a confidential application that never had a secret.
    async fn secretless(&self, name: &str) -> String {
        let mut request = self.application(name, &json!([{ "name": SCOPE, "type": 1 }]));
        request["generateFirstSecret"] = json!(false);
        let (status, answer) = self.post("ExternalClient", &request).await;
        assert_eq!((status, &answer["secret"], &answer["secrets"]), (201, &Value::Null, &json!([])), "{answer}");
        text(&answer, "id")
    }

    fn credentials_of(&self, client: &str) -> String {
        format!("{}/FederatedCredentials", self.path_of(client))
    }

    /// Adds a credential and returns its identifier.
    async fn trusts(&self, client: &str, trust: &Value) -> String {
        let (status, answer) = self.post(&self.credentials_of(client), trust).await;
        assert_eq!(status, 201, "{answer}");
        text(&answer, "id")
    }

    /// An application that trusts the issuer's tokens for `worker`.
    async fn federated(&self, issuer: &Issuer) -> String {
        let client = self.secretless("federated").await;
        self.trusts(&client, &trust("worker", issuer.url())).await;
        client
    }

    /// Asks for a token with an assertion; `form` goes before what is usual, and `None` takes a parameter away.
    async fn present(&self, client: &str, assertion: &str, form: &[(&str, Option<&str>)]) -> Response {
        let usual = [
            ("grant_type", "client_credentials"),
            ("scope", SCOPE),
            ("client_id", client),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", assertion),
        ];
        let kept = usual.into_iter().filter(|(name, _)| form.iter().all(|(changed, _)| changed != name));
        let changed = form.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
        let url = format!("{}/identity_/connect/token", self.running.base_url());
        self.http.post(url).form(&kept.chain(changed).collect::<Vec<_>>()).send().await.unwrap()
    }

    /// The status and the answer, or the error alone.
    async fn presented(&self, client: &str, assertion: &str) -> (u16, Value) {
        taken(self.present(client, assertion, &[]).await).await
    }

    async fn accepts(&self, client: &str, assertion: &str) -> bool {
        let (status, answer) = self.presented(client, assertion).await;
        assert!(status == 200 || (status, answer.clone()) == refused(), "{status}: {answer}");
        status == 200
    }

    fn seconds(&self) -> i64 {
        self.clock.now_milliseconds() / 1000
    }
}

fn refused() -> (u16, Value) {
    (400, json!({ "error": "invalid_client" }))
}

fn trust(name: &str, issuer: &str) -> Value {
    json!({ "name": name, "description": "", "issuer": issuer, "audience": "cloud", "subject": "worker" })
}

/// The claims with some of them changed.
fn changed(claims: &Value, change: &Value) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    claims
}

#[tokio::test]
async fn an_application_without_a_secret_gets_what_opens_a_protected_resource() {
    let (cloud, issuer) = (Cloud::start().await, Issuer::start().await);
    let client = cloud.federated(&issuer).await;
    let nothing = (client.clone(), String::new());
    assert_eq!(taken(cloud.ask_for_token(&nothing, SCOPE).await).await, refused());
    let response = cloud.present(&client, &signed("one", 0, &issuer.claims(cloud.seconds())), &[]).await;
    assert!(response.headers()["cache-control"].to_str().unwrap().contains("no-store"));
    let (status, answer) = taken(response).await;
    assert_eq!((status, &answer["scope"], &answer["expires_in"]), (200, &json!(SCOPE), &json!(3600)));
    let path = format!("ExternalClient/{}", cloud.partition());
    let token = text(&answer, "access_token");
    assert_eq!(cloud.call(&token, Method::GET, &path, None).await.status(), 200);
}
