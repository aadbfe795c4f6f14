//! Dynamic client registration against a certified provider in each of its moods: tokens and secrets that are replaced,
//! answers that are lost, and records that cannot be kept. The contract that all servers share is in `contract`.

use std::sync::Arc;
use std::time::Duration;

use extapp::domain::registration::{ClientId, Desired, Grant, Scope, SettingValue};
use extapp::server::any::AnyServer;
use extapp::server::{AuthorizationServer as _, Lane, ServerError};
use serde_json::json;

use crate::contract::{authenticates, build_over, desired, unique};
use crate::support::gate::Gate;
use crate::support::oidc_provider::{Builder, INITIAL_ACCESS_TOKEN, Management, OidcProvider};
use crate::support::vault::Memory;
use crate::support::{Context as _, Result};

mod interrupted;
mod limits;
mod rotation;
mod secrets;

const TOKEN: &str = "registration-access-token";
const SCOPE: &str = "invoices.read";

/// A provider of one's own, a gate before it, and a backend with records that a test can look into.
struct Site {
    provider: OidcProvider,
    gate: Gate,
    issuer: String,
    vault: Arc<Memory>,
    server: AnyServer,
}

impl Site {
    async fn of(management: Management) -> Result<Self> {
        Self::with(OidcProvider::builder().management(management)).await
    }

    async fn with(builder: Builder) -> Result<Self> {
        let provider = builder.start().await?;
        let gate = Gate::default();
        let issuer = gate.in_front_of(provider.issuer()).await?;
        let vault = Arc::new(Memory::default());
        let server = backend(&issuer, INITIAL_ACCESS_TOKEN, &vault)?;
        Ok(Self { provider, gate, issuer, vault, server })
    }

    /// Another process with the same records.
    fn another(&self) -> Result<AnyServer> {
        backend(&self.issuer, INITIAL_ACCESS_TOKEN, &self.vault)
    }

    /// A registration, and what it was made from.
    async fn registered(&self) -> Result<(ClientId, Desired)> {
        let wanted = desired(&unique("Invoices"), SCOPE);
        let created = self.server.create(&wanted).await?;
        Ok((created.registered.client_id, wanted))
    }

    async fn requests(&self, method: &str, id: &ClientId) -> Result<usize> {
        self.provider.requests(method, Some(id.as_str())).await
    }

    fn token(&self, id: &ClientId) -> Option<String> {
        self.vault.value(id, TOKEN)
    }
}

fn backend(issuer: &str, token: &str, vault: &Arc<Memory>) -> Result<AnyServer> {
    let spec = json!({"registration": {"issuer": issuer}});
    build_over(spec, &[("initial-access-token", token)], vault)
}

fn renamed(wanted: &Desired, name: &str) -> Desired {
    Desired { display_name: name.into(), ..wanted.clone() }
}

/// The secret that the backend tells of.
async fn secret_of(server: &AnyServer, id: &ClientId) -> Result<String> {
    let actual = server.get(id, Lane::User).await?.context("it is there")?;
    let secret = actual.secrets.into_iter().next().context("a secret")?;
    Ok(secret.value.context("its value")?.expose().to_owned())
}
