//! The workloads of the examples find what they refer to, and what they run works with it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{Manifest, manifests, pod_of, program};
use crate::support::assets::scratch;
use crate::support::world::{Keys, Variations, World};
use crate::support::{Context, Error, Result, shared};

/// Applies the applications of an example to the namespace and the server of a world, and waits until they are Ready.
pub(super) async fn register(world: &World, place: &str) -> Result<()> {
    for mut manifest in manifests(place)?.into_iter().filter(|manifest| manifest.kind() == "ExternalApplication") {
        manifest.object["metadata"]["namespace"] = json!(world.home.name());
        manifest.object["spec"]["serverRef"] = json!({"name": "cloud"});
        world.apply(&manifest.object.to_string()).await?;
        world.until_ready(manifest.name()).await?;
    }
    Ok(())
}

/// A world whose server looks up the API server's keys.
async fn trusting_the_cluster() -> Result<World> {
    let authority = shared().await?.certificate().display().to_string();
    let cloud = vec!["--issuer-ca".into(), authority];
    World::with("examples", Variations { cloud, ..Variations::default() }).await
}

/// What a pod refers to: the kind and name of an object, and the keys that must be in it.
fn references(pod: &Value) -> BTreeMap<(&'static str, String), BTreeSet<String>> {
    let mut found: BTreeMap<(&str, String), BTreeSet<String>> = BTreeMap::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for volume in list(&pod["spec"]["volumes"]) {
        for (kind, source, name) in
            [("Secret", &volume["secret"], "secretName"), ("ConfigMap", &volume["configMap"], "name")]
        {
            if source[name].is_string() {
                let keys = found.entry((kind, text(&source[name]))).or_default();
                keys.extend(list(&source["items"]).iter().map(|item| text(&item["key"])));
            }
        }
    }
    for container in list(&pod["spec"]["containers"]) {
        for from in list(&container["envFrom"]) {
            if from["secretRef"]["name"].is_string() {
                found.entry(("Secret", text(&from["secretRef"]["name"]))).or_default();
            }
        }
        for from in list(&container["env"]).iter().map(|variable| &variable["valueFrom"]["secretKeyRef"]) {
            if from["name"].is_string() {
                found.entry(("Secret", text(&from["name"]))).or_default().insert(text(&from["key"]));
            }
        }
    }
    found
}

#[tokio::test]
async fn every_secret_that_a_workload_refers_to_is_published_with_the_keys_that_it_needs() -> Result<()> {
    let world = trusting_the_cluster().await?;
    let mut checked = 0;
    for place in ["mounted-secret", "environment", "desktop", "spring-boot", "ci-job", "no-secret"] {
        register(&world, place).await?;
        let all = manifests(place)?;
        for (manifest, pod) in all.iter().filter_map(|manifest| Some((manifest, pod_of(manifest)?))) {
            for ((kind, name), keys) in references(&pod) {
                let said = format!("{}: {kind} {name}", manifest.said());
                let have: BTreeSet<String> = match kind {
                    "Secret" => world.secret(world.home.name(), &name).await.context(&said)?.into_keys().collect(),
                    _ => match brought(&all, &name) {
                        Some(keys) => keys,
                        None => world.config_map(&name).await.context(&said)?.into_keys().collect(),
                    },
                };
                assert!(keys.is_subset(&have), "{said}: {keys:?} of {have:?}");
                checked += 1;
            }
        }
    }
    assert!(checked >= 8, "{checked} references");
    Ok(())
}

/// The keys of a ConfigMap that the example brings itself.
fn brought(all: &[Manifest], name: &str) -> Option<BTreeSet<String>> {
    let map = all.iter().find(|manifest| manifest.kind() == "ConfigMap" && manifest.name() == name)?;
    Some(map.object["data"].as_object()?.keys().cloned().collect())
}

/// Puts the keys where a kubelet would.
fn mounted(keys: &Keys, folder: &Path) -> Result<()> {
    for (key, value) in keys {
        std::fs::write(folder.join(key), value)?;
    }
    Ok(())
}

