//! One measurement after the other, in one run.

use std::time::{Duration, Instant};

use crate::counts::{Scrape, listed};
use crate::far::Kind;
use crate::setting::{SELDOM, Setting};
use crate::support::{Result, eventually};
use crate::table::Table;
use crate::{Args, floor, load};

const WRITES: &str = "extapp_kubernetes_writes_total";
const REQUESTS: &str = "extapp_server_requests_total";
const PASSES: &str = "extapp_reconciles_total";
const SWEPT: &str = "extapp_server_last_sweep_timestamp_seconds";
const OFTEN: &str = "5s";
const RESYNCS: usize = 3;
/// Nothing counted for so long: everything is done.
const QUIET: Duration = Duration::from_secs(3);
const LIMIT: Duration = Duration::from_mins(10);

pub async fn run(args: &Args) -> Result<Table> {
    let built = if cfg!(debug_assertions) { "debug" } else { "release" };
    let cores = std::thread::available_parallelism()?;
    let mut table = Table::new(format!(
        "{} applications, {} at once, {built} build, {cores} cores shared by the operator, the control plane, {} and the \
         load itself",
        args.applications,
        args.concurrency,
        args.server.name()
    ));
    eprintln!("fleet: starting");
    let mut setting = Setting::start(args).await?;
    quiet(&setting).await?;
    let idle = setting.memory();
    table.row("memory, idle", mebibytes(idle));
    singles(args, &setting, &mut table).await?;
    bulk(args, &mut setting, &mut table).await?;
    resyncs(args, &setting, &mut table).await?;
    restart(args, &mut setting, &mut table).await?;
    Ok(table)
}

async fn singles(args: &Args, setting: &Setting, table: &mut Table) -> Result<()> {
    let times = load::singles(&setting.client, args.server, args.singles).await?;
    // The nearest rank: with 50 times, p99 is the slowest.
    let rank =
        |share: usize| times.get((times.len() * share).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default();
    let milliseconds = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1_000.0);
    let measured = format!("p50 {}, p99 {}", milliseconds(rank(50)), milliseconds(rank(99)));
    table.row(format!("apply to Ready, idle operator, {} one by one", times.len()), measured);
    Ok(())
}

async fn bulk(args: &Args, setting: &mut Setting, table: &mut Table) -> Result<()> {
    let count = number(args.applications);
    let before = setting.processor_times();
    let took =
        floor::run(&setting.client, args.server, &setting.floor_far, args.applications, args.concurrency).await?;
    let bare = count / took.as_secs_f64();
    let bare_work = work(&before, &setting.processor_times(), count);
    quiet(setting).await?;
    let started = setting.processor_times();
    let (before, lines, memory) = (Scrape::of(setting).await?, setting.far.requests()?.len(), setting.memory());
    let took = load::fleet(&setting.client, args.server, args.applications, args.concurrency).await?;
    let own_work = work(&started, &setting.processor_times(), count);
    let rate = count / took.as_secs_f64();
    table.row("applications to Ready", format!("{rate:.1} a second ({:.1} s)", took.as_secs_f64()));
    table.row("the bare loop: the same apply, create and three writes", format!("{bare:.1} a second"));
    table.row("operator / bare loop", format!("{:.2}", rate / bare));
    table.row("processor time per application", own_work);
    table.row("processor time per application, the bare loop", bare_work);
    quiet(setting).await?;
    let made = Scrape::of(setting).await?.since(&before);
    let writes = made.by(WRITES, &["kind", "purpose"]);
    table.row("Kubernetes writes per application", format!("{:.2}", made.sum(WRITES) / count));
    table.row("Kubernetes writes", listed(&writes));
    table.row("server requests per application", format!("{:.2}", made.sum(REQUESTS) / count));
    table.row("server requests, by the operator", listed(&made.by(REQUESTS, &["operation", "outcome"])));
    table.row(format!("server requests, by {}", far(args)), listed(&setting.far.answered(lines)?));
    let after = setting.memory();
    let each = (number_of(after) - number_of(memory)) / count;
    table.row("memory, with the fleet", format!("{}, {each:.1} KiB per application", mebibytes(after)));
    Ok(())
}

