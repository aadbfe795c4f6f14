//! What a person wants to see, section by section; every section also notes whether it is as it should be.

use std::collections::BTreeMap;

use extapp::api::ExternalApplication;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;

use crate::checks::Checks;
use crate::manifests::SERVER_NAMESPACE;
use crate::progress::{condition, heading};
use crate::stage::{Server, Stage};
use crate::support::{Context, Error, Result};
use crate::{hydra, permission, rotation, sign_in, token};

/// How many lines of the catalogue are shown.
const CATALOGUE_LINES: usize = 6;

pub async fn print(stage: &Stage, checks: &mut Checks) -> Result<()> {
    applications(stage, checks).await?;
    let secret = secret(stage, checks).await?;
    match stage.server()? {
        Server::LocalCloud(_) => {
            claims(stage, &secret, checks).await?;
            permission::show(stage, &secret, checks).await?;
            let details = config_map(stage, checks).await?;
            sign_in::show(&details, stage.password(), checks).await?;
            rotation::show(stage, checks).await?;
        }
        Server::Hydra(hydra) => {
            hydra::claims(&secret, stage.scene.worker, checks).await?;
            hydra::client(hydra, &secret, checks).await?;
            config_map(stage, checks).await?;
            hydra::replacement(stage, &secret, checks).await?;
        }
    }
    refusal(stage, checks).await?;
    catalogue(stage, checks)
}

fn kubectl(stage: &Stage, arguments: &[&str]) -> Result<String> {
    let output = stage.kubectl(arguments)?.output().context("kubectl")?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::new(format!("kubectl {}: {errors}", arguments.join(" "))))
}

/// Shows a command and what it prints, at most so many lines of it.
fn show(stage: &Stage, arguments: &[&str], lines: usize) -> Result<String> {
    let text = kubectl(stage, arguments)?;
    println!("  $ kubectl {}", arguments.join(" "));
    for line in text.lines().take(lines) {
        println!("  {}", line.trim_end());
    }
    let more = text.lines().count().saturating_sub(lines);
    if more > 0 {
        println!("  … and {more} more");
    }
    Ok(text)
}

async fn applications(stage: &Stage, checks: &mut Checks) -> Result<()> {
    heading("The applications");
    let table = show(stage, &["get", "extapp", "-A"], usize::MAX)?;
    let client = stage.client().await?;
    for expected in stage.scene.applications {
        let api: Api<ExternalApplication> = Api::namespaced(client.clone(), expected.namespace);
        let app = api.get(expected.name).await?;
        let ready = condition(&app, "Ready").context(format!("{} has no condition Ready", expected.name))?;
        let status = if expected.ready { "True" } else { "False" };
        checks.equal(format!("READY of {}", expected.name), &ready.status.as_str(), &status);
        checks.equal(format!("REASON of {}", expected.name), &ready.reason.as_str(), &expected.reason);
        let row = table.lines().find(|line| line.contains(expected.name)).unwrap_or_default();
        let shown = row.split_whitespace().nth(2).unwrap_or_default();
        checks.equal(format!("the column READY of {}", expected.name), &shown, &status);
    }
    Ok(())
}

async fn secret(stage: &Stage, checks: &mut Checks) -> Result<BTreeMap<String, String>> {
    let worker = stage.scene.worker;
    heading(&format!("What {worker} gets: the Secret {worker}-oauth in its namespace"));
    let (kind, data) = published(stage).await?;
    println!("  type: {kind}");
    for (key, value) in &data {
        let shown = if key == "client-secret" { "(not shown here)" } else { value };
        println!("  {key:<20}{shown}");
    }
    checks.equal("type of the Secret", &kind.as_str(), &"servicebinding.io/oauth2");
    for key in ["type", "provider", "client-id", "client-secret", "issuer-uri", "token-uri", "jwk-set-uri", "scope"] {
        checks.that(format!("the Secret has the key {key}"), data.get(key).is_some_and(|value| !value.is_empty()));
    }
    let mut scopes: Vec<_> = data.get("scope").map(|scope| scope.split(' ').collect()).unwrap_or_default();
    scopes.sort_unstable();
    checks.equal("scope in the Secret", &scopes.join(" ").as_str(), &stage.scene.scope);
    Ok(data)
}

/// The Secret of the confidential application: its type and what it says.
pub async fn published(stage: &Stage) -> Result<(String, BTreeMap<String, String>)> {
    let api: Api<Secret> = Api::namespaced(stage.client().await?, "finance");
    let secret = api.get(&format!("{}-oauth", stage.scene.worker)).await?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let data = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, text(value.0))).collect();
    Ok((secret.type_.unwrap_or_default(), data))
}

