//! `gitops/`: what Argo CD and Flux would make of real objects in each of their cases.

use cel::{Context as Scope, Program, Value as Cel};
use extapp::api::external_application::ExternalApplicationSpec;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use mlua::{Lua, Table};
use serde_json::{Value, json};

use super::manifests;
use crate::support::world::World;
use crate::support::{Context, Error, Result, TestNamespace, apply_yaml_in, shared};

#[test]
fn every_kustomization_is_applied_by_an_account_of_its_own() {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/gitops/flux.yaml")).expect("a file");
    let documents = text.split("\n---\n").filter(|document| document.contains("kind: Kustomization"));
    let accounts: Vec<bool> = documents.map(|document| document.contains("\n  serviceAccountName: ")).collect();
    assert!(accounts.len() == 4 && accounts.iter().all(|named| *named), "{accounts:?}");
}

/// The kinds whose health Argo CD is told.
const KINDS: [&str; 4] = ["AuthorizationServer", "ExternalApplication", "RoleAssignment", "ApiResource"];

/// What a state is called by Argo CD, and by Flux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Health(&'static str, &'static str);

const HEALTHY: Health = Health("Healthy", "current");
const PROGRESSING: Health = Health("Progressing", "inProgress");
const DEGRADED: Health = Health("Degraded", "failed");
const SUSPENDED: Health = Health("Suspended", "failed");

fn table(lua: &Lua, value: &Value) -> Result<mlua::Value> {
    Ok(match value {
        Value::Null => mlua::Value::Nil,
        Value::Bool(value) => mlua::Value::Boolean(*value),
        Value::Number(value) => mlua::Value::Number(value.as_f64().context("a number")?),
        Value::String(value) => mlua::Value::String(lua.create_string(value)?),
        Value::Array(values) => {
            let values = values.iter().map(|value| table(lua, value)).collect::<Result<Vec<_>>>()?;
            mlua::Value::Table(lua.create_sequence_from(values)?)
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| Ok((key.as_str(), table(lua, value)?)));
            mlua::Value::Table(lua.create_table_from(fields.collect::<Result<Vec<_>>>()?)?)
        }
    })
}

/// Runs the script of a kind on an object, as Argo CD does: Lua 5.1, and nothing of its libraries but the base.
fn argo(kind: &str, object: &Value) -> Result<(String, String)> {
    let map = manifests("gitops/argocd-cm.yaml")?.remove(0).object;
    let script = map["data"][format!("resource.customizations.health.extapp.dev_{kind}")].as_str();
    let lua = Lua::new_with(mlua::StdLib::NONE, mlua::LuaOptions::default())?;
    lua.globals().set("obj", table(&lua, object)?)?;
    let health: Table = lua.load(script.context(format!("no script for {kind}"))?).eval()?;
    Ok((health.get("status")?, health.get("message")?))
}

/// Evaluates the expressions as Flux does, in this order: the first that holds.
fn flux(object: &Value) -> Result<&'static str> {
    let expressions = manifests("gitops/flux.yaml")?
        .into_iter()
        .find_map(|manifest| manifest.object["spec"]["healthCheckExprs"].get(0).cloned())
        .context("no expressions")?;
    for name in ["inProgress", "failed", "current"] {
        let program = Program::compile(expressions[name].as_str().context(name)?).context(name)?;
        let mut scope = Scope::default();
        for field in ["metadata", "spec", "status"] {
            scope.add_variable(field, object[field].clone()).map_err(|error| Error::new(error.to_string()))?;
        }
        if program.execute(&scope).context(name)? == Cel::Bool(true) {
            return Ok(name);
        }
    }
    Ok("inProgress")
}

fn judge(object: &Value, expected: Health, message: &str) -> Result<()> {
    let kind = object["kind"].as_str().context("a kind")?;
    let (status, said) = argo(kind, object)?;
    assert_eq!(status, expected.0, "{object:#}");
    assert!(said.contains(message), "{kind}: {said}");
    assert_eq!(flux(object)?, expected.1, "{object:#}");
    Ok(())
}

fn api(client: &Client, namespace: &TestNamespace, kind: &str) -> Api<DynamicObject> {
    let kind = kube::api::ApiResource::from_gvk(&GroupVersionKind::gvk("extapp.dev", "v1alpha1", kind));
    Api::namespaced_with(client.clone(), namespace.name(), &kind)
}

async fn seen(world: &World, kind: &str, name: &str) -> Result<Value> {
    let mut object = serde_json::to_value(api(&world.client, &world.home, kind).get(name).await?)?;
    object["kind"] = json!(kind);
    Ok(object)
}

