//! The programs of a Kubernetes control plane: found, or built from their published Go modules and kept.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::error::{Context, Error, Result};
use super::go::{ToolModule, cache_key, human, lock, say};

/// The folder that every envtest user knows.
const ASSETS_VARIABLE: &str = "KUBEBUILDER_ASSETS";
const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/controlplane");
const COMPONENTS: [Component; 4] = [
    Component { name: "etcd", module: "etcd", package: "go.etcd.io/etcd/server/v3" },
    Component { name: "kube-apiserver", module: "", package: "k8s.io/kubernetes/cmd/kube-apiserver" },
    Component { name: "kube-controller-manager", module: "", package: "k8s.io/kubernetes/cmd/kube-controller-manager" },
    Component { name: "kubectl", module: "", package: "k8s.io/kubernetes/cmd/kubectl" },
];
/// What the person who waits is told that this is about.
const TOPIC: &str = "control plane";

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
        let version = module("").required("k8s.io/kubernetes")?;
        let files = ["go.mod", "go.sum", "etcd/go.mod", "etcd/go.sum"].map(|file| Path::new(MODULE).join(file));
        let cache = target.join("controlplane").join(&version).join(cache_key(&files)?);
        let place = |component: &Component| {
            let given = given.map(|folder| folder.join(component.name)).filter(|program| program.is_file());
            given.unwrap_or_else(|| cache.join(component.name))
        };
        if COMPONENTS.iter().any(|component| !place(component).is_file()) {
            let _lock = lock(&target.join("controlplane"), TOPIC)?;
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

fn build(missing: &[&Component], version: &str, cache: &Path) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let go = module("").go_version()?;
    let names: Vec<_> = missing.iter().map(|component| component.name).collect();
    say(&format!(
        "{TOPIC}: building {} of Kubernetes {version} with {go}, once, into {}\n\
         {TOPIC}: about 12 minutes on two cores; set {ASSETS_VARIABLE} to a folder that has them to skip this",
        names.join(", "),
        cache.display()
    ));
    let started = Instant::now();
    let numbers = version.trim_start_matches('v').split('.').collect::<Vec<_>>();
    let [major, minor, ..] = numbers[..] else { return Err(Error::new(format!("odd version {version}"))) };
    let variable = "-X k8s.io/component-base/version.git";
    let stamp = format!("-s -w {variable}Version={version} {variable}Major={major} {variable}Minor={minor}");
    for component in missing {
        let built = module(component.module).build(component.name, component.package, &["-ldflags", &stamp], cache);
        built.context(format!("cannot build {}", component.name))?;
    }
    say(&format!("{TOPIC}: built in {}", human(started.elapsed())));
    Ok(())
}

fn module(folder: &str) -> ToolModule {
    let advice = format!(
        "the tests and the quickstart build Kubernetes from source: install Go 1.26 or newer (https://go.dev/dl), \
         or set {ASSETS_VARIABLE} to a folder with kube-apiserver, etcd, kube-controller-manager and kubectl"
    );
    ToolModule { topic: TOPIC, folder: Path::new(MODULE).join(folder), cgo: false, advice }
}
