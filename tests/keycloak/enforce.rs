//! Client scopes that ApiResource objects declare.

use extapp::api::ApiResource;
use kube::Api;
use kube::api::DeleteParams;
use reqwest::Method;
use serde_json::{Value, json};

use super::stage::{Stage, TO_REGISTER, claims};
use crate::support::world::LIMIT;
use crate::support::{Context, Error, Result, eventually, wait_for};

const INVOICES: &str = "
apiVersion: extapp.dev/v1alpha1
kind: ApiResource
metadata: {name: invoices}
spec:
  serverRef: {name: realm}
  identifier: https://invoices.example.com
  management: Enforce
  scopes:
  - {name: invoices.read, displayName: Read invoices, description: Look at invoices, grants: [User, Application]}
  - {name: invoices.write, grants: [Application]}
";

impl Stage {
    async fn scope(&self, name: &str) -> Result<Option<Value>> {
        let all = self.realm.get("/client-scopes").await?;
        Ok(all.as_array().into_iter().flatten().find(|scope| scope["name"] == name).cloned())
    }

    async fn until_scope(&self, name: &str, what: &str, holds: impl Fn(Option<&Value>) -> bool) -> Result<()> {
        let probe = async || {
            let scope = self.scope(name).await?;
            if holds(scope.as_ref()) { Ok(Some(())) } else { Err(Error::new(format!("{scope:?}"))) }
        };
        eventually(&format!("client scope {name} {what}"), LIMIT, probe).await
    }

    fn resources(&self) -> Api<ApiResource> {
        Api::namespaced(self.world.client.clone(), self.world.home.name())
    }

    /// Waits for a condition `Ready` of this status and reason, and gives back its message.
    async fn until_declared(&self, name: &str, status: &'static str, reason: &'static str) -> Result<String> {
        let said = move |object: Option<&ApiResource>| {
            let conditions = object.and_then(|object| object.status.as_ref()).map(|status| &status.conditions);
            conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == status && c.reason == reason)
        };
        let object = wait_for(self.resources(), name, LIMIT, said).await?.context("the object")?;
        let ready = object.status.into_iter().flat_map(|status| status.conditions).find(|c| c.type_ == "Ready");
        Ok(ready.context("Ready")?.message)
    }
}

fn audiences(scope: Option<&Value>) -> Vec<&str> {
    let mappers = scope.and_then(|scope| scope["protocolMappers"].as_array()).into_iter().flatten();
    mappers.filter_map(|mapper| mapper["config"]["included.custom.audience"].as_str()).collect()
}

#[tokio::test]
async fn declared_scopes_are_made_with_their_audience_kept_and_removed() -> Result<()> {
    let stage = Stage::set("enforced", TO_REGISTER).await?;
    stage.world.apply(INVOICES).await?;
    stage.until_declared("invoices", "True", "Enforced").await?;
    let read = stage.scope("invoices.read").await?.context("the scope")?;
    assert_eq!(read["description"], "Look at invoices", "{read}");
    assert_eq!(read["attributes"]["consent.screen.text"], "Read invoices", "{read}");

    let spec = "  resources:\n  - {name: 'https://invoices.example.com', applicationScopes: [invoices.read]}\n";
    stage.application("worker", "Confidential", spec).await?;
    stage.world.until_ready("worker").await?;
    let keys = stage.secret("worker").await?;
    let (_, answer) =
        stage.realm.client_credentials(&keys["client-id"], &keys["client-secret"], &keys["scope"]).await?;
    assert!(claims(&answer)?["aud"].to_string().contains("https://invoices.example.com"), "{answer}");

    let path = format!("/client-scopes/{}", read["id"].as_str().unwrap_or_default());
    let mapper = read["protocolMappers"][0]["id"].as_str().context("a mapper")?;
    stage.realm.administer(Method::DELETE, &format!("{path}/protocol-mappers/models/{mapper}"), None).await?;
    stage.realm.administer(Method::PUT, &path, Some(json!({"name": "invoices.read", "description": "theirs"}))).await?;
    let right = |scope: Option<&Value>| {
        audiences(scope) == ["https://invoices.example.com"]
            && scope.is_some_and(|scope| scope["description"] == "Look at invoices")
    };
    stage.until_scope("invoices.read", "is set right", right).await?;

    let gone = stage.scope("invoices.write").await?.context("the scope")?;
    let path = format!("/client-scopes/{}", gone["id"].as_str().unwrap_or_default());
    stage.realm.administer(Method::DELETE, &path, None).await?;
    stage.until_scope("invoices.write", "is back", |scope| scope.is_some()).await?;

    stage.resources().delete("invoices", &DeleteParams::default()).await?;
    stage.until_scope("invoices.write", "is gone", |scope| scope.is_none()).await?;
    assert!(stage.scope("invoices.read").await?.is_some(), "an application still asks for it");
    assert!(stage.works(&keys).await?);
    stage.delete_application("worker").await?;
    stage.until_scope("invoices.read", "is gone", |scope| scope.is_none()).await
}

#[tokio::test]
async fn a_client_scope_of_somebody_else_is_left_alone_and_the_others_are_made() -> Result<()> {
    let stage = Stage::set("foreign-scope", TO_REGISTER).await?;
    stage.realm.client_scope("invoices.read").await?;
    let before = stage.scope("invoices.read").await?;
    stage.world.apply(INVOICES).await?;
    let said = stage.until_declared("invoices", "False", "ServerConflict").await?;
    assert!(said.contains("invoices.read") && said.contains("set management to Observe"), "{said}");
    assert_eq!(stage.scope("invoices.read").await?, before);
    assert!(stage.scope("invoices.write").await?.is_some());
    stage.resources().delete("invoices", &DeleteParams::default()).await?;
    stage.until_scope("invoices.write", "is gone", |scope| scope.is_none()).await?;
    assert_eq!(stage.scope("invoices.read").await?, before);
    Ok(())
}

#[tokio::test]
async fn nothing_is_written_where_the_realm_offers_what_is_declared() -> Result<()> {
    let stage = Stage::set("enforced-quiet", TO_REGISTER).await?;
    stage.world.apply(INVOICES).await?;
    stage.until_declared("invoices", "True", "Enforced").await?;
    stage.sweeps().await?;
    let (versions, writes) = (stage.world.versions().await?, stage.server_writes().await?);
    stage.sweeps().await?;
    assert_eq!(stage.world.versions().await?, versions);
    assert!((stage.server_writes().await? - writes).abs() < 0.5);
    Ok(())
}
