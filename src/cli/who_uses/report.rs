//! Who uses what an application publishes, and what each may have of it. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::ResourceExt as _;
use serde::Serialize;

use super::read::{Read, Workload, WorkloadId, controller};
use crate::api::ExternalApplication;
use crate::api::external_application::OutputKind;
use crate::domain::consumers::{self, Consumer};
use crate::domain::outputs::{ResolvedOutput, is_version_of, resolve};

/// No controller of a controller of a controller has another one above it.
const LEVELS: usize = 5;

/// The shape of `extapp who-uses -o json`. Fields are added, never renamed or taken away; what is not known is left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub namespace: String,
    pub name: String,
    /// When the current secret took the place of another one. Absent: it never did, so nobody has an old one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Timestamp>,
    pub outputs: Vec<Output>,
    /// Running and pending pods.
    pub pods: Vec<UsingPod>,
    /// What makes these pods, and what would make such pods and has none now.
    pub workloads: Vec<UsingWorkload>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    pub kind: OutputKind,
    pub name: String,
    pub immutable: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsingPod {
    pub name: String,
    pub phase: String,
    pub deleting: bool,
    /// When its kubelet began with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// What made it, at the top: the Deployment rather than its ReplicaSet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadId>,
    pub uses: Vec<Use>,
    /// Whether it was started before the current secret was published, or mounts an older version of an immutable object.
    pub may_hold_old: bool,
    /// Whether it may hold the old one until it is restarted: no file follows.
    pub needs_restart: bool,
}

/// One way in which a container uses an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Use {
    pub kind: OutputKind,
    pub object: String,
    /// Volume, EnvFrom or Env.
    pub how: &'static str,
    /// Absent: the pod has the volume and no container mounts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Where a volume is mounted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// Whether the container sees a new secret without being restarted.
    pub follows: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsingWorkload {
    #[serde(flatten)]
    pub id: WorkloadId,
    /// How many of the pods are its.
    pub pods: usize,
    pub pods_that_may_hold_old: usize,
    pub uses: Vec<Use>,
}

impl Report {
    pub fn of(app: &ExternalApplication, read: &Read) -> Self {
        let status = app.status.as_ref();
        let published_at = status.and_then(|status| status.rotation.as_ref()?.last_time.as_ref()).map(|time| time.0);
        let binding = status.and_then(|status| status.binding.as_ref()).map(|binding| binding.name.as_str());
        let outputs = resolve(app);
        let wanted = Wanted { outputs: &outputs, binding, published_at };
        let above: BTreeMap<&WorkloadId, &Workload> = read.workloads.iter().map(|one| (&one.id, one)).collect();
        let mut pods: Vec<UsingPod> = read.pods.iter().filter_map(|pod| wanted.pod(pod, &above)).collect();
        pods.sort_by(|a, b| (&a.workload, &a.name).cmp(&(&b.workload, &b.name)));
        let workloads = workloads(&wanted, &pods, read);
        Self {
            namespace: app.namespace().unwrap_or_default(),
            name: app.name_any(),
            published_at,
            pods,
            workloads,
            outputs: outputs
                .into_iter()
                .map(|output| Output { kind: output.kind, name: output.name, immutable: output.immutable })
                .collect(),
        }
    }
}

/// What is looked for.
struct Wanted<'a> {
    outputs: &'a [ResolvedOutput],
    /// The object that the first output is called now.
    binding: Option<&'a str>,
    published_at: Option<Timestamp>,
}

