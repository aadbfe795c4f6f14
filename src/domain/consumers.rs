//! Who uses what an application publishes: which pods mount a Secret or ConfigMap or read it into variables, and which of
//! them may still have what was in it before.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{
    Container, EnvFromSource, EnvVar, EphemeralContainer, Pod, PodSpec, Volume, VolumeMount,
};

use super::observed::Finding;
use super::reason::Reason;
use super::rotation::Policy;
use crate::api::external_application::{
    CredentialKind, CredentialState, CredentialStatus, ExternalApplicationStatus, OutputKind,
};
use crate::api::rotation::Retire;

/// How long after a publication a pod may turn up that was started before it: a kubelet tells of its pods every ten
/// seconds at the latest.
pub const SETTLING: SignedDuration = SignedDuration::from_secs(10);

/// What the operator was started to look after beside its own objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// It sees pods.
    pub watch_consumers: bool,
    /// It restarts workloads, and sees pods.
    pub restart_workloads: bool,
}

/// What an operator that was started like this cannot do of a policy.
pub fn refusal(policy: &Policy, features: Features) -> Option<Finding> {
    let not_supported = |message: &str| Some(Finding::stalled(Reason::NotSupported, message));
    if policy.retire == Retire::WhenConsumersRolled && !features.watch_consumers {
        return not_supported(
            "spec.rotation.retire: for WhenConsumersRolled the operator must see pods. Use AfterOverlap, or have the operator started with --watch-consumers and given what `extapp rbac --watch-consumers` prints",
        );
    }
    if !policy.restart.is_empty() && !features.restart_workloads {
        return not_supported(
            "spec.rotation.restart: this operator restarts nothing. Remove restart, or have the operator started with --restart-workloads and given what `extapp rbac --restart-workloads` prints",
        );
    }
    None
}

/// How a pod uses an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// As files. `container` and `path` are empty where a volume is mounted by no container. What is mounted with
    /// `sub_path` never changes while the container runs; other files follow within about a minute.
    Volume { container: String, path: String, sub_path: bool },
    /// Every key as a variable, as it was when the container started.
    EnvFrom { container: String },
    /// One key as a variable, as it was when the container started.
    Env { container: String, variable: String },
}

impl Use {
    /// Whether the container sees a new value without being restarted.
    pub fn follows(&self) -> bool {
        matches!(self, Self::Volume { sub_path: false, .. })
    }
}

/// How a pod uses one Secret or ConfigMap of its namespace, in the order of its containers; nothing where it does not.
pub fn uses(pod: &PodSpec, kind: OutputKind, name: &str) -> Vec<Use> {
    let mut found = Vec::new();
    references(pod, |there, other, usage| {
        if there == kind && other == name {
            found.push(usage());
        }
    });
    found
}

/// Every Secret and ConfigMap that a pod uses.
pub fn used(pod: &PodSpec) -> BTreeSet<(OutputKind, String)> {
    let mut found = BTreeSet::new();
    references(pod, |kind, name, _| {
        found.insert((kind, name.to_owned()));
    });
    found
}

/// A pod that uses an output, and what decides whether it may still have what was in it before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    pub pod: String,
    pub uid: String,
    /// When its kubelet began with it; absent before that.
    pub started_at: Option<Timestamp>,
    /// Whether its containers have ended for good.
    pub finished: bool,
}

impl Consumer {
    pub fn of(pod: &Pod) -> Self {
        let (meta, status) = (&pod.metadata, pod.status.as_ref());
        let phase = status.and_then(|status| status.phase.as_deref());
        Self {
            pod: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            started_at: status.and_then(|status| status.start_time.as_ref()).map(|time| time.0),
            finished: matches!(phase, Some("Succeeded" | "Failed")),
        }
    }

    /// Whether it may still have what was published before this time. A pod that is being deleted may until it is gone.
    /// Times of pods are whole seconds: one of the same second counts.
    pub fn holds_what_was_before(&self, published: Timestamp) -> bool {
        !self.finished && self.started_at.is_some_and(|started| started <= published)
    }
}

/// How many pods may still have what was published before this time.
pub fn holders(consumers: &[Consumer], published: Timestamp) -> usize {
    consumers.iter().filter(|consumer| consumer.holds_what_was_before(published)).count()
}

/// The same, once it can be relied on: that there is none is known only when every kubelet has had time to tell of the
/// pods that it had begun with.
pub fn settled_holders(consumers: &[Consumer], published: Timestamp, now: Timestamp) -> Option<usize> {
    let holders = holders(consumers, published);
    (holders > 0 || now.duration_since(published) >= SETTLING).then_some(holders)
}

/// When the current secret was published, as far as a status tells: what pods were started with before that is an old one.
pub fn published(status: &ExternalApplicationStatus) -> Option<Timestamp> {
    let rotated = status.rotation.as_ref().and_then(|rotation| rotation.last_time.as_ref());
    let made = active(status).and_then(|credential| credential.created_at.as_ref());
    rotated.max(made).map(|time| time.0)
}

/// The secret that is published.
pub fn active(status: &ExternalApplicationStatus) -> Option<&CredentialStatus> {
    status.credentials.iter().find(|credential| is_secret(credential, CredentialState::Active))
}

