//! What the API server says to people's manifests: the definitions' own rules, as they are installed.

use std::collections::BTreeSet;

use extapp::api::{ApiResource, AuthorizationServer, ExternalApplication, RoleAssignment, definitions};
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::support::{Context, ControlPlane, Error, Result, TestNamespace, apply_yaml, apply_yaml_in, shared};

const WRONG: &str = include_str!("admission/wrong.yaml");
const WHOLE: &str = include_str!("admission/whole.yaml");
const KINDS: [&str; 4] = ["AuthorizationServer", "ExternalApplication", "RoleAssignment", "ApiResource"];

#[derive(serde::Deserialize)]
struct Wrong {
    case: String,
    kind: String,
    set: serde_json::Map<String, Value>,
    says: String,
}

/// A smallest one of each kind.
fn base(kind: &str) -> Value {
    let spec = match kind {
        "AuthorizationServer" => json!({
            "uipath": {"url": "https://cloud.uipath.com", "organization": "acme"}, "credentialsRef": {"name": "admin"}
        }),
        "ExternalApplication" => json!({
            "serverRef": {"name": "cloud"}, "type": "Confidential",
            "resources": [{"name": "UiPath.Orchestrator", "applicationScopes": ["OR.Queues"]}]
        }),
        "RoleAssignment" => json!({
            "applicationRef": {"name": "sample"}, "tenant": "DefaultTenant", "roles": ["Allow to be Automation User"]
        }),
        _ => json!({"serverRef": {"name": "cloud"}, "identifier": "UiPath.Orchestrator"}),
    };
    json!({"apiVersion": "extapp.dev/v1alpha1", "kind": kind, "metadata": {"name": "sample"}, "spec": spec})
}

fn with(mut object: Value, changes: &serde_json::Map<String, Value>) -> Result<Value> {
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').context("no pointer")?;
        let parent = object.pointer_mut(parent).and_then(Value::as_object_mut).context(pointer)?;
        let long = value.as_str().and_then(|text| text.strip_prefix("LONG-")).map(str::parse);
        match (value, long) {
            (Value::Null, _) => drop(parent.remove(key)),
            (_, Some(length)) => drop(parent.insert(key.to_owned(), json!("a".repeat(length?)))),
            (value, None) => drop(parent.insert(key.to_owned(), value.clone())),
        }
    }
    Ok(object)
}

/// A namespace on the control plane, with the definitions of this source and not of some file.
async fn installed() -> Result<(&'static ControlPlane, TestNamespace, Client)> {
    static DEFINED: OnceCell<()> = OnceCell::const_new();
    let control_plane = shared().await?;
    let client = control_plane.admin_client().await?;
    let define = async || {
        for definition in definitions() {
            apply_yaml(&client, &serde_json::to_string(&definition)?).await?;
        }
        Ok::<(), Error>(())
    };
    DEFINED.get_or_try_init(define).await?;
    let namespace = control_plane.unique_namespace("admission").await?;
    Ok((control_plane, namespace, client))
}

fn api(client: &Client, namespace: &TestNamespace, kind: &str) -> Api<DynamicObject> {
    let kind = kube::api::ApiResource::from_gvk(&GroupVersionKind::gvk("extapp.dev", "v1alpha1", kind));
    Api::namespaced_with(client.clone(), namespace.name(), &kind)
}

/// The answer to a try; empty where the manifest is taken.
async fn answer(client: &Client, namespace: &TestNamespace, manifest: &Value) -> Result<String> {
    let kind = manifest["kind"].as_str().context("no kind")?;
    let object: DynamicObject = serde_json::from_value(manifest.clone())?;
    let strict = PostParams { dry_run: true, field_manager: None };
    let request = kube::core::Request::new(format!(
        "/apis/extapp.dev/v1alpha1/namespaces/{namespace}/{}",
        kube::api::ApiResource::from_gvk(&GroupVersionKind::gvk("extapp.dev", "v1alpha1", kind)).plural
    ));
    let mut request = request.create(&strict, serde_json::to_vec(&object)?)?;
    // As kubectl does: a mistyped field is an error.
    let uri = format!("{}&fieldValidation=Strict", request.uri());
    *request.uri_mut() = uri.parse()?;
    match client.request::<Value>(request).await {
        Ok(_) => Ok(String::new()),
        Err(kube::Error::Api(status)) => Ok(status.message.clone()),
        Err(error) => Err(error.into()),
    }
}

