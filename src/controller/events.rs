//! Kubernetes Events: one for every change and every failure. They never hold up or fail a pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Resource, ResourceExt};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use crate::clock::Clock;
use crate::domain::reason::Reason;
use crate::metrics::Metrics;

/// The longest note that the API server takes, in bytes.
const NOTE: usize = 1_024;
/// How many events may wait to be written.
const QUEUE: usize = 4_096;

/// How long the API server may take for one: others wait behind it.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// How an event is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Normal,
    Warning,
}

/// Takes events from passes and writes them one after the other.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<Event>,
    metrics: Arc<Metrics>,
    clock: Clock,
    identity: Arc<str>,
    count: Arc<AtomicU64>,
}

impl Events {
    /// The other half writes what it is given until this one is gone.
    pub fn new(
        client: Client,
        metrics: Arc<Metrics>,
        clock: Clock,
        identity: Arc<str>,
    ) -> (Self, impl Future<Output = ()> + use<>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let writer = write(client, waiting, metrics.clone());
        (Self { queue, metrics, clock, identity, count: Arc::default() }, writer)
    }

    /// Says what happened to an object.
    pub fn publish<K: Resource<DynamicType = ()>>(&self, object: &K, tone: Tone, reason: Reason, note: &str) {
        let reference = object.object_ref(&());
        log(tone, reason, note);
        let now = self.clock.now();
        let serial = self.count.fetch_add(1, Ordering::Relaxed);
        let name: String = object.name_any().chars().take(200).collect();
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{:x}{serial:04x}", name.trim_end_matches('.'), now.as_nanosecond())),
                namespace: reference.namespace.clone(),
                ..ObjectMeta::default()
            },
            action: Some("Reconcile".into()),
            event_time: Some(MicroTime(now)),
            note: Some(cut(note)),
            reason: Some(reason.to_string()),
            regarding: Some(reference),
            reporting_controller: Some("extapp.dev/operator".into()),
            reporting_instance: Some(self.identity.chars().take(128).collect()),
            type_: Some(if tone == Tone::Normal { "Normal".into() } else { "Warning".into() }),
            ..Event::default()
        };
        if self.queue.try_send(event).is_err() {
            self.metrics.events_lost.inc();
        }
    }
}

/// The span of the pass says which object it is about.
fn log(tone: Tone, reason: Reason, note: &str) {
    match tone {
        Tone::Normal => info!(reason = reason.as_str(), "{note}"),
        Tone::Warning => warn!(reason = reason.as_str(), "{note}"),
    }
}

async fn write(client: Client, mut waiting: mpsc::Receiver<Event>, metrics: Arc<Metrics>) {
    while let Some(event) = waiting.recv().await {
        let Some(namespace) = event.metadata.namespace.clone() else { continue };
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        let parameters = PostParams::default();
        match tokio::time::timeout(PATIENCE, api.create(&parameters, &event)).await {
            Ok(Ok(_)) => {}
            // A namespace that is being deleted takes none.
            Ok(Err(error)) => {
                metrics.events_lost.inc();
                debug!(%error, "an event was not taken");
            }
            Err(_) => {
                metrics.events_lost.inc();
                debug!("an event was not taken in time");
            }
        }
    }
}

fn cut(note: &str) -> String {
    if note.len() <= NOTE {
        return note.to_owned();
    }
    let end = (0..=NOTE - 3).rev().find(|index| note.is_char_boundary(*index)).unwrap_or(0);
    format!("{}…", &note[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_fits_what_the_api_server_takes() {
        assert!(cut(&"é".repeat(2_000)).len() <= NOTE);
        assert_eq!(cut("short"), "short");
    }
}
