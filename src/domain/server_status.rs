//! Decisions about an AuthorizationServer: the catalogue it publishes and what its status says.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource as _;
use kube::api::ObjectMeta;
use sha2::{Digest, Sha256};

use super::capabilities::CatalogueSource;
use super::credentials::whole;
use super::observed::Finding;
use super::outputs::MANAGED_BY;
use super::own_credential::report::Told;
use super::reason::Reason;
use super::registration::{Catalogue, Endpoints, Resource};
use super::status::{Wanted, conditions};
use crate::api::api_resource::{ApiScope, CatalogueManagement, LocalServerReference};
use crate::api::authorization_server::{AuthorizationServer, AuthorizationServerStatus};
use crate::api::{ApiResource, ApiResourceSpec, ApiResourceStatus};

/// The finalizer of a server: it stays as long as applications use it.
pub const FINALIZER: &str = "extapp.dev/authorization-server";

/// The condition that the operator's own credentials expire soon: there only while it is true.
pub const EXPIRING: &str = "CredentialsExpiring";
/// The condition that tells what became of the last request to replace them.
pub const ROTATED: &str = "CredentialsRotated";

/// The name of the object that shows a resource: the server's name, a dot, and the resource's in the letters of a DNS
/// name. Where those are not all of it, a digest tells it from others.
pub fn resource_object_name(server: &str, identifier: &str) -> String {
    const LONGEST: usize = 180;
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let whole: String = identifier.chars().map(letter).collect();
    let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric());
    if whole.len() <= LONGEST && identifier.split('.').all(plain) {
        return format!("{server}.{whole}");
    }
    let cut: String = whole.chars().take(LONGEST).collect();
    let digest = super::hex(&Sha256::digest(identifier)[..4]);
    format!("{server}.{}", format!("{}-{digest}", cut.trim_matches('-')).trim_matches('-'))
}

/// The objects that show a server's catalogue.
pub fn catalogue_objects(server: &AuthorizationServer, catalogue: &Catalogue) -> Vec<ApiResource> {
    catalogue.resources.iter().map(|resource| catalogue_object(server, resource)).collect()
}

