//! Keycloak at its own registration endpoint, with the policies that it has from the start, but for the scopes that they
//! allow.

use axum::http::Method;
use extapp::domain::registration::ClientId;
use extapp::server::any::AnyServer;
use serde_json::{Value, json};

use crate::contract::{Stage, build, contract};
use crate::support::gate::Gate;
use crate::support::keycloak::{self, Realm};
use crate::support::{Context as _, Result};

const SCOPES: [&str; 2] = ["queues", "jobs"];

struct Keycloak {
    realm: Realm,
    gate: Gate,
    server: AnyServer,
}

/// Lets clients that are registered with an initial access token have these scopes.
async fn allow(realm: &Realm, scopes: &[&str]) -> Result<()> {
    let kind = "org.keycloak.services.clientregistration.policy.ClientRegistrationPolicy";
    let policies = realm.administer(Method::GET, &format!("/components?type={kind}"), None).await?;
    let mut policy = policies
        .as_array()
        .into_iter()
        .flatten()
        .find(|policy| policy["providerId"] == "allowed-client-templates" && policy["subType"] == "authenticated")
        .context("the policy Allowed Client Scopes")?
        .clone();
    policy["config"]["allowed-client-scopes"] = json!(scopes);
    let path = format!("/components/{}", policy["id"].as_str().context("its id")?);
    realm.administer(Method::PUT, &path, Some(policy)).await.map(drop)
}

impl Stage for Keycloak {
    async fn set() -> Result<Self> {
        let keycloak = keycloak::shared().await?;
        let gate = Gate::default();
        let url = gate.in_front_of(keycloak.url()).await?;
        let realm = keycloak.realm_at("registration", &url).await?;
        for scope in SCOPES {
            realm.client_scope(scope).await?;
        }
        allow(&realm, &SCOPES).await?;
        let often = json!({"count": 1_000, "expiration": 0});
        let initial = realm.administer(Method::POST, "/clients-initial-access", Some(often)).await?;
        let token = initial["token"].as_str().context("an initial access token")?.to_owned();
        let issuer = format!("{url}/realms/{}", realm.name());
        let spec = json!({"registration": {"issuer": issuer}, "credentialsRef": {"name": "initial"}});
        let server = build(spec, &[("initial-access-token", &token)])?;
        Ok(Self { realm, gate, server })
    }

    fn server(&self) -> &AnyServer {
        &self.server
    }

    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn create(&self) -> (Method, &'static str) {
        (Method::POST, "/clients-registrations/openid-connect")
    }

    fn read(&self, id: &ClientId) -> (Method, String) {
        (Method::GET, format!("/clients-registrations/openid-connect/{id}"))
    }

    fn scopes(&self) -> [&'static str; 2] {
        SCOPES
    }

    fn refuses_unknown_scopes(&self) -> bool {
        true
    }

    async fn by_hand(&self, name: &str) -> Result<ClientId> {
        self.realm.client_by_hand(name).await.map(ClientId::new)
    }

    async fn seen(&self, id: &ClientId) -> Result<Value> {
        Ok(self.realm.client(id.as_str()).await?.unwrap_or_default())
    }

    async fn touch(&self, id: &ClientId) -> Result<Option<(&'static str, Value)>> {
        self.realm.edit_client(id.as_str(), |client| client["description"] = json!("by hand")).await?;
        Ok(Some(("/description", json!("by hand"))))
    }
}

contract!(Keycloak);
