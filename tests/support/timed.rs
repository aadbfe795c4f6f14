//! A world whose operator runs in this process, with a clock that a test moves.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use extapp::clock::Clock;
use extapp::controller::run;
use extapp::controller::{Context as Shared, Settings};
use extapp::metrics::Metrics;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use kube::api::ListParams;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::error::{Context, Result};
use super::world::{LIMIT, Variations, World};
use super::{eventually, kubeconfig};

/// How far the operator's clock is ahead of this machine's.
#[derive(Clone, Default)]
pub struct Hands(Arc<AtomicI64>);

impl Hands {
    pub fn now(&self) -> Timestamp {
        extapp::clock::now() + SignedDuration::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn forward(&self, by: SignedDuration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let hands = self.clone();
        Clock::from_fn(move || hands.now())
    }
}

/// An operator in this process. What it does stands still for good when it is killed, wherever it was.
struct Running {
    runtime: Option<Runtime>,
    shared: Arc<Shared>,
    stop: CancellationToken,
    ended: Option<JoinHandle<()>>,
}

impl Running {
    async fn start(kubeconfig: PathBuf, settings: Settings) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (stop, (tell, told)) = (CancellationToken::new(), oneshot::channel());
        let stopping = stop.clone();
        let ended = runtime.spawn(async move {
            // Whoever waits is told by the end of the channel.
            let Ok(client) = kubeconfig::client(&kubeconfig).await else { return };
            let operator = run::start(client, settings, Arc::new(Metrics::default()), &stopping);
            let _ = tell.send((operator.context.clone(), operator.ready.clone()));
            operator.ended().await;
        });
        let (shared, ready) = told.await.context("the operator did not start")?;
        let synced = async || Ok(ready.load(Ordering::SeqCst).then_some(()));
        eventually("the operator has listed everything", LIMIT, synced).await?;
        Ok(Self { runtime: Some(runtime), shared, stop, ended: Some(ended) })
    }

    async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        if let Some(ended) = self.ended.take() {
            tokio::time::timeout(LIMIT, ended).await.context("the operator does not end")??;
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub struct Timed {
    // Ends before the world does.
    operator: Option<Running>,
    pub hands: Hands,
    pub world: World,
}

impl Timed {
    pub async fn with(prefix: &str, variations: Variations) -> Result<Self> {
        let mut world = World::with(prefix, variations).await?;
        world.operator.stop().await?;
        let mut timed = Self { operator: None, hands: Hands::default(), world };
        timed.start().await?;
        Ok(timed)
    }

    /// Starts the operator, under the name that it always has.
    pub async fn start(&mut self) -> Result<()> {
        let watched = std::iter::once(&self.world.home).chain(&self.world.tenants);
        let settings = Settings {
            identity: self.world.home.name().to_owned(),
            namespaces: watched.map(|namespace| namespace.name().to_owned()).collect(),
            concurrency: 8,
            insecure_hosts: Vec::new(),
            request_timeout: Duration::from_secs(30),
            requests_per_minute: Some(100_000),
            clock: self.hands.clock(),
            features: extapp::domain::consumers::Features::default(),
        };
        self.operator = Some(Running::start(self.world.kubeconfig().to_owned(), settings).await?);
        Ok(())
    }

    /// Ends the operator in the middle of whatever it does.
    pub fn kill(&mut self) {
        self.operator = None;
    }

    /// Ends it as Kubernetes does.
    pub async fn stop(&mut self) -> Result<()> {
        match self.operator.take() {
            Some(operator) => operator.stop().await,
            None => Ok(()),
        }
    }

    /// Moves the clock forward, and has every application looked at: a wait that was begun before ends by this machine's
    /// time.
    pub async fn forward(&self, by: SignedDuration) -> Result<()> {
        self.hands.forward(by);
        self.look().await
    }

    /// Has every application looked at now.
    pub async fn look(&self) -> Result<()> {
        let Some(operator) = &self.operator else { return Ok(()) };
        let home = self.world.home.name();
        for app in self.world.applications(home).list(&ListParams::default()).await? {
            operator.shared.wake_application(&app.name_any(), home);
        }
        Ok(())
    }
}
