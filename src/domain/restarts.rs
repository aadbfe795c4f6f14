//! Restarting workloads once a new secret is published: which one, and which are left alone.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use sha2::{Digest, Sha256};

use super::consumers::{self, Features};
use crate::api::ExternalApplication;
use crate::api::rotation::RestartTarget;

/// What the annotation of a pod template that causes a restart begins with; the application's name follows, so that two
/// applications can have the same workload restarted. Its value is the credential: what was restarted for it is never
/// restarted for it again.
const PREFIX: &str = "credential.extapp.dev/";
/// The longest name of an annotation, its prefix aside.
const NAME: usize = 63;

/// The annotation by which this application has workloads restarted.
pub fn annotation(app: &str) -> String {
    if app.len() <= NAME {
        return format!("{PREFIX}{app}");
    }
    let digest = super::hex(&Sha256::digest(app));
    let cut: String = app.chars().take(NAME - 9).collect();
    format!("{PREFIX}{}-{}", cut.trim_end_matches(['.', '-']), &digest[..8])
}

/// How the pods of a workload stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// All are of the present template, and available.
    Complete,
    /// Some are not, yet.
    UnderWay,
    /// Somebody has paused it.
    Paused,
    /// It does not come to an end.
    Failing,
    /// Its pods are replaced when somebody deletes them.
    OnDelete,
}

/// What a workload says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    pub resource_version: String,
    /// The credential that it was restarted for.
    pub credential: Option<String>,
    pub rollout: Rollout,
}

/// A workload as it was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    There(Workload),
    Missing,
    /// It could not be read; what may be said of it.
    Unreadable(String),
}

impl Workload {
    pub fn of_deployment(object: &Deployment, annotation: &str) -> Self {
        let (spec, status) = (object.spec.as_ref(), object.status.as_ref());
        let wanted = spec.and_then(|spec| spec.replicas).unwrap_or(1);
        let count =
            |of: fn(&k8s_openapi::api::apps::v1::DeploymentStatus) -> Option<i32>| status.and_then(of).unwrap_or(0);
        let updated = count(|status| status.updated_replicas);
        let complete = updated >= wanted
            && count(|status| status.replicas) <= updated
            && count(|status| status.available_replicas) >= updated;
        let told = |kind: &str, state: &str| {
            let mut conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
            conditions.any(|condition| condition.type_ == kind && condition.status == state)
        };
        let seen = is_observed(object.metadata.generation, status.and_then(|status| status.observed_generation));
        let rollout = match () {
            () if spec.and_then(|spec| spec.paused) == Some(true) => Rollout::Paused,
            () if !seen => Rollout::UnderWay,
            () if told("Progressing", "False") || told("ReplicaFailure", "True") => Rollout::Failing,
            () => ended(complete),
        };
        let template = spec.map(|spec| &spec.template);
        Self::new(object.metadata.resource_version.as_ref(), template, annotation, rollout)
    }

    pub fn of_stateful_set(object: &StatefulSet, annotation: &str) -> Self {
        let (spec, status) = (object.spec.as_ref(), object.status.as_ref());
        let strategy = spec.and_then(|spec| spec.update_strategy.as_ref());
        let partition = strategy.and_then(|strategy| strategy.rolling_update.as_ref()?.partition).unwrap_or(0);
        let wanted = spec.and_then(|spec| spec.replicas).unwrap_or(1);
        let updated = status.and_then(|status| status.updated_replicas).unwrap_or(0);
        let available = status.and_then(|status| status.available_replicas.or(status.ready_replicas)).unwrap_or(0);
        // Those below the partition stay as they are.
        let complete = updated >= wanted.saturating_sub(partition) && available >= wanted;
        let seen = is_observed(object.metadata.generation, status.and_then(|status| status.observed_generation));
        let rollout = match strategy.and_then(|strategy| strategy.type_.as_deref()) {
            Some("OnDelete") => Rollout::OnDelete,
            _ => ended(seen && complete),
        };
        let template = spec.map(|spec| &spec.template);
        Self::new(object.metadata.resource_version.as_ref(), template, annotation, rollout)
    }

    pub fn of_daemon_set(object: &DaemonSet, annotation: &str) -> Self {
        let (spec, status) = (object.spec.as_ref(), object.status.as_ref());
        let complete = status.is_some_and(|status| {
            let wanted = status.desired_number_scheduled;
            let count = |number: Option<i32>| number.unwrap_or(0);
            count(status.updated_number_scheduled) >= wanted && count(status.number_available) >= wanted
        });
        let seen = is_observed(object.metadata.generation, status.and_then(|status| status.observed_generation));
        let strategy = spec.and_then(|spec| spec.update_strategy.as_ref()?.type_.as_deref());
        let rollout = if strategy == Some("OnDelete") { Rollout::OnDelete } else { ended(seen && complete) };
        let template = spec.map(|spec| &spec.template);
        Self::new(object.metadata.resource_version.as_ref(), template, annotation, rollout)
    }

