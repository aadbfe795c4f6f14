//! The stand-in, started in this process and asked over HTTP.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use extapp::local_cloud::{self, Clock, Config, Limits, Running, SigningAlgorithm};
use jiff::Timestamp;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

mod awkward;
mod codes;
mod faults;
mod federated;
mod hostile;
mod openid;
mod operation;
mod orchestrator;
pub mod person;
mod refresh;
mod revocation;
mod rights;
mod sign_in;
mod tokens;

/// A stand-in with the administrator's credentials at hand.
pub struct Cloud {
    running: Running,
    clock: Clock,
    credentials_out: PathBuf,
    http: Client,
    stop: oneshot::Sender<()>,
    directory: TempDir,
}

impl Cloud {
    /// Keeps everything in memory, stands at one moment, and limits nothing.
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), change).await
    }

    async fn start_in(directory: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new("127.0.0.1:0".parse().unwrap(), "acme");
        config.clock = Clock::manual("2026-11-24T00:00:00Z".parse::<Timestamp>().unwrap());
        config.limits = Limits::none();
        // An RSA key takes too long to make for each test.
        config.signing_algorithm = SigningAlgorithm::Es256;
        config.credentials_out = Some(directory.path().join("admin.yaml"));
        change(&mut config);
        let clock = config.clock.clone();
        let credentials_out = config.credentials_out.clone().unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = local_cloud::serve(config, async { stopped.await.unwrap_or(()) }).await.unwrap();
        Self { running, clock, credentials_out, http: Client::new(), stop, directory }
    }

    /// Ends the stand-in in order and gives its directory back.
    async fn stop(self) -> TempDir {
        self.stop.send(()).unwrap();
        self.running.wait().await.unwrap();
        self.directory
    }

    fn partition(&self) -> String {
        self.running.organization_id().to_string()
    }

    /// The administrator's client id and secret, as the manifest has them.
    fn administrator(&self) -> (String, String) {
        #[derive(serde::Deserialize)]
        struct Manifest {
            metadata: BTreeMap<String, String>,
            #[serde(rename = "stringData")]
            string_data: BTreeMap<String, String>,
        }
        let text = std::fs::read_to_string(&self.credentials_out).unwrap();
        let manifest: Manifest = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(manifest.metadata["name"], "local-cloud-admin");
        (manifest.string_data["client-id"].clone(), manifest.string_data["client-secret"].clone())
    }

    /// Asks for a token with the secret in the body.
    async fn ask_for_token(&self, client: &(String, String), scope: &str) -> Response {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &client.0),
            ("client_secret", &client.1),
            ("scope", scope),
        ];
        let url = format!("{}/identity_/connect/token", self.running.base_url());
        self.http.post(url).form(&form).send().await.unwrap()
    }

    async fn token(&self, client: &(String, String), scope: &str) -> String {
        let response = self.ask_for_token(client, scope).await;
        assert_eq!(response.status(), StatusCode::OK);
        response.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned()
    }

    async fn administrator_token(&self) -> String {
        self.token(&self.administrator(), "PM.OAuthApp").await
    }

    /// Calls the Identity management API; `path` follows `/api/`.
    async fn call(&self, token: &str, method: Method, path: &str, body: Option<&Value>) -> Response {
        let url = format!("{}/identity_/api/{path}", self.running.url());
        let mut request = self.http.request(method, url).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await.unwrap()
    }

    /// Calls as the administrator, and returns the status and the body, null if there is none.
    async fn manage(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let token = self.administrator_token().await;
        taken(self.call(&token, method, path, body).await).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.manage(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.manage(Method::POST, path, Some(body)).await
    }

    /// The path of an application.
    fn path_of(&self, client_id: &str) -> String {
        format!("ExternalClient/{}/{client_id}", self.partition())
    }

    /// A create request for a confidential application.
    fn application(&self, name: &str, scopes: &Value) -> Value {
        json!({
            "partitionGlobalId": self.partition(),
            "name": name,
            "isConfidential": true,
            "redirectUri": "http://localhost:5173/",
            "scopes": scopes,
        })
    }

    /// Creates a confidential application and returns its id and its secret.
    async fn created(&self, name: &str, scopes: &Value) -> (String, String) {
        let (status, answer) = self.post("ExternalClient", &self.application(name, scopes)).await;
        assert_eq!(status, 201, "{answer}");
        (text(&answer, "id"), text(&answer, "secret"))
    }
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_else(|| panic!("{member} is no text in {value}")).to_owned()
}

async fn taken(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}
