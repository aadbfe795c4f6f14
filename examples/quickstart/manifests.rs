//! The manifests that are applied, and what is expected of them.

use std::path::{Path, PathBuf};

use crate::support::{Context, Result};

/// The URL in the local cloud's `2-server.yaml`: its default, since nobody knows a free port beforehand.
pub const PLACEHOLDER: &str = "http://127.0.0.1:8480";
pub const SERVER_NAMESPACE: &str = "identity";
pub const NAMESPACES: [&str; 3] = [SERVER_NAMESPACE, "finance", "people"];
/// One of the applications and what is to become of it.
pub struct Expected {
    pub namespace: &'static str,
    pub name: &'static str,
    pub ready: bool,
    pub reason: &'static str,
}

const fn becomes_ready(namespace: &'static str, name: &'static str) -> Expected {
    Expected { namespace, name, ready: true, reason: "Ready" }
}

const fn is_refused(namespace: &'static str, name: &'static str) -> Expected {
    Expected { namespace, name, ready: false, reason: "UnknownScope" }
}

/// What is shown, by the server that it is shown with.
pub struct Scene {
    /// Where the manifests are.
    pub folder: &'static str,
    /// The AuthorizationServer.
    pub server: &'static str,
    pub applications: &'static [Expected],
    /// The confidential one, in `finance`, with the scopes that it asks for, and where one of them can be put right.
    pub worker: &'static str,
    pub scope: &'static str,
    /// The non-confidential one, in `people`.
    pub desktop: &'static str,
    /// The one with a mistake, in `people`, what it is answered with, and what would be right.
    pub mistaken: &'static str,
    pub suggestion: &'static str,
    pub right: &'static str,
    /// A resource of the catalogue.
    pub resource: &'static str,
}

pub const LOCAL_CLOUD: Scene = Scene {
    folder: "examples/quickstart",
    server: "automation-cloud",
    applications: &[
        becomes_ready("finance", "invoice-sync"),
        becomes_ready("finance", "approvals-portal"),
        becomes_ready("people", "onboarding-desktop"),
        is_refused("people", "payroll-robot"),
    ],
    worker: "invoice-sync",
    scope: "OR.Default OR.Queues",
    desktop: "onboarding-desktop",
    mistaken: "payroll-robot",
    suggestion: "OR.Queue: unknown; did you mean OR.Queues?",
    right: "OR.Queues",
    resource: "UiPath.Orchestrator",
};

pub const HYDRA: Scene = Scene {
    folder: "examples/hydra",
    server: "hydra",
    applications: &[
        becomes_ready("finance", "ledger-sync"),
        becomes_ready("people", "ledger-desktop"),
        is_refused("people", "ledger-robot"),
    ],
    worker: "ledger-sync",
    scope: "ledger.read ledger.write",
    desktop: "ledger-desktop",
    mistaken: "ledger-robot",
    suggestion: "ledger.reed: unknown; did you mean ledger.read?",
    right: "ledger.read",
    resource: "ledger",
};

/// What is replaced in `2-server.yaml`: an address that is written there, and the one that it has here.
pub type Replacement = (&'static str, String);

/// A manifest with its file's name.
pub struct Manifest {
    pub file: String,
    pub text: String,
}

/// The first letter of the file that permits: it is applied later than the others.
const ROLES: char = '7';

/// Every manifest of a scene but the one that permits, in the order of the files' names.
pub fn read(scene: &Scene, replacements: &[Replacement]) -> Result<Vec<Manifest>> {
    Ok(all(scene, replacements)?.into_iter().filter(|manifest| !manifest.file.starts_with(ROLES)).collect())
}

/// The manifest that permits.
pub fn roles() -> Result<Manifest> {
    all(&LOCAL_CLOUD, &[])?
        .into_iter()
        .find(|manifest| manifest.file.starts_with(ROLES))
        .context("there is no manifest of roles")
}

fn all(scene: &Scene, replacements: &[Replacement]) -> Result<Vec<Manifest>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(scene.folder);
    let entries = std::fs::read_dir(&folder).context(folder.display())?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let one = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).context(path.display())?;
        let text = replacements.iter().fold(text, |text, (written, here)| text.replace(written, here));
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Manifest { file, text })
    };
    files.iter().map(one).collect()
}
