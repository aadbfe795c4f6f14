//! The command line: one subcommand a file.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::telemetry::{self, LogFormat};

mod cluster;
pub mod completions;
pub mod crds;
mod exit;
pub mod import;
mod kubectl;
pub mod local_cloud;
pub mod operator;
mod output;
pub mod rbac;
pub mod rotate;
pub mod status;
pub mod verify;
pub mod who_uses;

use exit::Exit;

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
    Status(status::Args),
    Rotate(rotate::Args),
    WhoUses(who_uses::Args),
    Verify(verify::Args),
    Operator(operator::Args),
    LocalCloud(local_cloud::Args),
    Crds(crds::Args),
    Rbac(rbac::Args),
    Import(import::Args),
    Completions(completions::Args),
}

/// Runs the command line; the first argument is the program's name. Errors go to standard error in one sentence.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let called = kubectl::Called::of(arguments.first());
    if called == kubectl::Called::ToComplete {
        return block_on(kubectl::complete(Cli::command(), &arguments[1..]))
            .map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let mut command = Cli::command();
    if called == kubectl::Called::AsPlugin {
        command = command.bin_name("kubectl extapp");
    }
    let parsed = command
        .try_get_matches_from_mut(arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command)));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors, and clap knows where each belongs.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(message) => {
            eprintln!("extapp: {message}");
            Exit::Failed.into()
        }
    }
}

fn run(cli: Cli) -> Result<Exit, String> {
    let say = |error: &dyn std::error::Error| error.to_string();
    let done = |()| Exit::Done;
    small_pages();
    if matches!(cli.command, Command::Operator(_) | Command::LocalCloud(_)) {
        telemetry::start(cli.logging.log_format, &cli.logging.log_level).map_err(|error| say(&error))?;
    }
    match cli.command {
        Command::Status(args) => block_on(status::run(args))?.map_err(|error| say(&error)),
        Command::Rotate(args) => block_on(rotate::run(args))?.map_err(|error| say(&error)),
        Command::WhoUses(args) => block_on(who_uses::run(args))?.map_err(|error| say(&error)),
        Command::Verify(args) => block_on(verify::run(args))?.map_err(|error| say(&error)),
        Command::Completions(args) => {
            completions::run(&args, &mut Cli::command()).map(done).map_err(|error| say(&error))
        }
        Command::Crds(args) => crds::run(&args).map(done).map_err(|error| say(&error)),
        Command::Rbac(args) => rbac::run(&args).map(done).map_err(|error| say(&error)),
        Command::Import(args) => block_on(import::run(args))?.map(done).map_err(|error| say(&error)),
        Command::Operator(args) => block_on(operator::run(args))?.map(done).map_err(|error| say(&error)),
        Command::LocalCloud(args) => block_on(local_cloud::run(args))?.map(done).map_err(|error| say(&error)),
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
