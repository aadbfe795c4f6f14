//! The main job of extapp in one command: `cargo run --example quickstart`.
//!
//! It starts a cluster, a stand-in for Automation Cloud (or a real Ory Hydra) and the operator, applies the manifests beside
//! this file as a person would with kubectl, and shows what comes of it. Everything is on loopback, and all of it ends with this process.

#[path = "quickstart/checks.rs"]
mod checks;
#[path = "quickstart/hydra.rs"]
mod hydra;
#[path = "quickstart/manifests.rs"]
mod manifests;
#[path = "quickstart/permission.rs"]
mod permission;
#[path = "quickstart/progress.rs"]
mod progress;
#[path = "quickstart/report.rs"]
mod report;
#[path = "quickstart/rotation.rs"]
mod rotation;
#[path = "quickstart/sign_in.rs"]
mod sign_in;
#[path = "quickstart/stage.rs"]
mod stage;
#[allow(dead_code, unused_imports, reason = "the tests use parts that no example does")]
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "quickstart/token.rs"]
mod token;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::checks::Checks;
use crate::manifests::{HYDRA, LOCAL_CLOUD};
use crate::stage::Stage;
use crate::support::Result;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// With this as first argument, this program is `extapp`.
const EXTAPP: &str = "extapp";

/// Shows extapp at work: a cluster, a stand-in for UiPath Automation Cloud, the operator, and a few applications
///
/// Needs nothing but Rust and Go: the first run builds kube-apiserver, etcd, kube-controller-manager and kubectl from
/// their published sources (about ten minutes, once) and keeps them in the target folder. Set KUBEBUILDER_ASSETS to a
/// folder that has them to skip that. Nothing leaves this machine: every port is a free one on loopback.
///
/// What is applied is in examples/quickstart/*.yaml: real manifests, to be read and copied. The cluster stays up until
/// Ctrl-C, so that you can try things; the report ends with how.
#[derive(Debug, Parser)]
#[command(name = "quickstart", bin_name = "cargo run --example quickstart --", max_term_width = 110)]
struct Args {
    /// The authorization server that applications are registered at
    ///
    /// With hydra, a real Ory Hydra with the manifests in examples/hydra/*.yaml: the first run builds it, too (about four
    /// minutes, once; a C compiler takes part). Set HYDRA to a program that is there already to skip that.
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    server: Kind,

    /// End after the report; the exit status is 1 if anything is not as it should be
    #[arg(long)]
    exit: bool,

    /// Use an existing cluster: this context of your kubeconfig
    ///
    /// The kinds and the objects are applied there, and the operator runs here, with your own rights. At the end all of
    /// it is removed again. A cluster that has extapp, or one of the namespaces identity, finance and people, is refused.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

/// What applications are registered at.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Kind {
    /// The stand-in for UiPath Automation Cloud
    #[default]
    LocalCloud,
    /// Ory Hydra
    Hydra,
}

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == EXTAPP) {
        return extapp::cli::main(std::env::args_os().skip(1));
    }
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("quickstart: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(run(args));
    // A build of the control plane's programs may be under way on a thread of its own. It ends with this process.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nquickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<ExitCode> {
    let mut stage = Stage::new(match args.server {
        Kind::LocalCloud => &LOCAL_CLOUD,
        Kind::Hydra => &HYDRA,
    });
    let shown = tokio::select! {
        shown = show(&mut stage, &args) => shown.map(Some),
        interrupted = interruption() => interrupted.map(|()| None),
    };
    let ended = stage.end().await;
    let shown = shown?;
    ended?;
    Ok(match shown {
        Some(checks) if !checks.all_passed() => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

async fn show(stage: &mut Stage, args: &Args) -> Result<Checks> {
    let started = Instant::now();
    Box::pin(stage.set(args.context.as_deref())).await?;
    let mut checks = Checks::default();
    report::print(stage, &mut checks).await?;
    checks.print(started.elapsed());
    if args.exit {
        return Ok(checks);
    }
    report::invitation(stage)?;
    stage.attend().await?;
    Ok(checks)
}

/// Ctrl-C, or the wish of whoever started this.
async fn interruption() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}
