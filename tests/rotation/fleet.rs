//! Many applications that are due at once: one after the other, and never more at once than the server's owner says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use extapp::api::ExternalApplication;
use extapp::api::external_application::{CredentialState, ExternalApplicationStatus};
use futures::TryStreamExt as _;
use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use kube::api::ListParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{listed, says, variations};
use crate::support::timed::Timed;
use crate::support::world::{Variations, ready};
use crate::support::{Error, Result, eventually};

const APPLICATIONS: usize = 60;
const LIMIT: Duration = Duration::from_mins(3);

/// The published secret's number at the server, which grows with every secret that is made.
fn number(app: &ExternalApplication) -> u64 {
    listed(app, CredentialState::Active).first().and_then(|id| id.parse().ok()).unwrap_or_default()
}

/// When a scheduled rotation is due, by the clock of the server's secrets; up to a tenth of the interval early.
fn due(app: &ExternalApplication, interval: Duration) -> Timestamp {
    let status = app.status.clone().unwrap_or_default();
    let created = status.credentials.first().and_then(|credential| credential.created_at.clone());
    let uid = app.uid().unwrap_or_default();
    let early = extapp::domain::rotation::pacing::jitter(&uid, interval);
    extapp::domain::rotation::later(created.map(|time| time.0).unwrap_or_default(), interval.saturating_sub(early))
}

/// How many applications had a secret that was not published yet, at most at any time: a watch gives every version in its
/// order.
async fn most_at_once(applications: Api<ExternalApplication>, stop: CancellationToken) -> Result<usize> {
    let mut changes = std::pin::pin!(watcher(applications, watcher::Config::default()).touched_objects());
    let (mut under_way, mut most) = (BTreeSet::new(), 0);
    loop {
        let change = tokio::select! {
            change = changes.try_next() => change,
            () = stop.cancelled() => return Ok(most),
        };
        let Some(app) = change.map_err(Error::new)? else { return Ok(most) };
        if listed(&app, CredentialState::Pending).is_empty() {
            under_way.remove(&app.name_any());
        } else {
            under_way.insert(app.name_any());
        }
        most = most.max(under_way.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_applications_that_are_due_at_once_go_two_at_a_time_in_the_order_in_which_they_are_due() -> Result<()> {
    let server = "  rotation: {concurrency: 2, spacing: 0s}\n".into();
    let timed = Timed::with("fleet", Variations { server, ..variations() }).await?;
    let world = &timed.world;
    let names: Vec<String> = (0..APPLICATIONS).map(|number| format!("app-{number}")).collect();
    let (home, interval) = (world.home.name(), Duration::from_hours(1_000));
    let more = "  rotation: {interval: 1000h, overlap: 1h}\n";
    try_join_all(names.iter().map(|name| world.confidential(home, name, more))).await?;
    let all = async |what: &str, holds: &dyn Fn(&ExternalApplicationStatus) -> bool| {
        let probe = async || {
            let applications = world.applications(home).list(&ListParams::default()).await?.items;
            let left: Vec<String> = applications
                .iter()
                .filter(|app| !app.status.as_ref().is_some_and(holds))
                .map(|app| format!("{}: {:?}", app.name_any(), app.status.as_ref().and_then(says)))
                .collect();
            if left.is_empty() { Ok(Some(applications)) } else { Err(Error::new(left.join(", "))) }
        };
        eventually(what, LIMIT, probe).await
    };
    let before = all("all are Ready", &|status| ready(&status.conditions)).await?;
    let mut expected: Vec<(Timestamp, String, String)> =
        before.iter().map(|app| (due(app, interval), app.uid().unwrap_or_default(), app.name_any())).collect();
    expected.sort();
    let old: BTreeMap<String, u64> = before.iter().map(|app| (app.name_any(), number(app))).collect();

    // Long enough for every status to say that a secret is on its way.
    let of = json!({"method": "POST", "path_contains": "/GenerateSecret"});
    world.cloud.faults(&json!({"match": of, "times": 100_000, "action": "lag:300"})).await?;
    let stop = CancellationToken::new();
    let most = tokio::spawn(most_at_once(world.applications(home), stop.clone()));
    timed.forward(SignedDuration::from_hours(1_001)).await?;
    let rotated = |status: &ExternalApplicationStatus| {
        status.rotation.as_ref().is_some_and(|rotation| rotation.last_time.is_some())
    };
    let after = all("all are rotated", &rotated).await?;
    let mut made: Vec<(u64, String)> = after.iter().map(|app| (number(app), app.name_any())).collect();
    made.sort();
    for (number, name) in &made {
        assert!(old[name] < *number, "{name} has another secret");
    }
    // Two at a time may overtake each other between their turn and the server; and the first two begin before all of the
    // crowd have asked, on a machine that has much else to do.
    let place = |name: &str| expected.iter().position(|(.., other)| other == name).unwrap_or(usize::MAX);
    let displaced: Vec<(usize, usize)> = made
        .iter()
        .enumerate()
        .skip(2)
        .map(|(position, (_, name))| (position, place(name)))
        .filter(|(position, place)| position.abs_diff(*place) > 8)
        .collect();
    assert!(displaced.is_empty(), "out of their order: {displaced:?}");
    stop.cancel();
    let most = most.await??;
    assert!((1..=2).contains(&most), "{most} at once");
    Ok(())
}
