//! What the operator tells those who run it: endpoints, logs, and one clear sentence where it cannot start.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use extapp::api::{ROLLBACK, ROTATE};
use extapp::controller::rbac::{Extras, manifest};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::Value;

use crate::rotation::says;
use crate::support::control_plane::{ControlPlane, Options};
use crate::support::own_client;
use crate::support::process::Launch;
use crate::support::world::{LIMIT, Variations, World, ready};
use crate::support::{Context, LocalCloud, Operator, Program, Result, apply_yaml, apply_yaml_in, assets, eventually};
use crate::support::{installation, wait_for};

const PROGRAM: &str = env!("CARGO_BIN_EXE_extapp");

async fn get(operator: &Operator, path: &str) -> Result<(u16, String)> {
    let answer = reqwest::get(format!("{}{path}", operator.url())).await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

fn application(name: &str, server_namespace: &str) -> String {
    format!(
        "apiVersion: extapp.dev/v1alpha1\nkind: ExternalApplication\nmetadata: {{name: {name}}}\nspec:\n  serverRef: {{name: cloud, namespace: {server_namespace}}}\n  type: Confidential\n  resources:\n  - name: UiPath.Orchestrator\n    applicationScopes: [OR.Queues]\n"
    )
}

#[tokio::test]
async fn it_is_ready_once_the_kinds_exist_and_needs_no_permission_beyond_its_namespaces() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    let client = plane.admin_client().await?;
    let (home, tenant) = (plane.unique_namespace("home").await?, plane.unique_namespace("tenant").await?);
    let outside = plane.unique_namespace("outside").await?;
    let program = Program::new(PROGRAM);
    let cloud = LocalCloud::builder(program.clone()).in_memory().start().await?;
    let builder = Operator::builder(program, &plane.operator_kubeconfig());
    let watched = [home.name(), tenant.name()];
    let mut operator = builder.watch_namespaces(watched).start_unready().await?;
    let failing =
        async || Ok(get(&operator, "/metrics").await?.1.contains("extapp_watch_failures_total{").then_some(()));
    eventually("a watch has failed", LIMIT, failing).await?;
    assert_eq!(get(&operator, "/healthz").await?.0, 200, "alive all the same");
    let (status, text) = get(&operator, "/readyz").await?;
    assert!(status == 503 && text.contains("kinds"), "{status} {text}");

    apply_yaml(&client, &installation::kinds()?).await?;
    apply_yaml(&client, &manifest(&watched.map(str::to_owned), Extras::default())).await?;
    operator.wait_ready(LIMIT).await?;
    apply_yaml_in(&client, home.name(), &cloud.credentials_manifest()?).await?;
    let server = format!(
        "apiVersion: extapp.dev/v1alpha1\nkind: AuthorizationServer\nmetadata: {{name: cloud}}\nspec:\n  uipath: {{url: '{}', organization: {}}}\n  credentialsRef: {{name: local-cloud-admin}}\n  allowedNamespaces: {{from: All}}\n",
        cloud.base_url(),
        cloud.organization()
    );
    apply_yaml_in(&client, home.name(), &server).await?;
    apply_yaml_in(&client, outside.name(), &application("stranger", home.name())).await?;
    let applications = |namespace: &str| Api::<extapp::api::ExternalApplication>::namespaced(client.clone(), namespace);
    for namespace in watched {
        apply_yaml_in(&client, namespace, &application("worker", home.name())).await?;
        let is_ready = |app: Option<&extapp::api::ExternalApplication>| {
            app.and_then(|app| app.status.as_ref()).is_some_and(|status| ready(&status.conditions))
        };
        wait_for(applications(namespace), "worker", LIMIT, is_ready).await?;
    }
    let stranger = applications(outside.name()).get("stranger").await?;
    assert!(stranger.finalizers().is_empty(), "{stranger:?}");
    assert!(stranger.status.is_none_or(|status| status.conditions.is_empty()), "what is outside is not looked at");
    let secrets: Api<Secret> = Api::namespaced(plane.operator_client().await?, outside.name());
    assert!(secrets.list(&ListParams::default()).await.is_err(), "nor could it be");
    Ok(())
}

/// What needs more than this test has: a Kubernetes API that fails, pods, whose metrics are shown where there are some, and a
/// server that gives its secrets an end.
const ELSEWHERE: [&str; 5] = [
    "watch_failures",
    "undecodable_objects",
    "workload_restarts",
    "pods_holding_old_secrets",
    "extapp_credential_expiry_timestamp_seconds",
];

/// The other documented metrics.
fn documented() -> Result<Vec<String>> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md"))?;
    let names = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned));
    Ok(names.filter(|name| !ELSEWHERE.iter().any(|elsewhere| name.ends_with(elsewhere))).collect())
}

