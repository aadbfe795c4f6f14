//! What a server can do wrong while an application is registered: the right reason each time, and recovery unaided.

use serde_json::{Value, json};

use crate::support::Result;
use crate::support::world::{Variations, World};

/// What goes wrong with POST, how often, and the reason that is shown meanwhile.
const FAULTS: [(&str, &str, &str); 9] = [
    ("refused", "status:400", "RejectedByServer"),
    ("forbidden", "status:403", "PermissionDenied"),
    ("conflict", "status:409", "ServerConflict"),
    ("limited", "status:429", "RateLimited"),
    ("broken", "status:500", "OutcomeUnknown"),
    ("busy", "status:503", "OutcomeUnknown"),
    ("page", "html", "OutcomeUnknown"),
    ("cut", "close", "OutcomeUnknown"),
    ("large", "big", "OutcomeUnknown"),
];

fn fault(action: &str) -> Value {
    json!({"match": {"method": "POST", "path_contains": "/api/ExternalClient"}, "times": 1, "before": true, "action": action})
}

#[tokio::test]
async fn a_create_that_fails_says_why_and_is_made_good_exactly_once() -> Result<()> {
    let world = World::new("faults").await?;
    let home = world.home.name().to_owned();
    for (name, action, reason) in FAULTS {
        world.cloud.faults(&fault(action)).await?;
        world.confidential(&home, name, "").await?;
        let message = world.until_refused(&home, name, reason).await?;
        assert!(!message.is_empty() && !message.contains('<'), "{name}: {message}");
        // The next fault must meet the next application, not another try of this one.
        world.until_ready(name).await?;
    }
    for (name, ..) in FAULTS {
        assert_eq!(world.registrations(name).await?.len(), 1, "{name}");
        assert!(world.works(&world.secret(&home, &format!("{name}-oauth")).await?).await?, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn a_frozen_server_makes_its_applications_not_ready_and_a_new_one_is_told() -> Result<()> {
    let operator = vec!["--request-timeout".into(), "1".into()];
    let server = "  driftInterval: 2s\n".into();
    let world = World::with("frozen", Variations { server, operator, ..Variations::default() }).await?;
    let home = world.home.name().to_owned();
    world.confidential(&home, "worker", "").await?;
    world.until_ready("worker").await?;
    let hang = json!({"match": {}, "times": 100_000, "before": true, "action": "hang"});
    world.cloud.faults(&hang).await?;
    world.until_refused(&home, "worker", "ServerTimeout").await?;
    world.confidential(&home, "newcomer", "").await?;
    world.until_refused(&home, "newcomer", "ServerTimeout").await?;
    let thawed = reqwest::Client::new().delete(format!("{}/__faults", world.cloud.base_url())).send().await?;
    assert!(thawed.status().is_success());
    world.until_ready("worker").await?;
    world.until_ready("newcomer").await?;
    Ok(())
}
