//! An application that signs with a key of its own, and has no secret.

use extapp::domain::difference::between;
use extapp::domain::jwks::KeySet;
use extapp::domain::registration::{ClientId, Desired, PRIVATE_KEY_JWT, Registered, Setting, SettingValue};
use extapp::server::any::AnyServer;
use extapp::server::{AuthorizationServer as _, Lane};

use super::{Stage, authenticates, desired, unique};
use crate::support::keys::SigningKey;
use crate::support::{Context as _, Error, Result};

/// Without a word on the algorithm where the backend takes that from the keys.
fn signing(server: &AnyServer, wanted: &Desired, keys: &[&SigningKey]) -> Result<Desired> {
    let keys = KeySet::parse(&SigningKey::set(keys)).map_err(Error::new)?;
    let method = SettingValue::Text(PRIVATE_KEY_JWT.into());
    let settings = [(Setting::TokenEndpointAuthMethod, method), (Setting::Jwks, SettingValue::Keys(keys))];
    let algorithm = (Setting::TokenEndpointAuthSigningAlg, SettingValue::Text("ES256".into()));
    let told = (server.capabilities().provider == "registration").then_some(algorithm);
    let settings = settings.into_iter().chain(told).collect();
    Ok(Desired { secretless: true, settings, ..wanted.clone() })
}

async fn read<S: Stage>(stage: &S, id: &ClientId) -> Result<Registered> {
    stage.server().get(id, Lane::User).await?.context("the registration is there")
}

async fn signs<S: Stage>(stage: &S, key: &SigningKey, id: &ClientId, scope: &str) -> Result<bool> {
    let endpoints = stage.server().endpoints(Lane::User).await?;
    let issuer = stage.own_url().unwrap_or(endpoints.issuer);
    let own = url::Url::parse(&issuer)?.join(url::Url::parse(&endpoints.token_endpoint)?.path())?;
    // Some servers take the one for audience, some the other (RFC 7523 section 3 leaves it to them).
    for audience in [issuer.as_str(), own.as_str()] {
        if key.authenticates(id.as_str(), &endpoints.token_endpoint, audience, scope).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

pub async fn an_application_that_signs_has_no_secret_and_its_keys_are_replaced_by_others<S: Stage>() -> Result<()> {
    let stage = S::set().await?;
    let server = stage.server();
    if !server.capabilities().settings.contains(&Setting::Jwks) {
        return Ok(());
    }
    let [scope, _] = stage.scopes();
    let (first, second) = (SigningKey::new()?, SigningKey::new()?);
    let wanted = signing(server, &desired(&unique("Signs"), scope), &[&first])?;
    let created = server.create(&wanted).await?;
    assert!(created.credential.is_none());
    let id = created.registered.client_id;
    assert_eq!(between(&wanted, &read(&stage, &id).await?), []);
    assert_eq!(read(&stage, &id).await?.secrets, []);
    assert!(signs(&stage, &first, &id, scope).await? && !signs(&stage, &second, &id, scope).await?);
    for (keys, old) in [(vec![&first, &second], true), (vec![&second], false)] {
        let wanted = signing(server, &wanted, &keys)?;
        assert!(server.update(&id, &wanted).await?.is_none());
        assert_eq!(between(&wanted, &read(&stage, &id).await?), []);
        assert_eq!(signs(&stage, &first, &id, scope).await?, old, "{} keys", keys.len());
        assert!(signs(&stage, &second, &id, scope).await?);
    }
    Ok(())
}

pub async fn an_application_goes_from_a_secret_to_a_key_and_back_and_no_old_secret_comes_back<S: Stage>() -> Result<()>
{
    let stage = S::set().await?;
    let server = stage.server();
    if !server.capabilities().settings.contains(&Setting::Jwks) {
        return Ok(());
    }
    let [scope, _] = stage.scopes();
    let key = SigningKey::new()?;
    let with_secret = desired(&unique("Goes"), scope);
    let with_key = signing(server, &with_secret, &[&key])?;
    let created = server.create(&with_secret).await?;
    let id = created.registered.client_id;
    let before = created.credential.context("a secret")?.secret;
    for _ in 0..2 {
        assert!(server.update(&id, &with_key).await?.is_none());
        let actual = read(&stage, &id).await?;
        assert_eq!((between(&with_key, &actual), actual.secrets), (vec![], vec![]));
        assert!(signs(&stage, &key, &id, scope).await?);
        assert!(!authenticates(server, &id, before.expose(), scope).await?);

        let shown = server.update(&id, &with_secret).await?;
        let actual = read(&stage, &id).await?;
        assert_eq!(between(&with_secret, &actual), []);
        assert!(!signs(&stage, &key, &id, scope).await?);
        let kept = actual.secrets.first().and_then(|info| info.value.as_ref()).map(|value| value.expose().to_owned());
        let secret = shown.map(|credential| credential.secret.expose().to_owned()).or(kept).context("a secret")?;
        assert!(authenticates(server, &id, &secret, scope).await?);
        // A server that gives each registration one secret for good has no other.
        if server.capabilities().secrets != extapp::domain::capabilities::Secrets::Fixed {
            assert!(!authenticates(server, &id, before.expose(), scope).await?);
        }
    }
    Ok(())
}
