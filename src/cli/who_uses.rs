//! `extapp who-uses`

use super::cluster::{Cluster, Error};
use super::exit::Exit;
use super::output::{self, Format};
use crate::clock;

mod read;
mod render;
mod report;

use report::Report;

/// Shows which pods and workloads use an application's Secrets and ConfigMaps, and which may still have the secret before
///
/// A file that is mounted follows within about a minute; a variable, a file mounted with subPath and an immutable object
/// only change with a new pod.
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
    let read = read::read(&place).await?;
    for unread in &read.unread {
        output::note(&format!("{unread}; what is there is not shown"));
    }
    let report = Report::of(&app, &read);
    let text = match args.output {
        Format::Text => render::text(&report, clock::now()),
        Format::Json => output::json(&report)?,
    };
    output::print(&text)?;
    Ok(Exit::Done)
}
