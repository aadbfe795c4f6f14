//! A resync of many applications stays within the server's limits, and people go before it.

use extapp::api::{AuthorizationServer, ExternalApplication};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::support::world::{LIMIT, ready};
use crate::support::{
    Context, LocalCloud, Operator, Program, Result, TestNamespace, apply_yaml_in, eventually, shared, wait_for,
};

/// Five times as many applications as requests in a minute.
const APPLICATIONS: usize = 300;
const PER_MINUTE: &str = "60";
/// Half of the limit is kept for people.
const RESYNC_SHARE: f64 = 30.0;
/// How often it is tried to see people's wishes met within one minute of the resync's.
const ATTEMPTS: usize = 5;

fn application(name: &str) -> String {
    format!(
        "---\napiVersion: extapp.dev/v1alpha1\nkind: ExternalApplication\nmetadata: {{name: {name}}}\nspec:\n  serverRef: {{name: cloud}}\n  type: Confidential\n  resources:\n  - name: UiPath.Orchestrator\n    applicationScopes: [OR.Queues]\n"
    )
}

async fn start(namespace: &TestNamespace, limit: &str) -> Result<Operator> {
    let kubeconfig = shared().await?.operator_kubeconfig();
    let builder = Operator::builder(Program::new(env!("CARGO_BIN_EXE_extapp")), &kubeconfig);
    let builder = builder.watch_namespaces([namespace.name()]).identity(namespace.name());
    builder.args(["--requests-per-minute", limit]).start().await
}

/// What the operator may still ask of the server in this minute, by its own count.
async fn left(operator: &Operator, method: &str) -> Result<Option<f64>> {
    let text = operator.metrics().await?;
    let label = format!("method=\"{method}\"");
    let line = text.lines().find(|line| line.starts_with("extapp_server_budget_remaining{") && line.contains(&label));
    Ok(line.and_then(|line| line.rsplit(' ').next()?.parse().ok()))
}

/// How many applications are as a test wants them.
async fn count(api: &Api<ExternalApplication>, wanted: impl Fn(&ExternalApplication) -> bool) -> Result<usize> {
    Ok(api.list(&ListParams::default()).await?.iter().filter(|app| wanted(app)).count())
}

fn is_ready(app: &ExternalApplication) -> bool {
    app.status
        .as_ref()
        .is_some_and(|status| status.observed_generation == app.metadata.generation && ready(&status.conditions))
}

/// The answers to the operator, tokens and metadata aside: by method and status.
fn answers(log: &[String]) -> Result<Vec<(String, u64)>> {
    let mut answers = Vec::new();
    for line in log {
        let entry: Value = serde_json::from_str(line)?;
        if entry["path"].as_str().is_some_and(|path| path.contains("/api/")) {
            let method = entry["method"].as_str().unwrap_or_default().to_owned();
            answers.push((method, entry["status"].as_u64().unwrap_or_default()));
        }
    }
    Ok(answers)
}

