//! The published shapes of Orchestrator's requests and answers, written down once more and apart from the server.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use reqwest::Method;
use serde_json::Value;

/// One entity a line, `name?` for what may be there and `name!` for what must be. A type is `text`, `text<115` (that
/// many characters at most), `int`, `long`, `bool`, `guid`, `time`, `object`, a choice `A|B`, another entity, or
/// `[type]`.
const SHAPES: &str = "
Folder Key?guid DisplayName!text<115 FullyQualifiedName?text Description?text<500 FolderType?Standard|Personal|Virtual|Solution|DebugSolution IsPersonal?bool ProvisionType?Manual|Automatic PermissionModel?InheritFromTenant|FineGrained ParentId?long ParentKey?guid FeedType?Undefined|Processes|Libraries|PersonalWorkspace|FolderHierarchy Id?long
Role Name?text<64 DisplayName?text<64 Type?Mixed|Tenant|Folder Groups?text IsStatic?bool IsEditable?bool Permissions?[Permission] Id?int
Permission Name?text IsGranted?bool RoleId?int Scope?Global|Folder|GlobalOrFolder Id?long
User Name?text<1024 Surname?text<1024 UserName?text Domain?text DirectoryIdentifier?text FullName?text EmailAddress?text<256 LastLoginTime?time IsActive?bool CreationTime?time AuthenticationSource?text Password?text IsExternalLicensed?bool UserRoles?[UserRole] RolesList?[text] LoginProviders?[text] OrganizationUnits?[Unit] TenantId?int TenancyName?text TenantDisplayName?text TenantKey?text Type?User|Robot|DirectoryUser|DirectoryGroup|DirectoryRobot|DirectoryExternalApplication ProvisionType?Manual|Automatic LicenseType?text RobotProvision?object UnattendedRobot?object NotificationSubscription?Notifications Key?guid MayHaveUserSession?bool MayHaveRobotSession?bool MayHaveUnattendedSession?bool MayHavePersonalWorkspace?bool RestrictToPersonalWorkspace?bool UpdatePolicy?Policy AccountId?text HasOnlyInheritedPrivileges?bool ExplicitMayHaveUserSession?bool ExplicitMayHaveRobotSession?bool ExplicitMayHavePersonalWorkspace?bool ExplicitRestrictToPersonalWorkspace?bool LastModificationTime?time LastModifierUserId?long CreatorUserId?long Id?long
UserRole UserId?long RoleId?int UserName?text RoleName?text RoleType?Mixed|Tenant|Folder Id?long
Unit DisplayName!text<128 Id?long
Policy Type?None|SpecificVersion|LatestVersion|LatestPatch SpecificVersion?text<128
Notifications Queues?bool Robots?bool Jobs?bool Schedules?bool Tasks?bool QueueItems?bool Insights?bool CloudRobots?bool Serverless?bool Export?bool RateLimitsDaily?bool RateLimitsRealTime?bool AutopilotForRobotsDetectedIssues?bool Webhooks?bool
UserRoles UserEntity?UserEntity Roles?[SimpleRole] HasAlertsEnabled?bool Id?long
UserEntity FullName?text AuthenticationSource?text UserName?text IsInherited?bool AssignedToFolderIds?[long] MayHaveAttended?bool MayHaveUnattended?bool Type?User|Robot|DirectoryUser|DirectoryGroup|DirectoryRobot|DirectoryExternalApplication Source?Orchestrator|Portal|All Id?long
SimpleRole Origin?Assigned|Inherited RoleType?Mixed|Tenant|Folder InheritedFromFolder?SimpleFolder Name?text Id?int
SimpleFolder DisplayName?text FullyQualifiedName?text Id?long
Queue Key?guid Name!text<50 Description?text<250 MaxNumberOfRetries?int AcceptAutomaticallyRetry?bool RetryAbandonedItems?bool EnforceUniqueReference?bool Encrypted?bool SpecificDataJsonSchema?text OutputDataJsonSchema?text AnalyticsDataJsonSchema?text CreationTime?time ProcessScheduleId?long SlaInMinutes?int RiskSlaInMinutes?int ReleaseId?long IsProcessInCurrentFolder?bool FoldersCount?int OrganizationUnitId?long OrganizationUnitFullyQualifiedName?text Tags?[Tag] Id?long
Tag Name!text<256 DisplayName?text<256 Value?text<256 DisplayValue?text<256
AssignUsers assignments!UserAssignments
UserAssignments UserIds?[long] RolesPerFolder?[FolderRoles]
FolderRoles FolderId?long RoleIds?[int]
AssignDirectory assignment!DirectoryAssignment
DirectoryAssignment Domain?text UserName?text DirectoryIdentifier?text UserType?User|Robot|DirectoryUser|DirectoryGroup|DirectoryRobot|DirectoryExternalApplication RolesPerFolder?[FolderRoles]
RemoveUser userId!long
AssignRoles roleIds!([int])
Domain name?text isDefault?bool
DirectoryObject type?directoryType source?text domain?text identifier?text identityName?text displayName?text
Error message!text errorCode!int traceId!text
";

