//! The duties of people as ClusterRoles to bind, so that who registers, who permits and who connects can be different
//! people. None of them reads a Secret, which is the workload's matter, and none writes what the operator reports.

use serde_json::{Value, json};

/// What a person may do with objects that they look after.
const WRITE: &[&str] = &["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
const READ: &[&str] = &["get", "list", "watch"];

/// One duty, and what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duty {
    pub name: &'static str,
    pub writes: &'static [&'static str],
    pub reads: &'static [&'static str],
    /// Whether the built-in role `view` gets it too, and with that `edit` and `admin`.
    pub built_in: bool,
    /// For whom it is; the manifest says it.
    pub description: &'static str,
}

/// Every duty. Only looking goes to the built-in roles. Who has `edit` or `admin` in a namespace reads its Secrets and runs
/// its workloads: if they could write applications or role assignments too, one person would register an application,
/// permit it and use it; and with servers, choose where the operator sends requests. The API server lets nobody bind a
/// role that says more than they may do themselves, so that an `admin` of a namespace cannot take a duty either.
pub const DUTIES: &[Duty] = &[
    Duty {
        name: "extapp-application-registrar",
        writes: &["externalapplications"],
        reads: &["authorizationservers", "apiresources", "roleassignments"],
        built_in: false,
        description: "Registers applications. For those who may decide which scopes an application gets.",
    },
    Duty {
        name: "extapp-permission-administrator",
        writes: &["roleassignments"],
        reads: &["externalapplications"],
        built_in: false,
        description: "Gives applications their roles. For those who administer the tenants and folders of Orchestrator.",
    },
    Duty {
        name: "extapp-server-administrator",
        writes: &["authorizationservers", "apiresources"],
        reads: &["externalapplications"],
        built_in: false,
        description: "Connects authorization servers. For those who may decide where the operator's credentials are used, and by which namespaces.",
    },
    Duty {
        name: "extapp-viewer",
        writes: &[],
        reads: &["authorizationservers", "externalapplications", "roleassignments", "apiresources"],
        built_in: true,
        description: "Looks at everything of extapp, and at no Secret. Part of the built-in roles view, edit and admin.",
    },
];

/// The ClusterRoles. They grant nothing until they are bound, in a namespace or for the cluster.
pub fn roles() -> impl Iterator<Item = Value> {
    DUTIES.iter().map(role)
}

fn role(duty: &Duty) -> Value {
    let rule = |resources: &[&str], verbs: &[&str]| json!({"apiGroups": [crate::api::GROUP], "resources": resources, "verbs": verbs});
    let rules: Vec<Value> = [(duty.writes, WRITE), (duty.reads, READ)]
        .into_iter()
        .filter(|(resources, _)| !resources.is_empty())
        .map(|(resources, verbs)| rule(resources, verbs))
        .collect();
    let mut metadata = json!({"name": duty.name, "annotations": {"kubernetes.io/description": duty.description}});
    if duty.built_in {
        metadata["labels"] = json!({"rbac.authorization.k8s.io/aggregate-to-view": "true"});
    }
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::definitions;

    #[test]
    fn every_kind_has_one_duty_that_looks_after_it_and_one_that_only_looks() {
        for kind in definitions().into_iter().map(|definition| definition.spec.names.plural) {
            let writers: Vec<&Duty> = DUTIES.iter().filter(|duty| duty.writes.contains(&kind.as_str())).collect();
            assert_eq!(writers.len(), 1, "{kind}: {writers:?}");
            assert!(DUTIES.iter().any(|duty| duty.built_in && duty.reads.contains(&kind.as_str())), "{kind}");
        }
    }

    #[test]
    fn the_built_in_roles_get_no_duty_that_writes() {
        assert!(DUTIES.iter().all(|duty| !duty.built_in || duty.writes.is_empty()));
        let text = roles().map(|role| role.to_string()).collect::<String>();
        assert_eq!(text.matches("aggregate-to-").count(), 1, "{text}");
        for never in ["secrets", "/status", "/finalizers", "\"*\"", "escalate", "bind\"", "impersonate"] {
            assert!(!text.contains(never), "{never}");
        }
    }
}
