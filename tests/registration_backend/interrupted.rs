//! Answers that are lost, registrations that are gone, and records that cannot be kept.

use axum::http::Method;

use super::*;
use crate::support::gate::Stop;

#[tokio::test]
async fn an_update_whose_answer_is_lost_is_never_taken_for_a_deletion() -> Result<()> {
    let site = Site::of(Management::Rotate).await?;
    let (id, wanted) = site.registered().await?;
    let secret = secret_of(&site.server, &id).await?;
    site.gate.ambush(&Method::PUT, "/reg/", 1, Stop::LoseAnswer);
    let lost = site.server.update(&id, &renamed(&wanted, "Changed")).await.err();
    assert_eq!(lost, Some(ServerError::Timeout));
    // The token was replaced, and nobody has the new one.
    for server in [&site.server, &site.another()?] {
        let error = server.get(&id, Lane::User).await.err().context("not gone")?;
        assert!(matches!(error, ServerError::OutOfReach { .. }), "{error:?}");
    }
    assert!(authenticates(&site.server, &id, &secret, SCOPE).await?, "the application goes on working");
    assert!(matches!(site.server.delete(&id).await, Err(ServerError::OutOfReach { .. })));
    assert!(site.vault.is_empty(), "nothing can be done with the record any more");
    assert_eq!(site.provider.named("Changed").await?.len(), 1, "only who runs the server can delete it");
    Ok(())
}

