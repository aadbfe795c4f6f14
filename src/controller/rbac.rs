//! Exactly the permissions that the operator needs, in one table. The manifest is made from it, and the tests run the
//! operator with nothing else.

use serde::Serialize;
use serde_json::{Value, json};

pub mod duties;

/// What the operator may do with one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Permission {
    pub group: &'static str,
    pub resources: &'static [&'static str],
    pub verbs: &'static [&'static str],
    /// Whether it is needed for the whole cluster even when only some namespaces are watched.
    pub cluster: bool,
    /// Why.
    pub because: &'static str,
}

/// Every permission, with its reason.
pub const PERMISSIONS: &[Permission] = &[
    Permission {
        group: "extapp.dev",
        resources: &["externalapplications"],
        verbs: &["get", "list", "watch", "patch"],
        cluster: false,
        because: "reads applications; writes finalizer and intent",
    },
    Permission {
        group: "extapp.dev",
        resources: &["authorizationservers"],
        verbs: &["get", "list", "watch", "patch"],
        cluster: false,
        because: "reads servers; writes the finalizer",
    },
    Permission {
        group: "extapp.dev",
        resources: &["roleassignments"],
        verbs: &["list", "watch", "patch"],
        cluster: false,
        because: "reads assignments of roles; writes the finalizer",
    },
    Permission {
        group: "extapp.dev",
        resources: &["apiresources"],
        verbs: &["list", "watch", "create", "patch", "delete"],
        cluster: false,
        because: "shows each server's catalogue",
    },
    Permission {
        group: "extapp.dev",
        resources: &[
            "externalapplications/status",
            "authorizationservers/status",
            "roleassignments/status",
            "apiresources/status",
        ],
        verbs: &["patch"],
        cluster: false,
        because: "reports",
    },
    Permission {
        group: "",
        resources: &["secrets"],
        verbs: &["get", "list", "watch", "create", "patch", "delete"],
        cluster: false,
        because: "writes credentials; reads its own, and replaces them on request; keeps and lists its records of registrations; watches metadata of its own objects and of those that servers name only",
    },
    Permission {
        group: "",
        resources: &["configmaps"],
        verbs: &["get", "list", "watch", "create", "patch", "delete"],
        cluster: false,
        because: "writes the details of applications without a secret; reads and watches certificate authorities",
    },
    Permission {
        group: "",
        resources: &["namespaces"],
        verbs: &["list", "watch"],
        cluster: true,
        because: "reads labels, for allowedNamespaces with a selector",
    },
    Permission {
        group: "events.k8s.io",
        resources: &["events"],
        verbs: &["create"],
        cluster: false,
        because: "says what happened",
    },
];

/// What is asked for only where the operator is started for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// `--watch-consumers`
    pub watch_consumers: bool,
    /// `--restart-workloads`, which needs the former too.
    pub restart_workloads: bool,
}

/// For [`Extras::watch_consumers`].
const CONSUMERS: Permission = Permission {
    group: "",
    resources: &["pods"],
    verbs: &["list", "watch"],
    cluster: false,
    because: "sees which pods use a Secret of its own, and since when",
};

/// For [`Extras::restart_workloads`].
const WORKLOADS: Permission = Permission {
    group: "apps",
    resources: &["deployments", "statefulsets", "daemonsets"],
    verbs: &["get", "patch"],
    cluster: false,
    because: "restarts the workloads that an application names, one after the other",
};

impl Extras {
    fn permissions(self) -> impl Iterator<Item = &'static Permission> {
        let consumers = (self.watch_consumers || self.restart_workloads).then_some(&CONSUMERS);
        let workloads = self.restart_workloads.then_some(&WORKLOADS);
        PERMISSIONS.iter().chain(consumers).chain(workloads)
    }
}

/// What the operator reads of the API server itself, for the whole cluster: who issues the tokens of service accounts
/// (`federatedCredentials` with a `serviceAccountRef`). Every service account may by default.
const PATHS: &[&str] = &["/.well-known/openid-configuration"];

const HEAD: &str = "\
# The permissions of the extapp operator, and the duties of people to bind. Printed by `extapp rbac`; do not edit.
# Only the viewer is part of the built-in roles: if `edit` or `admin` of a namespace could register applications, permit
# them or connect servers, who runs the workloads would have every duty. Bind the others to those who have them.
";

/// The namespace and the name of the operator's service account.
const NAMESPACE: &str = "extapp-system";
const NAME: &str = "extapp";

/// Everything that has to be applied so that the operator may work: namespace, service account, roles and bindings; and the
/// duties of people, to be bound. With namespaces given, what can be is granted in those alone.
pub fn manifest(namespaces: &[String], extras: Extras) -> String {
    let mut objects = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": NAMESPACE}}),
    ];
    let everywhere = |permission: &&Permission| namespaces.is_empty() || permission.cluster;
    let mut cluster: Vec<Value> = extras.permissions().filter(everywhere).map(rule).collect();
    cluster.push(json!({"nonResourceURLs": PATHS, "verbs": ["get"]}));
    objects.push(role("ClusterRole", None, &cluster));
    objects.push(binding("ClusterRoleBinding", "ClusterRole", None));
    for namespace in namespaces {
        let rules: Vec<Value> = extras.permissions().filter(|permission| !permission.cluster).map(rule).collect();
        objects.push(role("Role", Some(namespace), &rules));
        objects.push(binding("RoleBinding", "Role", Some(namespace)));
    }
    objects.extend(duties::roles());
    let mut text = String::from(HEAD);
    for object in objects {
        text.push_str("---\n");
        // Plain values of our own: they can be written.
        text.push_str(&serde_saphyr::to_string(&object).unwrap_or_default());
    }
    text
}

fn rule(permission: &Permission) -> Value {
    json!({"apiGroups": [permission.group], "resources": permission.resources, "verbs": permission.verbs})
}

fn role(kind: &str, namespace: Option<&String>, rules: &[Value]) -> Value {
    let mut metadata = json!({"name": NAME});
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, "rules": rules})
}

fn binding(kind: &str, role: &str, namespace: Option<&String>) -> Value {
    let mut metadata = json!({"name": NAME});
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": NAME},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_namespaces_given_only_what_must_be_is_granted_for_the_cluster() {
        let text = manifest(&["team-a".into()], Extras::default());
        let cluster = text.split("---\n").find(|part| part.contains("kind: ClusterRole\n")).expect("a ClusterRole");
        assert!(cluster.contains("namespaces") && !cluster.contains("secrets"), "{cluster}");
        assert!(text.contains("kind: RoleBinding") && text.contains("namespace: team-a"));
    }

    #[test]
    fn nothing_is_granted_by_a_wildcard() {
        let extras = Extras { watch_consumers: true, restart_workloads: true };
        assert!(!manifest(&[], extras).contains('*'));
    }

    #[test]
    fn pods_and_workloads_are_asked_for_only_with_their_flags() {
        let text = |watch_consumers, restart_workloads| manifest(&[], Extras { watch_consumers, restart_workloads });
        let asks = |text: &str| (text.contains("pods"), text.contains("deployments"));
        assert_eq!(asks(&text(false, false)), (false, false));
        assert_eq!(asks(&text(true, false)), (true, false));
        assert_eq!(asks(&text(false, true)), (true, true), "whoever restarts watches too");
    }
}
