//! Measures the operator with many applications: `cargo run --release --example fleet -- --applications 1000`.
//!
//! Everything is on this machine, the load too, so that the numbers are those of the machine as much as of the operator.
//! Beside them stands a floor: the same requests made by a bare loop in the same run. It prints numbers and judges none.

#[path = "fleet/counts.rs"]
mod counts;
#[path = "fleet/far.rs"]
mod far;
#[path = "fleet/floor.rs"]
mod floor;
#[path = "fleet/load.rs"]
mod load;
#[path = "fleet/measure.rs"]
mod measure;
#[path = "fleet/setting.rs"]
mod setting;
#[allow(dead_code, unused_imports, reason = "the tests use parts that no example does")]
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "fleet/table.rs"]
mod table;

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// With this as first argument, this program is `extapp`.
const EXTAPP: &str = "extapp";

/// Measures the operator with many applications, beside a bare loop that makes the same requests
///
/// Starts a control plane, an authorization server and the operator, all on this machine; ends them too. Progress goes to
/// standard error, a Markdown table to standard output.
#[derive(Clone, Debug, Parser)]
#[command(name = "fleet", bin_name = "cargo run --release --example fleet --", max_term_width = 110)]
struct Args {
    /// The authorization server that applications are registered at
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    server: far::Kind,

    /// How many applications are registered
    #[arg(long, default_value_t = 1_000, value_name = "COUNT")]
    applications: usize,

    /// How many at once: objects that are applied, and passes of the operator, and workers of the bare loop
    #[arg(long, default_value_t = 32, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,

    /// How many are applied one after the other, for the time from apply to Ready
    #[arg(long, default_value_t = 50, value_name = "COUNT")]
    singles: usize,

    /// Try it out: 50 applications, 10 one after the other
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == EXTAPP) {
        return extapp::cli::main(std::env::args_os().skip(1));
    }
    let mut args = Args::parse();
    if args.quick {
        (args.applications, args.singles) = (50, 10);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("fleet: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            measured = measure::run(&args) => measured,
            _ = tokio::signal::ctrl_c() => Err(support::Error::new("interrupted")),
            _ = terminate.recv() => Err(support::Error::new("interrupted")),
        }
    });
    runtime.shutdown_background();
    match outcome {
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("fleet: {error}");
            ExitCode::FAILURE
        }
    }
}
