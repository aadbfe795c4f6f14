//! From the YAML to a token, and to the end.

use std::path::Path;

use super::*;
use crate::support::peers;

/// A case of one of the foreign clients, with what was published.
async fn foreign(python: bool, keys: Keys) -> Result<Value> {
    let work = move || -> Result<Value> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign_clients");
        let (interpreter, script) = if python {
            (peers::python(&scripts.join("requirements.txt"))?, "authlib_client.py")
        } else {
            (peers::node(&scripts)?, "openid_client.mjs")
        };
        let input = json!({"applications": {"worker": keys}});
        Ok(serde_json::from_str(&interpreter.run(script, &["client_credentials"], &input.to_string())?)?)
    };
    tokio::task::spawn_blocking(work).await?
}

#[tokio::test]
async fn foreign_clients_get_a_token_with_what_was_published_for_a_registered_client() -> Result<()> {
    let stage = Stage::new("dynamic-life", OidcProvider::builder()).await?;
    stage.confidential("worker", "  settings: {tokenEndpointAuthMethod: client_secret_post}\n").await?;
    let app = stage.until_ready("worker").await?;
    let keys = stage.keys("worker").await?;
    assert_eq!((keys["provider"].as_str(), keys["scope"].as_str()), ("registration", "invoices.read"));
    assert_eq!(keys["issuer-uri"], stage.provider.issuer());
    for python in [false, true] {
        let answer = foreign(python, keys.clone()).await?;
        assert_eq!(answer["claims"]["client_id"], keys["client-id"], "{answer}");
        assert_eq!(answer["claims"]["iss"], keys["issuer-uri"], "{answer}");
        assert_eq!(answer["scope"], "invoices.read", "{answer}");
    }
    let status = app.status.context("a status")?;
    assert_eq!(status.credentials.len(), 1);
    assert_eq!(stage.creates().await?, 1);
    Ok(())
}

#[tokio::test]
async fn an_edit_is_one_update_and_the_record_carries_the_new_token_at_once() -> Result<()> {
    let stage = Stage::new("dynamic-edit", OidcProvider::builder()).await?;
    stage.confidential("worker", "").await?;
    stage.until_ready("worker").await?;
    let keys = stage.keys("worker").await?;
    let before = stage.record().await?;
    let owner = before.owner_references().first().context("an owner")?.clone();
    assert_eq!((owner.kind.as_str(), owner.name.as_str()), ("AuthorizationServer", "provider"));
    stage.rename("worker", "Renamed").await?;
    stage.until_ready("worker").await?;
    assert_eq!(stage.puts(&keys["client-id"]).await?, 1);
    assert_eq!(stage.client_named("Renamed").await?["client_id"], keys["client-id"].as_str());
    let after = stage.record().await?;
    assert_eq!(after.name_any(), before.name_any());
    assert_ne!(value(&after, TOKEN), value(&before, TOKEN));
    assert_eq!(value(&after, "client-secret"), keys["client-secret"]);
    assert_eq!(stage.keys("worker").await?, keys, "the published credential is the same");
    Ok(())
}

#[tokio::test]
async fn a_lost_secret_comes_back_with_the_same_value_from_the_record() -> Result<()> {
    let stage = Stage::new("dynamic-lost", OidcProvider::builder()).await?;
    stage.confidential("worker", "").await?;
    stage.until_ready("worker").await?;
    let keys = stage.keys("worker").await?;
    stage.secrets(stage.home.name()).delete("worker-oauth", &DeleteParams::default()).await?;
    let back = async || Ok(stage.keys("worker").await.ok().filter(|found| *found == keys));
    eventually("the Secret is back", LIMIT, back).await?;
    assert!(works(&keys).await?);
    assert_eq!((stage.creates().await?, stage.puts(&keys["client-id"]).await?), (1, 0));
    Ok(())
}