#[tokio::test]
async fn it_is_ready_while_its_server_is_down_and_counts_and_logs_what_it_does() -> Result<()> {
    let operator = ["--log-level", "debug", "--request-timeout", "1"].map(str::to_owned).to_vec();
    let mut world = World::with("observed", Variations { operator, ..Variations::default() }).await?;
    let home = world.home.name().to_owned();
    world.confidential(&home, "worker", "  rotation: {interval: 1000h}\n").await?;
    world.until_ready("worker").await?;
    world.annotate("worker", ROTATE, "asked").await?;
    crate::rotation::until_rotated(&world, "worker", "asked").await?;
    // Nothing was replaced that could come back.
    world.confidential(&home, "steady", "").await?;
    world.until_ready("steady").await?;
    world.annotate("steady", ROLLBACK, "back").await?;
    world.until(&home, "steady", |_, status| says(status) == Some(("False", "RollbackImpossible"))).await?;
    world.permit("worker", "worker", "  roles: [Allow to be Automation User]\n").await?;
    world.until_permitted("worker").await?;
    let own = world.secret(&home, own_client::SECRET).await?["client-id"].clone();
    let end = extapp::clock::now() + jiff::SignedDuration::from_hours(24);
    let (_, value) = own_client::further(&world, &own, Some(end)).await?;
    own_client::put(&world, serde_json::json!({"client-secret": value})).await?;
    let expiring = |server: Option<&extapp::api::AuthorizationServer>| {
        let credential = server.and_then(|server| server.status.as_ref()?.credential.as_ref());
        credential.is_some_and(|credential| credential.expires_at.is_some())
    };
    wait_for(world.servers(), "cloud", LIMIT, expiring).await?;
    world.cloud.kill9()?;
    let before = world.operator.metrics().await?;
    world.operator.restart().await?;
    assert_eq!(get(&world.operator, "/readyz").await?.0, 200);
    let finding = async || Ok((world.metric("extapp_findings").await? > 0.0).then_some(()));
    eventually("the trouble is counted", LIMIT, finding).await?;
    let exposed = before + &world.operator.metrics().await?;
    for name in documented()? {
        let samples = |line: &&str| line.starts_with(&name) && !line.starts_with('#');
        assert!(exposed.lines().any(|line| samples(&line)), "{name} has no sample");
    }
    world.cloud.restart().await?;
    world.until_ready("worker").await?;

    let logs = world.operator.logs();
    let mut passes = 0;
    for line in logs.lines() {
        let entry: BTreeMap<String, Value> =
            serde_json::from_str(line).context(format!("not one JSON object: {line}"))?;
        assert!(entry.contains_key("timestamp") && entry.contains_key("level"), "{line}");
        let span = entry.get("span").cloned().unwrap_or_default();
        if span["object"] == "worker" && span["kind"] == "ExternalApplication" && span["namespace"] == home.as_str() {
            passes += 1;
        }
    }
    assert!(passes > 0, "the log says which object it speaks of:\n{logs}");
    Ok(())
}

fn run(args: &[&str], env: &[(&str, &str)]) -> Result<Output> {
    let mut command = Command::new(PROGRAM);
    command.args(args).env_clear().env("KUBECONFIG", "/nonexistent/kubeconfig").envs(env.iter().copied());
    Ok(command.output()?)
}

/// The options in the help of a command, each with its environment variable.
fn options(command: &str) -> Result<Vec<(String, Option<String>)>> {
    let help = String::from_utf8(run(&[command, "--help"], &[])?.stdout)?;
    let mut options: Vec<(String, Option<String>)> = Vec::new();
    for line in help.lines().map(str::trim) {
        if let Some(flag) =
            line.split_whitespace().find(|word| word.starts_with("--")).filter(|_| line.starts_with('-'))
        {
            options.push((flag.to_owned(), None));
        } else if let Some(variable) = line.strip_prefix("[env: ").and_then(|rest| rest.split('=').next()) {
            options.last_mut().context("a variable of no option")?.1 = Some(variable.to_owned());
        }
    }
    options.retain(|(flag, _)| flag != "--help");
    Ok(options)
}

#[test]
fn every_option_of_the_operator_has_the_environment_variable_of_its_name() -> Result<()> {
    let options = options("operator")?;
    assert!(options.len() >= 9, "{options:?}");
    for (flag, variable) in options {
        let name = format!("EXTAPP_{}", flag.trim_start_matches('-').replace('-', "_").to_uppercase());
        assert_eq!(variable.as_deref(), Some(name.as_str()), "{flag}");
    }
    Ok(())
}