#[tokio::test]
async fn a_wrong_manifest_is_answered_with_what_to_write_instead() -> Result<()> {
    let (_, namespace, client) = installed().await?;
    for kind in KINDS {
        assert_eq!(answer(&client, &namespace, &base(kind)).await?, "", "the base of {kind} is right");
    }
    let cases: Vec<Wrong> = serde_saphyr::from_str(WRONG)?;
    assert!(cases.len() > 50, "the table was read");
    let mut surprises = Vec::new();
    for wrong in cases {
        let said = answer(&client, &namespace, &with(base(&wrong.kind), &wrong.set)?).await?;
        if !said.contains(&wrong.says) {
            surprises.push(format!("{} ({}): expected {:?}\n    but: {said:?}", wrong.case, wrong.kind, wrong.says));
        }
    }
    assert!(surprises.is_empty(), "\n{}\n", surprises.join("\n"));
    Ok(())
}

/// What the rules of a definition say, wherever in it they stand.
fn rules(definition: &Value, said: &mut BTreeSet<String>) {
    match definition {
        Value::Object(fields) => {
            let here = fields.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten();
            said.extend(here.filter_map(|rule| rule["message"].as_str()).map(str::to_owned));
            fields.values().for_each(|field| rules(field, said));
        }
        Value::Array(items) => items.iter().for_each(|item| rules(item, said)),
        _ => {}
    }
}

#[test]
fn every_rule_has_a_manifest_to_which_it_is_the_answer() -> Result<()> {
    let mut said = BTreeSet::new();
    for definition in definitions() {
        rules(&serde_json::to_value(&definition)?, &mut said);
    }
    assert!(said.len() > 30, "the rules were read: {said:?}");
    let cases: Vec<Wrong> = serde_saphyr::from_str(WRONG)?;
    // What cannot change takes an object that is there: those have tests of their own.
    let untried = said.iter().filter(|said| !said.contains(" is immutable"));
    let untried: Vec<_> = untried.filter(|said| !cases.iter().any(|case| said.contains(&case.says))).collect();
    assert!(untried.is_empty(), "no case of wrong.yaml is answered with: {untried:#?}");
    Ok(())
}

#[tokio::test]
async fn every_field_is_taken_and_kept() -> Result<()> {
    let (_, namespace, client) = installed().await?;
    let written: Vec<Value> = serde_saphyr::from_multiple(WHOLE)?;
    let applied = apply_yaml_in(&client, namespace.name(), WHOLE).await?;
    for (written, applied) in written.iter().zip(applied) {
        assert_eq!(applied.data["spec"], written["spec"], "{}", written["kind"]);
    }
    // And the types of this program lose nothing of it either.
    let server: Api<AuthorizationServer> = Api::namespaced(client.clone(), namespace.name());
    assert_eq!(serde_json::to_value(server.get("cloud").await?.spec)?, written[0]["spec"]);
    let application: Api<ExternalApplication> = Api::namespaced(client.clone(), namespace.name());
    assert_eq!(serde_json::to_value(application.get("whole").await?.spec)?, written[1]["spec"]);
    let resource: Api<ApiResource> = Api::namespaced(client.clone(), namespace.name());
    assert_eq!(serde_json::to_value(resource.get("orchestrator").await?.spec)?, written[2]["spec"]);
    let assignment: Api<RoleAssignment> = Api::namespaced(client, namespace.name());
    assert_eq!(serde_json::to_value(assignment.get("permitted").await?.spec)?, written[3]["spec"]);
    Ok(())
}

