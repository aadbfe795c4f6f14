//! Servers that offer less, secrets that end, and who may read what.

use super::*;
use crate::support::apply_yaml_in;

#[tokio::test]
async fn a_server_that_only_makes_registrations_serves_them_refuses_changes_and_is_left_them() -> Result<()> {
    let stage = Stage::new("dynamic-only", OidcProvider::builder().management(Management::None)).await?;
    stage.confidential("worker", "").await?;
    stage.until_ready("worker").await?;
    let keys = stage.keys("worker").await?;
    assert!(works(&keys).await?);
    stage.rename("worker", "Renamed").await?;
    let message = stage.until_refused(stage.home.name(), "worker", "NotSupported").await?;
    assert!(message.contains("RFC 7592"), "{message}");
    assert_eq!(stage.keys("worker").await?, keys, "what was published stays");
    stage.applications(stage.home.name()).delete("worker", &DeleteParams::default()).await?;
    let note = stage.says("worker", "Abandoned").await?;
    assert!(note.contains(&keys["client-id"]) && note.contains("is left at the server"), "{note}");
    stage.until_gone(stage.home.name(), "worker").await?;
    assert!(stage.records().await?.is_empty());
    assert_eq!(stage.provider.named("worker").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_secret_that_ends_is_renewed_before_and_published() -> Result<()> {
    let builder = OidcProvider::builder().secret_lifetime(Duration::from_secs(12), true);
    let stage = Stage::new("dynamic-renew", builder).await?;
    stage.confidential("worker", "").await?;
    stage.until_ready("worker").await?;
    let first = stage.keys("worker").await?;
    let renewed = async || {
        let keys = stage.keys("worker").await?;
        Ok((keys["client-secret"] != first["client-secret"] && works(&keys).await?).then_some(keys))
    };
    let second = eventually("the secret is renewed", LIMIT, renewed).await?;
    assert_eq!(second["client-id"], first["client-id"]);
    let app = stage.until_ready("worker").await?;
    let credentials = app.status.context("a status")?.credentials;
    assert_eq!(credentials.len(), 1, "the one before went with it");
    assert!(credentials[0].expires_at.is_some());
    Ok(())
}

#[tokio::test]
async fn a_secret_that_has_ended_makes_its_application_not_ready_with_what_to_do() -> Result<()> {
    let builder = OidcProvider::builder().secret_lifetime(Duration::from_secs(6), false);
    let stage = Stage::new("dynamic-ended", builder).await?;
    stage.confidential("worker", "").await?;
    let message = stage.until_refused(stage.home.name(), "worker", "SecretExpired").await?;
    assert!(message.contains("make a new ExternalApplication"), "{message}");
    let app = stage.applications(stage.home.name()).get("worker").await?;
    assert!(app.status.context("a status")?.credentials[0].expires_at.is_some());
    Ok(())
}

#[tokio::test]
async fn a_tenant_gets_its_credential_and_never_a_record() -> Result<()> {
    let variations = Variations { tenants: 1, ..Variations::default() };
    let more = "  allowedNamespaces: {from: All}\n";
    let stage = Stage::with("dynamic-tenant", OidcProvider::builder(), variations, more).await?;
    let tenant = stage.tenants[0].name();
    stage.confidential_in(tenant, "worker", "").await?;
    stage.until(tenant, "worker", |_, status| crate::support::world::ready(&status.conditions)).await?;
    let theirs = stage.secrets(tenant).list(&ListParams::default()).await?.items;
    assert_eq!(theirs.iter().map(kube::ResourceExt::name_any).collect::<Vec<_>>(), ["worker-oauth"]);
    let record = stage.record().await?;
    assert_eq!(record.namespace().as_deref(), Some(stage.home.name()));
    let token = value(&record, TOKEN);
    assert!(!token.is_empty());
    let app = stage.applications(tenant).get("worker").await?;
    let secret = &theirs[0];
    for shown in [serde_json::to_string(&app)?, serde_json::to_string(secret)?, stage.operator.logs()] {
        assert!(!shown.contains(&token), "a record's token is nowhere but in the record");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_without_registration_says_what_to_do() -> Result<()> {
    use wiremock::matchers::path;
    use wiremock::{Mock, MockServer, ResponseTemplate};
    let world = World::new("dynamic-none").await?;
    let server = MockServer::start().await;
    let metadata = json!({"issuer": server.uri(), "token_endpoint": format!("{}/token", server.uri())});
    let answer = ResponseTemplate::new(200).set_body_json(metadata);
    Mock::given(path("/.well-known/openid-configuration")).respond_with(answer).mount(&server).await;
    let yaml = format!(
        "apiVersion: extapp.dev/v1alpha1\nkind: AuthorizationServer\nmetadata: {{name: provider}}\nspec:\n  registration: {{issuer: '{}'}}\n",
        server.uri()
    );
    apply_yaml_in(&world.client, world.home.name(), &yaml).await?;
    let refused = |object: Option<&extapp::api::AuthorizationServer>| {
        let conditions = object.and_then(|object| object.status.as_ref()).map(|status| &status.conditions);
        conditions.into_iter().flatten().any(|condition| {
            condition.type_ == "Ready"
                && condition.reason == "NotSupported"
                && condition.message.contains("registration_endpoint")
        })
    };
    wait_for(world.servers(), "provider", LIMIT, refused).await?;
    Ok(())
}
