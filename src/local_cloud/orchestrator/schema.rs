//! What the entities of Orchestrator look like: which members they have, of which types.
//!
//! One table for each entity serves everything that has to know them: bodies of requests, `$filter`, `$orderby` and
//! `$select`. A member that is not in the table does not exist.

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::errors::Refusal;

/// The members of an entity.
pub type Schema = &'static [(&'static str, Kind)];

/// The type of a member.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Bool,
    /// 32 bits.
    Int,
    /// 64 bits.
    Long,
    /// A string of at most so many characters.
    Text(usize),
    /// A GUID.
    Guid,
    /// A time (RFC 3339).
    Time,
    /// One of these strings.
    Choice(&'static [&'static str]),
    Object(Schema),
    /// An object about which nothing more is known here.
    AnyObject,
    List(&'static Kind),
}

/// A string without a limit of its own; the body has one.
pub const TEXT: Kind = Kind::Text(usize::MAX);
const TEXTS: Kind = Kind::List(&TEXT);
const INTS: Kind = Kind::List(&Kind::Int);
const LONGS: Kind = Kind::List(&Kind::Long);

const PRINCIPAL_TYPE: Kind = Kind::Choice(&[
    "User",
    "Robot",
    "DirectoryUser",
    "DirectoryGroup",
    "DirectoryRobot",
    "DirectoryExternalApplication",
]);
pub const ROLE_TYPE: Kind = Kind::Choice(&["Mixed", "Tenant", "Folder"]);
const PROVISION_TYPE: Kind = Kind::Choice(&["Manual", "Automatic"]);

pub const FOLDER: Schema = &[
    ("Key", Kind::Guid),
    ("DisplayName", Kind::Text(115)),
    ("FullyQualifiedName", TEXT),
    ("Description", Kind::Text(500)),
    ("FolderType", Kind::Choice(&["Standard", "Personal", "Virtual", "Solution", "DebugSolution"])),
    ("IsPersonal", Kind::Bool),
    ("ProvisionType", PROVISION_TYPE),
    ("PermissionModel", Kind::Choice(&["InheritFromTenant", "FineGrained"])),
    ("ParentId", Kind::Long),
    ("ParentKey", Kind::Guid),
    ("FeedType", Kind::Choice(&["Undefined", "Processes", "Libraries", "PersonalWorkspace", "FolderHierarchy"])),
    ("Id", Kind::Long),
];

const PERMISSION: Schema = &[
    ("Name", TEXT),
    ("IsGranted", Kind::Bool),
    ("RoleId", Kind::Int),
    ("Scope", Kind::Choice(&["Global", "Folder", "GlobalOrFolder"])),
    ("Id", Kind::Long),
];

pub const ROLE: Schema = &[
    ("Name", Kind::Text(64)),
    ("DisplayName", Kind::Text(64)),
    ("Type", ROLE_TYPE),
    ("Groups", TEXT),
    ("IsStatic", Kind::Bool),
    ("IsEditable", Kind::Bool),
    ("Permissions", Kind::List(&Kind::Object(PERMISSION))),
    ("Id", Kind::Int),
];

const USER_ROLE: Schema = &[
    ("UserId", Kind::Long),
    ("RoleId", Kind::Int),
    ("UserName", TEXT),
    ("RoleName", TEXT),
    ("RoleType", ROLE_TYPE),
    ("Id", Kind::Long),
];

const ORGANIZATION_UNIT: Schema = &[("DisplayName", Kind::Text(128)), ("Id", Kind::Long)];

const UPDATE_POLICY: Schema = &[
    ("Type", Kind::Choice(&["None", "SpecificVersion", "LatestVersion", "LatestPatch"])),
    ("SpecificVersion", Kind::Text(128)),
];

const NOTIFICATIONS: Schema = &[
    ("Queues", Kind::Bool),
    ("Robots", Kind::Bool),
    ("Jobs", Kind::Bool),
    ("Schedules", Kind::Bool),
    ("Tasks", Kind::Bool),
    ("QueueItems", Kind::Bool),
    ("Insights", Kind::Bool),
    ("CloudRobots", Kind::Bool),
    ("Serverless", Kind::Bool),
    ("Export", Kind::Bool),
    ("RateLimitsDaily", Kind::Bool),
    ("RateLimitsRealTime", Kind::Bool),
    ("AutopilotForRobotsDetectedIssues", Kind::Bool),
    ("Webhooks", Kind::Bool),
];

