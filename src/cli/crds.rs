//! `extapp crds`

use std::io::Write;
use std::path::PathBuf;

use crate::api;

/// Prints the definitions of the kinds, ready for `kubectl apply --server-side -f -`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write one file for each kind into this directory instead
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the definitions cannot be written as YAML: {0}")]
    Yaml(String),
    #[error("{path}: {error}")]
    File { path: String, error: std::io::Error },
    #[error("standard output: {0}")]
    Output(std::io::Error),
}

pub fn run(args: &Args) -> Result<(), Error> {
    let mut stream = String::new();
    for definition in api::definitions() {
        let text = serde_saphyr::to_string(&definition).map_err(|error| Error::Yaml(error.to_string()))?;
        match &args.directory {
            None => {
                stream.push_str("---\n");
                stream.push_str(&text);
            }
            Some(directory) => {
                let path = directory.join(format!("{}.yaml", definition.spec.names.plural));
                let generated = format!("# Printed by `extapp crds`; do not edit.\n{text}");
                std::fs::create_dir_all(directory)
                    .and_then(|()| std::fs::write(&path, generated))
                    .map_err(|error| Error::File { path: path.display().to_string(), error })?;
            }
        }
    }
    std::io::stdout().write_all(stream.as_bytes()).map_err(Error::Output)
}
