//! A secret is in its Secret and nowhere else: not in logs at their most verbose, Events, statuses, metrics or arguments.

use extapp::api::ApiResource;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams};

use crate::support::world::{LIMIT, Variations, World};
use crate::support::{Result, eventually};

#[tokio::test]
async fn secrets_are_found_in_their_secrets_alone() -> Result<()> {
    let operator = vec!["--log-level".into(), "trace".into()];
    let server = "  driftInterval: 2s\n".into();
    let mut world = World::with("canary", Variations { server, operator, ..Variations::default() }).await?;
    let home = world.home.name().to_owned();
    world.confidential(&home, "worker", "").await?;
    world.until_ready("worker").await?;
    let first = world.secret(&home, "worker-oauth").await?;
    world.secrets(&home).delete("worker-oauth", &DeleteParams::default()).await?;
    let back = async || Ok(world.secret(&home, "worker-oauth").await.ok());
    let second = eventually("the Secret is back", LIMIT, back).await?;
    world.until_ready("worker").await?;
    world.sweeps(1).await?;
    let admin = world.secret(&home, "local-cloud-admin").await?;
    let canaries = [&first["client-secret"], &second["client-secret"], &admin["client-secret"]];
    assert_ne!(canaries[0], canaries[1]);

    let everything = ListParams::default();
    let events: Api<Event> = Api::namespaced(world.client.clone(), &home);
    let resources: Api<ApiResource> = Api::namespaced(world.client.clone(), &home);
    let pid = world.operator.process().pid();
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline"))?;
    let places = [
        ("the operator's log", world.operator.logs()),
        ("the local cloud's log", world.cloud.logs()),
        ("the access log", world.cloud.access_log()?.join("\n")),
        ("metrics", world.operator.metrics().await?),
        ("arguments", String::from_utf8_lossy(&arguments).into_owned()),
        ("Events", serde_json::to_string(&events.list(&everything).await?)?),
        ("applications", serde_json::to_string(&world.applications(&home).list(&everything).await?)?),
        ("servers", serde_json::to_string(&world.servers().list(&everything).await?)?),
        ("resources", serde_json::to_string(&resources.list(&everything).await?)?),
    ];
    assert!(places[0].1.contains("TRACE"), "the log is as verbose as it can be");
    for (place, text) in &places {
        for canary in canaries {
            let encoded: String = url::form_urlencoded::byte_serialize(canary.as_bytes()).collect();
            let escaped = canary.replace('\\', "\\\\").replace('"', "\\\"");
            for form in [canary.as_str(), &encoded, &escaped] {
                assert!(!text.contains(form), "a secret is in {place}");
            }
        }
        assert!(!text.contains("eyJhbGciOi"), "a token is in {place}");
    }
    Ok(())
}
