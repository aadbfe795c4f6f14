//! A namespace for one test.

use std::fmt;
use std::path::{Path, PathBuf};

use extapp::api::{AuthorizationServer, ExternalApplication, RoleAssignment};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::error::{Context, Result};
use super::kubeconfig;

/// A namespace whose name nothing else has; its deletion is asked for, not awaited, when this is dropped. Drop it after its
/// operator: nobody is left then to take finalizers away, and a namespace that cannot go costs the control plane some
/// hundred requests again and again.
pub struct TestNamespace {
    name: String,
    kubeconfig: PathBuf,
}

impl TestNamespace {
    pub(super) async fn create(kubeconfig: &Path, prefix: &str) -> Result<Self> {
        let metadata = ObjectMeta { generate_name: Some(format!("{prefix}-")), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        let namespaces: Api<Namespace> = Api::all(kubeconfig::client(kubeconfig).await?);
        let created = namespaces.create(&PostParams::default(), &namespace).await?;
        let name = created.metadata.name.context("the new namespace has no name")?;
        Ok(Self { name, kubeconfig: kubeconfig.to_owned() })
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for TestNamespace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

/// Takes every finalizer away.
async fn let_go<K>(api: &Api<K>) -> Result<()>
where
    K: Resource + Clone + std::fmt::Debug + DeserializeOwned,
{
    let nothing = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    for object in api.list(&ListParams::default()).await? {
        if object.meta().finalizers.is_some() {
            // It may be gone by now.
            let _ = api.patch(&object.name_any(), &PatchParams::default(), &nothing).await;
        }
    }
    Ok(())
}

impl Drop for TestNamespace {
    fn drop(&mut self) {
        let (name, kubeconfig) = (self.name.clone(), self.kubeconfig.clone());
        // On a thread and a runtime of its own: the test's runtime cannot run anything while this destructor does.
        let delete = move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let client = kubeconfig::client(&kubeconfig).await?;
                let namespaces: Api<Namespace> = Api::all(client.clone());
                namespaces.delete(&name, &DeleteParams::background()).await?;
                let (servers, applications): (Api<AuthorizationServer>, Api<ExternalApplication>) =
                    (Api::namespaced(client.clone(), &name), Api::namespaced(client.clone(), &name));
                let permits: Api<RoleAssignment> = Api::namespaced(client, &name);
                tokio::try_join!(let_go(&permits), let_go(&applications), let_go(&servers)).map(|_| ())
            })
        };
        // Whatever goes wrong here is left to the end of the control plane.
        let _ = std::thread::spawn(delete).join();
    }
}