#[tokio::test]
async fn argo_cd_and_flux_see_what_the_operator_says_of_its_objects() -> Result<()> {
    let world = World::new("examples").await?;
    let home = world.home.name();
    judge(&seen(&world, "AuthorizationServer", "cloud").await?, HEALTHY, "Connected")?;
    judge(&seen(&world, "ApiResource", "cloud.uipath-orchestrator").await?, HEALTHY, "")?;
    world.confidential(home, "sound", "").await?;
    world.until_ready("sound").await?;
    judge(&seen(&world, "ExternalApplication", "sound").await?, HEALTHY, "Ready: registered")?;

    let mut mistyped = serde_json::to_value(world.applications(home).get("sound").await?)?;
    mistyped["metadata"] = json!({"name": "mistyped"});
    let spec: ExternalApplicationSpec = serde_json::from_value(mistyped["spec"].clone())?;
    mistyped["spec"] = serde_json::to_value(spec)?;
    mistyped["spec"]["resources"][0]["applicationScopes"] = json!(["OR.Queue"]);
    mistyped["status"] = Value::Null;
    world.apply(&mistyped.to_string()).await?;
    world.until_refused(home, "mistyped", "UnknownScope").await?;
    judge(&seen(&world, "ExternalApplication", "mistyped").await?, DEGRADED, "did you mean OR.Queues?")?;

    let pause = Patch::Merge(json!({"spec": {"suspend": true}}));
    world.applications(home).patch("sound", &PatchParams::default(), &pause).await?;
    let said = |c: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| c.reason == "Suspended";
    world.until(home, "sound", move |_, status| status.conditions.iter().any(said)).await?;
    judge(&seen(&world, "ExternalApplication", "sound").await?, SUSPENDED, "spec.suspend is true")
}

/// Objects without an operator, in cases that the test writes: what a spec that was just changed looks like, and kinds
/// that the world above does not bring into every state.
#[tokio::test]
async fn every_kind_is_told_apart_in_every_state() -> Result<()> {
    let plane = shared().await?;
    let client = plane.admin_client().await?;
    let namespace = plane.unique_namespace("examples").await?;
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": "what to do",
            "lastTransitionTime": "2026-01-01T00:00:00Z"
        })
    };
    let ready = |status: &str, reason: &str| condition("Ready", status, reason);
    let cases = [
        (HEALTHY, json!([ready("True", "Ready")])),
        (PROGRESSING, json!([ready("False", "ServerNotReady"), condition("Reconciling", "True", "ServerNotReady")])),
        (DEGRADED, json!([ready("False", "UnknownScope"), condition("Stalled", "True", "UnknownScope")])),
        (SUSPENDED, json!([ready("True", "Suspended")])),
        (SUSPENDED, json!([ready("False", "Suspended")])),
    ];
    let shown = |object: DynamicObject, kind: &str| -> Result<Value> {
        let mut object = serde_json::to_value(object)?;
        object["kind"] = json!(kind);
        Ok(object)
    };
    for kind in KINDS {
        let spec = match kind {
            "AuthorizationServer" => json!({
                "uipath": {"url": "https://cloud.uipath.com", "organization": "acme"}, "credentialsRef": {"name": "a"}
            }),
            "ExternalApplication" => json!({
                "serverRef": {"name": "a"}, "type": "Confidential",
                "resources": [{"name": "R", "applicationScopes": ["S"]}]
            }),
            "RoleAssignment" => json!({"applicationRef": {"name": "a"}, "tenant": "T", "roles": ["R"]}),
            _ => json!({"serverRef": {"name": "a"}, "identifier": "R"}),
        };
        let object = json!({
            "apiVersion": "extapp.dev/v1alpha1", "kind": kind, "metadata": {"name": "sample"}, "spec": spec
        });
        let new = apply_yaml_in(&client, namespace.name(), &object.to_string()).await?.remove(0);
        let generation = new.metadata.generation.context("a generation")?;
        judge(&shown(new, kind)?, PROGRESSING, "not looked at it yet")?;
        let api = api(&client, &namespace, kind);
        for (health, conditions) in &cases {
            let status = json!({"status": {"observedGeneration": generation, "conditions": conditions}});
            let said = api.patch_status("sample", &PatchParams::default(), &Patch::Merge(&status)).await?;
            judge(&shown(said, kind)?, *health, "what to do")?;
        }
        let status = json!({"status": {"conditions": cases[0].1}});
        api.patch_status("sample", &PatchParams::default(), &Patch::Merge(&status)).await?;
        let change = match kind {
            "AuthorizationServer" | "ExternalApplication" | "RoleAssignment" => json!({"spec": {"suspend": true}}),
            _ => json!({"spec": {"displayName": "else"}}),
        };
        let changed = api.patch("sample", &PatchParams::default(), &Patch::Merge(&change)).await?;
        judge(&shown(changed, kind)?, PROGRESSING, "not looked at it yet")?;
    }
    Ok(())
}
