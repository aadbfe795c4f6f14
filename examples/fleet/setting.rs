//! What is measured: a control plane, an authorization server, and the operator.

use std::time::Duration;

use extapp::api::AuthorizationServer;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::far::Far;
use crate::support::process::processor_time;
use crate::support::wait::FIELD_MANAGER;
use crate::support::{ControlPlane, Operator, Options, Program, Result, apply_yaml, eventually, installation};
use crate::{Args, EXTAPP, floor};

pub const NAMESPACE: &str = "fleet";
pub const SERVER: &str = "far-end";
/// While the fleet is built and at the restart: no sweep comes between.
pub const SELDOM: &str = "1d";
const LIMIT: Duration = Duration::from_mins(1);
/// So many that the operator's own limit, which is UiPath's, does not count.
const REQUESTS_PER_MINUTE: &str = "10000000";

/// Everything that runs, dropped in this order.
pub struct Setting {
    pub operator: Operator,
    pub far: Far,
    /// The bare loop's own, so that its registrations are not in the operator's lists.
    pub floor_far: Far,
    far_is: &'static str,
    pub client: Client,
    pub control_plane: ControlPlane,
}

impl Setting {
    /// Starts everything, up to an operator that is connected to its server and has nothing to do.
    pub async fn start(args: &Args) -> Result<Self> {
        let program = Program::this_executable(EXTAPP)?;
        let (far, floor_far) = (args.server.start(&program).await?, args.server.start(&program).await?);
        let options = Options::default().manifest(installation::kinds()?).manifest(floor::kind()?);
        let control_plane = ControlPlane::start(options.manifest(installation::permissions())).await?;
        let client = control_plane.admin_client().await?;
        let operator = Operator::builder(program.clone(), &control_plane.operator_kubeconfig());
        let concurrency = args.concurrency.to_string();
        let flags =
            ["--concurrency", &concurrency, "--requests-per-minute", REQUESTS_PER_MINUTE, "--identity", "fleet"];
        let operator = operator.args(flags).start().await?;
        control_plane.add_namespace(NAMESPACE).await?;
        crate::support::apply_yaml_in(&client, NAMESPACE, &far.manifest(SERVER)?).await?;
        apply_yaml(&client, &server(&far)).await?;
        let far_is = args.server.name();
        let setting = Self { operator, far, floor_far, far_is, client, control_plane };
        setting.connected().await?;
        Ok(setting)
    }

    fn servers(&self) -> Api<AuthorizationServer> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    async fn connected(&self) -> Result<()> {
        let servers = self.servers();
        eventually("the server is connected", LIMIT, async || {
            let server = servers.get(SERVER).await?;
            let conditions = server.status.map(|status| status.conditions).unwrap_or_default();
            let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
            Ok(ready.then_some(()))
        })
        .await
    }

    /// How often the operator compares the server with what is wanted. Returns when it has said that it knows.
    pub async fn sweep_every(&self, interval: &str) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": {"driftInterval": interval}}));
        let servers = self.servers();
        servers.patch(SERVER, &PatchParams::apply(FIELD_MANAGER), &patch).await?;
        eventually("the new interval is known", LIMIT, async || {
            let server = servers.get(SERVER).await?;
            let observed = server.status.as_ref().and_then(|status| status.observed_generation);
            Ok((observed == server.metadata.generation).then_some(()))
        })
        .await
    }

    /// Processor time used so far, by process.
    pub fn processor_times(&mut self) -> Vec<(&'static str, Duration)> {
        let mut times = vec![("operator", self.operator.process().processor_time())];
        times.extend(self.control_plane.processes().map(|(name, process)| (name, process.processor_time())));
        let servers = [self.far.process().processor_time(), self.floor_far.process().processor_time()];
        times.push((self.far_is, servers.into_iter().flatten().reduce(|sum, time| sum + time)));
        times.push(("load", processor_time("self")));
        times.into_iter().map(|(name, time)| (name, time.unwrap_or_default())).collect()
    }

    /// Memory of the operator's process in KiB.
    pub fn memory(&mut self) -> u64 {
        self.operator.process().resident_kib().unwrap_or_default()
    }
}

fn server(far: &Far) -> String {
    json!({
        "apiVersion": "extapp.dev/v1alpha1", "kind": "AuthorizationServer",
        "metadata": {"name": SERVER, "namespace": NAMESPACE},
        "spec": far.spec(SELDOM)
    })
    .to_string()
}
