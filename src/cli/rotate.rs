//! `extapp rotate`

use std::time::Duration;

use futures::StreamExt as _;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::json;

use super::cluster::{Cluster, Error, Place};
use super::exit::Exit;
use super::output::{self, Format};
use crate::api::common::HumanDuration;
use crate::api::{ExternalApplication, REVOKE_NOW, ROLLBACK, ROTATE};
use crate::clock;

mod follow;

use follow::{Asked, Outcome, Verdict, refusal, steps, verdict};

/// Who writes the annotation.
const MANAGER: &str = "extapp-command-line";

/// Has the operator replace an application's secret: a new one beside it, proven, published, then the old one retired
///
/// Exits with 0 when it was asked for, and with --wait when it was done; with 4 if it was not done in time, and with 5 if it
/// was refused or failed. Then the published secret is still the one before, unless somebody asked for something else meanwhile.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The ExternalApplication
    name: String,
    /// Wait until it is done, and tell each step
    #[arg(long)]
    wait: bool,
    /// How long to wait, such as 90s or 10m
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    timeout: Duration,
    /// The secret has leaked: replace it at once, and remove every one before it without overlap. Whatever still runs with
    /// the old one is refused from then on
    #[arg(long, conflicts_with = "rollback")]
    revoke_now: bool,
    /// Publish the secret before the current one again, while it is still valid
    #[arg(long)]
    rollback: bool,
    #[command(flatten)]
    cluster: Cluster,
    /// What is printed
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

fn duration(text: &str) -> Result<Duration, String> {
    HumanDuration(text.to_owned()).parse().ok_or_else(|| "must be a duration such as 90s, 10m or 1h".into())
}

pub async fn run(args: Args) -> Result<Exit, Error> {
    let place = args.cluster.connect().await?;
    let app = place.application(&args.name).await?;
    let annotation = match (args.revoke_now, args.rollback) {
        (true, _) => REVOKE_NOW,
        (_, true) => ROLLBACK,
        _ => ROTATE,
    };
    let value = format!("{:.0}-{}", clock::now(), &clock::random_id()[..6]);
    let mut outcome = Outcome::new(&app, Asked { annotation, value });
    if let Some(why) = refusal(&app, annotation) {
        outcome.settle(Verdict::Refused { reason: None, message: why });
    } else {
        let asked_for = ask(&place, &app, &outcome.asked).await?;
        tell(args.output, &format!("asked for: {}={}", outcome.asked.annotation, outcome.asked.value))?;
        if args.wait {
            let waiting = follow(&place, &asked_for, &mut outcome, args.output);
            match tokio::time::timeout(args.timeout, waiting).await {
                Ok(done) => done?,
                Err(_) => outcome.settle(Verdict::TimedOut),
            }
        }
    }
    match args.output {
        Format::Json => output::print(&output::json(&outcome)?)?,
        Format::Text => output::print(&outcome.text())?,
    }
    Ok(outcome.exit())
}

/// Steps are told as they come: to standard error where standard output is for a document.
fn tell(format: Format, step: &str) -> Result<(), Error> {
    match format {
        Format::Text => output::print(&format!("{}\n", output::plain(step))),
        Format::Json => {
            eprintln!("{}", output::plain(step));
            Ok(())
        }
    }
}

/// Writes the annotation, on this object and no other of its name. The object as it then is.
async fn ask(place: &Place, app: &ExternalApplication, asked: &Asked) -> Result<ExternalApplication, Error> {
    let patch = json!({ "metadata": { "uid": app.uid(), "annotations": { asked.annotation: asked.value } } });
    let parameters = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    let done = place.applications().patch(&app.name_any(), &parameters, &Patch::Merge(&patch)).await;
    done.map_err(|error| place.explain(&error, "patch", "externalapplications"))
}

/// Watches until what was asked for is settled.
async fn follow(
    place: &Place,
    asked_for: &ExternalApplication,
    outcome: &mut Outcome,
    format: Format,
) -> Result<(), Error> {
    let mut seen = asked_for.clone();
    let objects = watcher::watch_object(place.applications(), &seen.name_any()).default_backoff();
    let mut objects = Box::pin(objects);
    loop {
        let object = match objects.next().await {
            Some(Ok(object)) => object,
            // The watch begins anew by itself; what it will not get over is that it is not allowed.
            Some(Err(error)) => match refused(&error) {
                Some(error) => return Err(place.explain(error, "watch", "externalapplications")),
                None => continue,
            },
            None => return Err(Error::Because("the watch ended; run the command again to go on waiting".into())),
        };
        let Some(object) = object.filter(|object| object.uid() == asked_for.uid()) else {
            return Err(Error::Because(format!("{} was deleted meanwhile", asked_for.name_any())));
        };
        for step in steps(&seen, &object, clock::now()) {
            tell(format, &step)?;
        }
        let reached = verdict(&outcome.asked, asked_for, &object);
        outcome.see(&object);
        seen = object;
        if let Some(reached) = reached {
            outcome.settle(reached);
            return Ok(());
        }
    }
}

fn refused(error: &watcher::Error) -> Option<&kube::Error> {
    let watcher::Error::InitialListFailed(error) = error else { return None };
    matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403)).then_some(error)
}
