//! What is read of a namespace to tell who uses what: pods, and everything that makes pods.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Pod, PodSpec, PodTemplateSpec, ReplicationController};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ListParams;
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::cluster::{Error, Place};

/// How many objects are read at once.
const PAGE: u32 = 500;

/// A namespace as it was read.
#[derive(Default)]
pub struct Read {
    pub pods: Vec<Pod>,
    pub workloads: Vec<Workload>,
    /// What could not be read, each with its reason.
    pub unread: Vec<String>,
}

/// Something that makes pods.
pub struct Workload {
    pub id: WorkloadId,
    /// What it was made by.
    pub controller: Option<WorkloadId>,
    pub template: Option<PodSpec>,
    /// Whether it will make no pods any more, as a Job that has ended.
    pub finished: bool,
}

/// Names one workload of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct WorkloadId {
    pub kind: String,
    pub name: String,
}

/// Reads the namespace. Without its pods there is nothing to tell; of the rest, what may be read.
pub async fn read(place: &Place) -> Result<Read, Error> {
    let pods = list::<Pod>(place);
    let (pods, deployments, sets, stateful, daemons, jobs, crons, controllers) = tokio::join!(
        pods,
        list::<Deployment>(place),
        list::<ReplicaSet>(place),
        list::<StatefulSet>(place),
        list::<DaemonSet>(place),
        list::<Job>(place),
        list::<CronJob>(place),
        list::<ReplicationController>(place),
    );
    let mut read = Read { pods: pods?, ..Read::default() };
    read.add(deployments, |one| template(one.spec.map(|spec| spec.template)));
    read.add(sets, |one| template(one.spec.and_then(|spec| spec.template)));
    read.add(stateful, |one| template(one.spec.map(|spec| spec.template)));
    read.add(daemons, |one| template(one.spec.map(|spec| spec.template)));
    read.add(jobs, |one| {
        let ended = one.status.is_some_and(|status| {
            let ends = |kind: &str| kind == "Complete" || kind == "Failed";
            status.conditions.iter().flatten().any(|condition| ends(&condition.type_) && condition.status == "True")
        });
        (template(one.spec.map(|spec| spec.template)).0, ended)
    });
    read.add(crons, |one| template(one.spec.and_then(|spec| spec.job_template.spec).map(|job| job.template)));
    read.add(controllers, |one| template(one.spec.and_then(|spec| spec.template)));
    Ok(read)
}

fn template(template: Option<PodTemplateSpec>) -> (Option<PodSpec>, bool) {
    (template.and_then(|template| template.spec), false)
}

impl Read {
    fn add<K>(&mut self, listed: Result<Vec<K>, Error>, parts: impl Fn(K) -> (Option<PodSpec>, bool))
    where
        K: Resource<DynamicType = ()>,
    {
        match listed {
            Err(error) => self.unread.push(error.to_string()),
            Ok(items) => self.workloads.extend(items.into_iter().map(|item| {
                let id = WorkloadId { kind: K::kind(&()).into_owned(), name: item.name_any() };
                let controller = controller(item.owner_references());
                let (template, finished) = parts(item);
                Workload { id, controller, template, finished }
            })),
        }
    }
}

/// What an object was made by.
pub fn controller(owners: &[OwnerReference]) -> Option<WorkloadId> {
    let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
    Some(WorkloadId { kind: owner.kind.clone(), name: owner.name.clone() })
}

/// Every object of a kind in the namespace, page by page.
async fn list<K>(place: &Place) -> Result<Vec<K>, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(place.client.clone(), &place.namespace);
    let mut parameters = ListParams::default().limit(PAGE);
    let mut items = Vec::new();
    loop {
        let page = api.list(&parameters).await.map_err(|error| place.explain(&error, "list", plural::<K>()))?;
        items.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(items),
        }
    }
}

/// As `kubectl auth can-i` takes it.
fn plural<K: Resource<DynamicType = ()>>() -> String {
    match K::group(&()).as_ref() {
        "" => K::plural(&()).into_owned(),
        group => format!("{}.{group}", K::plural(&())),
    }
}
