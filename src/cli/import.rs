//! `extapp import`

use clap::Subcommand;

pub mod hydra_maester;

/// Prints manifests that take over what another operator has registered
///
/// Nothing is changed: read what is printed, then apply it.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    HydraMaester(hydra_maester::Args),
}

pub async fn run(args: Args) -> Result<(), hydra_maester::Error> {
    match args.from {
        From::HydraMaester(args) => hydra_maester::run(&args).await,
    }
}
