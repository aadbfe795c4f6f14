//! `extapp completions`

use clap_complete::Shell;

use super::cluster::Error;
use super::output;

/// Prints the completions for a shell, such as: source <(extapp completions bash)
///
/// As a plugin of kubectl, extapp is completed by kubectl itself: link kubectl_complete-extapp to the same binary.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub fn run(args: &Args, command: &mut clap::Command) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "extapp", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}
