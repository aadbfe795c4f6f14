//! A namespace for one test.

use std::fmt;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, PostParams};

use super::error::{Context, Result};
use super::kubeconfig;

/// A namespace whose name nothing else has; its deletion is asked for, not awaited, when this is dropped.
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

impl Drop for TestNamespace {
    fn drop(&mut self) {
        let (name, kubeconfig) = (self.name.clone(), self.kubeconfig.clone());
        // On a thread and a runtime of its own: the test's runtime cannot run anything while this destructor does.
        let delete = move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let namespaces: Api<Namespace> = Api::all(kubeconfig::client(&kubeconfig).await?);
                namespaces.delete(&name, &DeleteParams::background()).await?;
                Ok(())
            })
        };
        // Whatever goes wrong here is left to the end of the control plane.
        let _ = std::thread::spawn(delete).join();
    }
}
