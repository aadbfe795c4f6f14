//! Where things are at the three kinds of deployment. Pure.

use reqwest::header::HeaderValue;
use url::Url;

use super::{Deployment, readings};
use crate::domain::registration::{ClientId, SecretId};

/// The addresses of one organization.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    host: Url,
    identity: Url,
    deployment: Deployment,
}

impl Paths {
    /// `None` if the url cannot carry a path, or the organization cannot be a part of one.
    pub(super) fn new(url: &Url, organization: &str, deployment: Deployment) -> Option<Self> {
        if url.cannot_be_a_base() || url.host().is_none() || !is_segment(organization) {
            return None;
        }
        let identity = under(url, &readings::identity_path(deployment, organization));
        Some(Self { host: url.clone(), identity, deployment })
    }

    /// OpenID Connect Discovery. On Automation Cloud applications sign in at the host, not under the organization.
    pub(super) fn discovery(&self) -> Url {
        let identity = if self.deployment == Deployment::Standalone { "identity" } else { "identity_" };
        under(&self.host, &[identity, ".well-known", "openid-configuration"])
    }

    /// POST creates here.
    pub(super) fn clients(&self) -> Url {
        self.api(&["ExternalClient"])
    }

    pub(super) fn list(&self, organization: &str) -> Url {
        self.api(&["ExternalClient", organization])
    }

    /// `None` for what cannot be a client id: without this check it would address the whole list.
    pub(super) fn client(&self, organization: &str, id: &ClientId) -> Option<Url> {
        is_segment(id.as_str()).then(|| self.api(&["ExternalClient", organization, id.as_str()]))
    }

    pub(super) fn generate_secret(&self) -> Url {
        self.api(&["ExternalClient", "GenerateSecret"])
    }

    /// `None` for what cannot be the id of a secret.
    pub(super) fn secret(&self, organization: &str, id: &SecretId) -> Option<Url> {
        is_segment(id.as_str()).then(|| self.api(&["ExternalClient", organization, "secrets", id.as_str()]))
    }

    /// All federated credentials of a registration, or one of them. `None` for what cannot be an id.
    pub(super) fn federated(&self, organization: &str, id: &ClientId, credential: Option<&str>) -> Option<Url> {
        let ids = [id.as_str()].into_iter().chain(credential);
        let all = ["ExternalClient", organization, id.as_str(), "FederatedCredentials"];
        let segments: Vec<&str> = all.into_iter().chain(credential).collect();
        ids.into_iter().all(is_segment).then(|| self.api(&segments))
    }

    pub(super) fn catalogue(&self) -> Url {
        self.api(&["ExternalApiResource"])
    }

    /// Where identities are found by their names.
    pub(super) fn resolve(&self, organization: &str) -> Url {
        self.api(&["Directory", "BulkResolveByName", organization])
    }

    /// An address of Orchestrator, and the header that names the tenant where the address does not. `None` for what cannot
    /// be the name of a tenant.
    pub(super) fn orchestrator(
        &self,
        organization: &str,
        tenant: &str,
        path: &[&str],
    ) -> Option<(Url, Option<HeaderValue>)> {
        if !is_name(tenant) {
            return None;
        }
        if self.deployment == Deployment::Standalone {
            return Some((under(&self.host, path), Some(HeaderValue::from_str(tenant).ok()?)));
        }
        let base = under(&self.host, &[organization, tenant, "orchestrator_"]);
        Some((under(&base, path), None))
    }

    fn api(&self, segments: &[&str]) -> Url {
        under(&under(&self.identity, &["api"]), segments)
    }
}

/// Whether the text stays one segment of a path: `Url` drops the others silently.
pub(super) fn is_segment(text: &str) -> bool {
    !text.is_empty() && !text.chars().all(|c| c == '.') && !text.contains(|c: char| c.is_control() || c.is_whitespace())
}

/// Whether the text can be a name, spaces included, and stays one segment of a path.
fn is_name(text: &str) -> bool {
    !text.trim().is_empty() && !text.chars().all(|c| c == '.') && !text.contains(char::is_control)
}