#[tokio::test]
async fn what_others_change_is_set_right_and_what_they_delete_is_made_again() -> Result<()> {
    let stage =
        Stage::with("dynamic-drift", OidcProvider::builder(), Variations::default(), "  driftInterval: 2s\n").await?;
    stage.confidential("worker", "").await?;
    stage.until_ready("worker").await?;
    let id = stage.keys("worker").await?["client-id"].clone();
    stage.provider.change(&id, json!({"client_name": "Taken over"})).await?;
    let right = async || Ok(stage.client_named("worker").await.ok());
    eventually("the name is set right", LIMIT, right).await?;
    stage.provider.remove(&id).await?;
    let another = async || {
        let keys = stage.keys("worker").await?;
        Ok((keys["client-id"] != id && works(&keys).await?).then_some(()))
    };
    eventually("there is another registration", LIMIT, another).await?;
    stage.until_ready("worker").await?;
    let one = async || Ok(stage.record().await.ok());
    eventually("the record of the one that is gone is gone", LIMIT, one).await?;
    Ok(())
}

#[tokio::test]
async fn sweeps_write_nothing_where_nothing_changed_even_if_every_read_costs_a_token() -> Result<()> {
    for management in [Management::Rotate, Management::RotateReads] {
        let builder = OidcProvider::builder().management(management);
        let stage = Stage::with("dynamic-rest", builder, Variations::default(), "  driftInterval: 1s\n").await?;
        stage.confidential("worker", "").await?;
        stage.until_ready("worker").await?;
        let id = stage.keys("worker").await?["client-id"].clone();
        let read = async || Ok((stage.provider.requests("GET", Some(&id)).await? > 0).then_some(()));
        eventually("a sweep has read it", LIMIT, read).await?;
        stage.sweeps(3).await?;
        let (record, reads) = (stage.record().await?, stage.provider.requests("GET", Some(&id)).await?);
        let applied = stage.applications(stage.home.name()).get("worker").await?;
        stage.sweeps(5).await?;
        assert_eq!(stage.record().await?.resource_version(), record.resource_version(), "{management:?}");
        let now = stage.applications(stage.home.name()).get("worker").await?;
        assert_eq!(now.resource_version(), applied.resource_version(), "{management:?}");
        if management == Management::RotateReads {
            assert_eq!(stage.provider.requests("GET", Some(&id)).await?, reads, "nothing is read for its own sake");
        }
        assert_eq!(stage.puts(&id).await?, 0);
    }
    Ok(())
}

#[tokio::test]
async fn deletion_takes_the_registration_and_its_record() -> Result<()> {
    let stage = Stage::new("dynamic-end", OidcProvider::builder()).await?;
    stage.confidential("worker", "").await?;
    stage.until_ready("worker").await?;
    let keys = stage.keys("worker").await?;
    stage.applications(stage.home.name()).delete("worker", &DeleteParams::default()).await?;
    stage.until_gone(stage.home.name(), "worker").await?;
    assert!(stage.provider.named("worker").await?.is_empty());
    assert!(stage.records().await?.is_empty());
    assert!(!works(&keys).await?);
    Ok(())
}

#[tokio::test]
async fn a_scope_that_is_declared_by_nobody_is_refused_with_the_nearest_that_is() -> Result<()> {
    let stage = Stage::new("dynamic-scope", OidcProvider::builder()).await?;
    let resources = "  displayName: Wrong\n";
    stage.confidential("worker", resources).await?;
    stage.until_ready("worker").await?;
    let patch = json!({"spec": {"resources": [{"name": "invoices", "applicationScopes": ["invoices.reed"]}]}});
    let api = stage.applications(stage.home.name());
    api.patch("worker", &PatchParams::default(), &Patch::Merge(patch)).await?;
    let message = stage.until_refused(stage.home.name(), "worker", "UnknownScope").await?;
    assert!(message.contains("invoices.read"), "{message}");
    Ok(())
}
