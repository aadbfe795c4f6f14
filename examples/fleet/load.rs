//! Applying applications, and seeing them become Ready.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::{Duration, Instant};

use extapp::api::ExternalApplication;
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::far::Kind;
use crate::setting::{NAMESPACE, SERVER};
use crate::support::wait::FIELD_MANAGER;
use crate::support::{Context, Error, Result};

const LIMIT: Duration = Duration::from_mins(10);

fn applications(client: &Client) -> Api<ExternalApplication> {
    Api::namespaced(client.clone(), NAMESPACE)
}

pub fn spec(server: Kind) -> Value {
    let (api, scopes) = server.asked();
    json!({
        "serverRef": {"name": SERVER}, "type": "Confidential", "resources": [{"name": api, "applicationScopes": scopes}]
    })
}

async fn apply(client: &Client, server: Kind, name: &str) -> Result<()> {
    let object = json!({
        "apiVersion": "extapp.dev/v1alpha1", "kind": "ExternalApplication",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec(server)
    });
    applications(client).patch(name, &PatchParams::apply(FIELD_MANAGER), &Patch::Apply(&object)).await?;
    Ok(())
}

/// The names of applications as they become Ready, those that already are included.
fn becoming_ready(client: &Client) -> impl futures::Stream<Item = Result<String>> + use<> {
    let changes = watcher(applications(client), watcher::Config::default()).default_backoff().applied_objects();
    changes.map_err(Error::from).try_filter_map(async |app| {
        let conditions = app.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        Ok(ready.then(|| app.name_any()))
    })
}

/// Applies so many at once; the time from the first apply until the last is Ready.
pub async fn fleet(client: &Client, server: Kind, count: usize, concurrency: u16) -> Result<Duration> {
    let names: Vec<String> = (0..count).map(|number| format!("fleet-{number:05}")).collect();
    let mut waiting: BTreeSet<String> = names.iter().cloned().collect();
    let started = Instant::now();
    let mut ready = pin!(becoming_ready(client));
    let applied = stream::iter(&names)
        .map(Ok)
        .try_for_each_concurrent(usize::from(concurrency), |name| apply(client, server, name));
    let all_ready = async {
        while !waiting.is_empty() {
            let name = ready.try_next().await?.context("the watch ended")?;
            waiting.remove(&name);
        }
        Ok(())
    };
    let both = async { tokio::try_join!(applied, all_ready) };
    tokio::time::timeout(LIMIT, both).await.map_err(|_| Error::new("the fleet did not become Ready"))??;
    Ok(started.elapsed())
}

/// Applies one after the other; the times from apply to Ready, sorted.
pub async fn singles(client: &Client, server: Kind, count: usize) -> Result<Vec<Duration>> {
    let mut ready = pin!(becoming_ready(client));
    let mut times = Vec::new();
    for number in 0..=count {
        let name = format!("single-{number:03}");
        let started = Instant::now();
        apply(client, server, &name).await?;
        let seen = async {
            loop {
                if ready.try_next().await?.context("the watch ended")? == name {
                    return Ok::<(), Error>(());
                }
            }
        };
        tokio::time::timeout(LIMIT, seen).await.map_err(|_| Error::new(format!("{name} did not become Ready")))??;
        // The first one pays for connections on both sides.
        if number > 0 {
            times.push(started.elapsed());
        }
    }
    times.sort_unstable();
    Ok(times)
}
