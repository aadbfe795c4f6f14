//! The manifests that are applied, and what is expected of them.

use std::path::{Path, PathBuf};

use crate::support::{Context, Result};

/// The URL in `2-server.yaml`: the local cloud's default, since nobody knows a free port beforehand.
pub const PLACEHOLDER: &str = "http://127.0.0.1:8480";
pub const SERVER_NAMESPACE: &str = "identity";
pub const NAMESPACES: [&str; 3] = [SERVER_NAMESPACE, "finance", "people"];
/// What the mistake in `6-payroll-robot.yaml` is answered with.
pub const SUGGESTION: &str = "OR.Queue: unknown; did you mean OR.Queues?";

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

pub const APPLICATIONS: [Expected; 4] = [
    becomes_ready("finance", "invoice-sync"),
    becomes_ready("finance", "approvals-portal"),
    becomes_ready("people", "onboarding-desktop"),
    Expected { namespace: "people", name: "payroll-robot", ready: false, reason: "UnknownScope" },
];

/// A manifest with its file's name.
pub struct Manifest {
    pub file: String,
    pub text: String,
}

/// The first letter of the file that permits: it is applied later than the others.
const ROLES: char = '7';

/// Every manifest but the last in the order of the files' names, the placeholder replaced.
pub fn read(cloud: &str) -> Result<Vec<Manifest>> {
    Ok(all(cloud)?.into_iter().filter(|manifest| !manifest.file.starts_with(ROLES)).collect())
}

/// The manifest that permits.
pub fn roles() -> Result<Manifest> {
    all(PLACEHOLDER)?
        .into_iter()
        .find(|manifest| manifest.file.starts_with(ROLES))
        .context("there is no manifest of roles")
}

fn all(cloud: &str) -> Result<Vec<Manifest>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart");
    let entries = std::fs::read_dir(&folder).context(folder.display())?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let one = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).context(path.display())?.replace(PLACEHOLDER, cloud);
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Manifest { file, text })
    };
    files.iter().map(one).collect()
}