#[tokio::test]
async fn a_fresh_object_is_not_taken_for_a_current_one() -> Result<()> {
    let (_, namespace, client) = installed().await?;
    for kind in KINDS {
        let made = apply_yaml_in(&client, namespace.name(), &base(kind).to_string()).await?;
        assert_eq!(made[0].data["status"]["observedGeneration"], json!(-1), "{kind}");
        assert_eq!(made[0].data["spec"].get("suspend"), (kind != "ApiResource").then_some(&json!(false)), "{kind}");
    }
    Ok(())
}

/// What the API server says to a merge patch of an object that is there.
async fn patched(api: &Api<DynamicObject>, name: &str, patch: &Value) -> Result<String> {
    match api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(String::new()),
        Err(kube::Error::Api(status)) => Ok(status.message.clone()),
        Err(error) => Err(error.into()),
    }
}

#[tokio::test]
async fn what_cannot_change_says_so_and_the_rest_can() -> Result<()> {
    let (_, namespace, client) = installed().await?;
    apply_yaml_in(&client, namespace.name(), &base("ExternalApplication").to_string()).await?;
    apply_yaml_in(&client, namespace.name(), &base("ApiResource").to_string()).await?;
    let application = api(&client, &namespace, "ExternalApplication");
    let public = json!({
        "type": "NonConfidential", "redirectUris": ["https://a.example/"],
        "resources": [{"name": "UiPath.Orchestrator", "userScopes": ["OR.Jobs"]}]
    });
    for (spec, says) in [
        (json!({"serverRef": {"name": "else"}}), "serverRef is immutable: a registration cannot move between servers"),
        (json!({"serverRef": {"namespace": "else"}}), "serverRef is immutable"),
        (public, "type is immutable: a registration keeps its type"),
    ] {
        let said = patched(&application, "sample", &json!({"spec": spec})).await?;
        assert!(said.contains(says), "{spec}: {said}");
    }
    let resource = api(&client, &namespace, "ApiResource");
    let said = patched(&resource, "sample", &json!({"spec": {"identifier": "Else"}})).await?;
    assert!(said.contains("identifier is immutable: delete this object and make another"), "{said}");
    for spec in [
        json!({"displayName": "Else", "suspend": true}),
        json!({"management": "Observe"}),
        json!({"displayName": null}),
    ] {
        assert_eq!(patched(&application, "sample", &json!({"spec": spec})).await?, "", "{spec}");
    }
    Ok(())
}

#[tokio::test]
async fn an_assignment_keeps_its_application_and_tenant_while_its_roles_come_and_go() -> Result<()> {
    let (_, namespace, client) = installed().await?;
    apply_yaml_in(&client, namespace.name(), &base("RoleAssignment").to_string()).await?;
    let assignment = api(&client, &namespace, "RoleAssignment");
    for (spec, says) in [
        (json!({"applicationRef": {"name": "else"}}), "applicationRef is immutable: delete this object"),
        (json!({"tenant": "Else"}), "tenant is immutable: delete this object, and make another for the other tenant"),
        (json!({"roles": null}), "to take everything away, delete this object"),
    ] {
        let said = patched(&assignment, "sample", &json!({"spec": spec})).await?;
        assert!(said.contains(says), "{spec}: {said}");
    }
    for spec in [
        json!({"folders": [{"path": "Shared", "roles": ["Queue Reader"]}]}),
        json!({"roles": null}),
        json!({"roles": ["Tenant Administrator"], "folders": null}),
        json!({"management": "Observe", "suspend": true}),
    ] {
        assert_eq!(patched(&assignment, "sample", &json!({"spec": spec})).await?, "", "{spec}");
    }
    Ok(())
}

