//! What a server does not offer, and what it is not given.

use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

#[tokio::test]
async fn without_management_a_registration_is_made_told_of_and_left() -> Result<()> {
    let site = Site::of(Management::None).await?;
    let (id, wanted) = site.registered().await?;
    let actual = site.server.get(&id, Lane::User).await?.context("it is there")?;
    assert_eq!(extapp::domain::difference::between(&wanted, &actual), []);
    let secret = secret_of(&site.server, &id).await?;
    assert!(authenticates(&site.server, &id, &secret, SCOPE).await?);
    let list = site.server.list(Lane::Resync).await?;
    assert!(list[0].whole.is_some(), "a sweep has what there is");
    let refused = site.server.update(&id, &renamed(&wanted, "Changed")).await.err().context("refused")?;
    assert!(matches!(refused, ServerError::Unsupported { .. }), "{refused:?}");
    let left = site.server.delete(&id).await.err().context("refused")?;
    assert!(matches!(left, ServerError::Unsupported { .. }), "{left:?}");
    assert!(site.vault.is_empty());
    assert_eq!(site.provider.named(&wanted.display_name).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_token_goes_to_the_issuer_alone_whatever_the_server_says() -> Result<()> {
    let site = Site::of(Management::Rotate).await?;
    let elsewhere = MockServer::start().await;
    let uri = format!("{}/reg/1", elsewhere.uri());
    site.gate.alter("/reg", move |answer| answer["registration_client_uri"] = json!(uri));
    let (id, wanted) = site.registered().await?;
    site.server.get(&id, Lane::User).await?.context("what is known of it")?;
    assert!(matches!(site.server.update(&id, &renamed(&wanted, "X")).await, Err(ServerError::Unsupported { .. })));
    assert!(matches!(site.server.delete(&id).await, Err(ServerError::Unsupported { .. })));
    assert_eq!(elsewhere.received_requests().await.unwrap_or_default().len(), 0);
    Ok(())
}

#[tokio::test]
async fn an_initial_access_token_that_is_not_taken_is_the_operators_matter_and_leaves_nothing_behind() -> Result<()> {
    let site = Site::of(Management::Rotate).await?;
    let (id, _) = site.registered().await?;
    let stranger = backend(&site.issuer, "wrong", &site.vault)?;
    let wanted = desired(&unique("Refused"), SCOPE);
    let error = stranger.create(&wanted).await.err().context("refused")?;
    assert!(matches!(error, ServerError::Forbidden { .. }) && error.is_definite(), "{error:?}");
    assert!(error.to_string().contains("initial-access-token") && !error.to_string().contains("wrong"), "{error}");
    assert!(site.provider.named(&wanted.display_name).await?.is_empty());
    assert!(stranger.get(&id, Lane::User).await?.is_some(), "who is registered has no part in it");
    Ok(())
}

#[tokio::test]
async fn a_server_without_registration_is_told_apart_before_anything_is_asked_of_it() -> Result<()> {
    let vault = Arc::new(Memory::default());
    for (registration, expected) in [(None, "registration_endpoint"), (Some("http://127.0.0.1:9/reg"), "another host")]
    {
        let server = MockServer::start().await;
        let mut metadata = json!({"issuer": server.uri(), "token_endpoint": format!("{}/token", server.uri())});
        if let Some(registration) = registration {
            metadata["registration_endpoint"] = json!(registration);
        }
        let answer = ResponseTemplate::new(200).set_body_json(metadata);
        Mock::given(path("/.well-known/openid-configuration")).respond_with(answer).mount(&server).await;
        let backend = backend(&server.uri(), INITIAL_ACCESS_TOKEN, &vault)?;
        let error = backend.endpoints(Lane::User).await.err().context("refused")?;
        assert!(matches!(error, ServerError::Unsupported { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(matches!(backend.create(&desired("X", SCOPE)).await, Err(ServerError::Unsupported { .. })));
    }
    Ok(())
}

#[tokio::test]
async fn a_redirect_is_not_followed() -> Result<()> {
    let (server, elsewhere) = (MockServer::start().await, MockServer::start().await);
    let metadata = json!({
        "issuer": server.uri(), "token_endpoint": format!("{}/token", server.uri()),
        "registration_endpoint": format!("{}/reg", server.uri())
    });
    let answer = ResponseTemplate::new(200).set_body_json(metadata);
    Mock::given(path("/.well-known/openid-configuration")).respond_with(answer).mount(&server).await;
    let moved = ResponseTemplate::new(307).insert_header("location", format!("{}/reg", elsewhere.uri()));
    Mock::given(path("/reg")).respond_with(moved).mount(&server).await;
    let backend = backend(&server.uri(), INITIAL_ACCESS_TOKEN, &Arc::new(Memory::default()))?;
    assert_eq!(backend.create(&desired("X", SCOPE)).await.err(), Some(ServerError::Ambiguous));
    assert_eq!(elsewhere.received_requests().await.unwrap_or_default().len(), 0);
    Ok(())
}

#[tokio::test]
async fn the_scopes_that_the_server_names_are_its_catalogue() -> Result<()> {
    let site = Site::of(Management::Rotate).await?;
    let catalogue = site.server.catalogue(Lane::User).await?;
    let names: Vec<&str> = catalogue.resources[0].scopes.iter().map(|scope| scope.name.as_str()).collect();
    assert_eq!(names, ["invoices.read", "invoices.write", "offline_access", "openid", "reports"]);
    assert_eq!(site.server.endpoints(Lane::User).await?.issuer, site.issuer);
    Ok(())
}

#[tokio::test]
async fn a_registration_of_another_issuer_is_neither_asked_for_there_nor_given_up() -> Result<()> {
    let (site, other) = (Site::of(Management::Rotate).await?, Site::of(Management::Rotate).await?);
    let (id, wanted) = site.registered().await?;
    let moved = backend(&other.issuer, INITIAL_ACCESS_TOKEN, &site.vault)?;
    for error in [
        moved.get(&id, Lane::User).await.err(),
        moved.update(&id, &renamed(&wanted, "X")).await.err(),
        moved.delete(&id).await.err(),
    ] {
        assert!(matches!(error, Some(ServerError::Rejected { .. })), "{error:?}");
    }
    assert_eq!(other.requests("GET", &id).await?, 0);
    assert!(site.token(&id).is_some());
    site.server.delete(&id).await?;
    Ok(())
}