fn under(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::{Deployment, Paths};
    use crate::domain::registration::{ClientId, SecretId};

    fn paths(url: &str, deployment: Deployment) -> Paths {
        Paths::new(&Url::parse(url).unwrap(), "acme", deployment).unwrap()
    }

    #[test]
    fn every_deployment_has_its_own_paths() {
        let table = [
            (
                paths("https://cloud.uipath.com", Deployment::AutomationCloud),
                "https://cloud.uipath.com/identity_/.well-known/openid-configuration",
                "https://cloud.uipath.com/acme/identity_/api",
            ),
            (
                paths("https://suite.example/", Deployment::AutomationSuite),
                "https://suite.example/identity_/.well-known/openid-configuration",
                "https://suite.example/identity_/api",
            ),
            (
                paths("https://orchestrator.example:8443/base/", Deployment::Standalone),
                "https://orchestrator.example:8443/base/identity/.well-known/openid-configuration",
                "https://orchestrator.example:8443/base/identity/api",
            ),
        ];
        for (paths, discovery, api) in table {
            let (id, secret) = (ClientId::new("id-1"), SecretId::new("7"));
            assert_eq!(paths.discovery().as_str(), discovery);
            assert_eq!(paths.clients().as_str(), format!("{api}/ExternalClient"));
            assert_eq!(paths.list("org").as_str(), format!("{api}/ExternalClient/org"));
            assert_eq!(paths.client("org", &id).unwrap().as_str(), format!("{api}/ExternalClient/org/id-1"));
            assert_eq!(paths.generate_secret().as_str(), format!("{api}/ExternalClient/GenerateSecret"));
            assert_eq!(paths.secret("org", &secret).unwrap().as_str(), format!("{api}/ExternalClient/org/secrets/7"));
            let all = format!("{api}/ExternalClient/org/id-1/FederatedCredentials");
            assert_eq!(paths.federated("org", &id, None).unwrap().as_str(), all);
            assert_eq!(paths.federated("org", &id, Some("c-1")).unwrap().as_str(), format!("{all}/c-1"));
            assert_eq!(paths.catalogue().as_str(), format!("{api}/ExternalApiResource"));
        }
    }

    #[test]
    fn an_id_never_leaves_its_segment() {
        let paths = paths("https://cloud.uipath.com", Deployment::AutomationCloud);
        for id in ["", ".", "..", "a b", "a\nb"] {
            assert!(paths.client("org", &ClientId::new(id)).is_none(), "{id:?}");
            assert!(paths.federated("org", &ClientId::new(id), None).is_none(), "{id:?}");
            assert!(paths.federated("org", &ClientId::new("id-1"), Some(id)).is_none(), "{id:?}");
        }
        let url = paths.client("org", &ClientId::new("../x?y#z/w")).unwrap();
        assert!(url.path().ends_with("/ExternalClient/org/..%2Fx%3Fy%23z%2Fw"), "{url}");
        assert!(url.query().is_none() && url.fragment().is_none());
    }

    #[test]
    fn a_tenant_is_named_in_the_address_or_beside_it() {
        let at =
            |url: &str, deployment| paths(url, deployment).orchestrator("acme", "My Tenant", &["odata", "Users(7)"]);
        let (url, header) = at("https://cloud.uipath.com", Deployment::AutomationCloud).unwrap();
        assert_eq!(url.as_str(), "https://cloud.uipath.com/acme/My%20Tenant/orchestrator_/odata/Users(7)");
        assert_eq!(header, None);
        let (url, header) = at("https://orchestrator.example", Deployment::Standalone).unwrap();
        assert_eq!(url.as_str(), "https://orchestrator.example/odata/Users(7)");
        assert_eq!(header.unwrap(), "My Tenant");
    }

    #[test]
    fn a_tenant_never_leaves_its_segment() {
        let paths = paths("https://cloud.uipath.com", Deployment::AutomationCloud);
        for tenant in ["", " ", ".", "..", "a\nb"] {
            assert!(paths.orchestrator("acme", tenant, &["odata"]).is_none(), "{tenant:?}");
        }
        let (url, _) = paths.orchestrator("acme", "../x?y#z/w", &["odata"]).unwrap();
        assert_eq!(url.path(), "/acme/..%2Fx%3Fy%23z%2Fw/orchestrator_/odata");
    }

    #[test]
    fn an_organization_that_is_no_part_of_a_path_is_refused() {
        for organization in ["", "..", "a b"] {
            let url = Url::parse("https://cloud.uipath.com").unwrap();
            assert!(Paths::new(&url, organization, Deployment::AutomationCloud).is_none());
        }
    }
}
