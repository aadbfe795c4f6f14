//! What is seen while work is under way.

use std::collections::BTreeMap;
use std::io::Write;
use std::pin::pin;
use std::time::{Duration, Instant};

use extapp::api::ExternalApplication;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};

use crate::manifests::Expected;
use crate::support::{Context, Error, Result};

const WIDTH: usize = 46;
/// Generous: the applications take less than a second.
const LIMIT: Duration = Duration::from_mins(2);

pub fn heading(text: &str) {
    println!("\n{text}\n{}", "─".repeat(text.chars().count()));
}

/// One line: what is being done, how long it took, and what came of it.
pub async fn step<T>(what: &str, work: impl Future<Output = Result<(T, String)>>) -> Result<T> {
    print!("  {what:<WIDTH$}");
    std::io::stdout().flush()?;
    let started = Instant::now();
    match work.await {
        Ok((done, detail)) => {
            println!("{:>7.2} s  {detail}", started.elapsed().as_secs_f64());
            Ok(done)
        }
        Err(error) => {
            println!("failed");
            Err(error).context(what)
        }
    }
}

pub fn condition<'a>(app: &'a ExternalApplication, kind: &str) -> Option<&'a Condition> {
    app.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether nothing more will happen to it by itself.
fn settled(app: &ExternalApplication) -> bool {
    let current = app.status.as_ref().and_then(|status| status.observed_generation) == app.metadata.generation;
    let holds = |kind| condition(app, kind).is_some_and(|condition| condition.status == "True");
    current && (holds("Ready") || holds("Stalled"))
}

/// Watches the applications until each is ready or refused; every change of a reason is one line.
pub async fn until_settled(client: &Client, expected: &[Expected], started: Instant) -> Result<()> {
    let api: Api<ExternalApplication> = Api::all(client.clone());
    let mut changes = pin!(watcher(api, watcher::Config::default()).default_backoff().applied_objects().boxed());
    let mut seen: BTreeMap<String, (bool, String)> = BTreeMap::new();
    let all = async {
        while let Some(app) = changes.try_next().await? {
            let name = format!("{}/{}", app.namespace().unwrap_or_default(), app.name_any());
            let Some(ready) = condition(&app, "Ready") else { continue };
            let now = (settled(&app), ready.reason.clone());
            if seen.get(&name) != Some(&now) {
                let seconds = started.elapsed().as_secs_f64();
                let (sign, said) = (if ready.status == "True" { "ready" } else { "not ready" }, &ready.message);
                println!("  {seconds:>6.2} s  {name:<28}{sign:<10} {}: {said}", ready.reason);
                seen.insert(name, now);
            }
            let all_settled = expected.iter().all(|expected| {
                seen.get(&format!("{}/{}", expected.namespace, expected.name)).is_some_and(|(settled, _)| *settled)
            });
            if all_settled {
                return Ok(());
            }
        }
        Err(Error::new("the watch ended"))
    };
    let waited = tokio::time::timeout(LIMIT, all).await;
    waited.map_err(|_| Error::new(format!("not every application was settled after {LIMIT:?}")))?
}