#[tokio::test]
async fn a_resync_of_many_applications_leaves_room_for_people_and_never_meets_the_limit() -> Result<()> {
    let plane = shared().await?;
    let client = plane.admin_client().await?;
    let home = plane.unique_namespace("budget").await?;
    let limits = ["get", "post", "put", "delete"].map(|method| format!("--rate-limit-{method}"));
    let builder = LocalCloud::builder(Program::new(env!("CARGO_BIN_EXE_extapp")));
    let unlimited = limits.iter().fold(builder, |builder, flag| builder.env(&env_name(flag), "0"));
    let mut cloud = unlimited.start().await?;
    let mut operator = start(&home, "1000000").await?;
    apply_yaml_in(&client, home.name(), &cloud.credentials_manifest()?).await?;
    let server = format!(
        "apiVersion: extapp.dev/v1alpha1\nkind: AuthorizationServer\nmetadata: {{name: cloud}}\nspec:\n  uipath: {{url: '{}', organization: {}}}\n  credentialsRef: {{name: local-cloud-admin}}\n  driftInterval: 1s\n",
        cloud.base_url(),
        cloud.organization()
    );
    apply_yaml_in(&client, home.name(), &server).await?;
    let many: String = (0..APPLICATIONS).map(|number| application(&format!("app-{number}"))).collect();
    apply_yaml_in(&client, home.name(), &many).await?;
    let api: Api<ExternalApplication> = Api::namespaced(client.clone(), home.name());
    let all = async || Ok((count(&api, is_ready).await? == APPLICATIONS).then_some(()));
    eventually("all applications are Ready", LIMIT, all).await?;

    // The same server with a limit, and an operator that knows it and has to compare everything anew.
    operator.stop().await?;
    for flag in &limits {
        cloud.add_arg(format!("{flag}={PER_MINUTE}"));
    }
    cloud.add_arg("--rate-limit-window=60");
    cloud.restart().await?;
    let before = cloud.access_log()?.len();
    let operator = start(&home, PER_MINUTE).await?;
    let mut attempts = 0;
    loop {
        attempts += 1;
        if served_beside_the_resync(&cloud, &operator, &client, home.name(), attempts).await? {
            break;
        }
        assert!(attempts < ATTEMPTS, "the resync was never seen to wait while people's wishes were met");
    }

    let log = cloud.access_log()?;
    let answers = answers(&log[before..])?;
    assert!(answers.iter().all(|(_, status)| *status != 429), "{answers:?}");
    let of = |method: &str| answers.iter().filter(|(used, _)| used == method).count();
    assert!((of("POST"), of("PUT"), of("DELETE")) == (attempts, attempts, 0), "only what was wished: {answers:?}");
    assert_eq!(count(&api, is_ready).await?, APPLICATIONS + attempts, "to wait for the next minute is no trouble");
    let servers: Api<AuthorizationServer> = Api::namespaced(client, home.name());
    assert!(servers.get("cloud").await?.status.is_some_and(|status| ready(&status.conditions)));
    Ok(())
}

/// Applies a new application and renames one while the resync has used its share of the minute. Gives back whether the
/// resync waited for as long as that took: on a slow machine its next share may have come meanwhile, which proves
/// nothing.
async fn served_beside_the_resync(
    cloud: &LocalCloud,
    operator: &Operator,
    client: &Client,
    namespace: &str,
    attempt: usize,
) -> Result<bool> {
    let api: Api<ExternalApplication> = Api::namespaced(client.clone(), namespace);
    let used_up = async || Ok(left(operator, "GET").await?.filter(|left| *left <= RESYNC_SHARE).map(|_| ()));
    eventually("the resync has used its share", LIMIT, used_up).await?;
    let before = cloud.access_log()?.len();
    let newcomer = format!("newcomer-{attempt}");
    apply_yaml_in(client, namespace, &application(&newcomer)).await?;
    let rename = Patch::Merge(json!({"spec": {"displayName": format!("Renamed {attempt}")}}));
    api.patch("app-7", &PatchParams::default(), &rename).await?;
    let mut wished = Vec::new();
    for name in [newcomer.as_str(), "app-7"] {
        let met = |app: Option<&ExternalApplication>| app.is_some_and(is_ready);
        let app = wait_for(api.clone(), name, LIMIT, met).await?.context("the application is gone")?;
        wished.push(app.status.and_then(|status| status.client_id).context("it has no registration")?);
    }
    let others = |line: &&String| {
        line.contains("\"GET\"") && line.contains("/api/ExternalClient/") && !wished.iter().any(|id| line.contains(id))
    };
    let resynced = cloud.access_log()?[before..].iter().filter(others).count();
    // One may have been on its way, and a newcomer may look at the list of all.
    Ok(resynced <= 2)
}

/// The environment variable of a flag: unlike the flag, it may be overruled at a later start.
fn env_name(flag: &str) -> String {
    let name = flag.trim_start_matches("--");
    format!("EXTAPP_LOCAL_CLOUD_{}", name.replace('-', "_").to_uppercase())
}