type Shape = Vec<(&'static str, bool, &'static str)>;

static TABLE: LazyLock<BTreeMap<&'static str, Shape>> = LazyLock::new(|| {
    let member = |text: &'static str| {
        let at = text.find(['?', '!']).unwrap();
        (&text[..at], text.as_bytes()[at] == b'!', text[at + 1..].trim_matches(['(', ')']))
    };
    let shape = |line: &'static str| {
        let mut words = line.split_ascii_whitespace();
        (words.next().unwrap(), words.map(member).collect())
    };
    SHAPES.lines().filter(|line| !line.is_empty()).map(shape).collect()
});

/// Whether `value` is of this type; `Err` says where it isn't.
fn fits(value: &Value, kind: &str, place: &str) -> Result<(), String> {
    if let Some(inner) = kind.strip_prefix('[') {
        let items = value.as_array().ok_or_else(|| format!("{place} is no list"))?;
        let inner = inner.trim_end_matches(']');
        return items.iter().try_for_each(|item| fits(item, inner, &format!("{place}[]")));
    }
    if let Some(shape) = TABLE.get(kind) {
        return members_fit(value, shape, place);
    }
    let text = value.as_str();
    let (name, longest) = kind.split_once('<').unwrap_or((kind, ""));
    let fits = match name {
        "text" => {
            text.is_some_and(|text| longest.parse().map_or(true, |longest: usize| text.chars().count() <= longest))
        }
        "int" => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        "long" => value.is_i64(),
        "bool" => value.is_boolean(),
        "object" => value.is_object(),
        "guid" => text.is_some_and(|text| uuid::Uuid::parse_str(text).is_ok()),
        "time" => text.is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
        // Published as a word, and sent as its number.
        "directoryType" => matches!(value.as_i64(), Some(0..=4)),
        choices => text.is_some_and(|text| choices.split('|').any(|choice| choice == text)),
    };
    if fits { Ok(()) } else { Err(format!("{place} is no {kind}: {value}")) }
}

fn members_fit(value: &Value, shape: &Shape, place: &str) -> Result<(), String> {
    let object = value.as_object().ok_or_else(|| format!("{place} is no object: {value}"))?;
    for (name, value) in object.iter().filter(|(name, _)| !name.starts_with("@odata.")) {
        let known = shape.iter().find(|(member, ..)| member == name);
        let (_, _, kind) = known.ok_or_else(|| format!("{place}.{name} is unknown"))?;
        fits(value, kind, &format!("{place}.{name}"))?;
    }
    let missing = shape.iter().find(|(name, required, _)| *required && !object.contains_key(*name));
    missing.map_or(Ok(()), |(name, ..)| Err(format!("{place}.{name} is missing")))
}

