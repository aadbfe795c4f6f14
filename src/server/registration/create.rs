//! Making a registration: the one request after which nothing can be looked up.

use url::Url;

use super::exchange::{DELETE, Told, header};
use super::record::Record;
use super::wire::{ClientAnswer, Metadata as ClientMetadata};
use super::{Inner, Metadata};
use crate::domain::registration::{ClientType, Created, Desired};
use crate::server::json_api::{Call, Operation, json, text};
use crate::server::words::oauth_error;
use crate::server::{Lane, ServerError};

const CREATE: Operation = Operation::create(
    "create",
    "/register",
    "an initial access token that the server takes, and that may still be used (key initial-access-token of the Secret that credentialsRef names)",
);

/// Where clients are registered: at the issuer, which no initial access token leaves.
pub(super) fn endpoint<'a>(metadata: &'a Metadata, issuer: &Url) -> Result<&'a Url, ServerError> {
    let endpoint = metadata.registration_endpoint.as_ref().ok_or(ServerError::Unsupported {
        what: "the server's metadata names no registration_endpoint: switch dynamic client registration on there, or use another kind of server",
    })?;
    if endpoint.origin() == issuer.origin() {
        return Ok(endpoint);
    }
    Err(ServerError::Unsupported {
        what: "the server's registration_endpoint is at another host than its issuer: nothing is sent there",
    })
}

impl Inner {
    pub(super) async fn create(&self, desired: &Desired) -> Result<Created, ServerError> {
        let metadata =
            self.metadata.get(|_| true, || self.fetch_metadata()).await.map_err(ServerError::before_a_create)?;
        let url = endpoint(&metadata, &self.issuer)?.clone();
        let call = Call::json(url, &ClientMetadata::wanted(desired).create_body())?;
        let call = call.bearing(self.initial_access_token.as_ref().and_then(header));
        let answer = self.api.exchange(CREATE, Lane::User, call).await?;
        let secrets = self.initial_secrets();
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        match answer.status {
            // The operator's own credentials are one token for this alone: who is registered already has no part in it.
            401 => return Err(ServerError::Forbidden { needed: CREATE.needed }),
            403 if oauth_error(&answer).is_some() => {
                return Err(ServerError::Rejected { text: text(&answer, &secrets) });
            }
            _ => CREATE.check(&answer, &secrets)?,
        }
        let client = json(&answer).and_then(ClientAnswer::read).map_err(ServerError::of_a_create)?;
        let record = Record::created(client, desired, &self.issuer, self.clock.now());
        self.keep_created(&record).await?;
        for former in self.records.former(&desired.owner.uid) {
            if former != *record.client_id() {
                // A record that stays names a registration that is gone: no harm.
                let _ = self.records.forget(&former).await;
            }
        }
        let has_secret = desired.client_type == ClientType::Confidential && !desired.secretless;
        let credential = if has_secret { record.credential(false) } else { None };
        Ok(Created { registered: record.registered(), credential })
    }

    /// Keeps the record, or takes the registration back: what nobody remembers nobody can delete. Where not even that is
    /// possible, this process goes on remembering it.
    async fn keep_created(&self, record: &Record) -> Result<(), ServerError> {
        let Err(unkept) = self.records.keep(record).await else { return Ok(()) };
        match self.ask(DELETE, Lane::User, record, None).await {
            Ok(Told::Done | Told::NotFor) => {
                self.records.give_up(record.client_id());
                Err(unkept)
            }
            _ => Ok(()),
        }
    }

    fn initial_secrets(&self) -> Vec<String> {
        use secrecy::ExposeSecret as _;
        self.initial_access_token.iter().map(|token| token.expose_secret().to_owned()).collect()
    }
}
