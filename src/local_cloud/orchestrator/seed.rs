//! What a new tenant has: the built-in roles with their permissions, and the folder `Shared`.
//!
//! The names of the roles, and which of them belong to a tenant and which to a folder, are UiPath's. The lists of
//! their permissions give the gist of what public material says about them, and are no statement about every detail.

use rusqlite::Connection;

use crate::local_cloud::store::StoreError;
use crate::local_cloud::store::orchestrator::folders::{self, NewFolder};
use crate::local_cloud::store::orchestrator::roles::{self, RoleType};
use crate::local_cloud::store::orchestrator::{self, Tenant};

/// The tenant that every organization has.
pub const DEFAULT_TENANT: &str = "DefaultTenant";

/// The role that may do everything in a tenant.
pub const TENANT_ADMINISTRATOR: &str = "Tenant Administrator";

/// What permissions are about in a tenant.
const IN_TENANT: &[&str] = &[
    "Alerts",
    "Audit",
    "BackgroundTasks",
    "Libraries",
    "License",
    "MLLogs",
    "Machines",
    "Packages",
    "Robots",
    "Roles",
    "Settings",
    "Solutions",
    "Tags",
    "Units",
    "Users",
    "Webhooks",
];

/// What permissions are about in a folder.
const IN_FOLDER: &[&str] = &[
    "Assets",
    "BlobFiles",
    "Buckets",
    "Connections",
    "Environments",
    "ExecutionMedia",
    "FolderPackages",
    "Jobs",
    "Logs",
    "Monitoring",
    "Processes",
    "Queues",
    "Schedules",
    "SubFolders",
    "TaskAssignment",
    "TaskCatalogs",
    "Tasks",
    "TestCaseExecutionArtifacts",
    "TestDataQueueItems",
    "TestDataQueues",
    "TestSetExecutions",
    "TestSetSchedules",
    "TestSets",
    "Transactions",
];

/// What may be done, and the letter for it in the table of roles.
const ACTIONS: &[(char, &str)] = &[('v', "View"), ('e', "Edit"), ('c', "Create"), ('d', "Delete")];

/// Each with the actions on what it is about, by their letters.
type Grants = &'static [(&'static str, &'static str)];

const ROLES: &[(&str, RoleType, Grants)] = &[
    (TENANT_ADMINISTRATOR, RoleType::Tenant, &[("*", "vecd")]),
    (
        "Allow to be Folder Administrator",
        RoleType::Tenant,
        &[
            ("Alerts", "v"),
            ("BackgroundTasks", "v"),
            ("Libraries", "v"),
            ("License", "v"),
            ("Machines", "v"),
            ("Packages", "v"),
            ("Robots", "v"),
            ("Roles", "v"),
            ("Users", "v"),
        ],
    ),
    (
        "Allow to be Automation User",
        RoleType::Tenant,
        &[
            ("Alerts", "v"),
            ("BackgroundTasks", "v"),
            ("Libraries", "v"),
            ("License", "v"),
            ("Packages", "v"),
            ("Tags", "v"),
        ],
    ),
    (
        "Allow to be Automation Publisher",
        RoleType::Tenant,
        &[("BackgroundTasks", "v"), ("Libraries", "vec"), ("Packages", "vec"), ("Tags", "v")],
    ),
    ("Folder Administrator", RoleType::Folder, &[("*", "vecd")]),
    ("Personal Workspace Administrator", RoleType::Folder, &[("*", "vecd")]),
    (
        "Automation User",
        RoleType::Folder,
        &[
            ("Assets", "v"),
            ("BlobFiles", "vc"),
            ("Buckets", "v"),
            ("Connections", "v"),
            ("ExecutionMedia", "c"),
            ("FolderPackages", "v"),
            ("Jobs", "vec"),
            ("Logs", "vc"),
            ("Processes", "v"),
            ("Queues", "v"),
            ("Schedules", "v"),
            ("SubFolders", "v"),
            ("TaskCatalogs", "v"),
            ("Tasks", "vec"),
            ("Transactions", "vec"),
        ],
    ),
    (
        "Automation Publisher",
        RoleType::Folder,
        &[("FolderPackages", "vecd"), ("Processes", "vecd"), ("SubFolders", "v")],
    ),
];

/// Where a permission counts; `None` if there is no such permission.
pub fn place_of(permission: &str) -> Option<RoleType> {
    let (about, action) = permission.split_once('.')?;
    if !ACTIONS.iter().any(|(_, name)| *name == action) {
        return None;
    }
    if IN_TENANT.contains(&about) {
        return Some(RoleType::Tenant);
    }
    IN_FOLDER.contains(&about).then_some(RoleType::Folder)
}

/// Whether an administrator of a tenant has this permission.
pub fn administrates(permission: &str) -> bool {
    place_of(permission) == Some(RoleType::Tenant)
}

fn permissions(kind: RoleType, grants: Grants) -> Vec<String> {
    let all = if kind == RoleType::Tenant { IN_TENANT } else { IN_FOLDER };
    let mut names = Vec::new();
    for (about, letters) in grants {
        let about = if *about == "*" { all } else { std::slice::from_ref(about) };
        for name in about {
            let actions = ACTIONS.iter().filter(|(letter, _)| letters.contains(*letter));
            names.extend(actions.map(|(_, action)| format!("{name}.{action}")));
        }
    }
    names
}

/// Makes a tenant as a new one is. The GUIDs are its own and its folder's.
pub fn tenant(connection: &Connection, name: &str, [key, folder]: &[String; 2]) -> Result<Tenant, StoreError> {
    let tenant = orchestrator::insert_tenant(connection, name, key)?;
    for (name, kind, grants) in ROLES {
        roles::insert(connection, tenant.id, (name, *kind, true), &permissions(*kind, grants))?;
    }
    let shared = NewFolder {
        key: folder.clone(),
        parent: None,
        name: "Shared".to_owned(),
        path: "Shared".to_owned(),
        description: None,
        inherits: false,
    };
    folders::insert(connection, tenant.id, &shared)?;
    Ok(tenant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permission_of_a_built_in_role_exists_where_the_role_can_be_given() {
        for (name, kind, grants) in ROLES {
            let permissions = permissions(*kind, grants);
            assert!(!permissions.is_empty(), "{name}");
            for permission in permissions {
                assert_eq!(place_of(&permission), Some(*kind), "{name}: {permission}");
            }
        }
    }

    #[test]
    fn a_permission_is_a_known_thing_and_a_known_action() {
        assert_eq!(place_of("Queues.View"), Some(RoleType::Folder));
        assert_eq!(place_of("Units.View"), Some(RoleType::Tenant));
        for unknown in ["Queues", "Queues.Look", "Queue.View", "", ".View"] {
            assert_eq!(place_of(unknown), None, "{unknown}");
        }
    }
}
