//! What may be asked for where people declare it.

use std::collections::BTreeMap;

use super::capabilities::{Capabilities, CatalogueSource};
use super::observed::Finding;
use super::registration::{Catalogue, CatalogueScope, Grant, Resource};
use crate::api::ApiResource;
use crate::api::api_resource::{ApiScope, CatalogueManagement, GrantKind};

/// What the server tells of itself, with what is declared beside it where the server lets others say so. Of two that name
/// one scope the declared one counts; several objects for one resource add up.
pub fn merged<'a>(
    own: &Catalogue,
    declared: impl Iterator<Item = &'a ApiResource>,
    capabilities: &Capabilities,
) -> Catalogue {
    if capabilities.catalogue == CatalogueSource::Own {
        return own.clone();
    }
    let mut resources: BTreeMap<&str, Resource> =
        own.resources.iter().map(|resource| (resource.name.as_str(), resource.clone())).collect();
    let mut declared: Vec<&ApiResource> =
        declared.filter(|object| object.metadata.deletion_timestamp.is_none()).collect();
    declared.sort_by_key(|object| &object.metadata.name);
    for object in declared {
        let resource = resources.entry(&object.spec.identifier).or_insert_with(|| Resource {
            name: object.spec.identifier.clone(),
            display_name: None,
            description: None,
            scopes: Vec::new(),
        });
        resource.display_name = object.spec.display_name.clone().or(resource.display_name.take());
        for scope in object.spec.scopes.iter().map(scope) {
            resource.scopes.retain(|known| known.name != scope.name);
            resource.scopes.push(scope);
        }
        resource.scopes.sort_by(|a, b| a.name.cmp(&b.name));
    }
    Catalogue { resources: resources.into_values().collect() }
}

/// What the server shall offer for one declared object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Enforced {
    /// The UID of the object.
    pub object: String,
    pub identifier: String,
    pub scopes: Vec<EnforcedScope>,
}

/// One scope that the server shall offer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EnforcedScope {
    pub name: String,
    pub display_name: Option<String>,
    pub description: Option<String>,
}

/// Why the server does not offer a scope as declared: the object's UID, and what stands in the way.
pub type Obstacles = BTreeMap<String, Finding>;

/// What the objects with management Enforce ask for.
pub fn enforced<'a>(declared: impl Iterator<Item = &'a ApiResource>) -> Vec<Enforced> {
    let asked = declared.filter(|object| {
        object.metadata.deletion_timestamp.is_none() && object.spec.management == CatalogueManagement::Enforce
    });
    let scope = |scope: &ApiScope| EnforcedScope {
        name: scope.name.clone(),
        display_name: scope.display_name.clone(),
        description: scope.description.clone(),
    };
    let mut all: Vec<Enforced> = asked
        .map(|object| Enforced {
            object: object.metadata.uid.clone().unwrap_or_default(),
            identifier: object.spec.identifier.clone(),
            scopes: object.spec.scopes.iter().map(scope).collect(),
        })
        .collect();
    all.sort_by(|one, other| (&one.identifier, &one.object).cmp(&(&other.identifier, &other.object)));
    all
}

fn scope(declared: &ApiScope) -> CatalogueScope {
    let grant = |kind: &GrantKind| match kind {
        GrantKind::User => Grant::User,
        GrantKind::Application => Grant::Application,
    };
    CatalogueScope {
        name: declared.name.clone(),
        display_name: declared.display_name.clone(),
        description: declared.description.clone(),
        grants: declared.grants.iter().map(grant).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::{catalogue, facts};

    fn declared(name: &str, identifier: &str, scopes: &[(&str, &str)]) -> ApiResource {
        let scopes: Vec<_> =
            scopes.iter().map(|(name, grant)| serde_json::json!({"name": name, "grants": [grant]})).collect();
        serde_json::from_value(serde_json::json!({
            "apiVersion": "extapp.dev/v1alpha1", "kind": "ApiResource", "metadata": {"name": name, "namespace": "identity"},
            "spec": {"serverRef": {"name": "cloud"}, "identifier": identifier, "scopes": scopes}
        }))
        .expect("an ApiResource")
    }

    #[test]
    fn declared_objects_are_the_catalogue_where_the_server_has_none() {
        let declaring = Capabilities { catalogue: CatalogueSource::Declared, ..facts().capabilities };
        let objects = [
            declared("a", "invoices", &[("read", "Application"), ("write", "User")]),
            declared("b", "invoices", &[("read", "User"), ("audit", "User")]),
        ];
        let found = merged(&Catalogue::default(), objects.iter(), &declaring);
        let scopes: Vec<(&str, bool)> = found.resources[0]
            .scopes
            .iter()
            .map(|scope| (scope.name.as_str(), scope.grants.contains(&Grant::User)))
            .collect();
        assert_eq!(scopes, [("audit", true), ("read", true), ("write", true)]);
        assert_eq!(merged(&catalogue(), objects.iter(), &declaring).resources.len(), 3);
    }

    #[test]
    fn a_server_with_a_catalogue_of_its_own_takes_no_declarations() {
        let objects = [declared("a", "invoices", &[("read", "User")])];
        assert_eq!(merged(&catalogue(), objects.iter(), &facts().capabilities), catalogue());
    }

    #[test]
    fn only_what_says_enforce_and_stays_is_brought_to_the_server() {
        let enforcing = |name: &str, identifier: &str| {
            let mut object = declared(name, identifier, &[("read", "User")]);
            object.spec.management = CatalogueManagement::Enforce;
            object.metadata.uid = Some(name.into());
            object
        };
        let mut leaving = enforcing("c", "archive");
        leaving.metadata.deletion_timestamp = Some(crate::domain::credentials::whole(crate::domain::fixtures::NOON));
        let objects = [
            enforcing("b", "invoices"),
            declared("a", "payroll", &[("read", "User")]),
            leaving,
            enforcing("d", "bills"),
        ];
        let found = enforced(objects.iter());
        let identifiers: Vec<&str> = found.iter().map(|api| api.identifier.as_str()).collect();
        assert_eq!(identifiers, ["bills", "invoices"]);
        assert_eq!((found[0].object.as_str(), found[0].scopes[0].name.as_str()), ("d", "read"));
    }
}