/// The type of a request's body, of an answer, and the status of success.
fn operation(method: &Method, path: &str) -> Option<(Option<&'static str>, Option<&'static str>, u16)> {
    let path = path.split('?').next().unwrap();
    let (set, rest) = path.strip_prefix("odata/").unwrap_or(path).split_once('/').unwrap_or((path, ""));
    let set = if rest.is_empty() { path.strip_prefix("odata/").unwrap_or(path) } else { set };
    let keyed = set.contains('(');
    let action = rest.rsplit('.').next().unwrap_or_default().split('(').next().unwrap_or_default();
    let entity = match set.split('(').next().unwrap_or_default() {
        "Folders" => "Folder",
        "Roles" => "Role",
        "Users" => "User",
        "QueueDefinitions" => "Queue",
        _ => "",
    };
    let list: BTreeMap<_, _> =
        [("Folder", "{Folder}"), ("Role", "{Role}"), ("User", "{User}"), ("Queue", "{Queue}")].into();
    Some(match (method.as_str(), action, keyed) {
        ("GET", "", false) if !entity.is_empty() => (None, Some(list[entity]), 200),
        ("GET", "", true) => (None, Some(entity), 200),
        ("POST", "", false) => (Some(entity), Some(entity), 201),
        ("PUT", "", true) if entity == "Folder" => (Some(entity), Some(entity), 200),
        ("PUT" | "PATCH", "", true) => (Some(entity), None, 200),
        ("DELETE", "", true) => (None, None, 204),
        ("POST", "AssignUsers", _) => (Some("AssignUsers"), None, 204),
        ("POST", "AssignDirectoryUser" | "AssignDomainUser", _) => (Some("AssignDirectory"), None, 204),
        ("POST", "RemoveUserFromFolder", _) => (Some("RemoveUser"), None, 204),
        ("POST", "AssignRoles", _) => (Some("AssignRoles"), None, 200),
        ("GET", "GetUsersForFolder", _) => (None, Some("{UserRoles}"), 200),
        _ if path.ends_with("/GetDomains") => (None, Some("[Domain]"), 200),
        _ if path.ends_with("/GetDomainUserId") => (None, Some("long"), 200),
        _ if path.ends_with("/SearchForUsersAndGroups") => (None, Some("[DirectoryObject]"), 200),
        _ => return None,
    })
}

/// Panics unless the body of a request is as published.
pub fn check_request(method: &Method, path: &str, body: &Value) {
    let (wanted, ..) = operation(method, path).unwrap_or_else(|| panic!("{method} {path} is not published"));
    let wanted = wanted.unwrap_or_else(|| panic!("{method} {path} has no body"));
    fits(body, wanted, "request").unwrap_or_else(|wrong| panic!("{method} {path}: {wrong}"));
}

/// Panics unless an answer is as published, or a refusal in one of the two known envelopes.
pub fn check_answer(method: &Method, path: &str, status: u16, answer: &Value) {
    if status >= 400 {
        if matches!(status, 401 | 405 | 413 | 415 | 429) || answer.get("status").is_some() {
            return;
        }
        if status == 403 {
            assert_eq!(answer["__abp"], true, "{method} {path}: {answer}");
            assert_eq!(answer["error"]["details"], "You are not allowed to perform this operation.");
            assert_eq!(answer["unAuthorizedRequest"], true);
            return;
        }
        return fits(answer, "Error", "refusal").unwrap_or_else(|wrong| panic!("{method} {path}: {wrong}"));
    }
    let Some((_, wanted, success)) = operation(method, path) else { panic!("{method} {path} is not published") };
    assert_eq!(status, success, "{method} {path}: {answer}");
    let Some(wanted) = wanted else { return assert_eq!(*answer, Value::Null, "{method} {path}") };
    let checked = match wanted.strip_prefix('{') {
        // A selection leaves out even what is required.
        _ if path.contains("$select") => Ok(()),
        Some(entity) => {
            let allowed = ["@odata.context", "@odata.count", "@odata.nextLink", "value"];
            let members = answer.as_object().unwrap();
            assert!(members.keys().all(|name| allowed.contains(&name.as_str())), "{method} {path}: {answer}");
            fits(&answer["value"], &format!("[{}]", entity.trim_end_matches('}')), "value")
        }
        None => fits(answer, wanted, "answer"),
    };
    checked.unwrap_or_else(|wrong| panic!("{method} {path}: {wrong}"));
}

#[test]
fn the_check_finds_what_is_wrong() {
    use serde_json::json;
    let right = json!({ "DisplayName": "a", "Id": 1, "Key": "7a1b0c6e-8b6f-4f0e-9d55-0123456789ab" });
    assert_eq!(fits(&right, "Folder", "x"), Ok(()));
    let wrong = [
        json!({ "Id": 1 }),
        json!({ "DisplayName": "a", "Id": "1" }),
        json!({ "DisplayName": "a", "Nonsense": 1 }),
        json!({ "DisplayName": "a", "ParentId": null }),
        json!({ "DisplayName": "a", "FolderType": "Odd" }),
        json!({ "DisplayName": "a".repeat(116) }),
        json!({ "DisplayName": "a", "Key": "b" }),
        json!([]),
    ];
    for wrong in wrong {
        assert!(fits(&wrong, "Folder", "x").is_err(), "{wrong}");
    }
    assert!(fits(&json!({ "assignments": { "UserIds": ["1"] } }), "AssignUsers", "x").is_err());
    assert!(fits(&json!({}), "AssignRoles", "x").is_err());
}
