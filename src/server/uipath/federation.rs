//! Federated credentials of an external application, through Identity Server's management API:
//! <https://docs.uipath.com/automation-cloud/Automation-cloud/latest/api-guide/external-client-federated-credentials>.

use url::Url;

use super::answer::Reader;
use super::session::{Call, Organization};
use super::wire::{FederatedAnswer, FederatedBody};
use super::{Uipath, gone, operation, readings};
use crate::domain::federation::{Federated, Trust};
use crate::domain::registration::ClientId;
use crate::server::http::Answer;
use crate::server::words::message;
use crate::server::{Federating, Lane, ServerError, ServerText};

/// The registration was read a moment ago: what is not there is the API.
const NO_SUCH_API: &str =
    "the server has nothing at the address of this registration's federated credentials: it is older than that API";

impl Uipath {
    /// The address of one federated credential, or of all. An id that would address something else is refused.
    fn federated_url(&self, organization: &str, id: &ClientId, credential: Option<&str>) -> Result<Url, ServerError> {
        let text = || ServerText::ours("this is not the id of a federated credential of an external application");
        let url = self.session.paths.federated(organization, id, credential);
        url.ok_or_else(|| ServerError::Rejected { text: text() })
    }
}

impl Federating for Uipath {
    async fn federated(&self, id: &ClientId, lane: Lane) -> Result<Vec<Federated>, ServerError> {
        let prepare = |organization: Organization<'_>| self.federated_url(organization?, id, None).map(Call::to);
        let read = |reader: &Reader<'_>, answer: &Answer| {
            known_here(answer)?;
            Ok(reader.json::<Vec<FederatedAnswer>>(answer)?.into_iter().map(FederatedAnswer::federated).collect())
        };
        match self.session.call(operation::FEDERATED, lane, prepare, read).await {
            Err(ServerError::NotFound) => Err(ServerError::Unsupported { what: NO_SUCH_API }),
            result => result,
        }
    }

    async fn add_federated(&self, id: &ClientId, trust: &Trust) -> Result<Federated, ServerError> {
        let prepare = |organization: Organization<'_>| {
            Call::with(self.federated_url(organization?, id, None)?, &FederatedBody::new(trust))
        };
        let read = |reader: &Reader<'_>, answer: &Answer| {
            known_here(answer)?;
            reader.json::<FederatedAnswer>(answer).map(FederatedAnswer::federated)
        };
        self.session.call(operation::ADD_FEDERATED, Lane::User, prepare, read).await
    }

    async fn replace_federated(&self, id: &ClientId, credential: &str, trust: &Trust) -> Result<(), ServerError> {
        let prepare = |organization: Organization<'_>| {
            Call::with(self.federated_url(organization?, id, Some(credential))?, &FederatedBody::new(trust))
        };
        let read = |reader: &Reader<'_>, answer: &Answer| known_here(answer).and_then(|()| reader.done(answer));
        self.session.call(operation::REPLACE_FEDERATED, Lane::User, prepare, read).await
    }

    async fn remove_federated(&self, id: &ClientId, credential: &str) -> Result<(), ServerError> {
        let prepare =
            |organization: Organization<'_>| self.federated_url(organization?, id, Some(credential)).map(Call::to);
        let read = |reader: &Reader<'_>, answer: &Answer| known_here(answer).and_then(|()| reader.done(answer));
        gone(self.session.call(operation::REMOVE_FEDERATED, Lane::User, prepare, read).await)
    }
}

/// A registration that was just made is not known to this part of the server at once.
fn known_here(answer: &Answer) -> Result<(), ServerError> {
    if readings::is_not_known_yet(answer.status, message(answer).as_deref().unwrap_or_default()) {
        let what = "the server does not know the new registration everywhere yet; its federated credentials follow";
        return Err(ServerError::NotYet { what });
    }
    Ok(())
}
