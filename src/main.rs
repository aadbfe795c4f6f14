use clap::Parser;

#[derive(Parser)]
enum Cli {
    LocalCloud(extapp::cli::local_cloud::Args),
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Cli::LocalCloud(args) = Cli::parse();
    Ok(extapp::cli::local_cloud::run(args).await?)
}
