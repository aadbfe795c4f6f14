//! The control plane that the other tests stand on does what they rely on.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::runtime::wait::conditions;
use kube::{Api, Client};
use serde_json::json;

use crate::support::control_plane::{ADMINISTRATOR, OPERATOR};
use crate::support::process::{Launch, runs};
use crate::support::{Context, ControlPlane, Options, Result, apply_yaml_in, eventually, shared, wait_for};

const LIMIT: Duration = Duration::from_mins(2);
/// Names the file in which the helper process below reports what it has started.
const REPORT_VARIABLE: &str = "EXTAPP_TEST_CONTROL_PLANE_REPORT";

async fn groups_of(client: Client) -> Result<(String, Vec<String>)> {
    let reviews: Api<SelfSubjectReview> = Api::all(client);
    let review = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await?;
    let user = review.status.and_then(|status| status.user_info).context("the answer names no user")?;
    Ok((user.username.unwrap_or_default(), user.groups.unwrap_or_default()))
}

#[tokio::test]
async fn the_two_identities_are_an_administrator_and_the_operators_service_account() -> Result<()> {
    let control_plane = shared().await?;
    let (administrator, groups) = groups_of(control_plane.admin_client().await?).await?;
    assert_eq!(administrator, ADMINISTRATOR);
    assert!(groups.iter().any(|group| group == "system:masters"), "{groups:?}");

    let (operator, groups) = groups_of(control_plane.operator_client().await?).await?;
    assert_eq!(operator, OPERATOR);
    for group in ["system:serviceaccounts", "system:serviceaccounts:extapp-system", "system:authenticated"] {
        assert!(groups.iter().any(|held| held == group), "{group} is missing in {groups:?}");
    }
    assert!(!groups.iter().any(|group| group == "system:masters"), "{groups:?}");
    Ok(())
}

#[tokio::test]
async fn a_config_map_goes_when_its_owner_is_deleted() -> Result<()> {
    let control_plane = shared().await?;
    let client = control_plane.admin_client().await?;
    let namespace = control_plane.unique_namespace("garbage").await?;
    let config_maps: Api<ConfigMap> = Api::namespaced(client, namespace.name());
    let named = |name: &str| ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };

    let owner = ConfigMap { metadata: named("owner"), ..ConfigMap::default() };
    let owner = config_maps.create(&PostParams::default(), &owner).await?;
    let uid = owner.metadata.uid.context("an object without uid")?;
    let reference = OwnerReference {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        name: "owner".into(),
        uid: uid.clone(),
        ..OwnerReference::default()
    };
    let metadata = ObjectMeta { owner_references: Some(vec![reference]), ..named("owned") };
    let dependent = config_maps.create(&PostParams::default(), &ConfigMap { metadata, ..ConfigMap::default() }).await?;
    let dependent = dependent.metadata.uid.context("an object without uid")?;

    config_maps.delete("owner", &DeleteParams::background()).await?;
    wait_for(config_maps.clone(), "owner", LIMIT, conditions::is_deleted(&uid)).await?;
    wait_for(config_maps, "owned", LIMIT, conditions::is_deleted(&dependent)).await?;
    Ok(())
}

#[tokio::test]
async fn the_deletion_of_a_namespace_ends_with_all_that_is_in_it() -> Result<()> {
    let control_plane = shared().await?;
    let client = control_plane.admin_client().await?;
    let namespace = control_plane.unique_namespace("ending").await?;
    let yaml = "{apiVersion: v1, kind: ConfigMap, metadata: {name: one}}\n---\n---\n\
                {apiVersion: v1, kind: Secret, metadata: {name: two}, stringData: {key: value}}\n";
    assert_eq!(apply_yaml_in(&client, namespace.name(), yaml).await?.len(), 2);

    let namespaces: Api<Namespace> = Api::all(client.clone());
    let uid = namespaces.get(namespace.name()).await?.metadata.uid.context("an object without uid")?;
    namespaces.delete(namespace.name(), &DeleteParams::default()).await?;
    wait_for(namespaces, namespace.name(), LIMIT, conditions::is_deleted(&uid)).await?;
    Ok(())
}

