//! The programs of a Kubernetes control plane: found, or built from their published Go modules and kept.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::error::{Context, Error, Result};
use super::process::{Launch, tail};

/// The folder that every envtest user knows.
const ASSETS_VARIABLE: &str = "KUBEBUILDER_ASSETS";
const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/controlplane");
const COMPONENTS: [Component; 4] = [
    Component { name: "etcd", module: "etcd", package: "go.etcd.io/etcd/server/v3" },
    Component { name: "kube-apiserver", module: "", package: "k8s.io/kubernetes/cmd/kube-apiserver" },
    Component { name: "kube-controller-manager", module: "", package: "k8s.io/kubernetes/cmd/kube-controller-manager" },
    Component { name: "kubectl", module: "", package: "k8s.io/kubernetes/cmd/kubectl" },
];
const REPORT_INTERVAL: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);
/// How much of the Go tool's output belongs into an error.
const TAIL_LINES: usize = 40;

struct Component {
    name: &'static str,
    /// Its folder below the tool module.
    module: &'static str,
    package: &'static str,
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Assets {
    pub etcd: PathBuf,
    pub kube_apiserver: PathBuf,
    pub kube_controller_manager: PathBuf,
    pub kubectl: PathBuf,
}

impl Assets {
    /// Finds the programs, or builds what is missing: minutes the first time. Blocks.
    pub fn find() -> Result<Self> {
        Self::find_in(std::env::var_os(ASSETS_VARIABLE).map(PathBuf::from).as_deref(), &target_directory())
    }

    fn find_in(given: Option<&Path>, target: &Path) -> Result<Self> {
        let version = kubernetes_version()?;
        let cache = target.join("controlplane").join(&version).join(cache_key()?);
        let place = |component: &Component| {
            let given = given.map(|folder| folder.join(component.name)).filter(|program| program.is_file());
            given.unwrap_or_else(|| cache.join(component.name))
        };
        if COMPONENTS.iter().any(|component| !place(component).is_file()) {
            let _lock = lock(&target.join("controlplane"))?;
            // Another process may have built some of them while this one waited for the lock.
            let missing: Vec<_> = COMPONENTS.iter().filter(|component| !place(component).is_file()).collect();
            build(&missing, &version, &cache)?;
        }
        let [etcd, kube_apiserver, kube_controller_manager, kubectl] = COMPONENTS.each_ref().map(place);
        Ok(Self { etcd, kube_apiserver, kube_controller_manager, kubectl })
    }
}

/// cargo's target folder, wherever a setting has put it.
pub fn target_directory() -> PathBuf {
    if let Some(directory) = std::env::var_os("CARGO_TARGET_DIR") {
        return Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    }
    // Test binaries and examples lie below it, and cargo marks it with this file.
    let program = std::env::current_exe().unwrap_or_default();
    let marked = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    marked.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), Path::to_owned)
}

/// A new folder for the files of running processes, below the target folder; gone when dropped.
pub fn scratch(prefix: &str) -> Result<tempfile::TempDir> {
    let parent = target_directory().join("tmp");
    std::fs::create_dir_all(&parent).context(parent.display())?;
    tempfile::Builder::new().prefix(prefix).tempdir_in(&parent).context(parent.display())
}

/// Progress is for a person who waits. The test harness captures the print macros, so this writes past it.
fn say(text: &str) {
    // Nobody to tell if standard error is closed.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The tool module is the one place that names the version.
fn kubernetes_version() -> Result<String> {
    let module = std::fs::read_to_string(Path::new(MODULE).join("go.mod")).context("tests/controlplane/go.mod")?;
    let version = module.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "));
    let version = version.and_then(|rest| rest.split_whitespace().next());
    version.map(str::to_owned).context("tests/controlplane/go.mod requires no k8s.io/kubernetes")
}

/// Changes with any version of any dependency, so that a stale program is never taken for the wanted one.
fn cache_key() -> Result<String> {
    let mut digest = Sha256::new();
    for file in ["go.mod", "go.sum", "etcd/go.mod", "etcd/go.sum"] {
        let path = Path::new(MODULE).join(file);
        digest.update(std::fs::read(&path).context(path.display())?);
    }
    Ok(digest.finalize()[..6].iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}

/// Held until dropped; the system drops it with the process, so a killed build leaves no lock.
fn lock(directory: &Path) -> Result<File> {
    std::fs::create_dir_all(directory).context(directory.display())?;
    let path = directory.join("build.lock");
    let file = File::create(&path).context(path.display())?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            say("control plane: waiting for another build of the same programs ...");
            file.lock().context(path.display())?;
        }
        Err(TryLockError::Error(error)) => return Err(error).context(path.display()),
    }
    Ok(file)
}

