//! Ory Hydra.

use axum::http::Method;
use extapp::domain::registration::ClientId;
use extapp::server::any::AnyServer;
use serde_json::{Value, json};

use super::{Stage, build, contract};
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
        let spec = json!({"hydra": {"url": hydra.url(), "adminUrl": gate.in_front_of(&hydra.admin_url()).await?}});
        let server = build(spec, &[])?;
        Ok(Self { hydra, gate, server })
    }

    fn server(&self) -> &AnyServer {
        &self.server
    }

    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn create(&self) -> (Method, &'static str) {
        (Method::POST, "/admin/clients")
    }

    fn read(&self, id: &ClientId) -> (Method, String) {
        (Method::GET, format!("/admin/clients/{id}"))
    }

    fn scopes(&self) -> [&'static str; 2] {
        ["invoices.read", "invoices.write"]
    }

    /// Hydra has no catalogue: a client may have any scope.
    fn refuses_unknown_scopes(&self) -> bool {
        false
    }

    async fn by_hand(&self, name: &str) -> Result<ClientId> {
        let body = json!({"client_name": name, "scope": "invoices.read", "metadata": {"team": "billing"}});
        let made = self.hydra.administer(Method::POST, "clients", Some(&body)).await?;
        Ok(ClientId::new(made["client_id"].as_str().context("an id")?))
    }

    async fn seen(&self, id: &ClientId) -> Result<Value> {
        Ok(self.hydra.client(id.as_str()).await?.unwrap_or_default())
    }

    async fn touch(&self, id: &ClientId) -> Result<Option<(&'static str, Value)>> {
        let value = json!("https://example.com/policy");
        let changes = json!([
            {"op": "add", "path": "/policy_uri", "value": value},
            {"op": "add", "path": "/metadata/team", "value": "billing"},
        ]);
        self.hydra.administer(Method::PATCH, &format!("clients/{id}"), Some(&changes)).await?;
        Ok(Some(("/policy_uri", value)))
    }
}

contract!(Ory);
