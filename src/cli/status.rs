//! `extapp status`

use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams};
use kube::{Resource as _, ResourceExt as _};

use super::cluster::{Cluster, Error, Place};
use super::exit::Exit;
use super::output::{self, Format};
use crate::api::ExternalApplication;
use crate::clock;

pub(super) mod render;
pub(super) mod report;

use report::{Happened, Report};

/// The most Events that are shown.
const EVENTS: usize = 10;

/// Shows whether an application is ready and why, its credentials, and what its rotation is doing
///
/// Exits with 0 if the application is ready, with 3 if it is not.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The ExternalApplication
    name: String,
    #[command(flatten)]
    cluster: Cluster,
    /// What is printed
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

pub async fn run(args: Args) -> Result<Exit, Error> {
    let place = args.cluster.connect().await?;
    let app = place.application(&args.name).await?;
    let events = match events(&place, &app).await {
        Ok(events) => events,
        Err(error) => {
            output::note(&error.to_string());
            Vec::new()
        }
    };
    let report = Report::of(&app, events);
    let text = match args.output {
        Format::Text => render::text(&report, clock::now()),
        Format::Json => output::json(&report)?,
    };
    output::print(&text)?;
    Ok(if report.ready { Exit::Done } else { Exit::NotReady })
}

/// The latest Events about the application, the latest last.
async fn events(place: &Place, app: &ExternalApplication) -> Result<Vec<Happened>, Error> {
    let api: Api<Event> = Api::namespaced(place.client.clone(), &place.namespace);
    let about =
        format!("regarding.kind={},regarding.uid={}", ExternalApplication::kind(&()), app.uid().unwrap_or_default());
    let list = api.list(&ListParams::default().fields(&about)).await;
    let list = list.map_err(|error| place.explain(&error, "list", "events.events.k8s.io"))?;
    let mut happened: Vec<Happened> = list.items.iter().map(Happened::of).collect();
    happened.sort_by_key(|event| event.time);
    Ok(happened.split_off(happened.len().saturating_sub(EVENTS)))
}
