//! What an AuthorizationServer says of itself.

use futures::future::try_join_all;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;

use crate::support::site::Site;
use crate::support::world::{LIMIT, World, ready};
use crate::support::{Result, eventually};

/// How many servers connect at the same time, beside the world's own.
const SERVERS: u8 = 8;

#[tokio::test]
async fn a_server_that_has_connected_goes_on_saying_where_it_is_and_says_so_once() -> Result<()> {
    let world = World::new("facts").await?;
    let names: Vec<String> = (1..=SERVERS).map(|number| format!("server-{number}")).collect();
    let _sites = try_join_all(names.iter().map(|name| Site::beside(&world, name, ""))).await?;
    // The objects of their catalogues are a reason to look at each of them once more, soon after the first time.
    let passes = "extapp_reconciles_total{kind=\"AuthorizationServer\"";
    let again = async || Ok((world.metric(passes).await? >= f64::from(2 * (SERVERS + 1))).then_some(()));
    eventually("every server was looked at again", LIMIT, again).await?;
    let events: Api<Event> = Api::namespaced(world.client.clone(), world.home.name());
    // Events are written behind the passes.
    let told = async || {
        let connected = events.list(&ListParams::default().fields("reason=Connected")).await?;
        Ok(names.iter().all(|name| connected.iter().any(|event| is_about(event, name))).then_some(connected))
    };
    let connected = eventually("every server said that it is connected", LIMIT, told).await?;
    for name in names {
        let status = world.servers().get(&name).await?.status.unwrap_or_default();
        assert!(ready(&status.conditions), "{name}: {status:?}");
        let facts = [&status.issuer, &status.token_endpoint, &status.jwks_uri, &status.organization_id];
        assert!(facts.iter().all(|fact| fact.is_some()), "{name} is Ready and has forgotten where it is: {status:?}");
        assert_eq!(connected.iter().filter(|event| is_about(event, &name)).count(), 1, "{name} connected once");
    }
    Ok(())
}

fn is_about(event: &Event, name: &str) -> bool {
    event.regarding.as_ref().and_then(|object| object.name.as_deref()) == Some(name)
}
