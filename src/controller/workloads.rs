//! Reading and restarting workloads.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use kube::Resource;
use kube::api::{Api, Patch, PatchParams};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::kubernetes::{Kubernetes, say};
use crate::api::rotation::{RestartTarget, WorkloadKind};
use crate::domain::restarts::{Seen, Workload};

/// The field manager of restarts.
const RESTARTS: &str = "extapp-restart";

impl Kubernetes<'_> {
    /// How a workload stands. `annotation`: which one says what it was restarted for.
    pub async fn workload(&self, namespace: &str, target: &RestartTarget, annotation: &str) -> Seen {
        let found = match target.kind {
            WorkloadKind::Deployment => {
                self.found(namespace, target, |object: &Deployment| Workload::of_deployment(object, annotation)).await
            }
            WorkloadKind::StatefulSet => {
                self.found(namespace, target, |object: &StatefulSet| Workload::of_stateful_set(object, annotation))
                    .await
            }
            WorkloadKind::DaemonSet => {
                self.found(namespace, target, |object: &DaemonSet| Workload::of_daemon_set(object, annotation)).await
            }
        };
        match found {
            Ok(Some(workload)) => Seen::There(workload),
            Ok(None) => Seen::Missing,
            Err(error) => Seen::Unreadable(say(&error)),
        }
    }

    async fn found<K>(
        &self,
        namespace: &str,
        target: &RestartTarget,
        read: impl Fn(&K) -> Workload,
    ) -> kube::Result<Option<Workload>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        Ok(api.get_opt(&target.name).await?.as_ref().map(read))
    }

    /// Restarts a workload as it was seen: if anybody has written it since, nothing is done.
    pub async fn restart(
        &self,
        namespace: &str,
        target: &RestartTarget,
        version: &str,
        (annotation, credential): (&str, &str),
    ) -> kube::Result<()> {
        let patch = json!({
            "metadata": {"resourceVersion": version},
            "spec": {"template": {"metadata": {"annotations": {annotation: credential}}}}
        });
        let parameters = PatchParams { field_manager: Some(RESTARTS.into()), ..PatchParams::default() };
        let (name, patch) = (&target.name, Patch::Merge(&patch));
        self.metrics.wrote(target.kind.into(), "restart");
        match target.kind {
            WorkloadKind::Deployment => Api::<Deployment>::namespaced(self.client.clone(), namespace)
                .patch(name, &parameters, &patch)
                .await
                .map(drop),
            WorkloadKind::StatefulSet => Api::<StatefulSet>::namespaced(self.client.clone(), namespace)
                .patch(name, &parameters, &patch)
                .await
                .map(drop),
            WorkloadKind::DaemonSet => Api::<DaemonSet>::namespaced(self.client.clone(), namespace)
                .patch(name, &parameters, &patch)
                .await
                .map(drop),
        }
    }
}
