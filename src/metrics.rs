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
    /// `intent`, `finalizer`, `output`, `rotation`, `status`, `catalogue`, `pending`, `record`, `credentials`, `restart`.
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
pub struct Rotated {
    pub server: String,
    pub trigger: &'static str,
    /// `published`, `withdrawn`.
    pub outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Unfinished {
    pub server: String,
    /// The reason of the condition Rotated.
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ApplicationLabel {
    pub namespace: String,
    pub application: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Queue {
    pub server: String,
    /// `people`, `background`.
    pub queue: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Restart {
    /// `restarted`, `done`, `left`.
    pub outcome: &'static str,
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
    pub server_credential_expiry: Family<ServerLabel, Gauge<f64, AtomicU64>>,
    pub writes: Family<Write, Counter>,
    pub applications: Family<Readiness, Gauge>,
    pub role_assignments: Family<Readiness, Gauge>,
    pub restarts: Family<Restart, Counter>,
    pub holders: Family<ServerLabel, Gauge>,
    pub watch_failures: Family<Kind, Counter>,
    pub undecodable: Family<Kind, Counter>,
    pub events_lost: Counter,
    pub rotations: Family<Rotated, Counter>,
    pub proof_seconds: Family<ServerLabel, Histogram, fn() -> Histogram>,
    pub rotation_next: Family<ApplicationLabel, Gauge>,
    pub unfinished: Family<Unfinished, Gauge>,
    pub credential_created: Family<ApplicationLabel, Gauge>,
    pub credential_expiry: Family<ApplicationLabel, Gauge>,
    pub retiring: Family<ServerLabel, Gauge>,
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
            server_credential_expiry: Family::default(),
            writes: Family::default(),
            applications: Family::default(),
            role_assignments: Family::default(),
            restarts: Family::default(),
            holders: Family::default(),
            watch_failures: Family::default(),
            undecodable: Family::default(),
            events_lost: Counter::default(),
            rotations: Family::default(),
            proof_seconds: Family::new_with_constructor(seconds),
            rotation_next: Family::default(),
            unfinished: Family::default(),
            credential_created: Family::default(),
            credential_expiry: Family::default(),
            retiring: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register_credentials(&mut self) {
        let r = &mut self.registry;
        r.register("rotations", "Secrets that were replaced, or were to be", self.rotations.clone());
        r.register(
            "rotation_proof_seconds",
            "How long it took from a new secret to its acceptance by the token endpoint",
            self.proof_seconds.clone(),
        );
        r.register(
            "rotation_next_timestamp_seconds",
            "When the next rotation begins by itself; absent where none does",
            self.rotation_next.clone(),
        );
        r.register("rotations_unfinished", "Applications whose condition Rotated is False", self.unfinished.clone());
        r.register(
            "credential_created_timestamp_seconds",
            "When the published secret was made, of applications that rotate",
            self.credential_created.clone(),
        );
        r.register(
            "credential_expiry_timestamp_seconds",
            "When the published secret ends at the server; absent where it does not",
            self.credential_expiry.clone(),
        );
        r.register("credentials_retiring", "Secrets that were replaced and are still valid", self.retiring.clone());
    }

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
        self.register_credentials();
        let r = &mut self.registry;
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
        r.register(
            "server_credential_expiry_timestamp_seconds",
            "When the operator's own credential at the server expires; absent where it does not",
            self.server_credential_expiry.clone(),
        );
        r.register("kubernetes_writes", "Writes to the Kubernetes API, events and leases aside", self.writes.clone());
        r.register("applications", "ExternalApplication objects by server and readiness", self.applications.clone());
        let what = "RoleAssignment objects by the server of their application and readiness";
        r.register("role_assignments", what, self.role_assignments.clone());
        r.register(
            "workload_restarts",
            "Workloads that were restarted for a new secret, that were left alone, and applications that are done with it",
            self.restarts.clone(),
        );
        r.register(
            "pods_holding_old_secrets",
            "Running pods that were started before the secret that is published now and use it; absent while there are none",
            self.holders.clone(),
        );
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