async fn resyncs(args: &Args, setting: &Setting, table: &mut Table) -> Result<()> {
    setting.sweep_every(OFTEN).await?;
    sweeps(setting, 1).await?;
    let (before, lines) = (Scrape::of(setting).await?, setting.far.requests()?.len());
    let started = Instant::now();
    sweeps(setting, RESYNCS).await?;
    let seconds = started.elapsed().as_secs_f64();
    let made = Scrape::of(setting).await?.since(&before);
    table.row(
        format!("{RESYNCS} resyncs, nothing changed: Kubernetes writes"),
        listed(&made.by(WRITES, &["kind", "purpose"])),
    );
    table.row(format!("{RESYNCS} resyncs: server requests"), listed(&made.by(REQUESTS, &["operation", "outcome"])));
    table.row(format!("{RESYNCS} resyncs: as {} counts", far(args)), listed(&setting.far.answered(lines)?));
    table.row(format!("{RESYNCS} resyncs: passes over applications"), passes(&made, seconds));
    setting.sweep_every(SELDOM).await
}

async fn restart(args: &Args, setting: &mut Setting, table: &mut Table) -> Result<()> {
    quiet(setting).await?;
    let lines = setting.far.requests()?.len();
    let started = Instant::now();
    setting.operator.restart().await?;
    let ready = started.elapsed();
    let settled = settle(setting, started, number(args.applications)).await?;
    let made = Scrape::of(setting).await?;
    let times = format!("{:.2} s to /readyz, {:.2} s to the counts pass", ready.as_secs_f64(), settled.as_secs_f64());
    table.row("restart (kill -9)", times);
    table.row("restart: Kubernetes writes", listed(&made.by(WRITES, &["kind", "purpose"])));
    table.row("restart: server requests", listed(&made.by(REQUESTS, &["operation", "outcome"])));
    table.row(format!("restart: as {} counts", far(args)), listed(&setting.far.answered(lines)?));
    let memory = setting.memory();
    table.row("memory, after the restart", mebibytes(memory));
    Ok(())
}

fn far(args: &Args) -> String {
    match args.server {
        Kind::LocalCloud => format!("the {}", args.server.name()),
        Kind::Hydra => args.server.name().to_owned(),
    }
}

/// What was worked between two readings, in milliseconds per application.
fn work(before: &[(&str, Duration)], after: &[(&str, Duration)], count: f64) -> String {
    let each = |(then, now): (&(&str, Duration), &(&str, Duration))| {
        format!("{} {:.1} ms", now.0, now.1.saturating_sub(then.1).as_secs_f64() * 1_000.0 / count)
    };
    before.iter().zip(after).map(each).collect::<Vec<_>>().join(", ")
}

fn passes(made: &Scrape, seconds: f64) -> String {
    format!("{} in {seconds:.0} s", made.only(PASSES, "kind", "ExternalApplication"))
}

/// Waits for so many further sweeps.
async fn sweeps(setting: &Setting, count: usize) -> Result<()> {
    for _ in 0..count {
        let counts = Scrape::of(setting).await?.sum(SWEPT);
        let moved = async || Ok((Scrape::of(setting).await?.sum(SWEPT) > counts).then_some(()));
        eventually("the next sweep", LIMIT, moved).await?;
    }
    Ok(())
}

/// Waits until nothing has been counted for a while.
async fn quiet(setting: &Setting) -> Result<()> {
    settle(setting, Instant::now(), 0.0).await.map(|_| ())
}

/// Waits until at least so many passes over applications were made, and then nothing for a while; when the counts ended.
async fn settle(setting: &Setting, started: Instant, least: f64) -> Result<Duration> {
    let (mut counts, mut moved) = ((-1.0, -1.0), started.elapsed());
    eventually("the operator is quiet", LIMIT, async || {
        let scrape = Scrape::of(setting).await?;
        let now = (scrape.sum(PASSES), scrape.sum(REQUESTS));
        if now != counts {
            (counts, moved) = (now, started.elapsed());
        }
        let enough = scrape.only(PASSES, "kind", "ExternalApplication") >= least;
        let idle = scrape.sum("extapp_reconciles_running") == 0.0;
        Ok((enough && idle && started.elapsed().saturating_sub(moved) >= QUIET).then_some(moved))
    })
    .await
}

fn mebibytes(kibibytes: u64) -> String {
    format!("{:.1} MiB", number_of(kibibytes) / 1_024.0)
}

fn number_of(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
