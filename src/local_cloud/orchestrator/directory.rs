//! `/api/DirectoryService`: looking principals up.
//!
//! The search is the awkward one that Orchestrator's clients know: it finds every name that begins like the one
//! asked for, whatever the case of letters, and nothing at all for a name with a hyphen. Identity's
//! `BulkResolveByName` is the way to one principal.

use rusqlite::Connection;
use serde_json::{Value, json};

use super::errors::Refusal;
use super::path::shortened;
use super::rights::{self, Access};
use super::{Answer, Call};
use crate::local_cloud::store::orchestrator::directory::{self, Principal, PrincipalType};
use crate::local_cloud::store::orchestrator::users;

/// The only domain of this organization, as of every one whose directory is UiPath's own.
const DOMAIN: &str = "autogen";
/// How many principals a search finds at most.
const MOST_FOUND: usize = 100;

/// Refuses any other domain than the one there is.
pub fn require_domain(domain: Option<&str>) -> Result<(), Refusal> {
    match domain {
        Some(DOMAIN) => Ok(()),
        None => Err(Refusal::invalid("Domain is required.")),
        Some(other) => Err(Refusal::invalid(format!("There is no domain '{}'.", shortened(other)))),
    }
}

/// The principal that a request means: an application by its directory identifier only, a person by address too.
pub fn principal(
    store: &Connection,
    directory_identifier: Option<String>,
    user_name: Option<String>,
    kind: Option<&str>,
) -> Result<Principal, Refusal> {
    let kind: PrincipalType =
        kind.ok_or_else(|| Refusal::invalid("The type of the principal is required."))?
            .parse()
            .map_err(|_| Refusal::invalid("Principals of this type are not part of this stand-in."))?;
    let found = match directory_identifier {
        Some(id) => directory::find(store, &id.to_lowercase())?,
        None if kind == PrincipalType::DirectoryExternalApplication => {
            return Err(Refusal::invalid("DirectoryIdentifier is required."));
        }
        None => {
            let name = user_name.unwrap_or_default();
            let mut people = directory::all(store, kind)?.into_iter();
            people.find(|person| person.name.eq_ignore_ascii_case(&name))
        }
    };
    found
        .filter(|principal| principal.kind == kind)
        .ok_or_else(|| Refusal::invalid("The directory does not know this principal."))
}

/// `GET …/SearchForUsersAndGroups`.
pub fn search(call: &Call, access: &Access<'_>, store: &Connection) -> Result<Answer, Refusal> {
    access.require_anywhere(&rights::SEARCH_DIRECTORY)?;
    require_domain(call.query.get("domain"))?;
    let prefix = call.query.get("prefix").unwrap_or_default().to_lowercase();
    if prefix.is_empty() {
        return Err(Refusal::query("prefix is required."));
    }
    let (people, applications) = match call.query.get("searchContext") {
        None | Some("All") => (true, true),
        Some("Users") => (true, false),
        Some("ExternalApplications") => (false, true),
        Some("Groups" | "Robots") => (false, false),
        Some(_) => return Err(Refusal::query("There is no such searchContext.")),
    };
    if prefix.contains('-') {
        return Ok(Answer::ok(json!([])));
    }
    let mut found = Vec::new();
    if people {
        found.extend(directory::all(store, PrincipalType::DirectoryUser)?);
    }
    if applications {
        found.extend(directory::all(store, PrincipalType::DirectoryExternalApplication)?);
    }
    let begins = |text: &str| text.to_lowercase().starts_with(&prefix);
    found.retain(|principal| begins(&principal.name) || begins(&principal.display_name));
    Ok(Answer::ok(found.iter().take(MOST_FOUND).map(row).collect()))
}

fn row(principal: &Principal) -> Value {
    // Orchestrator describes the type as a word and sends a number.
    let kind = match principal.kind {
        PrincipalType::DirectoryUser => 0,
        PrincipalType::DirectoryExternalApplication => 4,
    };
    json!({
        "type": kind,
        "source": "local",
        "domain": DOMAIN,
        "identifier": principal.id,
        "identityName": principal.name,
        "displayName": principal.display_name,
    })
}

/// `GET …/GetDomainUserId`: the number of the user that stands for a principal.
pub fn user_id(call: &Call, access: &Access<'_>, store: &Connection) -> Result<Answer, Refusal> {
    access.require_anywhere(&rights::SEARCH_DIRECTORY)?;
    require_domain(call.query.get("domain"))?;
    let kind = call.query.get("userType").map(str::parse::<PrincipalType>).transpose();
    let kind = kind.map_err(|_| Refusal::query("Principals of this userType are not part of this stand-in."))?;
    let directory_id = call.query.get("directoryIdentifier").filter(|id| !id.is_empty()).map(str::to_lowercase);
    let name = call.query.get("userName").filter(|name| !name.is_empty());
    let found = match (directory_id, name) {
        (Some(id), _) => users::of_principal(store, call.tenant.id, &id)?,
        (None, Some(name)) => users::all(store, call.tenant.id)?.into_iter().find(|user| user.name == name),
        (None, None) => return Err(Refusal::query("directoryIdentifier or userName is required.")),
    };
    let found = found.filter(|user| kind.is_none_or(|kind| kind == user.kind));
    found
        .map(|user| Answer::ok(json!(user.id)))
        .ok_or_else(|| Refusal::not_found("The tenant does not have this principal."))
}

/// `GET …/GetDomains`.
pub fn domains(access: &Access<'_>) -> Result<Answer, Refusal> {
    access.require_anywhere(&rights::SEARCH_DIRECTORY)?;
    Ok(Answer::ok(json!([{ "name": DOMAIN, "isDefault": true }])))
}