#[tokio::test]
async fn a_read_that_costs_a_token_and_whose_answer_is_lost_is_never_taken_for_a_deletion() -> Result<()> {
    let site = Site::of(Management::RotateReads).await?;
    let mut wanted = desired(&unique("Desktop"), SCOPE);
    wanted.client_type = extapp::domain::registration::ClientType::NonConfidential;
    wanted.redirect_uris = ["http://127.0.0.1:8400/cb".into()].into();
    wanted.scopes = [Scope { name: SCOPE.into(), grant: Grant::User }].into();
    let id = site.server.create(&wanted).await?.registered.client_id;
    site.server.get(&id, Lane::User).await?.context("it is there, and it is learnt what that costs")?;
    site.gate.ambush(&Method::GET, "/reg/", 1, Stop::LoseAnswer);
    assert_eq!(site.server.get(&id, Lane::User).await.err(), Some(ServerError::Timeout));
    // There is no secret that could prove it to be there.
    let error = site.server.get(&id, Lane::User).await.err().context("not gone")?;
    assert!(matches!(error, ServerError::OutOfReach { .. }), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn an_update_that_never_reached_the_server_is_sent_again() -> Result<()> {
    let site = Site::of(Management::Rotate).await?;
    let (id, wanted) = site.registered().await?;
    let changed = renamed(&wanted, "Changed");
    site.gate.ambush(&Method::PUT, "/reg/", 1, Stop::Refuse(503));
    assert_eq!(site.server.update(&id, &changed).await.err(), Some(ServerError::Failed { status: 503 }));
    assert!(site.server.get(&id, Lane::User).await?.is_some(), "the token still serves");
    site.server.update(&id, &changed).await?;
    assert_eq!(site.provider.named("Changed").await?.len(), 1);
    assert!(site.server.get(&id, Lane::User).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn a_refused_update_leaves_no_doubt_behind() -> Result<()> {
    let site = Site::of(Management::Rotate).await?;
    let (id, wanted) = site.registered().await?;
    let mut wrong = wanted.clone();
    wrong.scopes = [Scope { name: "nobody.knows".into(), grant: Grant::Application }].into();
    let refused = site.server.update(&id, &wrong).await.err().context("refused")?;
    assert!(matches!(refused, ServerError::Rejected { .. }), "{refused:?}");
    site.provider.remove(id.as_str()).await?;
    assert_eq!(site.server.get(&id, Lane::User).await?, None, "gone, and not in doubt");
    Ok(())
}

#[tokio::test]
async fn a_registration_that_others_delete_is_gone_and_its_record_follows_when_there_is_another() -> Result<()> {
    let site = Site::of(Management::Rotate).await?;
    let (id, wanted) = site.registered().await?;
    site.provider.remove(id.as_str()).await?;
    assert_eq!(site.server.get(&id, Lane::User).await?, None);
    assert!(site.server.list(Lane::User).await?.is_empty());
    assert_eq!(site.server.update(&id, &renamed(&wanted, "Changed")).await.err(), Some(ServerError::NotFound));
    assert!(site.token(&id).is_some(), "it proves what became of it until there is another");
    let second = site.server.create(&wanted).await?.registered.client_id;
    assert_eq!((site.token(&id), site.token(&second).is_some()), (None, true));
    Ok(())
}

#[tokio::test]
async fn a_token_that_is_refused_while_the_client_still_works_is_no_deletion() -> Result<()> {
    let site = Site::of(Management::Rotate).await?;
    let (id, wanted) = site.registered().await?;
    site.vault.set(&id, TOKEN, "revoked");
    let error = site.server.get(&id, Lane::User).await.err().context("not gone")?;
    assert!(matches!(error, ServerError::OutOfReach { .. }), "{error:?}");
    assert_eq!(site.provider.named(&wanted.display_name).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_refuses_in_the_servers_place_is_not_believed() -> Result<()> {
    let site = Site::of(Management::Rotate).await?;
    let (id, _) = site.registered().await?;
    for status in [401, 404] {
        site.gate.ambush(&Method::GET, "/reg/", 1, Stop::Refuse(status));
        let error = site.server.get(&id, Lane::User).await.err().context("not gone")?;
        assert!(matches!(error, ServerError::Unintelligible { .. }), "{status}: {error:?}");
    }
    assert!(site.server.get(&id, Lane::User).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn a_registration_whose_record_cannot_be_kept_is_taken_back() -> Result<()> {
    let site = Site::of(Management::Rotate).await?;
    site.vault.break_down(true);
    let wanted = desired(&unique("Unkept"), SCOPE);
    let error = site.server.create(&wanted).await.err().context("refused")?;
    assert!(matches!(error, ServerError::Unrecorded { .. }) && error.is_definite(), "{error:?}");
    assert!(site.provider.named(&wanted.display_name).await?.is_empty());
    site.vault.break_down(false);
    assert!(site.server.list(Lane::User).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_answer_that_cannot_be_written_is_held_and_written_later() -> Result<()> {
    let site = Site::of(Management::Rotate).await?;
    let (id, wanted) = site.registered().await?;
    let first = site.token(&id);
    site.gate.ambush(&Method::PUT, "/reg/", 1, Stop::HoldAnswer);
    let changed = renamed(&wanted, "Changed");
    let update = site.server.update(&id, &changed);
    let meanwhile = async {
        site.gate.stopped(1, Duration::from_secs(30)).await?;
        site.vault.break_down(true);
        site.gate.release();
        Ok::<_, crate::support::Error>(())
    };
    let (updated, done) = tokio::join!(update, meanwhile);
    done?;
    assert!(matches!(updated, Err(ServerError::Unrecorded { .. })), "{:?}", updated.err());
    site.vault.break_down(false);
    assert_eq!(site.server.get(&id, Lane::User).await?.context("it is there")?.display_name, "Changed");
    assert_ne!(site.token(&id), first);
    Ok(())
}

#[tokio::test]
async fn an_answer_is_kept_even_if_nobody_waits_for_it_any_more() -> Result<()> {
    let site = Site::of(Management::Rotate).await?;
    site.gate.ambush(&Method::POST, "/reg", 1, Stop::HoldAnswer);
    let wanted = desired(&unique("Impatient"), SCOPE);
    let impatient = tokio::select! {
        created = site.server.create(&wanted) => created.map(drop).err(),
        stopped = site.gate.stopped(1, Duration::from_secs(30)) => { stopped?; None }
    };
    assert_eq!(impatient, None);
    site.gate.release();
    let listed = async || {
        let list = site.server.list(Lane::User).await?;
        Ok(list.into_iter().find(|row| row.owner.names(&wanted.owner.uid)))
    };
    crate::support::eventually("the registration is known", Duration::from_secs(30), listed).await?;
    Ok(())
}

#[tokio::test]
async fn a_registration_without_a_record_is_neither_gone_nor_ours() -> Result<()> {
    let site = Site::of(Management::Rotate).await?;
    let (id, wanted) = site.registered().await?;
    site.vault.lose(&id);
    let error = site.server.get(&id, Lane::User).await.err().context("not gone")?;
    assert!(matches!(error, ServerError::OutOfReach { .. }) && error.to_string().contains("backup"), "{error}");
    assert!(matches!(site.server.update(&id, &wanted).await, Err(ServerError::OutOfReach { .. })));
    assert!(matches!(site.server.delete(&id).await, Err(ServerError::OutOfReach { .. })));
    assert_eq!(site.provider.named(&wanted.display_name).await?.len(), 1);
    Ok(())
}
