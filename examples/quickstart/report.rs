//! What a person wants to see, section by section; every section also notes whether it is as it should be.

use std::collections::BTreeMap;

use extapp::api::ExternalApplication;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;

use crate::checks::Checks;
use crate::manifests::{APPLICATIONS, SERVER_NAMESPACE, SUGGESTION};
use crate::progress::{condition, heading};
use crate::stage::Stage;
use crate::support::{Context, Error, Result};
use crate::{permission, sign_in, token};

/// How many lines of the catalogue are shown.
const CATALOGUE_LINES: usize = 6;

pub async fn print(stage: &Stage, checks: &mut Checks) -> Result<()> {
    applications(stage, checks).await?;
    let secret = secret(stage, checks).await?;
    claims(stage, &secret, checks).await?;
    permission::show(stage, &secret, checks).await?;
    let details = config_map(stage, checks).await?;
    sign_in::show(&details, stage.password(), checks).await?;
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
    for expected in &APPLICATIONS {
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
    heading("What invoice-sync gets: the Secret invoice-sync-oauth in its namespace");
    let api: Api<Secret> = Api::namespaced(stage.client().await?, "finance");
    let secret = api.get("invoice-sync-oauth").await?;
    let kind = secret.type_.unwrap_or_default();
    let data = secret.data.unwrap_or_default();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let data: BTreeMap<String, String> = data.into_iter().map(|(key, value)| (key, text(value.0))).collect();
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
    checks.equal("scope in the Secret", &scopes.join(" ").as_str(), &"OR.Default OR.Queues");
    Ok(data)
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
    let organization = server.get("automation-cloud").await?.status.and_then(|status| status.organization_id);
    checks.equal("claim prt_id", &text("prt_id"), &organization.unwrap_or_default());
    checks.equal("claim sub_type", &text("sub_type").as_str(), &"service.external");
    Ok(())
}

async fn config_map(stage: &Stage, checks: &mut Checks) -> Result<BTreeMap<String, String>> {
    heading("What onboarding-desktop gets: a ConfigMap, since it cannot keep a secret");
    let api: Api<ConfigMap> = Api::namespaced(stage.client().await?, "people");
    let data = api.get("onboarding-desktop-oauth").await?.data.unwrap_or_default();
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
    heading("What payroll-robot gets: an answer");
    let path = r#"{.status.conditions[?(@.type=="Ready")].message}"#;
    let arguments = ["get", "extapp", "payroll-robot", "-n", "people", "-o", &format!("jsonpath={path}")];
    let message = kubectl(stage, &arguments)?;
    println!("  {message}");
    println!("  (`kubectl describe extapp payroll-robot -n people` shows it too, with its Events)");
    checks.equal("the refusal", &message.as_str(), &SUGGESTION);
    let api: Api<ExternalApplication> = Api::namespaced(stage.client().await?, "people");
    let registered = api.get("payroll-robot").await?.status.and_then(|status| status.client_id);
    checks.that("nothing was registered for payroll-robot", registered.is_none());
    Ok(())
}

fn catalogue(stage: &Stage, checks: &mut Checks) -> Result<()> {
    heading("What may be asked for: the server's catalogue, kept as objects");
    let table = show(stage, &["get", "apires", "-n", SERVER_NAMESPACE], CATALOGUE_LINES)?;
    checks.that("the catalogue has UiPath.Orchestrator", table.contains("UiPath.Orchestrator"));
    Ok(())
}

/// How to go on.
pub fn invitation(stage: &Stage) -> Result<()> {
    heading("Yours to try, in another terminal");
    if let Some(context) = stage.context() {
        println!("  alias kubectl='kubectl --context {context}'");
    } else {
        println!("  export KUBECONFIG={}", stage.kubeconfig()?.display());
        println!("  alias kubectl={}", stage.kubectl(&[])?.get_program().display());
    }
    println!();
    let fix = r#"'[{"op":"replace","path":"/spec/resources/0/applicationScopes/0","value":"OR.Queues"}]'"#;
    for (command, why) in [
        ("kubectl get oauth -A".to_owned(), "everything of extapp"),
        ("kubectl describe extapp payroll-robot -n people".to_owned(), "why it is not ready"),
        (format!("kubectl patch extapp payroll-robot -n people --type json -p {fix}"), "the mistake set right"),
        ("kubectl delete secret invoice-sync-oauth -n finance".to_owned(), "made again, with a new client secret"),
        ("kubectl delete extapp invoice-sync -n finance".to_owned(), "the registration goes too"),
        ("kubectl describe roleassign invoice-sync -n finance".to_owned(), "its roles, and who it is in Orchestrator"),
        ("kubectl explain externalapplication.spec --recursive".to_owned(), "the manual"),
    ] {
        println!("  # {why}\n  {command}");
    }
    println!("\n  The stand-in for Automation Cloud is at {}", stage.cloud()?.url());
    if let Some(people) = stage.cloud()?.people_file() {
        println!("  {} can sign in there; the password is in {}", sign_in::EMAIL, people.display());
    }
    println!("\nCtrl-C ends everything that was started here.");
    Ok(())
}
