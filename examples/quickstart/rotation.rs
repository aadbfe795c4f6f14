//! A rotation while clients ask for tokens all the time, and what happens to a secret that has leaked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use extapp::api::external_application::{CredentialState, ExternalApplicationStatus};
use extapp::api::{ExternalApplication, REVOKE_NOW, ROTATE};
use kube::Api;
use tokio::sync::watch;

use crate::checks::Checks;
use crate::progress::heading;
use crate::report::published;
use crate::stage::Stage;
use crate::support::{Context, Result, wait_for};
use crate::token;

const LIMIT: Duration = Duration::from_mins(1);
const NAME: &str = "invoice-sync";
const NAMESPACE: &str = "finance";
/// How many clients ask at once.
const CLIENTS: usize = 4;
/// How long a client goes on with what it has read: kubelet shows a change in a mounted Secret about a minute late.
const STALE: Duration = Duration::from_secs(1);

type Secret = BTreeMap<String, String>;

pub async fn show(stage: &Stage, checks: &mut Checks) -> Result<()> {
    heading(&format!("{NAME} gets another secret, while {CLIENTS} clients ask for tokens all the time"));
    let api: Api<ExternalApplication> = Api::namespaced(stage.client().await?, NAMESPACE);
    let load = Load::start(stage).await?;
    tokio::time::sleep(STALE).await;

    let first = load.mounted();
    let status = ask(stage, &api, ROTATE, "2026-11-01", |rotation| rotation.rotate.as_deref()).await?;
    println!("  status.credentials, a second or two later:");
    print_credentials(&status);
    let second = published(stage).await?.1;
    checks.that("the rotation published another secret", first.get("client-secret") != second.get("client-secret"));
    checks.that("the one before is on its way out", count(&status, CredentialState::Retiring) == 1);
    // Every client has read the new one by then, and each has used both.
    tokio::time::sleep(STALE * 3).await;
    let (asked, refused) = load.end().await;
    println!(
        "  {asked} tokens asked for meanwhile, each client with what it had read up to {} s before; {refused} refused",
        STALE.as_secs()
    );
    checks.that("clients asked for tokens during the rotation", asked > CLIENTS * 3);
    checks.equal("requests that were refused during the rotation", &refused, &0);

    println!("\n  And if the secret had leaked: without overlap, whatever else is still valid goes too");
    let status = ask(stage, &api, REVOKE_NOW, "ticket-4711", |rotation| rotation.revoke_now.as_deref()).await?;
    print_credentials(&status);
    for (what, secret, expected) in [("the first", &first, false), ("the second", &second, false)] {
        let works = token::claims(secret).await.is_ok();
        println!("  {what} secret at the token endpoint: {}", if works { "accepted" } else { "refused" });
        checks.equal(format!("{what} secret is accepted after revoke-now"), &works, &expected);
    }
    let works = token::claims(&published(stage).await?.1).await.is_ok();
    println!("  what is published now:                  {}", if works { "accepted" } else { "refused" });
    checks.that("what is published after revoke-now works", works);
    Ok(())
}

/// Sets an annotation as a person would, and waits until the status says that it was carried out.
async fn ask(
    stage: &Stage,
    api: &Api<ExternalApplication>,
    annotation: &str,
    value: &str,
    handled: fn(&extapp::api::rotation::RotationStatus) -> Option<&str>,
) -> Result<ExternalApplicationStatus> {
    let arguments = ["annotate", "extapp", NAME, "-n", NAMESPACE, &format!("{annotation}={value}")];
    println!("  $ kubectl {}", arguments.join(" "));
    let begun = Instant::now();
    let output = stage.kubectl(&arguments)?.output().context("kubectl")?;
    if !output.status.success() {
        return Err(crate::support::Error::new(String::from_utf8_lossy(&output.stderr).trim()));
    }
    let done = |app: Option<&ExternalApplication>| {
        let rotation = app.and_then(|app| app.status.as_ref()?.rotation.as_ref());
        rotation.and_then(handled) == Some(value)
    };
    let app = wait_for(api.clone(), NAME, LIMIT, done).await?.context("the application is gone")?;
    println!("  carried out after {:.2} s", begun.elapsed().as_secs_f64());
    app.status.context("the application has no status")
}

fn count(status: &ExternalApplicationStatus, state: CredentialState) -> usize {
    status.credentials.iter().filter(|credential| credential.state == state).count()
}

fn print_credentials(status: &ExternalApplicationStatus) {
    for credential in &status.credentials {
        let until = credential.expires_at.as_ref().map_or_else(String::new, |end| format!("until {}", end.0));
        println!("    {:<6}{:<12}{until}", credential.id, format!("{:?}", credential.state));
    }
}

/// Clients that ask for tokens with what they have read a while ago.
struct Load {
    asked: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    mounted: watch::Receiver<Secret>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    async fn start(stage: &Stage) -> Result<Self> {
        let (show, mounted) = watch::channel(published(stage).await?.1);
        let (asked, refused) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let secrets: Api<k8s_openapi::api::core::v1::Secret> = Api::namespaced(stage.client().await?, NAMESPACE);
        let mut tasks = vec![tokio::spawn(async move {
            loop {
                let read = secrets.get(&format!("{NAME}-oauth")).await;
                tokio::time::sleep(STALE).await;
                let Ok(data) = read.map(|secret| secret.data.unwrap_or_default()) else { continue };
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                show.send_replace(data.into_iter().map(|(key, value)| (key, text(value.0))).collect());
            }
        })];
        for _ in 0..CLIENTS {
            let (asked, refused, mounted) = (asked.clone(), refused.clone(), mounted.clone());
            tasks.push(tokio::spawn(async move {
                loop {
                    let secret = mounted.borrow().clone();
                    let granted = token::claims(&secret).await.is_ok();
                    asked.fetch_add(1, Ordering::Relaxed);
                    refused.fetch_add(usize::from(!granted), Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }));
        }
        Ok(Self { asked, refused, mounted, tasks })
    }

    fn mounted(&self) -> Secret {
        self.mounted.borrow().clone()
    }

    async fn end(self) -> (usize, usize) {
        for task in self.tasks {
            task.abort();
            let _ = task.await;
        }
        (self.asked.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }
}
