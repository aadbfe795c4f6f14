//! What UiPath's public documentation leaves open, and how this backend reads it.
//!
//! Each open point is one function or constant here, so that what a live organization teaches is a change of one
//! line. [`READINGS`] is the list; a test keeps it complete.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde_json::Value;

use super::Deployment;
use crate::domain::registration::{ClientType, Grant, PrincipalId, Scope};
use crate::domain::tenant::FolderId;
use crate::server::ServerError;

/// One open point.
pub struct Reading {
    /// The function or constant that holds it.
    pub held_by: &'static str,
    pub open: &'static str,
    pub taken: &'static str,
}

pub const READINGS: &[Reading] = &[
    Reading {
        held_by: "identity_path",
        open: "Automation Suite shows the management API under the organization in its newest documentation and was seen without it on 2023.4",
        taken: "without the organization: every known version answers there; Automation Cloud only under the organization",
    },
    Reading {
        held_by: "OWN_SCOPES",
        open: "which scopes an operator's own application has been given; the server compares exactly",
        taken: "PM.OAuthApp first, then the pair of Read and Write",
    },
    Reading {
        held_by: "organization",
        open: "whether every access token carries prt_id",
        taken: "the claim; else the configured organization where that is a GUID",
    },
    Reading {
        held_by: "scope_type_sent",
        open: "requests were accepted with numbers and with words as scope type",
        taken: "numbers: what answers were seen to carry",
    },
    Reading {
        held_by: "registered_grants",
        open: "the form of the scope type of a registration in answers",
        taken: "numbers and words are both understood; 2 is both types; anything else is not guessed at",
    },
    Reading {
        held_by: "catalogue_grants",
        open: "the scope types of the catalogue beyond 0, 1 and 2",
        taken: "either type: the server itself refuses what does not fit",
    },
    Reading {
        held_by: "is_absence",
        open: "the status for a registration or a secret that does not exist: 404 or 400",
        taken: "404 alone. A 400 speaks of new registrations, too, that a part of the server does not know yet",
    },
    Reading {
        held_by: "is_not_known_yet",
        open: "in which envelope, and for how long, federated credentials of a new registration are refused",
        taken: "a 400 with the words `not found in partition`, in any shape: it passes",
    },
    Reading {
        held_by: "redirect_uris_sent",
        open: "what a replacement does with fields that it leaves out",
        taken: "name, redirectUri (null for none) and scopes are always sent, clientCertificates never",
    },
    Reading {
        held_by: "created_scopes",
        open: "whether the answer to a create repeats the scopes",
        taken: "an answer without resources means the scopes that were asked for: an unknown one would have been refused",
    },
    Reading {
        held_by: "listed_type",
        open: "whether every row of the list says isConfidential",
        taken: "confidential where it does not; the row counts as existing in any case",
    },
    Reading {
        held_by: "time",
        open: "the forms of creationTime and expiryTime",
        taken: "RFC 3339, UTC where there is no zone; the first and the last year of .NET's calendar mean no time at all",
    },
    Reading {
        held_by: "ORCHESTRATOR_SCOPES",
        open: "what of Orchestrator the operator's own application has been given",
        taken: "OR.Default, without which no folder is listed, with OR.Folders and OR.Users; else OR.Default alone, for an operator with a role in the tenant",
    },
    Reading {
        held_by: "DIRECTORY_DOMAIN",
        open: "the directory's domain in an installation with a directory of one's own",
        taken: "autogen: the cloud's, and that of every installation that is not federated",
    },
    Reading {
        held_by: "principal_of",
        open: "which field of a user carries the directory's identifier",
        taken: "DirectoryIdentifier where it is there, else Key",
    },
    Reading {
        held_by: "assigned_folders",
        open: "whether OrganizationUnits of a user names every folder that it is assigned to",
        taken: "it does where it is there; where it is not, a user is never removed from a tenant",
    },
    Reading {
        held_by: "is_external_application",
        open: "the form of the type in answers of the directory search: documented as a word, seen as a number",
        taken: "4 and ExternalApplication, in both forms",
    },
    Reading {
        held_by: "may_be_the_wrong_action",
        open: "how a server answers an assign action that it does not have: a failure or a refusal, in words that say nothing of it",
        taken: "every refusal of the request and every failure: the other action is tried, and the first answer believed if that is refused, too",
    },
];

