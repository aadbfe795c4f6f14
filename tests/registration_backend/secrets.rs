//! Secrets: kept, because nobody shows them again, and renewed where the server does that.

use super::*;

const LIFETIME: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_secret_that_ends_is_renewed_by_an_update_although_nothing_differs() -> Result<()> {
    let site = Site::with(OidcProvider::builder().secret_lifetime(LIFETIME, true)).await?;
    let wanted = desired(&unique("Ending"), SCOPE);
    let created = site.server.create(&wanted).await?;
    let id = created.registered.client_id.clone();
    let first = created.credential.context("a secret")?;
    assert!(first.expires_at.is_some());
    let second = site.server.update(&id, &wanted).await?.context("another secret")?;
    assert!(second.replaces && second.id != first.id && second.expires_at >= first.expires_at);
    assert!(authenticates(&site.server, &id, second.secret.expose(), SCOPE).await?);
    assert!(!authenticates(&site.server, &id, first.secret.expose(), SCOPE).await?);
    assert_eq!(secret_of(&site.server, &id).await?, second.secret.expose());
    assert_eq!(site.vault.value(&id, "client-secret").as_deref(), Some(second.secret.expose()));
    Ok(())
}

#[tokio::test]
async fn where_updates_renew_nothing_they_are_tried_once() -> Result<()> {
    let site = Site::with(OidcProvider::builder().secret_lifetime(LIFETIME, false)).await?;
    let (id, wanted) = site.registered().await?;
    for _ in 0..3 {
        assert!(site.server.update(&id, &wanted).await?.is_none());
    }
    assert_eq!(site.requests("PUT", &id).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_secret_that_never_ends_is_no_reason_for_an_update() -> Result<()> {
    let site = Site::of(Management::Rotate).await?;
    let (id, wanted) = site.registered().await?;
    assert!(site.server.update(&id, &wanted).await?.is_none());
    assert_eq!(site.requests("PUT", &id).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_secret_that_was_replaced_at_the_server_is_another_one() -> Result<()> {
    let site = Site::of(Management::Rotate).await?;
    let (id, _) = site.registered().await?;
    let before = site.server.get(&id, Lane::User).await?.context("it is there")?.secrets.remove(0);
    let replaced = "replaced-at-the-server-with-a-value-that-is-long-enough";
    site.provider.change(id.as_str(), json!({"client_secret": replaced})).await?;
    let after = site.server.get(&id, Lane::User).await?.context("it is there")?.secrets.remove(0);
    assert_ne!(after.id, before.id);
    assert_eq!(after.value.context("its value")?.expose(), replaced);
    assert_eq!(site.vault.value(&id, "client-secret").as_deref(), Some(replaced));
    Ok(())
}

#[tokio::test]
async fn settings_that_the_standards_name_are_set_and_read_back() -> Result<()> {
    use extapp::domain::registration::Setting;
    let site = Site::of(Management::Rotate).await?;
    let mut wanted = desired(&unique("Settings"), SCOPE);
    wanted.settings.insert(Setting::TokenEndpointAuthMethod, SettingValue::Text("client_secret_post".into()));
    let uris = SettingValue::List(["https://a.example/bye".to_owned()].into());
    wanted.settings.insert(Setting::PostLogoutRedirectUris, uris);
    let id = site.server.create(&wanted).await?.registered.client_id;
    let actual = site.server.get(&id, Lane::User).await?.context("it is there")?;
    assert_eq!(extapp::domain::difference::between(&wanted, &actual), []);
    wanted.settings.insert(Setting::TokenEndpointAuthMethod, SettingValue::Text("client_secret_basic".into()));
    site.server.update(&id, &wanted).await?;
    let client = site.provider.named(&wanted.display_name).await?.remove(0);
    assert_eq!(client["token_endpoint_auth_method"], "client_secret_basic");
    assert_eq!(client["post_logout_redirect_uris"], json!(["https://a.example/bye"]));
    Ok(())
}
