//! extapp as a plugin of kubectl, and completions.

use std::os::unix::fs::symlink;

use serde_json::json;

use super::ran;
use crate::support::assets::scratch;
use crate::support::{Result, apply_yaml_in, shared};

#[tokio::test]
async fn kubectl_runs_extapp_as_a_plugin_and_completes_its_words_and_names() -> Result<()> {
    let plane = shared().await?;
    let (folder, namespace) = (scratch("plugin-")?, plane.unique_namespace("plugin").await?);
    for name in ["kubectl-extapp", "kubectl_complete-extapp"] {
        symlink(env!("CARGO_BIN_EXE_extapp"), folder.path().join(name))?;
    }
    let app = json!({
        "apiVersion": "extapp.dev/v1alpha1", "kind": "ExternalApplication", "metadata": {"name": "invoice-sync"},
        "spec": {
            "serverRef": {"name": "cloud"}, "type": "Confidential",
            "resources": [{"name": "UiPath.Orchestrator", "applicationScopes": ["OR.Queues"]}]
        }
    });
    apply_yaml_in(&plane.admin_client().await?, namespace.name(), &app.to_string()).await?;
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap_or_default());
    let kubectl = |arguments: &[&str]| {
        let mut command = tokio::process::Command::from(plane.kubectl(arguments));
        command.env("PATH", &path);
        ran(command)
    };
    let help = kubectl(&["extapp", "status", "--help"]).await?;
    assert!(help.out.contains("Usage: kubectl extapp status"), "{}", help.all());
    // Nobody watches this namespace.
    let status = kubectl(&["extapp", "status", "invoice-sync", "-n", namespace.name()]).await?;
    assert_eq!(status.code, Some(3), "{}", status.all());
    assert!(status.out.contains("is the operator running"), "{}", status.out);

    let words = kubectl(&["__complete", "extapp", "ro"]).await?;
    assert!(words.out.lines().any(|line| line == "rotate"), "{}", words.all());
    let names = kubectl(&["__complete", "extapp", "status", "-n", namespace.name(), "inv"]).await?;
    assert!(names.out.lines().any(|line| line == "invoice-sync"), "{}", names.all());
    Ok(())
}

#[tokio::test]
async fn there_are_completions_for_every_shell() -> Result<()> {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_extapp"));
        command.args(["completions", shell]);
        let printed = ran(command).await?;
        assert_eq!(printed.code, Some(0), "{}", printed.err);
        assert!(printed.out.contains("who-uses"), "{shell}");
    }
    Ok(())
}
