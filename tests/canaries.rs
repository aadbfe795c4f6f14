//! A secret is in its Secret and nowhere else: not in logs at their most verbose, Events, statuses, metrics or arguments.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use extapp::api::ApiResource;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams};

use crate::support::world::{LIMIT, Variations, World};
use crate::support::{Result, eventually};

/// How a secret may look in a text: as it is, in a URL, in JSON, and in base64 wherever it stands in what was encoded.
pub fn forms(secret: &str) -> Vec<String> {
    let in_url: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let percent = in_url.replace('+', "%20");
    let in_json = secret.replace('\\', "\\\\").replace('"', "\\\"");
    let mut forms = vec![secret.to_owned(), in_url, percent.to_lowercase(), percent, in_json];
    for before in 0..3 {
        let bytes = [&[0].repeat(before), secret.as_bytes()].concat();
        // Every letter that depends on the secret alone: neither on its neighbours nor on padding.
        let letters = (before * 8).div_ceil(6)..bytes.len() * 8 / 6;
        for engine in [STANDARD, URL_SAFE] {
            forms.push(engine.encode(&bytes)[letters.clone()].to_owned());
        }
    }
    forms
}

#[test]
fn a_secret_is_known_in_every_form() {
    for text in ["a+b/\"?~>=", "0123456789abcdef", "~~~???>>>"] {
        let known = |shown: &str| forms(text).iter().any(|form| shown.contains(form));
        for before in ["", "x", "xy", "client:"] {
            let whole = format!("{before}{text} and more");
            for engine in [STANDARD, URL_SAFE, STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                assert!(known(&engine.encode(&whole)) && known(&engine.encode(format!("{before}{text}"))), "{whole}");
            }
        }
        assert!(known(&serde_json::Value::from(text).to_string()));
        assert!(known(
            url::form_urlencoded::Serializer::new(String::new()).append_pair("secret", text).finish().as_str()
        ));
        assert!(!forms(text).iter().any(String::is_empty));
    }
}

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
    world.permit("worker", "worker", "  roles: [Allow to be Automation User]\n").await?;
    world.until_permitted("worker").await?;
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
        ("assignments", serde_json::to_string(&world.role_assignments().list(&everything).await?)?),
        ("servers", serde_json::to_string(&world.servers().list(&everything).await?)?),
        ("resources", serde_json::to_string(&resources.list(&everything).await?)?),
    ];
    assert!(places[0].1.contains("TRACE"), "the log is as verbose as it can be");
    let canaries: Vec<String> = canaries.into_iter().flat_map(|canary| forms(canary)).collect();
    let secrets = serde_json::to_string(&world.secrets(&home).list(&everything).await?)?;
    assert!(canaries.iter().any(|form| secrets.contains(form)), "what is looked for is found where it belongs");
    for (place, text) in &places {
        assert!(!canaries.iter().any(|form| text.contains(form)), "a secret is in {place}");
        assert!(!text.contains("eyJhbGciOi"), "a token is in {place}");
    }
    Ok(())
}
