//! `extapp status`

use serde_json::json;

use super::{at_home, extapp};
use crate::support::world::{LIMIT, World};
use crate::support::{Result, apply_yaml_in, eventually};

#[tokio::test]
async fn status_says_whether_an_application_is_ready_and_why_not() -> Result<()> {
    let world = World::new("status").await?;
    let home = world.home.name();
    world.confidential(home, "worker", "").await?;
    let app = world.until_ready("worker").await?;
    let client_id = app.status.and_then(|status| status.client_id).unwrap_or_default();
    let secret = world.secret(home, "worker-oauth").await?["client-secret"].clone();

    // Events are written behind the operator's other work.
    let ready = eventually("the Event of the registration is there", LIMIT, async || {
        let ran = at_home(&world, &["status", "worker"]).await?;
        Ok(ran.out.contains("Registered  ").then_some(ran))
    });
    let ready = ready.await?;
    assert_eq!(ready.code, Some(0), "{}", ready.all());
    assert!(ready.out.starts_with(&format!("{home}/worker: ready\n")), "{}", ready.out);
    assert!(ready.out.contains(&client_id) && ready.out.contains("worker-oauth"), "{}", ready.out);
    assert_eq!(ready.err, "");
    let document = at_home(&world, &["status", "worker", "-o", "json"]).await?;
    let said = document.json()?;
    assert_eq!(
        (&said["ready"], &said["reason"], &said["clientId"]),
        (&json!(true), &json!("Ready"), &json!(client_id))
    );
    assert_eq!(said["outputs"][0]["current"], "worker-oauth");
    assert_eq!(said["credentials"][0]["state"], "Active");
    for ran in [&ready, &document] {
        ran.shows_none_of(&[&secret]);
    }

    world.confidential(home, "typo", "  - name: UiPath.Nothing\n    applicationScopes: [OR.Queue]\n").await?;
    let refused = world.until_refused(home, "typo", "UnknownScope").await?;
    let typo = at_home(&world, &["status", "typo"]).await?;
    assert_eq!(typo.code, Some(3), "{}", typo.all());
    assert!(typo.out.contains("typo: not ready") && typo.out.contains(&refused), "{}", typo.out);
    assert!(typo.out.contains("Scopes not granted"), "{}", typo.out);
    Ok(())
}

#[tokio::test]
async fn a_command_that_cannot_do_its_work_says_the_way_out() -> Result<()> {
    let plane = crate::support::shared().await?;
    let kubeconfig = plane.admin_kubeconfig();
    let table: [(&[&str], i32, &str); 4] = [
        (&["status", "nobody"], 1, "kubectl get extapp -A"),
        (&["rotate", "nobody"], 1, "kubectl get extapp -A"),
        (&["status"], 2, "Usage: extapp status"),
        (&["rotate", "x", "--timeout", "soon"], 2, "90s"),
    ];
    for (arguments, code, said) in table {
        let ran = extapp(&kubeconfig, arguments).await?;
        assert_eq!(ran.code, Some(code), "{arguments:?}: {}", ran.all());
        assert!(ran.err.contains(said), "{arguments:?}: {}", ran.err);
        assert_eq!(ran.out, "");
    }
    let nowhere = plane.scratch().join("there-is-no-such-file");
    let ran = extapp(&nowhere, &["status", "x"]).await?;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("no cluster") && ran.err.contains("KUBECONFIG"), "{}", ran.err);
    // The operator may read applications, and none of the pods that use them.
    let namespace = plane.unique_namespace("forbidden").await?;
    let app = json!({
        "apiVersion": "extapp.dev/v1alpha1", "kind": "ExternalApplication", "metadata": {"name": "worker"},
        "spec": {
            "serverRef": {"name": "cloud"}, "type": "Confidential",
            "resources": [{"name": "UiPath.Orchestrator", "applicationScopes": ["OR.Queues"]}]
        }
    });
    apply_yaml_in(&plane.admin_client().await?, namespace.name(), &app.to_string()).await?;
    let ran = extapp(&plane.operator_kubeconfig(), &["who-uses", "worker", "-n", namespace.name()]).await?;
    assert_eq!(ran.code, Some(1), "{}", ran.all());
    assert!(ran.err.contains(&format!("kubectl auth can-i list pods -n {}", namespace.name())), "{}", ran.err);
    Ok(())
}