fn build(missing: &[&Component], version: &str, cache: &Path) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let go = go_version()?;
    std::fs::create_dir_all(cache).context(cache.display())?;
    let names: Vec<_> = missing.iter().map(|component| component.name).collect();
    say(&format!(
        "control plane: building {} of Kubernetes {version} with {go}, once, into {}\n\
         control plane: about 12 minutes on two cores; set {ASSETS_VARIABLE} to a folder that has them to skip this",
        names.join(", "),
        cache.display()
    ));
    let started = Instant::now();
    for component in missing {
        build_one(component, version, cache).context(format!("cannot build {}", component.name))?;
    }
    say(&format!("control plane: built in {}", human(started.elapsed())));
    Ok(())
}

fn build_one(component: &Component, version: &str, cache: &Path) -> Result<()> {
    // Beside the final place, so that the rename at the end moves no bytes: a program is there whole or not at all.
    let parent = cache.parent().context("the cache has no parent")?;
    let workshop = tempfile::Builder::new().prefix("building-").tempdir_in(parent)?;
    let program = workshop.path().join(component.name);
    let packages =
        run_go(component, "reading its sources", None, workshop.path(), &["list", "-deps", component.package])?;
    let numbers = version.trim_start_matches('v').split('.').collect::<Vec<_>>();
    let [major, minor, ..] = numbers[..] else { return Err(Error::new(format!("odd version {version}"))) };
    let variable = "-X k8s.io/component-base/version.git";
    let stamp = format!("-s -w {variable}Version={version} {variable}Major={major} {variable}Minor={minor}");
    let output = program.display().to_string();
    let arguments = ["build", "-v", "-trimpath", "-ldflags", &stamp, "-o", &output, component.package];
    run_go(component, "compiling", Some(packages), workshop.path(), &arguments)?;
    std::fs::rename(&program, cache.join(component.name)).context(program.display())
}

/// Runs the Go tool, telling now and then how far it is; the number of lines that it printed.
fn run_go(component: &Component, doing: &str, of: Option<usize>, workshop: &Path, arguments: &[&str]) -> Result<usize> {
    let launch = Launch::new("go", "go", workshop).removing(workshop).grace(Duration::from_secs(2));
    let prepare = |command: &mut Command| {
        go_environment(command, component.module).args(arguments);
    };
    let mut go = launch.command(prepare).start()?;
    let (started, mut reported) = (Instant::now(), Instant::now());
    let of = of.map(|packages| format!(" of at most {packages}")).unwrap_or_default();
    let mut first = true;
    loop {
        let status = go.exited()?;
        let diagnostics = std::fs::read_to_string(go.log()).unwrap_or_default();
        let downloads = diagnostics.lines().filter(|line| line.starts_with("go: downloading")).count();
        let compiled = diagnostics.lines().filter(|line| !line.starts_with("go:")).count();
        if status.is_none() && (first || reported.elapsed() >= REPORT_INTERVAL) {
            (first, reported) = (false, Instant::now());
            let detail = match (compiled, downloads) {
                (0, 0) => String::new(),
                (0, downloads) => format!(", {downloads} modules downloaded"),
                (compiled, _) => format!(", {compiled}{of} packages"),
            };
            say(&format!("control plane: {}: {doing}{detail}, {}", component.name, human(started.elapsed())));
        }
        match status {
            None => std::thread::sleep(POLL),
            Some(status) if status.success() => return Ok(std::fs::read_to_string(go.output())?.lines().count()),
            Some(status) => {
                let output = tail(go.log(), TAIL_LINES);
                return Err(Error::new(format!("`go {}` ended with {status}:\n{output}", arguments.join(" "))));
            }
        }
    }
}

fn go_environment<'a>(command: &'a mut Command, module: &str) -> &'a mut Command {
    // A workspace or flags of the person's own projects are not meant for this build.
    command.current_dir(Path::new(MODULE).join(module)).env("CGO_ENABLED", "0").env("GOFLAGS", "").env("GOWORK", "off")
}

/// The version of Go that builds the module, which newer Go tools fetch by themselves if their own is older.
fn go_version() -> Result<String> {
    let advice = format!(
        "the tests and the quickstart build Kubernetes from source: install Go 1.26 or newer (https://go.dev/dl), \
         or set {ASSETS_VARIABLE} to a folder with kube-apiserver, etcd, kube-controller-manager and kubectl"
    );
    match go_environment(&mut Command::new("go"), "").args(["env", "GOVERSION"]).output() {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        Ok(output) => {
            let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(Error::new(format!("{advice}; the Go that is installed says: {reason}")))
        }
        Err(_) => Err(Error::new(format!("there is no Go: {advice}"))),
    }
}

fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 { format!("{seconds} s") } else { format!("{} min {} s", seconds / 60, seconds % 60) }
}
