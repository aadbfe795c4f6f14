//! The YAML and the programs below `examples/`: a real API server takes every manifest, the operator publishes what the
//! workloads refer to, and what the workloads run gets a token with it.
//!
//! What is not checked here: there is no kubelet, so that no image is pulled and no pod runs; Flux and Argo CD are not
//! installed, so that their kinds are checked against the fields that are used, and their expressions by evaluating them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::support::{Context, ControlPlane, Error, Result, apply_yaml, shared};

mod desktop;
mod duties;
mod gitops;
mod workloads;

/// The kinds of Flux, with the fields that its documentation describes and the example uses; any other is refused.
const FLUX: &str = include_str!("examples/flux.yaml");

/// One document of a file.
struct Manifest {
    file: PathBuf,
    object: Value,
}

impl Manifest {
    fn kind(&self) -> &str {
        self.object["kind"].as_str().unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    fn said(&self) -> String {
        format!("{}: {} {}", self.file.display(), self.kind(), self.name())
    }
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).context(folder.display())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, ending)?);
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Every document of a file or a folder, in the order in which kubectl takes them.
fn manifests(place: &str) -> Result<Vec<Manifest>> {
    let place = examples().join(place);
    let files = if place.is_dir() { files(&place, "yaml")? } else { vec![place] };
    let mut manifests = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).context(file.display())?;
        let short = file.strip_prefix(examples()).unwrap_or(&file).to_owned();
        let documents = documents.into_iter().filter(|document| !document.is_null());
        manifests.extend(documents.map(|object| Manifest { file: short.clone(), object }));
    }
    Ok(manifests)
}

/// The text of one key of a ConfigMap that an example brings.
fn program(place: &str, key: &str) -> Result<String> {
    let maps = manifests(place)?;
    let text = maps.iter().find_map(|map| map.object["data"][key].as_str());
    Ok(text.context(format!("{place} has no {key}"))?.to_owned())
}

/// Applies one object as `kubectl apply --server-side --validate=strict` does: an unknown field is an error.
async fn apply(client: &Client, manifest: &Manifest, dry_run: bool) -> Result<DynamicObject> {
    let object: DynamicObject = serde_json::from_value(manifest.object.clone()).context(manifest.said())?;
    let types = object.types.clone().context(manifest.said())?;
    let (kind, capabilities) = pinned_kind(client, &GroupVersionKind::try_from(&types)?).await?;
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &kind),
        Scope::Namespaced => {
            let namespace =
                object.metadata.namespace.as_deref().context(format!("{}: no namespace", manifest.said()))?;
            Api::namespaced_with(client.clone(), namespace, &kind)
        }
    };
    let mut params = PatchParams::apply("platform-engineer").force().validation_strict();
    params.dry_run = dry_run;
    api.patch(manifest.name(), &params, &Patch::Apply(&object)).await.context(manifest.said())
}

/// The control plane, with the namespaces that the examples name, as their own readers have them.
async fn prepared() -> Result<(&'static ControlPlane, Client)> {
    static PREPARED: OnceCell<()> = OnceCell::const_new();
    let plane = shared().await?;
    let client = plane.admin_client().await?;
    let prepare = async || {
        for namespace in ["identity", "finance", "people", "argocd", "flux-system"] {
            plane.add_namespace(namespace).await?;
        }
        apply_yaml(&client, FLUX).await?;
        Ok::<(), Error>(())
    };
    PREPARED.get_or_try_init(prepare).await?;
    Ok((plane, client))
}

#[tokio::test]
async fn the_api_server_takes_every_manifest_of_the_examples_as_it_stands() -> Result<()> {
    let (_, client) = prepared().await?;
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for manifest in manifests("")? {
        let applied = apply(&client, &manifest, false).await?;
        for part in ["spec", "data"] {
            assert!(contains(&applied.data[part], &manifest.object[part]), "{}: kept as written", manifest.said());
        }
        *kinds.entry(manifest.kind().to_owned()).or_default() += 1;
    }
    let expected = [
        "AuthorizationServer",
        "ApiResource",
        "ExternalApplication",
        "RoleAssignment",
        "Deployment",
        "Job",
        "ConfigMap",
    ];
    assert!(expected.iter().all(|kind| kinds.contains_key(*kind)), "{kinds:?}");
    Ok(())
}

/// Whether all that was written is there; the API server adds its defaults.
fn contains(have: &Value, want: &Value) -> bool {
    match (have, want) {
        (_, Value::Null) => true,
        (Value::Object(have), Value::Object(want)) => {
            want.iter().all(|(key, want)| have.get(key).is_some_and(|have| contains(have, want)))
        }
        (Value::Array(have), Value::Array(want)) => {
            have.len() == want.len() && have.iter().zip(want).all(|(have, want)| contains(have, want))
        }
        (have, want) => have == want,
    }
}

/// The pod that a workload makes.
fn pod_of(manifest: &Manifest) -> Option<Value> {
    let template = &manifest.object["spec"]["template"];
    template["spec"]["containers"].is_array().then(|| template.clone())
}

#[tokio::test]
async fn every_pod_of_the_examples_is_admitted_under_the_restricted_pod_security_standard() -> Result<()> {
    let (plane, client) = prepared().await?;
    let namespace = plane.unique_namespace("examples").await?;
    let label = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": namespace.name(), "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
    });
    apply_yaml(&client, &label.to_string()).await?;
    let mut pods = 0;
    for manifest in manifests("")? {
        let Some(mut object) = pod_of(&manifest) else { continue };
        (object["apiVersion"], object["kind"]) = (json!("v1"), json!("Pod"));
        object["metadata"]["name"] = json!(manifest.name());
        object["metadata"]["namespace"] = json!(namespace.name());
        for container in object["spec"]["containers"].as_array().into_iter().flatten() {
            let of = |pointer: &str| container.pointer(pointer).unwrap_or(&Value::Null);
            let image = of("/image").as_str().unwrap_or_default();
            let tag = image.rsplit_once(':').map(|(_, tag)| tag).unwrap_or_default();
            assert!(tag.contains('.') && !tag.contains('/'), "{}: {image} is not pinned", manifest.said());
            assert_eq!(*of("/securityContext/readOnlyRootFilesystem"), json!(true), "{}", manifest.said());
            assert!(of("/resources/limits/memory").is_string(), "{}", manifest.said());
        }
        assert_eq!(object["spec"]["automountServiceAccountToken"], json!(false), "{}", manifest.said());
        apply(&client, &Manifest { file: manifest.file, object }, true).await?;
        pods += 1;
    }
    assert!(pods >= 5, "{pods} pods");
    Ok(())
}

#[test]
fn every_example_says_what_it_is_for() -> Result<()> {
    let mut seen = 0;
    for entry in std::fs::read_dir(examples())? {
        let folder = entry?.path();
        // The programs and what belongs to them.
        if !folder.is_dir() || folder.with_extension("rs").exists() {
            continue;
        }
        let readme = std::fs::read_to_string(folder.join("README.md")).context(folder.display())?;
        for file in files(&folder, "yaml")? {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let applied_as_a_whole = readme.contains(&format!(
                "apply -f examples/{}/\n",
                folder.file_name().and_then(|name| name.to_str()).unwrap_or_default()
            ));
            assert!(applied_as_a_whole || readme.contains(name), "{} does not speak of {name}", folder.display());
        }
        seen += 1;
    }
    assert_eq!(seen, 11, "the folders");
    Ok(())
}