#[tokio::test]
async fn environment_variables_alone_configure_an_operator() -> Result<()> {
    let plane = crate::support::shared().await?;
    let scratch = assets::scratch("environment-")?;
    let variables = [
        ("EXTAPP_METRICS_ADDRESS", "127.0.0.1:0"),
        ("EXTAPP_WATCH_NAMESPACES", "one,two"),
        ("EXTAPP_IDENTITY", "who-it-is"),
        ("EXTAPP_LOG_FORMAT", "json"),
        ("EXTAPP_LOG_LEVEL", "info"),
        ("EXTAPP_CONCURRENCY", "4"),
        ("EXTAPP_REQUEST_TIMEOUT", "3"),
        ("EXTAPP_REQUESTS_PER_MINUTE", "30"),
        ("EXTAPP_ALLOW_INSECURE_HOST", "orchestrator.internal"),
    ];
    let launch = Launch::new("operator", PROGRAM, scratch.path()).removing(scratch.path());
    let configure = |command: &mut Command| {
        command.arg("operator").env("KUBECONFIG", plane.operator_kubeconfig()).envs(variables);
    };
    let mut process = launch.command(configure).start()?;
    process.wait_for_line("admin endpoints on http://127.0.0.1", LIMIT).await?;
    let said = async || {
        let log = std::fs::read_to_string(process.log())?;
        Ok(log.lines().next().map(serde_json::from_str::<Value>).transpose()?)
    };
    let first = eventually("it says how it was started", LIMIT, said).await?;
    assert_eq!(first["identity"], "who-it-is", "{first}");
    assert!(
        first["namespaces"].to_string().contains("one") && first["namespaces"].to_string().contains("two"),
        "{first}"
    );
    Ok(())
}

#[test]
fn a_value_that_cannot_be_is_refused_by_name_wherever_it_comes_from() -> Result<()> {
    let wrong = [
        ("--concurrency", "0"),
        ("--request-timeout", "99"),
        ("--requests-per-minute", "0"),
        ("--metrics-address", "nowhere"),
        ("--log-format", "prose"),
        ("--log-level", "extapp=loudly"),
    ];
    for (flag, value) in wrong {
        let variable = format!("EXTAPP_{}", flag.trim_start_matches('-').replace('-', "_").to_uppercase());
        for output in [run(&["operator", flag, value], &[])?, run(&["operator"], &[(variable.as_str(), value)])?] {
            let said = String::from_utf8(output.stderr)?;
            assert!(!output.status.success() && output.stdout.is_empty(), "{flag} {value}: {said}");
            let first = said.lines().next().unwrap_or_default();
            assert!(first.contains(flag) && first.contains(value), "{flag} {value}: {said}");
        }
    }
    let unknown = run(&["operator", "--watch-namespace", "one"], &[])?;
    let said = String::from_utf8(unknown.stderr)?;
    assert!(!unknown.status.success() && said.contains("--watch-namespaces"), "the nearest one is named: {said}");
    Ok(())
}

/// The only line, the log aside, that a start which failed has written.
fn sentence(output: &Output) -> Result<String> {
    let said = String::from_utf8(output.stderr.clone())?;
    assert!(!output.status.success() && output.stdout.is_empty(), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    Ok(said)
}

#[tokio::test]
async fn without_a_cluster_it_ends_with_one_sentence() -> Result<()> {
    let none = sentence(&run(&["operator", "--metrics-address", "127.0.0.1:0"], &[])?)?;
    assert!(none.contains("no cluster") && none.contains("KUBECONFIG"), "{none}");

    // Nobody listens there any more.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let scratch = assets::scratch("cluster-")?;
    let file = scratch.path().join("kubeconfig");
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}], users: [{{name: u, user: {{}}}}], clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{port}'}}}}]}}"
    );
    std::fs::write(&file, text)?;
    let file = file.to_string_lossy();
    let args = ["operator", "--log-level", "off", "--metrics-address", "127.0.0.1:0"];
    let closed = tokio::task::spawn_blocking({
        let file = file.into_owned();
        move || run(&args, &[("KUBECONFIG", &file)])
    });
    let closed = sentence(&tokio::time::timeout(LIMIT, closed).await.context("it goes on for ever")???)?;
    assert!(closed.contains("no cluster") && closed.contains("refused"), "{closed}");

    // A port that is in use.
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let kubeconfig = crate::support::shared().await?.operator_kubeconfig();
    let kubeconfig = kubeconfig.to_string_lossy();
    let args = ["operator", "--log-level", "off", "--metrics-address", &address];
    let said = sentence(&run(&args, &[("KUBECONFIG", &kubeconfig)])?)?;
    assert!(said.contains("--metrics-address") && said.contains(&address), "{said}");
    Ok(())
}