fn printed(command: &mut Command) -> Result<String> {
    let output = command.output().context(format!("{command:?}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::new(format!("{}", String::from_utf8_lossy(&output.stderr))))
}

/// Runs the function `token` of a Python program, and gives back the scope of what it got.
fn scope_got(folder: &Path, module: &str, environment: &[(String, String)]) -> Result<String> {
    let call = format!("import {module}; print({module}.token()['scope'])");
    let mut python = Command::new(std::env::var("PYTHON").unwrap_or_else(|_| "python3".into()));
    python.current_dir(folder).args(["-c", &call]).envs(environment.iter().cloned());
    Ok(printed(&mut python)?.trim().to_owned())
}

#[tokio::test]
async fn the_workers_get_a_token_from_mounted_files_and_from_the_environment() -> Result<()> {
    let world = World::new("examples").await?;
    let folder = scratch("examples-")?;
    register(&world, "mounted-secret").await?;
    let credentials = folder.path().join("oauth");
    std::fs::create_dir(&credentials)?;
    mounted(&world.secret(world.home.name(), "invoice-worker-oauth").await?, &credentials)?;
    std::fs::write(folder.path().join("worker.py"), program("mounted-secret", "worker.py")?)?;
    let place = ("CREDENTIALS".to_owned(), credentials.display().to_string());
    assert_eq!(scope_got(folder.path(), "worker", &[place])?, "OR.Default OR.Queues");

    register(&world, "environment").await?;
    let keys = world.secret(world.home.name(), "report-exporter-env").await?;
    let container = &manifests("environment/exporter.yaml")?[0].object["spec"]["template"]["spec"]["containers"][0];
    let prefix = container["envFrom"][0]["prefix"].as_str().context("a prefix")?.to_owned();
    let variables: Vec<_> = keys.into_iter().map(|(key, value)| (format!("{prefix}{key}"), value)).collect();
    std::fs::write(folder.path().join("exporter.py"), program("environment", "exporter.py")?)?;
    assert_eq!(scope_got(folder.path(), "exporter", &variables)?, "OR.Default OR.Jobs.Read");
    Ok(())
}

/// A curl that writes down how it was called.
const RECORDER: &str = "#!/bin/sh\nprintf '%s\\n' \"$*\" >>\"$CALLS\"\nexec \"$CURL\" \"$@\"\n";

#[tokio::test]
async fn the_ci_job_calls_orchestrator_and_neither_secret_nor_token_is_on_a_command_line() -> Result<()> {
    let world = World::new("examples").await?;
    register(&world, "ci-job").await?;
    let folder = scratch("examples-")?;
    let keys = world.secret(world.home.name(), "release-pipeline-oauth").await?;
    mounted(&keys, folder.path())?;
    let (script, recorder, calls) =
        (folder.path().join("job.sh"), folder.path().join("bin/curl"), folder.path().join("calls"));
    std::fs::write(&script, program("ci-job", "list-folders.sh")?)?;
    std::fs::create_dir(folder.path().join("bin"))?;
    std::fs::write(&recorder, RECORDER)?;
    std::fs::set_permissions(&recorder, std::fs::Permissions::from_mode(0o755))?;

    let orchestrator = MockServer::start().await;
    let folders = json!({"value": [{"FullyQualifiedName": "Shared"}]});
    let answer = ResponseTemplate::new(200).set_body_json(&folders);
    Mock::given(method("GET")).and(path("/odata/Folders")).respond_with(answer).expect(1).mount(&orchestrator).await;
    let search = std::env::var("PATH").unwrap_or_default();
    let mut job = Command::new("sh");
    job.arg(&script)
        .env("CREDENTIALS", folder.path())
        .env("ORCHESTRATOR_URL", orchestrator.uri())
        .env("CALLS", &calls)
        .env("CURL", printed(Command::new("sh").args(["-c", "command -v curl"])).context("install curl")?.trim())
        .env("PATH", format!("{}:{search}", folder.path().join("bin").display()));
    let said = tokio::task::spawn_blocking(move || printed(&mut job)).await??;
    assert_eq!(serde_json::from_str::<Value>(&said)?, folders);

    let requests = orchestrator.received_requests().await.context("requests")?;
    assert_eq!(requests[0].url.query(), Some("%24select=FullyQualifiedName"));
    let bearer = requests[0].headers["authorization"].to_str()?;
    let token = bearer.strip_prefix("Bearer ").context("a bearer token")?;
    assert!(token.split('.').count() == 3, "the token of the server");
    let calls = std::fs::read_to_string(calls)?;
    assert_eq!(calls.lines().count(), 2, "{calls}");
    assert!(!calls.contains(token) && !calls.contains(&keys["client-secret"]), "{calls}");
    Ok(())
}

/// What the kubelet puts into the projected volume of a pod.
async fn projected(world: &World, pod: &Value) -> Result<String> {
    let volumes = pod["spec"]["volumes"].as_array().context("volumes")?;
    let source = volumes.iter().find_map(|volume| volume.pointer("/projected/sources/0/serviceAccountToken"));
    let source = source.context("a projected token")?;
    let account = pod["spec"]["serviceAccountName"].as_str().context("a service account")?;
    let request =
        json!({"spec": {"audiences": [source["audience"]], "expirationSeconds": source["expirationSeconds"]}});
    let accounts: Api<ServiceAccount> = Api::namespaced(world.client.clone(), world.home.name());
    let request: TokenRequest = serde_json::from_value(request)?;
    let answer = accounts.create_token_request(account, &PostParams::default(), &request).await?;
    Ok(answer.status.context("a token")?.token)
}

#[tokio::test]
async fn the_job_without_a_secret_trades_the_token_of_its_service_account_and_puts_it_on_no_command_line() -> Result<()>
{
    let world = trusting_the_cluster().await?;
    let all = manifests("no-secret")?;
    let mut account =
        all.iter().find(|manifest| manifest.kind() == "ServiceAccount").context("an account")?.object.clone();
    account["metadata"]["namespace"] = json!(world.home.name());
    world.apply(&account.to_string()).await?;
    register(&world, "no-secret").await?;
    let pod = all.iter().find_map(pod_of).context("a pod")?;
    let assertion = projected(&world, &pod).await?;
    let folder = scratch("examples-")?;
    let details = world.config_map("queue-report-oauth").await?;
    assert!(!details.contains_key("client-secret"));
    mounted(&details, folder.path())?;
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("assertion"), &assertion)?;
    std::fs::write(at("job.sh"), program("no-secret", "get-token.sh")?)?;
    std::fs::create_dir(at("bin"))?;
    std::fs::write(at("bin/curl"), RECORDER)?;
    std::fs::set_permissions(at("bin/curl"), std::fs::Permissions::from_mode(0o755))?;
    let search = std::env::var("PATH").unwrap_or_default();
    let mut job = Command::new("sh");
    job.arg(at("job.sh"))
        .env("DETAILS", folder.path())
        .env("ASSERTION", at("assertion"))
        .env("CALLS", at("calls"))
        .env("CURL", printed(Command::new("sh").args(["-c", "command -v curl"])).context("install curl")?.trim())
        .env("PATH", format!("{}:{search}", at("bin").display()));
    let said = tokio::task::spawn_blocking(move || printed(&mut job)).await??;
    assert_eq!(said.trim(), "a token for OR.Default OR.Queues.Read");
    let calls = std::fs::read_to_string(at("calls"))?;
    assert!(calls.lines().count() == 1 && !calls.contains(&assertion), "{calls}");
    Ok(())
}

#[tokio::test]
async fn spring_is_told_what_it_needs_in_the_form_that_it_takes() -> Result<()> {
    let world = World::new("examples").await?;
    register(&world, "spring-boot").await?;
    let binding = world.secret(world.home.name(), "ledger-oauth").await?;
    let said = |key: &str| binding.get(key).map(String::as_str).unwrap_or_default();
    assert_eq!((said("type"), said("provider"), said("scope")), ("oauth2", "uipath", "OR.Default,OR.Queues"));
    assert_eq!(said("authorization-grant-type"), "client_credentials");
    assert!(!binding.contains_key("issuer-uri"), "nothing is asked of the issuer at the start");
    assert!(world.works(&binding).await?, "with the secret that was added");

    let file = world.secret(world.home.name(), "approvals-properties").await?;
    let properties: Value = serde_saphyr::from_str(&file["application.yaml"])?;
    let client = &properties["spring.security.oauth2.client"];
    let (people, itself) = (&client["registration"]["people"], &client["registration"]["itself"]);
    assert_eq!(people["client-secret"], json!(file["client-secret"]), "whatever characters it holds");
    assert_eq!(people["scope"], json!("OR.Jobs.Read,OR.Tasks"));
    assert_eq!(people["redirect-uri"], json!("https://approvals.example.com/login/oauth2/code/people"));
    assert_eq!((&itself["scope"], &itself["client-id"]), (&json!("OR.Default,OR.Tasks.Read"), &people["client-id"]));
    for key in ["authorization-uri", "token-uri", "jwk-set-uri"] {
        assert!(client["provider"]["uipath"][key].as_str().is_some_and(|uri| uri.starts_with("http")), "{key}");
    }
    Ok(())
}
