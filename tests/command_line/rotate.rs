//! `extapp rotate`

use extapp::api::ROTATE;
use kube::ResourceExt as _;
use serde_json::json;

use super::at_home;
use crate::support::world::{Keys, LIMIT, World};
use crate::support::{Result, eventually};

async fn published(world: &World) -> Result<Keys> {
    world.secret(world.home.name(), "worker-oauth").await
}

async fn ready_world(prefix: &str) -> Result<World> {
    let world = World::new(prefix).await?;
    world.confidential(world.home.name(), "worker", "").await?;
    world.until_ready("worker").await?;
    Ok(world)
}

#[tokio::test]
async fn rotate_waits_until_the_next_secret_is_published_and_goes_back_and_revokes() -> Result<()> {
    let world = ready_world("rotate").await?;
    let first = published(&world).await?;

    let forth = at_home(&world, &["rotate", "worker", "--wait", "--timeout", "90s"]).await?;
    let second = published(&world).await?;
    assert_eq!(forth.code, Some(0), "{}", forth.all());
    for step in ["is made", "is accepted by the token endpoint", "is published", "is retiring, until", "done\n"] {
        assert!(forth.out.contains(step), "{step}: {}", forth.out);
    }
    assert_ne!(first["client-secret"], second["client-secret"]);
    assert!(world.works(&first).await? && world.works(&second).await?, "both, while the first retires");

    let back = at_home(&world, &["rotate", "worker", "--rollback", "--wait", "--timeout", "90s"]).await?;
    assert_eq!(back.code, Some(0), "{}", back.all());
    assert_eq!(published(&world).await?["client-secret"], first["client-secret"]);

    let revoke = ["rotate", "worker", "--revoke-now", "--wait", "--timeout", "90s", "-o", "json"];
    let revoked = at_home(&world, &revoke).await?;
    let third = published(&world).await?;
    assert_eq!(revoked.code, Some(0), "{}", revoked.all());
    let said = revoked.json()?;
    assert_eq!((&said["outcome"], &said["annotation"]), (&json!("Done"), &json!("extapp.dev/revoke-now")));
    assert!(revoked.err.contains("is published"), "steps are told beside the document: {}", revoked.err);
    assert!(world.works(&third).await?);
    let ended = async || Ok((!world.works(&first).await? && !world.works(&second).await?).then_some(()));
    eventually("what leaked no longer works", LIMIT, ended).await?;

    let forgotten = async || {
        let app = world.applications(world.home.name()).get("worker").await?;
        Ok((app.status.unwrap_or_default().credentials.len() == 1).then_some(()))
    };
    eventually("the old ones are gone from the status", LIMIT, forgotten).await?;
    let impossible = at_home(&world, &["rotate", "worker", "--rollback", "--wait"]).await?;
    assert_eq!(impossible.code, Some(5), "{}", impossible.all());
    assert!(impossible.out.contains("no secret to go back to"), "{}", impossible.out);
    assert_eq!(published(&world).await?["client-secret"], third["client-secret"]);
    let secrets = [&first["client-secret"], &second["client-secret"], &third["client-secret"]];
    for ran in [forth, back, revoked, impossible] {
        ran.shows_none_of(&secrets);
    }
    Ok(())
}

#[tokio::test]
async fn a_rotation_that_takes_longer_than_one_waits_is_told_as_such_and_goes_on() -> Result<()> {
    let world = ready_world("rotate-late").await?;
    let first = published(&world).await?;
    let down = json!({"match": {"path_contains": "/connect/token"}, "times": 100_000, "action": "status:503"});
    world.cloud.faults(&down).await?;
    let late = at_home(&world, &["rotate", "worker", "--wait", "--timeout", "5s"]).await?;
    assert_eq!(late.code, Some(4), "{}", late.all());
    assert!(late.out.contains("not done in time, and still asked for"), "{}", late.out);
    assert_eq!(published(&world).await?["client-secret"], first["client-secret"], "nothing unproven is published");
    let open = at_home(&world, &["status", "worker"]).await?;
    assert!(open.out.contains("asked for and not done yet: extapp.dev/rotate="), "{}", open.out);

    world.cloud.countermand().await?;
    let changed = async || {
        let now = published(&world).await?;
        Ok((now["client-secret"] != first["client-secret"]).then_some(now))
    };
    let second = eventually("the next secret is published once it is proven", LIMIT, changed).await?;
    assert!(world.works(&second).await?);
    for ran in [late, open] {
        ran.shows_none_of(&[&first["client-secret"], &second["client-secret"]]);
    }
    Ok(())
}

#[tokio::test]
async fn rotate_asks_without_waiting_and_does_not_ask_for_what_would_not_be_done() -> Result<()> {
    let world = ready_world("rotate-ask").await?;
    let home = world.home.name();
    let asked = at_home(&world, &["rotate", "worker"]).await?;
    assert_eq!(asked.code, Some(0), "{}", asked.all());
    let value = world.applications(home).get("worker").await?.annotations()[ROTATE].clone();
    assert!(asked.out.contains(&format!("asked for: extapp.dev/rotate={value}")), "{}", asked.out);
    let carried_out = move |_: &_, status: &extapp::api::ExternalApplicationStatus| {
        status.rotation.as_ref().is_some_and(|rotation| rotation.rotate.as_ref() == Some(&value))
    };
    world.until(home, "worker", carried_out).await?;

    world.non_confidential(home, "desktop", "").await?;
    world.until_ready("desktop").await?;
    world.confidential(home, "asleep", "  suspend: true\n").await?;
    for (name, said) in [("desktop", "has no secret"), ("asleep", "spec.suspend")] {
        let ran = at_home(&world, &["rotate", name, "--wait", "-o", "json"]).await?;
        assert_eq!(ran.code, Some(5), "{}", ran.all());
        let document = ran.json()?;
        assert_eq!(document["outcome"], "Refused");
        assert!(document["message"].as_str().is_some_and(|message| message.contains(said)), "{document}");
        assert!(!world.applications(home).get(name).await?.annotations().contains_key(ROTATE), "nothing is asked for");
    }
    Ok(())
}
