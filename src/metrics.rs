//! What the operator counts. Every name is documented in `docs/metrics.md`, which a test compares with the registry.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reconciled {
    pub kind: &'static str,
    /// `done`, `failed`, `refused`, `waiting`.
    pub outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Kind {
    pub kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ServerRequest {
    /// `namespace/name` of the AuthorizationServer.
    pub server: String,
    pub operation: &'static str,
    pub outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ServerLabel {
    pub server: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ServerMethod {
    pub server: String,
    pub method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Write {
    pub kind: &'static str,
    /// `intent`, `finalizer`, `output`, `status`, `catalogue`, `pending`.
    pub purpose: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Ended {
    pub reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Readiness {
    pub server: String,
    pub ready: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Queue {
    pub server: String,
    /// `people`, `background`.
    pub queue: &'static str,
}

type Latencies = Family<Kind, Histogram, fn() -> Histogram>;

/// Every metric of the operator, and the registry that prints them.
pub struct Metrics {
    registry: Registry,
    pub reconciles: Family<Reconciled, Counter>,
    pub reconcile_seconds: Latencies,
    pub reconciles_running: Family<Kind, Gauge>,
    pub retrying: Gauge,
    pub waiting: Family<Queue, Gauge>,
    pub findings: Family<Ended, Counter>,
    pub server_requests: Family<ServerRequest, Counter>,
    pub server_seconds: Family<ServerLabel, Histogram, fn() -> Histogram>,
    pub budget_remaining: Family<ServerMethod, Gauge>,
    pub last_sweep: Family<ServerLabel, Gauge<f64, AtomicU64>>,
    pub writes: Family<Write, Counter>,
    pub applications: Family<Readiness, Gauge>,
    pub role_assignments: Family<Readiness, Gauge>,
    pub watch_failures: Family<Kind, Counter>,
    pub undecodable: Family<Kind, Counter>,
    pub events_lost: Counter,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.002, 2.0, 14))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("extapp"),
            reconciles: Family::default(),
            reconcile_seconds: Family::new_with_constructor(seconds),
            reconciles_running: Family::default(),
            retrying: Gauge::default(),
            waiting: Family::default(),
            findings: Family::default(),
            server_requests: Family::default(),
            server_seconds: Family::new_with_constructor(seconds),
            budget_remaining: Family::default(),
            last_sweep: Family::default(),
            writes: Family::default(),
            applications: Family::default(),
            role_assignments: Family::default(),
            watch_failures: Family::default(),
            undecodable: Family::default(),
            events_lost: Counter::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("reconciles", "Passes over objects, by kind and outcome", self.reconciles.clone());
        r.register("reconcile_duration_seconds", "How long a pass took", self.reconcile_seconds.clone());
        r.register("reconciles_running", "Passes under way", self.reconciles_running.clone());
        r.register("objects_retrying", "Objects that wait for another try after a failure", self.retrying.clone());
        r.register(
            "applications_waiting",
            "Applications that wait for their turn at a server, those of people's changes and the others",
            self.waiting.clone(),
        );
        r.register("findings", "What stood in the way of a pass, by reason", self.findings.clone());
        r.register("server_requests", "Requests to authorization servers", self.server_requests.clone());
        r.register("server_request_duration_seconds", "How long a server took to answer", self.server_seconds.clone());
        r.register(
            "server_budget_remaining",
            "Requests that may still be made in the current window; absent where a server has no limit",
            self.budget_remaining.clone(),
        );
        r.register(
            "server_last_sweep_timestamp_seconds",
            "When the server was last compared with what is wanted",
            self.last_sweep.clone(),
        );
        r.register("kubernetes_writes", "Writes to the Kubernetes API, events and leases aside", self.writes.clone());
        r.register("applications", "ExternalApplication objects by server and readiness", self.applications.clone());
        let what = "RoleAssignment objects by the server of their application and readiness";
        r.register("role_assignments", what, self.role_assignments.clone());
        r.register("watch_failures", "Failures of watches on the Kubernetes API", self.watch_failures.clone());
        r.register(
            "undecodable_objects",
            "Objects that could not be read and were passed over",
            self.undecodable.clone(),
        );
        r.register("events_lost", "Events that the Kubernetes API did not take", self.events_lost.clone());
    }

    /// Everything in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    pub fn wrote(&self, kind: &'static str, purpose: &'static str) {
        self.writes.get_or_create(&Write { kind, purpose }).inc();
    }

    pub fn reconciled(&self, kind: &'static str, outcome: &'static str, took: Duration) {
        self.reconciles.get_or_create(&Reconciled { kind, outcome }).inc();
        self.reconcile_seconds.get_or_create(&Kind { kind }).observe(took.as_secs_f64());
    }
}