impl Wanted<'_> {
    /// How a pod uses the outputs, of immutable ones in any version.
    fn uses(&self, spec: &PodSpec) -> Vec<Use> {
        let is_ours = |kind: OutputKind, name: &str| {
            self.outputs.iter().any(|output| {
                output.kind == kind
                    && if output.immutable { is_version_of(&output.name, name) } else { output.name == name }
            })
        };
        let objects = consumers::used(spec).into_iter().filter(|(kind, name)| is_ours(*kind, name));
        let ways = |(kind, object): (OutputKind, String)| {
            let uses = consumers::uses(spec, kind, &object);
            let follows = !self.is_immutable(kind, &object);
            uses.into_iter().map(move |one| Use::of(kind, &object, one, follows))
        };
        objects.flat_map(ways).collect()
    }

    fn is_immutable(&self, kind: OutputKind, name: &str) -> bool {
        self.outputs.iter().any(|output| output.kind == kind && output.immutable && is_version_of(&output.name, name))
    }

    /// Whether this is a version of the first output that another one has replaced.
    fn is_superseded(&self, one: &Use) -> bool {
        let Some((first, binding)) = self.outputs.first().zip(self.binding) else { return false };
        first.immutable && first.kind == one.kind && is_version_of(&first.name, &one.object) && one.object != binding
    }

    fn pod(&self, pod: &Pod, above: &BTreeMap<&WorkloadId, &Workload>) -> Option<UsingPod> {
        let consumer = Consumer::of(pod);
        if consumer.finished {
            return None;
        }
        let uses = self.uses(pod.spec.as_ref()?);
        if uses.is_empty() {
            return None;
        }
        let early = self.published_at.is_some_and(|published| consumer.holds_what_was_before(published));
        let holds = |one: &&Use| one.kind == OutputKind::Secret && (early || self.is_superseded(one));
        let may_hold_old = uses.iter().any(|one| holds(&one));
        let status = pod.status.as_ref();
        Some(UsingPod {
            name: consumer.pod,
            phase: status.and_then(|status| status.phase.clone()).unwrap_or_else(|| "Pending".into()),
            deleting: pod.metadata.deletion_timestamp.is_some(),
            started_at: consumer.started_at,
            workload: controller(pod.owner_references()).map(|direct| top(direct, above)),
            needs_restart: uses.iter().filter(holds).any(|one| !one.follows),
            may_hold_old,
            uses,
        })
    }
}

/// The topmost of what made something.
fn top(mut id: WorkloadId, above: &BTreeMap<&WorkloadId, &Workload>) -> WorkloadId {
    for _ in 0..LEVELS {
        match above.get(&id).and_then(|workload| workload.controller.clone()) {
            Some(controller) => id = controller,
            None => break,
        }
    }
    id
}

/// What makes the pods, and what would make such pods. What another workload made is that one's matter.
fn workloads(wanted: &Wanted<'_>, pods: &[UsingPod], read: &Read) -> Vec<UsingWorkload> {
    let mut found: BTreeMap<WorkloadId, Vec<Use>> = BTreeMap::new();
    for workload in read.workloads.iter().filter(|one| one.controller.is_none() && !one.finished) {
        let uses = workload.template.as_ref().map(|template| wanted.uses(template)).unwrap_or_default();
        if !uses.is_empty() {
            found.insert(workload.id.clone(), uses);
        }
    }
    // Of kinds that are not known here, the pods alone tell.
    for pod in pods {
        if let Some(id) = &pod.workload {
            found.entry(id.clone()).or_insert_with(|| pod.uses.clone());
        }
    }
    let of = |id: &WorkloadId| pods.iter().filter(|pod| pod.workload.as_ref() == Some(id)).collect::<Vec<_>>();
    let one = |(id, uses): (WorkloadId, Vec<Use>)| {
        let its = of(&id);
        let old = its.iter().filter(|pod| pod.may_hold_old).count();
        UsingWorkload { pods: its.len(), pods_that_may_hold_old: old, id, uses }
    };
    found.into_iter().map(one).collect()
}

impl Use {
    fn of(kind: OutputKind, object: &str, one: consumers::Use, follows: bool) -> Self {
        let follows = follows && one.follows();
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let (how, container, path, variable) = match one {
            consumers::Use::Volume { container, path, .. } => ("Volume", some(container), some(path), None),
            consumers::Use::EnvFrom { container } => ("EnvFrom", some(container), None, None),
            consumers::Use::Env { container, variable } => ("Env", some(container), None, some(variable)),
        };
        Self { kind, object: object.to_owned(), how, container, path, variable, follows }
    }
}

#[cfg(test)]
mod tests;