#[tokio::test]
async fn kubectl_speaks_to_it_as_the_administrator() -> Result<()> {
    let output = shared().await?.kubectl(["auth", "whoami", "--output", "name"]).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[tokio::test]
async fn a_second_one_runs_beside_the_first_with_users_and_an_issuer_of_its_own() -> Result<()> {
    let options = Options::default().user("jane", &["developers"]).reachable_issuer();
    let (first, second) = tokio::join!(shared(), ControlPlane::start(options));
    let (first, second) = (first?, second?);
    assert_ne!(first.url(), second.url());

    let (user, groups) = groups_of(second.client_for("jane").await?).await?;
    assert_eq!(user, "jane");
    assert!(groups.iter().any(|group| group == "developers"), "{groups:?}");
    assert!(first.kubeconfig_for("jane").is_err(), "the first one was started without jane");

    let certificate = reqwest::Certificate::from_pem_bundle(&std::fs::read(second.certificate())?)?;
    let stranger = reqwest::Client::builder().tls_certs_only(certificate).build()?;
    let discovery = format!("{}/.well-known/openid-configuration", second.url());
    let discovery: serde_json::Value = stranger.get(discovery).send().await?.error_for_status()?.json().await?;
    assert_eq!(discovery["issuer"], json!(second.url()));
    let keys = discovery["jwks_uri"].as_str().context("no jwks_uri")?;
    let keys: serde_json::Value = stranger.get(keys).send().await?.error_for_status()?.json().await?;
    assert_eq!(keys["keys"][0]["kty"], json!("RSA"));
    Ok(())
}

#[tokio::test]
async fn nothing_of_it_is_left_when_the_process_that_started_it_is_killed() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let report = directory.path().join("report");
    let mut owner = Command::new(std::env::current_exe()?)
        .args(["--exact", "control_plane::helper_that_holds_a_control_plane_until_it_is_killed", "--nocapture"])
        .env(REPORT_VARIABLE, &report)
        .stdout(Stdio::null())
        .spawn()?;
    let started = eventually("the helper has started a control plane", LIMIT, async || {
        assert!(owner.try_wait()?.is_none(), "the helper ended");
        Ok(std::fs::read_to_string(&report).ok())
    });
    let started: serde_json::Value = serde_json::from_str(&started.await?)?;
    let pids: Vec<u32> = serde_json::from_value(started["pids"].clone())?;
    let scratch = PathBuf::from(started["scratch"].as_str().context("no scratch folder")?);
    assert!(pids.len() == 3 && pids.iter().all(|&pid| runs(pid)) && scratch.is_dir(), "{started}");

    owner.kill()?;
    owner.wait()?;
    eventually("its processes and its folder are gone", LIMIT, async || {
        let left: Vec<_> = pids.iter().filter(|&&pid| runs(pid)).collect();
        if left.is_empty() && !scratch.exists() {
            return Ok(Some(()));
        }
        Err(crate::support::Error::new(format!("pids {left:?}, folder there: {}", scratch.exists())))
    })
    .await
}

/// No test of its own: the test above runs it in a process of its own.
#[tokio::test]
async fn helper_that_holds_a_control_plane_until_it_is_killed() -> Result<()> {
    let Some(report) = std::env::var_os(REPORT_VARIABLE).map(PathBuf::from) else { return Ok(()) };
    let control_plane = ControlPlane::start(Options::default()).await?;
    let pids = control_plane.processes().map(|(_, process)| process.pid());
    // Renamed into place, so that nobody reads half of it.
    let draft = report.with_extension("draft");
    std::fs::write(&draft, json!({"pids": pids, "scratch": control_plane.scratch()}).to_string())?;
    std::fs::rename(&draft, &report)?;
    std::future::pending().await
}

#[tokio::test]
async fn a_guarded_process_that_ends_at_start_is_reported_with_its_output() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let complain = |command: &mut Command| {
        command.args(["-c", "echo no such luck >&2; exit 3"]);
    };
    let mut process = Launch::new("unlucky", "/bin/sh", directory.path()).command(complain).start()?;
    let error = process.wait_for_line("ready", LIMIT).await.expect_err("it prints nothing").to_string();
    assert!(error.contains("exit status: 3") && error.contains("no such luck"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_guarded_process_can_be_asked_to_end_and_ends_when_dropped() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let sleeper = |name: &str| {
        let arguments = |command: &mut Command| {
            command.args(["-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"]);
        };
        Launch::new(name, "/bin/sh", directory.path()).command(arguments).start()
    };
    let mut asked = sleeper("asked")?;
    asked.wait_for_line("ready", LIMIT).await?;
    assert_eq!(asked.terminate_and_wait(LIMIT).await?.code(), Some(7));
    assert!(!asked.alive());

    let dropped = sleeper("dropped")?;
    let pid = dropped.pid();
    assert!(runs(pid) && Path::new(dropped.log()).exists());
    drop(dropped);
    assert!(!runs(pid));
    Ok(())
}