pub const USER: Schema = &[
    ("Name", Kind::Text(1024)),
    ("Surname", Kind::Text(1024)),
    ("UserName", TEXT),
    ("Domain", TEXT),
    ("DirectoryIdentifier", TEXT),
    ("FullName", TEXT),
    ("EmailAddress", Kind::Text(256)),
    ("LastLoginTime", Kind::Time),
    ("IsActive", Kind::Bool),
    ("CreationTime", Kind::Time),
    ("AuthenticationSource", TEXT),
    ("Password", TEXT),
    ("IsExternalLicensed", Kind::Bool),
    ("UserRoles", Kind::List(&Kind::Object(USER_ROLE))),
    ("RolesList", TEXTS),
    ("LoginProviders", TEXTS),
    ("OrganizationUnits", Kind::List(&Kind::Object(ORGANIZATION_UNIT))),
    ("TenantId", Kind::Int),
    ("TenancyName", TEXT),
    ("TenantDisplayName", TEXT),
    ("TenantKey", TEXT),
    ("Type", PRINCIPAL_TYPE),
    ("ProvisionType", PROVISION_TYPE),
    ("LicenseType", TEXT),
    ("RobotProvision", Kind::AnyObject),
    ("UnattendedRobot", Kind::AnyObject),
    ("NotificationSubscription", Kind::Object(NOTIFICATIONS)),
    ("Key", Kind::Guid),
    ("MayHaveUserSession", Kind::Bool),
    ("MayHaveRobotSession", Kind::Bool),
    ("MayHaveUnattendedSession", Kind::Bool),
    ("MayHavePersonalWorkspace", Kind::Bool),
    ("RestrictToPersonalWorkspace", Kind::Bool),
    ("UpdatePolicy", Kind::Object(UPDATE_POLICY)),
    ("AccountId", TEXT),
    ("HasOnlyInheritedPrivileges", Kind::Bool),
    ("ExplicitMayHaveUserSession", Kind::Bool),
    ("ExplicitMayHaveRobotSession", Kind::Bool),
    ("ExplicitMayHavePersonalWorkspace", Kind::Bool),
    ("ExplicitRestrictToPersonalWorkspace", Kind::Bool),
    ("LastModificationTime", Kind::Time),
    ("LastModifierUserId", Kind::Long),
    ("CreatorUserId", Kind::Long),
    ("Id", Kind::Long),
];

const SIMPLE_FOLDER: Schema = &[("DisplayName", TEXT), ("FullyQualifiedName", TEXT), ("Id", Kind::Long)];

const SIMPLE_ROLE: Schema = &[
    ("Origin", Kind::Choice(&["Assigned", "Inherited"])),
    ("RoleType", ROLE_TYPE),
    ("InheritedFromFolder", Kind::Object(SIMPLE_FOLDER)),
    ("Name", TEXT),
    ("Id", Kind::Int),
];

const USER_ENTITY: Schema = &[
    ("FullName", TEXT),
    ("AuthenticationSource", TEXT),
    ("UserName", TEXT),
    ("IsInherited", Kind::Bool),
    ("AssignedToFolderIds", LONGS),
    ("MayHaveAttended", Kind::Bool),
    ("MayHaveUnattended", Kind::Bool),
    ("Type", PRINCIPAL_TYPE),
    ("Source", Kind::Choice(&["Orchestrator", "Portal", "All"])),
    ("Id", Kind::Long),
];

pub const USER_ROLES: Schema = &[
    ("UserEntity", Kind::Object(USER_ENTITY)),
    ("Roles", Kind::List(&Kind::Object(SIMPLE_ROLE))),
    ("HasAlertsEnabled", Kind::Bool),
    ("Id", Kind::Long),
];

const TAG: Schema = &[
    ("Name", Kind::Text(256)),
    ("DisplayName", Kind::Text(256)),
    ("Value", Kind::Text(256)),
    ("DisplayValue", Kind::Text(256)),
];

pub const QUEUE_DEFINITION: Schema = &[
    ("Key", Kind::Guid),
    ("Name", Kind::Text(50)),
    ("Description", Kind::Text(250)),
    ("MaxNumberOfRetries", Kind::Int),
    ("AcceptAutomaticallyRetry", Kind::Bool),
    ("RetryAbandonedItems", Kind::Bool),
    ("EnforceUniqueReference", Kind::Bool),
    ("Encrypted", Kind::Bool),
    ("SpecificDataJsonSchema", TEXT),
    ("OutputDataJsonSchema", TEXT),
    ("AnalyticsDataJsonSchema", TEXT),
    ("CreationTime", Kind::Time),
    ("ProcessScheduleId", Kind::Long),
    ("SlaInMinutes", Kind::Int),
    ("RiskSlaInMinutes", Kind::Int),
    ("ReleaseId", Kind::Long),
    ("IsProcessInCurrentFolder", Kind::Bool),
    ("FoldersCount", Kind::Int),
    ("OrganizationUnitId", Kind::Long),
    ("OrganizationUnitFullyQualifiedName", TEXT),
    ("Tags", Kind::List(&Kind::Object(TAG))),
    ("Id", Kind::Long),
];