/// The path under which Identity Server answers management requests.
pub fn identity_path(deployment: Deployment, organization: &str) -> Vec<&str> {
    match deployment {
        Deployment::AutomationCloud => vec![organization, "identity_"],
        Deployment::AutomationSuite => vec!["identity_"],
        Deployment::Standalone => vec!["identity"],
    }
}

/// The scopes that the operator asks for itself, one request after the other until one is granted.
pub const OWN_SCOPES: [&str; 2] = ["PM.OAuthApp", "PM.OAuthApp.Read PM.OAuthApp.Write"];

/// The scopes that the operator asks for at Orchestrator, one request after the other until one is granted.
pub const ORCHESTRATOR_SCOPES: [&str; 2] = ["OR.Default OR.Folders OR.Users", "OR.Default"];

/// The directory in which external applications are.
pub const DIRECTORY_DOMAIN: &str = "autogen";

/// The identity that a user of a tenant stands for.
pub fn principal_of(directory_identifier: Option<String>, key: Option<String>) -> Option<PrincipalId> {
    directory_identifier.filter(|id| !id.is_empty()).or(key).map(PrincipalId::new)
}

/// The folders that a user is assigned to, as its own row tells.
pub fn assigned_folders(organization_units: Option<Vec<i64>>) -> Option<BTreeSet<FolderId>> {
    organization_units.map(|units| units.into_iter().map(FolderId).collect())
}

/// Whether a row of the directory search is an external application.
pub fn is_external_application(kind: &Value) -> bool {
    matches!(normal(kind).as_str(), "4" | "externalapplication")
}

/// Whether an assign action may have been refused because the server only knows the other one.
pub fn may_be_the_wrong_action(error: &ServerError) -> bool {
    matches!(
        error,
        ServerError::Rejected { .. }
            | ServerError::NotFound
            | ServerError::Failed { .. }
            | ServerError::Unintelligible { .. }
    )
}

/// The organization's GUID, which management requests name as `partitionGlobalId`.
pub fn organization<'a>(claim: Option<&'a str>, configured: &'a str) -> Option<&'a str> {
    claim.or_else(|| uuid::Uuid::try_parse(configured).is_ok().then_some(configured))
}

/// The type of a scope in a request.
pub fn scope_type_sent(grant: Grant) -> u8 {
    match grant {
        Grant::User => 0,
        Grant::Application => 1,
    }
}

/// The types that one scope of a registration stands for. `None`: not understood.
pub fn registered_grants(kind: &Value) -> Option<&'static [Grant]> {
    match normal(kind).as_str() {
        "0" | "user" => Some(&[Grant::User]),
        "1" | "application" => Some(&[Grant::Application]),
        "2" => Some(&[Grant::User, Grant::Application]),
        _ => None,
    }
}

/// The types that a scope of the catalogue may be granted as.
pub fn catalogue_grants(kind: &Value) -> BTreeSet<Grant> {
    match normal(kind).as_str() {
        "0" | "user" => BTreeSet::from([Grant::User]),
        "1" | "application" => BTreeSet::from([Grant::Application]),
        _ => BTreeSet::from([Grant::User, Grant::Application]),
    }
}

fn normal(kind: &Value) -> String {
    match kind {
        Value::String(word) => word.trim().to_ascii_lowercase(),
        other => other.to_string(),
    }
}

/// Whether a refusal means that there is no such registration, or no such secret.
pub fn is_absence(status: u16) -> bool {
    status == 404
}

/// Whether a refusal means that this part of the server does not know a new registration yet.
pub fn is_not_known_yet(status: u16, message: &str) -> bool {
    status == 400 && message.to_ascii_lowercase().contains("not found in partition")
}

