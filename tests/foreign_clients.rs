//! What the operator publishes works in clients that we did not write.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use extapp::api::ExternalApplication;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use serde_json::{Value, json};

use crate::support::{self, LocalCloud, Operator, Program, Result, apply_yaml_in, peers, wait_for};

const LIMIT: Duration = Duration::from_mins(1);

fn here(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign_clients").join(path)
}

/// What authlib makes of these keys.
fn client_credentials(published: &BTreeMap<String, String>) -> Result<Value> {
    let python = peers::python(&here("requirements.txt"))?;
    let printed = peers::script(&python, &here("client_credentials.py"), &json!(published).to_string())?;
    Ok(serde_json::from_str(&printed)?)
}

const MANIFESTS: &str = r"
apiVersion: extapp.dev/v1alpha1
kind: ExternalApplication
metadata: {name: worker}
spec:
  serverRef: {name: cloud}
  type: Confidential
  redirectUris: [https://worker.example.com/callback]
  resources:
  - name: UiPath.Orchestrator
    applicationScopes: [OR.Queues, OR.Default]
    userScopes: [OR.Jobs.Read]
---
apiVersion: extapp.dev/v1alpha1
kind: ExternalApplication
metadata: {name: desktop}
spec:
  serverRef: {name: cloud}
  type: NonConfidential
  redirectUris: [http://localhost:8080/callback]
  resources:
  - name: UiPath.Orchestrator
    userScopes: [OR.Jobs.Read]
";

#[tokio::test]
async fn authlib_gets_and_verifies_a_token_with_what_was_published() -> Result<()> {
    let plane = support::shared().await?;
    let client = plane.admin_client().await?;
    let namespace = plane.unique_namespace("foreign").await?;
    let program = Program::new(env!("CARGO_BIN_EXE_extapp"));
    let cloud = LocalCloud::builder(program.clone()).in_memory().start().await?;
    let _operator =
        Operator::builder(program, &plane.operator_kubeconfig()).watch_namespaces([namespace.name()]).start().await?;
    apply_yaml_in(&client, namespace.name(), &cloud.credentials_manifest()?).await?;
    let server = format!(
        "apiVersion: extapp.dev/v1alpha1\nkind: AuthorizationServer\nmetadata: {{name: cloud}}\nspec:\n  uipath: {{url: '{}', organization: {}}}\n  credentialsRef: {{name: local-cloud-admin}}\n",
        cloud.base_url(),
        cloud.organization()
    );
    apply_yaml_in(&client, namespace.name(), &server).await?;
    apply_yaml_in(&client, namespace.name(), MANIFESTS).await?;
    let applications: Api<ExternalApplication> = Api::namespaced(client.clone(), namespace.name());
    for name in ["worker", "desktop"] {
        wait_for(applications.clone(), name, LIMIT, is_ready).await?;
    }
    let secret = Api::<Secret>::namespaced(client.clone(), namespace.name()).get("worker-oauth").await?;
    let published: BTreeMap<String, String> = secret
        .data
        .unwrap_or_default()
        .into_iter()
        .map(|(key, value)| (key, String::from_utf8_lossy(&value.0).into_owned()))
        .collect();

    let answer = client_credentials(&published)?;
    assert_eq!(answer["claims"]["client_id"], published["client-id"], "{answer}");
    assert_eq!(answer["claims"]["sub_type"], "service.external", "{answer}");
    assert_eq!(answer["claims"]["scope"], json!(["OR.Default", "OR.Queues"]), "{answer}");

    let ask = |change: &[(&str, &str)]| {
        let mut keys = published.clone();
        keys.extend(change.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        client_credentials(&keys)
    };
    assert_eq!(ask(&[("client-secret", "wrong")])?["error"], "invalid_client");
    assert_eq!(ask(&[("request-scope", "OR.Machines")])?["error"], "invalid_scope");
    let user_scope = ask(&[("request-scope", "OR.Jobs.Read")])?;
    assert_eq!(user_scope["error"], "invalid_request", "{user_scope}");
    assert!(user_scope["description"].to_string().contains("is not allowed to access User scopes"), "{user_scope}");

    let map = Api::<ConfigMap>::namespaced(client, namespace.name()).get("desktop-oauth").await?;
    let mut keys = map.data.unwrap_or_default();
    assert!(!keys.contains_key("client-secret"));
    keys.insert("request-scope".into(), "OR.Jobs.Read".into());
    let refused = client_credentials(&keys)?;
    assert!(["unauthorized_client", "invalid_client"].iter().any(|error| refused["error"] == *error), "{refused}");
    Ok(())
}

fn is_ready(app: Option<&ExternalApplication>) -> bool {
    app.and_then(|app| app.status.as_ref())
        .is_some_and(|status| status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}
