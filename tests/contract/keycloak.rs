//! Keycloak.

use axum::http::Method;
use extapp::domain::federation::Trust;
use extapp::domain::registration::ClientId;
use extapp::server::any::AnyServer;
use extapp::server::{AuthorizationServer as _, Lane, ServerError};
use serde_json::{Value, json};

use super::{Stage, build, contract, desired, unique};
use crate::support::gate::{Gate, Stop};
use crate::support::keycloak::{self, Realm};
use crate::support::{Context as _, Result};

struct Keycloak {
    realm: Realm,
    gate: Gate,
    server: AnyServer,
}

impl Stage for Keycloak {
    async fn set() -> Result<Self> {
        let keycloak = keycloak::shared().await?;
        let gate = Gate::default();
        let url = gate.in_front_of(keycloak.url()).await?;
        let realm = keycloak.realm_at("contract", &url).await?;
        for scope in ["queues", "jobs"] {
            realm.client_scope(scope).await?;
        }
        // No more than what the documentation says.
        let login = realm.operator(&["manage-clients", "view-identity-providers"]).await?;
        let spec = json!({
            "keycloak": {"url": realm.server_url(), "realm": realm.name()}, "credentialsRef": {"name": "operator"}
        });
        let server = build(spec, &[("client-id", &login.id), ("client-secret", &login.secret)])?;
        Ok(Self { realm, gate, server })
    }

    fn server(&self) -> &AnyServer {
        &self.server
    }

    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn create(&self) -> (Method, &'static str) {
        (Method::POST, "/clients")
    }

    fn read(&self, _: &ClientId) -> (Method, String) {
        (Method::GET, "/clients".into())
    }

    fn scopes(&self) -> [&'static str; 2] {
        ["queues", "jobs"]
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
        let found = self.seen(id).await?;
        assert_eq!(found.pointer("/description").context("a description")?, &json!("by hand"));
        Ok(Some(("/description", json!("by hand"))))
    }

    /// Whose keys are read is only asked when a token comes.
    async fn trusts(&self) -> Result<Option<[Trust; 2]>> {
        let issuers = ["one", "another"].map(|name| (name, format!("https://{name}.example")));
        for (name, issuer) in &issuers {
            let provider =
                json!({"alias": name, "providerId": "kubernetes", "enabled": true, "config": {"issuer": issuer}});
            self.realm.administer(Method::POST, "/identity-provider/instances", Some(provider)).await?;
        }
        let audience = self.realm.issuer();
        Ok(Some(issuers.map(|(name, issuer)| Trust {
            name: name.into(),
            issuer,
            audience: audience.clone(),
            subject: format!("system:serviceaccount:team:{name}"),
        })))
    }
}

contract!(Keycloak);

/// The id was made up for this one create: whoever has it already is the client that it has made.
#[tokio::test]
async fn a_create_that_was_sent_twice_on_the_way_is_not_taken_for_refused() -> Result<()> {
    let stage = Keycloak::set().await?;
    let wanted = desired(&unique("Twice"), "queues");
    stage.gate.ambush(&Method::POST, "/clients", 1, Stop::LateError(409));
    assert_eq!(stage.server.create(&wanted).await.err(), Some(ServerError::Ambiguous));
    let list = stage.server.list(Lane::User).await?;
    assert_eq!(list.iter().filter(|row| row.owner.names(&wanted.owner.uid)).count(), 1, "it is there to be found");
    Ok(())
}