    fn new(version: Option<&String>, template: Option<&PodTemplateSpec>, annotation: &str, rollout: Rollout) -> Self {
        let annotations = template.and_then(|template| template.metadata.as_ref()?.annotations.as_ref());
        Self {
            resource_version: version.cloned().unwrap_or_default(),
            credential: annotations.and_then(|annotations| annotations.get(annotation)).cloned(),
            rollout,
        }
    }
}

/// Whether a status speaks of the present spec.
fn is_observed(generation: Option<i64>, observed: Option<i64>) -> bool {
    observed >= generation
}

fn ended(complete: bool) -> Rollout {
    if complete { Rollout::Complete } else { Rollout::UnderWay }
}

/// A restart that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The credential that is published now.
    pub credential: String,
    /// Whether half of the overlap has passed: then a rollout that does not end holds up the others no longer.
    pub hurry: bool,
}

/// Whether workloads are to be restarted for the current secret: from its publication in place of another one until the
/// overlap ends.
pub fn due(app: &ExternalApplication, overlap: std::time::Duration, features: Features, now: Timestamp) -> Option<Due> {
    let wanted = app.spec.rotation.as_ref().is_some_and(|rotation| !rotation.restart.is_empty());
    if !wanted || !features.restart_workloads {
        return None;
    }
    let status = app.status.as_ref()?;
    let rotation = status.rotation.as_ref()?;
    let current = consumers::active(status)?;
    if rotation.restarted.as_ref() == Some(&current.id) {
        return None;
    }
    let since = std::time::Duration::try_from(now.duration_since(rotation.last_time.as_ref()?.0)).unwrap_or_default();
    (since < overlap).then(|| Due { credential: current.id.clone(), hurry: since >= overlap / 2 })
}

/// What came of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything has been restarted for this credential.
    All(String),
    /// Something is still to be done; when to look again at the latest.
    NotYet(std::time::Duration),
}

/// A workload that is left alone, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    pub target: RestartTarget,
    pub why: String,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Everything has been restarted.
    Done,
    /// This one, over this version of it.
    Restart { target: RestartTarget, version: String },
    /// This one has not rolled out yet.
    Wait(RestartTarget),
    /// Nothing while what is left alone stays as it is.
    Nothing,
}

/// What is to be done, and what is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub credential: String,
    pub next: Next,
    pub left: Vec<Left>,
}

/// Decides on the next restart. Workloads are restarted in their order, one rollout at a time; one that is not well is
/// passed over, and looked at again later.
pub fn decide(targets: &[(RestartTarget, Seen)], due: &Due) -> Decision {
    let restarted = |workload: &Workload| workload.credential.as_ref() == Some(&due.credential);
    let (mut left, mut under_way, mut next) = (Vec::new(), None, None);
    for (target, seen) in targets {
        let why = match seen {
            Seen::There(workload) if restarted(workload) => {
                if workload.rollout == Rollout::Complete {
                    continue;
                }
                under_way = under_way.or(Some(target));
                if workload.rollout == Rollout::UnderWay && !due.hurry {
                    continue;
                }
                unfinished(&workload.rollout)
            }
            Seen::There(workload) => {
                let Some(why) = not_begun(&workload.rollout) else {
                    next = next.or(Some((target, &workload.resource_version)));
                    continue;
                };
                why
            }
            Seen::Missing => "there is none of that name in this namespace",
            Seen::Unreadable(said) => said,
        };
        left.push(Left { target: target.clone(), why: why.to_owned() });
    }
    let next = match (under_way, next) {
        (Some(target), _) if !due.hurry => Next::Wait(target.clone()),
        (_, Some((target, version))) => Next::Restart { target: target.clone(), version: version.clone() },
        (Some(target), None) => Next::Wait(target.clone()),
        (None, None) if left.is_empty() => Next::Done,
        (None, None) => Next::Nothing,
    };
    Decision { credential: due.credential.clone(), next, left }
}

/// Why one that was restarted holds up the others, or no longer does.
fn unfinished(rollout: &Rollout) -> &'static str {
    match rollout {
        Rollout::Complete | Rollout::UnderWay => "it was restarted, and its pods have not all become available yet",
        Rollout::Paused => "it was restarted, and paused before its pods had been replaced",
        Rollout::Failing => "it was restarted, and its new pods do not become available",
        Rollout::OnDelete => "it was restarted, and its pods are replaced only when somebody deletes them",
    }
}

/// Why one that was not restarted yet is not restarted now.
fn not_begun(rollout: &Rollout) -> Option<&'static str> {
    match rollout {
        Rollout::Complete => None,
        Rollout::UnderWay => Some("it is being rolled out already, or not all of its pods are available"),
        Rollout::Paused => Some("it is paused"),
        Rollout::Failing => Some("its rollout fails"),
        Rollout::OnDelete => Some("its pods are replaced only when somebody deletes them (strategy OnDelete)"),
    }
}

#[cfg(test)]
mod tests;