/// All redirect URIs in one string, as the server keeps them. `null` for none.
pub fn redirect_uris_sent(uris: &BTreeSet<String>) -> Option<String> {
    let joined = uris.iter().map(String::as_str).collect::<Vec<_>>().join(",");
    (!joined.is_empty()).then_some(joined)
}

/// The scopes of a registration that was created just now.
pub fn created_scopes(answered: Option<BTreeSet<Scope>>, asked: &BTreeSet<Scope>) -> BTreeSet<Scope> {
    answered.unwrap_or_else(|| asked.clone())
}

/// The type of a row of the list.
pub fn listed_type(is_confidential: Option<bool>) -> ClientType {
    if is_confidential.unwrap_or(true) { ClientType::Confidential } else { ClientType::NonConfidential }
}

/// A time of the server. `Ok(None)`: it stands for no time at all. `Err`: not understood; an expiry that is not
/// understood must not pass for none.
pub fn time(text: &str) -> Result<Option<Timestamp>, jiff::Error> {
    let civil: DateTime = text.trim_end_matches(['Z', 'z']).parse()?;
    if civil.year() <= 1 || civil.year() >= 9999 {
        return Ok(None);
    }
    text.parse().or_else(|_| Offset::UTC.to_timestamp(civil)).map(Some)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn every_reading_of_the_table_is_held_by_something_here() {
        let source = include_str!("readings.rs");
        for Reading { held_by, .. } in READINGS {
            let held =
                source.contains(&format!("pub fn {held_by}")) || source.contains(&format!("pub const {held_by}"));
            assert!(held, "{held_by}");
        }
        let held = source.matches("\npub fn ").count() + source.matches("\npub const ").count();
        assert_eq!(held, READINGS.len() + 1, "something here is not in the table");
    }

    #[test]
    fn numbers_and_words_of_a_registered_scope_type_mean_the_same() {
        for user in [json!(0), json!("0"), json!("user"), json!("User")] {
            assert_eq!(registered_grants(&user), Some(&[Grant::User][..]), "{user}");
        }
        for application in [json!(1), json!("1"), json!("application"), json!("Application")] {
            assert_eq!(registered_grants(&application), Some(&[Grant::Application][..]), "{application}");
        }
        assert_eq!(registered_grants(&json!(7)), None);
        assert_eq!(registered_grants(&json!(null)), None);
    }

    #[test]
    fn two_in_the_catalogue_is_either_type() {
        assert_eq!(catalogue_grants(&json!(0)), BTreeSet::from([Grant::User]));
        assert_eq!(catalogue_grants(&json!(1)), BTreeSet::from([Grant::Application]));
        assert_eq!(catalogue_grants(&json!(2)), BTreeSet::from([Grant::User, Grant::Application]));
    }

    #[test]
    fn times_come_with_a_zone_without_one_or_not_at_all() {
        let table = [
            ("2025-07-18T12:57:01.155Z", Some("2025-07-18T12:57:01.155Z")),
            ("2025-07-18T12:57:01.1551234", Some("2025-07-18T12:57:01.1551234Z")),
            ("2025-07-18T14:57:01+02:00", Some("2025-07-18T12:57:01Z")),
            ("0001-01-01T00:00:00", None),
            ("9999-12-31T23:59:59.9999999", None),
            ("9999-12-31T23:59:59.9999999Z", None),
        ];
        for (text, expected) in table {
            assert_eq!(time(text).unwrap(), expected.map(|time| time.parse().unwrap()), "{text}");
        }
        assert!(time("next week").is_err());
    }

    #[test]
    fn the_organization_is_the_tokens_or_a_configured_guid() {
        let guid = "7e0e2f9a-1111-4222-8333-1234567890ab";
        assert_eq!(organization(Some("claim"), guid), Some("claim"));
        assert_eq!(organization(None, guid), Some(guid));
        assert_eq!(organization(None, "acme"), None);
    }
}