async fn claims(stage: &Stage, secret: &BTreeMap<String, String>, checks: &mut Checks) -> Result<()> {
    heading("A token for invoice-sync, got with nothing but that Secret");
    println!("  POST token-uri  grant_type=client_credentials, client_id, client_secret, scope");
    let claims = token::claims(secret).await?;
    let text = |claim: &str| token::shown(&claims[claim]);
    for claim in ["iss", "sub", "sub_type", "prt_id", "aud", "scope"] {
        println!("  {claim:<20}{}", text(claim));
    }
    let lifetime = claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(end, start)| end - start);
    println!("  {:<20}{} s", "lifetime", lifetime.unwrap_or_default());
    let of = |key: &str| secret.get(key).cloned().unwrap_or_default();
    let sorted = |scopes: &str| {
        let mut names: Vec<_> = scopes.split(' ').map(str::to_owned).collect();
        names.sort();
        names.join(" ")
    };
    checks.equal("claim sub", &text("sub"), &of("client-id"));
    checks.equal("claim scope", &sorted(&text("scope")), &sorted(&of("scope")));
    let server: Api<extapp::api::AuthorizationServer> = Api::namespaced(stage.client().await?, SERVER_NAMESPACE);
    let organization = server.get(stage.scene.server).await?.status.and_then(|status| status.organization_id);
    checks.equal("claim prt_id", &text("prt_id"), &organization.unwrap_or_default());
    checks.equal("claim sub_type", &text("sub_type").as_str(), &"service.external");
    Ok(())
}

async fn config_map(stage: &Stage, checks: &mut Checks) -> Result<BTreeMap<String, String>> {
    let desktop = stage.scene.desktop;
    heading(&format!("What {desktop} gets: a ConfigMap, since it cannot keep a secret"));
    let api: Api<ConfigMap> = Api::namespaced(stage.client().await?, "people");
    let data = api.get(&format!("{desktop}-oauth")).await?.data.unwrap_or_default();
    for (key, value) in &data {
        println!("  {key:<20}{value}");
    }
    for key in ["client-id", "authorization-uri", "redirect-uri", "user-scope"] {
        checks.that(format!("the ConfigMap has the key {key}"), data.get(key).is_some_and(|value| !value.is_empty()));
    }
    checks.that("the ConfigMap carries no secret", !data.contains_key("client-secret"));
    Ok(data)
}

async fn refusal(stage: &Stage, checks: &mut Checks) -> Result<()> {
    let mistaken = stage.scene.mistaken;
    heading(&format!("What {mistaken} gets: an answer"));
    let path = r#"{.status.conditions[?(@.type=="Ready")].message}"#;
    let arguments = ["get", "extapp", mistaken, "-n", "people", "-o", &format!("jsonpath={path}")];
    let message = kubectl(stage, &arguments)?;
    println!("  {message}");
    println!("  (`kubectl describe extapp {mistaken} -n people` shows it too, with its Events)");
    checks.equal("the refusal", &message.as_str(), &stage.scene.suggestion);
    let api: Api<ExternalApplication> = Api::namespaced(stage.client().await?, "people");
    let registered = api.get(mistaken).await?.status.and_then(|status| status.client_id);
    checks.that(format!("nothing was registered for {mistaken}"), registered.is_none());
    Ok(())
}

fn catalogue(stage: &Stage, checks: &mut Checks) -> Result<()> {
    heading("What may be asked for: the server's catalogue, kept as objects");
    let table = show(stage, &["get", "apires", "-n", SERVER_NAMESPACE], CATALOGUE_LINES)?;
    let resource = stage.scene.resource;
    checks.that(format!("the catalogue has {resource}"), table.contains(resource));
    Ok(())
}

/// How to go on.
pub fn invitation(stage: &mut Stage) -> Result<()> {
    heading("Yours to try, in another terminal");
    if let Some(context) = stage.context() {
        println!("  alias kubectl='kubectl --context {context}'");
    } else {
        println!("  export KUBECONFIG={}", stage.kubeconfig()?.display());
        println!("  alias kubectl={}", stage.kubectl(&[])?.get_program().display());
    }
    println!();
    let (scene, operator) = (stage.scene, stage.operator_pid()?);
    let (worker, mistaken, right) = (scene.worker, scene.mistaken, scene.right);
    let fix = format!(r#"'[{{"op":"replace","path":"/spec/resources/0/applicationScopes/0","value":"{right}"}}]'"#);
    let mut commands = vec![
        ("kubectl get oauth -A".to_owned(), "everything of extapp"),
        (format!("kubectl describe extapp {mistaken} -n people"), "why it is not ready"),
        (format!("kubectl patch extapp {mistaken} -n people --type json -p {fix}"), "the mistake set right"),
        (format!("kubectl delete secret {worker}-oauth -n finance"), "made again, with a new client secret"),
        (
            format!("kubectl annotate extapp {worker} -n finance --overwrite extapp.dev/rotate=$(date +%s)"),
            "another secret, beside this one",
        ),
        (format!("kill -9 {operator}"), "the operator dies; it is started again here, and goes on where it was"),
        (format!("kubectl delete extapp {worker} -n finance"), "the registration goes too"),
        ("kubectl explain externalapplication.spec --recursive".to_owned(), "the manual"),
    ];
    if let Server::LocalCloud(_) = stage.server()? {
        let roles = format!("kubectl describe roleassign {worker} -n finance");
        commands.insert(5, (roles, "its roles, and who it is in Orchestrator"));
    }
    for (command, why) in commands {
        println!("  # {why}\n  {command}");
    }
    match stage.server()? {
        Server::LocalCloud(cloud) => {
            println!("\n  The stand-in for Automation Cloud is at {}", cloud.url());
            if let Some(people) = cloud.people_file() {
                println!("  {} can sign in there; the password is in {}", sign_in::EMAIL, people.display());
            }
        }
        Server::Hydra(hydra) => {
            println!("\n  Hydra is at {}, its admin API at {}/admin/clients", hydra.url(), hydra.admin_url());
        }
    }
    println!("\nCtrl-C ends everything that was started here.");
    Ok(())
}
