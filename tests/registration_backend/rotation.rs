//! Registration access tokens that the server replaces.

use super::*;

#[tokio::test]
async fn a_token_that_an_update_replaces_is_kept_and_an_update_is_sent_only_where_something_differs() -> Result<()> {
    let site = Site::of(Management::Rotate).await?;
    let (id, wanted) = site.registered().await?;
    let first = site.token(&id);
    let changed = renamed(&wanted, "Changed");
    for _ in 0..3 {
        assert!(site.server.update(&id, &changed).await?.is_none());
    }
    assert_eq!(site.requests("PUT", &id).await?, 1);
    assert_ne!(site.token(&id), first);
    assert_eq!(site.provider.named("Changed").await?.len(), 1);
    site.server.delete(&id).await?;
    assert!(site.vault.is_empty() && site.provider.named("Changed").await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn what_others_have_set_survives_an_update() -> Result<()> {
    let site = Site::of(Management::Rotate).await?;
    let (id, wanted) = site.registered().await?;
    let contacts = json!(["billing@example.com"]);
    site.provider.change(id.as_str(), json!({"contacts": contacts, "logo_uri": "https://a.example/l"})).await?;
    site.server.update(&id, &renamed(&wanted, "Changed")).await?;
    let client = site.provider.named("Changed").await?.remove(0);
    assert_eq!((&client["contacts"], &client["logo_uri"]), (&contacts, &json!("https://a.example/l")));
    Ok(())
}

#[tokio::test]
async fn where_the_token_stays_nothing_is_noted_before_the_second_update() -> Result<()> {
    let site = Site::of(Management::Keep).await?;
    let (id, wanted) = site.registered().await?;
    let first = site.token(&id);
    site.server.update(&id, &renamed(&wanted, "One")).await?;
    let writes = site.vault.writes();
    site.server.update(&id, &renamed(&wanted, "Two")).await?;
    assert_eq!(site.vault.writes(), writes + 1, "what was answered, and no note before it");
    assert_eq!(site.token(&id), first);
    Ok(())
}

#[tokio::test]
async fn a_read_that_costs_a_token_is_left_to_people_and_sweeps_are_told_what_is_known() -> Result<()> {
    let site = Site::of(Management::RotateReads).await?;
    let (id, wanted) = site.registered().await?;
    let whole = async || -> Result<bool> {
        let list = site.server.list(Lane::Resync).await?;
        Ok(list.iter().find(|row| row.client_id == id).context("a row")?.whole.is_some())
    };
    assert!(!whole().await?, "until it is known");
    let first = site.token(&id);
    site.server.get(&id, Lane::Resync).await?.context("it is there")?;
    assert_ne!(site.token(&id), first, "the new token is kept");
    let (writes, reads) = (site.vault.writes(), site.requests("GET", &id).await?);
    for _ in 0..5 {
        assert!(site.server.get(&id, Lane::Resync).await?.is_some());
    }
    assert_eq!(
        (site.vault.writes(), site.requests("GET", &id).await?),
        (writes, reads),
        "nothing read, nothing written"
    );
    assert!(whole().await?, "a sweep has what there is");
    site.server.get(&id, Lane::User).await?.context("it is there")?;
    assert_eq!(site.requests("GET", &id).await?, reads + 1);
    site.server.update(&id, &renamed(&wanted, "Changed")).await?;
    assert_eq!(site.server.get(&id, Lane::Resync).await?.context("it is there")?.display_name, "Changed");
    site.server.delete(&id).await?;
    assert!(site.provider.named("Changed").await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn two_processes_use_the_token_that_either_of_them_was_given_last() -> Result<()> {
    let site = Site::of(Management::RotateReads).await?;
    let (id, wanted) = site.registered().await?;
    let other = site.another()?;
    for round in 0..3 {
        let name = format!("Round {round}");
        site.server.update(&id, &renamed(&wanted, &name)).await?;
        assert_eq!(other.get(&id, Lane::User).await?.context("it is there")?.display_name, name);
        other.update(&id, &renamed(&wanted, &format!("{name} again"))).await?;
        assert_eq!(
            site.server.get(&id, Lane::User).await?.context("it is there")?.display_name,
            format!("{name} again")
        );
    }
    Ok(())
}

#[tokio::test]
async fn many_who_read_at_once_do_not_use_one_token_twice() -> Result<()> {
    let site = Site::of(Management::RotateReads).await?;
    let (id, _) = site.registered().await?;
    let reads = futures::future::join_all((0..20).map(|_| site.server.get(&id, Lane::User))).await;
    for read in reads {
        assert!(read?.is_some());
    }
    Ok(())
}
