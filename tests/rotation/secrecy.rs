//! A rotation shows none of its secrets: neither the one before, nor the next, nor one that was withdrawn.

use extapp::api::{REVOKE_NOW, ROLLBACK, ROTATE};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;

use super::{kept, keys, lag, until_rotated, until_says, variations};
use crate::canaries::forms;
use crate::support::world::{Variations, World, text_of};
use crate::support::{Context, Result};

#[tokio::test]
async fn no_secret_is_shown_through_a_rotation_a_rollback_and_a_leak() -> Result<()> {
    let usual = variations();
    let operator = [usual.operator, vec!["--log-level".into(), "trace".into()]].concat();
    let mut world = World::with("secrecy", Variations { operator, ..variations() }).await?;
    let home = world.home.name().to_owned();
    world.confidential(&home, "worker", "  rotation: {overlap: 1h}\n").await?;
    world.until_ready("worker").await?;
    let mut canaries = vec![keys(&world, "worker").await?["client-secret"].clone()];
    lag(&world).await?;
    world.annotate("worker", ROTATE, "asked").await?;
    until_says(&world, "worker", "False", "Proving").await?;
    let name = kept(&world, "worker").await?.context("nothing is kept")?;
    let next = text_of(world.secrets(&home).get(&name).await?)["next-secret"].clone();
    // Everything else is looked for below; here is what only the middle of a rotation shows.
    let app = serde_json::to_string(&world.applications(&home).get("worker").await?)?;
    assert!(!forms(&next).iter().any(|form| app.contains(form)));
    canaries.push(next);
    world.cloud.countermand().await?;
    until_rotated(&world, "worker", "asked").await?;
    assert_eq!(keys(&world, "worker").await?["client-secret"], canaries[1]);
    world.annotate("worker", ROLLBACK, "back").await?;
    let settled = |wanted: &'static str| {
        move |_: &extapp::api::ExternalApplication,
              status: &extapp::api::external_application::ExternalApplicationStatus| {
            let last = status.rotation.as_ref().and_then(|rotation| rotation.last_trigger.as_deref());
            last == Some(wanted)
        }
    };
    world.until(&home, "worker", settled("RolledBack")).await?;
    world.annotate("worker", REVOKE_NOW, "leaked").await?;
    world.until(&home, "worker", settled("Leaked")).await?;
    canaries.push(keys(&world, "worker").await?["client-secret"].clone());
    super::until_event(&world, "worker", "RolledBack").await?;

    let everything = ListParams::default();
    let events: Api<Event> = Api::namespaced(world.client.clone(), &home);
    let pid = world.operator.process().pid();
    let places = [
        ("the operator's log", world.operator.logs()),
        ("the local cloud's log", world.cloud.logs()),
        ("the access log", world.cloud.access_log()?.join("\n")),
        ("metrics", world.operator.metrics().await?),
        ("arguments", String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/cmdline"))?).into_owned()),
        ("Events", serde_json::to_string(&events.list(&everything).await?)?),
        ("applications", serde_json::to_string(&world.applications(&home).list(&everything).await?)?),
        ("servers", serde_json::to_string(&world.servers().list(&everything).await?)?),
    ];
    assert!(places[0].1.contains("TRACE"), "the log is as verbose as it can be");
    let secrets = serde_json::to_string(&world.secrets(&home).list(&everything).await?)?;
    assert!(
        forms(&canaries[2]).iter().any(|form| secrets.contains(form)),
        "what is looked for is found where it belongs"
    );
    for (place, text) in &places {
        for canary in &canaries {
            assert!(!forms(canary).iter().any(|form| text.contains(form)), "a secret is in {place}");
        }
    }
    Ok(())
}
