//! promtool, which checks and tests the alerts: found, or built from the published Go module of Prometheus and kept.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::assets::target_directory;
use super::error::{Context, Error, Result};
use super::go::{ToolModule, cache_key, human, lock, say};

/// Names a program that is there already.
const VARIABLE: &str = "PROMTOOL";
const TOPIC: &str = "promtool";
const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/promtool");
const REQUIRED: &str = "github.com/prometheus/prometheus";
const PACKAGE: &str = "github.com/prometheus/prometheus/cmd/promtool";
/// Without the clients of every cloud that Prometheus could discover targets in, which are most of it.
const FLAGS: [&str; 4] = ["-tags", "remove_all_sd", "-ldflags", "-s -w"];

/// Runs it in the folder of its module; what it printed. Blocks, for minutes where it has to be built first.
pub fn run(arguments: &[&str]) -> Result<String> {
    let program = installed()?;
    let output = Command::new(&program).args(arguments).current_dir(MODULE).output().context(program.display())?;
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        return Ok(printed);
    }
    Err(Error::new(format!("promtool {} says:\n{printed}", arguments.join(" "))))
}

/// The program: from the variable PROMTOOL, from an earlier build, or built now.
fn installed() -> Result<PathBuf> {
    if let Some(program) = std::env::var_os(VARIABLE).map(PathBuf::from) {
        let missing = || format!("{VARIABLE} names {}, which is no file", program.display());
        return if program.is_file() { Ok(program) } else { Err(Error::new(missing())) };
    }
    let advice = format!(
        "the tests of the alerts build promtool from source: install Go 1.26 or newer (https://go.dev/dl), or name a \
         promtool program in {VARIABLE}"
    );
    let module = ToolModule { topic: TOPIC, folder: MODULE.into(), cgo: false, advice };
    let version = module.required(REQUIRED)?;
    let parent = target_directory().join("peers").join("promtool");
    let folder = parent.join(&version).join(cache_key(&["go.mod", "go.sum"].map(|f| Path::new(MODULE).join(f)))?);
    let program = folder.join("promtool");
    if !program.is_file() {
        let _lock = lock(&parent, TOPIC)?;
        // Another process may have built it while this one waited for the lock.
        if !program.is_file() {
            build(&module, &version, &folder)?;
        }
    }
    Ok(program)
}

fn build(module: &ToolModule, version: &str, folder: &Path) -> Result<()> {
    let go = module.go_version()?;
    say(&format!(
        "{TOPIC}: building {version} with {go}, once, into {}\n\
         {TOPIC}: a few minutes; name a promtool program in {VARIABLE} to skip this",
        folder.display()
    ));
    let started = Instant::now();
    module.build("promtool", PACKAGE, &FLAGS, folder).context(format!("cannot build {TOPIC}: {}", module.advice))?;
    say(&format!("{TOPIC}: built in {}", human(started.elapsed())));
    Ok(())
}
