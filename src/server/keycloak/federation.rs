//! Clients that are known by the tokens of others: of a cluster, whose service accounts they run as.
//!
//! <https://www.keycloak.org/docs/latest/server_admin/index.html#_client-credentials>

use super::authentication::{Assertions, AssertionsBody, ProviderAnswer, SUBJECT};
use super::operation::{GET, PROVIDERS, UPDATE};
use super::session::At;
use super::{Keycloak, suitable};
use crate::domain::federation::{Federated, Trust};
use crate::domain::registration::ClientId;
use crate::server::{Federating, Lane, ServerError, ServerText};

/// The one that a client has: there is no more than one, and it has no name of its own at the server.
const CREDENTIAL: &str = "federated-jwt";

impl Keycloak {
    async fn providers(&self, lane: Lane) -> Result<Vec<ProviderAnswer>, ServerError> {
        let url = self.session.url(At(&["identity-provider", "instances"]))?;
        self.session.read(PROVIDERS, url, lane).await
    }

    /// The one audience that assertions may have: the realm.
    fn audience(&self) -> &str {
        self.session.issuer.as_str().trim_end_matches('/')
    }

    /// Has a client known by these tokens, and by nothing else.
    async fn trust(&self, id: &ClientId, trust: &Trust) -> Result<Federated, ServerError> {
        let _alone = self.change(id).await;
        let client = self.changeable(id).await?;
        if trust.audience != self.audience() {
            return Err(rejected(&format!("the audience must be the realm's issuer, {}", self.audience())));
        }
        let providers = self.providers(Lane::User).await?;
        let Some(provider) = providers.iter().find(|provider| provider.issuer() == Some(trust.issuer.as_str())) else {
            let words = format!(
                "no identity provider of the realm takes client assertions of {}: make one of type Kubernetes with this issuer",
                trust.issuer
            );
            return Err(rejected(&words));
        };
        self.is_free(&client.client_id, &provider.alias, &trust.subject).await?;
        let assertions = Assertions { name: &trust.name, provider: &provider.alias, subject: &trust.subject };
        self.session.write(UPDATE, At(&["clients", &client.id]), &AssertionsBody::of(assertions)).await?;
        Ok(Federated { id: CREDENTIAL.to_owned(), trust: trust.clone() })
    }

    /// Keycloak looks a client up by whose assertion it is, and takes any of several.
    async fn is_free(&self, client_id: &str, provider: &str, subject: &str) -> Result<(), ServerError> {
        if subject.contains(['"', '\\']) {
            return Err(rejected("a subject with quotation marks or backslashes cannot be looked for"));
        }
        let found = self.clients(GET, &[("q", &format!("\"{SUBJECT}\":\"{subject}\""))], Lane::User).await?;
        let is_it = |assertions: Assertions<'_>| assertions.provider == provider && assertions.subject == subject;
        match found.iter().find(|other| other.client_id != client_id && other.assertions().is_some_and(is_it)) {
            None => Ok(()),
            Some(other) => Err(rejected(&format!("the client {} is already known by this subject", other.client_id))),
        }
    }
}

fn rejected(words: &str) -> ServerError {
    ServerError::Rejected { text: ServerText::quote(words, &[]) }
}

impl Federating for Keycloak {
    async fn federated(&self, id: &ClientId, lane: Lane) -> Result<Vec<Federated>, ServerError> {
        let client = suitable(self.find(id.as_str(), lane).await?.ok_or(ServerError::NotFound)?)?;
        let Some(assertions) = client.assertions() else { return Ok(Vec::new()) };
        let providers = self.providers(lane).await?;
        let provider = providers.iter().find(|provider| provider.alias == assertions.provider);
        // One that takes no assertions any more has no issuer that anybody asks for.
        let issuer = provider.and_then(ProviderAnswer::issuer).unwrap_or(assertions.provider);
        let trust = Trust {
            name: assertions.name.to_owned(),
            issuer: issuer.to_owned(),
            audience: self.audience().to_owned(),
            subject: assertions.subject.to_owned(),
        };
        Ok(vec![Federated { id: CREDENTIAL.to_owned(), trust }])
    }

    /// Takes the place of whatever the client is known by: it may be sent twice.
    async fn add_federated(&self, id: &ClientId, trust: &Trust) -> Result<Federated, ServerError> {
        self.trust(id, trust).await
    }

    async fn replace_federated(&self, id: &ClientId, _credential: &str, trust: &Trust) -> Result<(), ServerError> {
        self.trust(id, trust).await.map(drop)
    }

    async fn remove_federated(&self, id: &ClientId, _credential: &str) -> Result<(), ServerError> {
        let _alone = self.change(id).await;
        let client = match self.changeable(id).await {
            Err(ServerError::NotFound) => return Ok(()),
            client => client?,
        };
        if client.assertions().is_none() {
            return Ok(());
        }
        self.session.write(UPDATE, At(&["clients", &client.id]), &AssertionsBody::nobody()).await.map(drop)
    }
}
