//! The command line: one subcommand a file.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::telemetry::{self, LogFormat};

pub mod crds;
pub mod import;
pub mod local_cloud;
pub mod operator;
pub mod rbac;

/// A Kubernetes operator for OAuth external applications, UiPath Automation Cloud's first of all
///
/// A platform engineer commits an ExternalApplication; extapp makes the registration exist at the authorization server
/// and writes its credentials where workloads can mount them.
#[derive(Debug, Parser)]
#[command(name = "extapp", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    logging: Logging,
}

#[derive(Debug, clap::Args)]
struct Logging {
    /// How log lines look; they go to standard error
    #[arg(long, global = true, env = "EXTAPP_LOG_FORMAT", value_enum, default_value_t, value_name = "FORMAT")]
    log_format: LogFormat,
    /// How much is logged: error, warn, info, debug, trace, or a filter such as info,extapp=debug
    #[arg(long, global = true, env = "EXTAPP_LOG_LEVEL", default_value = "info", value_name = "LEVEL")]
    log_level: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    Operator(operator::Args),
    LocalCloud(local_cloud::Args),
    Crds(crds::Args),
    Rbac(rbac::Args),
    Import(import::Args),
}

/// Runs the command line; the first argument is the program's name. Errors go to standard error in one sentence.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors, and clap knows where each belongs.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("extapp: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), String> {
    let say = |error: &dyn std::error::Error| error.to_string();
    small_pages();
    if matches!(cli.command, Command::Operator(_) | Command::LocalCloud(_)) {
        telemetry::start(cli.logging.log_format, &cli.logging.log_level).map_err(|error| say(&error))?;
    }
    match cli.command {
        Command::Crds(args) => crds::run(&args).map_err(|error| say(&error)),
        Command::Rbac(args) => rbac::run(&args).map_err(|error| say(&error)),
        Command::Import(args) => block_on(import::run(args))?.map_err(|error| say(&error)),
        Command::Operator(args) => block_on(operator::run(args))?.map_err(|error| say(&error)),
        Command::LocalCloud(args) => block_on(local_cloud::run(args))?.map_err(|error| say(&error)),
    }
}

/// The allocator's arenas would be backed by huge pages, most of which stay empty: that made an idle operator half as
/// large again. Best effort: a system without them has none to refuse.
fn small_pages() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map(|runtime| runtime.block_on(work)).map_err(|error| format!("the runtime did not start: {error}"))
}