/// Whether a secret that was replaced is still valid.
pub fn has_retiring(credentials: &[CredentialStatus]) -> bool {
    credentials.iter().any(|credential| is_secret(credential, CredentialState::Retiring))
}

fn is_secret(credential: &CredentialStatus, state: CredentialState) -> bool {
    credential.kind == CredentialKind::Secret && credential.state == state
}

/// Calls for each reference of a pod to a Secret or ConfigMap.
fn references(pod: &PodSpec, mut each: impl FnMut(OutputKind, &str, &dyn Fn() -> Use)) {
    let containers: Vec<Part<'_>> = parts(pod).collect();
    for volume in pod.volumes.iter().flatten() {
        let mounts = || containers.iter().flat_map(|part| part.mounts_of(&volume.name));
        for (kind, name) in sources(volume) {
            let mut mounted = false;
            for usage in mounts() {
                mounted = true;
                each(kind, name, &|| usage.clone());
            }
            if !mounted {
                each(kind, name, &|| Use::Volume { container: String::new(), path: String::new(), sub_path: false });
            }
        }
    }
    for part in &containers {
        let container = || part.name.to_owned();
        for source in part.env_from {
            for (kind, name) in whole_objects(source) {
                each(kind, name, &|| Use::EnvFrom { container: container() });
            }
        }
        for variable in part.env {
            for (kind, name) in keys(variable) {
                each(kind, name, &|| Use::Env { container: container(), variable: variable.name.clone() });
            }
        }
    }
}

/// What containers of all three sorts have in common.
struct Part<'a> {
    name: &'a str,
    env: &'a [EnvVar],
    env_from: &'a [EnvFromSource],
    mounts: &'a [VolumeMount],
}

impl Part<'_> {
    fn mounts_of(&self, volume: &str) -> impl Iterator<Item = Use> {
        self.mounts.iter().filter(move |mount| mount.name == volume).map(|mount| Use::Volume {
            container: self.name.to_owned(),
            path: mount.mount_path.clone(),
            sub_path: [&mount.sub_path, &mount.sub_path_expr].into_iter().flatten().any(|path| !path.is_empty()),
        })
    }
}

impl<'a> From<&'a Container> for Part<'a> {
    fn from(container: &'a Container) -> Self {
        Self {
            name: &container.name,
            env: container.env.as_deref().unwrap_or_default(),
            env_from: container.env_from.as_deref().unwrap_or_default(),
            mounts: container.volume_mounts.as_deref().unwrap_or_default(),
        }
    }
}

impl<'a> From<&'a EphemeralContainer> for Part<'a> {
    fn from(container: &'a EphemeralContainer) -> Self {
        Self {
            name: &container.name,
            env: container.env.as_deref().unwrap_or_default(),
            env_from: container.env_from.as_deref().unwrap_or_default(),
            mounts: container.volume_mounts.as_deref().unwrap_or_default(),
        }
    }
}

fn parts(pod: &PodSpec) -> impl Iterator<Item = Part<'_>> {
    let first = pod.init_containers.iter().flatten().map(Part::from);
    let ephemeral = pod.ephemeral_containers.iter().flatten().map(Part::from);
    first.chain(pod.containers.iter().map(Part::from)).chain(ephemeral)
}

/// What a volume shows, or gives to the driver that makes it.
fn sources<'a>(volume: &'a Volume) -> Vec<(OutputKind, &'a str)> {
    let mut found = Vec::new();
    let mut add = |kind, name: Option<&'a str>| found.extend(name.map(|name| (kind, name)));
    let secret = volume.secret.as_ref().and_then(|secret| secret.secret_name.as_deref());
    let driver = volume.csi.as_ref().and_then(|csi| csi.node_publish_secret_ref.as_ref());
    add(OutputKind::Secret, secret);
    add(OutputKind::Secret, driver.map(|reference| reference.name.as_str()));
    add(OutputKind::ConfigMap, volume.config_map.as_ref().map(|map| map.name.as_str()));
    for projection in volume.projected.iter().filter_map(|projected| projected.sources.as_ref()).flatten() {
        add(OutputKind::Secret, projection.secret.as_ref().map(|secret| secret.name.as_str()));
        add(OutputKind::ConfigMap, projection.config_map.as_ref().map(|map| map.name.as_str()));
    }
    found
}

fn whole_objects(source: &EnvFromSource) -> impl Iterator<Item = (OutputKind, &str)> {
    let secret = source.secret_ref.as_ref().map(|secret| (OutputKind::Secret, secret.name.as_str()));
    let map = source.config_map_ref.as_ref().map(|map| (OutputKind::ConfigMap, map.name.as_str()));
    secret.into_iter().chain(map)
}

fn keys(variable: &EnvVar) -> impl Iterator<Item = (OutputKind, &str)> {
    let from = variable.value_from.as_ref();
    let secret = from.and_then(|from| from.secret_key_ref.as_ref());
    let map = from.and_then(|from| from.config_map_key_ref.as_ref());
    let secret = secret.map(|key| (OutputKind::Secret, key.name.as_str()));
    secret.into_iter().chain(map.map(|key| (OutputKind::ConfigMap, key.name.as_str())))
}

#[cfg(test)]
mod tests;
