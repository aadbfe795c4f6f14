//! npm `oidc-provider`, which replaces the registration access token with every update.

use axum::http::Method;
use extapp::domain::registration::ClientId;
use extapp::server::any::AnyServer;
use serde_json::{Value, json};

use crate::contract::{Stage, build, contract};
use crate::support::gate::Gate;
use crate::support::oidc_provider::{INITIAL_ACCESS_TOKEN, OidcProvider};
use crate::support::{Context as _, Result};

struct Certified {
    provider: OidcProvider,
    gate: Gate,
    server: AnyServer,
}

impl Stage for Certified {
    async fn set() -> Result<Self> {
        let provider = OidcProvider::builder().start().await?;
        let gate = Gate::default();
        let issuer = gate.in_front_of(provider.issuer()).await?;
        let spec = json!({"registration": {"issuer": issuer}, "credentialsRef": {"name": "initial"}});
        let server = build(spec, &[("initial-access-token", INITIAL_ACCESS_TOKEN)])?;
        Ok(Self { provider, gate, server })
    }

    fn server(&self) -> &AnyServer {
        &self.server
    }

    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn create(&self) -> (Method, &'static str) {
        (Method::POST, "/reg")
    }

    fn read(&self, id: &ClientId) -> (Method, String) {
        (Method::GET, format!("/reg/{id}"))
    }

    fn scopes(&self) -> [&'static str; 2] {
        ["invoices.read", "invoices.write"]
    }

    fn own_url(&self) -> Option<String> {
        Some(self.provider.issuer().to_owned())
    }

    fn refuses_unknown_scopes(&self) -> bool {
        true
    }

    async fn by_hand(&self, name: &str) -> Result<ClientId> {
        let body = json!({
            "client_name": name, "grant_types": ["client_credentials"], "response_types": [], "redirect_uris": []
        });
        let request = reqwest::Client::new().post(format!("{}/reg", self.provider.issuer())).json(&body);
        let made: Value = request.bearer_auth(INITIAL_ACCESS_TOKEN).send().await?.error_for_status()?.json().await?;
        Ok(ClientId::new(made["client_id"].as_str().context("a client id")?))
    }

    async fn seen(&self, id: &ClientId) -> Result<Value> {
        let clients = self.provider.clients().await?;
        Ok(clients.into_iter().find(|client| client["client_id"] == id.as_str()).unwrap_or(Value::Null))
    }

    async fn touch(&self, id: &ClientId) -> Result<Option<(&'static str, Value)>> {
        let uri = json!("https://about.example.com/");
        self.provider.change(id.as_str(), json!({"client_uri": uri})).await?;
        Ok(Some(("/client_uri", uri)))
    }
}

contract!(Certified);