const FOLDER_ROLES: Schema = &[("FolderId", Kind::Long), ("RoleIds", INTS)];
const ROLES_PER_FOLDER: Kind = Kind::List(&Kind::Object(FOLDER_ROLES));

pub const ASSIGN_USERS: Schema =
    &[("assignments", Kind::Object(&[("UserIds", LONGS), ("RolesPerFolder", ROLES_PER_FOLDER)]))];
pub const ASSIGN_DIRECTORY_USER: Schema = &[(
    "assignment",
    Kind::Object(&[
        ("Domain", TEXT),
        ("UserName", TEXT),
        ("DirectoryIdentifier", TEXT),
        ("UserType", PRINCIPAL_TYPE),
        ("RolesPerFolder", ROLES_PER_FOLDER),
    ]),
)];
pub const REMOVE_USER: Schema = &[("userId", Kind::Long)];
pub const ASSIGN_ROLES: Schema = &[("roleIds", INTS)];

/// The type of a member.
pub fn find(schema: Schema, name: &str) -> Option<Kind> {
    schema.iter().find(|(member, _)| *member == name).map(|(_, kind)| *kind)
}

/// Checks the body of a request and drops what is null: a member without a value is as good as none.
pub fn checked(schema: Schema, value: Value) -> Result<Map<String, Value>, Refusal> {
    match value {
        Value::Object(object) => members(schema, object, ""),
        _ => Err(Refusal::invalid("A JSON object is expected.")),
    }
}

fn members(schema: Schema, object: Map<String, Value>, place: &str) -> Result<Map<String, Value>, Refusal> {
    let mut kept = Map::new();
    for (name, value) in object {
        // Annotations, `@odata.type` for example, are part of the format and no members.
        if name.contains('@') {
            continue;
        }
        let short = super::path::shortened(&name);
        let kind =
            find(schema, &name).ok_or_else(|| Refusal::invalid(format!("There is no property {place}{short}.")))?;
        if value.is_null() {
            continue;
        }
        kept.insert(name, fitting(kind, value, &format!("{place}{short}"))?);
    }
    Ok(kept)
}

fn fitting(kind: Kind, value: Value, place: &str) -> Result<Value, Refusal> {
    let fits = match (kind, &value) {
        (Kind::Object(schema), Value::Object(_)) => {
            let Value::Object(object) = value else { return Ok(value) };
            return members(schema, object, &format!("{place}.")).map(Value::Object);
        }
        (Kind::List(item), Value::Array(_)) => {
            let Value::Array(items) = value else { return Ok(value) };
            let items = items.into_iter().map(|value| fitting(*item, value, place));
            return items.collect::<Result<_, _>>().map(Value::Array);
        }
        (Kind::Bool, Value::Bool(_)) | (Kind::AnyObject, Value::Object(_)) => true,
        (Kind::Int, value) => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        (Kind::Long, value) => value.as_i64().is_some(),
        (Kind::Text(longest), Value::String(text)) => text.chars().count() <= longest,
        (Kind::Guid, Value::String(text)) => Uuid::parse_str(text).is_ok(),
        (Kind::Time, Value::String(text)) => text.parse::<Timestamp>().is_ok(),
        (Kind::Choice(choices), Value::String(text)) => choices.contains(&text.as_str()),
        _ => false,
    };
    if fits { Ok(value) } else { Err(Refusal::invalid(format!("The value of {place} is not valid."))) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_body_is_checked_to_its_innermost_members() {
        let body =
            |policy: Value| json!({ "UserName": "x", "UpdatePolicy": policy, "RolesList": ["a"], "Password": null });
        let kept = checked(USER, body(json!({ "Type": "None" }))).unwrap();
        assert_eq!(kept.get("Password"), None);
        assert!(checked(USER, body(json!({ "Type": "Never" }))).is_err());
        assert!(checked(USER, body(json!({ "Kind": "None" }))).is_err());
        assert!(checked(USER, json!({ "RolesList": [1] })).is_err());
        assert!(checked(USER, json!({ "Nonsense": 1 })).is_err());
        assert!(checked(USER, json!([])).is_err());
    }

    #[test]
    fn numbers_and_texts_stay_within_their_bounds() {
        assert!(checked(ASSIGN_ROLES, json!({ "roleIds": [2_147_483_647_i64] })).is_ok());
        for wrong in [json!(2_147_483_648_i64), json!(1.5), json!("1"), json!(u64::MAX)] {
            assert!(checked(ASSIGN_ROLES, json!({ "roleIds": [wrong] })).is_err());
        }
        assert!(checked(FOLDER, json!({ "DisplayName": "ä".repeat(115) })).is_ok());
        assert!(checked(FOLDER, json!({ "DisplayName": "ä".repeat(116) })).is_err());
    }
}