#[tokio::test]
async fn two_people_can_each_keep_their_own_entry_of_a_list() -> Result<()> {
    let (_, namespace, client) = installed().await?;
    let application = api(&client, &namespace, "ExternalApplication");
    let entry = |name: &str| json!({"resources": [{"name": name, "applicationScopes": ["x"]}], "outputs": [{"name": name.to_lowercase()}]});
    let mut first = base("ExternalApplication");
    first["spec"].as_object_mut().context("a spec")?.extend(entry("A").as_object().context("an entry")?.clone());
    let mut second = json!({"apiVersion": "extapp.dev/v1alpha1", "kind": "ExternalApplication", "spec": entry("B")});
    second["metadata"] = json!({"name": "sample"});
    let apply = async |manager: &str, object: &Value| {
        application.patch("sample", &PatchParams::apply(manager), &Patch::Apply(object)).await
    };
    apply("platform", &first).await?;
    let both = apply("team", &second).await?;
    let names = |object: &DynamicObject, list: &str| -> Vec<String> {
        let entries = object.data["spec"][list].as_array().into_iter().flatten();
        entries.filter_map(|entry| Some(entry["name"].as_str()?.to_owned())).collect()
    };
    assert_eq!(
        (names(&both, "resources"), names(&both, "outputs")),
        (vec!["A".into(), "B".into()], vec!["a".into(), "b".into()])
    );
    second["spec"] = json!({});
    let one = apply("team", &second).await?;
    assert_eq!(names(&one, "resources"), ["A"], "only what the second one had applied went with it");
    Ok(())
}

#[tokio::test]
async fn kubectl_get_shows_what_people_ask_for_first() -> Result<()> {
    let (control_plane, namespace, client) = installed().await?;
    for kind in KINDS {
        apply_yaml_in(&client, namespace.name(), &base(kind).to_string()).await?;
    }
    let status = json!({"status": {
        "clientId": "5a0c", "binding": {"name": "sample-oauth"},
        "credentials": [{"id": "7", "kind": "Secret", "state": "Active", "expiresAt": "2999-01-01T00:00:00Z"}],
        "conditions": [{"type": "Ready", "status": "True", "reason": "InSync", "message": "all is well", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    }});
    let application = api(&client, &namespace, "ExternalApplication");
    application.patch_status("sample", &PatchParams::default(), &Patch::Merge(&status)).await?;
    let rows = |arguments: &[&str]| -> Result<Vec<Vec<String>>> {
        let output = control_plane.kubectl([&["get", "-n", namespace.name()], arguments].concat()).output()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text
            .lines()
            .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(Into::into).collect())
            .collect())
    };
    let narrow = rows(&["extapp"])?;
    assert_eq!(narrow[0], ["NAME", "READY", "REASON", "TYPE", "CLIENT-ID", "SERVER", "AGE"]);
    assert_eq!(narrow[1][..6], ["sample", "True", "InSync", "Confidential", "5a0c", "cloud"]);
    let wide = rows(&["extapp", "-o", "wide"])?;
    assert_eq!(wide[0][6..], ["SECRET", "EXPIRES", "MESSAGE", "AGE"]);
    assert!(wide[1].contains(&"2999-01-01T00:00:00Z".to_owned()), "an end that is to come: {wide:?}");
    assert!(wide[1].contains(&"sample-oauth".to_owned()) && wide[1].contains(&"all is well".to_owned()), "{wide:?}");
    assert_eq!(rows(&["authsrv"])?[0], ["NAME", "READY", "REASON", "ISSUER", "APPLICATIONS", "AGE"]);
    assert_eq!(rows(&["apires"])?[0], ["NAME", "READY", "IDENTIFIER", "SERVER", "SCOPES", "APPLICATIONS", "AGE"]);
    let assignments = rows(&["roleassign", "-o", "wide"])?;
    let columns = ["NAME", "READY", "REASON", "APPLICATION", "TENANT", "PRINCIPAL", "MESSAGE", "AGE"];
    assert_eq!(assignments[0], columns);
    assert!(assignments[1].contains(&"sample".to_owned()) && assignments[1].contains(&"DefaultTenant".to_owned()));
    let category = rows(&["oauth", "-o", "name"])?;
    assert_eq!(category.len(), KINDS.len(), "`kubectl get oauth` finds all kinds: {category:?}");
    Ok(())
}
