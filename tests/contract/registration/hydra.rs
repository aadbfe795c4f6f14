//! Ory Hydra at its own registration endpoint: open to everybody, and with a new token after every update, whose answer
//! repeats neither the secret nor where the registration is managed.

use axum::http::Method;
use extapp::domain::registration::ClientId;
use extapp::server::any::AnyServer;
use serde_json::{Value, json};

use crate::contract::{Stage, build, contract};
use crate::support::gate::Gate;
use crate::support::{Context as _, Hydra, Result};

struct Ory {
    hydra: Hydra,
    gate: Gate,
    server: AnyServer,
}

impl Stage for Ory {
    async fn set() -> Result<Self> {
        let hydra = Hydra::start().await?;
        let gate = Gate::default();
        let issuer = gate.in_front_of(&hydra.url()).await?;
        let server = build(json!({"registration": {"issuer": issuer}}), &[])?;
        Ok(Self { hydra, gate, server })
    }

    fn server(&self) -> &AnyServer {
        &self.server
    }

    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn create(&self) -> (Method, &'static str) {
        (Method::POST, "/oauth2/register")
    }

    fn read(&self, id: &ClientId) -> (Method, String) {
        (Method::GET, format!("/oauth2/register/{id}"))
    }

    fn scopes(&self) -> [&'static str; 2] {
        ["invoices.read", "invoices.write"]
    }

    fn own_url(&self) -> Option<String> {
        Some(self.hydra.url())
    }

    fn refuses_unknown_scopes(&self) -> bool {
        false
    }

    async fn by_hand(&self, name: &str) -> Result<ClientId> {
        let body = json!({"client_name": name, "scope": "invoices.read"});
        let made = self.hydra.administer(Method::POST, "clients", Some(&body)).await?;
        Ok(ClientId::new(made["client_id"].as_str().context("an id")?))
    }

    async fn seen(&self, id: &ClientId) -> Result<Value> {
        Ok(self.hydra.client(id.as_str()).await?.unwrap_or_default())
    }

    async fn touch(&self, id: &ClientId) -> Result<Option<(&'static str, Value)>> {
        let value = json!("https://example.com/policy");
        let changes = json!([{"op": "add", "path": "/policy_uri", "value": value}]);
        self.hydra.administer(Method::PATCH, &format!("clients/{id}"), Some(&changes)).await?;
        Ok(Some(("/policy_uri", value)))
    }
}

contract!(Ory);
