//! `extapp operator`

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::admin::{Admin, router};
use crate::clock::{self, Clock};
use crate::controller::{Settings, gauges, run as controllers};
use crate::domain::consumers::Features;
use crate::metrics::Metrics;

/// How long passes under way may take to end when the process is told to stop.
const DRAIN: Duration = Duration::from_secs(20);

/// Runs the operator
///
/// It finds its cluster as kubectl does: KUBECONFIG or ~/.kube/config, else the service account of its pod. Install the
/// kinds first (`extapp crds | kubectl apply --server-side -f -`) and the permissions (`extapp rbac | kubectl apply -f -`).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Watch these namespaces only; default: all
    #[arg(long, env = "EXTAPP_WATCH_NAMESPACES", value_delimiter = ',', value_name = "NAMESPACE,…")]
    watch_namespaces: Vec<String>,

    /// Where /healthz, /readyz and /metrics are served; port 0 takes a free one
    #[arg(long, env = "EXTAPP_METRICS_ADDRESS", default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    metrics_address: SocketAddr,

    /// How many objects of each kind are worked on at once
    #[arg(long, env = "EXTAPP_CONCURRENCY", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,

    /// Accept plain http for this host, in the url of an AuthorizationServer; loopback is always accepted
    #[arg(
        long = "allow-insecure-host",
        env = "EXTAPP_ALLOW_INSECURE_HOST",
        value_delimiter = ',',
        value_name = "HOST,…"
    )]
    allow_insecure_hosts: Vec<String>,

    /// Seconds that an authorization server has for one answer; to create a registration, 15 at the most
    #[arg(long, env = "EXTAPP_REQUEST_TIMEOUT", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=30), value_name = "SECONDS")]
    request_timeout: u64,

    /// Requests of each method per minute and organization; default: what UiPath documents for the deployment
    #[arg(long, env = "EXTAPP_REQUESTS_PER_MINUTE", value_parser = clap::value_parser!(u32).range(1..), value_name = "COUNT")]
    requests_per_minute: Option<u32>,

    /// Watch the pods that use Secrets, so that a replaced secret can go as soon as no pod holds it any more; give the
    /// operator the permission with `extapp rbac --watch-consumers`
    #[arg(long, env = "EXTAPP_WATCH_CONSUMERS")]
    watch_consumers: bool,

    /// Restart the workloads that `spec.rotation.restart` names, once a new secret is published; includes
    /// --watch-consumers, and needs `extapp rbac --restart-workloads`
    #[arg(long, env = "EXTAPP_RESTART_WORKLOADS")]
    restart_workloads: bool,

    /// Names this process, so that a restart can tell its own unfinished work from another's; default: POD_NAME, else
    /// a new name at every start
    #[arg(long, env = "EXTAPP_IDENTITY", value_name = "NAME")]
    identity: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no cluster: {0}. Set KUBECONFIG, or run in a pod with a service account")]
    Cluster(String),
    #[error("--metrics-address {address}: {error}")]
    Address { address: SocketAddr, error: std::io::Error },
    #[error("signals: {0}")]
    Signals(std::io::Error),
    #[error("a part of the operator ended by itself; see the log")]
    Broken,
}

pub async fn run(args: Args) -> Result<(), Error> {
    let mut config = kube::Config::infer().await.map_err(|error| Error::Cluster(innermost(&error)))?;
    // A request that failed is planned anew from what is there, not repeated for what was.
    config.default_retry = false;
    let client = kube::Client::try_from(config).map_err(|error| Error::Cluster(innermost(&error)))?;
    reach(&client).await?;
    let address = args.metrics_address;
    let in_use = |error| Error::Address { address, error };
    let listener = TcpListener::bind(address).await.map_err(in_use)?;
    let bound = listener.local_addr().map_err(in_use)?;
    let metrics = Arc::new(Metrics::default());
    let stop = CancellationToken::new();
    let settings = settings(args);
    let mut stdout = std::io::stdout();
    // The line is for whoever started the process; without a reader there is nobody to tell.
    let _ = writeln!(stdout, "extapp operator: admin endpoints on http://{bound}").and_then(|()| stdout.flush());
    info!(version = env!("CARGO_PKG_VERSION"), identity = settings.identity, namespaces = ?settings.namespaces, "the operator starts");
    let operator = controllers::start(client, settings, metrics.clone(), &stop);
    let context = operator.context.clone();
    let admin = Admin { metrics, ready: operator.ready.clone(), refresh: Arc::new(move || gauges::refresh(&context)) };
    let ending = stop.clone();
    let serving = axum::serve(listener, router(admin)).with_graceful_shutdown(async move { ending.cancelled().await });
    let serving = tokio::spawn(async move { serving.await });
    let told = told_to_stop(&stop).await?;
    info!("the operator ends: passes under way are finished");
    stop.cancel();
    if tokio::time::timeout(DRAIN, operator.ended()).await.is_err() {
        warn!("passes did not end in time; what they left is found at the next start");
    }
    serving.abort();
    if told { Ok(()) } else { Err(Error::Broken) }
}

/// A cluster that is not there is a mistake in what the operator was given, better said at once than in the log of every
/// watch. One that answers, whatever it says, is waited for.
async fn reach(client: &kube::Client) -> Result<(), Error> {
    match client.apiserver_version().await {
        Err(error @ (kube::Error::HyperError(_) | kube::Error::Service(_))) => Err(Error::Cluster(innermost(&error))),
        _ => Ok(()),
    }
}

/// Waits for a signal (true), or for a part that ended by itself (false).
async fn told_to_stop(stop: &CancellationToken) -> Result<bool, Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    Ok(tokio::select! {
        _ = terminate.recv() => true,
        _ = interrupt.recv() => true,
        () = stop.cancelled() => false,
    })
}

fn settings(args: Args) -> Settings {
    let named = args.identity.or_else(|| std::env::var("POD_NAME").ok()).filter(|name| !name.is_empty());
    Settings {
        identity: named.unwrap_or_else(|| format!("extapp-{}", clock::random_id())),
        namespaces: args.watch_namespaces,
        concurrency: args.concurrency,
        insecure_hosts: args.allow_insecure_hosts,
        request_timeout: Duration::from_secs(args.request_timeout),
        requests_per_minute: args.requests_per_minute,
        features: Features {
            watch_consumers: args.watch_consumers || args.restart_workloads,
            restart_workloads: args.restart_workloads,
        },
        clock: Clock::system(),
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut current = error;
    while let Some(source) = current.source() {
        current = source;
    }
    current.to_string()
}