fn catalogue_object(server: &AuthorizationServer, resource: &Resource) -> ApiResource {
    let server_name = server.metadata.name.clone().unwrap_or_default();
    let owner = OwnerReference {
        api_version: AuthorizationServer::api_version(&()).into(),
        kind: AuthorizationServer::kind(&()).into(),
        name: server_name.clone(),
        uid: server.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    };
    let mut scopes: Vec<ApiScope> = resource
        .scopes
        .iter()
        .filter(|scope| can_be_asked_for(&scope.name))
        .map(|scope| ApiScope {
            name: scope.name.clone(),
            display_name: scope.display_name.as_deref().map(|text| cut(text, 256)),
            description: scope.description.as_deref().map(|text| cut(text, 1024)),
            grants: scope.grants.iter().map(|grant| (*grant).into()).collect(),
        })
        .collect();
    scopes.sort_by(|a, b| a.name.cmp(&b.name));
    scopes.dedup_by(|a, b| a.name == b.name);
    scopes.truncate(512);
    ApiResource {
        metadata: ObjectMeta {
            name: Some(resource_object_name(&server_name, &resource.name)),
            namespace: server.metadata.namespace.clone(),
            labels: Some([(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())].into()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: ApiResourceSpec {
            server_ref: LocalServerReference { name: server_name },
            identifier: cut(&resource.name, 200),
            display_name: resource.display_name.as_deref().map(|text| cut(text, 256)),
            management: CatalogueManagement::Observe,
            scopes,
        },
        status: None,
    }
}

/// Whether an application can write it. One scope that it cannot must not keep the others from being shown.
fn can_be_asked_for(scope: &str) -> bool {
    (1..=128).contains(&scope.chars().count()) && !scope.contains(|c: char| c.is_whitespace() || c == '*')
}

fn cut(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

/// Whether this server made the object.
pub fn is_ours(server: &AuthorizationServer, object: &ApiResource) -> bool {
    object
        .metadata
        .owner_references
        .iter()
        .flatten()
        .any(|owner| owner.controller == Some(true) && Some(&owner.uid) == server.metadata.uid.as_ref())
}

/// What has to be written so that the objects show the catalogue.
#[derive(Debug, Default, PartialEq)]
pub struct CatalogueChanges {
    /// Made or set right.
    pub apply: Vec<ApiResource>,
    /// No longer in the catalogue: by name and UID.
    pub remove: Vec<(String, String)>,
}

/// Compares what is there with what the catalogue says. Objects of others are left alone.
pub fn catalogue_changes(
    server: &AuthorizationServer,
    wanted: &[ApiResource],
    present: &[&ApiResource],
) -> CatalogueChanges {
    let find = |name: &Option<String>| present.iter().find(|object| object.metadata.name == *name);
    let apply = wanted
        .iter()
        .filter(|object| match find(&object.metadata.name) {
            None => true,
            Some(there) => is_ours(server, there) && there.spec != object.spec,
        })
        .cloned()
        .collect();
    let unwanted = |object: &&&ApiResource| {
        is_ours(server, object) && !wanted.iter().any(|wanted| wanted.metadata.name == object.metadata.name)
    };
    let identity = |object: &&ApiResource| Some((object.metadata.name.clone()?, object.metadata.uid.clone()?));
    CatalogueChanges { apply, remove: present.iter().filter(unwanted).filter_map(identity).collect() }
}

/// The status of a catalogue object; `None` where it already says so. `obstacle`: why the server does not offer it.
pub fn resource_status(
    server: &AuthorizationServer,
    object: &ApiResource,
    source: CatalogueSource,
    obstacle: Option<&Finding>,
    applications: usize,
    now: Timestamp,
) -> Option<ApiResourceStatus> {
    let old = object.status.clone().unwrap_or_default();
    let enforces = source == CatalogueSource::Managed && object.spec.management == CatalogueManagement::Enforce;
    let (state, stalled) = if let Some(finding) = obstacle.filter(|_| enforces) {
        ((false, finding.reason, finding.message.clone()), finding.stalled)
    } else {
        let (holds, reason, message) = if is_ours(server, object) {
            (true, Reason::InSync, "shows what the server's catalogue says")
        } else {
            declaration(source, object.spec.management)
        };
        ((holds, reason, message.to_owned()), !holds)
    };
    let stalled = stalled.then(|| (true, state.1, state.2.clone()));
    let wanted = [Wanted { kind: "Ready", state: Some(state) }, Wanted { kind: "Stalled", state: stalled }];
    let next = ApiResourceStatus {
        observed_generation: object.metadata.generation,
        scopes: i32::try_from(object.spec.scopes.len()).ok(),
        applications: i32::try_from(applications).ok(),
        conditions: conditions(&old.conditions, &wanted, object.metadata.generation, now),
    };
    (object.status.as_ref() != Some(&next)).then_some(next)
}

/// What becomes of a declared object.
fn declaration(source: CatalogueSource, management: CatalogueManagement) -> (bool, Reason, &'static str) {
    match (source, management) {
        (CatalogueSource::Own, _) => (
            false,
            Reason::CatalogueNotDeclarable,
            "this server has a catalogue of its own, and what is declared here is not used: delete this object",
        ),
        (CatalogueSource::Declared, CatalogueManagement::Enforce) => (
            false,
            Reason::NotSupported,
            "this server cannot be told which scopes it offers: set management to Observe, and applications may ask for them",
        ),
        (CatalogueSource::Declared | CatalogueSource::Managed, CatalogueManagement::Observe) => {
            (true, Reason::Declared, "applications may ask for what is declared here")
        }
        (CatalogueSource::Managed, CatalogueManagement::Enforce) => {
            (true, Reason::Enforced, "the server offers what is declared here")
        }
    }
}

/// What a pass over a server found out.
pub struct ServerPass<'a> {
    pub endpoints: Option<&'a Endpoints>,
    pub organization_id: Option<&'a str>,
    pub applications: usize,
    pub drifted: usize,
    pub finding: Option<&'a Finding>,
    /// When the server was last compared.
    pub swept_at: Option<Timestamp>,
    /// What is told of the operator's own credential; absent: what was told before holds.
    pub credential: Option<&'a Told>,
}

/// The status after a pass, without the pending deletions, which have a writer of their own; `None` where nothing but
/// the time of the sweep would change: a sweep that finds nothing new writes nothing.
pub fn server(
    server: &AuthorizationServer,
    pass: &ServerPass<'_>,
    now: Timestamp,
) -> Option<AuthorizationServerStatus> {
    let old = server.status.clone().unwrap_or_default();
    let generation = server.metadata.generation;
    let ready = match pass.finding {
        None => (true, Reason::Connected, "the server answers, and its catalogue is published".to_owned()),
        Some(finding) if finding.reason == Reason::Suspended => (
            old.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"),
            finding.reason,
            finding.message.clone(),
        ),
        Some(finding) => (false, finding.reason, finding.message.clone()),
    };
    let told = |finding: &Finding| (true, finding.reason, finding.message.clone());
    let trouble = pass.finding.filter(|finding| finding.reason != Reason::Suspended);
    let mut wanted = vec![
        Wanted { kind: "Ready", state: Some(ready) },
        Wanted { kind: "Reconciling", state: trouble.filter(|finding| !finding.stalled).map(told) },
        Wanted { kind: "Stalled", state: trouble.filter(|finding| finding.stalled).map(told) },
    ];
    if let Some(told) = pass.credential {
        let expiring = told.expiring.clone().map(|message| (true, Reason::CredentialsExpiring, message));
        wanted.push(Wanted { kind: EXPIRING, state: expiring });
        wanted.extend(told.rotated.clone().map(|answer| Wanted { kind: ROTATED, state: Some(answer) }));
    }
    let credential = pass.credential.map_or_else(|| old.credential.clone(), |told| told.credential.clone());
    let keep = |new: Option<String>, old: Option<String>| new.or(old);
    let endpoints = pass.endpoints;
    let mut next = AuthorizationServerStatus {
        observed_generation: generation,
        issuer: keep(endpoints.map(|e| e.issuer.clone()), old.issuer.clone()),
        token_endpoint: keep(endpoints.map(|e| e.token_endpoint.clone()), old.token_endpoint.clone()),
        authorization_endpoint: keep(
            endpoints.and_then(|e| e.authorization_endpoint.clone()),
            old.authorization_endpoint.clone(),
        ),
        jwks_uri: keep(endpoints.and_then(|e| e.jwks_uri.clone()), old.jwks_uri.clone()),
        organization_id: keep(pass.organization_id.map(Into::into), old.organization_id.clone()),
        applications: i32::try_from(pass.applications).ok(),
        drifted: i32::try_from(pass.drifted).ok(),
        pending_deletions: old.pending_deletions.clone(),
        last_sweep_time: old.last_sweep_time.clone(),
        credential,
        conditions: conditions(&old.conditions, &wanted, generation, now),
    };
    if server.status.as_ref() == Some(&next) {
        return None;
    }
    next.last_sweep_time = pass.swept_at.map(whole).or(next.last_sweep_time);
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::{NOON, catalogue, endpoints, server as fixture};
    use jiff::SignedDuration;

    fn pass(endpoints: &Endpoints) -> ServerPass<'_> {
        ServerPass {
            endpoints: Some(endpoints),
            organization_id: Some("guid"),
            applications: 2,
            drifted: 0,
            finding: None,
            swept_at: Some(NOON),
            credential: None,
        }
    }

    #[test]
    fn a_sweep_that_finds_nothing_new_writes_nothing() {
        let (mut object, endpoints) = (fixture(), endpoints());
        object.status = server(&object, &pass(&endpoints), NOON);
        let later = NOON + SignedDuration::from_secs(600);
        let again = ServerPass { swept_at: Some(later), ..pass(&endpoints) };
        assert_eq!(server(&object, &again, later), None);
        let changed = ServerPass { applications: 3, ..again };
        assert_eq!(server(&object, &changed, later).expect("a change").last_sweep_time, Some(whole(later)));
    }

    #[test]
    fn an_expiring_credential_is_a_condition_only_while_it_is_one_and_an_answer_stays() {
        let (mut object, endpoints) = (fixture(), endpoints());
        let kinds = |object: &AuthorizationServer| {
            let conditions = object.status.iter().flat_map(|status| &status.conditions);
            conditions.map(|condition| condition.type_.clone()).collect::<Vec<_>>()
        };
        let mut told = Told {
            expiring: Some("soon".into()),
            rotated: Some((false, Reason::NotSupported, "by hand".into())),
            ..Told::default()
        };
        object.status = server(&object, &ServerPass { credential: Some(&told), ..pass(&endpoints) }, NOON);
        assert_eq!(kinds(&object), ["CredentialsExpiring", "CredentialsRotated", "Ready"]);
        (told.expiring, told.rotated) = (None, None);
        object.status = server(&object, &ServerPass { credential: Some(&told), ..pass(&endpoints) }, NOON);
        assert_eq!(kinds(&object), ["CredentialsRotated", "Ready"]);
        assert_eq!(server(&object, &pass(&endpoints), NOON), None, "where nothing is read, nothing is said anew");
    }

    #[test]
    fn every_resource_has_an_object_of_its_own_name() {
        assert_eq!(resource_object_name("cloud", "UiPath.Orchestrator"), "cloud.uipath-orchestrator");
        let long = "x".repeat(250);
        let pairs =
            [("cloud", "A.B"), ("cloud", "A-B"), ("cloud-a", "B"), ("cloud", "A B"), ("cloud", "é"), ("cloud", &long)];
        let names: std::collections::BTreeSet<String> =
            pairs.iter().map(|(server, identifier)| resource_object_name(server, identifier)).collect();
        assert_eq!(names.len(), pairs.len(), "{names:?}");
        for name in names {
            assert!(name.len() <= 253 && !name.ends_with('-') && !name.contains(".-") && name.is_ascii(), "{name}");
        }
    }

    #[test]
    fn the_catalogue_is_shown_once_and_then_left_alone() {
        let object = fixture();
        let wanted = catalogue_objects(&object, &catalogue());
        assert_eq!(wanted[0].metadata.name.as_deref(), Some("cloud.uipath-orchestrator"));
        let first = catalogue_changes(&object, &wanted, &[]);
        assert_eq!(first.apply.len(), 2);
        let present: Vec<&ApiResource> = first.apply.iter().collect();
        assert_eq!(catalogue_changes(&object, &wanted, &present), CatalogueChanges::default());
    }

    #[test]
    fn a_scope_that_nobody_could_ask_for_is_not_shown_and_does_not_keep_the_others_from_it() {
        let mut catalogue = catalogue();
        let scopes = &mut catalogue.resources[0].scopes;
        for name in ["", "two words", "OR.*", &"x".repeat(129)] {
            scopes.push(crate::domain::registration::CatalogueScope { name: name.into(), ..scopes[0].clone() });
        }
        let shown = catalogue_objects(&fixture(), &catalogue);
        let names: Vec<&str> = shown[0].spec.scopes.iter().map(|scope| scope.name.as_str()).collect();
        assert_eq!(names, ["OR.Default", "OR.Jobs", "OR.Queues"]);
    }

    #[test]
    fn an_edited_object_is_set_right_a_removed_resource_goes_and_a_declared_one_is_told_so() {
        let object = fixture();
        let wanted = catalogue_objects(&object, &catalogue());
        let mut present = wanted.clone();
        present[0].spec.display_name = Some("edited".into());
        present[1].metadata.uid = Some("uid".into());
        let mut foreign = wanted[0].clone();
        foreign.metadata.owner_references = None;
        foreign.metadata.name = Some("mine".into());
        let all: Vec<&ApiResource> = present.iter().chain([&foreign]).collect();
        let changes = catalogue_changes(&object, &wanted[..1], &all);
        assert_eq!((changes.apply.len(), changes.remove.len()), (1, 1));
        let told = resource_status(&object, &foreign, CatalogueSource::Own, None, 0, NOON).expect("a status");
        assert!(told.conditions.iter().any(|c| c.type_ == "Stalled" && c.reason == "CatalogueNotDeclarable"));
    }

    #[test]
    fn what_stands_in_the_way_of_a_declared_object_is_its_status() {
        let mut declared = catalogue_objects(&fixture(), &catalogue()).remove(0);
        declared.metadata.owner_references = None;
        declared.spec.management = CatalogueManagement::Enforce;
        let status = |obstacle: Option<&Finding>| {
            let told = resource_status(&fixture(), &declared, CatalogueSource::Managed, obstacle, 0, NOON);
            let conditions = told.expect("a status").conditions;
            conditions.into_iter().map(|c| format!("{} {} {}", c.type_, c.status, c.reason)).collect::<Vec<_>>()
        };
        assert_eq!(status(None), ["Ready True Enforced"]);
        let foreign = Finding::stalled(Reason::ServerConflict, "not ours");
        assert_eq!(status(Some(&foreign)), ["Ready False ServerConflict", "Stalled True ServerConflict"]);
        let passing = Finding::passing(Reason::ServerTimeout, "slow", super::super::observed::Retry::Backoff);
        assert_eq!(status(Some(&passing)), ["Ready False ServerTimeout"]);
    }

    #[test]
    fn a_declared_object_says_whether_it_counts_and_whether_the_server_can_be_told() {
        let mut declared = catalogue_objects(&fixture(), &catalogue()).remove(0);
        declared.metadata.owner_references = None;
        let ready = |object: &ApiResource| {
            let status =
                resource_status(&fixture(), object, CatalogueSource::Declared, None, 0, NOON).expect("a status");
            let ready = status.conditions.into_iter().find(|condition| condition.type_ == "Ready").expect("Ready");
            (ready.status, ready.reason)
        };
        assert_eq!(ready(&declared), ("True".into(), "Declared".into()));
        declared.spec.management = CatalogueManagement::Enforce;
        assert_eq!(ready(&declared), ("False".into(), "NotSupported".into()));
    }
}
